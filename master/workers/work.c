/* A worker's disk and its work folders: what is asked of the worker, and what follows. */
#include "master/workers/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/steps/step.h"
#include "master/workers/ops.h"
#include "master/workers/session_int.h"
#include "master/workers/work_clean.h"
#include "proto/records.h"

enum {
  TICK_MS = 500,
  DISK_MS = 30000,         /* free space is asked for so often */
  DISK_BUSY_MS = 5000,     /* and so often while builds run there, or where it is too little */
  DISK_SOON_MS = 1000,     /* after a build */
  LOOK_MS = 60000,         /* the folders are looked at so often */
  LOOK_SOON_MS = 5000,     /* after a build */
  SETTLE_MS = 1000,        /* after a removal for room: some file systems give blocks back a moment later */
  MEASURE_MS = 600000,     /* a folder is not measured more often */
  STORE_MS = 600000,       /* free space is written down so often, or when it has changed by a STORE_SHARE of the disk */
  STORE_SHARE = 64,
  ERROR_MAX = 300,
};

static const struct sm_row work_rows[WORK_STATES] = {
  [WORK_IDLE] = { "idle", SM_TO(WORK_LOOK) },
  [WORK_LOOK] = { "look", SM_TO(WORK_IDLE) | SM_TO(WORK_MEASURE) | SM_TO(WORK_BEGIN) },
  [WORK_MEASURE] = { "measure", SM_TO(WORK_NOTE) | SM_TO(WORK_IDLE) },
  [WORK_BEGIN] = { "begin", SM_TO(WORK_REMOVE) | SM_TO(WORK_IDLE) },
  [WORK_REMOVE] = { "remove", SM_TO(WORK_NOTE) | SM_TO(WORK_IDLE) },
  [WORK_NOTE] = { "note", SM_TO(WORK_IDLE) },
};

struct works {
  struct master *m;
  uv_timer_t tick;
};

static void next(struct session *s);

/* ---- what choosing asks ---- */

int64_t work_min_free(const struct session *s)
{
  return conf_min_free(s->m->conf, s->name, s->pool, s->work.total);
}

bool work_is_low(const struct session *s)
{
  return s->work.free >= 0 && s->work.free < work_min_free(s);
}

bool work_blocks(const struct session *s, const char *project, const char *builder, int slot)
{
  char path[STEP_PATH_MAX];

  if (!map_count(s->work.blocked))
    return false;
  step_folder(project, builder, slot, path);
  return map_get(s->work.blocked, path) != NULL;
}

static void block(struct work *w, const char *path)
{
  (void)map_set(w->blocked, path, w);
}

/* ---- small things ---- */

void work_init(struct work *w)
{
  memset(w, 0, sizeof *w);
  w->free = w->total = w->stored_free = -1;
  w->blocked = map_new();
  sm_init(&w->sm, "work folders", work_rows, WORK_STATES, WORK_IDLE);
}

void work_free(struct work *w)
{
  map_free(w->blocked);
  free(w->path);
}

static void soon(int64_t *due, int64_t ms)
{
  int64_t at = clock_mono_ms() + ms;

  if (at < *due)
    *due = at;
}

static struct db_tx *begin_tx(struct session *s)
{
  s->work.txs++;
  return db_tx(s->m->db, (uint64_t)s->worker);
}

/* TX_GONE: the session is, perhaps freed by this call. */
enum tx_end { TX_GONE, TX_FAILED, TX_DONE };
static enum tx_end tx_done(struct session *s, struct db_res *res)
{
  enum err err = db_err(res);

  s->work.txs--;
  if (s->sm.state == SESSION_CLOSED) {
    session_maybe_free(s);
    return TX_GONE;
  }
  if (err == ERR_FAILED && strcmp(db_sqlstate(res), "22012")) /* but for the guard's: another session has the worker now */
    log_error("worker", "%s: %s", s->name, db_errtext(res));
  return err ? TX_FAILED : TX_DONE;
}

static void rest(struct session *s, int64_t ms)
{
  struct work *w = &s->work;

  sm_move(&w->sm, WORK_IDLE);
  w->req = 0;
  free(w->path);
  w->path = NULL;
  soon(&w->look_due, ms); /* or earlier, where somebody kicked meanwhile */
}

/* ---- free space ---- */

static int64_t bytes_of(const char *records, size_t n, const char *key)
{
  const char *text = records ? records_get(records, n, key) : NULL;
  int64_t kib;

  return text && !str_number(text, strlen(text), &kib) && kib <= INT64_MAX / 1024 ? kib * 1024 : -1;
}

static void take_disk(struct session *s, const char *records, size_t n)
{
  s->work.free = bytes_of(records, n, "disk_free_kib");
  s->work.total = bytes_of(records, n, "disk_total_kib");
}

void work_hello(struct session *s, const char *facts, size_t n)
{
  s->work.watched = session_has(s, WORK_FEATURE);
  if (s->work.watched)
    take_disk(s, facts, n);
}

static void stored(struct db_res *res, void *arg)
{
  (void)tx_done(arg, res);
}

/* For `drover worker show` and doctor, and other masters: not each time, that would be much writing for little. */
static void store_disk(struct session *s)
{
  struct work *w = &s->work;
  int64_t now = clock_mono_ms(), moved = w->free > w->stored_free ? w->free - w->stored_free : w->stored_free - w->free;
  struct db_tx *tx;

  if (w->free < 0 || (w->stored_free >= 0 && now - w->stored_at < STORE_MS && moved <= w->total / STORE_SHARE))
    return;
  w->stored_free = w->free;
  w->stored_at = now;
  tx = begin_tx(s);
  db_q(tx, SQL_work_disk, "nnNN", s->worker, s->number, w->free, w->total < 0 ? INT64_MIN : w->total);
  db_send(tx, stored, s);
}

static void ask_disk(struct session *s)
{
  s->work.disk_req = ++s->next_req;
  s->work.disk_due = INT64_MAX;
  wire_put(link_out(s->link), VERB_disk, "n", s->work.disk_req);
}

static void disk_told(struct session *s, bool ok, const char *records, size_t n)
{
  struct work *w = &s->work;
  bool was_low = work_is_low(s), low;

  w->disk_req = 0;
  if (ok)
    take_disk(s, records, n);
  low = work_is_low(s);
  soon(&w->disk_due, low || session_runs(s) ? DISK_BUSY_MS : DISK_MS);
  if (low && !was_low)
    log_warn("worker", "%s has %" PRId64 " MiB free, %" PRId64 " MiB must stay free: no new builds there", s->name, w->free >> 20, work_min_free(s) >> 20);
  if (was_low && !low) {
    w->used_up = false;
    dispatch_kick(s->m->dispatch);
  }
  if (low && !w->used_up)
    soon(&w->look_due, 0);
  if (session_ready(s) && db_is_up(s->m->db))
    store_disk(s);
}

/* ---- one folder ---- */

static void noted(struct db_res *res, void *arg)
{
  struct session *s = arg;
  struct work *w = &s->work;
  enum tx_end end = tx_done(s, res);

  if (end == TX_GONE)
    return;
  if (end == TX_DONE && w->why >= 0) { /* of a removal, whatever came of it */
    map_set(w->blocked, w->path, NULL);
    events_kick(s->m->events);
    dispatch_kick(s->m->dispatch);
    w->disk_due = clock_mono_ms();
  }
  rest(s, end != TX_DONE ? LOOK_SOON_MS : w->why == WORK_ROOM ? SETTLE_MS : 0);
  next(s);
}

static void note(struct session *s, struct db_tx *tx)
{
  sm_move(&s->work.sm, WORK_NOTE);
  db_send(tx, noted, s);
}

static void measure(struct session *s, const char *path)
{
  struct work *w = &s->work;

  w->path = xstrdup(path);
  w->why = -1;
  w->req = ++s->next_req;
  wire_put_blob(link_out(s->link), VERB_usage, path, strlen(path), "n", w->req);
  sm_move(&w->sm, WORK_MEASURE);
}

/* What can't be measured counts as measured, its size unknown: else it would be tried for ever. */
static void measured(struct session *s, const char *tag, const char *blob, size_t n)
{
  const char *bytes = blob ? records_get(blob, n, "bytes") : NULL, *complete = blob ? records_get(blob, n, "complete") : NULL;
  int64_t size = INT64_MIN, v;
  struct db_tx *tx = begin_tx(s);

  if (!strcmp(tag, "ok") && bytes && !str_number(bytes, strlen(bytes), &v))
    size = v;
  else if (!strcmp(tag, "notfound"))
    size = 0;
  db_q(tx, SQL_work_guard, "nn", s->worker, s->number);
  db_q(tx, SQL_work_measured, "nsNl", s->worker, s->work.path, size, !str_eq(complete, "0"));
  note(s, tx);
}

static void ask_remove(struct session *s)
{
  struct work *w = &s->work;

  w->req = ++s->next_req;
  wire_put_blob(link_out(s->link), VERB_remove, w->path, strlen(w->path), "n", w->req);
  sm_move(&w->sm, WORK_REMOVE);
}

static void removed(struct session *s, const char *tag, const char *blob, size_t n)
{
  struct work *w = &s->work;
  struct db_tx *tx = begin_tx(s);

  db_q(tx, SQL_work_guard, "nn", s->worker, s->number);
  if (!strcmp(tag, "ok")) {
    log_info("worker", "%s: work folder %s is removed: %s", s->name, w->path, work_why_text((enum work_why)w->why));
    db_q(tx, SQL_work_removed, "nss", s->worker, w->path, work_why_text((enum work_why)w->why));
  } else {
    char *text = utf8_text(blob, n, ERROR_MAX, true), *error = xasprintf("%s: %s", tag, text);
    log_warn("worker", "%s: work folder %s can't be removed: %s", s->name, w->path, error);
    db_q(tx, SQL_work_failed, "nss", s->worker, w->path, error);
    free(text);
    free(error);
  }
  note(s, tx);
}

static void began(struct db_res *res, void *arg)
{
  struct session *s = arg;
  struct work *w = &s->work;
  enum tx_end end = tx_done(s, res);

  if (end == TX_GONE)
    return;
  if (end == TX_DONE && db_rows(res, 1) && session_ready(s)) {
    ask_remove(s);
    return;
  }
  /* A build has it; or it may be `cleaning` or not, who knows: then builds are kept off it until the next look tells. */
  if (end == TX_DONE && !db_rows(res, 1))
    map_set(w->blocked, w->path, NULL);
  rest(s, LOOK_SOON_MS);
}

/* Blocked here first, then in the database: a claim that was sent before holds the session's row, and then there is a build in the folder. */
static void begin_removal(struct session *s, const char *path, enum work_why why)
{
  struct work *w = &s->work;
  struct db_tx *tx = begin_tx(s);

  w->path = xstrdup(path);
  w->why = why;
  block(w, path);
  sm_move(&w->sm, WORK_BEGIN);
  db_q(tx, SQL_work_guard, "nn", s->worker, s->number);
  db_q(tx, SQL_work_begin, "ns", s->worker, path);
  db_send(tx, began, s);
}

bool work_answered(struct session *s, int64_t req, const char *tag, const char *blob, size_t n)
{
  struct work *w = &s->work;
  bool valid = blob && !strcmp(tag, "ok") && records_valid(blob, n);

  if (!req || (req != w->disk_req && req != w->req))
    return false;
  if (req == w->disk_req) {
    disk_told(s, valid, blob, n);
    return true;
  }
  w->req = 0;
  if (!db_is_up(s->m->db)) { /* asked again when it is back */
    rest(s, 0);
  } else if (w->sm.state == WORK_MEASURE) {
    measured(s, tag, valid ? blob : NULL, n);
  } else {
    removed(s, tag, blob, n);
  }
  return true;
}

/* ---- a look ---- */

/* Columns of SQL_work_folders. */
enum { PATH, PROJECT, BUILDER, USED, CLEANING, WANTED, LATER, IDLE, BYTES, UNMEASURED, UNLISTED, REPORTED };

/* Builders that builds report are in no pipeline. */
static bool is_gone(const struct conf *c, const struct db_res *res, int row)
{
  const char *project = db_str(res, 0, row, PROJECT), *builder = db_str(res, 0, row, BUILDER);
  const struct conf_project *p = conf_project(c, project);

  if (p && db_num(res, 0, row, REPORTED))
    return db_num(res, 0, row, UNLISTED) != 0;
  return !p || (p->pipeline && !pipeline_builder(p->pipeline, builder)); /* what builders a repository has is not known: each revision may have others */
}

static struct work_folder *folders_of(struct session *s, const struct db_res *res)
{
  int n = db_rows(res, 0);
  struct work_folder *f = xcalloc((size_t)n, sizeof *f);

  map_free(s->work.blocked);
  s->work.blocked = map_new();
  for (int i = 0; i < n; i++) {
    f[i] = (struct work_folder){ .used = db_num(res, 0, i, USED) != 0, .unfinished = db_num(res, 0, i, CLEANING) != 0, .wanted = db_num(res, 0, i, WANTED) != 0,
                                 .gone = is_gone(s->m->conf, res, i), .later = db_num(res, 0, i, LATER) != 0,
                                 .idle_ms = db_num(res, 0, i, IDLE), .bytes = db_num(res, 0, i, BYTES) };
    if (f[i].unfinished || (f[i].wanted && !f[i].later))
      block(&s->work, db_str(res, 0, i, PATH));
  }
  return f;
}

/* Until the first of them is unused for too long. */
static int64_t next_expiry(const struct work_folder *f, int n, int64_t keep_ms)
{
  int64_t ms = LOOK_MS;

  for (int i = 0; i < n && keep_ms; i++)
    if (!f[i].used && !f[i].later && keep_ms - f[i].idle_ms < ms)
      ms = keep_ms - f[i].idle_ms;
  return ms > 0 ? ms + 1 : 1;
}

static void looked(struct db_res *res, void *arg)
{
  struct session *s = arg;
  struct work *w = &s->work;
  struct work_folder *f;
  struct work_pick *picks;
  int64_t keep_ms = conf_keep_work_ms(s->m->conf, s->name, s->pool);
  int n, picked;

  switch (tx_done(s, res)) {
  case TX_GONE: return;
  case TX_FAILED: rest(s, LOOK_SOON_MS); return;
  case TX_DONE: break;
  }
  n = db_rows(res, 0);
  f = folders_of(s, res);
  picks = xcalloc((size_t)n, sizeof *picks);
  picked = work_clean(f, n, keep_ms, w->free, w->total, work_min_free(s), picks);
  w->used_up = !picked && work_is_low(s);
  if (picked && session_ready(s)) {
    begin_removal(s, db_str(res, 0, picks[0].at, PATH), picks[0].why);
  } else {
    int at = 0;
    while (at < n && (f[at].used || f[at].unfinished || !db_num(res, 0, at, UNMEASURED)))
      at++;
    if (at < n && w->watched && session_ready(s))
      measure(s, db_str(res, 0, at, PATH));
    else
      rest(s, next_expiry(f, n, keep_ms));
  }
  free(f);
  free(picks);
}

static void look(struct session *s)
{
  struct db_tx *tx = begin_tx(s);

  sm_move(&s->work.sm, WORK_LOOK);
  s->work.look_due = INT64_MAX; /* whoever kicks from now on wants another one */
  db_q(tx, SQL_work_folders, "nn", s->worker, (int64_t)MEASURE_MS);
  db_send(tx, looked, s);
}

void work_adopted(struct session *s, const struct db_res *res, int stmt)
{
  for (int i = 0; i < db_rows(res, stmt); i++)
    block(&s->work, db_str(res, stmt, i, 0));
}

void work_kick(struct session *s)
{
  soon(&s->work.disk_due, DISK_SOON_MS);
  soon(&s->work.look_due, map_count(s->work.blocked) || work_is_low(s) ? 0 : LOOK_SOON_MS);
}

void work_kick_now(struct session *s)
{
  s->work.look_due = clock_mono_ms();
  next(s);
}

/* ---- time ---- */

/* One thing about folders at a time; none while the answer is awaited that says how much room there is. */
static void next(struct session *s)
{
  struct work *w = &s->work;
  int64_t now = clock_mono_ms();

  if (!session_ready(s) || s->m->stopping || !db_is_up(s->m->db))
    return;
  if (session_runs(s))
    soon(&w->disk_due, DISK_BUSY_MS);
  if (w->watched && !w->disk_req && now >= w->disk_due)
    ask_disk(s);
  if (w->sm.state == WORK_IDLE && !w->disk_req && now >= w->look_due)
    look(s);
}

static void on_tick(uv_timer_t *t)
{
  struct works *ws = t->data;

  list_each(it, sessions_list(ws->m->sessions)) {
    next(list_of(it, struct session, node));
    order_tick(list_of(it, struct session, node));
    ops_tick(list_of(it, struct session, node));
  }
}

struct works *works_new(struct master *m)
{
  struct works *ws = xcalloc(1, sizeof *ws);

  ws->m = m;
  uv_timer_init(m->loop, &ws->tick);
  ws->tick.data = ws;
  uv_timer_start(&ws->tick, on_tick, TICK_MS, TICK_MS);
  return ws;
}

bool works_disk(const struct works *ws, const char *worker, int64_t *free_bytes, int64_t *total)
{
  list_each(it, sessions_list(ws->m->sessions)) {
    const struct session *s = list_of(it, struct session, node);
    if (!s->worker || s->work.free < 0 || !str_eq(s->name, worker))
      continue;
    *free_bytes = s->work.free;
    *total = s->work.total;
    return true;
  }
  return false;
}

static void closed(uv_handle_t *h)
{
  free(h->data);
}

void works_free(struct works *ws)
{
  uv_close((uv_handle_t *)&ws->tick, closed);
}
