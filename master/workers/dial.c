/* Happy path: heartbeat (ours) → helper → link → welcomed → … → the link or the helper ends → again after up to 1 s.
   Failures: what the helper tells, a refusal by the session, or a helper that dies: into the row, in words, and tried again after a random part of a time that doubles from 1 s to 60 s. */
#include "master/workers/dial.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/list.h"
#include "common/log.h"
#include "common/sm.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/conf/conf.h"
#include "master/conf/conf_login.h"
#include "master/conf/conf_ssh.h"
#include "master/core/master.h"
#include "master/core/place.h"
#include "master/db/db.h"
#include "master/events/events.h"
#include "master/events/hints.h"
#include "master/workers/dial_proc.h"
#include "master/workers/link.h"
#include "master/workers/offer.h"
#include "master/workers/ssh_keys.h"
#include "proto/records.h"

enum {
  JITTER_LEAST_MS = 50,
  JITTER_MS = 1000,        /* after a link that was welcomed */
  BACKOFF_FIRST_MS = 1000, /* after a try that came to nothing */
  BACKOFF_MAX_MS = 60000,
  DATABASE_MS = 1000,      /* it is away: looked for again */
  TAG_MAX = 32,            /* bytes of what a helper tells */
  WHY_MAX = 2048,
  TRY_MS = 240000,         /* the helper has deadlines of its own: this is for one that hangs */
};

enum dial_state { DIAL_WAIT, DIAL_REACH, DIAL_LOOK, DIAL_BRING, DIAL_RUN, DIAL_END, DIAL_STATES };

static const struct sm_row dial_rows[DIAL_STATES] = {
  [DIAL_WAIT] = { "wait", SM_TO(DIAL_REACH) },
  [DIAL_REACH] = { "reach", SM_TO(DIAL_LOOK) | SM_TO(DIAL_END) },
  [DIAL_LOOK] = { "look", SM_TO(DIAL_BRING) | SM_TO(DIAL_RUN) | SM_TO(DIAL_END) },
  [DIAL_BRING] = { "bring", SM_TO(DIAL_RUN) | SM_TO(DIAL_END) },
  [DIAL_RUN] = { "run", SM_TO(DIAL_END) },
  [DIAL_END] = { "end", SM_TO(DIAL_WAIT) },
};

struct dial {
  struct list node;
  struct dials *ds;
  char *name;
  int64_t worker;          /* row; 0: no heartbeat has told */
  char *trusted;           /* fingerprint that a person trusts, or NULL */
  bool ours, stopped;      /* as the last heartbeat had it */
  enum { WORD_HAD, WORD_WANTED, WORD_ASKED } word; /* a worker that was welcomed has gone, it may be told to: the heartbeat that says whether is to begin, is under way */
  bool stopping;           /* it was, and its row does not say so yet */
  bool gone;               /* out of the configuration: freed when nothing of it is left */
  struct sm sm;
  uv_timer_t timer;        /* wait: when to dial; else: when to give up */
  struct dial_proc *proc;  /* NULL: none */
  bool welcomed;           /* in this connection */
  int failures;            /* in a row */
  int64_t backoff_ms;
  char *tag, *why, *mark;  /* what is wrong, NULL: nothing */
  bool failed;             /* this try has told why */
  bool untold;             /* the row does not say yet what is so */
  bool old_key;            /* it was the old one that let us in */
};

struct dials {
  struct master *m;
  char *program;
  struct list all;
  int stmt;                /* of the heartbeat under way; -1: none */
  bool have;               /* some rows may be ours */
  bool stopping;
  void (*done)(void *arg); /* NULL: not closing */
  void *done_arg;
};

static void on_timer(uv_timer_t *t);

static bool is(const struct dial *d, enum dial_state s) { return d->sm.state == (int)s; }

static const struct conf_ssh *conf_of(const struct conf *c, const char *name)
{
  const struct conf_worker *w = conf_worker_of(c, name, NULL);

  return w ? w->ssh : NULL;
}

static struct dial *find(struct dials *ds, const char *name)
{
  list_each(it, &ds->all) {
    struct dial *d = list_of(it, struct dial, node);
    if (!d->gone && !strcmp(d->name, name))
      return d;
  }
  return NULL;
}

/* ---- what is so, into the row ---- */

static void row_told(struct db_res *res, void *arg)
{
  struct master *m = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("worker", "%s", db_errtext(res));
  else if (!db_err(res))
    events_kick(m->events);
}

static void tell_row(struct dial *d)
{
  struct master *m = d->ds->m;
  const struct conf_ssh *ssh = conf_of(m->conf, d->name);
  struct db_tx *tx;

  d->untold = true;
  if (!d->ours || d->gone || !ssh || d->ds->done || !db_is_up(m->db))
    return;
  d->untold = false;
  tx = db_tx(m->db, (uint64_t)d->worker);
  db_q(tx, SQL_dial_told, "nnslnsss", d->worker, m->id, ssh->address, (int)(is(d, DIAL_RUN) && d->welcomed), (int64_t)d->failures, d->tag, d->why, d->mark);
  if (d->welcomed)
    db_q(tx, SQL_dial_key, "nns", d->worker, m->id, d->old_key ? "t" : "f");
  db_send(tx, row_told, m);
}

static void set_trouble(struct dial *d, const char *tag, const char *why, const char *mark)
{
  bool same = tag && d->tag && !strcmp(tag, d->tag) && str_eq(why, d->why);

  if (tag && !same)
    log_warn("worker", "%s is not reached by ssh: %s", d->name, why);
  free(d->tag);
  free(d->why);
  free(d->mark);
  d->tag = xstrdup(tag);
  d->why = xstrdup(why);
  d->mark = xstrdup(mark);
}

/* ---- times ---- */

static int64_t up_to(int64_t ms)
{
  uint32_t r;

  str_random(&r, sizeof r);
  return (int64_t)(r % (uint64_t)(ms + 1));
}

static void dial_in(struct dial *d, int64_t ms)
{
  assert(is(d, DIAL_WAIT));
  if (d->gone || !d->ours || d->stopped || d->ds->stopping)
    uv_timer_stop(&d->timer);
  else
    uv_timer_start(&d->timer, on_timer, (uint64_t)ms, 0);
}

static void wait_again(struct dial *d)
{
  if (d->welcomed) {
    d->word = WORD_WANTED;
    uv_timer_stop(&d->timer);
    master_beat_soon(d->ds->m);
    return;
  }
  d->backoff_ms = !d->backoff_ms ? BACKOFF_FIRST_MS : d->backoff_ms * 2 < BACKOFF_MAX_MS ? d->backoff_ms * 2 : BACKOFF_MAX_MS;
  dial_in(d, up_to(d->backoff_ms));
}

/* ---- life ---- */

static void released(struct db_res *res, void *arg)
{
  struct dials *ds = arg;

  (void)res; /* else another master finds out by itself, later */
  ds->done(ds->done_arg);
  free(ds->program);
  free(ds);
}

/* With nothing of them left here they are other masters' at once, and not only with the next heartbeat of theirs after this one's goodbye. */
static void maybe_done(struct dials *ds)
{
  struct db_tx *tx;

  if (!ds->done || !list_empty(&ds->all))
    return;
  tx = db_tx(ds->m->db, DB_ANY);
  db_q(tx, SQL_dial_release, "n", ds->m->id);
  hints_put(ds->m->hints, tx, HINT_dials);
  db_send(tx, released, ds);
}

static void timer_closed(uv_handle_t *h)
{
  struct dial *d = h->data;
  struct dials *ds = d->ds;

  list_remove(&d->node);
  set_trouble(d, NULL, NULL, NULL);
  free(d->trusted);
  free(d->name);
  free(d);
  maybe_done(ds);
}

static void maybe_free(struct dial *d)
{
  if (d->gone && !d->proc && !uv_is_closing((uv_handle_t *)&d->timer))
    uv_close((uv_handle_t *)&d->timer, timer_closed);
}

/* Whatever is under way ends; its link with it. */
static void hang_up(struct dial *d)
{
  if (d->proc && !is(d, DIAL_END))
    sm_move(&d->sm, DIAL_END);
  if (d->proc)
    dial_proc_kill(d->proc);
}

static void leave(struct dial *d)
{
  d->gone = true;
  uv_timer_stop(&d->timer);
  hang_up(d);
  maybe_free(d);
}

static void add(struct dials *ds, const char *name)
{
  struct dial *d = xcalloc(1, sizeof *d);

  d->ds = ds;
  d->name = xstrdup(name);
  sm_init(&d->sm, "dial", dial_rows, DIAL_STATES, DIAL_WAIT);
  uv_timer_init(ds->m->loop, &d->timer);
  d->timer.data = d;
  list_push(&ds->all, &d->node);
}

/* ---- a try ---- */

static void failed(struct dial *d, const char *tag, const char *why, const char *mark)
{
  if (d->failed)
    return;
  d->failed = true;
  if (d->welcomed) {
    log_info("worker", "%s: %s", d->name, why); /* it was there: that it is away, and since when, its session tells */
    return;
  }
  d->failures++;
  set_trouble(d, tag, why, mark);
  tell_row(d);
}

static void ended(void *arg, const char *errors)
{
  struct dial *d = arg;
  bool started = is(d, DIAL_RUN);

  d->proc = NULL;
  if (!is(d, DIAL_END))
    sm_move(&d->sm, DIAL_END);
  if (!d->gone && d->ours && !(d->welcomed && !*errors))
    failed(d, started ? "worker" : "helper", *errors ? errors : started ? "the worker program was started there, and ended before it was welcomed" : "drover-ssh-helper ended without a word", NULL);
  sm_move(&d->sm, DIAL_WAIT);
  if (d->welcomed)
    tell_row(d);
  if (d->gone)
    maybe_free(d);
  else
    wait_again(d);
}

/* A helper whom a host has led astray must not say what the database would refuse. */
static void told_failed(struct dial *d, const char *tag, const char *why, const char *mark)
{
  char *word = utf8_text(tag, strlen(tag), TAG_MAX, true), *text = utf8_text(why, strlen(why), WHY_MAX, true);

  failed(d, word, text, mark && conf_is_host_key(mark) ? mark : NULL);
  free(word);
  free(text);
}

/* The program for that host, if it has not got it. */
static void answer_host(struct dial *d, const char *os, const char *arch, const char *sum)
{
  char kind[OFFER_NAME_MAX + 1], *bytes = NULL;
  const struct offer *o = NULL;
  struct buf b;
  int fd = -1;

  if (*os && *arch && offer_kind(os, arch, kind))
    o = offer_open(d->ds->m, kind, &fd);
  if (fd >= 0)
    close(fd);
  if (!o) {
    char *why = xasprintf("the host is \"%.40s %.40s\", and this master hands out no worker program for it: put one into the folder of `downloads`, called OS-ARCH", os, arch);
    told_failed(d, "no_program", why, NULL);
    free(why);
    hang_up(d);
    return;
  }
  buf_init(&b, BUF_NO_MAX);
  records_put(&b, "sum", o->sha256);
  if (strcmp(sum, o->sha256) && (bytes = offer_read(d->ds->m, kind, &o)))
    records_putf(&b, "size", "%lld", (long long)o->st.st_size);
  records_put(&b, "end", "1");
  if (bytes)
    buf_add(&b, bytes, (size_t)o->st.st_size);
  free(bytes);
  dial_proc_answer(d->proc, &b);
}

static void begin_link(struct dial *d)
{
  const struct conf_ssh *ssh = conf_of(d->ds->m->conf, d->name);
  int fd = dial_proc_link(d->proc);
  char *peer;

  if (fd < 0 || !ssh || !d->ds->m->links) {
    if (fd >= 0)
      close(fd);
    hang_up(d);
    return;
  }
  sm_move(&d->sm, DIAL_RUN);
  uv_timer_stop(&d->timer);
  peer = xasprintf("ssh:%s", ssh->address);
  link_dialled_new(d->ds->m->links, fd, d->name, peer);
  free(peer);
}

static void told(void *arg, const char *p, size_t n)
{
  struct dial *d = arg;
  const char *at = records_get(p, n, "at"), *os = records_get(p, n, "os"), *arch = records_get(p, n, "arch"), *sum = records_get(p, n, "sum"), *tag = records_get(p, n, "tag"), *why = records_get(p, n, "why");

  if (is(d, DIAL_END))
    return;
  if (str_eq(at, "failed") && tag && why) {
    told_failed(d, tag, why, records_get(p, n, "mark"));
    return;
  }
  if (str_eq(at, "look") && is(d, DIAL_REACH)) {
    d->old_key = str_eq(records_get(p, n, "key"), "old");
    sm_move(&d->sm, DIAL_LOOK);
  } else if (str_eq(at, "host") && is(d, DIAL_LOOK) && os && arch && sum) {
    answer_host(d, os, arch, sum);
  } else if (str_eq(at, "bring") && is(d, DIAL_LOOK)) {
    log_info("worker", "%s: the worker program is brought there", d->name);
    sm_move(&d->sm, DIAL_BRING);
  } else if (str_eq(at, "run") && (is(d, DIAL_LOOK) || is(d, DIAL_BRING))) {
    begin_link(d);
  } else {
    failed(d, "helper", "the master and its drover-ssh-helper are not of one version", NULL);
    hang_up(d);
  }
}

static void put_request(struct dial *d, const struct conf_ssh *ssh, struct buf *b)
{
  buf_init(b, DIAL_WIRE_MAX);
  records_put(b, "name", d->name);
  records_put(b, "user", ssh->user);
  records_put(b, "host", ssh->host);
  records_put(b, "port", ssh->port);
  records_put(b, "dir", ssh->dir);
  records_put(b, "key", d->ds->m->ssh_keys->key);
  if (d->ds->m->ssh_keys->old)
    records_put(b, "old_key", d->ds->m->ssh_keys->old);
  for (int i = 0; i < ssh->npins; i++)
    records_put(b, "pin", ssh->pins[i]);
  if (!ssh->npins && d->trusted)
    records_put(b, "pin", d->trusted);
  records_put(b, "end", "1");
}

static void begin(struct dial *d)
{
  static const struct dial_proc_ops ops = { told, ended };
  struct master *m = d->ds->m;
  const struct conf_ssh *ssh = conf_of(m->conf, d->name);
  struct buf request;

  if (!ssh)
    return;
  if (!m->links || !m->ssh_keys->key || !db_is_up(m->db)) {
    dial_in(d, DATABASE_MS);
    return;
  }
  sm_move(&d->sm, DIAL_REACH);
  d->welcomed = d->failed = false;
  d->word = WORD_HAD;
  put_request(d, ssh, &request);
  d->proc = dial_proc_new(m->loop, d->ds->program, &ops, d, &request);
  uv_timer_start(&d->timer, on_timer, TRY_MS, 0);
}

static void on_timer(uv_timer_t *t)
{
  struct dial *d = t->data;

  if (is(d, DIAL_WAIT)) {
    begin(d);
  } else {
    failed(d, "helper", "drover-ssh-helper hangs", NULL);
    hang_up(d);
  }
}

/* ---- heartbeats ---- */

void dials_beat(struct dials *ds, struct db_tx *tx)
{
  const char **names;
  char *array;
  int n = 0;

  ds->stmt = -1;
  if (ds->stopping || (list_empty(&ds->all) && !ds->have))
    return;
  list_each(it, &ds->all)
    n++;
  names = xcalloc((size_t)n + 1, sizeof *names);
  n = 0;
  list_each(it, &ds->all) {
    struct dial *d = list_of(it, struct dial, node);
    if (d->word != WORD_HAD)
      d->word = d->stopping ? WORD_WANTED : WORD_ASKED;
    if (!d->gone)
      names[n++] = d->name;
  }
  array = db_text_array(names, n);
  ds->have = n > 0;
  ds->stmt = db_count(tx);
  db_q(tx, SQL_dial_beat, "ns", ds->m->id, array);
  free(array);
  free(names);
}

/* One row of the answer; NULL: it is not ours. */
static void take_row(struct dial *d, const struct db_res *res, int row)
{
  bool ours = row >= 0, stopped = ours && db_num(res, d->ds->stmt, row, 3), news = (ours && !d->ours) || (d->stopped && !stopped);
  char *trusted = ours ? db_dup(res, d->ds->stmt, row, 2) : NULL;

  news |= ours && !str_eq(trusted ? trusted : "", d->trusted ? d->trusted : "");
  free(d->trusted);
  d->trusted = trusted;
  if (d->ours && !ours)
    log_info("worker", "%s is not dialled by this master any more", d->name);
  d->ours = ours;
  d->stopped = stopped;
  if (ours)
    d->worker = db_num(res, d->ds->stmt, row, 1);
  if (!ours || stopped)
    hang_up(d);
  if (d->untold)
    tell_row(d);
  if (news)
    d->backoff_ms = 0;
  if (is(d, DIAL_WAIT) && (news || !ours || stopped))
    dial_in(d, 0);
  else if (is(d, DIAL_WAIT) && d->word == WORD_ASKED)
    dial_in(d, JITTER_LEAST_MS + up_to(JITTER_MS - JITTER_LEAST_MS));
  if (d->word == WORD_ASKED)
    d->word = WORD_HAD;
}

void dials_beaten(struct dials *ds, const struct db_res *res)
{
  if (ds->stmt < 0 || db_err(res) || ds->stopping)
    return;
  list_each(it, &ds->all) {
    struct dial *d = list_of(it, struct dial, node);
    int row = db_rows(res, ds->stmt) - 1;
    while (row >= 0 && strcmp(db_str(res, ds->stmt, row, 0), d->name))
      row--;
    if (!d->gone)
      take_row(d, res, row);
  }
}

/* ---- what others tell ---- */

void dials_welcomed(struct dials *ds, const char *worker)
{
  struct dial *d = find(ds, worker);

  if (!d || !is(d, DIAL_RUN))
    return;
  d->welcomed = true;
  d->failures = 0;
  d->backoff_ms = 0;
  set_trouble(d, NULL, NULL, NULL);
  tell_row(d);
}

void dials_refused(struct dials *ds, const char *worker, const char *why)
{
  struct dial *d = find(ds, worker);

  if (d && is(d, DIAL_RUN))
    failed(d, "refused", why, NULL);
}

void dials_stopped(struct dials *ds, const char *worker, bool said)
{
  struct dial *d = ds ? find(ds, worker) : NULL;

  if (!d)
    return;
  d->stopping = !said;
  if (said)
    master_beat_soon(ds->m);
}

void dials_again(struct dials *ds, const char *worker)
{
  if (find(ds, worker))
    master_beat_soon(ds->m);
}

void dials_db_up(struct dials *ds)
{
  if (!list_empty(&ds->all))
    master_beat_soon(ds->m);
}

static void add_all(struct dials *ds)
{
  const struct conf *c = ds->m->conf;

  for (int i = 0; i < c->nworkers; i++)
    if (c->workers[i].ssh && !find(ds, c->workers[i].name))
      add(ds, c->workers[i].name);
}

void dials_reload(struct dials *ds, const struct conf *old)
{
  if (ds->stopping)
    return;
  list_each(it, &ds->all) {
    struct dial *d = list_of(it, struct dial, node);
    const struct conf_ssh *ssh = conf_of(ds->m->conf, d->name);
    if (d->gone || conf_ssh_same(conf_of(old, d->name), ssh))
      continue;
    if (!ssh) {
      leave(d);
      continue;
    }
    d->backoff_ms = 0;
    hang_up(d);
    if (is(d, DIAL_WAIT))
      dial_in(d, 0);
  }
  add_all(ds);
  if (!list_empty(&ds->all))
    master_beat_soon(ds->m);
}

/* ---- beginning and end ---- */

struct dials *dials_new(struct master *m)
{
  struct dials *ds = xcalloc(1, sizeof *ds);

  ds->m = m;
  ds->stmt = -1;
  ds->program = place_find("drover-ssh-helper");
  list_init(&ds->all);
  add_all(ds);
  return ds;
}

void dials_stop(struct dials *ds)
{
  ds->stopping = true;
  list_each(it, &ds->all) {
    struct dial *d = list_of(it, struct dial, node);
    if (!is(d, DIAL_RUN)) /* those are told `bye` by their links */
      leave(d);
  }
}

void dials_close(struct dials *ds, void (*done)(void *arg), void *arg)
{
  ds->done = done;
  ds->done_arg = arg;
  list_each(it, &ds->all)
    leave(list_of(it, struct dial, node));
  maybe_done(ds);
}
