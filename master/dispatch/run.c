/* A build in progress: what a worker answered becomes one transaction, and what the transaction decided is sent when it is committed.

   Happy path: claim → (tx) → command or operation at the worker → exit → (tx) → … → the build's end.
   Failures: fenced (somebody else owns the build) or the database away: the run is dropped; the worker lost it: the attempt ends as RETRY and the request waits again; the log does not match
   its checksum: the same. */
#include "master/dispatch/run.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/core/secret_values.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pauses.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/run_int.h"
#include "master/dispatch/run_login.h"
#include "master/dispatch/run_locks.h"
#include "master/dispatch/run_input.h"
#include "master/dispatch/run_secrets.h"
#include "master/dispatch/run_stamps.h"
#include "master/dispatch/waits.h"
#include "master/events/events.h"
#include "master/logs/warn.h"
#include "master/logs/watch.h"
#include "master/schedulers/worlds.h"
#include "master/workers/ops.h"
#include "master/workers/session.h"

#define FENCED "22012" /* division by zero: how a guard of sql_build.def voids a transaction */
#define TAKEN "DR002"  /* a lock that it was to take is not there any more */

const struct sm_row run_rows[RUN_STATES] = {
  [RUN_TX] = { "tx", SM_TO(RUN_COMMAND) | SM_TO(RUN_OP) | SM_TO(RUN_WAIT) | SM_TO(RUN_OTHERS) | SM_TO(RUN_LOCKS) | SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
  [RUN_COMMAND] = { "command", SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
  [RUN_OP] = { "op", SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
  [RUN_WAIT] = { "wait", SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
  [RUN_OTHERS] = { "others", SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
  [RUN_LOCKS] = { "locks", SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
  [RUN_GONE] = { "gone", 0 },
};

static void run_free(struct run *r)
{
  free(r->name);
  free((char *)r->ctx.project);
  free((char *)r->ctx.builder);
  free((char *)r->ctx.repository);
  free((char *)r->ctx.branch);
  free((char *)r->ctx.revision);
  free((char *)r->ctx.tag);
  free((char *)r->ctx.ref);
  free((char *)r->ctx.patch);
  free((char *)r->ctx.changes);
  free((char *)r->ctx.properties);
  free((char *)(uintptr_t)r->ctx.needed);
  free((char *)r->ctx.url);
  free(r->ctx.got_revision);
  free((char *)r->ctx.login.called);
  free(r->outcome);
  free((char *)r->ctx.layout);
  free((char *)r->ctx.main);
  run_stamps_free(&r->ctx);
  run_drop_report(r);
  free((char *)r->ctx.reported);
  intent_free(&r->next);
  log_end_free(&r->log);
  run_more_free(r);
  warn_free(r->warn);
  secret_rows_free(r->secrets);
  run_locks_free(r);
  pipes_unref(r->pipe);
  pipeline_free(r->nodes);
  free(r);
}

enum vcs run_vcs(const char *text)
{
  enum vcs v;

  return vcs_of(text, &v) ? v : VCS_COUNT;
}

void run_patch(struct run *r, const struct db_res *res, int stmt, int row, int col)
{
  const char *body = db_bytes(res, stmt, row, col, &r->ctx.patch_len);

  if (!body)
    return;
  r->ctx.patch = xstrndup(body, r->ctx.patch_len); /* no NUL in it: act_try.c */
  r->ctx.patch_level = (int)db_num(res, stmt, row, col + 1);
}

/* Answers of transactions in flight hold the run by a pending record; a gone run is freed when the last one came in. */
void run_maybe_free(struct run *r)
{
  int in_flight = r->log.in_flight;

  for (int i = 0; i < r->nmore; i++)
    in_flight += r->more[i].in_flight;
  if (r->sm.state == RUN_GONE && !in_flight && !r->in_tx)
    run_free(r);
}

static void timer_closed(uv_handle_t *h)
{
  free(h);
}

static void end_wait(struct run *r)
{
  if (r->timer)
    uv_close((uv_handle_t *)r->timer, timer_closed);
  r->timer = NULL;
}

void run_drop(struct run *r)
{
  if (r->sm.state == RUN_GONE)
    return;
  end_wait(r);
  if (r->cmd.n)
    map_set_n(r->session->by_cmd, (uint64_t)r->cmd.n, NULL);
  run_input_over(r);
  if (r->req)
    ops_forget(r->session, r->req);
  dispatch_forget_claim(r->m->dispatch, r->request);
  list_remove(&r->node);
  waits_kick(r->m->waits); /* its slot is free */
  r->session = NULL;
  sm_move(&r->sm, RUN_GONE);
  run_maybe_free(r);
}

char *run_url(const struct master *m, const char *name)
{
  const char *site = m->conf->url;
  struct buf b;

  if (!site)
    return NULL;
  buf_init(&b, BUF_NO_MAX);
  buf_addf(&b, "%s%sbuilds/", site, site[strlen(site) - 1] == '/' ? "" : "/");
  for (const char *s = name; *s; s++)
    if (isalnum((unsigned char)*s) || strchr("._-/", *s))
      buf_addc(&b, *s);
    else
      buf_addf(&b, "%%%02X", (unsigned char)*s);
  return buf_take(&b);
}

/* ---- sending ---- */

void run_send_kill(struct run *r)
{
  wire_put(link_out(r->session->link), VERB_kill, "iins", &r->cmd, &r->epoch, (int64_t)STEP_GRACE_MS, "cancel");
}

static bool send_secrets(struct run *r, const void *spec, size_t n)
{
  struct reply no = { REPLY_REFUSED, 0, false, "secret", "", "" };
  struct buf values;
  char *why = run_secrets_put(r, spec, n, &values);

  secret_rows_free(r->secrets);
  r->secrets = NULL;
  if (!why && values.len)
    wire_put_blob(link_out(r->session->link), VERB_secrets, values.data, values.len, "i", &r->cmd);
  if (values.data)
    mem_wipe(values.data, values.len);
  buf_free(&values);
  if (!why)
    return true;
  no.detail = why;
  run_got(r, &no, NULL);
  free(why);
  return false;
}

void run_send_command(struct run *r, const void *spec, size_t n)
{
  struct session *s = r->session;

  if (!send_secrets(r, spec, n))
    return;
  map_set_n(s->by_cmd, (uint64_t)r->cmd.n, r);
  for (int i = 0; i < r->nmore; i++)
    log_end_grant(&r->more[i], session_runs(s)); /* the limit of `run` is that of each stream */
  wire_put_blob(link_out(s->link), VERB_run, spec, n, "inin", &r->cmd, r->id, &r->epoch, log_end_grant(&r->log, session_runs(s)));
  if (watch_any(r->m->watches, r->id))
    wire_put(link_out(s->link), VERB_follow, "in", &r->cmd, (int64_t)1);
  r->ctx.fresh = false;
  sm_move(&r->sm, RUN_COMMAND);
}

void run_send_op(struct run *r)
{
  struct ops_ask ask = { .verb = r->next.op, .path = r->next.path, .after = *r->next.op_after ? r->next.op_after : NULL, .off = r->next.op_off, .max = r->next.op_max };
  struct reply no = { REPLY_FAILED, 0, false, "unknown", "", "" };
  char *why;

  r->req = ops_ask(r->session, &ask, run_op_done, r);
  if (r->req) {
    sm_move(&r->sm, RUN_OP);
    return;
  }
  no.detail = why = ops_too_old(r->session, ask.verb);
  run_got(r, &no, NULL);
  free(why);
}

bool run_stops(const struct run *r)
{
  return r->cancelled && !r->step.late;
}

static void waited(uv_timer_t *t)
{
  static const struct reply over = { REPLY_OK, 0, false, "-", "", "" };
  struct run *r = t->data;

  end_wait(r);
  run_got(r, &over, NULL);
}

void run_wait(struct run *r)
{
  r->timer = xcalloc(1, sizeof *r->timer);
  uv_timer_init(r->m->loop, r->timer);
  r->timer->data = r;
  uv_timer_start(r->timer, waited, (uint64_t)r->next.wait_ms, 0);
  sm_move(&r->sm, RUN_WAIT);
}

void run_wait_others(struct run *r)
{
  sm_move(&r->sm, RUN_OTHERS);
  r->over = false;
  waits_kick(r->m->waits);
  dispatch_kick(r->m->dispatch); /* its slot is free */
}

/* ---- one transaction ---- */

void run_begin_step(struct run *r, struct db_tx *tx)
{
  const struct pipe_step *def = &r->def->steps[r->number - 1];
  struct buf vars;
  char *object = xasprintf("%s:%s", r->name, def->name), *refused;
  enum err err = step_init(&r->step, def, &r->ctx, NULL, NULL, NULL);

  assert(!err); /* the kind comes from the definition and the state from the kind */
  r->step.late = r->cancelled;
  buf_init(&vars, BUF_NO_MAX);
  step_vars(&r->step, &vars);
  db_q(tx, SQL_step_start, "nnsssssn", r->id, (int64_t)r->number, def->name, r->step.kind->name, sm_name(&r->step.sm), buf_str(&vars), object, (int64_t)def->on_lost);
  buf_free(&vars);
  free(object);
  intent_free(&r->next);
  r->ctx.so_far = r->so_far;
  run_login_look(r);
  if (!step_wanted(&r->step, &r->next))
    return;
  refused = run_secrets_refused(r, def);
  if (!refused)
    refused = run_input_refused(r, def);
  if (refused)
    step_refuse(&r->step, refused, &r->next);
  else
    step_enter(&r->step, &r->next);
  free(refused);
}

static void end_step(struct run *r, struct db_tx *tx)
{
  char *object = xasprintf("%s:%s", r->name, r->step.def->name);
  bool hidden = step_hidden(&r->step);

  db_q(tx, SQL_step_end, "nnsnssll", r->id, (int64_t)r->number, sm_name(&r->step.sm), (int64_t)r->step.result,
       *r->step.summary ? r->step.summary : NULL, object, (int)outcome_told(r->step.def, r->step.result), (int)hidden);
  free(object);
  if (step_is_checkout(r->step.kind) && r->step.result == RESULT_SUCCESS)
    run_checked_out(r, tx);
  r->so_far = result_worse(r->so_far, outcome_for_build(r->step.def, r->step.result));
  if (r->rest < outcome_rest(r->step.def, r->step.result, r->lost))
    r->rest = outcome_rest(r->step.def, r->step.result, r->lost);
}

/* The number of the next step that runs; 0: none does. */
static int next_step(const struct run *r)
{
  for (int i = r->number; i < r->def->nsteps; i++)
    if (outcome_runs(&r->def->steps[i], r->rest))
      return i + 1;
  return 0;
}

/* The build's end, and what becomes of its request: a lost attempt is made anew, a few times, or somebody is asked. */
static void end_build(struct run *r, struct db_tx *tx)
{
  enum outcome_next next = r->so_far != RESULT_RETRY || r->request_done ? OUTCOME_OVER : outcome_of_lost(r->lost ? r->step.def->on_lost : PIPE_LOST_USUAL, r->attempts);
  enum result request = r->so_far == RESULT_RETRY ? RESULT_EXCEPTION : r->so_far;
  char *why = NULL;

  if (next == OUTCOME_ASK) {
    db_q(tx, SQL_build_asks, "nss", r->id, NULL, r->name);
    return;
  }
  if (r->so_far == RESULT_RETRY && next == OUTCOME_OVER)
    why = xasprintf("lost %d times, last: %s", r->attempts, r->step.summary);
  db_q(tx, SQL_build_finish, "nnslns", r->id, (int64_t)r->so_far, why, (int)(next == OUTCOME_AGAIN), (int64_t)request, r->name);
  if (r->so_far != RESULT_EXCEPTION && r->so_far != RESULT_RETRY && r->so_far != RESULT_CANCELLED && pauses_of_worker(dispatch_quarantines(r->m), r->session->worker))
    db_q(tx, SQL_worker_proved, "n", r->id);
  free(why);
}

/* What it asks for is made in the same transaction, and the step goes on at once. */
static void ask(struct run *r, struct db_tx *tx)
{
  const struct reply made = { REPLY_OK, 0, false, "-", "", "" };

  db_q(tx, SQL_step_trigger, "nns", r->id, (int64_t)r->number, buf_str(&r->next.spec));
  if (r->step.def->asks->noutside)
    db_q(tx, SQL_step_trigger_abroad, "nns", r->id, (int64_t)r->number, buf_str(&r->next.spec));
  intent_free(&r->next);
  step_got(&r->step, &made, &r->next);
}

/* Goes on from r->next until something is to be asked of the worker or the build has ended; all of it in tx. */
void run_walk(struct run *r, struct db_tx *tx, struct pending *p, bool moved)
{
  while (r->next.want == WANT_END || r->next.want == WANT_ASK) {
    if (r->next.want == WANT_ASK) {
      p->abroad |= r->step.def->asks->noutside > 0;
      ask(r, tx);
      moved = p->asked = true;
      continue;
    }
    int next;
    end_step(r, tx);
    next = next_step(r);
    if (!next) {
      end_build(r, tx);
      p->ends = true;
      return;
    }
    if (run_locks_end_step(r)) { /* what the last one has, or waits for, goes with the build */
      db_q(tx, SQL_locks_free, "nn", r->id, (int64_t)r->number);
      p->frees = true;
    }
    r->number = next;
    run_begin_step(r, tx);
    moved = false;
  }
  if (moved) {
    struct buf vars;
    char *object = xasprintf("%s:%s", r->name, r->step.def->name);
    buf_init(&vars, BUF_NO_MAX);
    step_vars(&r->step, &vars);
    db_q(tx, SQL_step_move, "nnsss", r->id, (int64_t)r->number, sm_name(&r->step.sm), buf_str(&vars), object);
    buf_free(&vars);
    free(object);
  }
  if (r->next.want == WANT_LOCKS) {
    char *wants = pipeline_locks(r->step.def->locks, r->step.def->nlocks);
    db_q(tx, SQL_lock_wait, "nns", r->id, (int64_t)r->number, wants);
    free(wants);
  }
  if (r->next.want == WANT_RUN) {
    char *names = run_secrets_names(r, &r->next.spec), *all = run_secrets_all(r, r->next.spec.data, r->next.spec.len), command[STEP_COMMAND_MAX];
    struct output_limit limit = run_limit_of(r->next.spec.data, r->next.spec.len);
    char *logs = run_log_names(r->next.spec.data, r->next.spec.len);
    step_command(&r->step, command);
    p->command_stmt = db_count(tx);
    db_q(tx, SQL_command_start, "nnnsbssnnsnns", r->m->incarnation, r->id, (int64_t)r->number, command,
         r->next.spec.data, r->next.spec.len, r->session->instance, r->session->boot, r->epoch.inc, r->epoch.n, names, limit.bytes, limit.lines, logs);
    free(logs);
    if (all) {
      p->secrets_stmt = db_count(tx);
      db_q(tx, SQL_secrets_named, "s", all);
    }
    free(names);
    free(all);
  }
}

struct pending *run_pending(struct run *r)
{
  struct pending *p = xcalloc(1, sizeof *p);
  p->run = r;
  p->command_stmt = p->secrets_stmt = p->claim_stmt = -1;
  return p;
}

static void send_tx(struct run *r, struct db_tx *tx, struct pending *p)
{
  sm_move(&r->sm, RUN_TX);
  r->in_tx = true;
  db_send(tx, run_answered, p);
}

/* An answer to what the step asked: the machine moves, and everything that follows is one transaction. c: what to record of the command. */
void run_got(struct run *r, const struct reply *reply, struct wire_msg *exit)
{
  struct db_tx *tx = db_tx(r->m->db, (uint64_t)r->id);
  struct pending *p = run_pending(r);
  int before = r->step.sm.state;

  db_q(tx, SQL_fence, "nnn", r->id, r->epoch.inc, r->epoch.n);
  p->takes = r->taking != NULL;
  if (p->takes)
    db_q(tx, SQL_locks_take, "nnns", r->id, (int64_t)r->number, r->session->worker, r->taking);
  free(r->taking);
  r->taking = NULL;
  if (r->cmd.n) {
    run_put_log(r, tx, true);
    if (exit)
      run_left_out(r, tx, exit);
    if (exit)
      db_q(tx, SQL_command_end, "nssnssnnnn", r->cmd.n, reply->kind == REPLY_LOST ? "lost" : "done", wire_str(exit, 2), wire_num(exit, 3), wire_str(exit, 4),
           *reply->detail ? reply->detail : NULL, wire_num(exit, 8), wire_num(exit, 9), wire_num(exit, 10), wire_num(exit, 11));
    else
      db_q(tx, SQL_command_end, "nssnssNNNN", r->cmd.n, "lost", "lost", (int64_t)0, reply->reason, *reply->detail ? reply->detail : NULL,
           INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    p->done_cmd = r->cmd;
    run_input_over(r);
    map_set_n(r->session->by_cmd, (uint64_t)r->cmd.n, NULL);
    r->cmd = (struct id){ 0, 0 };
  }
  intent_free(&r->next);
  r->ctx.now_ms = clock_wall_ms();
  run_login_look(r);
  step_got(&r->step, reply, &r->next);
  if (r->step.blames)
    db_q(tx, SQL_worker_blame, "ns", r->id, r->step.summary);
  if (r->report && exit && reply->kind != REPLY_LOST)
    run_take_report(r, tx, r->next.want == WANT_END && reply->kind != REPLY_CANCELLED);
  run_drop_report(r);
  r->output_len = r->errors_len = 0;
  run_walk(r, tx, p, before != r->step.sm.state);
  send_tx(r, tx, p);
}

bool run_holds_slot(const struct run *r)
{
  return r->sm.state != RUN_OTHERS || r->over;
}

void run_waited(struct run *r)
{
  struct reply reply = { REPLY_OK, r->worst, false, "-", r->outcome, "" };

  if (run_stops(r))
    run_cancel_unsent(r);
  else
    run_got(r, &reply, NULL);
}

/* Steps that always run want a slot again, as when the others have ended. Without any it ends at once. */
void run_cancel_resting(struct run *r)
{
  for (int i = r->number; i < r->def->nsteps; i++)
    if (outcome_runs(&r->def->steps[i], OUTCOME_ALWAYS)) {
      r->over = true;
      waits_kick(r->m->waits);
      return;
    }
  run_cancel_unsent(r);
}

void run_wait_locks(struct run *r)
{
  sm_move(&r->sm, RUN_LOCKS);
  dispatch_kick(r->m->dispatch);
}

/* Cancelled between commit and sending: the command's row is there, the worker never hears of it. */
void run_cancel_unsent(struct run *r)
{
  static const struct reply cancelled = { REPLY_CANCELLED, 0, false, "cancel", "", "" };
  run_got(r, &cancelled, NULL);
}

static void committed(struct run *r, struct db_res *res, struct pending *p)
{
  events_kick(r->m->events);
  run_log_grew(r);
  if (p->done_cmd.n)
    session_forget(r->session, p->done_cmd);
  dispatch_forget_claim(r->m->dispatch, r->request);
  if (p->claim_stmt >= 0)
    r->ctx.layout = xstrdup(db_str(res, p->claim_stmt, 0, 1));
  if (p->ends) {
    log_info("build", "%s %s%s%s", r->name, result_text(r->so_far), *r->step.summary ? ": " : "", r->step.summary);
    work_kick(r->session);
    run_drop(r);
    return;
  }
  if (p->command_stmt >= 0) {
    r->cmd = (struct id){ r->m->incarnation, db_num(res, p->command_stmt, 0, 0) };
    log_end_free(&r->log);
    log_end_init(&r->log, db_num(res, p->command_stmt, 0, 1), r->epoch, 0, 0, 0);
    r->log.most = run_limit_of(r->next.spec.data, r->next.spec.len).bytes;
    run_more_new(r, db_str(res, p->command_stmt, 0, 2), r->log.most);
    warn_free(r->warn);
    r->warn = r->step.def->warnings ? warn_new(r->step.def->warnings, r->step.def->warnings_text) : NULL;
  }
  if (p->secrets_stmt >= 0)
    r->secrets = secret_rows_take(res, p->secrets_stmt);
  if (run_stops(r))
    run_cancel_unsent(r);
  else if (r->next.want == WANT_RUN)
    run_send_command(r, r->next.spec.data, r->next.spec.len);
  else if (r->next.want == WANT_WAIT)
    run_wait(r);
  else if (r->next.want == WANT_OTHERS)
    run_wait_others(r);
  else if (r->next.want == WANT_LOCKS)
    run_wait_locks(r);
  else
    run_send_op(r);
}

/* A fence that did not hold is no error: somebody else has the build now, or took the request first. */
bool run_told_failure(const struct run *r, struct db_res *res)
{
  bool refused = db_err(res) == ERR_FAILED && strcmp(db_sqlstate(res), FENCED) && strcmp(db_sqlstate(res), TAKEN);

  if (refused)
    log_error("build", "%s: %s", r->name, db_errtext(res));
  else
    log_debug("build", "%s: dropped: %s", r->name, db_errtext(res));
  return refused;
}

/* PostgreSQL refused what follows from an answer, and would again: that is a fault of ours, and a build that can't go on ends as one, with the reason for people. */
static void give_up(struct run *r, struct db_res *res, struct id done_cmd)
{
  struct db_tx *tx = db_tx(r->m->db, (uint64_t)r->id);
  struct pending *p = run_pending(r);
  char *why = xasprintf("the database refused what follows: %s", db_errtext(res));

  p->ends = p->given_up = true;
  p->done_cmd = done_cmd;
  r->so_far = RESULT_EXCEPTION;
  intent_free(&r->next);
  db_q(tx, SQL_fence, "nnn", r->id, r->epoch.inc, r->epoch.n);
  db_q(tx, SQL_steps_lost, "nsns", r->id, "refused", (int64_t)RESULT_EXCEPTION, why);
  db_q(tx, SQL_build_finish, "nnslns", r->id, (int64_t)RESULT_EXCEPTION, why, 0, (int64_t)RESULT_EXCEPTION, r->name);
  free(why);
  send_tx(r, tx, p);
}

void run_answered(struct db_res *res, void *arg)
{
  struct pending *p = arg;
  struct run *r = p->run;
  struct master *m = r->m;
  enum err err = db_err(res);
  bool ended = p->ends, taken = err == ERR_FAILED && !strcmp(db_sqlstate(res), TAKEN), reports = ended && r->reports,
       bad = ended && (r->so_far == RESULT_FAILURE || r->so_far == RESULT_EXCEPTION || reports); /* what was reported may have been refused */

  r->in_tx = false;
  if (r->sm.state == RUN_GONE) {
    run_maybe_free(r);
  } else if (taken && p->takes) {
    run_locks_not_now(r);
    dispatch_look_soon(m->dispatch);
  } else if (err) {
    if (!run_told_failure(r, res) || p->claim)
      run_drop(r);
    else if (!p->given_up)
      give_up(r, res, p->done_cmd);
    else
      session_close(r->session, "database"); /* not even that: the worker comes again, and tells the same once more */
  } else {
    committed(r, res, p);
  }
  if (bad && !err)
    dispatch_ended_badly(m->dispatch);
  if (ended || p->asked || (p->frees && !err) || (err && !p->claim && !taken))
    dispatch_kick(m->dispatch);
  if ((p->abroad || reports) && !err) /* what was reported may need others elsewhere */
    worlds_kick(m->worlds);
  free(p);
}

void run_cancel(struct run *r)
{
  if (r->cancelled || r->sm.state == RUN_GONE)
    return;
  r->cancelled = r->request_done = true;
  if (r->sm.state == RUN_COMMAND) {
    run_send_kill(r);
  } else if (r->sm.state == RUN_WAIT) {
    end_wait(r);
    run_cancel_unsent(r);
  } else if (r->sm.state == RUN_OTHERS) {
    run_cancel_resting(r);
  } else if (r->sm.state == RUN_LOCKS) {
    run_cancel_unsent(r);
  }
}

void run_cancel_build(struct master *m, int64_t build)
{
  list_each(it, sessions_list(m->sessions)) {
    struct session *s = list_of(it, struct session, node);
    list_each(jt, &s->runs) {
      struct run *r = list_of(jt, struct run, node);
      if (r->id == build) {
        run_cancel(r);
        return;
      }
    }
  }
}

void run_follow(struct master *m, int64_t build, bool on)
{
  list_each(it, sessions_list(m->sessions)) {
    struct session *s = list_of(it, struct session, node);
    list_each(jt, &s->runs) {
      struct run *r = list_of(jt, struct run, node);
      if (r->id == build && r->sm.state == RUN_COMMAND)
        wire_put(link_out(s->link), VERB_follow, "in", &r->cmd, (int64_t)on);
    }
  }
}
