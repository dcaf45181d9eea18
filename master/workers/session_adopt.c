/* Taking a worker's builds over: the session's row at a higher number, its builds at a higher epoch, their pipelines and open commands, then the inventory that the worker tells. The same way
   after a new connection, a restart of the master and an outage of the database. */
#include "master/workers/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/run.h"
#include "master/core/secret_values.h"
#include "master/dispatch/run_secrets.h"
#include "master/events/events.h"
#include "master/workers/dial.h"
#include "master/workers/session_int.h"

enum { ADOPT_TAKE, ADOPT_BUILDS, ADOPT_LOGS, ADOPT_READ, ADOPT_CLEANING }; /* statements of adopt(), from s->first */

#define NO_MEMBER "DR003" /* what member_guard() raises (db/schema_0034.sql) */

static void adopted(struct db_res *res, void *arg);

void session_adopt(struct session *s)
{
  struct db_tx *tx = db_tx(s->m->db, (uint64_t)s->worker);

  s->in_tx = true;
  if (s->pool)
    db_q(tx, SQL_member_guard, "ns", s->worker, s->instance);
  /* voids the rest: the first time where this connection of this instance was seen already, later where the worker has gone on since */
  db_q(tx, s->number ? SQL_session_still : SQL_session_guard, "nsn", s->worker, s->instance, s->conn);
  s->first = db_count(tx);
  db_q(tx, SQL_session_take, "nssnnss", s->worker, s->instance, s->boot, s->conn, s->m->id, s->peer, s->machine);
  db_q(tx, SQL_session_builds, "nnn", s->worker, s->m->id, s->m->incarnation);
  db_q(tx, SQL_session_logs, "n", s->worker);
  db_q(tx, SQL_session_read, "n", s->worker);
  db_q(tx, SQL_work_cleaning, "n", s->worker);
  db_q(tx, SQL_session_facts, "ns", s->worker, s->facts);
  db_send(tx, adopted, s);
}

static void ask_inventory(struct session *s)
{
  struct master *m = s->m;

  sm_move(&s->sm, SESSION_INVENTORY);
  session_have_clear(s);
  if (s->welcomed) {
    wire_put(link_out(s->link), VERB_inventory, "");
    return;
  }
  s->welcomed = true;
  if (link_dialled(s->link))
    dials_welcomed(m->dials, s->name);
  wire_put(link_out(s->link), VERB_welcome, "nnsnnns", (int64_t)WIRE_VERSION, s->number, m->cluster, m->incarnation, (int64_t)LINK_PING_MS, m->conf->window_ms, "-");
  link_trust(s->link);
}

/* The database did not do it. Where it is away, the session waits for it; where it is there and refused, the worker is to come again, since nothing else would set it off. */
static void not_adopted(struct session *s, bool refused)
{
  if (!s->welcomed)
    session_busy(s);
  else if (refused)
    session_close(s, "database");
  else
    session_db_down(s);
}

static void loaded_one(struct session *s)
{
  if (--s->loading == 0 && s->sm.state == SESSION_ADOPT)
    ask_inventory(s);
  session_maybe_free(s);
}

/* Rows are read a second time once all pipelines are here: simpler than keeping copies, and adoptions are rare. */
static void pipeline_here(bool ok, void *arg)
{
  struct session *s = arg;

  if (--s->loading == 0 && s->sm.state == SESSION_ADOPT) {
    if (ok && db_is_up(s->m->db))
      session_adopt(s);
    else if (db_is_up(s->m->db))
      not_adopted(s, true);
    else
      session_db_down(s);
  }
  session_maybe_free(s);
}

static void spec_here(struct db_res *res, void *arg)
{
  struct spec_wait *w = arg;
  struct session *s = w->s;

  if (db_err(res) == ERR_FAILED && s->sm.state == SESSION_ADOPT) {
    log_error("worker", "%s: %s", s->name, db_errtext(res));
    not_adopted(s, true); /* what was never sent would count as lost */
  }
  if (!db_err(res) && s->sm.state == SESSION_ADOPT) {
    list_each(it, &s->runs) {
      struct run *r = list_of(it, struct run, node);
      size_t nspec, nspans, nz;
      const void *spec, *spans, *z;
      struct have *h, *before;
      if (r->cmd.n != w->cmd || !db_rows(res, 0))
        continue;
      spec = db_bytes(res, 0, 0, 0, &nspec);
      spans = db_bytes(res, 0, 0, 1, &nspans);
      z = db_bytes(res, 0, 0, 2, &nz);
      run_adopted_output(r, spans, nspans, z, nz, db_num(res, 0, 0, 3));
      run_more_adopt(r, res, 2);
      h = xcalloc(1, sizeof *h + nspec);
      h->same = w->same;
      h->nspec = nspec;
      if (nspec)
        memcpy(h->spec, spec, nspec);
      h->secrets = secret_rows_take(res, 1);
      before = map_set_n(s->specs, (uint64_t)r->cmd.n, h);
      if (before) /* of a taking over that came to nothing */
        secret_rows_free(before->secrets);
      free(before);
    }
  }
  free(w);
  loaded_one(s);
}

static void make_runs(struct session *s, struct db_res *res)
{
  int st = s->first + ADOPT_READ;

  for (int i = 0; i < db_rows(res, st); i++) {
    struct pipe_ref *pipe = pipes_ref(s->m, db_num(res, st, i, 15), db_str(res, st, i, 3));
    struct run *r = run_adopt(s, res, st, i, pipe);
    struct spec_wait *w;
    struct db_tx *tx;
    char *names;
    if (!r || !r->cmd.n)
      continue;
    w = xcalloc(1, sizeof *w);
    *w = (struct spec_wait){ s, r->cmd.n, !strcmp(db_str(res, st, i, 28), s->instance) && !strcmp(db_str(res, st, i, 29), s->boot) };
    s->loading++;
    names = run_secrets_all(r, NULL, 0);
    tx = db_tx(s->m->db, DB_ANY);
    db_q(tx, SQL_command_spec, "n", r->cmd.n);
    db_q(tx, SQL_secrets_named, "s", names ? names : "{}");
    db_q(tx, SQL_command_logs, "n", r->cmd.n);
    free(names);
    db_send(tx, spec_here, w);
  }
}

/* true: all pipelines of the rows are here */
static bool pipelines_here(struct session *s, struct db_res *res)
{
  int st = s->first + ADOPT_READ;
  bool all = true;

  for (int i = 0; i < db_rows(res, st); i++) {
    struct pipe_ref *pipe = pipes_ref(s->m, db_num(res, st, i, 15), db_str(res, st, i, 3));
    if (pipe) {
      pipes_unref(pipe);
      continue;
    }
    all = false;
    s->loading++;
    pipes_load(s->m, db_num(res, st, i, 15), db_str(res, st, i, 3), pipeline_here, s);
  }
  return all;
}

static void adopted(struct db_res *res, void *arg)
{
  struct session *s = arg;

  s->in_tx = false;
  if (s->sm.state == SESSION_CLOSED) {
    if (!db_err(res)) { /* its link closed meanwhile, and the row says that it is connected */
      s->number = db_num(res, s->first, 0, 0);
      session_tell_lost(s);
    }
    session_maybe_free(s);
    return;
  }
  if (db_err(res) == ERR_FAILED && s->number && !strcmp(db_sqlstate(res), "22012")) {
    session_close(s, "replaced");
    return;
  }
  if (db_err(res) == ERR_FAILED && !strcmp(db_sqlstate(res), "22012")) {
    session_refuse_copied(s);
    return;
  }
  if (db_err(res) == ERR_FAILED && !strcmp(db_sqlstate(res), NO_MEMBER)) {
    if (s->welcomed)
      session_close(s, "replaced");
    else
      session_refuse(s, "name", "%s is no member of the pool %s any more", s->name, s->pool);
    return;
  }
  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("worker", "%s: %s", s->name, db_errtext(res));
    not_adopted(s, db_err(res) == ERR_FAILED);
    return;
  }
  s->number = db_num(res, s->first, 0, 0);
  work_adopted(s, res, s->first + ADOPT_CLEANING);
  events_kick(s->m->events);
  if (!pipelines_here(s, res))
    return;
  make_runs(s, res);
  if (!s->loading)
    ask_inventory(s);
}

/* ---- inventory ---- */

void session_have(struct session *s, struct wire_msg *m)
{
  struct id cmd = wire_id(m, 0);
  const char *state = wire_str(m, 2);
  struct have *h;

  s->told++;
  if (m->bad || s->sm.state != SESSION_INVENTORY || strcmp(wire_str(m, 3), "0"))
    return;
  h = xcalloc(1, sizeof *h);
  h->cmd = cmd;
  snprintf(h->state, sizeof h->state, "%s", state);
  free(map_set_n(s->have, (uint64_t)cmd.n, h));
}

static bool is_ours(struct session *s, const struct have *h)
{
  list_each(it, &s->runs)
    if (!str_id_cmp(list_of(it, struct run, node)->cmd, h->cmd))
      return true;
  return false;
}

void session_listed(struct session *s, struct wire_msg *m)
{
  struct have *h;
  size_t at = 0;
  int runs = 0;

  if (s->sm.state != SESSION_INVENTORY || m->bad)
    return;
  if (wire_num(m, 0) != s->told) {
    session_close(s, "protocol");
    return;
  }
  while ((h = map_next(s->have, &at)))
    if (!is_ours(s, h))
      session_forget(s, h->cmd);
  sm_move(&s->sm, SESSION_READY);
  list_each(it, &s->runs) {
    struct run *r = list_of(it, struct run, node);
    struct have *spec = r->cmd.n ? map_get_n(s->specs, (uint64_t)r->cmd.n) : NULL;
    h = r->cmd.n ? map_get_n(s->have, (uint64_t)r->cmd.n) : NULL;
    if (h && str_id_cmp(h->cmd, r->cmd))
      h = NULL;
    runs++;
    run_reconcile(r, h ? h->state : NULL, spec && spec->same, spec ? spec->spec : NULL, spec ? spec->nspec : 0, spec ? spec->secrets : NULL);
    if (spec)
      spec->secrets = NULL;
  }
  session_specs_clear(s);
  session_have_clear(s);
  log_info("worker", "%s ready from=%s slots=%d builds=%d", s->name, s->peer, s->slots, runs);
  dispatch_kick(s->m->dispatch);
  order_look(s);
}
