/* One function a check. A text is a sentence without its end, for people; what to do is a command or a place to look. */
#include "master/api/doctor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/str.h"

#define MB ((int64_t)1 << 20)
#define GB ((int64_t)1 << 30)

static const char *const names[DOCTOR_CHECKS] = {
#define D(name, how) #name,
#include "master/api/doctor.def"
#undef D
};
static const char *const hows[DOCTOR_CHECKS] = {
#define D(name, how) how,
#include "master/api/doctor.def"
#undef D
};

const char *doctor_name(enum doctor_check c) { return names[c]; }
const char *doctor_how(enum doctor_check c) { return hows[c]; }

const char *doctor_level_name(enum doctor_level l)
{
  static const char *const level[] = { "ok", "warn", "fail", "unknown" };

  return level[l];
}

/* ---- saying it ---- */

/* Of several things that are wrong the worst one is told first, the others behind it. */
static void say(struct doctor_verdict *v, enum doctor_level level, const char *todo, const char *fmt, ...) printf_like(4, 5);
static void say(struct doctor_verdict *v, enum doctor_level level, const char *todo, const char *fmt, ...)
{
  va_list ap;
  char *text, *old = v->text;

  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  if (!old || (v->level == DOCTOR_OK && level != DOCTOR_OK)) {
    v->text = text;
    text = NULL;
  } else if (level != DOCTOR_OK) {
    v->text = level > v->level ? xasprintf("%s; %s", text, old) : xasprintf("%s; %s", old, text);
  }
  if (v->text != old)
    free(old);
  free(text);
  if (todo && (!v->todo || level > v->level)) {
    free(v->todo);
    v->todo = xstrdup(todo);
  }
  if (level > v->level)
    v->level = level;
}

static char *size_text(int64_t bytes, char out[24])
{
  if (bytes >= 10 * GB)
    snprintf(out, 24, "%" PRId64 " GB", bytes / GB);
  else if (bytes >= GB)
    snprintf(out, 24, "%.1f GB", (double)bytes / (double)GB);
  else
    snprintf(out, 24, "%" PRId64 " MB", bytes / MB);
  return out;
}

static char *span_text(int64_t s, char out[24])
{
  if (s < 120)
    snprintf(out, 24, "%" PRId64 " s", s);
  else if (s < 7200)
    snprintf(out, 24, "%" PRId64 " min", s / 60);
  else if (s < 48 * 3600)
    snprintf(out, 24, "%" PRId64 " h", s / 3600);
  else
    snprintf(out, 24, "%" PRId64 " days", s / 86400);
  return out;
}

/* ---- the checks ---- */

static void judge_database(const struct doctor_facts *f, struct doctor_verdict *v)
{
  char size[24], span[24];

  if (f->programs_gone)
    say(v, DOCTOR_WARN, "install that version of PostgreSQL again, or: drover-master upgrade-db", "PostgreSQL's programs were removed since it started: it will not start again");
  if (!f->up) {
    say(v, DOCTOR_FAIL, f->private_db ? "the master starts it again by itself; its log is in the master's, area pg" : "the server named by `database` in the configuration",
        "PostgreSQL is away%s%s", f->why ? ": " : "", f->why ? f->why : "");
    return;
  }
  say(v, DOCTOR_OK, NULL, "PostgreSQL %s, %s", f->pg_version, size_text(f->size, size));
  if (f->xid_age > DOCTOR_XID_FAIL)
    say(v, DOCTOR_FAIL, "vacuum (freeze) in that database, at once", "transaction ids run out: %" PRId64 " of 2147 million are used", f->xid_age / 1000000);
  else if (f->xid_age > DOCTOR_XID_WARN)
    say(v, DOCTOR_WARN, "see why autovacuum does not get on; vacuum (freeze)", "transaction ids: %" PRId64 " of 2147 million are used", f->xid_age / 1000000);
  if (f->connections * 100 > f->connections_max * DOCTOR_CONNECTIONS_PERCENT)
    say(v, DOCTOR_WARN, "raise max_connections, or see in pg_stat_activity who holds them", "%" PRId64 " of %" PRId64 " connections are taken", f->connections, f->connections_max);
  if (f->xact_s > DOCTOR_XACT_MAX_S)
    say(v, DOCTOR_WARN, "pg_stat_activity names it; pg_terminate_backend(pid) ends it", "a transaction has been open for %s", span_text(f->xact_s, span));
  if (f->dead > DOCTOR_DEAD_ROWS && f->dead > f->live)
    say(v, DOCTOR_WARN, "vacuum in that database; see whether autovacuum runs", "%" PRId64 " million dead rows beside %" PRId64 " million live ones", f->dead / 1000000, f->live / 1000000);
}

static void judge_durability(const struct doctor_facts *f, struct doctor_verdict *v)
{
  if (!f->up)
    return;
  say(v, DOCTOR_OK, NULL, "%s", f->checksums ? "page checksums on" : "page checksums off");
  if (!f->fsync || !f->full_page_writes)
    say(v, DOCTOR_FAIL, "switch it on in postgresql.conf (private: local.conf), then pg_ctl reload", "%s off: a power cut destroys the database",
        !f->fsync && !f->full_page_writes ? "fsync and full_page_writes are" : !f->fsync ? "fsync is" : "full_page_writes is");
  if (!f->synchronous_commit)
    say(v, DOCTOR_WARN, "something overrides it on drover's own connections", "synchronous_commit is off: the last commits can be lost");
  if (!f->autovacuum)
    say(v, DOCTOR_WARN, "autovacuum = on", "autovacuum is off: tables grow, and transaction ids run out");
}

static void judge_schema(const struct doctor_facts *f, struct doctor_verdict *v)
{
  if (!f->up)
    return;
  if (f->schema > f->schema_latest)
    say(v, DOCTOR_FAIL, "stop the older master", "schema %d, this master knows %d: a newer one runs on the same database", f->schema, f->schema_latest);
  else
    say(v, DOCTOR_OK, NULL, "%d", f->schema);
}

static void judge_ports(const struct doctor_facts *f, struct doctor_verdict *v)
{
  if (f->want_api && !f->api_port)
    say(v, DOCTOR_FAIL, "the master's log says why", "page and API are configured, and not listened on");
  if (f->want_workers && !f->workers_port)
    say(v, DOCTOR_FAIL, "the master's log says why", "workers can't connect: their port is not listened on");
  if (f->api_port && f->workers_port)
    say(v, DOCTOR_OK, NULL, "%d, %d", f->api_port, f->workers_port);
  else if (f->api_port || f->workers_port)
    say(v, DOCTOR_OK, NULL, "%d", f->api_port ? f->api_port : f->workers_port);
  else
    say(v, DOCTOR_OK, NULL, "sockets only");
}

static void judge_clock(const struct doctor_facts *f, struct doctor_verdict *v)
{
  int64_t off = llabs(f->clock_ms), sure = off > f->clock_within_ms ? off - f->clock_within_ms : 0;
  char span[24];

  if (!f->up)
    return;
  if (sure > DOCTOR_CLOCK_WARN_MS)
    say(v, sure > DOCTOR_CLOCK_FAIL_MS ? DOCTOR_FAIL : DOCTOR_WARN, "let both hosts take the time from NTP (timedatectl, chronyc tracking)", "the database's clock is %s %s of the master's",
        span_text(off / 1000, span), f->clock_ms > 0 ? "ahead" : "behind");
  else
    say(v, DOCTOR_OK, NULL, "±%" PRId64 " ms", off > f->clock_within_ms ? off : f->clock_within_ms);
}

static void judge_disk(const struct doctor_facts *f, struct doctor_verdict *v)
{
  static const char todo[] = "make room there; drover's own share is mostly logs of builds and, in the state folder, mirrors (a cache that may be deleted while the master is stopped)";
  int least = 100;
  char size[24];

  for (int i = 0; i < f->ndisks; i++) {
    const struct doctor_disk *d = &f->disks[i];
    int percent = d->size ? (int)(d->free / (d->size / 100 + 1)) : 100;

    if (!d->size)
      continue;
    if (percent < least)
      least = percent;
    if (d->free < DOCTOR_DISK_LEAST_MB * MB || (percent < DOCTOR_DISK_FAIL_PERCENT && d->free < DOCTOR_DISK_FAIL_GB * GB))
      say(v, DOCTOR_FAIL, todo, "%s has %s free (%d %%)", d->what, size_text(d->free, size), percent);
    else if (percent < DOCTOR_DISK_WARN_PERCENT && d->free < DOCTOR_DISK_WARN_GB * GB)
      say(v, DOCTOR_WARN, todo, "%s has %s free (%d %%)", d->what, size_text(d->free, size), percent);
  }
  say(v, DOCTOR_OK, NULL, "%d %% free", least);
}

static void judge_keys(const struct doctor_facts *f, struct doctor_verdict *v)
{
  if (!f->has_key)
    say(v, f->up ? DOCTOR_FAIL : DOCTOR_UNKNOWN, "the master's log says why", "the workers' link key is not there");
  else if (f->up && !f->backed_up)
    say(v, DOCTOR_WARN, "drover-master backup DIR", "keys not backed up yet: without them every worker needs a new token");
  else
    say(v, f->up ? DOCTOR_OK : DOCTOR_UNKNOWN, NULL, "backed up");
}

static void judge_backup(const struct doctor_facts *f, struct doctor_verdict *v)
{
  char span[24];

  if (!f->up)
    return;
  if (!f->backed_up)
    say(v, DOCTOR_WARN, "drover-master backup DIR, each night by cron or a timer", "there is no backup");
  else if (f->backup_age_ms > DOCTOR_BACKUP_MAX_H * INT64_C(3600000))
    say(v, DOCTOR_WARN, "drover-master backup DIR, each night by cron or a timer", "last backup %s old", span_text(f->backup_age_ms / 1000, span));
  else
    say(v, DOCTOR_OK, NULL, "%s old", span_text(f->backup_age_ms / 1000, span));
}

static void judge_configuration(const struct doctor_facts *f, struct doctor_verdict *v)
{
  if (f->config_refused)
    say(v, DOCTOR_WARN, "drover-master --check --config FILE tells all errors", "the last reload was refused: %s", f->config_refused);
  if (f->config_errors > 0)
    say(v, DOCTOR_FAIL, "drover-master --check --config FILE; the master would not start again", "the files on disk have %d error%s", f->config_errors, f->config_errors == 1 ? "" : "s");
  else if (f->config_origin)
    say(v, DOCTOR_WARN, "drover config activate takes the files over; so does a change of them, with the next reload or start", "rolled back to version %" PRId64 ": the files on disk are not used", f->config_origin);
  else if (f->config_differs)
    say(v, DOCTOR_WARN, "reload, or restart the master", "the files on disk are not the configuration that is used");
  else if (!f->config_refused)
    say(v, f->config_errors < 0 ? DOCTOR_UNKNOWN : DOCTOR_OK, NULL, "as on disk");
}

static void judge_repositories(const struct doctor_facts *f, struct doctor_verdict *v)
{
  char span[24];

  for (int i = 0; i < f->npollers && i < DOCTOR_NAMED; i++)
    say(v, DOCTOR_WARN, "the repository's URL, its server, and the credentials of the master's user", "%s can't be read for %s%s%s", f->pollers[i].project, span_text(f->pollers[i].for_ms / 1000, span),
        f->pollers[i].why ? ": " : "", f->pollers[i].why ? f->pollers[i].why : "");
  if (f->npollers > DOCTOR_NAMED)
    say(v, DOCTOR_WARN, NULL, "%d more", f->npollers - DOCTOR_NAMED);
  say(v, DOCTOR_OK, NULL, "%d", f->nprojects);
}

static void judge_secrets(const struct doctor_facts *f, struct doctor_verdict *v)
{
  for (int i = 0; i < f->nsecrets && i < DOCTOR_NAMED; i++)
    say(v, DOCTOR_WARN, "drover secret list; a lost site key: bring keys/site.key back from a backup, or drover secret set NAME", "%s can't be had%s%s", f->secrets[i].name,
        f->secrets[i].why ? ": " : "", f->secrets[i].why ? f->secrets[i].why : "");
  if (f->nsecrets > DOCTOR_NAMED)
    say(v, DOCTOR_WARN, NULL, "%d more", f->nsecrets - DOCTOR_NAMED);
  if (f->up)
    say(v, DOCTOR_OK, NULL, "%d", f->secrets_all);
}

static void judge_helper(const struct doctor_facts *f, struct doctor_verdict *v)
{
  if (f->helper)
    say(v, DOCTOR_OK, NULL, "there");
  else
    say(v, DOCTOR_FAIL, "install the package drover again", "drover-git-helper is not there: no repository can be read");
}

static void judge_workers(const struct doctor_facts *f, struct doctor_verdict *v)
{
  int away = 0, connected = 0;
  char size[24];

  for (int i = 0; i < f->nworkers; i++) {
    const struct doctor_worker *w = &f->workers[i];

    connected += w->connected;
    if (!w->connected && *w->ssh_why && ++away <= DOCTOR_NAMED)
      say(v, DOCTOR_WARN, "drover worker show NAME tells more", "%s is not reached by ssh: %s", w->name, w->ssh_why);
    else if (w->ever && !w->connected && !*w->ssh_why && ++away <= DOCTOR_NAMED)
      say(v, DOCTOR_WARN, "on its host: systemctl status drover-worker; a host that is gone for good: drover worker remove NAME", "%s away since %s", w->name, w->away_since);
    if (w->connected && w->free_kib >= 0 && w->free_kib < DOCTOR_WORKER_LEAST_MB * INT64_C(1024))
      say(v, DOCTOR_WARN, "make room on its disk", "%s has %s free", w->name, size_text(w->free_kib << 10, size));
  }
  if (away > DOCTOR_NAMED)
    say(v, DOCTOR_WARN, NULL, "%d more", away - DOCTOR_NAMED);
  if (f->up)
    say(v, DOCTOR_OK, NULL, "%d of %d connected", connected, f->nworkers);
}

static void judge_versions(const struct doctor_facts *f, struct doctor_verdict *v)
{
  int others = 0;

  for (int i = 0; i < f->nworkers; i++)
    if (f->workers[i].connected && *f->workers[i].version && strcmp(f->workers[i].version, f->version) && ++others <= DOCTOR_NAMED)
      say(v, DOCTOR_WARN, "they are served; install this version when it suits", "%s is %s", f->workers[i].name, f->workers[i].version);
  if (others > DOCTOR_NAMED)
    say(v, DOCTOR_WARN, NULL, "%d more", others - DOCTOR_NAMED);
  if (f->up)
    say(v, DOCTOR_OK, NULL, "%s", f->version);
}

static void judge_waiting(const struct doctor_facts *f, struct doctor_verdict *v)
{
  char span[24], *todo;

  if (!f->up)
    return;
  if (f->waiting && f->waiting_s > DOCTOR_WAIT_MAX_S) {
    todo = xasprintf("drover why %s", f->waiting_id);
    say(v, DOCTOR_WARN, todo, "%s has been waiting for %s", f->waiting_id, span_text(f->waiting_s, span));
    free(todo);
  } else {
    say(v, DOCTOR_OK, NULL, "%" PRId64, f->waiting);
  }
}

static void judge_events(const struct doctor_facts *f, struct doctor_verdict *v)
{
  char span[24];

  if (!f->up)
    return;
  if (f->outbox && f->outbox_s > DOCTOR_OUTBOX_WARN_S)
    say(v, f->outbox_s > DOCTOR_OUTBOX_FAIL_S ? DOCTOR_FAIL : DOCTOR_WARN, "the master's log, area events", "%" PRId64 " events have been waiting for their numbers for %s: nobody who follows sees anything",
        f->outbox, span_text(f->outbox_s, span));
  if (f->reader_lag > DOCTOR_READER_LAG)
    say(v, DOCTOR_WARN, "what reads under that name has stopped, or is too slow", "reader %s is %" PRId64 " events behind", f->reader, f->reader_lag);
  say(v, DOCTOR_OK, NULL, "in time");
}

/* ---- all ---- */

void doctor_judge(const struct doctor_facts *f, struct doctor *d)
{
  static void (*const judges[DOCTOR_CHECKS])(const struct doctor_facts *, struct doctor_verdict *) = {
#define D(name, how) judge_##name,
#include "master/api/doctor.def"
#undef D
  };

  for (int i = 0; i < DOCTOR_CHECKS; i++) {
    struct doctor_verdict *v = &d->check[i];

    *v = (struct doctor_verdict){ .level = DOCTOR_OK };
    judges[i](f, v);
    if (!v->text) { /* the database would have to be asked */
      v->level = DOCTOR_UNKNOWN;
      v->text = xstrdup("not known while the database is away");
    }
  }
}

void doctor_free(struct doctor *d)
{
  for (int i = 0; i < DOCTOR_CHECKS; i++) {
    free(d->check[i].text);
    free(d->check[i].todo);
  }
}

enum doctor_level doctor_worst(const struct doctor *d)
{
  enum doctor_level worst = DOCTOR_OK;

  for (int i = 0; i < DOCTOR_CHECKS; i++)
    if (d->check[i].level != DOCTOR_UNKNOWN && d->check[i].level > worst)
      worst = d->check[i].level;
  return worst;
}
