/* The database as a whole: which connection a transaction takes, going down and coming back, and the
   one place where callbacks are made.

   down ─▶ connecting ─▶ up
     ▲─────────┴──────────┘

   All connections come and go together: one recovery path, and an answer ERR_AWAY means the same
   wherever it came from. All callbacks are made in db_turn, from the loop's idle phase, never inside a
   call of ours. */
#include "master/db/db_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

static const struct sm_row db_states[DB_STATES] = {
  [DB_NEW] = { "new", SM_TO(DB_CONNECTING) | SM_TO(DB_CLOSING) },
  [DB_DOWN] = { "down", SM_TO(DB_CONNECTING) | SM_TO(DB_CLOSING) },
  [DB_CONNECTING] = { "connecting", SM_TO(DB_UP) | SM_TO(DB_DOWN) | SM_TO(DB_CLOSING) },
  [DB_UP] = { "up", SM_TO(DB_DOWN) | SM_TO(DB_CLOSING) },
  [DB_CLOSING] = { "closing", 0 },
};

static void db_turn(struct db *db);
static void on_timer(uv_timer_t *t);
static void on_turn(uv_idle_t *t) { db_turn(t->data); }

struct db *db_new(uv_loop_t *loop, const char *conninfo, int work, int read, const struct db_ops *ops,
                  void *ctx)
{
  struct db *db = xcalloc(1, sizeof *db);

  assert(work > 0 && read >= 0);
  db->loop = loop;
  db->conninfo = xstrdup(conninfo);
  db->work = work;
  db->read = read;
  db->ops = *ops;
  db->ctx = ctx;
  list_init(&db->answered);
  sm_init(&db->sm, "database", db_states, DB_STATES, DB_NEW);
  buf_init(&db->heard, DB_HEARD_MAX);
  db->conns = xcalloc((size_t)(work + read + 1), sizeof *db->conns);
  for (int i = 0; i < work + read; i++)
    conn_init(&db->conns[i], db, i < work ? i : i - work, i >= work);
  uv_idle_init(loop, &db->turn);
  uv_timer_init(loop, &db->timer);
  uv_timer_init(loop, &db->retry);
  db->turn.data = db->timer.data = db->retry.data = db;
  db->handles = 3;
  db->backoff = DB_BACKOFF_MIN_MS;
  return db;
}

void db_hear(struct db *db, const char *channel, void (*heard)(void *arg, const char *text), void *arg)
{
  assert(db->sm.state == DB_NEW && !db->ears);
  db->ears = 1;
  db->channel = channel;
  db->hear = heard;
  db->hear_arg = arg;
  conn_init(&db->conns[db->work + db->read], db, 0, true);
}

static int count(const struct db *db) { return db->work + db->read + db->ears; }

bool db_is_up(const struct db *db) { return db->sm.state == DB_UP; }

void db_wake(struct db *db)
{
  if (!uv_is_closing((uv_handle_t *)&db->turn)) /* else db_handle_closed answers */
    uv_idle_start(&db->turn, on_turn);
}

/* ---- going down and coming back ---- */

static void set_why(struct db *db, const char *why)
{
  char *text = xstrdup(why && *why ? why : "no reason given");
  size_t n = strlen(text);

  while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
    text[--n] = 0;
  for (char *p = text; *p; p++)
    if (*p == '\n' || *p == '\t')
      *p = ' ';
  free(db->why);
  db->why = text;
}

static void drop_all(struct db *db)
{
  for (int i = 0; i < count(db); i++)
    conn_drop(&db->conns[i]);
}

static void connect_all(struct db *db)
{
  sm_move(&db->sm, DB_CONNECTING);
  uv_timer_start(&db->timer, on_timer, DB_CONNECT_MS, 0);
  for (int i = 0; i < count(db); i++)
    if (!conn_open(&db->conns[i]))
      return;
}

void db_lost(struct db *db, const char *why)
{
  int64_t now = clock_mono_ms();
  bool was_up = db->sm.state == DB_UP, same;
  char *before = xstrdup(db->why);

  assert(db->sm.state == DB_UP || db->sm.state == DB_CONNECTING);
  set_why(db, why);
  same = before && !strcmp(before, db->why);
  free(before);
  sm_move(&db->sm, DB_DOWN);
  drop_all(db);
  if (was_up) {
    db->down_since = now;
    db->backoff = DB_BACKOFF_MIN_MS;
    log_warn("db", "connection lost: %s", db->why);
    db->complained = now;
  } else if (!same || now - db->complained >= DB_COMPLAIN_MS) {
    log_warn("db", "can't connect: %s", db->why);
    db->complained = now;
  }
  uv_timer_start(&db->timer, on_timer, (uint64_t)db->backoff, 0);
  db->backoff = db->backoff * 2 > DB_BACKOFF_MAX_MS ? DB_BACKOFF_MAX_MS : db->backoff * 2;
  db_wake(db);
}

void db_conn_ready(struct db *db)
{
  for (int i = 0; i < count(db); i++)
    if (db->conns[i].sm.state != CONN_READY)
      return;
  sm_move(&db->sm, DB_UP);
  if (db->ever_up)
    log_info("db", "up again after %.1f s", (double)(clock_mono_ms() - db->down_since) / 1000);
  else
    log_info("db", "up, %d + %d connections", db->work, db->read);
  db->ever_up = true;
  db->backoff = DB_BACKOFF_MIN_MS;
  uv_timer_start(&db->timer, on_timer, DB_WATCH_MS, DB_WATCH_MS);
  db_wake(db);
}

static void look_for_silence(struct db *db)
{
  for (int i = 0; i < count(db); i++) {
    struct conn *c = &db->conns[i];

    if (!list_empty(&c->sent) && clock_mono_ms() - c->heard > DB_SILENT_MS) {
      db_lost(db, "the server does not answer");
      return;
    }
  }
}

static void on_timer(uv_timer_t *t)
{
  struct db *db = t->data;

  switch (db->sm.state) {
  case DB_DOWN: connect_all(db); break;
  case DB_CONNECTING: db_lost(db, "connecting took too long"); break;
  case DB_UP: look_for_silence(db); break;
  default: break;
  }
}

void db_start(struct db *db)
{
  db->down_since = clock_mono_ms();
  connect_all(db);
}

void db_kick(struct db *db, const char *why)
{
  if (db->sm.state == DB_UP || db->sm.state == DB_CONNECTING)
    db_lost(db, why);
  if (db->sm.state == DB_DOWN) {
    db->backoff = DB_BACKOFF_MIN_MS;
    uv_timer_start(&db->timer, on_timer, DB_BACKOFF_MIN_MS, 0);
  }
}

/* ---- transactions ---- */

static bool is_stalled(const struct conn *c, int64_t now)
{
  return !list_empty(&c->sent) && now - c->heard > DB_STALLED_MS;
}

static struct conn *least_busy(struct db *db, int from, int count)
{
  struct conn *best = &db->conns[from];
  int64_t now = clock_mono_ms();
  bool stalled = is_stalled(best, now);

  for (int i = from + 1; i < from + count; i++) {
    struct conn *c = &db->conns[i];
    bool this_one = is_stalled(c, now);
    if (this_one == stalled ? c->load < best->load || (c->load && c->load == best->load && c->heard > best->heard) : stalled) { /* what has just answered is not one that waits */
      best = c;
      stalled = this_one;
    }
  }
  return best;
}

static struct conn *conn_of(struct db *db, uint64_t key)
{
  if (key == DB_READ && db->read)
    return least_busy(db, db->work, db->read);
  if (key == DB_EAR)
    return &db->conns[db->work + db->read];
  if (key == DB_READ || key == DB_ANY)
    return least_busy(db, 0, db->work);
  key *= UINT64_C(0x9e3779b97f4a7c15); /* keys that count in steps are spread too */
  return &db->conns[(key >> 32) % (uint64_t)db->work];
}

void db_send(struct db_tx *tx, db_cb *cb, void *arg)
{
  struct db *db = tx->db;

  tx->cb = cb;
  tx->arg = arg;
  if (db->sm.state != DB_UP) {
    tx_answer(tx, ERR_AWAY, db->why ? db->why : "not connected yet");
    return;
  }
  conn_add(conn_of(db, tx->key), tx);
  db_wake(db);
}

static void on_retry(uv_timer_t *t)
{
  struct db *db = t->data;

  for (int i = 0; i < count(db); i++)
    conn_again(&db->conns[i]);
  db_wake(db);
}

void db_retry_later(struct db *db)
{
  if (!uv_is_active((uv_handle_t *)&db->retry))
    uv_timer_start(&db->retry, on_retry, DB_RETRY_MS, 0);
}

/* ---- callbacks ---- */

static void answer(struct db_tx *tx)
{
  struct db_res res = { tx };

  list_remove(&tx->link);
  if (tx->cb)
    tx->cb(&res, tx->arg);
  else if (tx->err)
    log_warn("db", "transaction failed: %s", tx->errtext);
  tx_free(tx);
}

static void answer_all(struct db *db)
{
  struct list now; /* what a callback sends while we are down waits for the next turn */

  list_init(&now);
  while (!list_empty(&db->answered)) {
    struct list *n = db->answered.next;

    list_remove(n);
    list_push(&now, n);
  }
  while (!list_empty(&now))
    answer(list_of(now.next, struct db_tx, link));
}

/* ---- hearing ---- */

void db_heard(struct db *db, const char *text)
{
  if (db->heard.len + strlen(text) < DB_HEARD_MAX)
    buf_add(&db->heard, text, strlen(text) + 1);
  db_wake(db);
}

static void tell_heard(struct db *db)
{
  struct buf now = db->heard;

  if (!now.len)
    return;
  buf_init(&db->heard, DB_HEARD_MAX);
  for (size_t at = 0; at < now.len && db->sm.state == DB_UP; at += strlen(now.data + at) + 1)
    db->hear(db->hear_arg, now.data + at);
  buf_free(&now);
}

static void begin_hearing(struct db *db)
{
  struct db_tx *tx = db_tx(db, DB_EAR);
  char *text = xasprintf("listen %s", db->channel);

  db_q_text(tx, text, "");
  db_send(tx, NULL, NULL);
  free(text);
}

/* ---- turns ---- */

static void tell_state(struct db *db)
{
  bool up = db->sm.state == DB_UP;

  if (up == db->told_up || db->sm.state == DB_CLOSING)
    return;
  db->told_up = up;
  if (up && db->ears) /* before anything is done for which a hint would count */
    begin_hearing(db);
  if (up && db->ops.on_up)
    db->ops.on_up(db->ctx);
  else if (!up && db->ops.on_down)
    db->ops.on_down(db->ctx, db->why);
}

static void on_handle_closed(uv_handle_t *h) { db_handle_closed(h->data); }

static void db_turn(struct db *db)
{
  uv_idle_stop(&db->turn);
  answer_all(db);
  tell_state(db);
  tell_heard(db);
  if (db->sm.state == DB_CLOSING) {
    if (list_empty(&db->answered) && !uv_is_closing((uv_handle_t *)&db->turn)) {
      uv_close((uv_handle_t *)&db->turn, on_handle_closed);
      uv_close((uv_handle_t *)&db->timer, on_handle_closed);
      uv_close((uv_handle_t *)&db->retry, on_handle_closed);
    }
    return;
  }
  for (int i = 0; i < count(db) && db->sm.state == DB_UP; i++)
    conn_fill(&db->conns[i]);
}

/* ---- end ---- */

void db_close(struct db *db, void (*done)(void *arg), void *arg)
{
  assert(db->sm.state != DB_CLOSING);
  db->done = done;
  db->done_arg = arg;
  set_why(db, "the database was closed");
  sm_move(&db->sm, DB_CLOSING);
  uv_timer_stop(&db->timer);
  drop_all(db);
  db_wake(db);
}

void db_handle_closed(struct db *db)
{
  if (--db->handles > 0)
    return;
  while (!list_empty(&db->answered)) /* sent while the last handles were closing */
    answer(list_of(db->answered.next, struct db_tx, link));
  for (int i = 0; i < count(db); i++)
    conn_free(&db->conns[i]);
  for (int i = 0; i < SQL_COUNT; i++)
    free(db->broken[i]);
  if (db->done)
    db->done(db->done_arg);
  buf_free(&db->heard);
  free(db->conns);
  free(db->conninfo);
  free(db->why);
  free(db);
}
