/* Verdicts anew, beside those of the past. */
#include "master/schedulers/trial.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/schedulers/graph.h"

static const char *text_of(const cJSON *o, const char *key)
{
  const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
  return s ? s : "";
}

static const cJSON *verdict_of(const cJSON *verdicts, const char *scheduler)
{
  const cJSON *v;

  cJSON_ArrayForEach(v, verdicts)
    if (!strcmp(text_of(v, "scheduler"), scheduler))
      return v;
  return NULL;
}

static bool has(const cJSON *names, const char *name)
{
  const cJSON *it;

  cJSON_ArrayForEach(it, names)
    if (str_eq(cJSON_GetStringValue(it), name))
      return true;
  return false;
}

static void add_name(cJSON *names, const char *name)
{
  if (!has(names, name))
    cJSON_AddItemToArray(names, cJSON_CreateString(name));
}

/* It would have built, but for something that the pipeline does not say. */
static bool stopped_by_moment(const cJSON *then)
{
  return !strcmp(text_of(then, "rule"), "supersede") || !strcmp(text_of(then, "rule"), "disabled");
}

static bool builds(const struct verdict *v, const cJSON *then)
{
  if (v->kind == VERDICT_NO)
    return v->rides && then && strcmp(text_of(then, "verdict"), "no");
  return !then || !stopped_by_moment(then);
}

static cJSON *verdict_json(const struct pipe_scheduler *s, char *const *asked, int n, const struct verdict *v, const cJSON *then)
{
  static const char *const words[] = { [VERDICT_BUILDS] = "builds", [VERDICT_WAITS] = "waits", [VERDICT_NO] = "no" };
  cJSON *o = cJSON_CreateObject();

  cJSON_AddStringToObject(o, "scheduler", s->name);
  cJSON_AddStringToObject(o, "verdict", words[v->kind]);
  if (v->rule)
    cJSON_AddStringToObject(o, "rule", v->rule);
  if (v->why.len)
    cJSON_AddStringToObject(o, "why", buf_str(&v->why));
  if (v->kind == VERDICT_WAITS)
    cJSON_AddNumberToObject(o, "stable", (double)s->stable_ms);
  if (v->kind != VERDICT_NO && s->supersede)
    cJSON_AddTrueToObject(o, "supersede");
  if (v->kind != VERDICT_NO && s->collapse)
    cJSON_AddNumberToObject(o, "collapse", s->collapse);
  cJSON_AddItemToObject(o, "builders", cJSON_CreateStringArray((const char *const *)(uintptr_t)asked, n));
  cJSON_AddItemToObject(o, "then", then ? cJSON_CreateString(text_of(then, "verdict")) : cJSON_CreateNull());
  return o;
}

struct past {
  const cJSON *verdicts, *built, *along;
};

/* Those asked for, and what they need. What is only needed and did not run beside those asked for had been built well at that revision before. */
static void add_builders(const struct pipeline *p, char *const *asked, int nasked, const struct past *past, cJSON *would)
{
  struct graph_node *nodes;
  int n = graph_closure(p, asked, nasked, &nodes);
  bool ran = true;

  for (int i = 0; i < n; i++)
    ran &= !nodes[i].asked || has(past->built, nodes[i].builder->name);
  for (int i = 0; i < n; i++)
    if (nodes[i].asked || !ran || has(past->built, nodes[i].builder->name))
      add_name(would, nodes[i].builder->name);
  free(nodes);
}

/* Who follows is set off by a good end, which nobody knows: what ran then counts, where it may still. */
static void add_followers(const struct pipeline *p, const struct pipe_scheduler *s, const struct past *past, cJSON *would)
{
  for (int i = 0; i < p->nschedulers; i++) {
    const struct pipe_scheduler *t = &p->schedulers[i];
    if (!str_eq(t->after, s->name))
      continue;
    for (int k = 0; k < t->nbuilders; k++)
      if (has(past->built, t->builders[k]))
        add_name(would, t->builders[k]);
    add_followers(p, t, past, would);
  }
}

/* What it waited for together with others was built with them, and goes by all of their codebases. */
static char **asked_of(const struct pipe_scheduler *s, const struct decide_change *c, const struct past *past, int *n)
{
  int count = cJSON_GetArraySize(past->along);
  const char **names;
  const cJSON *it;
  char **asked;

  if (!s->from_changed || !s->stable_ms || !count)
    return decide_asked(s, c, n);
  names = xcalloc((size_t)count, sizeof *names);
  count = 0;
  cJSON_ArrayForEach(it, past->along)
    if (cJSON_IsString(it))
      names[count++] = it->valuestring;
  asked = decide_asked_together(s, names, count, c->main, n);
  free(names);
  return asked;
}

static void try_scheduler(const struct pipeline *p, const struct pipe_scheduler *s, const struct decide_change *c, const struct past *past, cJSON *list, cJSON *would)
{
  const cJSON *then = verdict_of(past->verdicts, s->name);
  struct verdict v;
  int n;
  char **asked = asked_of(s, c, past, &n);

  if (decide_verdict(s, c, &v)) {
    cJSON_AddItemToArray(list, verdict_json(s, asked, n, &v, then));
    if (builds(&v, then)) {
      add_builders(p, asked, n, past, would);
      add_followers(p, s, past, would);
    }
  }
  buf_free(&v.why);
  free(asked);
}

/* Schedulers that are no more. */
static void try_gone(const struct pipeline *p, const cJSON *verdicts, cJSON *list)
{
  const cJSON *v;

  cJSON_ArrayForEach(v, verdicts) {
    cJSON *o;
    if (!strcmp(text_of(v, "verdict"), "no") || (p && pipeline_scheduler(p, text_of(v, "scheduler"))))
      continue;
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "scheduler", text_of(v, "scheduler"));
    cJSON_AddStringToObject(o, "verdict", "no");
    cJSON_AddStringToObject(o, "rule", "gone");
    cJSON_AddStringToObject(o, "why", "there is no such scheduler any more");
    cJSON_AddItemToObject(o, "builders", cJSON_CreateArray());
    cJSON_AddStringToObject(o, "then", text_of(v, "verdict"));
    cJSON_AddItemToArray(list, o);
  }
}

/* Those of a that are not in b. */
static cJSON *without(const cJSON *a, const cJSON *b)
{
  cJSON *list = cJSON_CreateArray();
  const cJSON *it;

  cJSON_ArrayForEach(it, a)
    if (!has(b, it->valuestring))
      cJSON_AddItemToArray(list, cJSON_CreateString(it->valuestring));
  return list;
}

cJSON *trial_change(const struct pipeline *p, const struct decide_change *c, const cJSON *verdicts, const cJSON *built, const cJSON *along)
{
  cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "verdicts"), *would = cJSON_AddArrayToObject(o, "would"), *did = cJSON_AddArrayToObject(o, "did");
  const struct past past = { verdicts, built, along };
  const cJSON *it;

  for (int i = 0; p && i < p->nschedulers; i++)
    try_scheduler(p, &p->schedulers[i], c, &past, list, would);
  try_gone(p, verdicts, list);
  cJSON_ArrayForEach(it, built)
    if (cJSON_IsString(it))
      add_name(did, it->valuestring);
  cJSON_AddItemToObject(o, "added", without(would, did));
  cJSON_AddItemToObject(o, "dropped", without(did, would));
  return o;
}
