/* The growing end of a log, in the master that owns its build: chunks as they came are checked once, queued, and appended by compare-and-append; what is committed may be acked. */
#ifndef MASTER_LOGS_APPEND_H
#define MASTER_LOGS_APPEND_H
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/str.h"
#include "proto/chunk.h"

struct db_tx;

#define LOG_WINDOW_FIRST (256 << 10) /* credit in raw bytes; 256 KiB alone would cap a log at 13 MB/s over 10 ms */
#define LOG_WINDOW_MAX (4 << 20)
#define LOG_WINDOW_LINK (16 << 20)   /* of all commands of a link together; but each has room for a chunk, so with more than 256 commands it is more */
#define LOG_APPENDS_MAX 2            /* transactions in flight: what comes meanwhile is gathered into the next */

struct log_end {
  int64_t log;            /* row id; 0: no log */
  struct id epoch;
  int64_t length, lines;  /* received, checked */
  uint32_t crc;
  int64_t given;          /* to the database: the length the log has when all in flight is committed */
  int64_t committed;      /* known to be in the database */
  int64_t window;
  int64_t granted;        /* the worker was allowed to send up to here */
  int64_t most;           /* the command's limit: no log of it is longer; 0: none */
  int in_flight;
  struct list queue;      /* checked, not yet given to the database */
  int queued;
};

void log_end_init(struct log_end *e, int64_t log, struct id epoch, int64_t length, uint32_t crc, int64_t lines);
void log_end_free(struct log_end *e);
/* ERR_OK: queued. ERR_EXISTS: below the end, seen already: ignore. ERR_NOTFOUND: beyond the end, something is missing: ask again. ERR_BUSY: more than the worker was granted: ask again. ERR_CORRUPT, ERR_TOOBIG (over its limit, too): a lying or broken worker.
   raw: CHUNK_RAW_MAX bytes that get the contents. */
enum err log_end_take(struct log_end *e, const struct chunk *c, void *raw) must_check;
/* Gives everything queued to the transaction. Returns the length the log has when it is committed. */
int64_t log_end_put(struct log_end *e, struct db_tx *tx);
/* How far the worker may send, which is told now. active: commands on this link. */
int64_t log_end_grant(struct log_end *e, int active);
void log_end_grow(struct log_end *e); /* after a commit: twice the window */
#endif
