/* Which work folders of a worker go, and in which order: a pure function of what is known of them. */
#ifndef MASTER_WORKERS_WORK_CLEAN_H
#define MASTER_WORKERS_WORK_CLEAN_H
#include <stdbool.h>
#include <stdint.h>

#define WORK_GONE_MS 3600000 /* what belongs to nothing any more stays so long: the configuration may be mended meanwhile */

struct work_folder {
  bool used;       /* by a build that is not over */
  bool unfinished; /* its removal was begun and its end is not known */
  bool wanted;     /* a person wants it gone */
  bool gone;       /* its project or builder is not in the configuration any more */
  bool later;      /* a removal failed, and it is not yet time to try again */
  int64_t idle_ms; /* since the last build on it ended */
  int64_t bytes;   /* -1: not known */
};

/* In this order; within one, those idle for longest come first. */
enum work_why { WORK_UNFINISHED, WORK_WANTED, WORK_GONE, WORK_EXPIRED, WORK_ROOM };
const char *work_why_text(enum work_why why); /* "not used for a long time" … */

struct work_pick {
  int at; /* index into the folders */
  enum work_why why;
};

/* keep_ms: unused ones stay so long, 0: for ever. free, total: bytes of the disk, -1: not known. min_free: bytes that must stay free, 0: none.
   For room, as many go as are thought to be enough: one whose size is not known counts as nothing. None goes for room where the whole disk is smaller than
   min_free: that would help nobody. picks: room for n. Returns how many. */
int work_clean(const struct work_folder *f, int n, int64_t keep_ms, int64_t free, int64_t total, int64_t min_free, struct work_pick *picks);
#endif
