/* The configuration of a running master: read anew, compared, activated as a whole or not at all.

   Happy path: the files are read, in a thread, and checked; version, workers' and projects' rows and an event are one transaction; when it is committed everything that uses m->conf moves over, within one turn of the loop.
   Failures: errors in the files, a key that needs a restart, the database away, the transaction refused: the old version stays, and the refusal is kept until the next reload that succeeds. */
#ifndef MASTER_CORE_RELOAD_H
#define MASTER_CORE_RELOAD_H
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mem.h"

struct conf;
struct conf_diff;
struct db_res;
struct db_tx;
struct master;
struct reload;

struct reload_refusal {
  int64_t at_ms;  /* clock_wall_ms; 0: the last reload succeeded, or there was none */
  enum err err;   /* ERR_SYNTAX: text has diagnostics; others: a sentence */
  char *text;     /* lines as diag_print makes them */
  char *brief;    /* the same without lines of the files: those may hold secrets */
  int count;      /* errors in the files */
};
struct reload_answer {
  const struct reload_refusal *refused; /* NULL: active */
  int64_t version;                      /* the active one's, also after a refusal */
  const struct conf_diff *diff;         /* what changed; NULL after a refusal */
};
typedef void reload_cb(const struct reload_answer *a, void *arg); /* a: valid during the call */

/* What a rollback holds against: the files are not what is active. */
struct reload_hold {
  int64_t origin;            /* the version whose text is active; 0: nothing is held */
  char disk[65];             /* hash of what the files said, hex */
};

struct reload *reload_new(struct master *m) must_check;
void reload_stop(struct reload *r); /* the master stops: programs that print configuration are killed */
void reload_free(struct reload *r); /* the database has answered all */
enum reload_how {
  RELOAD_SIGNAL,   /* the files count, unless they are as they were when a rollback was made */
  RELOAD_ACTIVATE, /* the files count */
  RELOAD_ROLLBACK, /* the text of a version counts, until the files say something else than now */
};
/* who: for history, log and event ("SIGHUP", "anna"). version: to roll back to. cb may be NULL; from the loop. Those that ask for the files while others are read share the next reading; else
   one after the other, so that who asked last is who wins. */
void reload_ask(struct reload *r, enum reload_how how, const char *who, int64_t version, reload_cb *cb, void *arg);
const struct reload_refusal *reload_refused(const struct reload *r); /* NULL: none */
struct reload_seen {
  bool valid;                /* else text has diagnostics, of count errors */
  const char *text;
  int count;
  const struct conf_diff *diff;
  struct conf *conf;         /* NULL where it is not valid; hold it to keep it */
};
typedef void reload_look_cb(const struct reload_seen *s, void *arg); /* s: valid during the call */
/* Reads the files and compares, without doing anything. From the loop; who asks while files are being read waits for the next reading. */
void reload_look(struct reload *r, reload_look_cb *cb, void *arg);

const struct reload_hold *reload_held(const struct reload *r); /* origin 0: the files count */

/* The master's start, as transaction and answer (statement 0): which version its files are, and, after a rollback, that another one counts instead: m->conf is that then. */
void reload_put_start(struct reload *r, struct db_tx *tx);
void reload_started(struct reload *r, const struct db_res *res);
/* Rows of the workers of a configuration, for the master's first transaction too. */
void reload_put_workers(struct db_tx *tx, const struct conf *c);
/* A reload was answered with a lost connection: whether it was committed isn't known, so the active configuration's rows are to be written again. */
bool reload_doubtful(const struct reload *r);
void reload_put_keep(struct reload *r, struct db_tx *tx); /* answers the version's id */
void reload_settled(struct reload *r);
#endif
