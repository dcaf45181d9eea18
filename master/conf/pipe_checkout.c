/* `checkout`: which codebases a builder's steps bring, each into which folder and how. The check (schema.c) has looked at the form of what is read here.

   checkout: core                                  at the top of the tree
   checkout: {depth: 1}                            the project's only codebase, or its main one
   checkout: {core: {to: lib/core}}                one, somewhere else
   checkout: [server, {core: {to: server/core}}]   several, each in a folder: of its own name unless it says another */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pipe_int.h"

static const char *const words[] = { "git", "none" };

bool pipeline_is_checkout_word(const char *s)
{
  for (size_t i = 0; i < COUNT(words); i++)
    if (!strcmp(words[i], s))
      return true;
  return schema_has(SCHEMA_CHECKOUT, s);
}

bool pipe_is_checkout(const struct yml_node *n)
{
  return n->kind == YML_MAP ? yml_get(n, "checkout") && !yml_get(n, "trigger") : !strcmp(n->text, "checkout");
}

static bool is_word(const struct yml_node *n, const char *word)
{
  return n && n->kind == YML_SCALAR && !strcmp(n->text, word);
}

/* ---- folders ---- */

/* The text without what changes nothing: `./`, slashes that stand twice or at the end. Of the top nothing is left. */
static char *short_path(struct whole *w, const char *s)
{
  char *out = pipe_take(w, 1, strlen(s) + 1);
  size_t n = 0;

  for (size_t len; *s; s += len, s += *s == '/') {
    len = strcspn(s, "/");
    if (!len || (len == 1 && *s == '.'))
      continue;
    if (n)
      out[n++] = '/';
    memcpy(out + n, s, len);
    n += len;
  }
  return n ? out : NULL;
}

static bool has_part(const char *path, const char *part)
{
  size_t n = strlen(part), len;

  for (; *path; path += len, path += *path == '/') {
    len = strcspn(path, "/");
    if (len == n && !strncmp(path, part, n))
      return true;
  }
  return false;
}

/* Whether a is in b, deeper. NULL: the top. */
static bool lies_in(const char *a, const char *b)
{
  size_t n = b ? strlen(b) : 0;

  return a && (!b || (!strncmp(a, b, n) && a[n] == '/'));
}

static int depth_of(const char *to)
{
  int n = to != NULL;

  for (; to && *to; to++)
    n += *to == '/';
  return n;
}

/* "lib/core", for messages. */
static const char *shown(const char *to)
{
  return to ? to : ".";
}

static void set_to(struct maker *m, struct pipe_checkout *c, const struct yml_node *n, const struct expr_name *names)
{
  const char *text = n->kind == YML_SCALAR && !yml_is_null(n) ? pipe_made_text(m, n, SCHEMA_CHECKOUT, "to", names) : NULL;

  if (!text)
    return;
  if (strlen(text) > PIPELINE_TO_MAX)
    yml_error(m->d, n, NULL, "a folder's name of more than %d bytes", PIPELINE_TO_MAX);
  else if (has_part(text, ".git"))
    yml_error(m->d, n, NULL, "nothing is checked out into .git");
  else
    c->to = short_path(m->w, text);
}

/* ---- one `checkout` ---- */

struct several {
  struct pipe_checkout v[PIPELINE_CHECKOUTS_MAX];
  int n;
};

/* name: NULL: the only codebase, or the main one. */
static void add(struct maker *m, struct several *all, const struct yml_node *at, const struct yml_node *name, const struct yml_node *options, bool folder, const struct expr_name *names)
{
  const struct yml_node *to = yml_get(options, "to");
  struct pipe_checkout c = { .codebase = name ? name->text : NULL, .folder = folder, .at = name ? name : at };

  if (all->n == PIPELINE_CHECKOUTS_MAX) {
    yml_error(m->d, at, NULL, "more than %d checkouts in a builder", PIPELINE_CHECKOUTS_MAX);
    return;
  }
  if (folder)
    c.to = c.codebase;
  if (to)
    set_to(m, &c, to, names);
  c.depth = (int)schema_int(options, SCHEMA_CHECKOUT, "depth");
  c.keep = !schema_bool(options, SCHEMA_CHECKOUT, "clean");
  c.submodules = schema_bool(options, SCHEMA_CHECKOUT, "submodules");
  all->v[all->n++] = c;
}

static void add_map(struct maker *m, struct several *all, const struct yml_node *map, bool folder, const struct expr_name *names)
{
  for (int i = 0; i < map->n; i++)
    add(m, all, map, map->keys[i], map->items[i], folder, names);
}

/* Parents first, else as they stand. */
static void sort(struct several *all)
{
  for (int i = 1; i < all->n; i++) {
    struct pipe_checkout c = all->v[i];
    int k = i;
    for (; k && depth_of(all->v[k - 1].to) > depth_of(c.to); k--)
      all->v[k] = all->v[k - 1];
    all->v[k] = c;
  }
}

/* said: the value of `checkout`, or NULL. at: where that or nothing stands. */
static void read_checkout(struct maker *m, const struct yml_node *at, const struct yml_node *said, const struct expr_name *names, struct several *all)
{
  all->n = 0;
  if (!said || yml_is_null(said) || is_word(said, "git")) {
    add(m, all, at, NULL, NULL, false, names);
  } else if (said->kind == YML_SCALAR) {
    add(m, all, at, said, NULL, false, names);
  } else if (said->kind == YML_LIST) {
    for (int i = 0; i < said->n; i++)
      if (said->items[i]->kind == YML_MAP)
        add_map(m, all, said->items[i], true, names);
      else if (said->items[i]->kind == YML_SCALAR)
        add(m, all, said, said->items[i], NULL, true, names);
  } else if (schema_is_options(said, SCHEMA_CHECKOUT)) {
    add(m, all, at, NULL, said, false, names);
  } else {
    add_map(m, all, said, said->n > 1, names);
  }
  sort(all);
}

/* ---- all of a builder ---- */

static void tell_second(struct maker *m, const struct flat_step *it, const struct pipe_checkout *c, const struct pipe_checkout *first)
{
  const struct yml_node *n = it->n && !c->codebase ? it->n : c->at;

  if (c->codebase)
    yml_error(m->d, n, NULL, "a second checkout of \"%s\", the first is in line %d", c->codebase, first->at->line);
  else
    yml_error(m->d, n, NULL, "a second checkout, the first is in line %d", first->at->line);
}

/* Against those before it. */
static void check_one(struct maker *m, const struct flat *f, const struct flat_step *it)
{
  const struct pipe_checkout *c = it->checkout;

  for (int i = 0; i < f->n; i++) {
    const struct pipe_checkout *o = f->v[i].checkout;
    if (!o)
      continue;
    if (str_eq(c->codebase, o->codebase) || (!c->codebase && !o->codebase)) {
      tell_second(m, it, c, o);
    } else if (str_eq(c->to, o->to) || (!c->to && !o->to)) {
      yml_error(m->d, c->at, "give one of them another folder: {CODEBASE: {to: FOLDER}}", "two codebases are checked out into \"%s\", the first in line %d", shown(c->to), o->at->line);
    } else if (lies_in(o->to, c->to)) {
      yml_error(m->d, c->at, "put it first: a checkout leaves alone only what comes after it", "this is checked out into \"%s\", in which there is \"%s\" already, of line %d", shown(c->to), o->to,
                o->at->line);
    } else {
      continue;
    }
    return;
  }
}

static int count(const struct flat *f)
{
  int n = 0;

  for (int i = 0; i < f->n; i++)
    n += f->v[i].checkout != NULL;
  return n;
}

/* like: the step, or an item without a node. */
static void put_all(struct maker *m, struct flat *out, struct flat_step like, const struct several *all)
{
  m->d->context = like.use ? like.use->said : NULL;
  for (int i = 0; i < all->n; i++) {
    struct pipe_checkout *c = pipe_take(m->w, 1, sizeof *c);
    *c = all->v[i];
    like.checkout = c;
    check_one(m, out, &like);
    if (count(out) == PIPELINE_CHECKOUTS_MAX) {
      yml_error(m->d, c->at, NULL, "more than %d checkouts in a builder", PIPELINE_CHECKOUTS_MAX);
      return;
    }
    pipe_flat_add(out, &like);
  }
}

/* `checkout` and no more: the place of what the builder says. */
static bool is_plain(const struct yml_node *step)
{
  const struct yml_node *said = step->kind == YML_MAP ? yml_get(step, "checkout") : NULL;

  return !said || yml_is_null(said) || is_word(said, "git") || (said->kind == YML_MAP && !said->n);
}

void pipe_put_checkouts(struct maker *m, const struct yml_node *builder, struct flat *f, const struct expr_name *names)
{
  const struct yml_node *said = yml_get(builder, "checkout");
  bool none = is_word(said, "none"), given = said && !none && !is_word(said, "git") && !yml_is_null(said), any = false, plain = false;
  struct several *all = xcalloc(2, sizeof *all), *own = &all[1];
  struct flat out = { 0 };

  for (int i = 0; i < f->n; i++)
    if (pipe_is_checkout(f->v[i].n)) {
      any = true;
      plain |= is_plain(f->v[i].n);
    }
  if (!none)
    read_checkout(m, said ? said : builder ? builder : f->n ? f->v[0].n : NULL, said, names, own);
  if (!none && !plain && (given || !any))
    put_all(m, &out, (struct flat_step){ .names = names }, own);
  for (int i = 0; i < f->n; i++) {
    const struct flat_step *it = &f->v[i];
    if (!pipe_is_checkout(it->n)) {
      pipe_flat_add(&out, it);
      continue;
    }
    m->d->context = it->use ? it->use->said : NULL;
    if (none)
      yml_error(m->d, it->n, NULL, "the builder says `checkout: none`, but this step is one");
    if (given && is_plain(it->n)) {
      put_all(m, &out, *it, own);
    } else {
      read_checkout(m, it->n, it->n->kind == YML_MAP ? yml_get(it->n, "checkout") : NULL, it->names, all);
      put_all(m, &out, *it, all);
    }
  }
  m->d->context = NULL;
  free(f->v);
  free(all);
  *f = out;
}

/* ---- between them ---- */

static const char **inside(struct maker *m, const struct pipe_builder *b, const struct pipe_checkout *c)
{
  const char **v;
  int n = 0;

  for (int i = 0; i < b->nsteps; i++)
    n += b->steps[i].kind == PIPE_CHECKOUT && lies_in(b->steps[i].checkout.to, c->to);
  if (!n)
    return NULL;
  v = pipe_take(m->w, (size_t)n + 1, sizeof *v);
  n = 0;
  for (int i = 0; i < b->nsteps; i++)
    if (b->steps[i].kind == PIPE_CHECKOUT && lies_in(b->steps[i].checkout.to, c->to))
      v[n++] = b->steps[i].checkout.to + (c->to ? strlen(c->to) + 1 : 0);
  return v;
}

/* Equal texts: what one leaves the other may go on with. */
static const char *layout(struct maker *m, const struct pipe_builder *b)
{
  struct buf text;
  char *made;
  int n = 0;

  buf_init(&text, BUF_NO_MAX);
  for (int i = 0; i < b->nsteps; i++) {
    const struct pipe_checkout *c = &b->steps[i].checkout;
    if (b->steps[i].kind != PIPE_CHECKOUT)
      continue;
    n += !c->codebase && !c->to && !c->depth && !c->submodules ? 1 : 2;
    buf_addf(&text, "%s%s%s%s%s%s", text.len ? "\n" : "", shown(c->to), c->codebase ? " of " : "", c->codebase ? c->codebase : "", c->depth ? " short" : "", c->submodules ? " with submodules" : "");
  }
  made = pipe_copy(m->w, n == 1 ? "" : buf_str(&text));
  buf_free(&text);
  return made;
}

static void list_codebases(struct maker *m, struct pipe_builder *b)
{
  int n = 0;

  for (int i = 0; i < b->nsteps; i++)
    n += b->steps[i].kind == PIPE_CHECKOUT;
  b->codebases = pipe_take(m->w, (size_t)n + 1, sizeof *b->codebases);
  for (int i = 0; i < b->nsteps; i++) {
    const struct pipe_checkout *c = &b->steps[i].checkout;
    if (b->steps[i].kind != PIPE_CHECKOUT)
      continue;
    b->codebases[b->ncodebases++] = c->codebase ? c->codebase : "";
    if (c->codebase)
      pipe_uses_codebase(&m->w->exprs, c->codebase, c->at, 0);
  }
}

void pipe_join_checkouts(struct maker *m, struct pipe_builder *b)
{
  bool first = true;

  for (int i = 0; i < b->nsteps; i++) {
    struct pipe_checkout *c = &b->steps[i].checkout;
    if (b->steps[i].kind != PIPE_CHECKOUT)
      continue;
    c->inside = inside(m, b, c);
    if (first)
      c->layout = layout(m, b);
    first = false;
  }
  list_codebases(m, b);
}

/* ---- against the project ---- */

void pipeline_check_codebases(const struct pipeline *p, const char *const *names, int n, struct diags *d)
{
  const struct pipe_exprs *x = &((const struct whole *)p)->exprs;
  bool one = n == 1 && !*names[0];

  for (int i = 0; names && i < x->nuses; i++) {
    const struct pipe_codebase_use *u = &x->uses[i];
    bool known = false;
    char *help, *what;
    for (int k = 0; k < n && !known; k++)
      known = !strcmp(names[k], u->name);
    if (known)
      continue;
    help = one ? xstrdup("`checkout: git` brings it") : pipe_did_you_mean(u->name, names, n);
    what = one ? xasprintf("the project has one repository, and no codebase \"%.80s\"", u->name) : xasprintf("the project has no codebase \"%.80s\"", u->name);
    pipe_tell(d, u->at, u->off, help, what);
    free(help);
    free(what);
  }
}
