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

#include "common/log.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/run_int.h"
#include "master/events/events.h"
#include "master/logs/watch.h"
#include "master/workers/session.h"

#define FENCED "22012" /* division by zero: how a guard of sql_build.def voids a transaction */

const struct sm_row run_rows[RUN_STATES] = {
  [RUN_TX] = { "tx", SM_TO(RUN_COMMAND) | SM_TO(RUN_OP) | SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
  [RUN_COMMAND] = { "command", SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
  [RUN_OP] = { "op", SM_TO(RUN_TX) | SM_TO(RUN_GONE) },
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
  free((char *)r->ctx.url);
  free(r->ctx.got_revision);
  intent_free(&r->next);
  log_end_free(&r->log);
  pipes_unref(r->pipe);
  free(r);
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
  if (r->sm.state == RUN_GONE && !r->log.in_flight && !r->in_tx)
    run_free(r);
}

void run_drop(struct run *r)
{
  if (r->sm.state == RUN_GONE)
    return;
  if (r->cmd.n)
    map_set_n(r->session->by_cmd, (uint64_t)r->cmd.n, NULL);
  if (r->req)
    map_set_n(r->session->by_req, (uint64_t)r->req, NULL);
  dispatch_forget_claim(r->m->dispatch, r->request);
  list_remove(&r->node);
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

void run_send_command(struct run *r, const void *spec, size_t n)
{
  struct session *s = r->session;

  map_set_n(s->by_cmd, (uint64_t)r->cmd.n, r);
  wire_put_blob(link_out(s->link), VERB_run, spec, n, "inin", &r->cmd, r->id, &r->epoch, log_end_limit(&r->log, session_runs(s)));
  if (watch_any(r->m->watches, r->id))
    wire_put(link_out(s->link), VERB_follow, "in", &r->cmd, (int64_t)1);
  r->ctx.fresh = false;
  sm_move(&r->sm, RUN_COMMAND);
}

void run_send_op(struct run *r)
{
  struct session *s = r->session;

  r->req = ++s->next_req;
  map_set_n(s->by_req, (uint64_t)r->req, r);
  wire_put_blob(link_out(s->link), r->next.op, r->next.path, strlen(r->next.path), "n", r->req);
  sm_move(&r->sm, RUN_OP);
}

/* ---- one transaction ---- */

static void answered(struct db_res *res, void *arg);

static void begin_step(struct run *r, struct db_tx *tx)
{
  const struct pipe_step *def = &r->def->steps[r->number - 1];
  struct buf vars;
  char *object = xasprintf("%s:%s", r->name, def->name);
  enum err err = step_init(&r->step, def, &r->ctx, NULL, NULL, NULL);

  assert(!err); /* the kind comes from the definition and the state from the kind */
  buf_init(&vars, BUF_NO_MAX);
  step_vars(&r->step, &vars);
  db_q(tx, SQL_step_start, "nnsssss", r->id, (int64_t)r->number, def->name, r->step.kind->name, sm_name(&r->step.sm), buf_str(&vars), object);
  buf_free(&vars);
  free(object);
  intent_free(&r->next);
  r->ctx.so_far = r->so_far;
  if (step_wanted(&r->step, &r->next))
    step_enter(&r->step, &r->next);
}

static void end_step(struct run *r, struct db_tx *tx)
{
  char *object = xasprintf("%s:%s", r->name, r->step.def->name);

  db_q(tx, SQL_step_end, "nnsnss", r->id, (int64_t)r->number, sm_name(&r->step.sm), (int64_t)r->step.result,
       *r->step.summary ? r->step.summary : NULL, object);
  free(object);
  if (r->step.kind == &step_git && r->step.result == RESULT_SUCCESS)
    db_q(tx, SQL_build_property, "nss", r->id, "got_revision", r->ctx.got_revision);
  r->so_far = result_worse(r->so_far, r->step.result);
}

/* The build's end, and what becomes of its request: a lost attempt is made anew, a few times. */
static void end_build(struct run *r, struct db_tx *tx)
{
  bool again = r->so_far == RESULT_RETRY && r->attempts < RUN_ATTEMPTS_MAX && !r->request_done;
  enum result request = r->so_far == RESULT_RETRY ? RESULT_EXCEPTION : r->so_far;
  char *why = NULL;

  if (r->so_far == RESULT_RETRY && !again)
    why = xasprintf("lost %d times, last: %s", r->attempts, r->step.summary);
  else if (r->so_far != RESULT_SUCCESS && *r->step.summary)
    why = xasprintf("%s: %s", r->step.def ? r->step.def->name : "build", r->step.summary);
  db_q(tx, SQL_build_finish, "nnslns", r->id, (int64_t)r->so_far, why, (int)again, (int64_t)request, r->name);
  free(why);
}

static bool halts(enum result r)
{
  return r != RESULT_SUCCESS && r != RESULT_WARNINGS && r != RESULT_SKIPPED;
}

/* Goes on from r->next until something is to be asked of the worker or the build has ended; all of it in tx. */
static void walk(struct run *r, struct db_tx *tx, struct pending *p, bool moved)
{
  while (r->next.want == WANT_END) {
    end_step(r, tx);
    if (halts(r->so_far) || r->number >= r->def->nsteps) {
      end_build(r, tx);
      p->ends = true;
      return;
    }
    r->number++;
    begin_step(r, tx);
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
  if (r->next.want == WANT_RUN) {
    p->command_stmt = db_count(tx);
    db_q(tx, SQL_command_start, "nnnsbssnn", r->m->incarnation, r->id, (int64_t)r->number, sm_name(&r->step.sm),
         r->next.spec.data, r->next.spec.len, r->session->instance, r->session->boot, r->epoch.inc, r->epoch.n);
  }
}

struct pending *run_pending(struct run *r)
{
  struct pending *p = xcalloc(1, sizeof *p);
  p->run = r;
  p->command_stmt = -1;
  return p;
}

static void send_tx(struct run *r, struct db_tx *tx, struct pending *p)
{
  sm_move(&r->sm, RUN_TX);
  r->in_tx = true;
  db_send(tx, answered, p);
}

/* An answer to what the step asked: the machine moves, and everything that follows is one transaction. c: what to record of the command. */
void run_got(struct run *r, const struct reply *reply, struct wire_msg *exit)
{
  struct db_tx *tx = db_tx(r->m->db, (uint64_t)r->id);
  struct pending *p = run_pending(r);
  int before = r->step.sm.state;

  db_q(tx, SQL_fence, "nnn", r->id, r->epoch.inc, r->epoch.n);
  if (r->cmd.n) {
    log_end_put(&r->log, tx);
    if (exit)
      db_q(tx, SQL_command_end, "nssnssnnnn", r->cmd.n, reply->kind == REPLY_LOST ? "lost" : "done", wire_str(exit, 2), wire_num(exit, 3), wire_str(exit, 4),
           *reply->detail ? reply->detail : NULL, wire_num(exit, 8), wire_num(exit, 9), wire_num(exit, 10), wire_num(exit, 11));
    else
      db_q(tx, SQL_command_end, "nssnssNNNN", r->cmd.n, "lost", "lost", (int64_t)0, reply->reason, *reply->detail ? reply->detail : NULL,
           INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    p->done_cmd = r->cmd;
    map_set_n(r->session->by_cmd, (uint64_t)r->cmd.n, NULL);
    r->cmd = (struct id){ 0, 0 };
  }
  intent_free(&r->next);
  step_got(&r->step, reply, &r->next);
  r->output_len = 0;
  walk(r, tx, p, before != r->step.sm.state);
  send_tx(r, tx, p);
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
  watch_tell(r->m->watches, r->id);
  if (p->done_cmd.n)
    session_forget(r->session, p->done_cmd);
  dispatch_forget_claim(r->m->dispatch, r->request);
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
  }
  if (r->cancelled)
    run_cancel_unsent(r);
  else if (r->next.want == WANT_RUN)
    run_send_command(r, r->next.spec.data, r->next.spec.len);
  else
    run_send_op(r);
}

/* A fence that did not hold is no error: somebody else has the build now, or took the request first. */
void run_told_failure(const struct run *r, struct db_res *res)
{
  if (db_err(res) == ERR_FAILED && strcmp(db_sqlstate(res), FENCED))
    log_error("build", "%s: %s", r->name, db_errtext(res));
  else
    log_debug("build", "%s: dropped: %s", r->name, db_errtext(res));
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

static void answered(struct db_res *res, void *arg)
{
  struct pending *p = arg;
  struct run *r = p->run;
  struct master *m = r->m;
  enum err err = db_err(res);
  bool ended = p->ends, bad = ended && (r->so_far == RESULT_FAILURE || r->so_far == RESULT_EXCEPTION);

  r->in_tx = false;
  if (r->sm.state == RUN_GONE) {
    run_maybe_free(r);
  } else if (err) {
    run_told_failure(r, res);
    if (err == ERR_FAILED && strcmp(db_sqlstate(res), FENCED) && !p->claim && !p->given_up)
      give_up(r, res, p->done_cmd);
    else
      run_drop(r);
  } else {
    committed(r, res, p);
  }
  if (bad && !err)
    dispatch_ended_badly(m->dispatch);
  if (ended || (err && !p->claim))
    dispatch_kick(m->dispatch);
  free(p);
}

/* ---- the beginning ---- */

struct run_claims {
  struct master *m;
  struct db_tx *tx;
  struct pending *v[RUN_CLAIMS_MAX];
  int n;
};

struct run_claims *run_claims_new(struct master *m)
{
  struct run_claims *c = xcalloc(1, sizeof *c);

  c->m = m;
  c->tx = db_tx(m->db, DB_ANY);
  return c;
}

static void claims_answered(struct db_res *res, void *arg)
{
  struct run_claims *c = arg;

  for (int i = 0; i < c->n; i++)
    answered(res, c->v[i]);
  dispatch_claimed(c->m->dispatch, db_err(res) != ERR_OK);
  free(c);
}

int run_claims_send(struct run_claims *c)
{
  int n = c->n;

  if (n) {
    db_send(c->tx, claims_answered, c);
  } else {
    db_drop(c->tx);
    free(c);
  }
  return n;
}

void run_claim(struct run_claims *c, struct session *s, struct run *r, int64_t next_number)
{
  struct db_tx *tx = c->tx;
  struct pending *p = run_pending(r);
  char folder[STEP_PATH_MAX];

  assert(c->n < RUN_CLAIMS_MAX);
  c->v[c->n++] = p;
  p->claim = true;

  r->session = s;
  r->ctx.fresh = true;
  r->ctx.number = next_number;
  r->ctx.cores = s->cores;
  r->epoch = (struct id){ r->m->incarnation, 1 };
  sm_init(&r->sm, r->name, run_rows, RUN_STATES, RUN_TX);
  log_end_init(&r->log, 0, r->epoch, 0, 0, 0);
  list_push(&s->runs, &r->node);
  step_folder(r->ctx.project, r->ctx.builder, r->ctx.slot, folder);
  db_q(tx, SQL_claim, "nnnnnnnsns", s->worker, s->number, r->request, next_number, r->m->incarnation, (int64_t)r->ctx.slot, r->m->id, r->name, r->id, folder);
  r->number = 1;
  begin_step(r, tx);
  walk(r, tx, p, false);
  r->in_tx = true;
}

void run_cancel(struct run *r)
{
  if (r->cancelled || r->sm.state == RUN_GONE)
    return;
  r->cancelled = r->request_done = true;
  if (r->sm.state == RUN_COMMAND)
    run_send_kill(r);
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
