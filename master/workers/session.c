/* A worker's session: who it is, and its end. All of a master's: sessions.c. Taking over its builds is in session_adopt.c, the messages of its runs in session_msg.c. */
#include "master/workers/session.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/conf/conf_diff.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/run.h"
#include "master/events/events.h"
#include "master/workers/dial.h"
#include "master/workers/ops.h"
#include "master/workers/session_int.h"
#include "proto/records.h"
#include "proto/token.h"

enum {
  SESSION_RETRY_MS = 5000,      /* `no`: come back then */
  SESSION_BUSY_MS = 1000,       /* the database is away */
};

static const struct sm_row session_rows[SESSION_STATES] = {
  [SESSION_HELLO] = { "hello", SM_TO(SESSION_AUTH) | SM_TO(SESSION_CLOSED) },
  [SESSION_AUTH] = { "auth", SM_TO(SESSION_RIVAL) | SM_TO(SESSION_ADOPT) | SM_TO(SESSION_CLOSED) },
  [SESSION_RIVAL] = { "rival", SM_TO(SESSION_ADOPT) | SM_TO(SESSION_CLOSED) },
  [SESSION_ADOPT] = { "adopt", SM_TO(SESSION_INVENTORY) | SM_TO(SESSION_AWAY) | SM_TO(SESSION_CLOSED) },
  [SESSION_INVENTORY] = { "inventory", SM_TO(SESSION_READY) | SM_TO(SESSION_AWAY) | SM_TO(SESSION_CLOSED) },
  [SESSION_READY] = { "ready", SM_TO(SESSION_AWAY) | SM_TO(SESSION_CLOSED) },
  [SESSION_AWAY] = { "away", SM_TO(SESSION_ADOPT) | SM_TO(SESSION_CLOSED) },
  [SESSION_CLOSED] = { "closed", 0 },
};

/* ---- small things ---- */

bool session_ready(const struct session *s)
{
  return s->sm.state == SESSION_READY;
}

bool session_has(const struct session *s, const char *feature)
{
  size_t n = strlen(feature);

  for (const char *p = s->features ? s->features : ""; *p; p += strcspn(p, ","), p += *p == ',')
    if (!strncmp(p, feature, n) && (!p[n] || p[n] == ','))
      return true;
  return false;
}

const char *session_state_name(const struct session *s)
{
  return sm_name(&s->sm);
}

int session_runs(const struct session *s)
{
  int n = 0;

  list_each(it, &s->runs)
    n++;
  return n;
}

int session_used(const struct session *s)
{
  int n = 0;

  list_each(it, &s->runs)
    n += run_holds_slot(list_of(it, struct run, node));
  return n;
}

int session_slot(const struct session *s, const char *project, const char *builder)
{
  int waiting = session_runs(s) - session_used(s);

  for (int slot = 0; slot < s->slots + waiting; slot++) { /* who waits has its folder still, and its slot's number with it */
    bool used = false;
    list_each(it, &s->runs)
      used |= list_of(it, struct run, node)->ctx.slot == slot;
    if (!used && !work_blocks(s, project, builder, slot))
      return slot;
  }
  return -1;
}

void session_forget(struct session *s, struct id cmd)
{
  wire_put(link_out(s->link), VERB_forget, "i", &cmd);
}

void session_have_clear(struct session *s)
{
  size_t at = 0;
  struct have *h;

  while ((h = map_next(s->have, &at)))
    free(h);
  map_free(s->have);
  s->have = map_new();
  s->told = 0;
}

static void free_tags(struct session *s)
{
  for (int i = 0; i < s->ntags; i++)
    free(s->tags[i]);
  free(s->tags);
  s->tags = NULL;
  s->ntags = 0;
}

static void session_free(struct session *s)
{
  session_have_clear(s);
  map_free(s->have);
  session_specs_clear(s);
  map_free(s->specs);
  map_free(s->by_cmd);
  ops_free(s);
  free_tags(s);
  free(s->name);
  free(s->instance);
  free(s->boot);
  free(s->peer);
  free(s->facts);
  free(s->features);
  free(s->pool);
  free(s->machine);
  work_free(&s->work);
  order_free(&s->order);
  if (s->secret)
    mem_wipe(s->secret, strlen(s->secret));
  free(s->secret);
  free(s);
}

/* A closed session is freed when the answer of its transaction, and what it loads, came in. */
void session_maybe_free(struct session *s)
{
  if (s->sm.state == SESSION_CLOSED && !s->link && !s->in_tx && !s->loading && !s->work.txs && !s->order.txs)
    session_free(s);
}

static void drop_runs(struct session *s)
{
  while (!list_empty(&s->runs))
    run_drop(list_of(s->runs.next, struct run, node));
}

/* ---- the end ---- */

static void lost_told(struct db_res *res, void *arg)
{
  struct master *m = arg;

  if (!db_err(res))
    events_kick(m->events);
}

void session_tell_lost(struct session *s)
{
  struct db_tx *tx;

  if (!s->number || !db_is_up(s->m->db))
    return; /* sessions_db_up tells it later */
  tx = db_tx(s->m->db, (uint64_t)s->worker);
  db_q(tx, SQL_session_lost, "nn", s->worker, s->number);
  db_send(tx, lost_told, s->m);
}

static void leave(struct session *s)
{
  if (s->sm.state == SESSION_CLOSED)
    return;
  sm_move(&s->sm, SESSION_CLOSED);
  session_rival_end(s);
  list_remove(&s->node);
  drop_runs(s);
  ops_lost(s);
  session_tell_lost(s);
}

void session_close(struct session *s, const char *reason)
{
  leave(s);
  if (s->link)
    link_close(s->link, reason);
}

static void on_close(struct link *l, const char *why)
{
  struct session *s = link_data(l);

  if (!s)
    return;
  if (s->name && s->welcomed)
    log_info("worker", "%s away: %s", s->name, why);
  s->link = NULL;
  leave(s);
  session_maybe_free(s);
}

/* ---- hello and who it is ---- */

void session_refuse(struct session *s, const char *reason, const char *fmt, ...)
{
  va_list ap;
  char *text;
  int missed;

  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  if (quota_take(&s->m->sessions->refusals, clock_mono_ms(), &missed))
    log_warn("worker", "refused %s from %s: %s", s->name ? s->name : "?", s->peer, text);
  if (s->link && link_dialled(s->link))
    dials_refused(s->m->dials, link_dialled(s->link), text);
  if (missed)
    log_warn("worker", "refused more, not listed: %d", missed);
  if (s->link)
    wire_put_blob(link_out(s->link), VERB_no, text, strlen(text), "sn", reason, (int64_t)SESSION_RETRY_MS);
  free(text);
  session_close(s, "stop");
}

void session_busy(struct session *s)
{
  if (s->link)
    wire_put(link_out(s->link), VERB_busy, "n", (int64_t)SESSION_BUSY_MS);
  session_close(s, "database");
}

static void authenticated(struct db_res *res, void *arg);

void session_hello(struct session *s, struct wire_msg *m)
{
  const char *secret = m->blob ? records_get(m->blob, m->blob_len, "secret") : NULL;
  const char *user = m->blob ? records_get(m->blob, m->blob_len, "uid") : NULL;
  const char *machine = m->blob ? records_get(m->blob, m->blob_len, "machine") : NULL;
  const char *name = wire_str(m, 1);
  const char *dialled = link_dialled(s->link);
  bool joins = str_starts(name, TOKEN_POOL);
  struct db_tx *tx;

  if (wire_num(m, 0) != WIRE_VERSION && !m->bad) {
    s->name = xstrdup(name);
    session_refuse(s, "version", "this master speaks version %d of the worker protocol, the worker %" PRId64, WIRE_VERSION, wire_num(m, 0));
    return;
  }
  s->instance = xstrdup(wire_str(m, 2));
  s->boot = xstrdup(wire_str(m, 3));
  s->conn = wire_num(m, 4);
  s->high_inc = wire_id(m, 5).inc;
  if (m->bad || (!joins && !str_is_name(name, strlen(name))) || (!secret && !dialled) || !records_valid(m->blob, m->blob_len) || strlen(s->instance) != 32 || strlen(s->boot) != 32) {
    session_close(s, "protocol");
    return;
  }
  s->name = xstrdup(name);
  s->secret = xstrdup(secret ? secret : "");
  s->machine = xstrdup(machine && strlen(machine) == SESSION_MACHINE_LEN && strspn(machine, "0123456789abcdef") == SESSION_MACHINE_LEN ? machine : "");
  told_read(&s->host, m->blob, m->blob_len);
  s->cores = s->host.cores > 0 ? (int)s->host.cores : 1;
  s->uid = user ? atoi(user) : -1;
  s->features = xstrdup(wire_str(m, 6));
  s->facts = told_json(m->blob, m->blob_len, s->features);
  work_hello(s, m->blob, m->blob_len);
  if (!db_is_up(s->m->db)) {
    session_busy(s);
    return;
  }
  if (dialled && strcmp(dialled, name)) {
    session_refuse(s, "name", "worker %s was dialled, and %.64s answers", dialled, name);
    return;
  }
  sm_move(&s->sm, SESSION_AUTH);
  if (joins) {
    if (!session_join(s, records_get(m->blob, m->blob_len, "key")))
      session_close(s, "protocol");
    return;
  }
  s->in_tx = true;
  tx = db_tx(s->m->db, DB_ANY);
  db_q(tx, SQL_worker_get, "s", s->name);
  db_send(tx, authenticated, s);
}

static bool secret_matches(struct session *s, const void *hash, size_t n)
{
  unsigned char mine[SHA256_DIGEST_LENGTH], none[SHA256_DIGEST_LENGTH] = { 0 };
  bool there = hash && n == sizeof mine;

  SHA256((const unsigned char *)s->secret, strlen(s->secret), mine);
  mem_wipe(s->secret, strlen(s->secret));
  return str_secret_eq(mine, there ? hash : none, sizeof mine) && there;
}

static bool is_same_user(struct session *s)
{
  const char *host;
  uid_t uid;

  if (s->m->conf->same_user)
    return false;
  if (link_peer_uid(s->link, &uid))
    return uid == geteuid();
  /* over TCP, and by ssh, only the worker's own word is known; it is asked to keep people from a mistake, not to stop an attacker */
  host = link_dialled(s->link) ? strrchr(s->peer, '@') : NULL;
  host = host ? host + 1 : s->peer;
  return s->uid == (int64_t)geteuid() && (str_starts(host, "127.") || str_starts(host, "[::1]") || str_starts(host, "::1") || str_starts(host, "localhost"));
}

bool session_same_user(struct session *s)
{
  if (!is_same_user(s))
    return false;
  session_refuse(s, "user", "worker %s runs under the master's own user, so its builds could command the master (same_user: true allows it)", s->name);
  return true;
}

/* What a later version of the master wrote and this one can't read is no calendar here: the worker works. */
static void set_calendar(struct session *s, const char *text)
{
  struct buf why;
  int column;

  buf_init(&why, BUF_NO_MAX);
  if (!*text || calendar_parse(text, &s->calendar, &why, &column))
    s->calendar = (struct calendar){ .n = 0 };
  buf_free(&why);
}

void session_configure(struct session *s)
{
  const struct conf_worker *w = s->name ? conf_worker_of(s->m->conf, s->name, s->pool) : NULL;

  if (!w)
    return; /* made by `drover worker add`, or its pool is not in the configuration any more: the row is all there is */
  free_tags(s);
  s->slots = w->slots;
  s->tags = xcalloc((size_t)w->ntags + 1, sizeof *s->tags);
  for (s->ntags = 0; s->ntags < w->ntags; s->ntags++)
    s->tags[s->ntags] = xstrdup(w->tags[s->ntags]);
  s->weight = w->weight;
  set_calendar(s, w->calendar ? w->calendar : "");
}

void session_take_over(struct session *s, int64_t worker)
{
  struct session *old = session_of_worker(s->m->sessions, worker);

  if (old)
    session_close(old, "replaced");
  s->worker = worker;
  session_configure(s); /* the row may have been read before a reload changed it */
  sm_move(&s->sm, SESSION_ADOPT);
  session_adopt(s);
}

void session_refuse_copied(struct session *s)
{
  session_refuse(s, "clone", "connection %" PRId64 " of this instance was seen already: the state folder was copied or restored; remove it on one of the hosts", s->conn);
}

/* Another link of the same worker: the same instance replaces itself, but with a number that it has used it is a copy, which disturbs nobody; a different one has to show that it is alive. */
void session_meet(struct session *s, int64_t worker)
{
  struct session *old = session_of_worker(s->m->sessions, worker);

  if (old && old->link && !strcmp(old->instance, s->instance) && s->conn <= old->conn)
    session_refuse_copied(s);
  else if (old && strcmp(old->instance, s->instance) && old->link)
    session_rival_begin(s, worker, old);
  else
    session_take_over(s, worker);
}

/* Columns of worker_get; from AUTH_IS on as session_is() takes them. */
enum { AUTH_HASH = 1, AUTH_REMOVED, AUTH_POOL, AUTH_INSTANCE, AUTH_MACHINE, AUTH_IS };

void session_is(struct session *s, struct db_res *res, int stmt, int col)
{
  s->slots = (int)db_num(res, stmt, 0, col);
  s->tags = db_texts(res, stmt, 0, col + 1, &s->ntags);
  s->weight = (int)db_num(res, stmt, 0, col + 2);
  set_calendar(s, db_str(res, stmt, 0, col + 3));
}

/* An instance is one machine's, and a member's key that of one instance. */
static bool is_itself(struct session *s, struct db_res *res)
{
  const char *machine = db_str(res, 0, 0, AUTH_MACHINE);
  bool same = !strcmp(db_str(res, 0, 0, AUTH_INSTANCE), s->instance), moved = *machine && *s->machine && strcmp(machine, s->machine);

  if (s->pool ? same && !moved : !same || !moved)
    return true;
  if (s->pool)
    session_refuse(s, "clone", "%s is another machine's: the state folder was copied; remove it here, and this host joins the pool %s as itself", s->name, s->pool);
  else
    session_refuse(s, "clone", "the state folder is that of worker %s on another machine (/etc/machine-id): it was copied; remove it here, or, where that machine is no more, the file `ident` in it, and this one takes its place", s->name);
  return false;
}

static void authenticated(struct db_res *res, void *arg)
{
  struct session *s = arg;
  const void *hash;
  size_t n;

  s->in_tx = false;
  if (s->sm.state == SESSION_CLOSED) {
    session_maybe_free(s);
    return;
  }
  if (db_err(res)) {
    session_busy(s);
    return;
  }
  hash = db_rows(res, 0) ? db_bytes(res, 0, 0, AUTH_HASH, &n) : NULL;
  s->pool = db_rows(res, 0) ? db_dup(res, 0, 0, AUTH_POOL) : NULL;
  if (!db_rows(res, 0) || db_num(res, 0, 0, AUTH_REMOVED)) {
    secret_matches(s, NULL, 0);
    if (s->pool)
      session_refuse(s, "name", "%s is no member of the pool %s any more", s->name, s->pool);
    else
      session_refuse(s, "name", "there is no worker %s here (drover worker add %s makes a token)", s->name, s->name);
    return;
  }
  if (!link_dialled(s->link) && !secret_matches(s, hash, hash ? n : 0)) {
    if (s->pool)
      session_refuse(s, "secret", "the key is not that of %s, which is another member of the pool %s by now", s->name, s->pool);
    else
      session_refuse(s, "secret", "the secret of worker %s is not the one in its token (drover worker add %s makes a new one)", s->name, s->name);
    return;
  }
  if (!is_itself(s, res) || session_same_user(s))
    return;
  if (s->high_inc > s->m->incarnation)
    log_warn("worker", "%s has worked under incarnation %" PRId64 " of this cluster, the database is at %" PRId64 ": it is an older one, and workers leave it alone; drover-master restore DIR --above %" PRId64,
             s->name, s->high_inc, s->m->incarnation, s->high_inc);
  session_is(s, res, 0, AUTH_IS);
  session_meet(s, db_num(res, 0, 0, 0));
}

/* ---- the database ---- */

void session_db_down(struct session *s)
{
  drop_runs(s);
  if (s->sm.state == SESSION_HELLO || s->sm.state == SESSION_AUTH)
    return; /* its own transaction's answer tells it */
  if (s->sm.state == SESSION_RIVAL) {
    session_busy(s);
    return;
  }
  if (s->sm.state != SESSION_AWAY && s->sm.state != SESSION_CLOSED)
    sm_move(&s->sm, SESSION_AWAY);
}

/* ---- life ---- */

struct session *session_new(struct master *m, struct link *l)
{
  struct session *s = xcalloc(1, sizeof *s);

  s->m = m;
  s->link = l;
  s->peer = xstrdup(link_peer(l));
  s->by_cmd = map_new();
  s->ops = map_new();
  s->have = map_new();
  s->specs = map_new();
  list_init(&s->runs);
  work_init(&s->work);
  order_init(&s->order);
  sm_init(&s->sm, "session", session_rows, SESSION_STATES, SESSION_HELLO);
  list_push(&m->sessions->all, &s->node);
  link_set_data(l, s);
  return s;
}

const struct link_ops session_link_ops = { session_msg, on_close };
