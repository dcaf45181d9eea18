/* The step `run`: one command, its exit status is the result. One that takes locks waits for them first; one that failed may be tried again, and has them meanwhile.

     locks ─▶ run ─▶ done, failed      sleeps in: locks, run, wait
               ▲└──▶ wait
               └──────┘ */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/steps/outcome.h"
#include "master/steps/step.h"
#include "master/steps/values.h"
#include "proto/records.h"

enum { SHELL_LOCKS, SHELL_RUN, SHELL_WAIT, SHELL_DONE, SHELL_FAIL, SHELL_COUNT };

static const struct sm_row rows[SHELL_COUNT] = {
  [SHELL_LOCKS] = { "locks", SM_TO(SHELL_RUN) },
  [SHELL_RUN] = { "run", SM_TO(SHELL_WAIT) | SM_TO(SHELL_DONE) | SM_TO(SHELL_FAIL) },
  [SHELL_WAIT] = { "wait", SM_TO(SHELL_RUN) },
  [SHELL_DONE] = { "done", 0 },
  [SHELL_FAIL] = { "failed", 0 },
};

static bool put_input(const struct step *s, struct intent *out)
{
  const struct pipe_step *d = s->def;

  for (int i = 0; i < d->ninput; i++)
    if (!d->input[i].text)
      records_put(&out->spec, "stdin_secret", d->input[i].secret);
    else if (!step_put_text(s->ctx, out, "stdin", NULL, d->input[i].text, d->input[i].made))
      return false;
  if (d->input_open)
    records_put(&out->spec, "input", "open");
  if (d->pty_cols)
    records_putf(&out->spec, "pty", "%dx%d", d->pty_cols, d->pty_rows);
  return true;
}

static void put_command(const struct step *s, struct intent *out)
{
  struct buf *spec = &out->spec;
  const struct pipe_step *d = s->def;
  int64_t total = d->total_ms;
  char path[STEP_PATH_MAX];

  if (s->late && (!total || total > STEP_LATE_MS))
    total = STEP_LATE_MS;
  if (d->argv) {
    for (int i = 0; d->argv[i]; i++)
      if (!step_put_text(s->ctx, out, "arg", NULL, d->argv[i], d->args ? d->args[i] : NULL))
        return;
  } else {
    static const char *const sh[] = { "sh", "-euc", NULL }, *const bash[] = { "bash", "-euo", "pipefail", "-c", NULL };
    for (const char *const *word = d->bash ? bash : sh; *word; word++)
      records_put(spec, "arg", *word);
    records_put(spec, "arg", d->script);
  }
  step_common(s->ctx, spec);
  if (s->ctx->reports) {
    step_path(s->ctx, "report", path);
    records_put(spec, "report", path);
  }
  records_putf(spec, "env", "DROVER_STEP=%s", d->name);
  if (!step_put_env(s, out))
    return;
  if (!put_input(s, out))
    return;
  for (int i = 0; i < d->nsecrets && d->secrets[i].env; i++) /* names: the values go their own way */
    records_putf(spec, d->secrets[i].file ? "secret_file" : "secret", "%s=%s", d->secrets[i].env, d->secrets[i].name);
  step_path(s->ctx, "tree", path);
  records_putf(spec, "cwd", d->cwd ? "%s/%s" : "%s", path, d->cwd);
  for (int i = 0; i < d->nlogs && s->ctx->logs; i++)
    records_putf(spec, "log", d->cwd ? "%s=%s/%s/%s" : "%s=%s/%.0s%s", d->logs[i].name, path, d->cwd ? d->cwd : "", d->logs[i].place);
  if (total)
    records_putf(spec, "total", "%" PRId64, total);
  if (d->idle_ms)
    records_putf(spec, "idle", "%" PRId64, d->idle_ms);
}

/* What is left of the wait: at most all of it, whatever the clock did meanwhile. */
static int64_t left(const struct step *s)
{
  int64_t ms = s->until_ms - s->ctx->now_ms;

  return ms < 0 ? 0 : ms > s->def->retry.wait_ms ? s->def->retry.wait_ms : ms;
}

static void enter(struct step *s, struct intent *out)
{
  switch (s->sm.state) {
  case SHELL_LOCKS:
    out->want = WANT_LOCKS;
    return;
  case SHELL_RUN:
    out->want = WANT_RUN;
    put_command(s, out);
    return;
  case SHELL_WAIT:
    out->want = WANT_WAIT;
    out->wait_ms = left(s);
    return;
  default:
    out->want = WANT_END;
    out->result = s->result;
    memcpy(out->summary, s->summary, sizeof out->summary);
    return;
  }
}

/* Of a command that succeeded: whether it warned too often, or at all. */
static enum result with_warnings(struct step *s)
{
  int64_t n = s->ctx->warnings, limit = s->def->warnings_limit;

  if (!s->def->warnings || !n)
    return RESULT_SUCCESS;
  if (limit >= 0 && n > limit) {
    snprintf(s->summary, sizeof s->summary, "%" PRId64 " warnings, more than %" PRId64, n, limit);
    return RESULT_FAILURE;
  }
  snprintf(s->summary, sizeof s->summary, "%" PRId64 " warning%s", n, n == 1 ? "" : "s");
  return RESULT_WARNINGS;
}

/* What the command's end means, and a sentence where the result alone doesn't tell. */
static enum result judge(struct step *s, const struct reply *r)
{
  enum result result = RESULT_FAILURE;

  *s->summary = 0;
  switch (r->kind) {
  case REPLY_TIMEOUT:
    snprintf(s->summary, sizeof s->summary, "%s", !strcmp(r->reason, "idle") ? "no output for too long, ended" : "took too long, ended");
    return result;
  case REPLY_BROKEN:
    snprintf(s->summary, sizeof s->summary, "could not start: %.300s", *r->detail ? r->detail : strerror(r->code));
    return result;
  default:
    if (r->signaled && r->kind != REPLY_OK) {
      snprintf(s->summary, sizeof s->summary, "ended by signal %d (%s)", r->code, strsignal(r->code));
      return result;
    }
    if (r->kind == REPLY_OK)
      result = outcome_of_exit(s->def, 0);
    else if (r->code)
      result = outcome_of_exit(s->def, r->code);
    if (result == RESULT_SUCCESS && s->ctx->warnings)
      result = with_warnings(s);
    else if (result != RESULT_SUCCESS || r->kind != REPLY_OK)
      snprintf(s->summary, sizeof s->summary, "exit %d", r->kind == REPLY_OK ? 0 : r->code);
    return result;
  }
}

/* What the worker says of the end of what had begun. */
static void add_note(struct step *s, const struct reply *r)
{
  size_t n = strlen(s->summary);

  if ((r->kind == REPLY_OK || r->kind == REPLY_FAILED) && *r->detail)
    snprintf(s->summary + n, sizeof s->summary - n, "%s%.300s", n ? ": " : "", r->detail);
}

static int got(struct step *s, const struct reply *r)
{
  bool exited = r->kind == REPLY_OK || (r->kind == REPLY_FAILED && !r->signaled);

  if (s->sm.state == SHELL_WAIT || s->sm.state == SHELL_LOCKS)
    return SHELL_RUN;
  s->result = judge(s, r);
  add_note(s, r);
  if (!s->late && outcome_again(&s->def->retry, s->again, s->result, exited, r->code)) {
    s->again++;
    s->until_ms = s->ctx->now_ms + s->def->retry.wait_ms;
    return SHELL_WAIT;
  }
  if (s->again)
    snprintf(s->summary + strlen(s->summary), sizeof s->summary - strlen(s->summary), "%safter %d tries", *s->summary ? ", " : "", s->again + 1);
  return s->result == RESULT_FAILURE ? SHELL_FAIL : SHELL_DONE;
}

static int begin(struct step *s)
{
  return s->def->nlocks ? SHELL_LOCKS : SHELL_RUN;
}

const struct step_kind step_shell = { "shell", rows, SHELL_COUNT, begin, enter, got, false };
