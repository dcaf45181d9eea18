/* The step `trigger`: asks for builds of others, and waits for them where it is told to. What it asks for is made in the transaction that leaves `ask` (the SQL function step_trigger), so
   a build in the database is never there; in `wait` nothing is asked of the worker, and the build holds no slot of it (dispatch/waits.c).

     ask ─▶ wait ─▶ done      sleeps in: wait
      └──────────────▲        ask, wait ─▶ failed */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "common/utf8.h"
#include "master/changes/githelper.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/graph.h"
#include "master/steps/report.h"
#include "master/steps/step.h"
#include "master/steps/values.h"

enum { TRIGGER_ASK, TRIGGER_WAIT, TRIGGER_DONE, TRIGGER_FAIL, TRIGGER_COUNT };
enum { REASON_MAX = 1000 };

static const struct sm_row rows[TRIGGER_COUNT] = {
  [TRIGGER_ASK] = { "ask", SM_TO(TRIGGER_WAIT) | SM_TO(TRIGGER_DONE) | SM_TO(TRIGGER_FAIL) },
  [TRIGGER_WAIT] = { "wait", SM_TO(TRIGGER_DONE) | SM_TO(TRIGGER_FAIL) },
  [TRIGGER_DONE] = { "done", 0 },
  [TRIGGER_FAIL] = { "failed", 0 },
};

/* Cut between two characters. */
static void copy_summary(char to[sizeof ((struct intent *)NULL)->summary], const char *text)
{
  size_t n = utf8_cut(text, sizeof ((struct intent *)NULL)->summary - 1);

  memcpy(to, text, n);
  to[n] = 0;
}

printf_like(2, 3) static void refuse(struct intent *out, const char *fmt, ...)
{
  va_list ap;

  char *text;

  out->want = WANT_END;
  out->result = RESULT_EXCEPTION;
  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  copy_summary(out->summary, text);
  free(text);
}

/* ---- what it hands on ---- */

static cJSON *json_of(const struct expr_value *v)
{
  cJSON *list;
  char *text;

  switch (v->type) {
  case EXPR_BOOL:
    return cJSON_CreateBool(v->yes);
  case EXPR_NUMBER:
    return cJSON_CreateNumber((double)v->number);
  case EXPR_LIST:
    list = cJSON_CreateArray();
    for (int i = 0; i < v->list.n; i++)
      cJSON_AddItemToArray(list, json_of(&v->list.v[i]));
    return list;
  case EXPR_TEXT:
    text = xstrndup(v->text.s, v->text.len);
    list = cJSON_CreateString(text);
    free(text);
    return list;
  default:
    return cJSON_CreateNull();
  }
}

/* A text of the definition with what its expressions are now. NULL: *out is the step's end. */
static cJSON *made(const struct step *s, struct intent *out, const char *name, const char *text, const struct interp *t)
{
  struct expr_memory *m;
  struct expr_value v;
  struct expr_error e;
  cJSON *json = NULL;

  if (!t)
    return cJSON_CreateString(text);
  m = expr_memory_new();
  if (interp_eval(t, step_value, s->ctx, m, &v, &e))
    json = json_of(&v);
  else
    refuse(out, "%s: %s: %s", name, text, e.text);
  expr_error_free(&e);
  expr_memory_free(m);
  return json;
}

static char *made_text(const struct step *s, struct intent *out, const char *name, const char *text, const struct interp *t)
{
  cJSON *json = made(s, out, name, text, t);
  char *made_of = !json ? NULL : cJSON_IsString(json) ? xstrdup(json->valuestring) : cJSON_PrintUnformatted(json);

  cJSON_Delete(json);
  return made_of;
}

/* What is copied, and over it what the step says. NULL: *out is the step's end. */
static cJSON *properties(const struct step *s, struct intent *out)
{
  const struct pipe_asks *a = s->def->asks;
  cJSON *props = cJSON_CreateObject();

  for (int i = 0; i < a->ncopy; i++) {
    cJSON *it = step_property(s->ctx, a->copy[i]);
    if (it)
      cJSON_AddItemToObject(props, a->copy[i], it);
  }
  for (int i = 0; i < a->nwith; i++) {
    cJSON *it = made(s, out, a->with[i].name, a->with[i].value, a->with[i].text);
    if (!it) {
      cJSON_Delete(props);
      return NULL;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(props, a->with[i].name);
    cJSON_AddItemToObject(props, a->with[i].name, it);
  }
  return props;
}

/* ---- what it asks for ---- */

static bool listed(char *const *v, int n, const char *name)
{
  for (int i = 0; i < n; i++)
    if (!strcmp(v[i], name))
      return true;
  return false;
}

/* Builders whose results don't count: those that are asked for only by what is unimportant. */
static cJSON *unimportant(const struct pipe_asks *a, char *const *names, int n, bool all)
{
  cJSON *list = cJSON_CreateArray();
  char **count = xcalloc((size_t)n + 1, sizeof *count);
  struct graph_node *every, *counting;
  int ncount = 0, nevery, ncounting;

  for (int i = 0; i < n && !all; i++)
    if (!listed(a->unimportant, a->nunimportant, names[i]))
      count[ncount++] = names[i];
  nevery = graph_closure(a->in, names, n, &every);
  ncounting = graph_closure(a->in, count, ncount, &counting);
  for (int i = 0; i < nevery; i++) {
    bool counts = false;
    for (int k = 0; k < ncounting && !counts; k++)
      counts = counting[k].builder == every[i].builder;
    if (!counts)
      cJSON_AddItemToArray(list, cJSON_CreateString(every[i].builder->name));
  }
  free(every);
  free(counting);
  free(count);
  return list;
}

/* One buildset, for step_trigger. scheduler: or NULL. props: taken over. */
static void add_set(cJSON *list, const struct pipe_asks *a, const struct pipe_scheduler *scheduler, cJSON *props)
{
  cJSON *o = cJSON_CreateObject();
  struct buf builders;

  buf_init(&builders, BUF_NO_MAX);
  if (scheduler)
    decide_scheduler(a->in, scheduler, &builders);
  else
    decide_builders(a->in, a->builders, a->nbuilders, &builders);
  if (scheduler)
    cJSON_AddStringToObject(o, "scheduler", scheduler->name);
  cJSON_AddItemToObject(o, "builders", cJSON_CreateRaw(buf_str(&builders)));
  cJSON_AddItemToObject(o, "properties", props);
  if (a->nunimportant && scheduler)
    cJSON_AddItemToObject(o, "unimportant", unimportant(a, scheduler->builders, scheduler->nbuilders, listed(a->unimportant, a->nunimportant, scheduler->name)));
  else if (a->nunimportant)
    cJSON_AddItemToObject(o, "unimportant", unimportant(a, a->builders, a->nbuilders, false));
  cJSON_AddItemToArray(list, o);
  buf_free(&builders);
}

/* Its properties by the scheduler's parameters. NULL: *out is the step's end. */
static cJSON *by_params(struct intent *out, const struct pipe_scheduler *s, const cJSON *props)
{
  char *whose = xasprintf("scheduler %s", s->name), *help;
  struct buf json, why;
  cJSON *typed = NULL;

  buf_init(&json, BUF_NO_MAX);
  buf_init(&why, BUF_NO_MAX);
  if (params_read(s->params, s->nparams, whose, props, &json, &why, &help))
    typed = cJSON_Parse(buf_str(&json));
  else
    refuse(out, "%s", buf_str(&why));
  free(help);
  free(whose);
  buf_free(&json);
  buf_free(&why);
  return typed;
}

static cJSON *sets(const struct step *s, struct intent *out)
{
  const struct pipe_asks *a = s->def->asks;
  cJSON *list = cJSON_CreateArray(), *props = properties(s, out);

  for (int i = 0; i < a->nschedulers && props; i++) {
    cJSON *typed = by_params(out, a->schedulers[i], props);
    if (typed) {
      add_set(list, a, a->schedulers[i], typed);
    } else {
      cJSON_Delete(props);
      props = NULL;
    }
  }
  if (a->nbuilders && props)
    add_set(list, a, NULL, cJSON_Duplicate(props, true));
  if (!props) {
    cJSON_Delete(list);
    return NULL;
  }
  cJSON_Delete(props);
  return list;
}

/* What is asked for elsewhere, for step_trigger_abroad: of each project those that count, and those that don't. */
static cJSON *abroad(const struct step *s, const char *branch, const cJSON *props)
{
  const struct pipe_asks *a = s->def->asks;
  cJSON *list = cJSON_CreateArray();

  for (int i = 0; i < a->noutside; i++) {
    const struct pipe_outside *o = &a->outside[i];
    const char *project = *o->project ? o->project : s->ctx->project;
    cJSON *it, *found = NULL;
    cJSON_ArrayForEach(it, list)
      if (str_eq(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "project")), project) && o->soft == !!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(it, "unimportant")))
        found = it;
    if (!found) {
      cJSON_AddItemToArray(list, found = cJSON_CreateObject());
      cJSON_AddStringToObject(found, "project", project);
      cJSON_AddArrayToObject(found, "builders");
      if (branch)
        cJSON_AddStringToObject(found, "branch", branch);
      cJSON_AddItemToObject(found, "properties", cJSON_Duplicate(props, true));
      cJSON_AddBoolToObject(found, "unimportant", o->soft);
    }
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(found, "builders"), cJSON_CreateString(o->builder));
  }
  return list;
}

/* False: *out is the step's end. */
static bool add_abroad(const struct step *s, struct intent *out, cJSON *spec)
{
  const struct pipe_asks *a = s->def->asks;
  char *branch = a->branch ? made_text(s, out, "branch", a->branch, a->branch_text) : NULL;
  cJSON *props = NULL;

  if (out->want == WANT_ASK && branch && !gith_is_branch(branch))
    refuse(out, "branch: this is no branch: %s", branch);
  if (out->want == WANT_ASK && (s->ctx->patch || s->ctx->fork))
    refuse(out, "builds of %s trigger no others of other projects or branches", s->ctx->patch ? "patches that are tried" : "pull requests from forks");
  if (out->want == WANT_ASK)
    props = properties(s, out);
  if (props)
    cJSON_AddItemToObject(spec, "abroad", abroad(s, branch, props));
  cJSON_Delete(props);
  free(branch);
  return props != NULL;
}

/* ---- which revisions ---- */

/* What stands for one codebase: {"rule"} or {"revision", "branch", "why"}. NULL with *out as it was: as in the build's set; else the step's end. */
static cJSON *stamp(const struct step *s, struct intent *out, const struct env_var *v, const char *word)
{
  const struct build_stamp *t = build_stamp_of(s->ctx, v->name);
  enum pipe_stamp what = pipe_stamp_of(word);
  const char *revision = word, *branch = "", *by = s->def->name;
  char *why;
  cJSON *o;

  if (!t) {
    refuse(out, "stamps: the build has no codebase \"%.80s\"", v->name);
    return NULL;
  }
  if (what == PIPE_STAMP_SAME)
    return NULL;
  if (what == PIPE_STAMP_DERIVED && !t->derived) {
    refuse(out, "stamps: no step before has reported a stamp of %s", v->name);
    return NULL;
  }
  if (what == PIPE_STAMP_WORDS && !report_is_revision(t->vcs, word)) {
    refuse(out, "stamps: %s: this is no whole revision: %.100s", v->name, word);
    return NULL;
  }
  o = cJSON_CreateObject();
  if (what != PIPE_STAMP_WORDS && what != PIPE_STAMP_DERIVED) {
    cJSON_AddStringToObject(o, "rule", word);
    return o;
  }
  if (what == PIPE_STAMP_DERIVED)
    revision = t->derived, branch = t->derived_branch, by = t->derived_by;
  else if (vcs_is_svn(t->vcs))
    branch = t->branch;
  why = xasprintf("%s by %s/%s/%" PRId64 ":%s", what == PIPE_STAMP_DERIVED ? "derived" : "asked for", s->ctx->project, s->ctx->builder, s->ctx->number, by);
  cJSON_AddStringToObject(o, "revision", revision);
  cJSON_AddStringToObject(o, "branch", branch);
  cJSON_AddStringToObject(o, "why", why);
  free(why);
  return o;
}

/* Of the codebases that are not as in the build's set. NULL: *out is the step's end. */
static cJSON *stamps(const struct step *s, struct intent *out)
{
  const struct pipe_asks *a = s->def->asks;
  cJSON *all = cJSON_CreateObject();

  if (a->nstamps && !s->ctx->nstamps)
    refuse(out, "stamps: the project has one repository; say `revision`");
  for (int i = 0; i < a->nstamps && out->want == WANT_ASK; i++) {
    char *word = made_text(s, out, "stamps", a->stamps[i].value, a->stamps[i].text);
    cJSON *one = word ? stamp(s, out, &a->stamps[i], word) : NULL;
    if (one)
      cJSON_AddItemToObject(all, a->stamps[i].name, one);
    free(word);
  }
  if (out->want == WANT_ASK && all->child && (s->ctx->patch || s->ctx->fork))
    refuse(out, "stamps: builds of %s trigger others of their own set only", s->ctx->patch ? "patches that are tried" : "pull requests from forks");
  if (out->want == WANT_ASK)
    return all;
  cJSON_Delete(all);
  return NULL;
}

/* {"wait": …, "reason": …, "revision": …, "stamps": {…}, "sets": […], "abroad": […]} into out's spec. */
static void ask(const struct step *s, struct intent *out)
{
  const struct pipe_asks *a = s->def->asks;
  char *revision = NULL, *reason = NULL, *text;
  cJSON *o = cJSON_CreateObject(), *list = NULL, *at = NULL;

  out->want = WANT_ASK;
  if (a->revision)
    revision = made_text(s, out, "revision", a->revision, a->revision_text);
  if (out->want == WANT_ASK && revision && !gith_is_revision_of(s->ctx->vcs, revision))
    refuse(out, "revision: this is no revision: %s", revision);
  if (out->want == WANT_ASK && revision && (s->ctx->patch || s->ctx->fork))
    refuse(out, "revision: builds of %s trigger others at their own revision only", s->ctx->patch ? "patches that are tried" : "pull requests from forks");
  if (out->want == WANT_ASK)
    reason = a->reason ? made_text(s, out, "reason", a->reason, a->reason_text)
                       : xasprintf("triggered by %s/%s/%" PRId64 ":%s", s->ctx->project, s->ctx->builder, s->ctx->number, s->def->name);
  if (out->want == WANT_ASK && (at = stamps(s, out)))
    list = sets(s, out);
  if (list && a->noutside && !add_abroad(s, out, o)) {
    cJSON_Delete(list);
    list = NULL;
  }
  if (list) {
    cJSON_AddBoolToObject(o, "wait", a->wait);
    reason[utf8_cut(reason, REASON_MAX)] = 0;
    cJSON_AddStringToObject(o, "reason", reason);
    if (revision)
      cJSON_AddStringToObject(o, "revision", revision);
    if (at->child) {
      cJSON_AddItemToObject(o, "stamps", at);
      at = NULL;
    }
    cJSON_AddItemToObject(o, "sets", list);
    text = cJSON_PrintUnformatted(o);
    buf_adds(&out->spec, text);
    free(text);
  }
  cJSON_Delete(o);
  cJSON_Delete(at);
  free(revision);
  free(reason);
}

/* ---- the machine ---- */

static void enter(struct step *s, struct intent *out)
{
  switch (s->sm.state) {
  case TRIGGER_ASK:
    ask(s, out);
    return;
  case TRIGGER_WAIT:
    out->want = WANT_OTHERS;
    return;
  default:
    out->want = WANT_END;
    out->result = s->result;
    memcpy(out->summary, s->summary, sizeof out->summary);
    return;
  }
}

/* The worst of theirs (r->code; below 0: nothing was asked for, all of it is disabled) as this step's. What was left out is no success, and a build that was lost too often no reason to try
   this one again. */
static enum result result_of(int worst)
{
  if (worst < 0)
    return RESULT_SKIPPED;
  return worst == RESULT_SKIPPED ? RESULT_FAILURE : worst == RESULT_RETRY || worst >= RESULT_COUNT ? RESULT_EXCEPTION : (enum result)worst;
}

static int got(struct step *s, const struct reply *r)
{
  copy_summary(s->summary, r->detail);
  if (r->kind != REPLY_OK) {
    s->result = RESULT_EXCEPTION;
    return TRIGGER_FAIL;
  }
  if (s->sm.state == TRIGGER_ASK && s->def->asks->wait)
    return TRIGGER_WAIT;
  s->result = s->sm.state == TRIGGER_ASK ? RESULT_SUCCESS : result_of(r->code);
  return s->result == RESULT_SUCCESS || s->result == RESULT_WARNINGS || s->result == RESULT_SKIPPED ? TRIGGER_DONE : TRIGGER_FAIL;
}

static int begin(struct step *s)
{
  (void)s;
  return TRIGGER_ASK;
}

const struct step_kind step_trigger = { "trigger", rows, TRIGGER_COUNT, begin, enter, got, false };
