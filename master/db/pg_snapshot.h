/* One consistent view of the database, held open while it is counted and dumped. */
#ifndef MASTER_DB_PG_SNAPSHOT_H
#define MASTER_DB_PG_SNAPSHOT_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct client;
struct snapshot_table {
  char *name;
  int64_t rows;
};

struct snapshot {
  void *pg;                /* its connection */
  const struct client *client;
  char *id;                /* as pg_export_snapshot() called it */
  char *cluster;           /* uuid */
  int64_t incarnation, config, made_ms;
  int schema;
  bool key;                /* the worker-link key is in it */
  bool logs;               /* the tables of log_chunk are counted, and dumped */
  struct snapshot_table *tables; /* by name; every table but partitioned ones */
  int ntables;
};

/* ERR_NOTFOUND: no drover in that database. */
enum err snapshot_begin(const struct client *c, bool logs, struct snapshot **s, struct buf *why) must_check;
/* pg_dump of it, custom format, to descriptor out. rows: those of log_chunk only; else all but those. */
enum err snapshot_dump(const struct snapshot *s, const char *programs, bool rows, int out, struct buf *why) must_check;
void snapshot_end(struct snapshot *s); /* NULL: nothing */

/* Writes into the database that a backup was made. */
enum err snapshot_note(const struct client *c, int64_t made_ms, const char *host, const char *place, int64_t bytes, bool logs, struct buf *why) must_check;
#endif
