/* What a change causes, and why not. */
#include "master/schedulers/decide.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"
#include "master/conf/expr.h"
#include "master/conf/expr_json.h"
#include "master/schedulers/graph.h"

enum { LIST_BYTES_MAX = 240, TEXT_MAX = 200 }; /* of patterns, of an expression, in a sentence */

static const struct {
  const char *name, *one, *many;
  enum pipe_trigger trigger;
} kinds[CHANGE_KINDS] = {
  [CHANGE_BRANCH] = { "branch", "a branch", "branches", PIPE_ON_CHANGE },
  [CHANGE_TAG] = { "tag", "a tag", "tags", PIPE_ON_TAG },
  [CHANGE_PULL] = { "pull_request", "a pull request", "pull requests", PIPE_ON_PULL },
  [CHANGE_COMMENT] = { .name = "comment", .one = "a comment" },
};

enum change_kind change_kind_of(const char *name)
{
  for (int i = 0; i < CHANGE_KINDS; i++)
    if (!strcmp(kinds[i].name, name))
      return (enum change_kind)i;
  return CHANGE_KINDS;
}

/* The kind that sets it off; CHANGE_KINDS: none does. */
static enum change_kind kind_for(const struct pipe_scheduler *s)
{
  for (int i = 0; i < CHANGE_KINDS; i++)
    if (kinds[i].many && kinds[i].trigger == s->trigger)
      return (enum change_kind)i;
  return CHANGE_KINDS;
}

static bool matches(char *const *globs, int n, const char *text)
{
  for (int i = 0; i < n; i++)
    if (str_glob(globs[i], text))
      return true;
  return false;
}

/* What is left out is an ellipsis; never half a character. */
static void put_cut(struct buf *out, const char *s)
{
  size_t n = strlen(s);

  if (n > TEXT_MAX)
    for (n = TEXT_MAX; n && ((unsigned char)s[n] & 0xc0) == 0x80;)
      n--;
  buf_add(out, s, n);
  buf_adds(out, s[n] ? "…" : "");
}

/* "main, dev"; what does not fit is an ellipsis. */
static void put_list(struct buf *out, char *const *v, int n)
{
  size_t from = out->len;

  for (int i = 0; i < n; i++) {
    if (out->len - from + strlen(v[i]) > LIST_BYTES_MAX) {
      buf_adds(out, i ? ", …" : "…");
      return;
    }
    buf_addf(out, "%s%s", i ? ", " : "", v[i]);
  }
}

/* ---- rules, in the order in which they are asked; true: this one says no ---- */

static bool other_kind(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  if (kinds[c->kind].many && kinds[c->kind].trigger == s->trigger)
    return false;
  v->rule = "kind";
  buf_addf(&v->why, "it builds %s, and this is %s", kinds[kind_for(s)].many, kinds[c->kind].one);
  return true;
}

static bool other_codebase(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  bool in = !s->ncodebases;

  for (int i = 0; i < s->ncodebases && !in; i++)
    in = !strcmp(s->codebases[i], c->codebase);
  if (in)
    return false;
  v->rule = "codebases";
  buf_addf(&v->why, *c->codebase ? "codebase %s is not among " : "it is of no codebase%s, and this wants one of ", c->codebase);
  put_list(&v->why, s->codebases, s->ncodebases);
  return true;
}

/* ---- from: changed ---- */

/* All that the scheduler may ever ask for, where it does not go by what has changed. */
static char **all_of(const struct pipe_scheduler *s, int *n)
{
  char **names = xcalloc((size_t)s->nbuilders + 1, sizeof *names);

  for (*n = 0; *n < s->nbuilders; ++*n)
    names[*n] = s->builders[*n];
  return names;
}

static char **set_off(const struct pipe_scheduler *s, const char *const *codebases, int ncodebases, const char *main, int *n)
{
  char **names = xcalloc((size_t)s->in->nbuilders + 1, sizeof *names);

  *n = pipeline_follow(s->in, s->until, s->nuntil, codebases, ncodebases, main, names);
  return names;
}

char **decide_asked(const struct pipe_scheduler *s, const struct decide_change *c, int *n)
{
  return s->from_changed ? set_off(s, &c->codebase, 1, c->main ? c->main : "", n) : all_of(s, n);
}

/* Nothing is set off only where another codebase became the main one since they were decided: then it is all that the scheduler could mean, so that no change is lost. */
char **decide_asked_together(const struct pipe_scheduler *s, const char *const *codebases, int n, const char *main, int *count)
{
  char **names = s->from_changed ? set_off(s, codebases, n, main, count) : NULL;

  if (names && *count)
    return names;
  free(names);
  return all_of(s, count);
}

static bool nothing_follows(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  char **names;
  int n;

  if (!s->from_changed)
    return false;
  names = decide_asked(s, c, &n);
  free(names);
  if (n)
    return false;
  v->rule = "from";
  buf_addf(&v->why, *c->codebase ? "codebase %s sets nothing off" : "it sets nothing off%s", c->codebase);
  if (s->nuntil) {
    buf_adds(&v->why, " on the way to ");
    put_list(&v->why, s->until, s->nuntil);
  }
  return true;
}

/* Of one that says yes. */
static void say_follows(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  char **names;
  int n;

  if (!s->from_changed)
    return;
  names = decide_asked(s, c, &n);
  buf_adds(&v->why, v->why.len ? "; " : "");
  buf_addf(&v->why, *c->codebase ? "codebase %s sets off " : "it sets off %s", c->codebase);
  put_list(&v->why, names, n);
  free(names);
}

static bool other_branch(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  static const char *const words[] = { [CHANGE_BRANCH] = "branch", [CHANGE_TAG] = "tag", [CHANGE_PULL] = "its target" };

  if (matches(s->branches, s->nbranches, c->branch) || (!s->nbranches && c->kind != CHANGE_TAG))
    return false;
  v->rule = c->kind == CHANGE_TAG ? "tag" : "branches";
  buf_addf(&v->why, "%s %s is not among ", words[c->kind], c->branch);
  put_list(&v->why, s->branches, s->nbranches);
  return true;
}

static bool from_fork(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  (void)s;
  if (c->kind != CHANGE_PULL || !c->fork || c->build_forks)
    return false;
  v->rule = "forks";
  buf_adds(&v->why, "from a fork: waits for approval");
  return true;
}

/* A tag is set on purpose, whatever its commit says. */
static bool skipped(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  static const char *const marks[] = { "[skip ci]", "[ci skip]", "[no ci]", "[skip drover]" };

  if (!s->skip || c->kind == CHANGE_TAG || !strchr(c->message, '['))
    return false;
  for (size_t i = 0; i < COUNT(marks); i++)
    if (strcasestr(c->message, marks[i])) {
      v->rule = "skip";
      buf_addf(&v->why, "the %s says %s", c->kind == CHANGE_PULL ? "title" : "message", marks[i]);
      return true;
    }
  return false;
}

static struct expr_value of_text(const char *s)
{
  return (struct expr_value){ .type = EXPR_TEXT, .text = { s, strlen(s) } };
}

static bool file_list(const struct decide_change *c, struct expr_memory *m, struct expr_value *out)
{
  struct expr_value *items;

  if (!c->whole)
    return false;
  items = expr_take(m, (size_t)(c->nfiles + 1) * sizeof *items);
  for (int i = 0; i < c->nfiles; i++)
    items[i] = of_text(c->files[i]);
  *out = (struct expr_value){ .type = EXPR_LIST, .list = { items, c->nfiles } };
  return true;
}

/* The names of conf/change_names.def. */
static bool value(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  const struct decide_change *c = ctx;
  const struct { const char *name, *text; } texts[] = {
    { "project", c->project }, { "codebase", c->codebase }, { "kind", kinds[c->kind].name }, { "branch", c->kind == CHANGE_TAG ? "" : c->branch }, { "tag", c->kind == CHANGE_TAG ? c->branch : "" },
    { "revision", c->revision }, { "repository", c->repository }, { "author", c->author }, { "committer", c->committer }, { "category", c->category }, { "message", c->message },
  };

  if (n == 2 && !strcmp(path[0], "properties"))
    return expr_of_json(cJSON_GetObjectItemCaseSensitive(c->properties, path[1]), m, out);
  if (n != 1)
    return false;
  if (!strcmp(path[0], "number"))
    return *out = (struct expr_value){ .type = EXPR_NUMBER, .number = c->number }, c->number > 0;
  if (!strcmp(path[0], "files"))
    return file_list(c, m, out);
  for (size_t i = 0; i < COUNT(texts); i++)
    if (!strcmp(path[0], texts[i].name))
      return texts[i].text && *texts[i].text && (*out = of_text(texts[i].text), true);
  return false;
}

static bool not_so(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  struct expr_memory *m;
  struct expr_value x;
  struct expr_error e;
  const char *after = "";
  bool yes = false;

  if (!s->cond)
    return false;
  m = expr_memory_new();
  if (!expr_eval(s->cond, value, (void *)(uintptr_t)c, m, &x, &e))
    after = e.text;
  else if (x.type != EXPR_BOOL && x.type != EXPR_NONE)
    after = "this is neither true nor false";
  else
    yes = expr_true(&x);
  if (!yes) {
    buf_adds(&v->why, *after ? "if: " : "not so: ");
    put_cut(&v->why, s->cond_text);
    buf_addf(&v->why, "%s%s", *after ? ": " : "", after);
  }
  expr_error_free(&e);
  expr_memory_free(m);
  v->rule = yes ? NULL : "if";
  return !yes;
}

/* What the expression comes to for this change, in its bounds. One that can't be reckoned is told, and holds no build up. */
static int priority(const struct pipe_scheduler *s, const struct decide_change *c, struct buf *why)
{
  struct expr_memory *m;
  struct expr_value x;
  struct expr_error e = { 0 };
  int n = PIPELINE_PRIORITY;

  if (!s->priority_of)
    return s->priority;
  m = expr_memory_new();
  if (!expr_eval(s->priority_of, value, (void *)(uintptr_t)c, m, &x, &e) || (x.type != EXPR_NUMBER && x.type != EXPR_NONE))
    buf_addf(why, "%spriority %d, as its expression can't be reckoned: %s", why->len ? "; " : "", n, e.text ? e.text : "this is no number");
  else {
    if (x.type == EXPR_NUMBER)
      n = (int)(x.number < 0 ? 0 : x.number > PIPELINE_PRIORITY_MAX ? PIPELINE_PRIORITY_MAX : x.number);
    buf_addf(why, "%spriority %d", why->len ? "; " : "", n);
  }
  expr_error_free(&e);
  expr_memory_free(m);
  return n;
}

/* ---- files ---- */

static void say_files(const struct pipe_scheduler *s, const struct decide_change *c, int in_only, struct verdict *v)
{
  bool none = s->nonly && !in_only;

  v->rule = none ? "only" : "not_only";
  if (c->nfiles == 1) {
    buf_adds(&v->why, "the file ");
    put_cut(&v->why, c->files[0]);
    buf_adds(&v->why, none ? " is not under " : " is under ");
  } else if (none) {
    buf_addf(&v->why, "none of the %d files is under ", c->nfiles);
  } else if (in_only == c->nfiles) {
    buf_addf(&v->why, "all %d files are under ", c->nfiles);
  } else {
    buf_addf(&v->why, "of %d files only %d count%s (only), and %s under ", c->nfiles, in_only, in_only == 1 ? "s" : "", in_only == 1 ? "it is" : "they are");
  }
  put_list(&v->why, none ? s->only : s->not_only, none ? s->nonly : s->nnot_only);
  buf_addf(&v->why, " (%s)", v->rule);
}

static bool unimportant(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  int in_only = 0, count = 0;

  if (!s->nonly && !s->nnot_only)
    return false;
  if (!c->whole) {
    buf_addf(&v->why, "not all of its files are known, so %s%s%s can't be asked", s->nonly ? "only" : "", s->nonly && s->nnot_only ? " and " : "", s->nnot_only ? "not_only" : "");
    return false;
  }
  for (int i = 0; i < c->nfiles; i++) {
    bool in = !s->nonly || matches(s->only, s->nonly, c->files[i]);
    in_only += in;
    count += in && !matches(s->not_only, s->nnot_only, c->files[i]);
  }
  if (count)
    return false;
  say_files(s, c, in_only, v);
  v->rides = s->stable_ms > 0;
  return true;
}

bool decide_verdict(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v)
{
  static bool (*const rules[])(const struct pipe_scheduler *, const struct decide_change *, struct verdict *) = { other_kind, other_codebase, nothing_follows, other_branch, from_fork, skipped, not_so, unimportant };

  assert(c->kind < CHANGE_KINDS);
  *v = (struct verdict){ .kind = s->stable_ms > 0 ? VERDICT_WAITS : VERDICT_BUILDS };
  buf_init(&v->why, BUF_NO_MAX);
  if (kind_for(s) == CHANGE_KINDS)
    return false;
  for (size_t i = 0; i < COUNT(rules); i++)
    if (rules[i](s, c, v)) {
      v->kind = VERDICT_NO;
      return true;
    }
  say_follows(s, c, v);
  v->priority = priority(s, c, &v->why);
  return true;
}

/* ---- for the database ---- */

static cJSON *needs(const struct pipe_builder *b)
{
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < b->nneeds; i++) {
    cJSON *it = cJSON_CreateObject();
    cJSON_AddStringToObject(it, "name", b->needs[i].name);
    if (b->needs[i].soft)
      cJSON_AddTrueToObject(it, "soft");
    cJSON_AddItemToArray(list, it);
  }
  for (int i = 0; i < b->noutside; i++) {
    cJSON *it = cJSON_CreateObject();
    cJSON_AddStringToObject(it, "name", b->outside[i].name);
    cJSON_AddTrueToObject(it, "outside");
    if (b->outside[i].soft)
      cJSON_AddTrueToObject(it, "soft");
    cJSON_AddItemToArray(list, it);
  }
  return list;
}

static bool any_named(const struct pipeline *p)
{
  for (int i = 0; i < p->nbuilders; i++)
    for (int k = 0; k < p->builders[i].ncodebases; k++)
      if (*p->builders[i].codebases[k])
        return true;
  return false;
}

/* Codebases that a builder checks out, and that what it needs does, each once; "": the main one. NULL: none is named, so that the main one says all. */
static cJSON *codebases(const struct pipeline *p, const struct pipe_builder *b)
{
  char *const one[] = { b->name };
  cJSON *list = cJSON_CreateArray(), *it;
  struct graph_node *nodes;
  int n = graph_closure(p, one, 1, &nodes);
  bool named = false;

  for (int i = 0; i < n; i++)
    for (int k = 0; k < nodes[i].builder->ncodebases; k++) {
      const char *name = nodes[i].builder->codebases[k];
      bool seen = false;
      cJSON_ArrayForEach(it, list)
        seen |= !strcmp(it->valuestring, name);
      if (!seen)
        cJSON_AddItemToArray(list, cJSON_CreateString(name));
      named |= *name != 0;
    }
  free(nodes);
  if (named)
    return list;
  cJSON_Delete(list);
  return NULL;
}

/* s: who asks; NULL: somebody by hand, and there is no priority. */
static cJSON *builders(const struct pipeline *p, char *const *names, int n, const struct pipe_scheduler *s, int priority)
{
  cJSON *list = cJSON_CreateArray();
  struct graph_node *nodes;
  int all = graph_closure(p, names, n, &nodes);

  for (int i = 0; i < all; i++) {
    const struct pipe_builder *b = nodes[i].builder;
    cJSON *it = cJSON_CreateObject(), *sources = any_named(p) ? codebases(p, b) : NULL;
    cJSON_AddStringToObject(it, "name", b->name);
    cJSON_AddItemToObject(it, "tags", b->ntags ? cJSON_CreateStringArray((const char *const *)b->tags, b->ntags) : cJSON_CreateArray());
    if (b->nwants)
      cJSON_AddItemToObject(it, "wants", cJSON_CreateStringArray((const char *const *)b->wants, b->nwants));
    if (b->nlocks) {
      char *locks = pipeline_locks(b->locks, b->nlocks);
      cJSON_AddItemToObject(it, "locks", cJSON_CreateRaw(locks));
      free(locks);
    }
    if (s)
      cJSON_AddNumberToObject(it, "priority", priority);
    if (b->nneeds || b->noutside)
      cJSON_AddItemToObject(it, "needs", needs(b));
    if (sources)
      cJSON_AddItemToObject(it, "codebases", sources);
    if (!nodes[i].asked)
      cJSON_AddTrueToObject(it, "needed");
    if (b->reporter)
      cJSON_AddTrueToObject(it, "reported");
    if (!nodes[i].asked && (b->reporter || (s && s->fresh))) /* of what was reported another time the name says nothing */
      cJSON_AddTrueToObject(it, "fresh");
    cJSON_AddItemToArray(list, it);
  }
  free(nodes);
  return list;
}

/* Schedulers follow each other in no ring (conf/pipe_sched.c), each only one: a tree. */
static cJSON *asked_by(const struct pipeline *p, const struct pipe_scheduler *s, char *const *names, int n, int priority)
{
  cJSON *list = builders(p, names, n, s, priority), *next = NULL, *o;

  for (int i = 0; i < p->nschedulers; i++) {
    const struct pipe_scheduler *t = &p->schedulers[i];
    if (!str_eq(t->after, s->name))
      continue;
    if (!next)
      next = cJSON_CreateArray();
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "scheduler", t->name);
    cJSON_AddItemToObject(o, "builders", asked_by(p, t, t->builders, t->nbuilders, t->priority));
    cJSON_AddItemToArray(next, o);
  }
  if (!next && !s->fail_fast)
    return list;
  o = cJSON_CreateObject();
  cJSON_AddItemToObject(o, "builders", list);
  if (s->fail_fast)
    cJSON_AddTrueToObject(o, "fail_fast");
  if (next)
    cJSON_AddItemToObject(o, "next", next);
  return o;
}

static void print(cJSON *list, struct buf *json)
{
  char *text = cJSON_PrintUnformatted(list);

  buf_adds(json, text);
  free(text);
  cJSON_Delete(list);
}

void decide_builders(const struct pipeline *p, char *const *names, int n, struct buf *json)
{
  print(builders(p, names, n, NULL, 0), json);
}

void decide_scheduler(const struct pipeline *p, const struct pipe_scheduler *s, struct buf *json)
{
  print(asked_by(p, s, s->builders, s->nbuilders, s->priority), json);
}

void decide_waited(const struct pipeline *p, const struct pipe_scheduler *s, const char *const *codebases, int n, const char *main, struct buf *json)
{
  int all;
  char **names = decide_asked_together(s, codebases, n, main, &all);

  print(asked_by(p, s, names, all, s->priority), json);
  free(names);
}

static cJSON *plan_of(const struct pipeline *p, const struct pipe_scheduler *s, const struct decide_change *c, const struct verdict *v)
{
  static const char *const words[] = { [VERDICT_BUILDS] = "builds", [VERDICT_WAITS] = "waits", [VERDICT_NO] = "no" };
  cJSON *it = cJSON_CreateObject();

  cJSON_AddStringToObject(it, "scheduler", s->name);
  cJSON_AddStringToObject(it, "verdict", words[v->kind]);
  if (v->rule)
    cJSON_AddStringToObject(it, "rule", v->rule);
  if (v->why.len)
    cJSON_AddStringToObject(it, "why", buf_str(&v->why));
  if (v->kind == VERDICT_WAITS || v->rides)
    cJSON_AddNumberToObject(it, "stable", (double)s->stable_ms);
  if (v->rides)
    cJSON_AddTrueToObject(it, "rides");
  if (v->kind == VERDICT_BUILDS) {
    int n;
    char **names = decide_asked(s, c, &n);
    cJSON_AddItemToObject(it, "builders", asked_by(p, s, names, n, v->priority));
    free(names);
  }
  if (v->kind != VERDICT_NO && s->supersede)
    cJSON_AddTrueToObject(it, "supersede");
  if (v->kind != VERDICT_NO && s->collapse)
    cJSON_AddNumberToObject(it, "collapse", s->collapse);
  return it;
}

bool decide_plan(const struct pipeline *p, const struct decide_change *c, struct buf *json)
{
  cJSON *list = cJSON_CreateArray();
  bool supersedes = false;

  for (int i = 0; i < p->nschedulers; i++) {
    const struct pipe_scheduler *s = &p->schedulers[i];
    struct verdict v;
    if (decide_verdict(s, c, &v)) {
      cJSON_AddItemToArray(list, plan_of(p, s, c, &v));
      supersedes |= s->supersede && v.kind == VERDICT_BUILDS;
    }
    buf_free(&v.why);
  }
  print(list, json);
  return supersedes;
}
