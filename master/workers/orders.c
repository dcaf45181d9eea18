#include "master/workers/orders.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/workers/dial.h"
#include "master/workers/offer.h"
#include "master/workers/session_int.h"
#include "proto/records.h"

enum { PART = 64 << 10, PARTS_MORE = 16, WHY_MAX = 500, TRIES_MAX = 3 };
enum { KIND_RESTART, KIND_UPGRADE, KIND_STOP, KINDS };
static const char *const kinds[KINDS] = { "restart", "upgrade", "stop" };

static const struct sm_row order_rows[ORDER_STATES] = {
  [ORDER_NONE] = { "none", SM_TO(ORDER_READ) },
  [ORDER_READ] = { "read", SM_TO(ORDER_NONE) | SM_TO(ORDER_DRAIN) | SM_TO(ORDER_ASK) | SM_TO(ORDER_NOTE) | SM_TO(ORDER_END) },
  [ORDER_DRAIN] = { "drain", SM_TO(ORDER_READ) | SM_TO(ORDER_NONE) },
  [ORDER_ASK] = { "ask", SM_TO(ORDER_NOTE) | SM_TO(ORDER_END) | SM_TO(ORDER_NONE) },
  [ORDER_NOTE] = { "note", SM_TO(ORDER_TOLD) | SM_TO(ORDER_READ) | SM_TO(ORDER_NONE) },
  [ORDER_TOLD] = { "told", SM_TO(ORDER_READ) | SM_TO(ORDER_END) | SM_TO(ORDER_NONE) },
  [ORDER_END] = { "end", SM_TO(ORDER_NONE) },
};

void order_init(struct order *o)
{
  memset(o, 0, sizeof *o);
  sm_init(&o->sm, "order", order_rows, ORDER_STATES, ORDER_NONE);
}

void order_free(struct order *o)
{
  free(o->mark);
  free(o->program);
  o->mark = o->program = NULL;
}

static bool is(const struct session *s, enum order_state st) { return s->order.sm.state == (int)st; }

static struct db_tx *begin_tx(struct session *s)
{
  s->order.txs++;
  return db_tx(s->m->db, (uint64_t)s->worker);
}

/* False: the session is gone, perhaps freed by this call. */
static bool tx_done(struct session *s, struct db_res *res)
{
  s->order.txs--;
  if (s->sm.state == SESSION_CLOSED) {
    session_maybe_free(s);
    return false;
  }
  if (db_err(res) == ERR_FAILED)
    log_error("worker", "%s: %s", s->name, db_errtext(res));
  return true;
}

/* Nothing is under way any more. Where somebody has kicked meanwhile, it is read again. */
static void rest(struct session *s)
{
  struct order *o = &s->order;

  sm_move(&o->sm, ORDER_NONE);
  o->req = 0;
  order_free(o);
  if (o->again)
    order_look(s);
}

/* ---- the end ---- */

static void ended(struct db_res *res, void *arg)
{
  struct session *s = arg;

  if (s->order.kind == KIND_STOP)
    dials_stopped(s->m->dials, s->name, true);
  if (!tx_done(s, res))
    return;
  if (!db_err(res)) {
    events_kick(s->m->events);
    dispatch_pauses_changed(s->m->dispatch);
  }
  if (s->order.kind != KIND_STOP)
    s->order.leaving = false;
  rest(s);
}

/* It is over, by what the row says too. why: NULL for nothing to add. */
static void end(struct session *s, bool good, const char *why)
{
  struct db_tx *tx = begin_tx(s);

  sm_move(&s->order.sm, ORDER_END);
  if (good)
    log_info("worker", "%s: %s is done%s%s", s->name, kinds[s->order.kind], why ? ": " : "", why ? why : "");
  else
    log_warn("worker", "%s: %s failed: %s", s->name, kinds[s->order.kind], why);
  if (good && s->order.kind == KIND_STOP)
    dials_stopped(s->m->dials, s->name, false);
  db_q(tx, SQL_order_end, "nnlss", s->worker, s->order.number, (int)good, why, s->host.version);
  db_send(tx, ended, s);
}

printf_like(2, 3) static void fail(struct session *s, const char *fmt, ...)
{
  va_list ap;
  char *why;

  va_start(ap, fmt);
  why = xvasprintf(fmt, ap);
  va_end(ap);
  end(s, false, why);
  free(why);
}

/* The worker said no: its word. */
static void refused(struct session *s, const char *tag, const char *blob, size_t n)
{
  char *text = utf8_text(blob, n, WHY_MAX, true);

  fail(s, "%s", *text ? text : tag);
  free(text);
}

/* ---- telling it ---- */

static void say(struct session *s)
{
  struct order *o = &s->order;

  o->req = ++s->next_req;
  if (o->kind == KIND_STOP)
    wire_put(link_out(s->link), VERB_stop, "n", o->req);
  else
    wire_put(link_out(s->link), VERB_restart, "ns", o->req, o->kind == KIND_UPGRADE ? o->sum : "-");
}

static void noted(struct db_res *res, void *arg)
{
  struct session *s = arg;

  if (!tx_done(s, res))
    return;
  if (db_err(res) || !session_ready(s)) {
    rest(s);
  } else if (!db_rows(res, 0)) { /* another one has taken its place */
    s->order.again = true;
    rest(s);
  } else {
    sm_move(&s->order.sm, ORDER_TOLD);
    say(s);
  }
}

/* What is about to be said is in the row first: whatever becomes of link and master, the next session knows what to look for. */
static void note(struct session *s, const char *mark)
{
  struct db_tx *tx = begin_tx(s);

  sm_move(&s->order.sm, ORDER_NOTE);
  db_q(tx, SQL_order_sent, "nnnss", s->worker, s->number, s->order.number, mark, s->host.version);
  db_send(tx, noted, s);
}

/* ---- the program ---- */

/* The next part, from o->off on; an empty one asks how much is there. */
static void send_part(struct session *s, bool anew, size_t most)
{
  struct order *o = &s->order;
  size_t n = o->size - o->off < most ? o->size - o->off : most, head;
  struct buf blob;

  buf_init(&blob, BUF_NO_MAX);
  records_putf(&blob, "size", "%zu", o->size);
  records_put(&blob, "sum", o->sum);
  if (anew)
    records_put(&blob, "anew", "1");
  head = blob.len;
  buf_add(&blob, o->program + o->off, n);
  o->req = ++s->next_req;
  wire_put_blob(link_out(s->link), VERB_upgrade, blob.data, blob.len, "nnn", o->req, (int64_t)o->off, (int64_t)head);
  buf_free(&blob);
}

/* A program that is offered for it. False: it was ended. */
static bool find_program(struct session *s)
{
  struct order *o = &s->order;
  const struct offer *of;

  o->program = *s->host.kind ? offer_read(s->m, s->host.kind, &of) : NULL;
  if (!o->program) {
    fail(s, "no worker program for %s is handed out here: /download/ lists what there is, the key `downloads` says from where", *s->host.kind ? s->host.kind : "its kind of host");
    return false;
  }
  o->size = (size_t)of->st.st_size;
  snprintf(o->sum, sizeof o->sum, "%s", of->sha256);
  snprintf(o->version, sizeof o->version, "%s", of->version);
  if (!o->downgrade && *o->version && *s->host.version && offer_compare(o->version, s->host.version) < 0) {
    fail(s, "the worker has version %s, which is newer than %s, the one that is handed out here; --downgrade takes that nevertheless", s->host.version, o->version);
    return false;
  }
  return true;
}

static void part_told(struct session *s, const char *records, size_t n)
{
  struct order *o = &s->order;
  const char *have = records_get(records, n, "have"), *no = records_get(records, n, "refused");
  int64_t off;

  if (str_eq(records_get(records, n, "running"), "1")) {
    end(s, true, o->sent ? NULL : "it was that program already");
  } else if (o->tries >= TRIES_MAX) {
    fail(s, "it was told %d times, and still runs another program", o->tries);
  } else if (no) {
    refused(s, "refused", no, strlen(no));
  } else if (str_eq(records_get(records, n, "complete"), "1")) {
    note(s, o->sum);
  } else if (++o->parts > 2 * (int)(o->size / PART) + PARTS_MORE || !have || str_number(have, strlen(have), &off) || (uint64_t)off >= o->size) {
    fail(s, "the worker says what can't be about how much of the program it has");
  } else {
    o->off = (size_t)off;
    send_part(s, false, PART);
  }
}

/* ---- what is to be done ---- */

/* Columns of SQL_order_get. */
enum { NUMBER, KIND, SENT, DRAIN, DOWNGRADE, MARK, TRIES };

static int kind_of(const char *word)
{
  for (int i = 0; i < KINDS; i++)
    if (!strcmp(kinds[i], word))
      return i;
  return KIND_RESTART; /* the table has a check */
}

static void go(struct session *s)
{
  struct order *o = &s->order;

  if (o->sent && o->kind != KIND_UPGRADE && o->mark && strcmp(o->mark, s->host.started)) {
    end(s, true, NULL); /* that agent is no more */
  } else if (!session_has(s, ORDERS_FEATURE)) {
    fail(s, "its drover-worker is too old to know how (feature " ORDERS_FEATURE "): install the one of this master there");
  } else if (o->tries >= TRIES_MAX && o->kind != KIND_UPGRADE) {
    fail(s, "it was told %d times, and still is the one that it was", o->tries);
  } else if (o->drain && session_runs(s)) {
    sm_move(&o->sm, ORDER_DRAIN);
  } else if (o->kind != KIND_UPGRADE) {
    o->leaving = o->drain;
    note(s, s->host.started);
  } else if (find_program(s)) {
    o->leaving = o->drain;
    sm_move(&o->sm, ORDER_ASK);
    send_part(s, !o->sent, 0);
  }
}

static void got(struct db_res *res, void *arg)
{
  struct session *s = arg;
  struct order *o = &s->order;

  if (!tx_done(s, res))
    return;
  if (db_err(res) || !db_rows(res, 0) || !session_ready(s)) {
    o->leaving = o->leaving && db_err(res); /* else of an order that is none any more */
    rest(s);
    return;
  }
  o->number = db_num(res, 0, 0, NUMBER);
  o->kind = kind_of(db_str(res, 0, 0, KIND));
  o->sent = db_num(res, 0, 0, SENT) != 0;
  o->drain = db_num(res, 0, 0, DRAIN) != 0;
  o->downgrade = db_num(res, 0, 0, DOWNGRADE) != 0;
  o->mark = db_dup(res, 0, 0, MARK);
  o->tries = (int)db_num(res, 0, 0, TRIES);
  o->off = 0;
  o->parts = 0;
  go(s);
}

void order_look(struct session *s)
{
  struct order *o = &s->order;
  struct db_tx *tx;

  o->again = false;
  if (!session_ready(s) || s->m->stopping || !db_is_up(s->m->db))
    return; /* the next session looks, or this one when it is ready again */
  if (!is(s, ORDER_NONE) && !is(s, ORDER_DRAIN) && !(is(s, ORDER_TOLD) && !o->req)) {
    o->again = true;
    return;
  }
  order_free(o);
  sm_move(&o->sm, ORDER_READ);
  tx = begin_tx(s);
  db_q(tx, SQL_order_get, "n", s->worker);
  db_send(tx, got, s);
}

void order_tick(struct session *s)
{
  if (is(s, ORDER_DRAIN) && session_ready(s) && !session_runs(s))
    order_look(s);
}

bool order_answered(struct session *s, int64_t req, const char *tag, const char *blob, size_t n)
{
  struct order *o = &s->order;
  bool ok = !strcmp(tag, "ok");

  if (!req || req != o->req)
    return false;
  o->req = 0;
  if (!db_is_up(s->m->db) || !session_ready(s))
    rest(s); /* the row is as it was: it is asked again */
  else if (!ok)
    refused(s, tag, blob ? blob : "", blob ? n : 0);
  else if (is(s, ORDER_ASK))
    part_told(s, blob && records_valid(blob, n) ? blob : "", blob && records_valid(blob, n) ? n : 0);
  else if (o->kind == KIND_STOP)
    end(s, true, NULL);
  /* else: it is about to start anew; its next session tells */
  return true;
}
