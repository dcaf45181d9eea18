/* Reloading. One at a time; who asks in the meantime waits for the next one, because the files may have changed since this one read them.

     idle ─▶ asked ─▶ reading ─▶ (looked, refused) ─▶ idle or asked
                       │  └──▶ storing ─▶ (swapped or refused) ─▶ idle or asked
                       └─▶ fetching ─▲     a rollback: the version's text; the files were read only to know when they say something else */
#include "master/core/reload_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/core/announce.h"
#include "master/conf/parts.h"
#include "master/core/master.h"
#include "master/core/reading.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/schedulers/worlds.h"

enum { HOST_MAX = 256 };

static const struct sm_row reload_rows[RELOAD_STATES] = {
  [RELOAD_IDLE] = { "idle", SM_TO(RELOAD_ASKED) },
  [RELOAD_ASKED] = { "asked", SM_TO(RELOAD_IDLE) | SM_TO(RELOAD_READING) },
  [RELOAD_READING] = { "reading", SM_TO(RELOAD_IDLE) | SM_TO(RELOAD_FETCHING) | SM_TO(RELOAD_STORING) },
  [RELOAD_FETCHING] = { "fetching", SM_TO(RELOAD_IDLE) | SM_TO(RELOAD_STORING) },
  [RELOAD_STORING] = { "storing", SM_TO(RELOAD_IDLE) },
};

static const char *const hows[] = { [RELOAD_SIGNAL] = "reload", [RELOAD_ACTIVATE] = "activate", [RELOAD_ROLLBACK] = "rollback" };

struct waiter {
  struct list node;
  enum reload_how how;
  char *who;
  int64_t version;
  reload_cb *cb;
  void *arg;
};

struct looker {
  struct list node;
  reload_look_cb *cb;
  void *arg;
};

/* ---- the files ---- */

/* What a pipe held is gone. */
static void check_file(const struct conf *c, struct diags *d)
{
  struct stat st;

  if (!stat(c->file, &st) && !S_ISREG(st.st_mode))
    diag_add(d, c->file, NULL, 0, 0, "restart the master with a file", "is not an ordinary file and can't be read again");
}

/* NULL where d has errors. */
static struct conf *make(const struct master *m, struct parts *parts, struct diags *d)
{
  struct conf *c;

  check_file(m->conf, d);
  c = conf_make(parts, d);
  if (!c)
    return NULL;
  conf_check_restart(m->conf, c, d);
  if (!diag_count(d))
    return c;
  conf_free(c);
  return NULL;
}

/* ---- the end of one, good or bad ---- */

static void on_turn(uv_timer_t *t);
static void reload_gone(struct reload *r);

static void forget_refusal(struct reload *r)
{
  free(r->refusal.text);
  free(r->refusal.brief);
  r->refusal = (struct reload_refusal){ 0 };
}

static void go_on(struct reload *r)
{
  conf_diff_free(&r->diff);
  if (list_empty(&r->looking) && list_empty(&r->waiting))
    return;
  sm_move(&r->sm, RELOAD_ASKED);
  uv_timer_start(&r->turn, on_turn, 0, 0);
}

static void finish(struct reload *r, const struct reload_answer *a)
{
  sm_move(&r->sm, RELOAD_IDLE);
  announce_reloaded(r->m);
  list_each(it, &r->now) {
    struct waiter *w = list_of(it, struct waiter, node);
    list_remove(it);
    if (w->cb)
      w->cb(a, w->arg);
    free(w->who);
    free(w);
  }
  r->who = NULL;
  go_on(r);
}

enum { RELOAD_KEY = 0 }; /* of what changes versions: one after the other, in the order in which it happened */

/* For the history. What the database's absence refused is not known there. */
static void put_refusal(struct reload *r, const struct reload_refusal *f)
{
  struct db_tx *tx;

  if ((f->err != ERR_SYNTAX && f->err != ERR_FAILED) || r->m->stopping || !db_is_up(r->m->db))
    return;
  tx = db_tx(r->m->db, RELOAD_KEY);
  db_q(tx, SQL_config_refuse, "sssns", hows[r->how], r->who, r->place, (int64_t)f->count, f->brief);
  db_send(tx, NULL, NULL);
}

/* text, brief: taken over. A rollback that fails says nothing of the files, and is forgotten with its answer. */
static void refuse(struct reload *r, enum err err, char *text, char *brief, int count)
{
  struct reload_refusal of_rollback = { 0 }, *f = r->how == RELOAD_ROLLBACK ? &of_rollback : &r->refusal;
  struct reload_answer a = { .refused = f, .version = r->m->config_version };

  if (f == &r->refusal)
    forget_refusal(r);
  *f = (struct reload_refusal){ .at_ms = clock_wall_ms(), .err = err, .text = text, .brief = brief, .count = count };
  reload_log(brief);
  log_error("config", "the configuration was not changed: version %" PRId64 " stays", r->m->config_version);
  put_refusal(r, f);
  conf_free(r->next);
  r->next = NULL;
  finish(r, &a);
  if (f == &of_rollback) {
    free(of_rollback.text);
    free(of_rollback.brief);
  }
}

static void refuse_because(struct reload *r, enum err err, char *why)
{
  refuse(r, err, why, xstrdup(why), 0);
}

static void refuse_away(struct reload *r)
{
  refuse_because(r, ERR_AWAY, r->m->stopping ? xstrdup("the master is stopping\n") : r->m->db_why ? xasprintf("the database is away (%s); try again when it is back\n", r->m->db_why) : xstrdup("the database is away; try again when it is back\n"));
}

static void log_changes(const struct conf_diff *d)
{
  for (int i = 0; i < d->n; i++) {
    const struct conf_change *c = &d->v[i];
    struct buf keys;
    buf_init(&keys, BUF_NO_MAX);
    for (int k = 0; k < c->nkeys; k++)
      buf_addf(&keys, "%s%s", k ? ", " : ": ", c->keys[k]);
    log_info("config", "%s %s %s%s", conf_what_name(c->what), c->kind, c->name, buf_str(&keys));
    buf_free(&keys);
  }
}

static void finish_good(struct reload *r, const char *how)
{
  struct reload_answer a = { .version = r->m->config_version, .diff = &r->diff };

  forget_refusal(r);
  log_changes(&r->diff);
  log_info("config", "version %" PRId64 " %s, %d projects, %d workers (%" PRId64 " ms)", r->m->config_version, how, r->m->conf->nprojects, r->m->conf->nworkers, clock_mono_ms() - r->began_ms);
  finish(r, &a);
}

/* ---- from the old one to the new one ---- */

static void swap(struct reload *r, const struct db_res *res)
{
  struct master *m = r->m;
  char hex[65];

  reload_hash(r->next->text, hex);
  r->hold.origin = r->how == RELOAD_ROLLBACK && strcmp(hex, r->disk) ? r->version : 0;
  memcpy(r->hold.disk, r->disk, sizeof r->hold.disk);
  reload_put_in_place(r);
  m->config_version = db_num(res, 0, 0, 0);
  worlds_reload(m->worlds, res, r->first);
  events_kick(m->events);
  dispatch_kick(m->dispatch);
}

static void stored(struct db_res *res, void *arg)
{
  struct reload *r = arg;

  r->doubtful |= db_err(res) == ERR_AWAY;
  if (db_err(res) == ERR_AWAY || r->m->stopping) { /* the next start reads the files anyway */
    refuse_away(r);
  } else if (db_err(res)) {
    refuse_because(r, ERR_FAILED, xasprintf("the database refused it: %s\n", db_errtext(res)));
  } else {
    swap(r, res);
    finish_good(r, "is active");
  }
}

static void store(struct reload *r)
{
  struct db_tx *tx = db_tx(r->m->db, RELOAD_KEY);

  sm_move(&r->sm, RELOAD_STORING);
  reload_put_version(r, tx, r->next, hows[r->how], r->who, r->version);
  reload_put_workers(tx, r->next);
  r->first = db_count(tx);
  worlds_put_rows(tx, r->next);
  db_send(tx, stored, r);
}

/* ---- a version of the past ---- */

static void take_text(struct reload *r, const char *text)
{
  char *what = xasprintf("version %" PRId64, r->version);
  struct diags d;

  diag_init(&d);
  r->next = conf_of_text(what, text, r->m->conf->file, &d);
  if (r->next)
    conf_check_restart(r->m->conf, r->next, &d);
  if (diag_count(&d)) {
    refuse(r, ERR_SYNTAX, reload_text(&d), reload_brief(&d), diag_count(&d));
  } else {
    conf_diff(r->m->conf, r->next, &r->diff);
    store(r);
  }
  diag_free(&d);
  free(what);
}

static void fetched(struct db_res *res, void *arg)
{
  struct reload *r = arg;

  if (db_err(res) == ERR_AWAY || r->m->stopping)
    refuse_away(r);
  else if (db_err(res))
    refuse_because(r, ERR_FAILED, xasprintf("the database refused it: %s\n", db_errtext(res)));
  else if (!db_rows(res, 0))
    refuse_because(r, ERR_NOTFOUND, xasprintf("there is no version %" PRId64 " of the configuration\n", r->version));
  else if (!db_null(res, 0, 0, 2))
    refuse_because(r, ERR_BADARG, xasprintf("version %" PRId64 " was refused when it was new: it has no text\n", r->version));
  else if (!strcmp(db_str(res, 0, 0, 1), r->m->conf->text))
    refuse_because(r, ERR_EXISTS, xasprintf("what version %" PRId64 " says is active already\n", r->version));
  else
    take_text(r, db_str(res, 0, 0, 1));
}

static void fetch(struct reload *r)
{
  struct db_tx *tx;

  conf_free(r->next);
  r->next = NULL;
  conf_diff_free(&r->diff);
  if (r->m->stopping || r->m->db_why || !db_is_up(r->m->db)) {
    refuse_away(r);
    return;
  }
  sm_move(&r->sm, RELOAD_FETCHING);
  tx = db_tx(r->m->db, DB_ANY);
  db_q(tx, SQL_config_text, "n", r->version);
  db_send(tx, fetched, r);
}

/* ---- reading ---- */

static void show(struct reload *r, struct diags *d)
{
  char *text = reload_text(d);
  struct reload_seen seen = { .valid = r->next != NULL, .text = text, .count = diag_count(d), .diff = &r->diff, .conf = r->next };

  list_each(it, &r->look_now) {
    struct looker *l = list_of(it, struct looker, node);
    list_remove(it);
    l->cb(&seen, l->arg);
    free(l);
  }
  free(text);
}

/* What the files say is to be active. */
static void take(struct reload *r, struct diags *d)
{
  struct master *m = r->m;
  bool held = r->how == RELOAD_SIGNAL && r->hold.origin && !strcmp(r->hold.disk, r->disk);

  if (!r->next) {
    refuse(r, ERR_SYNTAX, reload_text(d), reload_brief(d), diag_count(d));
  } else if (m->stopping || m->db_why || !db_is_up(m->db)) {
    refuse_away(r);
  } else if (!held && (r->doubtful || r->hold.origin || strcmp(m->conf->text, r->next->text) || !conf_same_secrets(m->conf, r->next))) {
    store(r);
  } else {
    conf_free(r->next);
    r->next = NULL;
    conf_diff_free(&r->diff);
    finish_good(r, held ? "stays: the files are as they were when it was rolled back to; drover config activate takes them over" : "stays: the files are as they were");
  }
}

static void was_read(struct parts *parts, void *arg)
{
  struct reload *r = arg;
  struct diags d;
  char *text;

  if (r->freed) {
    parts_free(parts);
    reload_gone(r);
    return;
  }
  text = parts_text(parts);
  reload_hash(text, r->disk);
  free(text);
  diag_init(&d);
  r->next = make(r->m, parts, &d);
  if (r->next)
    conf_diff(r->m->conf, r->next, &r->diff);
  show(r, &d);
  if (r->who && r->how == RELOAD_ROLLBACK) {
    fetch(r);
  } else if (r->who) {
    take(r, &d);
  } else {
    conf_free(r->next);
    r->next = NULL;
    sm_move(&r->sm, RELOAD_IDLE);
    go_on(r);
  }
  diag_free(&d);
}

/* The first, and those behind it that want the same. */
static void take_wishes(struct reload *r)
{
  list_each(it, &r->waiting) {
    struct waiter *w = list_of(it, struct waiter, node);
    if (!list_empty(&r->now) && (r->how == RELOAD_ROLLBACK || w->how == RELOAD_ROLLBACK))
      break;
    if (list_empty(&r->now) || w->how > r->how) {
      r->how = w->how;
      r->who = w->who;
      r->version = w->version;
    }
    list_remove(it);
    list_push(&r->now, it);
  }
}

static void on_turn(uv_timer_t *t)
{
  struct reload *r = t->data;

  take_wishes(r);
  list_each(it, &r->looking) {
    list_remove(it);
    list_push(&r->look_now, it);
  }
  sm_move(&r->sm, RELOAD_READING);
  r->began_ms = clock_mono_ms();
  if (r->who) {
    log_info("config", "reading %s: %s (%s)", r->m->conf->file, r->who, hows[r->how]);
    announce_reloading();
  }
  reading_start(r->m->loop, r->m->conf->file, was_read, r);
}

static void wake(struct reload *r)
{
  if (r->sm.state != RELOAD_IDLE)
    return;
  sm_move(&r->sm, RELOAD_ASKED);
  uv_timer_start(&r->turn, on_turn, 0, 0);
}

void reload_ask(struct reload *r, enum reload_how how, const char *who, int64_t version, reload_cb *cb, void *arg)
{
  struct waiter *w = xcalloc(1, sizeof *w);

  *w = (struct waiter){ .how = how, .who = xstrdup(who), .version = how == RELOAD_ROLLBACK ? version : 0, .cb = cb, .arg = arg };
  list_push(&r->waiting, &w->node);
  wake(r);
}

void reload_look(struct reload *r, reload_look_cb *cb, void *arg)
{
  struct looker *l = xcalloc(1, sizeof *l);

  *l = (struct looker){ .cb = cb, .arg = arg };
  list_push(&r->looking, &l->node);
  wake(r);
}

const struct reload_refusal *reload_refused(const struct reload *r)
{
  return r && r->refusal.at_ms ? &r->refusal : NULL;
}

const struct reload_hold *reload_held(const struct reload *r)
{
  return &r->hold;
}

/* ---- life ---- */

struct reload *reload_new(struct master *m)
{
  struct reload *r = xcalloc(1, sizeof *r);
  char host[HOST_MAX] = "";

  r->m = m;
  if (gethostname(host, sizeof host - 1))
    host[0] = 0;
  r->place = xasprintf("%s:%s", host, m->conf->state);
  sm_init(&r->sm, "reload", reload_rows, RELOAD_STATES, RELOAD_IDLE);
  list_init(&r->waiting);
  list_init(&r->now);
  list_init(&r->looking);
  list_init(&r->look_now);
  uv_timer_init(m->loop, &r->turn);
  r->turn.data = r;
  return r;
}

static void drop(struct list *waiters)
{
  list_each(it, waiters) {
    struct waiter *w = list_of(it, struct waiter, node);
    list_remove(it);
    free(w->who);
    free(w);
  }
}

static void reload_gone(struct reload *r)
{
  drop(&r->waiting);
  drop(&r->now);
  forget_refusal(r);
  free(r->place);
  free(r);
}

static void closed(uv_handle_t *h)
{
  struct reload *r = h->data;

  r->freed = true;
  if (r->sm.state != RELOAD_READING)
    reload_gone(r);
}

void reload_stop(struct reload *r)
{
  (void)r;
  reading_stop();
}

void reload_free(struct reload *r)
{
  uv_close((uv_handle_t *)&r->turn, closed);
}
