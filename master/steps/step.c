/* What all step kinds share: the table of kinds, results, moves that are the same in every state, and a command's environment. */
#include "master/steps/step.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/steps/values.h"
#include "proto/records.h"

static const struct step_kind *const kinds[] = { &step_git, &step_svn, &step_hg, &step_shell, &step_trigger };

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

/* One that the build does not know is git's, which says so. */
static enum vcs vcs_for(const struct pipe_step *def, const struct build_ctx *ctx)
{
  const char *name = def->checkout.codebase ? def->checkout.codebase : ctx->main;
  const struct build_stamp *t = ctx->nstamps && name ? build_stamp_of(ctx, name) : NULL;

  return t ? t->vcs : ctx->nstamps ? VCS_GIT : ctx->vcs;
}

const struct step_kind *step_kind_of(const struct pipe_step *def, const struct build_ctx *ctx)
{
  static const struct step_kind *const checkouts[VCS_COUNT] = { [VCS_GIT] = &step_git, [VCS_SVN] = &step_svn, [VCS_SVN_FOLDER] = &step_svn, [VCS_HG] = &step_hg };
  enum vcs vcs;

  if (def->kind != PIPE_CHECKOUT)
    return def->kind == PIPE_TRIGGER ? &step_trigger : &step_shell;
  vcs = vcs_for(def, ctx);
  return vcs < VCS_COUNT ? checkouts[vcs] : &step_svn; /* which refuses what it does not know */
}

bool step_is_checkout(const struct step_kind *k)
{
  return k != &step_shell && k != &step_trigger;
}

const struct step_kind *step_kind_named(const char *name)
{
  for (size_t i = 0; i < COUNT(kinds); i++)
    if (!strcmp(kinds[i]->name, name))
      return kinds[i];
  return NULL;
}

static double number_of(const cJSON *o, const char *name)
{
  const cJSON *it = cJSON_GetObjectItem(o, name);

  return cJSON_IsNumber(it) ? it->valuedouble : 0;
}

enum err step_init(struct step *s, const struct pipe_step *def, struct build_ctx *ctx, const char *kind, const char *state, const char *vars)
{
  int at;

  memset(s, 0, sizeof *s);
  s->def = def;
  s->ctx = ctx;
  s->kind = kind ? step_kind_named(kind) : step_kind_of(def, ctx);
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
    const char *codebase = cJSON_GetStringValue(cJSON_GetObjectItem(json, "codebase"));
    s->retried = cJSON_IsTrue(cJSON_GetObjectItem(json, "retried"));
    s->late = cJSON_IsTrue(cJSON_GetObjectItem(json, "late"));
    s->again = (int)number_of(json, "again");
    s->until_ms = (int64_t)number_of(json, "until");
    if (codebase && strlen(codebase) <= STEP_CODEBASE_MAX)
      strcpy(s->codebase, codebase);
    cJSON_Delete(json);
  }
  return ERR_OK;
}

void step_vars(const struct step *s, struct buf *json)
{
  const char *between = "";

  buf_addc(json, '{');
  if (s->retried)
    buf_adds(json, "\"retried\":true"), between = ",";
  if (s->late)
    buf_addf(json, "%s\"late\":true", between), between = ",";
  if (s->again)
    buf_addf(json, "%s\"again\":%d,\"until\":%" PRId64, between, s->again, s->until_ms), between = ",";
  if (*s->codebase) /* a name: nothing in it means anything to JSON */
    buf_addf(json, "%s\"codebase\":\"%s\"", between, s->codebase);
  buf_addc(json, '}');
}

void step_command(const struct step *s, char out[STEP_COMMAND_MAX])
{
  if (s->again)
    snprintf(out, STEP_COMMAND_MAX, "%.20s (%d)", sm_name(&s->sm), s->again + 1);
  else
    snprintf(out, STEP_COMMAND_MAX, "%.31s", sm_name(&s->sm));
}

/* None where the worker knows none. */
static void put_limits(const struct step *s, struct buf *spec)
{
  struct output_limit most = output_lower(s->ctx->output, s->def->output);

  if (!s->ctx->output.bytes)
    return;
  records_putf(spec, "limit_bytes", "%" PRId64, most.bytes);
  if (most.lines)
    records_putf(spec, "limit_lines", "%" PRId64, most.lines);
}

void step_enter(struct step *s, struct intent *out)
{
  memset(out, 0, sizeof *out);
  buf_init(&out->spec, wire_verbs[VERB_run].blob_max > 0 ? (size_t)wire_verbs[VERB_run].blob_max : 0);
  s->kind->enter(s, out);
  if (out->want == WANT_RUN)
    put_limits(s, &out->spec);
  if (out->want != WANT_OP && out->spec.failed) {
    buf_free(&out->spec);
    out->want = WANT_END;
    out->result = RESULT_EXCEPTION;
    snprintf(out->summary, sizeof out->summary, "%s is larger than %" PRId64 " bytes",
             s->kind == &step_trigger ? "what it triggers" : "the command with its environment", wire_verbs[VERB_run].blob_max);
  }
  if (out->want == WANT_END)
    buf_free(&out->spec);
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

bool step_hidden(struct step *s)
{
  struct build_ctx ctx = *s->ctx;
  struct expr_memory *m;
  struct expr_value v;
  struct expr_error e;
  struct intent end_of;
  bool yes = false;

  if (!s->def->hide)
    return false;
  ctx.so_far = s->result;
  m = expr_memory_new();
  if (!expr_eval(s->def->hide, step_value, &ctx, m, &v, &e))
    end(s, &end_of, RESULT_EXCEPTION, "hide_if: %.100s: %.200s", s->def->hide_text, e.text);
  else if (v.type != EXPR_BOOL && v.type != EXPR_NONE)
    end(s, &end_of, RESULT_EXCEPTION, "hide_if: %.100s: this is neither true nor false", s->def->hide_text);
  else
    yes = expr_true(&v);
  expr_error_free(&e);
  expr_memory_free(m);
  return yes;
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
    end(s, out, s->def->on_lost == PIPE_LOST_FAIL ? RESULT_EXCEPTION : RESULT_RETRY, "lost in %s: %s", state, r->reason);
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
  /* A checkout's commands are drover's own: where they can't be started, or the worker can't look at its own folders, no pipeline is to blame. What takes too long may be the server's fault. */
  s->blames = out->want == WANT_END && out->result == RESULT_EXCEPTION && s->def->kind == PIPE_CHECKOUT && (r->kind == REPLY_BROKEN || r->kind == REPLY_FAILED);
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
  cJSON *json = step_properties(c), *it;

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

const struct build_stamp *build_stamp_of(const struct build_ctx *c, const char *codebase)
{
  for (int i = 0; i < c->nstamps; i++)
    if (!strcmp(c->stamps[i].codebase, codebase))
      return &c->stamps[i];
  return NULL;
}

/* DROVER_REVISION_CORE: the name in capitals, what can't stand in a variable's name as _. */
static void put_stamps(const struct build_ctx *c, struct buf *spec)
{
  for (int i = 0; i < c->nstamps; i++) {
    const struct build_stamp *t = &c->stamps[i];
    char *name = xstrdup(t->codebase);
    for (char *p = name; *p; p++)
      *p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
    records_putf(spec, "env", "DROVER_BRANCH_%s=%s", name, t->branch);
    records_putf(spec, "env", "DROVER_REVISION_%s=%s", name, t->got ? t->got : t->revision);
    free(name);
  }
}

void step_common(const struct build_ctx *c, struct buf *spec)
{
  static const struct { const char *name, *folder; } places[] = { { "HOME", "home" }, { "TMPDIR", "tmp" }, { "DROVER_REPORT", "report" } };
  char path[STEP_PATH_MAX];

  for (size_t i = 0; i < COUNT(places); i++) {
    step_path(c, places[i].folder, path);
    records_put(spec, c->fresh || !strcmp(places[i].folder, "report") ? "fresh" : "mkdir", path); /* each command reports for itself */
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
  put_stamps(c, spec);
  records_putf(spec, "env", "DROVER_CHANGES=%s", c->changes);
  records_putf(spec, "env", "DROVER_CORES=%d", c->cores);
  if (c->url)
    records_putf(spec, "env", "DROVER_URL=%s", c->url);
  put_properties(c, spec);
  records_putf(spec, "grace", "%d", STEP_GRACE_MS);
  records_putf(spec, "alone", "%" PRId64, c->alone_ms);
}
