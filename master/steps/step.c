/* What all step kinds share: the table of kinds, results, moves that are the same in every state, and a command's environment. */
#include "master/steps/step.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/steps/values.h"
#include "proto/records.h"

static const struct step_kind *const kinds[] = { &step_git, &step_shell };

static const struct { const char *text; int rank; } results[RESULT_COUNT] = {
  [RESULT_SKIPPED] = { "skipped", 0 },     [RESULT_SUCCESS] = { "success", 1 }, [RESULT_WARNINGS] = { "warnings", 2 },
  [RESULT_FAILURE] = { "failure", 3 },     [RESULT_EXCEPTION] = { "exception", 4 }, [RESULT_RETRY] = { "retry", 5 },
  [RESULT_CANCELLED] = { "cancelled", 6 } };

const char *result_text(int result)
{
  return result >= 0 && result < RESULT_COUNT ? results[result].text : "unknown";
}

enum result result_worse(enum result a, enum result b)
{
  return results[a].rank >= results[b].rank ? a : b;
}

const struct step_kind *step_kind_of(const struct pipe_step *def)
{
  return def->kind == PIPE_CHECKOUT ? &step_git : &step_shell;
}

const struct step_kind *step_kind_named(const char *name)
{
  for (size_t i = 0; i < COUNT(kinds); i++)
    if (!strcmp(kinds[i]->name, name))
      return kinds[i];
  return NULL;
}

enum err step_init(struct step *s, const struct pipe_step *def, struct build_ctx *ctx, const char *kind, const char *state, const char *vars)
{
  int at;

  memset(s, 0, sizeof *s);
  s->def = def;
  s->ctx = ctx;
  s->kind = kind ? step_kind_named(kind) : step_kind_of(def);
  if (!s->kind)
    return ERR_UNKNOWN;
  at = state ? sm_find(s->kind->rows, s->kind->count, state) : s->kind->begin(s);
  if (at < 0)
    return ERR_UNKNOWN;
  sm_init(&s->sm, s->kind->name, s->kind->rows, s->kind->count, at);
  if (state)
    s->result = RESULT_EXCEPTION; /* results are no variables: a stored `failed` must not read as a success */
  if (vars && *vars) {
    cJSON *json = cJSON_Parse(vars);
    s->retried = cJSON_IsTrue(cJSON_GetObjectItem(json, "retried"));
    cJSON_Delete(json);
  }
  return ERR_OK;
}

void step_vars(const struct step *s, struct buf *json)
{
  buf_adds(json, s->retried ? "{\"retried\":true}" : "{}");
}

void step_enter(struct step *s, struct intent *out)
{
  memset(out, 0, sizeof *out);
  buf_init(&out->spec, wire_verbs[VERB_run].blob_max > 0 ? (size_t)wire_verbs[VERB_run].blob_max : 0);
  s->kind->enter(s, out);
  if (out->want == WANT_RUN && out->spec.failed) {
    buf_free(&out->spec);
    out->want = WANT_END;
    out->result = RESULT_EXCEPTION;
    snprintf(out->summary, sizeof out->summary, "the command with its environment is larger than %" PRId64 " bytes",
             wire_verbs[VERB_run].blob_max);
  }
  if (out->want == WANT_END) {
    s->result = out->result;
    memcpy(s->summary, out->summary, sizeof s->summary);
  }
}

static void end(struct step *s, struct intent *out, enum result result, const char *fmt, ...) printf_like(4, 5);
static void end(struct step *s, struct intent *out, enum result result, const char *fmt, ...)
{
  va_list ap;

  memset(out, 0, sizeof *out);
  out->want = WANT_END;
  out->result = result;
  va_start(ap, fmt);
  vsnprintf(out->summary, sizeof out->summary, fmt, ap);
  va_end(ap);
  s->result = result;
  memcpy(s->summary, out->summary, sizeof s->summary);
}

bool step_wanted(struct step *s, struct intent *out)
{
  struct expr_memory *m;
  struct expr_value v;
  struct expr_error e;
  bool known, yes = true;

  if (!s->def->cond)
    return true;
  m = expr_memory_new();
  known = expr_eval(s->def->cond, step_value, s->ctx, m, &v, &e);
  if (!known)
    end(s, out, RESULT_EXCEPTION, "if: %.100s: %.200s", s->def->cond_text, e.text);
  else if (v.type != EXPR_BOOL && v.type != EXPR_NONE)
    known = false, end(s, out, RESULT_EXCEPTION, "if: %.100s: this is neither true nor false", s->def->cond_text);
  else if (!(yes = expr_true(&v)))
    end(s, out, RESULT_SKIPPED, "not so: %.200s", s->def->cond_text);
  expr_error_free(&e);
  expr_memory_free(m);
  return known && yes;
}

void step_refuse(struct step *s, const char *why, struct intent *out)
{
  end(s, out, RESULT_EXCEPTION, "%s", why);
}

void step_got(struct step *s, const struct reply *r, struct intent *out)
{
  const char *state = sm_name(&s->sm);

  switch (r->kind) {
  case REPLY_CANCELLED:
    end(s, out, RESULT_CANCELLED, "cancelled in %s", state);
    return;
  case REPLY_LOST:
    end(s, out, RESULT_RETRY, "lost in %s: %s", state, r->reason);
    return;
  case REPLY_REFUSED:
    step_refuse(s, r->detail, out);
    return;
  case REPLY_OK:
  case REPLY_FAILED:
  case REPLY_NOTFOUND:
  case REPLY_TIMEOUT:
  case REPLY_BROKEN:
    break;
  }
  sm_move(&s->sm, s->kind->got(s, r));
  step_enter(s, out);
}

void intent_free(struct intent *i)
{
  buf_free(&i->spec);
}

void step_folder(const char *project, const char *builder, int slot, char out[STEP_PATH_MAX])
{
  int n = snprintf(out, STEP_PATH_MAX, "%s/%s/%d", project, builder, slot);
  assert(n > 0 && n < STEP_PATH_MAX); /* a project's name is at most 64 long, a builder's PIPELINE_BUILDER_MAX */
  for (char *p = out + strlen(project); *p; p++)
    if (*p == '[' || *p == ',')
      *p = '@';
    else if (*p == ']')
      memmove(p, p + 1, strlen(p)), p--;
}

void step_path(const struct build_ctx *c, const char *what, char out[STEP_PATH_MAX])
{
  size_t n;

  step_folder(c->project, c->builder, c->slot, out);
  n = strlen(out);
  assert(n + 1 + strlen(what) < STEP_PATH_MAX);
  out[n] = '/';
  strcpy(out + n + 1, what);
}

static void put_properties(const struct build_ctx *c, struct buf *spec)
{
  cJSON *json = cJSON_Parse(c->properties ? c->properties : "{}"), *it;

  if (!cJSON_IsObject(json)) { /* members of anything else have no names */
    cJSON_Delete(json);
    return;
  }
  cJSON_ArrayForEach(it, json) {
    char name[96];
    char number[32];
    const char *value = cJSON_IsString(it) ? it->valuestring : cJSON_IsBool(it) ? cJSON_IsTrue(it) ? "true" : "false" : cJSON_IsNumber(it) ? number : NULL;
    if (cJSON_IsNumber(it))
      snprintf(number, sizeof number, "%.15g", it->valuedouble);
    if (!value || strspn(it->string, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != strlen(it->string))
      continue;
    snprintf(name, sizeof name, "DROVER_PROPERTY_%.64s", it->string);
    records_putf(spec, "env", "%s=%s", name, value);
  }
  cJSON_Delete(json);
}

void step_common(const struct build_ctx *c, struct buf *spec)
{
  static const struct { const char *name, *folder; } places[] = { { "HOME", "home" }, { "TMPDIR", "tmp" }, { "DROVER_REPORT", "report" } };
  char path[STEP_PATH_MAX];

  for (size_t i = 0; i < COUNT(places); i++) {
    step_path(c, places[i].folder, path);
    records_put(spec, c->fresh ? "fresh" : "mkdir", path);
    records_putf(spec, "path", "%s=%s", places[i].name, path);
  }
  records_put(spec, "env", "LANG=C.UTF-8");
  records_put(spec, "env", "CI=true");
  records_putf(spec, "env", "DROVER_PROJECT=%s", c->project);
  records_putf(spec, "env", "DROVER_BUILDER=%s", c->builder);
  records_putf(spec, "env", "DROVER_BUILD=%s/%s/%" PRId64, c->project, c->builder, c->number);
  records_putf(spec, "env", "DROVER_BRANCH=%s", c->branch);
  if (c->tag)
    records_putf(spec, "env", "DROVER_TAG=%s", c->tag);
  if (c->pull_request)
    records_putf(spec, "env", "DROVER_PULL_REQUEST=%" PRId64, c->pull_request);
  records_putf(spec, "env", "DROVER_REVISION=%s", c->got_revision ? c->got_revision : c->revision);
  records_putf(spec, "env", "DROVER_CHANGES=%s", c->changes);
  records_putf(spec, "env", "DROVER_CORES=%d", c->cores);
  if (c->url)
    records_putf(spec, "env", "DROVER_URL=%s", c->url);
  put_properties(c, spec);
  records_putf(spec, "grace", "%d", STEP_GRACE_MS);
  records_putf(spec, "alone", "%" PRId64, c->alone_ms);
}
