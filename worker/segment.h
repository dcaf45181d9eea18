/* Log segments: log.<raw offset of the first byte> (of another stream than 0 log-1.<offset> and so on: struct spool says of which), each some 8 MiB of `out` messages exactly as they go over the wire. The
   minder appends, the agent copies. A segment that has reached its size is followed by the next, so a reader knows where to look.
   What a minder keeps aside (tail.h) is in segments of another kind, tail.<offset>, which no agent reads. */
#ifndef WORKER_SEGMENT_H
#define WORKER_SEGMENT_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "proto/chunk.h"
#include "worker/spool.h"

#ifndef SEGMENT_SIZE
#define SEGMENT_SIZE (8 << 20)
#endif
#define SEGMENT_LINE_MAX 256                                      /* an `out` line: 5 short words, 8 numbers */
#define SEGMENT_RECORD_MAX (SEGMENT_LINE_MAX + CHUNK_BLOB_MAX + 1)
#define SEGMENT_COUNT_MAX 65536                                   /* segments of a command: half a terabyte */

/* The minder's side. */
struct segment_mark {
  int64_t start, before; /* raw offset of its first byte; bytes in all segments before it */
  int64_t lines;         /* before it */
};
struct segment_writer {
  struct spool *sp;
  const char *kind;  /* what their names begin with */
  int fd;            /* -1: none open yet */
  int64_t size;      /* of the open segment */
  int64_t off, lines;
  uint32_t crc;      /* of all raw bytes so far */
  int64_t bytes;     /* in all segments */
  struct segment_mark *marks;
  size_t nmarks;
  bool dirty;        /* something was written since the last sync */
  struct buf record;
};
#define SEGMENT_LOG "log"
#define SEGMENT_TAIL "tail"
/* Of the log; another kind is set before anything is appended. Lives as long as its process: nothing frees it. */
void segment_writer_init(struct segment_writer *w, struct spool *sp);
/* Appends a chunk at w->off (sets c->off). Nothing is written where it fails. ERR_NOSPACE: again later; ERR_IO: never. */
enum err segment_append(struct segment_writer *w, struct chunk *c) must_check;
enum err segment_sync(struct segment_writer *w) must_check;
/* Removes the lowest segment, but never the one that is open. */
void segment_writer_drop(struct segment_writer *w);
/* Removes all that are left; nothing is appended any more. */
void segment_writer_remove(struct segment_writer *w);
/* Bytes on disk from the segment that holds raw offset `acked` on. */
int64_t segment_unacked(const struct segment_writer *w, int64_t acked);

/* Starts of all segments, rising; *starts is the caller's. */
size_t segment_list(const struct spool *sp, int64_t **starts);

/* One record. */
struct segment_head {
  char cmd[STR_ID_MAX];
  int stream;
  struct chunk chunk; /* blob unset */
  size_t line;        /* bytes of the line with its LF */
};
/* ERR_AGAIN: n bytes are too few for the line. */
enum err segment_parse(const char *p, size_t n, struct segment_head *h) must_check;

/* The agent's side. */
struct segment_reader {
  const char *kind;    /* the log's, unless it is set */
  int fd;              /* -1: none open */
  int64_t start, pos;  /* of the open segment: raw offset of its first byte, where in the file the next record is */
  int64_t off;         /* raw offset of the next record */
};
void segment_reader_init(struct segment_reader *r);
void segment_reader_close(struct segment_reader *r);
/* Goes to the record that starts at `off`; *lo is the lowest offset there is. ERR_NOTFOUND: below lo. ERR_BADARG: not at a
   record's border. An offset behind the end is taken as the end (r->off tells). */
enum err segment_seek(const struct spool *sp, struct segment_reader *r, int64_t off, int64_t *lo) must_check;
/* Copies whole records that end at or below `limit`, at most some `most` bytes but at least one record. ERR_AGAIN: no complete
   record there (yet). ERR_BUSY: the next one passes the limit. *turned: went on to another segment. */
enum err segment_read(const struct spool *sp, struct segment_reader *r, int64_t limit, size_t most, struct buf *out,
                      bool *turned) must_check;

/* Deletes the lowest segment, but never the last; what it held stays in the sums (spool.h, base). *freed: its bytes. */
enum err segment_drop(const struct spool *sp, int64_t *freed) must_check;

/* After a crash: checks all records (contents too, if `deep`), cuts what is torn or wrong with all behind it.
   *w gets off, lines, crc of all the log. *complete: nothing is missing or was cut. */
enum err segment_mend(struct spool *sp, bool deep, struct segment_writer *w, bool *complete) must_check;
#endif
