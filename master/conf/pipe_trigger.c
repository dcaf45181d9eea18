/* `trigger` of steps: which builders and schedulers they ask for, of the same pipeline or elsewhere. Read with each step, joined to those of the pipeline once all of them are known; what would ask for
   itself is refused. */
#include "master/conf/pipe_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"

/* ---- what a step says ---- */

/* Values are given as they stand: what they mean is known when the build runs. */
static void read_with(struct maker *m, struct pipe_asks *a, const struct yml_node *with, const struct expr_name *names)
{
  if (!with || with->kind != YML_MAP)
    return;
  if (with->n > PIPELINE_WITH_MAX) {
    yml_error(m->d, with, NULL, "more than %d properties", PIPELINE_WITH_MAX);
    return;
  }
  a->with = pipe_take(m->w, (size_t)with->n + 1, sizeof *a->with);
  for (int i = 0; i < with->n; i++) {
    const struct yml_node *key = with->keys[i], *n = with->items[i];
    if (!pipe_is_word(key->text) || strlen(key->text) > 64)
      yml_error(m->d, key, "letters, digits and underscores, first no digit", "\"%.64s\" is no name of a property", key->text);
    else if (n->kind != YML_SCALAR || yml_is_null(n))
      yml_error(m->d, n, NULL, "\"%s\" wants a text, a number, true or false", key->text);
    else
      a->with[a->nwith++] = (struct env_var){ key->text, n->text, pipe_text(&m->w->exprs, names, n, m->d), { PIPE_OF_STEP, n } };
  }
}

const char *const pipe_stamp_words[PIPE_STAMP_WORDS] = { [PIPE_STAMP_SAME] = "same", [PIPE_STAMP_TIP] = "tip", [PIPE_STAMP_LAST_GOOD] = "last_good", [PIPE_STAMP_DERIVED] = "derived" };

enum pipe_stamp pipe_stamp_of(const char *word)
{
  int i = 0;

  while (i < PIPE_STAMP_WORDS && strcmp(pipe_stamp_words[i], word))
    i++;
  return (enum pipe_stamp)i;
}

/* Revisions are looked at when it is known of what kind the codebase is: when the build runs. */
static void read_stamps(struct maker *m, struct pipe_asks *a, const struct yml_node *stamps, const struct expr_name *names)
{
  if (!stamps || stamps->kind != YML_MAP)
    return;
  if (stamps->n > PIPELINE_STAMPS_MAX) {
    yml_error(m->d, stamps, NULL, "more than %d codebases", PIPELINE_STAMPS_MAX);
    return;
  }
  a->stamps = pipe_take(m->w, (size_t)stamps->n + 1, sizeof *a->stamps);
  for (int i = 0; i < stamps->n; i++) {
    const struct yml_node *key = stamps->keys[i], *n = stamps->items[i];
    const struct interp *text;
    if (n->kind != YML_SCALAR || yml_is_null(n)) {
      yml_error(m->d, n, "same, tip, last_good, derived, or a revision", "\"%.64s\" wants a text", key->text);
      continue;
    }
    text = pipe_text(&m->w->exprs, names, n, m->d);
    if (!text && pipe_stamp_of(n->text) == PIPE_STAMP_WORDS && n->text[strspn(n->text, "0123456789abcdef")])
      yml_error(m->d, n, "same, tip, last_good, derived, or a revision", "this is no revision: %.80s", n->text);
    pipe_uses_codebase(&m->w->exprs, key->text, key, 0);
    a->stamps[a->nstamps++] = (struct env_var){ key->text, n->text, text, { PIPE_OF_STEP, n } };
  }
}

static void read_map(struct maker *m, struct pipe_asks *a, const struct yml_node *n, const struct expr_name *names)
{
  const struct yml_node *revision = yml_get(n, "revision"), *branch = yml_get(n, "branch"), *reason = yml_get(n, "reason"), *copy = yml_get(n, "copy");

  a->wait = schema_bool(n, SCHEMA_TRIGGER, "wait");
  a->copy = pipe_strings(m->w, copy, &a->ncopy);
  read_with(m, a, yml_get(n, "with"), names);
  read_stamps(m, a, yml_get(n, "stamps"), names);
  if (yml_get(n, "stamps") && (branch || revision))
    yml_error(m->d, yml_get_key(n, "stamps"), "say it in `stamps`", "\"stamps\" can't stand beside \"%s\"", branch ? "branch" : "revision");
  if (revision && revision->kind == YML_SCALAR) {
    a->revision = revision->text;
    a->revision_text = pipe_text(&m->w->exprs, names, revision, m->d);
  }
  if (branch && branch->kind == YML_SCALAR) {
    a->branch = branch->text;
    a->branch_text = pipe_text(&m->w->exprs, names, branch, m->d);
  }
  if (branch && revision)
    yml_error(m->d, yml_get_key(n, "revision"), "a branch has its revision", "\"revision\" can't stand beside \"branch\"");
  if (branch && yml_get(n, "schedulers"))
    yml_error(m->d, yml_get_key(n, "branch"), "name the builders", "\"branch\" can't stand beside \"schedulers\", which ask for the build's own revision");
  if (reason && reason->kind == YML_SCALAR) {
    a->reason = reason->text;
    a->reason_text = pipe_text(&m->w->exprs, names, reason, m->d);
  }
  if (!yml_get(n, "builders") && !yml_get(n, "schedulers") && !pipe_strange_key(n, SCHEMA_TRIGGER))
    yml_error(m->d, n, "trigger: {builders: package}", "\"trigger\" wants builders or schedulers");
  else if (yml_get(n, "unimportant") && !a->wait)
    yml_error(m->d, yml_get_key(n, "unimportant"), "wait: true", "the step does not wait, so no result counts for it");
}

void pipe_read_trigger(struct maker *m, struct pipe_step *s, const struct yml_node *n, const struct expr_name *names)
{
  s->asks = pipe_take(m->w, 1, sizeof *s->asks);
  s->asks->in = &m->w->p;
  s->asks->at = n;
  if (n->kind == YML_MAP)
    read_map(m, s->asks, n, names);
}

/* ---- whom these names mean ---- */

static bool spend(struct maker *m, const struct pipe_asks *a, int n)
{
  bool told = m->triggers > PIPELINE_TRIGGERS_MAX;

  m->triggers += n;
  if (m->triggers > PIPELINE_TRIGGERS_MAX && !told)
    yml_error(m->d, a->at, NULL, "more than %d builders that steps trigger, matrices written out", PIPELINE_TRIGGERS_MAX);
  return m->triggers <= PIPELINE_TRIGGERS_MAX;
}

static const struct pipe_scheduler *scheduler(struct maker *m, const struct yml_node *n)
{
  const struct pipeline *p = &m->w->p;
  const struct pipe_scheduler *s = pipeline_scheduler(p, n->text);
  const char **names;
  char *help;

  if (s && s->trigger == PIPE_ON_TRIGGER)
    return s;
  if (s) {
    yml_error(m->d, n, "a scheduler that steps set off: triggered: {}", "scheduler \"%s\" is set off by `%s`", s->name, pipe_trigger_name(s->trigger));
    return NULL;
  }
  names = xcalloc((size_t)p->nschedulers + 1, sizeof *names);
  for (int i = 0; i < p->nschedulers; i++)
    names[i] = p->schedulers[i].name;
  help = pipe_did_you_mean(n->text, names, p->nschedulers);
  yml_error(m->d, n, help, "there is no scheduler \"%.80s\"", n->text);
  free(help);
  free(names);
  return NULL;
}

static void add_scheduler(struct maker *m, struct pipe_asks *a, const struct pipe_scheduler *s, const struct yml_node *n)
{
  for (int i = 0; i < a->nschedulers; i++)
    if (a->schedulers[i] == s) {
      yml_error(m->d, n, NULL, "scheduler \"%s\" stands twice", s->name);
      return;
    }
  if (spend(m, a, 1))
    a->schedulers[a->nschedulers++] = s;
}

/* PROJECT/BUILDER, or of this project on another branch: whether there is one is known when it is asked for. */
static void add_outside(struct maker *m, struct pipe_asks *a, const struct yml_node *n, struct map *seen)
{
  const char *slash = strchr(n->text, '/');
  struct pipe_outside *o = &a->outside[a->noutside];
  char *help;

  *o = (struct pipe_outside){ .name = n->text, .project = pipe_copy(m->w, slash ? n->text : ""), .builder = slash ? pipe_copy(m->w, slash + 1) : n->text, .at = n };
  if (slash)
    o->project[slash - n->text] = 0;
  if (slash && str_eq(o->project, m->project)) {
    help = xasprintf("builders: %s", o->builder);
    yml_error(m->d, n, help, "\"%s\" is of this project: its name alone says that", n->text);
    free(help);
  } else if (map_set(seen, n->text, o)) {
    yml_error(m->d, n, NULL, "builder \"%s\" stands twice", n->text);
  } else if (spend(m, a, 1)) {
    a->noutside++;
  }
}

static void add_builders(struct maker *m, struct pipe_asks *a, const struct yml_node *n, struct map *seen)
{
  int all;
  const struct pipe_builder *b = pipeline_named(&m->w->p, n->text, &all);

  if (a->branch || strchr(n->text, '/')) {
    add_outside(m, a, n, seen);
    return;
  }

  if (!b && !m->incomplete && pipeline_is_builder(n->text, strlen(n->text)))
    pipe_unknown_builder(m, n, n->text);
  for (int i = 0; b && i < all && spend(m, a, 1); i++) {
    if (b[i].reporter)
      yml_error(m->d, n, "`needs` brings one behind another", "builder \"%s\" is one of this report, and can't be triggered", b[i].name);
    else if (map_set(seen, b[i].name, a))
      yml_error(m->d, n, NULL, "builder \"%s\" stands twice", b[i].name);
    else
      a->builders[a->nbuilders++] = b[i].name;
  }
}

/* One scalar or a list of them, one after the other. */
static const struct yml_node *item(const struct yml_node *n, int i)
{
  if (!n || n->kind == YML_SCALAR)
    return n && !i ? n : NULL;
  return n->kind == YML_LIST && i < n->n ? n->items[i] : NULL;
}

static int items(const struct yml_node *n)
{
  return !n ? 0 : n->kind == YML_LIST ? n->n : 1;
}

/* One that stands there twice may find no room: it is there already. */
static void put_unimportant(struct pipe_asks *a, char *name)
{
  if (a->nunimportant < a->nschedulers + a->nbuilders)
    a->unimportant[a->nunimportant++] = name;
}

static void add_unimportant(struct maker *m, struct pipe_asks *a, const struct yml_node *n, struct map *seen)
{
  int all = 0;
  const struct pipe_builder *b = pipeline_named(&m->w->p, n->text, &all);
  bool found = false;

  for (int i = 0; i < a->nschedulers && !found; i++)
    if (!strcmp(a->schedulers[i]->name, n->text))
      found = true, put_unimportant(a, a->schedulers[i]->name);
  for (int i = 0; i < all; i++)
    if (!a->branch && map_get(seen, b[i].name))
      found = true, put_unimportant(a, b[i].name);
  for (int i = 0; i < a->noutside; i++)
    if (!strcmp(a->outside[i].name, n->text))
      found = a->outside[i].soft = true;
  if (!found && !m->incomplete)
    yml_error(m->d, n, NULL, "\"%.96s\" is none of the schedulers and builders that the step triggers", n->text);
}

/* The parameters of a scheduler are known: what is handed on must be one, and what must be given is. */
static void check_params(struct maker *m, const struct pipe_asks *a, const struct pipe_scheduler *s)
{
  for (int i = 0; i < a->nwith; i++) {
    bool found = false;
    for (int k = 0; k < s->nparams; k++)
      found |= !strcmp(s->params[k].name, a->with[i].name);
    if (!found)
      yml_error(m->d, a->with[i].from.at, NULL, "scheduler \"%s\" has no parameter \"%s\"", s->name, a->with[i].name);
  }
  for (int k = 0; k < s->nparams; k++) {
    bool given = s->params[k].fallback != NULL;
    for (int i = 0; i < a->nwith; i++)
      given |= !strcmp(s->params[k].name, a->with[i].name);
    for (int i = 0; i < a->ncopy; i++)
      given |= !strcmp(s->params[k].name, a->copy[i]);
    if (!given)
      yml_error(m->d, a->at, "with: {NAME: VALUE}", "scheduler \"%s\" wants the parameter \"%s\"", s->name, s->params[k].name);
  }
}

static void join(struct maker *m, struct pipe_asks *a)
{
  bool map = a->at->kind == YML_MAP;
  const struct yml_node *schedulers = map ? yml_get(a->at, "schedulers") : NULL, *builders = map ? yml_get(a->at, "builders") : a->at, *unimportant = yml_get(a->at, "unimportant"), *n;
  struct map *seen = map_new();

  if (!map && a->at->kind == YML_SCALAR && pipeline_scheduler(&m->w->p, a->at->text) && !map_get(m->builders, a->at->text))
    schedulers = a->at, builders = NULL;
  a->schedulers = pipe_take(m->w, (size_t)items(schedulers) + 1, sizeof *a->schedulers);
  for (int i = 0; (n = item(schedulers, i)); i++) {
    const struct pipe_scheduler *s = n->kind == YML_SCALAR && !yml_is_null(n) ? scheduler(m, n) : NULL;
    if (s)
      add_scheduler(m, a, s, n);
  }
  a->builders = pipe_take(m->w, (size_t)m->w->p.nbuilders + 1, sizeof *a->builders); /* none stands twice */
  a->outside = pipe_take(m->w, (size_t)items(builders) + 1, sizeof *a->outside);
  for (int i = 0; (n = item(builders, i)); i++)
    if (n->kind == YML_SCALAR && !yml_is_null(n))
      add_builders(m, a, n, seen);
  if (a->nstamps && a->noutside)
    yml_error(m->d, a->outside[0].at, "a step of its own", "\"stamps\" are of this project, and this is a builder of another one");
  a->unimportant = pipe_take(m->w, (size_t)(a->nschedulers + a->nbuilders) + 1, sizeof *a->unimportant);
  for (int i = 0; (n = item(unimportant, i)); i++)
    if (n->kind == YML_SCALAR)
      add_unimportant(m, a, n, seen);
  for (int i = 0; i < a->nschedulers; i++)
    check_params(m, a, a->schedulers[i]);
  map_free(seen);
}

/* ---- rings ---- */

/* Builders come first, then schedulers; an edge says that the first one sets the second one off: a step triggers it, a builder needs it (who asks for one asks for the other), a builder has
   reported it (and that one is never asked for by it), a scheduler asks for it or comes before it. */
struct edges {
  int *to, n, cap;
  int *from; /* of each node: where its edges begin in `to`; one more at the end */
  const struct yml_node **why;
};

static void add_edge(struct edges *e, int to, const struct yml_node *why)
{
  if (e->n == e->cap) {
    e->cap = e->cap ? e->cap * 2 : 64;
    e->to = xrealloc(e->to, (size_t)e->cap * sizeof *e->to);
    e->why = xrealloc(e->why, (size_t)e->cap * sizeof *e->why);
  }
  e->why[e->n] = why;
  e->to[e->n++] = to;
}

static void edges_of_builder(struct maker *m, struct edges *e, const struct pipe_builder *b)
{
  const struct pipeline *p = &m->w->p;

  for (int i = 0; i < b->nneeds; i++)
    if (!str_eq(b->reporter, b->needs[i].name))
      add_edge(e, (int)(b->needs[i].builder - p->builders), NULL);
  for (int i = p->nown; i < p->nbuilders; i++)
    if (!strcmp(p->builders[i].reporter, b->name))
      add_edge(e, i, NULL);
  for (int i = 0; i < b->nsteps; i++) {
    const struct pipe_asks *a = b->steps[i].asks;
    for (int k = 0; a && k < a->nschedulers; k++)
      add_edge(e, p->nbuilders + (int)(a->schedulers[k] - p->schedulers), a->at);
    for (int k = 0; a && k < a->nbuilders; k++)
      add_edge(e, (int)((const struct pipe_builder *)map_get(m->builders, a->builders[k]) - p->builders), a->at);
  }
}

static void edges_of_scheduler(struct maker *m, struct edges *e, const struct pipe_scheduler *s)
{
  const struct pipeline *p = &m->w->p;

  for (int i = 0; i < s->nbuilders; i++)
    add_edge(e, (int)((const struct pipe_builder *)map_get(m->builders, s->builders[i]) - p->builders), NULL);
  for (int i = 0; i < p->nschedulers; i++)
    if (p->schedulers[i].after && !strcmp(p->schedulers[i].after, s->name))
      add_edge(e, p->nbuilders + i, NULL);
}

static const char *node_name(const struct pipeline *p, int at)
{
  return at < p->nbuilders ? p->builders[at].name : p->schedulers[at - p->nbuilders].name;
}

/* path[from] … path[n - 1] and back to path[from]; edge: of each of them, the one that was taken. */
static void tell_ring(struct maker *m, const struct edges *e, const int *path, const int *next, int from, int n)
{
  enum { SHOWN_MAX = 8 };
  const struct yml_node *why = NULL;
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  for (int i = from; i < n; i++) {
    if (i - from < SHOWN_MAX)
      buf_addf(&text, "\"%s\" ▸ ", node_name(&m->w->p, path[i]));
    if (e->why[next[path[i]] - 1])
      why = e->why[next[path[i]] - 1];
  }
  buf_addf(&text, "%s\"%s\"", n - from > SHOWN_MAX ? "… " : "", node_name(&m->w->p, path[from]));
  if (why) /* without a trigger it is a ring of needs or schedulers, told before */
    yml_error(m->d, why, "leave one of them out", "what this triggers would trigger itself, for ever: %s", buf_str(&text));
  buf_free(&text);
}

/* Depth first, to the first ring. next: of each node the edge to look at next; 0: not seen. */
static void find_ring(struct maker *m, const struct edges *e, int all)
{
  int *path = xcalloc((size_t)all + 1, sizeof *path), *next = xcalloc((size_t)all + 1, sizeof *next);
  char *open = xcalloc((size_t)all + 1, 1);
  bool found = false;

  for (int start = 0; start < all && !found; start++) {
    int n = 0;
    if (next[start] || open[start])
      continue;
    path[n++] = start;
    open[start] = 1;
    next[start] = e->from[start];
    while (n && !found) {
      int at = path[n - 1], to;
      if (next[at] == e->from[at + 1]) {
        open[at] = 2;
        n--;
        continue;
      }
      to = e->to[next[at]++];
      if (open[to] == 1) {
        int from = 0;
        while (path[from] != to)
          from++;
        tell_ring(m, e, path, next, from, n);
        found = true;
      } else if (!open[to]) {
        open[to] = 1;
        next[to] = e->from[to];
        path[n++] = to;
      }
    }
  }
  free(path);
  free(next);
  free(open);
}

void pipe_join_triggers(struct maker *m)
{
  struct pipeline *p = &m->w->p;
  int all = p->nbuilders + p->nschedulers, before = diag_count(m->d);
  bool any = false;
  struct edges e = { 0 };

  for (int i = 0; i < p->nbuilders; i++)
    for (int k = 0; k < p->builders[i].nsteps; k++)
      if (p->builders[i].steps[k].asks) {
        any = true;
        join(m, p->builders[i].steps[k].asks);
      }
  if (!any || diag_count(m->d) != before || m->incomplete)
    return;
  e.from = xcalloc((size_t)all + 1, sizeof *e.from);
  for (int i = 0; i < all; i++) {
    if (i < p->nbuilders)
      edges_of_builder(m, &e, &p->builders[i]);
    else
      edges_of_scheduler(m, &e, &p->schedulers[i - p->nbuilders]);
    e.from[i + 1] = e.n;
  }
  find_ring(m, &e, all);
  free(e.from);
  free(e.to);
  free(e.why);
}
