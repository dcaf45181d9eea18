/* The master's life: start in order, come up with the database each time it comes up, stop in order.

   Start: configuration, state folder, database (private: made, started or adopted), schema, loop. The API answers from then on; with the first contact to the database come identity (cluster, incarnation,
   key), workers' port, polling, dispatch. Stop: no new work, links closed with `bye`, what was begun in the database is finished, the private PostgreSQL is stopped. */
#include "master/core/master_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/api/api.h"
#include "master/changes/githelper.h"
#include "master/core/announce.h"
#include "master/conf/conf.h"
#include "master/core/envelope.h"
#include "master/core/master.h"
#include "master/core/place.h"
#include "master/core/reload.h"
#include "master/core/secret_values.h"
#include "master/db/db.h"
#include "master/db/migrate.h"
#include "master/db/private_pg.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pipes.h"
#include "master/dispatch/reasons.h"
#include "master/dispatch/waits.h"
#include "master/events/events.h"
#include "master/events/hints.h"
#include "master/logs/watch.h"
#include "master/schedulers/worlds.h"
#include "master/workers/dial.h"
#include "master/workers/questions.h"
#include "master/workers/link.h"
#include "master/workers/session.h"
#include "master/workers/ssh_key.h"
#include "master/workers/ssh_keys.h"

enum { DB_WORK = 4, DB_READERS = 3, BEAT_MS = 5000, BEAT_MANY_MS = 1000 /* with other masters */, ROLL_MS = 3600000, STOP_MS = 3000, MIGRATE_RETRY_S = 1 };

struct life {
  struct master m;
  uv_signal_t term, intr, hup;
  uv_timer_t beat, roll, stop;
  int64_t beat_sent_ms;
  bool beating, beat_again, resting; /* a heartbeat is under way, and another one is wanted; there will be no more */
  int lock_fd;
  char place[33];      /* of the state folder */
  bool raise, database_unit, versioned, identified, listening;
  int kept, master_row;        /* statements of the introduction; kept 0: not asked */
  int exit_code;
};

static void stop_next(struct life *l);

/* ---- with the database ---- */

static bool listen_workers(struct life *l)
{
  struct master *m = &l->m;
  struct buf why;
  bool ok = true;

  buf_init(&why, 1024);
  if (m->conf->workers_listen && strcmp(m->conf->workers_listen, "none"))
    ok = !link_listen_tcp(m->links, m->conf->workers_listen, &m->workers_port, &why);
  if (ok && m->conf->workers_socket)
    ok = !link_listen_unix(m->links, m->conf->workers_socket, &why);
  if (!ok)
    log_error("master", "%s", buf_str(&why));
  buf_free(&why);
  return ok;
}

static void begin_links(struct life *l, const char *key)
{
  struct master *m = &l->m;
  struct buf why;

  buf_init(&why, 1024);
  if (link_key_pin(key, m->pin) || !(m->links = link_server_new(m->loop, key, &session_link_ops, m, &why))) {
    log_error("master", "the cluster's worker-link key can't be used: %s", buf_str(&why));
    l->exit_code = 1;
    master_stop(m, "no key");
  } else if (!listen_workers(l)) {
    l->exit_code = 1;
    master_stop(m, "can't listen");
  } else {
    l->listening = true;
    log_info("master", "ready version=%s cluster=%s incarnation=%" PRId64 " api=%d workers=%d pin=%.16s", DROVER_VERSION, m->cluster, m->incarnation, m->api_port, m->workers_port, m->pin);
  }
  buf_free(&why);
}

static bool refused_by_database(struct life *l, const struct db_res *res)
{
  if (!db_err(res))
    return false;
  if (db_err(res) == ERR_FAILED) {
    log_error("master", "%s", db_errtext(res));
    l->exit_code = 1;
    master_stop(&l->m, "the database refused the master's first words");
  }
  return true; /* away again: the next on_up asks anew */
}

static void identified(struct db_res *res, void *arg)
{
  struct life *l = arg;
  struct master *m = &l->m;

  if (refused_by_database(l, res))
    return;
  if (db_rows(res, 1))
    log_warn("master", "this database was restored or copied: ids go on under incarnation %" PRId64, db_num(res, 1, 0, 0));
  free(m->cluster);
  m->cluster = db_dup(res, 2, 0, 0);
  m->incarnation = db_num(res, 2, 0, 1);
  ssh_keys_take(m->ssh_keys, res, 2, 4, m->cluster);
  if (l->kept)
    m->config_version = db_num(res, l->kept, 0, 0);
  if (!l->identified) {
    m->id = db_num(res, l->master_row, 0, 0);
    l->identified = true;
  }
  free(m->db_why);
  m->db_why = NULL;
  if (reload_doubtful(m->reload))
    reload_settled(m->reload);
  if (!l->listening)
    begin_links(l, db_str(res, 2, 0, 3));
  if (m->stopping)
    return;
  announce_state(m);
  events_db_up(m->events);
  sessions_db_up(m->sessions);
  dials_db_up(m->dials);
  worlds_db_up(m->worlds);
  dispatch_kick(m->dispatch);
  waits_kick(m->waits);
}

/* Who we are, and what we are made of. */
static void introduce(struct life *l)
{
  struct master *m = &l->m;
  struct db_tx *tx = db_tx(m->db, DB_ANY);
  unsigned char random[16];
  char uuid[33], host[256] = "?", *key, *ssh_key;

  str_random(random, sizeof random);
  str_hex(random, sizeof random, uuid);
  key = link_key_make(); /* used where the cluster has none yet, and so is the other one */
  ssh_key = ssh_key_make();
  gethostname(host, sizeof host - 1);
  db_q(tx, SQL_cluster_make, "sss", uuid, key, ssh_key);
  db_q(tx, l->raise ? SQL_cluster_raise : SQL_cluster_check, "");
  db_q(tx, SQL_cluster_get, "");
  l->kept = reload_doubtful(m->reload) ? db_count(tx) : 0;
  if (l->kept)
    reload_put_keep(m->reload, tx);
  l->master_row = db_count(tx);
  if (!l->identified)
    db_q(tx, SQL_master_add, "snss", host, (int64_t)getpid(), l->place, envelope_address(m->envelopes));
  if (!l->identified || l->kept)
    reload_put_workers(tx, m->conf);
  db_q(tx, SQL_log_roll, "");
  l->raise = false;
  secret_wipe(key);
  secret_wipe(ssh_key);
  db_send(tx, identified, l);
}

static void versioned(struct db_res *res, void *arg)
{
  struct life *l = arg;

  if (refused_by_database(l, res) || l->m.stopping)
    return;
  reload_started(l->m.reload, res);
  l->versioned = true;
  introduce(l);
}

static void on_up(void *ctx)
{
  struct life *l = ctx;
  struct db_tx *tx;

  if (l->m.stopping)
    return;
  if (l->versioned) {
    introduce(l);
    return;
  }
  tx = db_tx(l->m.db, DB_ANY);
  reload_put_start(l->m.reload, tx);
  db_send(tx, versioned, l);
}

static void on_down(void *ctx, const char *why)
{
  struct life *l = ctx;

  free(l->m.db_why);
  l->m.db_why = xstrdup(why);
  announce_state(&l->m);
  sessions_db_down(l->m.sessions);
}

static void on_pg_ready(void *ctx)
{
  (void)ctx; /* the connections try again by themselves within moments */
}

static void on_pg_lost(void *ctx, const char *why)
{
  struct life *l = ctx;

  log_warn("master", "the private PostgreSQL is gone: %s", why);
  if (l->m.db)
    db_kick(l->m.db, why);
}

static void on_beat(uv_timer_t *t);

enum { SESSIONS_STMT = 2, WORLDS_STMT }; /* of a heartbeat: sessions_beat's, and from there on worlds_beat's */

static void beat_in(struct life *l, int64_t ms)
{
  if (l->beating)
    l->beat_again |= ms == 0;
  else if (!l->resting)
    uv_timer_start(&l->beat, on_beat, (uint64_t)ms, 0);
}

void master_beat_soon(struct master *m)
{
  beat_in((struct life *)((char *)m - offsetof(struct life, m)), 0);
}

static void beaten(struct db_res *res, void *arg)
{
  struct life *l = arg;
  int others = worlds_beaten(l->m.worlds, res, WORLDS_STMT, l->beat_sent_ms);

  if (db_err(res) == ERR_FAILED)
    log_error("master", "%s", db_errtext(res));
  ssh_keys_beaten(&l->m, res, 0);
  sessions_beaten(l->m.sessions, res, SESSIONS_STMT);
  if (l->m.dials)
    dials_beaten(l->m.dials, res);
  hints_others(l->m.hints, others);
  l->beating = false;
  beat_in(l, l->beat_again ? 0 : others ? BEAT_MANY_MS : BEAT_MS);
  l->beat_again = false;
}

static void on_beat(uv_timer_t *t)
{
  struct life *l = t->data;
  struct db_tx *tx;

#ifdef __GLIBC__
  malloc_trim(0); /* what a crowd of workers or a large log took goes back; a fraction of a millisecond */
#endif
  if (!l->identified || !db_is_up(l->m.db)) {
    beat_in(l, BEAT_MS);
    return;
  }
  l->beating = true;
  l->beat_sent_ms = clock_mono_ms();
  tx = db_tx(l->m.db, DB_ANY);
  db_q(tx, SQL_master_beat, "n", l->m.id);
  db_q(tx, SQL_sessions_orphaned, "n", l->m.id); /* of a master whose heart stopped, perhaps this one's last life: only now is it certain */
  sessions_beat(l->m.sessions, tx);
  if (!l->m.stopping)
    worlds_beat(l->m.worlds, tx);
  if (!l->m.stopping)
    dials_beat(l->m.dials, tx);
  db_send(tx, beaten, l);
}

static void on_roll(uv_timer_t *t)
{
  struct life *l = t->data;
  struct db_tx *tx;

  if (!db_is_up(l->m.db))
    return;
  tx = db_tx(l->m.db, DB_ANY);
  db_q(tx, SQL_log_roll, "");
  db_q(tx, SQL_hook_prune, "");
  db_send(tx, NULL, NULL);
}

/* ---- the end ---- */

static void ppg_gone(void *arg)
{
  struct life *l = arg;
  uv_handle_t *all[] = { (uv_handle_t *)&l->term, (uv_handle_t *)&l->intr, (uv_handle_t *)&l->hup, (uv_handle_t *)&l->beat, (uv_handle_t *)&l->roll, (uv_handle_t *)&l->stop };

  l->m.ppg = NULL;
  for (size_t i = 0; i < COUNT(all); i++)
    uv_close(all[i], NULL);
}

static void db_gone(void *arg)
{
  struct life *l = arg;

  l->m.db = NULL; /* every transaction was answered: nobody comes back to these */
  reload_free(l->m.reload);
  waits_free(l->m.waits);
  dispatch_free(l->m.dispatch);
  reasons_free(l->m.reasons);
  worlds_free(l->m.worlds);
  hints_free(l->m.hints);
  events_free(l->m.events);
  watches_free(l->m.watches);
  works_free(l->m.works);
  questions_free(l->m.questions);
  sessions_free(l->m.sessions);
  pipes_close();
  if (l->m.ppg)
    ppg_close(l->m.ppg, true, ppg_gone, l);
  else
    ppg_gone(l);
}

static void close_rest(struct life *l)
{
  l->resting = true;
  uv_timer_stop(&l->beat);
  uv_timer_stop(&l->roll);
  db_close(l->m.db, db_gone, l);
}

static void said_goodbye(struct db_res *res, void *arg)
{
  (void)res;
  close_rest(arg);
}

/* Only now: with its goodbye a master's repositories are other masters'. */
static void helpers_gone(void *arg)
{
  struct life *l = arg;
  struct db_tx *tx;

  l->m.gith = NULL;
  tx = db_tx(l->m.db, DB_ANY);
  db_q(tx, SQL_master_gone, "n", l->m.id);
  db_send(tx, said_goodbye, l);
}

static void dials_gone(void *arg)
{
  struct life *l = arg;

  l->m.dials = NULL;
  gith_close(l->m.gith, helpers_gone, l);
}

static void links_gone(void *arg)
{
  struct life *l = arg;

  l->m.links = NULL;
  dials_close(l->m.dials, dials_gone, l);
}

static void api_gone(void *arg)
{
  struct life *l = arg;

  l->m.api = NULL;
  if (l->m.links)
    link_server_close(l->m.links, links_gone, l);
  else
    links_gone(l);
}

static void stop_next(struct life *l)
{
  api_close(l->m.api, api_gone, l);
}

static void on_stop_turn(uv_timer_t *t)
{
  stop_next(t->data);
}

void master_stop(struct master *m, const char *why)
{
  struct life *l = (struct life *)((char *)m - offsetof(struct life, m));

  if (m->stopping)
    return;
  m->stopping = true;
  log_info("master", "stopping: %s", why);
  announce_stopping(why);
  reload_stop(m->reload);
  worlds_stop(m->worlds);
  questions_stop(m->questions);
  dials_stop(m->dials);
  uv_timer_start(&l->stop, on_stop_turn, 50, 0); /* answers that were just written go out */
}

static void on_signal(uv_signal_t *s, int number)
{
  struct life *l = s->data;

  if (number == SIGHUP) {
    if (!l->m.stopping)
      reload_ask(l->m.reload, RELOAD_SIGNAL, "SIGHUP", 0, NULL, NULL);
    return;
  }
  master_stop(&l->m, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* ---- the beginning ---- */

static int make_state(const char *state)
{
  if (!mkdir(state, 0755) || errno == EEXIST)
    return 0;
  log_error("master", "can't make the state folder %s: %s", state, strerror(errno));
  return 1;
}

/* What stands in the lock file since the first start on this folder: the next life knows by it what the former ones left behind. */
static int name_place(struct life *l)
{
  unsigned char random[(sizeof l->place - 1) / 2];

  if (pread(l->lock_fd, l->place, sizeof l->place - 1, 0) == sizeof l->place - 1)
    return 0;
  str_random(random, sizeof random);
  str_hex(random, sizeof random, l->place);
  if (pwrite(l->lock_fd, l->place, sizeof l->place - 1, 0) == sizeof l->place - 1)
    return 0;
  log_error("master", "can't write the lock file of the state folder: %m");
  return 3;
}

static int own_state(struct life *l, const char *state)
{
  char *path;

  if (make_state(state))
    return 1;
  path = xasprintf("%s/lock", state);
  l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (l->lock_fd < 0 || flock(l->lock_fd, LOCK_EX | LOCK_NB)) {
    log_error("master", errno == EWOULDBLOCK ? "another master runs on the state folder %s" : "can't use the state folder %s: %m", state);
    free(path);
    return 3;
  }
  free(path);
  return name_place(l);
}

/* Blocking: nothing else can be done before there is a schema. A given database that is away is waited for. */
static int begin_database(struct life *l, const char **conninfo)
{
  struct master *m = &l->m;
  struct buf why;
  enum err err;

  buf_init(&why, 4096);
  *conninfo = m->conf->database;
  if (!*conninfo) {
    announce_starting("starting the private PostgreSQL");
    static const struct ppg_ops ops = { on_pg_ready, on_pg_lost };
    m->ppg = (l->database_unit ? ppg_of_service : ppg_new)(m->loop, m->conf->state, m->conf->database_folder, &ops, l, &why);
    if (!m->ppg || ppg_start(m->ppg, &why)) {
      log_error("master", "no database: %s", buf_str(&why));
      buf_free(&why);
      return 1;
    }
    *conninfo = ppg_conninfo(m->ppg);
  }
  for (bool told = false; (err = migrate_run(*conninfo, &why)) == ERR_AWAY; told = true) {
    if (!told)
      log_warn("master", "waiting for the database: %s", buf_str(&why));
    announce_starting(buf_str(&why));
    buf_reset(&why);
    sleep(MIGRATE_RETRY_S);
  }
  if (err)
    log_error("master", "the database's schema: %s", buf_str(&why));
  buf_free(&why);
  return err ? 1 : 0;
}

static int begin_api(struct life *l)
{
  struct master *m = &l->m;
  struct buf why;
  bool ok;

  buf_init(&why, 1024);
  m->api = api_new(m);
  ok = !api_listen_unix(m->api, m->conf->socket, &why);
  if (ok && strcmp(m->conf->api, "none"))
    ok = !api_listen_tcp(m->api, m->conf->api, &m->api_port, &why);
  if (!ok)
    log_error("master", "%s", buf_str(&why));
  buf_free(&why);
  return ok ? 0 : 1;
}

static void begin_timers(struct life *l)
{
  uv_loop_t *loop = l->m.loop;

  uv_signal_init(loop, &l->term);
  uv_signal_init(loop, &l->intr);
  uv_signal_init(loop, &l->hup);
  uv_timer_init(loop, &l->beat);
  uv_timer_init(loop, &l->roll);
  uv_timer_init(loop, &l->stop);
  l->term.data = l->intr.data = l->hup.data = l->beat.data = l->roll.data = l->stop.data = l;
  uv_signal_start(&l->term, on_signal, SIGTERM);
  uv_signal_start(&l->intr, on_signal, SIGINT);
  uv_signal_start(&l->hup, on_signal, SIGHUP);
  uv_timer_start(&l->beat, on_beat, BEAT_MS, 0);
  uv_timer_start(&l->roll, on_roll, ROLL_MS, ROLL_MS);
}

int master_run(struct conf *conf, const struct master_options *options)
{
  static const struct db_ops ops = { on_up, on_down };
  struct life *l = xcalloc(1, sizeof *l);
  struct master *m = &l->m;
  const char *conninfo;
  char *program, *mirrors;
  int rc;

  m->loop = uv_default_loop();
  m->conf = conf;
  m->envelopes = envelope_key_new();
  m->ssh_keys = ssh_keys_new();
  if (conf->nsecrets)
    place_close();
  m->started_ms = clock_mono_ms();
  m->db_why = xstrdup("starting");
  m->web_dir = options->web_dir;
  l->raise = options->raise;
  l->database_unit = options->database_unit;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN); /* until we can reload */
  rc = own_state(l, conf->state);
  if (!rc)
    rc = begin_database(l, &conninfo);
  if (rc) {
    conf_free(conf);
    if (!m->ppg) { /* else it has our address */
      ssh_keys_free(m->ssh_keys);
      envelope_key_free(m->envelopes);
      free(m->db_why);
      free(l);
    }
    return rc;
  }
  begin_timers(l);
  program = place_find("drover-git-helper");
  mirrors = xasprintf("%s/mirrors", conf->state);
  m->db = db_new(m->loop, conninfo, DB_WORK, DB_READERS, &ops, l);
  m->gith = gith_new(m->loop, program, mirrors, conf->helpers);
  m->events = events_new(m);
  m->hints = hints_new(m);
  m->watches = watches_new(m);
  m->sessions = sessions_new(m);
  m->questions = questions_new(m);
  m->dials = dials_new(m);
  m->works = works_new(m);
  m->dispatch = dispatch_new(m);
  m->reasons = reasons_new(m);
  m->waits = waits_new(m);
  m->worlds = worlds_new(m);
  m->reload = reload_new(m);
  rc = begin_api(l);
  free(program);
  free(mirrors);
  if (rc) {
    l->exit_code = rc;
    master_stop(m, "can't listen");
  }
  db_start(m->db);
  uv_run(m->loop, UV_RUN_DEFAULT);
  rc = l->exit_code;
  log_info("master", "stopped");
  uv_loop_close(m->loop);
  free(m->db_why);
  free(m->cluster);
  ssh_keys_free(m->ssh_keys);
  envelope_key_free(m->envelopes);
  conf_free(m->conf);
  close(l->lock_fd);
  free(l);
  return rc;
}

int master_database(const struct conf *conf)
{
  struct buf why;

  if (conf->database) {
    log_info("master", "the database is given (%s: `database`): there is no private one to run", conf->file);
    return 0;
  }
  if (make_state(conf->state))
    return 1;
  buf_init(&why, 4096);
  if (ppg_become(conf->state, conf->database_folder, &why))
    log_error("master", "no database: %s", buf_str(&why));
  buf_free(&why);
  return 1;
}
