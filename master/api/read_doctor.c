/* GET /api/v1/doctor: facts from memory, the disk and the database, and what doctor.c makes of them.

   Answered with the database away too. Over TCP nothing is told that has places or addresses in it: why a repository can't be read stays here. What is read from the disk (the configuration) is
   read at most every DOCTOR_CONF_MS, whoever asks how often. */
#include "master/api/handlers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/api/doctor.h"
#include "master/changes/githelper.h"
#include "master/conf/conf.h"
#include "master/conf/diag.h"
#include "master/conf/zone.h"
#include "master/core/master.h"
#include "master/core/reload.h"
#include "master/core/site_key.h"
#include "master/db/migrate.h"
#include "master/db/private_pg.h"
#include "master/schedulers/worlds.h"

enum { DOCTOR_CONF_MS = 2000, DISKS = 2, SINCE = 24 };

/* Columns of the statements. */
enum { OF_DATABASE, OF_SITE, OF_WORKERS, OF_SECRETS, OF_POLLS }; /* statements */
enum { DB_CLOCK, DB_SIZE, DB_FSYNC, DB_FULL_PAGE, DB_SYNC_COMMIT, DB_AUTOVACUUM, DB_CHECKSUMS, DB_XACT, DB_DEAD, DB_LIVE, DB_USED, DB_MAX, DB_XID, DB_SCHEMA, DB_VERSION };
enum { SITE_BACKED_UP, SITE_BACKUP_AGE, SITE_WAITING, SITE_WAITING_AGE, SITE_WAITING_ID, SITE_OUTBOX, SITE_OUTBOX_AGE, SITE_READER, SITE_LAG };
enum { POLL_NAME, POLL_MASTER, POLL_LOOKED, POLL_TROUBLE, POLL_SINCE };
enum { WORKER_NAME, WORKER_VERSION, WORKER_CONNECTED, WORKER_EVER, WORKER_AWAY, WORKER_LOST, WORKER_FREE, WORKER_SSH_WHY };

struct asked {
  int64_t at;  /* clock_wall_ms */
};

/* What was found on the disk, at a time. */
static struct {
  const struct conf *of;
  int64_t at;
  int errors;
  bool differs;
} on_disk;

static void look_at_files(struct master *m, struct doctor_facts *f)
{
  struct stat st;
  struct diags d;
  struct conf *c;

  f->config_errors = -1;
  if (!m->conf->text || stat(m->conf->file, &st) || !S_ISREG(st.st_mode))
    return; /* read from a pipe: nothing to compare with */
  if (on_disk.of != m->conf || clock_mono_ms() - on_disk.at > DOCTOR_CONF_MS) {
    diag_init(&d);
    c = conf_look(m->conf->file, m->conf->text, &d); /* nobody's asking how things are makes a program run */
    on_disk.errors = diag_count(&d);
    on_disk.differs = c && strcmp(c->text, m->conf->text);
    on_disk.of = m->conf;
    on_disk.at = clock_mono_ms();
    conf_free(c);
    diag_free(&d);
  }
  f->config_errors = on_disk.errors;
  f->config_differs = on_disk.differs;
}

static void look_at_disk(struct doctor_disk *d, const char *what, const char *path)
{
  struct statvfs v;

  *d = (struct doctor_disk){ .what = what };
  if (!path || statvfs(path, &v))
    return;
  d->free = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
  d->size = (int64_t)v.f_blocks * (int64_t)v.f_frsize;
}

static void know(struct call *c, struct doctor_facts *f, struct doctor_disk *disks)
{
  struct master *m = call_master(c);
  const struct reload_refusal *refused = m->reload ? reload_refused(m->reload) : NULL;

  f->version = DROVER_VERSION;
  f->want_api = m->conf->api && strcmp(m->conf->api, "none");
  f->want_workers = m->conf->workers_listen && strcmp(m->conf->workers_listen, "none");
  f->api_port = m->api_port;
  f->workers_port = m->workers_port;
  f->why = m->db_why;
  f->private_db = m->ppg != NULL;
  f->programs_gone = m->ppg && ppg_programs_gone(m->ppg);
  f->has_key = *m->pin;
  f->helper = !m->gith || !access(gith_program(m->gith), X_OK);
  look_at_disk(&disks[0], "state", m->conf->state);
  look_at_disk(&disks[1], "database", m->ppg ? ppg_folder(m->ppg) : NULL);
  f->disks = disks;
  f->ndisks = DISKS;
  f->schema_latest = migrate_latest();
  if (refused)
    f->config_refused = refused->count ? "the files had errors" : call_is_tcp(c) ? "see drover status" : refused->brief;
  f->config_origin = m->reload ? reload_held(m->reload)->origin : 0;
  look_at_files(m, f);
}

/* Of those that another master looks at: what it told last, as now_ms of our clock. */
static bool told_trouble(struct call *c, const struct db_res *r, const char *project, struct doctor_poller *out)
{
  for (int i = 0; r && i < db_rows(r, OF_POLLS); i++)
    if (!strcmp(db_str(r, OF_POLLS, i, POLL_NAME), project) && !db_null(r, OF_POLLS, i, POLL_MASTER) && !db_null(r, OF_POLLS, i, POLL_TROUBLE)) {
      *out = (struct doctor_poller){ project, call_is_tcp(c) ? NULL : db_str(r, OF_POLLS, i, POLL_TROUBLE), clock_wall_ms() - db_num(r, OF_POLLS, i, POLL_SINCE) };
      return true;
    }
  return false;
}

/* r NULL: the database is away. */
static struct doctor_poller *know_pollers(struct call *c, const struct db_res *r, struct doctor_facts *f)
{
  struct master *m = call_master(c);
  struct doctor_poller *v;
  int room = 1;

  for (int i = 0; i < m->conf->nprojects; i++)
    room += m->conf->projects[i].ncodebases;
  v = xcalloc((size_t)room, sizeof *v);
  for (int i = 0; i < m->conf->nprojects; i++) {
    const struct world *p = m->worlds ? worlds_find(m->worlds, m->conf->projects[i].name) : NULL;
    for (int k = 0; p && k < p->conf->ncodebases; k++) {
      const struct world_look l = worlds_looks(p, k);
      if (l.ours && l.trouble)
        v[f->npollers++] = (struct doctor_poller){ l.name, call_is_tcp(c) ? NULL : l.trouble, clock_mono_ms() - l.trouble_ms };
      else if (!l.ours)
        f->npollers += told_trouble(c, r, l.name, &v[f->npollers]);
    }
  }
  f->pollers = v;
  f->nprojects = m->conf->nprojects;
  return v;
}

/* r NULL: the database is away. The caller frees each why, and the list. */
static struct doctor_secret *know_secrets(struct call *c, struct doctor_facts *f, const struct db_res *r)
{
  const struct conf *conf = call_master(c)->conf;
  struct doctor_secret *v = xcalloc((size_t)conf->nsecrets + 1, sizeof *v);
  struct site_keys keys;
  struct buf no_keys;

  buf_init(&no_keys, BUF_NO_MAX);
  if (site_keys_read(conf->state, false, &keys, &no_keys))
    keys.n = 0;
  for (int i = 0; i < conf->nsecrets; i++) {
    char *why = secret_trouble(&conf->secrets[i], &keys, buf_str(&no_keys), r, OF_SECRETS);
    if (!why)
      continue;
    v[f->nsecrets++] = (struct doctor_secret){ conf->secrets[i].name, call_is_tcp(c) ? NULL : why };
    if (call_is_tcp(c))
      free(why);
  }
  f->secrets = v;
  f->secrets_all = conf->nsecrets;
  site_keys_wipe(&keys);
  buf_free(&no_keys);
  return v;
}

static void learn(struct doctor_facts *f, const struct db_res *r, int64_t asked)
{
  int64_t now = clock_wall_ms();

  f->up = true;
  f->clock_ms = db_num(r, 0, 0, DB_CLOCK) - (asked + now) / 2;
  f->clock_within_ms = (now - asked) / 2 + 1;
  f->size = db_num(r, 0, 0, DB_SIZE);
  f->fsync = db_num(r, 0, 0, DB_FSYNC) != 0;
  f->full_page_writes = db_num(r, 0, 0, DB_FULL_PAGE) != 0;
  f->synchronous_commit = db_num(r, 0, 0, DB_SYNC_COMMIT) != 0;
  f->autovacuum = db_num(r, 0, 0, DB_AUTOVACUUM) != 0;
  f->checksums = db_num(r, 0, 0, DB_CHECKSUMS) != 0;
  f->xact_s = db_num(r, 0, 0, DB_XACT);
  f->dead = db_num(r, 0, 0, DB_DEAD);
  f->live = db_num(r, 0, 0, DB_LIVE);
  f->connections = db_num(r, 0, 0, DB_USED);
  f->connections_max = db_num(r, 0, 0, DB_MAX);
  f->xid_age = db_num(r, 0, 0, DB_XID);
  f->schema = (int)db_num(r, 0, 0, DB_SCHEMA);
  f->pg_version = db_str(r, 0, 0, DB_VERSION);
  f->backed_up = db_num(r, 1, 0, SITE_BACKED_UP) != 0;
  f->backup_age_ms = db_num(r, 1, 0, SITE_BACKUP_AGE);
  f->waiting = db_num(r, 1, 0, SITE_WAITING);
  f->waiting_s = db_num(r, 1, 0, SITE_WAITING_AGE);
  f->waiting_id = db_str(r, 1, 0, SITE_WAITING_ID);
  f->outbox = db_num(r, 1, 0, SITE_OUTBOX);
  f->outbox_s = db_num(r, 1, 0, SITE_OUTBOX_AGE);
  f->reader = db_str(r, 1, 0, SITE_READER);
  f->reader_lag = db_num(r, 1, 0, SITE_LAG);
}

/* Today's time, or the day too. */
static void since_text(int64_t ms, char out[SINCE])
{
  time_t t = (time_t)(ms / 1000), now = time(NULL);
  struct tm a, b;

  zone_own();
  localtime_r(&t, &a);
  localtime_r(&now, &b);
  strftime(out, SINCE, a.tm_yday == b.tm_yday && a.tm_year == b.tm_year ? "%H:%M" : "%Y-%m-%d %H:%M", &a);
}

static struct doctor_worker *learn_workers(struct doctor_facts *f, const struct db_res *r, char (**since)[SINCE])
{
  int n = db_rows(r, 2);
  struct doctor_worker *v = xcalloc((size_t)n + 1, sizeof *v);

  *since = xcalloc((size_t)n + 1, sizeof **since);
  for (int i = 0; i < n; i++) {
    since_text(db_num(r, 2, i, WORKER_LOST), (*since)[i]);
    v[i] = (struct doctor_worker){ db_str(r, 2, i, WORKER_NAME), db_str(r, 2, i, WORKER_VERSION), db_num(r, 2, i, WORKER_CONNECTED) != 0, db_num(r, 2, i, WORKER_EVER) != 0,
      db_num(r, 2, i, WORKER_AWAY), (*since)[i], db_null(r, 2, i, WORKER_FREE) ? -1 : db_num(r, 2, i, WORKER_FREE), db_str(r, 2, i, WORKER_SSH_WHY) };
  }
  f->workers = v;
  f->nworkers = n;
  return v;
}

static cJSON *verdicts(const struct doctor *d)
{
  cJSON *o = cJSON_CreateObject(), *checks, *check;

  json_text(o, "level", doctor_level_name(doctor_worst(d)));
  checks = cJSON_AddArrayToObject(o, "checks");
  for (int i = 0; i < DOCTOR_CHECKS; i++) {
    cJSON_AddItemToArray(checks, check = cJSON_CreateObject());
    json_text(check, "name", doctor_name((enum doctor_check)i));
    json_text(check, "level", doctor_level_name(d->check[i].level));
    json_text(check, "text", d->check[i].text);
    json_text(check, "todo", d->check[i].todo);
    json_text(check, "how", doctor_how((enum doctor_check)i));
  }
  return o;
}

/* r NULL: the database is away. */
static void answer(struct call *c, const struct db_res *r, int64_t asked)
{
  struct doctor_facts f = { 0 };
  struct doctor_disk disks[DISKS];
  struct doctor_poller *pollers = know_pollers(c, r, &f);
  struct doctor_secret *secrets = know_secrets(c, &f, r);
  struct doctor_worker *workers = NULL;
  char (*since)[SINCE] = NULL;
  struct doctor d;

  know(c, &f, disks);
  if (r) {
    learn(&f, r, asked);
    workers = learn_workers(&f, r, &since);
  }
  doctor_judge(&f, &d);
  for (int i = 0; i < f.nsecrets; i++)
    free((char *)(uintptr_t)secrets[i].why);
  free(secrets);
  free(pollers);
  free(workers);
  free(since);
  call_json(c, 200, verdicts(&d));
  doctor_free(&d);
}

static void on_facts(struct db_res *r, void *arg)
{
  struct call *c = arg;

  if (call_release(c))
    answer(c, db_err(r) ? NULL : r, ((struct asked *)call_data(c, sizeof(struct asked)))->at);
}

void read_doctor(struct call *c)
{
  struct db_tx *tx;

  if (!db_is_up(call_master(c)->db)) {
    answer(c, NULL, 0);
    return;
  }
  ((struct asked *)call_data(c, sizeof(struct asked)))->at = clock_wall_ms();
  tx = call_tx(c);
  db_q(tx, SQL_doctor_database, "");
  db_q(tx, SQL_doctor_site, "");
  db_q(tx, SQL_doctor_workers, "");
  db_q(tx, SQL_api_secrets, "");
  db_q(tx, SQL_api_polls, "");
  call_hold(c);
  db_send(tx, on_facts, c);
}
