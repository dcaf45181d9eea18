/* The step `run`: one command, its exit status is the result.

     run ─▶ done      sleeps in: run */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/steps/step.h"
#include "master/steps/values.h"
#include "proto/records.h"

enum { SHELL_RUN, SHELL_DONE, SHELL_FAIL, SHELL_COUNT };

static const struct sm_row rows[SHELL_COUNT] = {
  [SHELL_RUN] = { "run", SM_TO(SHELL_DONE) | SM_TO(SHELL_FAIL) },
  [SHELL_DONE] = { "done", 0 },
  [SHELL_FAIL] = { "failed", 0 },
};

static void put_command(const struct step *s, struct intent *out)
{
  struct buf *spec = &out->spec;
  const struct pipe_step *d = s->def;
  char path[STEP_PATH_MAX];

  if (d->argv) {
    for (int i = 0; d->argv[i]; i++)
      if (!step_put_text(s->ctx, out, "arg", NULL, d->argv[i], d->args ? d->args[i] : NULL))
        return;
  } else {
    records_put(spec, "arg", "sh");
    records_put(spec, "arg", "-euc");
    records_put(spec, "arg", d->script);
  }
  step_common(s->ctx, spec);
  records_putf(spec, "env", "DROVER_STEP=%s", d->name);
  if (!step_put_env(s, out))
    return;
  for (int i = 0; i < d->nsecrets; i++) /* names: the values go their own way */
    records_putf(spec, d->secrets[i].file ? "secret_file" : "secret", "%s=%s", d->secrets[i].env, d->secrets[i].name);
  step_path(s->ctx, "tree", path);
  records_putf(spec, "cwd", d->cwd ? "%s/%s" : "%s", path, d->cwd);
  if (d->total_ms)
    records_putf(spec, "total", "%" PRId64, d->total_ms);
  if (d->idle_ms)
    records_putf(spec, "idle", "%" PRId64, d->idle_ms);
}

static void enter(struct step *s, struct intent *out)
{
  switch (s->sm.state) {
  case SHELL_RUN:
    out->want = WANT_RUN;
    put_command(s, out);
    return;
  case SHELL_DONE:
    out->want = WANT_END;
    out->result = RESULT_SUCCESS;
    return;
  default:
    out->want = WANT_END;
    out->result = s->result;
    memcpy(out->summary, s->summary, sizeof out->summary);
    return;
  }
}

static int got(struct step *s, const struct reply *r)
{
  s->result = RESULT_FAILURE;
  switch (r->kind) {
  case REPLY_OK:
    return SHELL_DONE;
  case REPLY_TIMEOUT:
    snprintf(s->summary, sizeof s->summary, "%s", !strcmp(r->reason, "idle") ? "no output for too long, ended" : "took too long, ended");
    return SHELL_FAIL;
  case REPLY_BROKEN:
    snprintf(s->summary, sizeof s->summary, "could not start: %.300s", *r->detail ? r->detail : strerror(r->code));
    return SHELL_FAIL;
  default:
    if (r->signaled)
      snprintf(s->summary, sizeof s->summary, "ended by signal %d (%s)", r->code, strsignal(r->code));
    else
      snprintf(s->summary, sizeof s->summary, "exit %d", r->code);
    return SHELL_FAIL;
  }
}

static int begin(struct step *s)
{
  (void)s;
  return SHELL_RUN;
}

const struct step_kind step_shell = { "shell", rows, SHELL_COUNT, begin, enter, got, false };
