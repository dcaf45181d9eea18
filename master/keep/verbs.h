/* What drover-master does instead of running: backup, verify, restore, upgrade-db. Each is a row of the table in verbs.c. */
#ifndef MASTER_KEEP_VERBS_H
#define MASTER_KEEP_VERBS_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/mem.h"

struct conf;

#define CONF_DEFAULT "/etc/drover/master.yaml" /* where --config is silent */

/* Exit codes of verbs; the service's own are in main.c's usage. */
enum verb_exit {
  VERB_OK = 0,
  VERB_FAILED = 1, /* the system, or what was checked, failed */
  VERB_USAGE = 2,  /* usage or configuration */
  VERB_BUSY = 3,   /* another master runs on the state folder */
};

struct verb_args {
  const char *config;       /* a file */
  const char *folder;       /* the word behind the verb; NULL: it takes none */
  bool no_logs, force, check;
  const char *replace;      /* a cluster's uuid */
  int64_t above;            /* an incarnation */
  const char *from, *to;    /* folders of programs */
};

struct verb {
  const char *name, *usage; /* usage: what follows the name */
  bool folder;              /* it takes one word */
  const char *flags;        /* names of its options beside --config, by blanks */
  int (*run)(const struct verb_args *a);
};
const struct verb *verb_find(const char *name); /* NULL: that is none */
int verb_main(const struct verb *v, int argc, char **argv); /* argv[0] is its name */
void verbs_usage(struct buf *out);

int verb_backup(const struct verb_args *a);
int verb_verify(const struct verb_args *a);
int verb_restore(const struct verb_args *a);
int verb_upgrade_db(const struct verb_args *a);

/* Reads the configuration and tells what is wrong with it on standard error; NULL then. run: also what programs print (`include`), which only the running master needs. */
struct conf *verb_conf(const char *file, bool run);
/* "drover-master VERB: …" on standard error; returns code. */
int verb_error(int code, const char *fmt, ...) printf_like(2, 3);
/* Takes the lock that a running master holds; the descriptor, to be closed at the end; -1: told. The state folder is made where it is not there. */
int verb_lock_state(const char *state);
#endif
