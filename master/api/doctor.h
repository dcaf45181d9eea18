/* The doctor's judgement: facts in, one verdict a check out. Pure. */
#ifndef MASTER_API_DOCTOR_H
#define MASTER_API_DOCTOR_H
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"

enum {
  DOCTOR_BACKUP_MAX_H = 25,              /* a daily one, and an hour for it to be late */
  DOCTOR_CLOCK_WARN_MS = 2000,           /* timestamps of builds are the database's, those of the log the master's */
  DOCTOR_CLOCK_FAIL_MS = 60000,
  DOCTOR_DISK_WARN_PERCENT = 10,         /* and less than … */
  DOCTOR_DISK_WARN_GB = 20,
  DOCTOR_DISK_FAIL_PERCENT = 3,
  DOCTOR_DISK_FAIL_GB = 5,
  DOCTOR_DISK_LEAST_MB = 256,            /* a failure, whatever the percentage */
  DOCTOR_WORKER_LEAST_MB = 1024,
  DOCTOR_XACT_MAX_S = 3600,              /* it keeps dead rows from being removed */
  DOCTOR_DEAD_ROWS = 1000000,            /* and more than live ones */
  DOCTOR_CONNECTIONS_PERCENT = 90,
  DOCTOR_XID_WARN = 1000000000,          /* of two thousand million; autovacuum acts at 200 million */
  DOCTOR_XID_FAIL = 1600000000,
  DOCTOR_WAIT_MAX_S = 3600,
  DOCTOR_OUTBOX_WARN_S = 10,
  DOCTOR_OUTBOX_FAIL_S = 60,
  DOCTOR_READER_LAG = 10000,             /* events */
  DOCTOR_NAMED = 5,                      /* workers, projects: so many by name, the rest is counted */
};

enum doctor_check {
#define D(name, how) DOCTOR_##name,
#include "master/api/doctor.def"
#undef D
  DOCTOR_CHECKS
};
enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_UNKNOWN };

struct doctor_disk {
  const char *what;          /* "state", "database" */
  int64_t free, size;        /* bytes; size 0: not known */
};
struct doctor_worker {
  const char *name, *version; /* version "": never told */
  bool connected, ever;
  int64_t away_ms;           /* since it was lost */
  const char *away_since;    /* "09:12"; local time of the master */
  int64_t free_kib;          /* at its last greeting; -1: not told */
  const char *ssh_why;       /* why it is not reached by ssh; "": nothing is wrong, or it dials us */
};
struct doctor_poller {
  const char *project, *why; /* why NULL: not to be told to this reader */
  int64_t for_ms;
};

struct doctor_secret {
  const char *name, *why;    /* why NULL: not to be told to this reader */
};

struct doctor_facts {
  const char *version;       /* the master's */
  /* memory */
  bool want_api, want_workers;
  int api_port, workers_port; /* 0: not listened on */
  bool up;                   /* the database; where not, the facts of the database mean nothing */
  const char *why;           /* why it is away */
  bool private_db, programs_gone;
  bool has_key;
  bool helper;
  const char *config_refused; /* a refusal of the last reload; NULL */
  int config_errors;         /* of the files on disk now; -1: not looked at */
  bool config_differs;
  int64_t config_origin;     /* rolled back to; 0: the files count */
  const struct doctor_disk *disks;
  int ndisks;
  const struct doctor_poller *pollers;
  int npollers, nprojects;   /* pollers: those in trouble */
  const struct doctor_secret *secrets;
  int nsecrets, secrets_all; /* secrets: those in trouble */
  /* database */
  const char *pg_version;
  int64_t size, xact_s, dead, live, connections, connections_max, xid_age;
  bool fsync, full_page_writes, synchronous_commit, autovacuum, checksums;
  int schema, schema_latest;
  int64_t clock_ms, clock_within_ms; /* the database's clock less ours, and how exact that is */
  bool backed_up;
  int64_t backup_age_ms;
  const struct doctor_worker *workers;
  int nworkers;
  int64_t waiting, waiting_s; /* requests, the oldest one's age */
  const char *waiting_id;
  int64_t outbox, outbox_s, reader_lag;
  const char *reader;
};

struct doctor_verdict {
  enum doctor_level level;
  char *text, *todo;         /* todo: NULL where there is nothing to do */
};
struct doctor {
  struct doctor_verdict check[DOCTOR_CHECKS];
};

void doctor_judge(const struct doctor_facts *f, struct doctor *d);
void doctor_free(struct doctor *d);
enum doctor_level doctor_worst(const struct doctor *d); /* UNKNOWN counts as nothing */
const char *doctor_name(enum doctor_check c);
const char *doctor_how(enum doctor_check c);
const char *doctor_level_name(enum doctor_level l); /* "ok", "warn", "fail", "unknown" */
#endif
