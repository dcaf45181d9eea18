/* Templates: lists of steps with parameters, and what a use of one is replaced by.

   A template sees its parameters and what every step sees, and nothing of the place where it is used: so what is wrong in it is wrong by itself. What a use hands over is known when the
   file is read, and stands in the template's expressions like a constant. */
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"
#include "master/conf/pipe_int.h"

enum { PARAMETER_NAME_MAX = 64 };

struct parameter {
  const char *name;
  enum kind { P_STRING, P_INTEGER, P_BOOLEAN, P_CHOICE } kind;
  char **choices;
  int nchoices;
  const struct expr_value *value; /* the default; NULL: none */
};

struct template {
  const struct yml_node *key, *map, *steps;
  struct parameter *p;
  int n;
  bool open;      /* its steps are being written out just now */
  bool used;
  bool unread;    /* what it takes is wrong: nothing can be said of a use */
  bool bad;       /* its steps are wrong: told where they stand, once */
};

static const struct { const char *word, *wants; enum expr_type type; } kinds[] = {
  [P_STRING] = { "string", "a string", EXPR_TEXT },
  [P_INTEGER] = { "integer", "a whole number", EXPR_NUMBER },
  [P_BOOLEAN] = { "boolean", "true or false", EXPR_BOOL },
  [P_CHOICE] = { "choice", "one of its choices", EXPR_TEXT },
};

void pipe_template_bad(struct template *t)
{
  t->bad = true;
}

/* --- values --- */

static bool wrong(struct maker *m, const struct parameter *p, const struct yml_node *n, const char *made)
{
  struct buf wants;
  char *got = made ? xasprintf("\"%.60s\"", made) : schema_shown(n);

  buf_init(&wants, BUF_NO_MAX);
  for (int i = 0; i < p->nchoices && wants.len < 100; i++)
    buf_addf(&wants, "%s\"%s\"", i ? " or " : "", p->choices[i]);
  yml_error(m->d, n, NULL, "\"%s\" wants %s, got %s", p->name, p->nchoices ? buf_str(&wants) : kinds[p->kind].wants, got);
  buf_free(&wants);
  free(got);
  return false;
}

static bool is_choice(const struct parameter *p, const char *text)
{
  for (int i = 0; i < p->nchoices; i++)
    if (!strcmp(p->choices[i], text))
      return true;
  return false;
}

/* text: as it stands in the file (plain: without quotes), or made by an expression of that type. */
static bool to_value(struct maker *m, const struct parameter *p, const struct yml_node *n, const char *text, enum expr_type made, struct expr_value *out)
{
  bool literal = made == EXPR_NONE;

  *out = (struct expr_value){ .type = kinds[p->kind].type };
  if (strlen(text) > PIPELINE_PARAMETER_MAX) {
    yml_error(m->d, n, NULL, "a parameter's value has at most %d bytes", PIPELINE_PARAMETER_MAX);
    return false;
  }
  if (p->kind == P_INTEGER && (literal ? n->plain : made == EXPR_NUMBER) && pipe_is_number(text, &out->number))
    return true;
  if (p->kind == P_BOOLEAN && (literal ? n->plain : made == EXPR_BOOL) && (!strcmp(text, "true") || !strcmp(text, "false"))) {
    out->yes = *text == 't';
    return true;
  }
  if ((p->kind == P_STRING && made != EXPR_LIST) || (p->kind == P_CHOICE && is_choice(p, text))) {
    out->text.len = strlen(text);
    out->text.s = pipe_copy(m->w, text);
    return true;
  }
  return wrong(m, p, n, literal ? NULL : text);
}

/* names: of the place where the value stands. False: told. *out is none where it isn't known, in a template that nobody uses. */
static bool read_value(struct maker *m, const struct parameter *p, const struct yml_node *n, const struct expr_name *names, struct expr_value *out)
{
  enum expr_type type;
  struct buf text;
  bool good;

  if (n->kind != YML_SCALAR || yml_is_null(n))
    return wrong(m, p, n, NULL);
  if (!pipe_has_expr(n))
    return to_value(m, p, n, n->text, EXPR_NONE, out);
  buf_init(&text, EXPR_RESULT_MAX);
  *out = (struct expr_value){ .type = EXPR_NONE };
  good = pipe_fixed(names, n, m->dry, &text, &type, m->d);
  if (good && type != EXPR_NONE)
    good = to_value(m, p, n, buf_str(&text), type, out);
  buf_free(&text);
  return good;
}

/* --- what the file says --- */

static bool check_name(struct maker *m, const struct yml_node *key)
{
  static const char *const words[] = { "true", "false", "none", "and", "or", "not", "in", "matrix", "properties", "locks" };
  bool taken = false;

  for (size_t i = 0; i < COUNT(words); i++)
    taken |= !strcmp(key->text, words[i]);
  for (int i = 0; i < PIPE_NAMES_COUNT; i++)
    taken |= !strcmp(key->text, pipe_names[i].name);
  if (!pipe_is_word(key->text) || strlen(key->text) > PARAMETER_NAME_MAX)
    yml_error(m->d, key, "letters, digits and underscores, first no digit", "\"%.80s\" can't be the name of a parameter, which is a name in expressions", key->text);
  else if (taken)
    yml_error(m->d, key, "take another name", "\"%s\" has a meaning of its own in expressions", key->text);
  else
    return true;
  return false;
}

static void read_parameter(struct maker *m, struct parameter *p, const struct yml_node *key, const struct yml_node *n)
{
  const struct yml_node *type = yml_get(n, "type"), *value = yml_get(n, "default"), *choices = yml_get(n, "choices");

  p->name = key->text;
  for (size_t k = 0; k < COUNT(kinds); k++)
    if (type && type->kind == YML_SCALAR && !strcmp(type->text, kinds[k].word))
      p->kind = (enum kind)k;
  p->choices = pipe_strings(m->w, choices, &p->nchoices);
  if (p->kind == P_CHOICE && !p->nchoices)
    yml_error(m->d, choices ? choices : key, "choices: [debug, release]", "the choice \"%s\" has no \"choices\"", key->text);
  else if (p->kind != P_CHOICE && choices)
    yml_error(m->d, yml_get_key(n, "choices"), "type: choice", "only a choice has \"choices\"");
  else if (value && value->kind == YML_SCALAR && !yml_is_null(value) && !pipe_has_expr(value)) {
    struct expr_value *v = pipe_take(m->w, 1, sizeof *v);
    if (to_value(m, p, value, value->text, EXPR_NONE, v))
      p->value = v;
  }
}

static void read_template(struct maker *m, const struct yml_node *key, const struct yml_node *map)
{
  const struct yml_node *named = yml_get(map, "parameters");
  struct template *t = pipe_take(m->w, 1, sizeof *t);
  int before = diag_count(m->d);

  *t = (struct template){ .key = key, .map = map, .steps = yml_get(map, "steps") };
  (void)map_set(m->templates, key->text, t);
  if (!t->steps && !pipe_strange_key(map, SCHEMA_TEMPLATE))
    yml_error(m->d, key, NULL, "template \"%s\" has no \"steps\"", key->text);
  if (named && named->kind == YML_MAP && named->n) {
    t->p = pipe_take(m->w, (size_t)named->n, sizeof *t->p);
    for (int i = 0; i < named->n; i++)
      if (check_name(m, named->keys[i]))
        read_parameter(m, &t->p[t->n++], named->keys[i], named->items[i]);
  }
  t->unread = !t->steps || t->steps->kind != YML_LIST || !t->steps->n || diag_count(m->d) != before;
}

void pipe_read_templates(struct maker *m, const struct yml_node *named)
{
  for (int i = 0; named && named->kind == YML_MAP && i < named->n; i++)
    read_template(m, named->keys[i], named->items[i]);
  m->named_templates = named;
}

/* --- a use --- */

static void unknown_template(struct maker *m, const struct yml_node *n)
{
  const struct yml_node *named = m->named_templates;
  int count = named && named->kind == YML_MAP ? named->n : 0;
  const char **names = xcalloc((size_t)count + 1, sizeof *names);
  char *help;

  for (int i = 0; i < count; i++)
    names[i] = named->keys[i]->text;
  help = pipe_did_you_mean(n->text, names, count);
  yml_error(m->d, n, help ? help : count ? NULL : "there are no `templates`", "there is no template \"%.80s\"", n->text);
  free(help);
  free(names);
}

static void unknown_parameter(struct maker *m, const struct template *t, const struct yml_node *key)
{
  const char **names = xcalloc((size_t)t->n + 1, sizeof *names);
  char *help;

  for (int i = 0; i < t->n; i++)
    names[i] = t->p[i].name;
  help = pipe_did_you_mean(key->text, names, t->n);
  yml_error(m->d, key, help ? help : t->n ? NULL : "it has no parameters", "template \"%s\" has no parameter \"%.80s\"", t->key->text, key->text);
  free(help);
  free(names);
}

/* What the template's expressions may name: what every step may, and its parameters with what they have here. n: the step with the use; NULL: only the types are known. */
static const struct expr_name *bind(struct maker *m, const struct template *t, const struct yml_node *n, const struct expr_name *outside)
{
  const struct yml_node *with = yml_get(n, "with");
  struct expr_name *names = pipe_scratch(m, (size_t)(PIPE_NAMES_COUNT + t->n + 1), sizeof *names);
  int before = diag_count(m->d);

  memcpy(names, pipe_names, PIPE_NAMES_COUNT * sizeof *names);
  for (int i = 0; with && with->kind == YML_MAP && i < with->n; i++) {
    int k = 0;
    while (k < t->n && strcmp(t->p[k].name, with->keys[i]->text))
      k++;
    if (k == t->n)
      unknown_parameter(m, t, with->keys[i]);
  }
  for (int i = 0; i < t->n; i++) {
    const struct parameter *p = &t->p[i];
    const struct yml_node *given = yml_get(with, p->name);
    struct expr_value *v = given ? pipe_scratch(m, 1, sizeof *v) : NULL;
    names[PIPE_NAMES_COUNT + i] = (struct expr_name){ p->name, kinds[p->kind].type, "", n ? p->value : NULL };
    if (given && read_value(m, p, given, outside, v))
      names[PIPE_NAMES_COUNT + i].value = v->type == EXPR_NONE ? NULL : v;
    else if (n && !given && !p->value)
      yml_error(m->d, with && with->kind == YML_MAP ? yml_get_key(n, "with") : yml_get(n, "use"), NULL, "template \"%s\" wants the parameter \"%s\"", t->key->text, p->name);
  }
  return diag_count(m->d) == before ? names : NULL;
}

static void flatten(struct maker *m, const struct yml_node *list, struct flat_step like, int depth, struct flat *out);

static const struct pipe_use *new_use(struct maker *m, const struct yml_node *at, const char *name, const struct pipe_use *by)
{
  struct pipe_use *u = pipe_take(m->w, 1, sizeof *u);
  char *said = xasprintf("in template \"%s\", used at %d:%d%s%s", name, at->line, at->column, by ? " " : "", by ? by->said : "");

  *u = (struct pipe_use){ .at = at, .name = name, .said = pipe_copy(m->w, said), .by = by };
  free(said);
  return u;
}

/* "a → b → a"; the innermost use is by. */
static void tell_cycle(struct maker *m, const struct yml_node *at, const struct template *t, const struct pipe_use *by)
{
  char *chain = xstrdup(t->key->text);

  for (; by; by = by->by) {
    char *more = xasprintf("%s → %s", by->name, chain);
    free(chain);
    chain = more;
    if (!strcmp(by->name, t->key->text))
      break;
  }
  yml_error(m->d, at, NULL, "template \"%s\" uses itself: %s", t->key->text, chain);
  free(chain);
}

static void refuse_beside_use(struct maker *m, const struct yml_node *n)
{
  for (int i = 0; i < n->n; i++)
    if (strcmp(n->keys[i]->text, "use") && strcmp(n->keys[i]->text, "with") && schema_has(SCHEMA_STEP, n->keys[i]->text))
      yml_error(m->d, n->keys[i], "it can be a parameter of the template", "a step that uses a template has no \"%s\"", n->keys[i]->text);
}

/* f: the step with the use, and whose it is. */
static void expand(struct maker *m, const struct flat_step *f, int depth, struct flat *out)
{
  const struct yml_node *use = yml_get(f->n, "use");
  const struct expr_name *names;
  const char *context = m->d->context;
  struct template *t;
  int before;

  refuse_beside_use(m, f->n);
  if (use->kind != YML_SCALAR || yml_is_null(use))
    return; /* the check has told */
  t = map_get(m->templates, use->text);
  if (!t) {
    unknown_template(m, use);
    return;
  }
  t->used = true;
  if (t->open) {
    tell_cycle(m, use, t, f->use);
    return;
  }
  if (t->unread)
    return; /* told where it stands */
  if (depth == PIPELINE_TEMPLATE_DEPTH_MAX) {
    yml_error(m->d, use, NULL, "more than %d templates inside each other", PIPELINE_TEMPLATE_DEPTH_MAX);
    return;
  }
  if (!pipe_spend(m, t->map) || !(names = bind(m, t, f->n, f->names)) || t->bad)
    return;
  before = diag_count(m->d);
  t->open = true;
  flatten(m, t->steps, (struct flat_step){ .names = names, .use = new_use(m, use, t->key->text, f->use), .of = t }, depth + 1, out);
  t->open = false;
  t->bad |= diag_count(m->d) != before;
  m->d->context = context;
}

void pipe_flat_add(struct flat *f, const struct flat_step *step)
{
  if (f->n == f->cap) {
    f->cap = f->cap ? f->cap * 2 : 16;
    f->v = xrealloc(f->v, (size_t)f->cap * sizeof *f->v);
  }
  f->v[f->n++] = *step;
}

/* like: what its steps have in common. Those beyond the limit are left out; whoever asked counts them and tells. */
static void flatten(struct maker *m, const struct yml_node *list, struct flat_step like, int depth, struct flat *out)
{
  for (int i = 0; i < list->n && m->steps + out->n <= PIPELINE_STEPS_MAX; i++) {
    like.n = list->items[i];
    m->d->context = like.use ? like.use->said : NULL;
    if (like.n->kind == YML_LIST || yml_is_null(like.n))
      continue; /* the check has told */
    if (yml_get(like.n, "use")) {
      expand(m, &like, depth, out);
      continue;
    }
    if (yml_get(like.n, "with"))
      yml_error(m->d, yml_get_key(like.n, "with"), "use: NAME", "\"with\" says what a template is given, and there is no \"use\"");
    pipe_flat_add(out, &like);
  }
}

void pipe_flatten(struct maker *m, const struct yml_node *list, const struct expr_name *names, struct flat *out)
{
  flatten(m, list, (struct flat_step){ .names = names }, 0, out);
  m->d->context = NULL;
}

static void check_alone(struct maker *m, struct template *t)
{
  struct inherit h = { 0 };
  struct flat f = { 0 };

  if (!pipe_spend(m, t->map))
    return;
  t->open = true;
  flatten(m, t->steps, (struct flat_step){ .names = bind(m, t, NULL, NULL) }, 1, &f);
  m->d->context = NULL;
  t->open = false;
  if (m->steps + f.n > PIPELINE_STEPS_MAX)
    yml_error(m->d, t->steps, NULL, "more than %d steps in all builders", PIPELINE_STEPS_MAX);
  for (int i = 0; i < f.n; i++) {
    struct pipe_step s;
    m->d->context = f.v[i].use ? f.v[i].use->said : NULL;
    pipe_make_step(m, &s, &f.v[i], h);
  }
  m->d->context = NULL;
  pipe_drop_scratch(m);
  free(f.v);
}

void pipe_check_unused(struct maker *m)
{
  const struct yml_node *named = m->named_templates;

  m->dry = true;
  for (int i = 0; named && named->kind == YML_MAP && i < named->n; i++) {
    struct template *t = map_get(m->templates, named->keys[i]->text);
    if (!t->used && !t->unread)
      check_alone(m, t);
  }
  m->dry = false;
}
