/* Reloading. One at a time; who asks in the meantime waits for the next one, because the files may have changed since this one read them.

     idle ─▶ asked ─▶ reading ─▶ (looked, refused) ─▶ idle or asked
                         └──▶ storing ─▶ (swapped or refused) ─▶ idle or asked */
#include "master/core/reload.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"
#include "common/sm.h"
#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/core/announce.h"
#include "master/conf/conf_diff.h"
#include "master/conf/parts.h"
#include "master/core/master.h"
#include "master/core/reading.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/schedulers/worlds.h"
#include "master/workers/session.h"

enum reload_state { RELOAD_IDLE, RELOAD_ASKED, RELOAD_READING, RELOAD_STORING, RELOAD_STATES };

static const struct sm_row reload_rows[RELOAD_STATES] = {
  [RELOAD_IDLE] = { "idle", SM_TO(RELOAD_ASKED) },
  [RELOAD_ASKED] = { "asked", SM_TO(RELOAD_IDLE) | SM_TO(RELOAD_READING) },
  [RELOAD_READING] = { "reading", SM_TO(RELOAD_IDLE) | SM_TO(RELOAD_STORING) },
  [RELOAD_STORING] = { "storing", SM_TO(RELOAD_IDLE) },
};

struct waiter {
  struct list node;
  reload_cb *cb;
  void *arg;
};

struct looker {
  struct list node;
  reload_look_cb *cb;
  void *arg;
};

struct reload {
  struct master *m;
  struct sm sm;
  uv_timer_t turn;         /* the next turn of the loop */
  struct list waiting, now; /* for the next reading; for the one under way */
  struct list looking, look_now; /* those that only want to see */
  char *who;               /* of the first that waits; NULL: nobody does */
  char *by;                /* reading, storing: who; NULL: somebody looks */
  struct conf *next;       /* storing: what becomes active */
  struct conf_diff diff;   /* to it */
  int first;               /* storing: statement of the first project's rows */
  int64_t began_ms;
  bool doubtful;
  bool freed;              /* by reload_free, while reading */
  struct reload_refusal refusal;
};

/* ---- the files ---- */

/* The messages alone: a line of the file that is shown below one may hold a password. */
static char *brief_of(const struct diags *d)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < d->n; i++) {
    const struct diag *g = &d->v[i];
    buf_adds(&b, g->file);
    if (g->line)
      buf_addf(&b, ":%d:%d", g->line, g->column);
    buf_addf(&b, ": %s%s%s%s\n", g->message, g->help ? " (" : "", g->help ? g->help : "", g->help ? ")" : "");
  }
  return buf_take(&b);
}

static char *text_of(const struct diags *d)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  diag_print(d, &b);
  return buf_take(&b);
}

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
  free(r->by);
  r->by = NULL;
  if (list_empty(&r->looking) && !r->who)
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
    w->cb(a, w->arg);
    free(w);
  }
  go_on(r);
}

static void log_lines(const char *text)
{
  for (size_t n; *text; text += n + (text[n] == '\n')) {
    n = strcspn(text, "\n");
    log_error("config", "%.*s", (int)n, text);
  }
}

/* text, brief: taken over. */
static void refuse(struct reload *r, enum err err, char *text, char *brief, int count)
{
  struct reload_answer a = { .refused = &r->refusal, .version = r->m->config_version };

  forget_refusal(r);
  r->refusal = (struct reload_refusal){ .at_ms = clock_wall_ms(), .err = err, .text = text, .brief = brief, .count = count };
  log_lines(brief);
  log_error("config", "the configuration was not changed: version %" PRId64 " stays", r->m->config_version);
  conf_free(r->next);
  r->next = NULL;
  finish(r, &a);
}

static void refuse_away(struct reload *r)
{
  char *why = r->m->stopping ? xstrdup("the master is stopping\n") : r->m->db_why ? xasprintf("the database is away (%s); try again when it is back\n", r->m->db_why) : xstrdup("the database is away; try again when it is back\n");

  refuse(r, ERR_AWAY, why, xstrdup(why), 0);
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
  struct conf *old = m->conf;

  m->conf = r->next;
  r->next = NULL;
  m->config_version = db_num(res, 0, 0, 0);
  worlds_reload(m->worlds, res, r->first);
  sessions_reload(m->sessions);
  gith_set_max(m->gith, m->conf->helpers);
  dispatch_window_changed(m->dispatch, old->window_ms);
  conf_free(old);
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
    char *why = xasprintf("the database refused it: %s\n", db_errtext(res));
    refuse(r, ERR_FAILED, why, xstrdup(why), 0);
  } else {
    swap(r, res);
    finish_good(r, "is active");
  }
}

static void store(struct reload *r)
{
  struct db_tx *tx = db_tx(r->m->db, DB_ANY);

  sm_move(&r->sm, RELOAD_STORING);
  reload_put_version(tx, r->next, r->by);
  reload_put_workers(tx, r->next);
  r->first = db_count(tx);
  worlds_put_rows(tx, r->next);
  db_send(tx, stored, r);
}

/* ---- reading ---- */

static void show(struct reload *r, struct diags *d)
{
  char *text = text_of(d);
  struct reload_seen seen = { .valid = r->next != NULL, .text = text, .count = diag_count(d), .diff = &r->diff };

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

  if (!r->next) {
    refuse(r, ERR_SYNTAX, text_of(d), brief_of(d), diag_count(d));
  } else if (m->stopping || m->db_why || !db_is_up(m->db)) {
    refuse_away(r);
  } else if (r->doubtful || strcmp(m->conf->text, r->next->text) || !conf_same_secrets(m->conf, r->next)) {
    store(r);
  } else {
    conf_free(r->next);
    r->next = NULL;
    finish_good(r, "stays: the files are as they were");
  }
}

static void was_read(struct parts *parts, void *arg)
{
  struct reload *r = arg;
  struct diags d;

  if (r->freed) {
    parts_free(parts);
    reload_gone(r);
    return;
  }
  diag_init(&d);
  r->next = make(r->m, parts, &d);
  if (r->next)
    conf_diff(r->m->conf, r->next, &r->diff);
  show(r, &d);
  if (r->by) {
    take(r, &d);
  } else {
    conf_free(r->next);
    r->next = NULL;
    sm_move(&r->sm, RELOAD_IDLE);
    go_on(r);
  }
  diag_free(&d);
}

static void move_all(struct list *from, struct list *to)
{
  list_each(it, from) {
    list_remove(it);
    list_push(to, it);
  }
}

static void on_turn(uv_timer_t *t)
{
  struct reload *r = t->data;

  r->by = r->who;
  r->who = NULL;
  move_all(&r->waiting, &r->now);
  move_all(&r->looking, &r->look_now);
  sm_move(&r->sm, RELOAD_READING);
  r->began_ms = clock_mono_ms();
  if (r->by) {
    log_info("config", "reading %s: %s", r->m->conf->file, r->by);
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

void reload_ask(struct reload *r, const char *who, reload_cb *cb, void *arg)
{
  struct waiter *w;

  if (!r->who)
    r->who = xstrdup(who);
  if (cb) {
    w = xcalloc(1, sizeof *w);
    *w = (struct waiter){ .cb = cb, .arg = arg };
    list_push(&r->waiting, &w->node);
  }
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

/* ---- rows ---- */

void reload_put_version(struct db_tx *tx, const struct conf *c, const char *who)
{
  unsigned char hash[SHA256_DIGEST_LENGTH];
  char hex[2 * SHA256_DIGEST_LENGTH + 1];

  SHA256((const unsigned char *)c->text, strlen(c->text), hash);
  str_hex(hash, sizeof hash, hex);
  if (who)
    db_q(tx, SQL_config_activate, "sssnn", hex, c->text, who, (int64_t)c->nprojects, (int64_t)c->nworkers);
  else
    db_q(tx, SQL_config_add, "ss", hex, c->text);
}

void reload_put_workers(struct db_tx *tx, const struct conf *c)
{
  const char **names = xcalloc((size_t)c->nworkers + 1, sizeof *names);
  char *array;

  for (int i = 0; i < c->nworkers; i++) {
    names[i] = c->workers[i].name;
    array = db_text_array((const char *const *)c->workers[i].tags, c->workers[i].ntags);
    db_q(tx, SQL_worker_config, "sns", c->workers[i].name, (int64_t)c->workers[i].slots, array);
    free(array);
  }
  array = db_text_array(names, c->nworkers);
  db_q(tx, SQL_worker_unconfig, "s", array);
  free(array);
  free(names);
}

bool reload_doubtful(const struct reload *r)
{
  return r->doubtful && r->sm.state != RELOAD_STORING;
}

void reload_settled(struct reload *r)
{
  r->doubtful = false;
}

/* ---- life ---- */

struct reload *reload_new(struct master *m)
{
  struct reload *r = xcalloc(1, sizeof *r);

  r->m = m;
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
    list_remove(it);
    free(list_of(it, struct waiter, node));
  }
}

static void reload_gone(struct reload *r)
{
  drop(&r->waiting);
  drop(&r->now);
  forget_refusal(r);
  free(r->who);
  free(r->by);
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
