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
struct db_tx;
struct master;
struct reload;

struct reload_refusal {
  int64_t at_ms;  /* clock_wall_ms; 0: the last reload succeeded, or there was none */
  enum err err;   /* ERR_SYNTAX: text has diagnostics; ERR_AWAY, ERR_FAILED: a sentence */
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

struct reload *reload_new(struct master *m) must_check;
void reload_stop(struct reload *r); /* the master stops: programs that print configuration are killed */
void reload_free(struct reload *r); /* the database has answered all */
/* who: for log and event ("SIGHUP", "anna"). cb may be NULL; from the loop. Several that ask before the files are read share one reading. */
void reload_ask(struct reload *r, const char *who, reload_cb *cb, void *arg);
const struct reload_refusal *reload_refused(const struct reload *r); /* NULL: none */
struct reload_seen {
  bool valid;                /* else text has diagnostics, of count errors */
  const char *text;
  int count;
  const struct conf_diff *diff;
};
typedef void reload_look_cb(const struct reload_seen *s, void *arg); /* s: valid during the call */
/* Reads the files and compares, without doing anything. From the loop; who asks while files are being read waits for the next reading. */
void reload_look(struct reload *r, reload_look_cb *cb, void *arg);

/* Rows of a configuration, for the master's first transaction too. The version's statement answers its id; who: for the event, NULL: without one. */
void reload_put_version(struct db_tx *tx, const struct conf *c, const char *who);
void reload_put_workers(struct db_tx *tx, const struct conf *c);
/* A reload was answered with a lost connection: whether it was committed isn't known, so the active configuration's rows are to be written again. */
bool reload_doubtful(const struct reload *r);
void reload_settled(struct reload *r);
#endif
