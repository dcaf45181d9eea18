/* One connection: connecting, the pipeline of segments, reading results.

   Happy path: conn_open, PQconnectPoll on poll events, CONN_READY; conn_fill puts transactions into the
   pipeline, each ended by a sync (one implicit transaction), results come back in order. A statement is
   prepared on first use, in a segment of its own before the transaction, so that an error elsewhere
   can't undo it.
   Failure: whatever ends the connection (socket, FATAL, SQLSTATE 57P, 08) goes to db_lost, which drops
   all connections. */
#include "master/db/db_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

static const struct sm_row conn_rows[CONN_STATES] = {
  [CONN_OFF] = { "off", SM_TO(CONN_CONNECTING) },
  [CONN_CONNECTING] = { "connecting", SM_TO(CONN_READY) | SM_TO(CONN_OFF) },
  [CONN_READY] = { "ready", SM_TO(CONN_OFF) },
};

/* Lives until libuv has closed it, which may be after the connection has a new one. */
struct conn_poll {
  uv_poll_t handle;
  struct conn *conn;
  struct db *db;
};

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_poll_closed(uv_handle_t *handle);

void conn_init(struct conn *c, struct db *db, int n, bool read)
{
  c->db = db;
  c->read = read;
  snprintf(c->name, sizeof c->name, "%s %d", read ? "read" : "work", n);
  sm_init(&c->sm, "connection", conn_rows, CONN_STATES, CONN_OFF);
  list_init(&c->ready);
  list_init(&c->sent);
  list_init(&c->again);
  c->keys = map_new();
}

void conn_free(struct conn *c)
{
  assert(c->sm.state == CONN_OFF && list_empty(&c->ready) && list_empty(&c->sent));
  map_free(c->keys);
}

/* ---- connecting ---- */

static void poll_drop(struct conn *c)
{
  if (!c->poll)
    return;
  c->poll->conn = NULL;
  uv_close((uv_handle_t *)&c->poll->handle, on_poll_closed);
  c->poll = NULL;
}

static void on_poll_closed(uv_handle_t *handle)
{
  struct conn_poll *p = handle->data;
  struct db *db = p->db;

  free(p);
  db_handle_closed(db);
}

static bool poll_want(struct conn *c, int events)
{
  if (!c->poll) {
    struct conn_poll *p = xcalloc(1, sizeof *p);

    if (PQsocket(c->pg) < 0 || uv_poll_init(c->db->loop, &p->handle, PQsocket(c->pg))) {
      free(p);
      return false;
    }
    p->handle.data = p;
    p->conn = c;
    p->db = c->db;
    c->poll = p;
    c->db->handles++;
    c->events = 0;
  }
  if (c->events != events && uv_poll_start(&c->poll->handle, events, on_poll))
    return false;
  c->events = events;
  return true;
}

static void on_notice(void *arg, const PGresult *res)
{
  struct conn *c = arg;
  const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

  log_debug("db", "%s: %s", c->name, text ? text : "notice");
}

/* Settings of every session, as options of the server process, after those of the given conninfo. */
static char *session_options(const struct conn *c)
{
  PQconninfoOption *all = PQconninfoParse(c->db->conninfo, NULL);
  const char *theirs = NULL;
  char *text;

  for (PQconninfoOption *o = all; o && o->keyword; o++)
    if (!strcmp(o->keyword, "options"))
      theirs = o->val;
  text = xasprintf("%s -c statement_timeout=%d -c lock_timeout=%d -c synchronous_commit=on"
                   " -c TimeZone=UTC -c DateStyle=ISO -c bytea_output=hex -c plan_cache_mode=%s"
                   " -c default_transaction_isolation=read\\ committed",
                   theirs ? theirs : "", c->read ? DB_READ_STATEMENT_MS : DB_WORK_STATEMENT_MS,
                   DB_LOCK_MS, c->read ? "auto" : "force_generic_plan"); /* the work's statements go by keys: planning each anew costs more than running it */
  PQconninfoFree(all);
  return text;
}

bool conn_open(struct conn *c)
{
  char *options = session_options(c);
  const char *const keys[] = { "dbname", "options", "application_name", "client_encoding",
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", NULL };
  const char *const values[] = { c->db->conninfo, options, "drover", "UTF8",
    "1", "10", "5", "3", "20000", NULL };

  assert(!c->pg && !c->poll);
  sm_move(&c->sm, CONN_CONNECTING);
  c->pg = PQconnectStartParams(keys, values, 1);
  free(options);
  if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD) {
    db_lost(c->db, c->pg ? PQerrorMessage(c->pg) : "no memory");
    return false;
  }
  PQsetNoticeReceiver(c->pg, on_notice, c);
  if (!poll_want(c, UV_WRITABLE)) {
    db_lost(c->db, "can't watch the socket");
    return false;
  }
  return true;
}

static void conn_connected(struct conn *c)
{
  if (PQsetnonblocking(c->pg, 1) || !PQenterPipelineMode(c->pg) || !poll_want(c, UV_READABLE)) {
    db_lost(c->db, PQerrorMessage(c->pg));
    return;
  }
  sm_move(&c->sm, CONN_READY);
  db_conn_ready(c->db);
}

static void conn_connect_step(struct conn *c)
{
  int events = 0;

  poll_drop(c); /* the next step may be on another socket, and closes this one */
  switch (PQconnectPoll(c->pg)) {
  case PGRES_POLLING_OK: conn_connected(c); return;
  case PGRES_POLLING_READING: events = UV_READABLE; break;
  case PGRES_POLLING_WRITING: events = UV_WRITABLE; break;
  default: db_lost(c->db, PQerrorMessage(c->pg)); return;
  }
  if (!poll_want(c, events))
    db_lost(c->db, "can't watch the socket");
}

/* ---- keys: one transaction of a key at a time, so that one sent again keeps its place ---- */

static bool keyed(const struct db_tx *tx)
{
  return tx->key != DB_ANY && tx->key != DB_READ && tx->key != DB_EAR;
}

void conn_add(struct conn *c, struct db_tx *tx)
{
  c->load++;
  if (keyed(tx)) {
    struct db_tx *leader = map_get_n(c->keys, tx->key);

    if (leader) {
      list_push(&leader->followers, &tx->link);
      return;
    }
    map_set_n(c->keys, tx->key, tx);
    tx->leads = true;
  }
  list_push(&c->ready, &tx->link);
}

static void take_over(struct list *from, struct list *to)
{
  if (list_empty(from))
    return;
  to->next = from->next;
  to->prev = from->prev;
  to->next->prev = to;
  to->prev->next = to;
  list_init(from);
}

/* It leads its key still, so nothing of that key has passed it. */
void conn_again(struct conn *c)
{
  while (!list_empty(&c->again)) {
    struct list *n = c->again.next;

    list_remove(n);
    list_push(&c->ready, n);
  }
}

static void key_release(struct conn *c, struct db_tx *tx)
{
  struct db_tx *next;

  if (!tx->leads)
    return;
  tx->leads = false;
  if (list_empty(&tx->followers)) {
    map_set_n(c->keys, tx->key, NULL);
    return;
  }
  next = list_of(tx->followers.next, struct db_tx, link);
  list_remove(&next->link);
  take_over(&tx->followers, &next->followers);
  map_set_n(c->keys, tx->key, next);
  next->leads = true;
  list_push(&c->ready, &next->link);
}

/* ---- sending ---- */

static bool end_segment(struct conn *c, struct segment *s)
{
  if (list_empty(&c->sent))
    c->heard = clock_mono_ms();
  list_push(&c->sent, &s->link);
  c->sent_count++;
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
  return PQsendPipelineSync(c->pg) == 1; /* without a system call each */
#else
  return PQpipelineSync(c->pg) == 1;
#endif
}

static bool send_prepare(struct conn *c, enum sql s)
{
  struct segment *seg = xcalloc(1, sizeof *seg);

  list_init(&seg->link);
  seg->prepare = s;
  c->prepared[s] = PREP_SENT;
  if (PQsendPrepare(c->pg, sql_name(s), sql_text(s), 0, NULL) && end_segment(c, seg))
    return true;
  if (list_empty(&seg->link))
    free(seg);
  return false;
}

static bool send_stmt(struct conn *c, const struct db_tx *tx, const struct stmt *q)
{
  const char *values[DB_PARAMS_MAX];
  int lengths[DB_PARAMS_MAX], formats[DB_PARAMS_MAX];
  const char *text = q->text ? q->text : sql_text(q->s);
  int binary = !strncmp(text, "/*b*/", 5);

  for (int i = 0; i < q->count; i++) {
    const struct param *p = &tx->params[q->first + i];

    values[i] = p->null ? NULL : tx->data.data + p->off;
    lengths[i] = p->len;
    formats[i] = p->binary;
  }
  if (q->text)
    return PQsendQueryParams(c->pg, text, q->count, NULL, values, lengths, formats, binary);
  return PQsendQueryPrepared(c->pg, sql_name(q->s), q->count, values, lengths, formats, binary);
}

static bool send_tx(struct conn *c, struct db_tx *tx)
{
  bool ok = true;

  for (int i = 0; ok && i < tx->count; i++)
    if (!tx->stmts[i].text && c->prepared[tx->stmts[i].s] == PREP_NO)
      ok = send_prepare(c, tx->stmts[i].s);
  tx->results = xcalloc((size_t)tx->count + 1, sizeof(PGresult *));
  for (int i = 0; ok && i < tx->count; i++)
    ok = send_stmt(c, tx, &tx->stmts[i]);
  list_remove(&tx->link);
  c->sent_bytes += tx->data.len;
  if (ok)
    return end_segment(c, &tx->seg);
  list_push(&c->sent, &tx->seg.link); /* for conn_drop to find */
  return false;
}

void conn_fill(struct conn *c)
{
  int flushed;

  if (c->sm.state != CONN_READY || list_empty(&c->ready))
    return;
  while (!list_empty(&c->ready) && c->sent_count < DB_WINDOW &&
         (list_empty(&c->sent) || c->sent_bytes < DB_WINDOW_BYTES))
    if (!send_tx(c, list_of(c->ready.next, struct db_tx, link))) {
      db_lost(c->db, PQerrorMessage(c->pg));
      return;
    }
  flushed = PQflush(c->pg);
  if (flushed < 0 || !poll_want(c, UV_READABLE | (flushed ? UV_WRITABLE : 0)))
    db_lost(c->db, PQerrorMessage(c->pg));
}

/* ---- receiving ---- */

static bool state_is(const PGresult *res, const char *prefix)
{
  const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

  return state && !strncmp(state, prefix, strlen(prefix));
}

/* 08P01 is a wrong number of parameters and the like: an error of the statement. */
static bool ends_connection(const PGresult *res)
{
  const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

  if (severity && (!strcmp(severity, "FATAL") || !strcmp(severity, "PANIC")))
    return true;
  return state_is(res, "57P") || (state_is(res, "08") && !state_is(res, "08P01"));
}

static char *error_line(const char *name, const PGresult *res)
{
  const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
  const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

  return xasprintf("%s: %s %s", name, state ? state : "?", text ? text : PQresultErrorMessage(res));
}

static void prepare_failed(struct conn *c, enum sql s, const PGresult *res)
{
  char **broken = &c->db->broken[s];
  char *line = error_line(sql_name(s), res);

  c->prepared[s] = PREP_NO;
  if (state_is(res, "57") || state_is(res, "55") || state_is(res, "40")) {
    free(line); /* time-out, lock: the transaction will prepare it again */
    return;
  }
  if (!*broken || strcmp(*broken, line))
    log_error("db", "statement refused: %s", line);
  free(*broken);
  *broken = line;
}

static void prepare_done(struct conn *c, enum sql s)
{
  c->prepared[s] = PREP_DONE;
  free(c->db->broken[s]);
  c->db->broken[s] = NULL;
}

static void stmt_failed(struct conn *c, struct db_tx *tx, const PGresult *res)
{
  const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

  if (tx->err) /* the first one counts */
    return;
  tx->err = ERR_FAILED;
  tx->failed = c->at;
  snprintf(tx->sqlstate, sizeof tx->sqlstate, "%s", state ? state : "");
  tx->errtext = error_line(tx_stmt_name(tx, c->at), res);
}

/* False: the connection is at its end. */
static bool got_result(struct conn *c, struct segment *s, PGresult *res)
{
  switch (PQresultStatus(res)) {
  case PGRES_COMMAND_OK:
  case PGRES_TUPLES_OK:
  case PGRES_EMPTY_QUERY:
    if (s->tx && c->at < s->tx->count && !s->tx->results[c->at]) {
      s->tx->results[c->at] = res;
      return true;
    }
    if (!s->tx)
      prepare_done(c, s->prepare);
    break;
  case PGRES_PIPELINE_ABORTED: break;
  case PGRES_FATAL_ERROR:
    if (ends_connection(res) || !PQresultErrorField(res, PG_DIAG_SQLSTATE)) {
      db_lost(c->db, PQresultErrorMessage(res));
      PQclear(res);
      return false;
    }
    if (s->tx)
      stmt_failed(c, s->tx, res);
    else
      prepare_failed(c, s->prepare, res);
    break;
  default:
    log_error("db", "%s: unexpected kind of result: %s",
              s->tx ? tx_stmt_name(s->tx, c->at) : "prepare", PQresStatus(PQresultStatus(res)));
    PQclear(res);
    db_lost(c->db, "unexpected kind of result");
    return false;
  }
  PQclear(res);
  return true;
}

/* 26000: the statement's prepare failed before. For good: what the server said then; else NULL. */
static const char *why_unprepared(const struct conn *c, const struct db_tx *tx)
{
  const struct stmt *q = tx->failed < tx->count ? &tx->stmts[tx->failed] : NULL;

  return q && !q->text && !strcmp(tx->sqlstate, "26000") ? c->db->broken[q->s] : NULL;
}

static bool worth_retry(const struct conn *c, const struct db_tx *tx)
{
  if (tx->tries >= DB_TRIES)
    return false;
  if (!strcmp(tx->sqlstate, "26000"))
    return !why_unprepared(c, tx);
  return !strcmp(tx->sqlstate, "40001") || !strcmp(tx->sqlstate, "40P01");
}

static void tx_done(struct conn *c, struct db_tx *tx)
{
  const char *broken;

  c->sent_bytes -= tx->data.len;
  if (tx->err && worth_retry(c, tx)) {
    log_debug("db", "again: %s", tx->errtext);
    tx->tries++;
    tx_reset(tx);
    list_push(&c->again, &tx->link);
    db_retry_later(c->db);
    return;
  }
  c->load--;
  key_release(c, tx);
  broken = tx->err ? why_unprepared(c, tx) : NULL;
  if (tx->err && !broken && !strncmp(tx->sqlstate, "42", 2))
    log_error("db", "statement refused: %s", tx->errtext);
  tx_answer(tx, tx->err, broken ? broken : tx->errtext);
}

static void segment_done(struct conn *c, struct segment *s)
{
  list_remove(&s->link);
  c->sent_count--;
  c->at = 0;
  if (s->tx)
    tx_done(c, s->tx);
  else
    free(s);
}

/* Takes all results that are there. False: lost. */
static bool read_results(struct conn *c)
{
  while (!list_empty(&c->sent) && !PQisBusy(c->pg)) {
    struct segment *s = list_of(c->sent.next, struct segment, link);
    PGresult *res = PQgetResult(c->pg);

    c->heard = clock_mono_ms();
    if (!res) { /* ends the results of one statement */
      c->at++;
      if (++c->nulls > 2) {
        db_lost(c->db, "libpq and the pipeline are out of step");
        return false;
      }
      continue;
    }
    c->nulls = 0;
    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
      PQclear(res);
      segment_done(c, s);
    } else if (!got_result(c, s, res)) {
      return false;
    }
  }
  return true;
}

static void take_heard(struct conn *c)
{
  PGnotify *n;

  while ((n = PQnotifies(c->pg))) {
    db_heard(c->db, n->extra);
    PQfreemem(n);
  }
}

static void conn_io(struct conn *c, int events)
{
  int flushed;

  if ((events & UV_READABLE) && !PQconsumeInput(c->pg)) {
    db_lost(c->db, PQerrorMessage(c->pg));
    return;
  }
  if (!read_results(c))
    return;
  take_heard(c);
  flushed = PQflush(c->pg);
  if (flushed < 0 || !poll_want(c, UV_READABLE | (flushed ? UV_WRITABLE : 0))) {
    db_lost(c->db, PQerrorMessage(c->pg));
    return;
  }
  conn_fill(c);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
  struct conn_poll *p = handle->data;
  struct conn *c = p->conn;

  assert(c);
  if (c->sm.state == CONN_CONNECTING)
    conn_connect_step(c);
  else if (status < 0)
    db_lost(c->db, uv_strerror(status));
  else
    conn_io(c, events);
}

/* ---- end ---- */

static void drop_tx(struct conn *c, struct db_tx *tx, const char *why)
{
  list_remove(&tx->link);
  if (tx->leads)
    map_set_n(c->keys, tx->key, NULL);
  tx->leads = false;
  tx_answer(tx, ERR_AWAY, why);
}

static void drop_with_followers(struct conn *c, struct db_tx *tx, const char *why)
{
  struct list followers;

  list_init(&followers);
  take_over(&tx->followers, &followers);
  drop_tx(c, tx, why);
  while (!list_empty(&followers))
    drop_tx(c, list_of(followers.next, struct db_tx, link), why);
}

void conn_drop(struct conn *c)
{
  const char *why = c->db->why ? c->db->why : "closed";

  while (!list_empty(&c->sent)) {
    struct segment *s = list_of(c->sent.next, struct segment, link);

    list_remove(&s->link);
    if (s->tx)
      drop_with_followers(c, s->tx, why);
    else
      free(s);
  }
  conn_again(c);
  while (!list_empty(&c->ready))
    drop_with_followers(c, list_of(c->ready.next, struct db_tx, link), why);
  c->sent_count = c->load = c->at = c->nulls = 0;
  c->sent_bytes = 0;
  memset(c->prepared, PREP_NO, sizeof c->prepared);
  poll_drop(c);
  if (c->pg)
    PQfinish(c->pg);
  c->pg = NULL;
  if (c->sm.state != CONN_OFF)
    sm_move(&c->sm, CONN_OFF);
}
