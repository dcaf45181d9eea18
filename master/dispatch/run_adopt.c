/* Taking a build over: from its rows, and then from what its worker has of it. */
#include "master/dispatch/run.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/run_int.h"
#include "master/dispatch/run_login.h"
#include "master/dispatch/run_locks.h"
#include "master/dispatch/run_stamps.h"
#include "master/logs/warn.h"
#include "master/logs/watch.h"
#include "master/steps/report.h"
#include "master/workers/session.h"

/* From NUMBER:RESULT,… of the steps that have ended. */
static void results_so_far(struct run *r, const char *list)
{
  for (; *list; list += strcspn(list, ",")) {
    int number, result;
    list += *list == ',';
    if (sscanf(list, "%d:%d", &number, &result) != 2 || number < 1 || number > r->def->nsteps || result < 0 || result >= RESULT_COUNT)
      continue;
    r->so_far = result_worse(r->so_far, outcome_for_build(&r->def->steps[number - 1], (enum result)result));
    if (r->rest < outcome_rest(&r->def->steps[number - 1], (enum result)result, false))
      r->rest = outcome_rest(&r->def->steps[number - 1], (enum result)result, false);
  }
}

static char *got_revision(const char *properties)
{
  cJSON *json = cJSON_Parse(properties), *it = cJSON_GetObjectItemCaseSensitive(json, "got_revision");
  char *s = cJSON_IsString(it) ? xstrdup(it->valuestring) : NULL;

  cJSON_Delete(json);
  return s;
}

struct run *run_adopt(struct session *s, struct db_res *res, int stmt, int row, struct pipe_ref *pipe)
{
  const struct pipeline *pl = pipes_of(pipe);
  struct run *r = xcalloc(1, sizeof *r);
  struct master *m = s->m;
#define NUM(c) db_num(res, stmt, row, c)
#define STR(c) db_str(res, stmt, row, c)
  *r = (struct run){ .m = m, .session = s, .id = NUM(0), .request = NUM(1), .builder_id = NUM(2), .epoch = { NUM(7), NUM(8) },
                     .attempts = (int)NUM(36), .cancelled = !strcmp(STR(10), "cancelling"), .request_done = !strcmp(STR(11), "done"),
                         .number = (int)NUM(20), .pipe = pipe, .reports = NUM(51) != 0 };
  r->name = xasprintf("%s/%s/%" PRId64, STR(3), STR(4), NUM(5));
  r->ctx = (struct build_ctx){ .project = xstrdup(STR(3)), .builder = xstrdup(STR(4)), .number = NUM(5), .slot = (int)NUM(9), .cores = s->cores,
                               .repository = xstrdup(STR(12)), .branch = xstrdup(STR(13)), .revision = xstrdup(STR(14)), .changes = xstrdup(STR(18)),
                               .tag = db_dup(res, stmt, row, 37), .pull_request = NUM(38), .ref = db_dup(res, stmt, row, 39),
                               .properties = xstrdup(STR(17)), .url = run_url(m, r->name), .allow_local = m->conf->allow_local, .fork = NUM(42) != 0, .fresh = NUM(35) == 0,
                               .alone_ms = dispatch_alone_ms(m), .got_revision = got_revision(STR(16)), .reported = report_before(STR(16)), .reports = session_has(s, SESSION_REPORTS),
                               .needed = db_dup(res, stmt, row, 50) };
  run_limits(r);
  run_patch(r, res, stmt, row, 40);
  r->ctx.vcs = run_vcs(STR(44));
  run_stamps_read(r, STR(47), STR(16));
  run_stamps_derived(r, STR(49), NULL);
  r->ctx.layout = xstrdup(STR(48));
  sm_init(&r->sm, r->name, run_rows, RUN_STATES, RUN_TX);
  log_end_init(&r->log, NUM(30), r->epoch, NUM(31), (uint32_t)NUM(32), NUM(33));
  r->def = pl ? pipeline_builder(pl, r->ctx.builder) : NULL;
  if (!r->def || r->number < 1 || r->number > r->def->nsteps ||
      step_init(&r->step, &r->def->steps[r->number - 1], &r->ctx, STR(22), STR(23), STR(24))) {
    log_error("build", "%s: its pipeline or step is not known to this version, it can't go on", r->name);
    list_init(&r->node);
    sm_move(&r->sm, RUN_GONE);
    dispatch_give_up(m, r->id, r->epoch, "the pipeline or step is not known to this version of the master");
    run_maybe_free(r);
    return NULL;
  }
  r->ctx.locks = r->def->locks;
  r->ctx.nlocks = r->def->nlocks;
  run_locks_adopt(r, STR(43));
  if (NUM(25))
    r->cmd = (struct id){ NUM(26), NUM(25) };
  if (NUM(25) && r->step.def->warnings) {
    size_t n;
    const char *kept = db_bytes(res, stmt, row, 46, &n);
    r->warn = warn_new(r->step.def->warnings, r->step.def->warnings_text);
    warn_resume(r->warn, NUM(45), kept, kept ? n : 0);
  }
  results_so_far(r, STR(34));
  r->ctx.so_far = r->so_far;
#undef NUM
#undef STR
  list_push(&s->runs, &r->node);
  return r;
}

void run_adopted_output(struct run *r, const void *spans, size_t nspans, const void *z, size_t nz, int64_t len)
{
  static char raw[CHUNK_RAW_MAX];
  size_t n;

  if (!r->step.kind->needs_output || !z || len > CHUNK_RAW_MAX || chunk_inflate(z, nz, raw, sizeof raw, &n) || n != (size_t)len)
    return;
  run_keep_output(r, spans, nspans, raw);
}

void run_lost(struct run *r, const char *reason, const char *text)
{
  struct reply reply = { run_stops(r) ? REPLY_CANCELLED : REPLY_LOST, 0, false, reason, text, "" };

  r->lost = true;
  run_got(r, &reply, NULL);
}

void run_reconcile(struct run *r, const char *have, bool same, const void *spec, size_t nspec, struct secret_rows *secrets)
{
  struct session *s = r->session;

  r->secrets = secrets;

  if (!r->cmd.n) { /* it waits for a file operation, or for one that was never sent */
    intent_free(&r->next);
    r->ctx.now_ms = clock_wall_ms();
    run_login_look(r);
    step_enter(&r->step, &r->next);
    if (r->next.want == WANT_OTHERS && run_stops(r)) {
      run_wait_others(r);
      run_cancel_resting(r);
    } else if (run_stops(r))
      run_cancel_unsent(r);
    else if (r->next.want == WANT_WAIT)
      run_wait(r);
    else if (r->next.want == WANT_OP)
      run_send_op(r);
    else if (r->next.want == WANT_OTHERS)
      run_wait_others(r);
    else if (r->next.want == WANT_LOCKS)
      run_wait_locks(r);
    else
      run_lost(r, "start", "the state in the database has no command");
    return;
  }
  r->log.most = run_limit_of(spec, nspec).bytes;
  for (int i = 0; i < r->nmore; i++)
    r->more[i].most = r->log.most;
  if (have) {
    map_set_n(s->by_cmd, (uint64_t)r->cmd.n, r);
    sm_move(&r->sm, RUN_COMMAND);
    for (int i = 0; i < r->nmore; i++) /* before stream 0, with which the exit is asked for */
      run_take_up(r, i + 1);
    run_take_up(r, 0);
    if (watch_any(r->m->watches, r->id))
      wire_put(link_out(s->link), VERB_follow, "in", &r->cmd, (int64_t)1);
    if (run_stops(r))
      run_send_kill(r);
  } else if (same && r->log.length == 0 && !run_stops(r)) {
    run_send_command(r, spec, nspec); /* never received */
  } else if (same && r->log.length == 0) {
    run_cancel_unsent(r);
  } else {
    run_lost(r, same ? "gone" : "boot", same ? "the worker does not know the command any more" : "the worker was restarted or replaced");
  }
}
