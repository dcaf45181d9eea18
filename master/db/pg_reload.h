/* A dump put back: everything in one transaction, or nothing. */
#ifndef MASTER_DB_PG_RELOAD_H
#define MASTER_DB_PG_RELOAD_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct client;

/* What a database holds now. */
struct pg_reload_there {
  char *cluster;            /* uuid; NULL: no drover in it */
  int64_t incarnation;
  int64_t builds, newest;   /* how many; the newest's id */
  int64_t workers;          /* with a token, not removed */
  int64_t open;             /* builds that are not done */
};
enum err pg_reload_look(const struct client *c, struct pg_reload_there *t, struct buf *why) must_check;
void pg_reload_there_free(struct pg_reload_there *t);

struct pg_reload {
  int database, logs;       /* descriptors of the dumps, at their start; logs -1: not in the backup */
  bool replace;             /* drop what is there, in the same transaction */
  int64_t least;            /* the new incarnation is above this one, and above the dump's */
  const char *gone;         /* what is said of logs that are not in it */
  int64_t made_ms, bytes;   /* for the record of the backup */
  const char *host, *place;
};
/* Puts it back; afterwards the incarnation is a new one, masters of the dump have stopped, and command numbers are above all that were ever given. */
enum err pg_reload_run(const struct client *c, const char *programs, const struct pg_reload *r, struct buf *why) must_check;
#endif
