/* A worker's disk and its work folders: how much is free, what each folder takes, and which ones go (work_clean.h).

   Happy path: free space is asked for now and then, and soon after a build. A look reads the folders' rows and does the first thing that is to be done: remove one (its row goes to state
   `cleaning` in a transaction that no claim passes, then the worker is asked, then the row goes), or measure one. One folder at a time for each worker.
   Failures: the link lost in the middle of a removal: the row stays `cleaning`, which the next session reads before anything is claimed, and asks again. A removal that failed is told, and
   tried again later; meanwhile builds may have the folder. A worker that does not know `disk` and `usage`: its disk is not watched. */
#ifndef MASTER_WORKERS_WORK_H
#define MASTER_WORKERS_WORK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/map.h"
#include "common/mem.h"
#include "common/sm.h"

struct master;
struct session;
struct db_res;
struct works;

#define WORK_FEATURE "disk" /* in a worker's hello: it knows disk and usage */

/* idle ─▶ look ─▶ begin ─▶ remove ─▶ note ─▶ idle
             └───▶ measure ────────────┘ */
enum work_state { WORK_IDLE, WORK_LOOK, WORK_MEASURE, WORK_BEGIN, WORK_REMOVE, WORK_NOTE, WORK_STATES };

/* In a session. */
struct work {
  struct sm sm;
  bool watched;               /* the worker knows disk and usage */
  bool used_up;               /* the last look found nothing that could make room */
  int64_t free, total;        /* bytes of the disk as told last; -1: not known */
  int64_t stored_free;        /* what the database has; -1: nothing */
  int64_t stored_at;          /* on clock_mono_ms(), as the next ones */
  int64_t disk_due, look_due; /* when the next question is due */
  int64_t disk_req, req;      /* under way at the worker: disk; usage or remove. 0: none */
  int txs;                    /* of ours in flight: the session stays until they are answered */
  char *path;                 /* of the folder that is measured or removed */
  int why;                    /* enum work_why of its removal */
  struct map *blocked;        /* paths that no build may have now; values are not NULL */
};

struct works *works_new(struct master *m) must_check;
void works_free(struct works *w);
/* Of a worker with a session here whose disk is known: what was told last. False: there is none, nothing is set. */
bool works_disk(const struct works *w, const char *worker, int64_t *free, int64_t *total);

void work_init(struct work *w);
void work_free(struct work *w);
/* From hello: its features, and facts (records). */
void work_hello(struct session *s, const char *facts, size_t n);
/* The answer of SQL_work_cleaning, in the transaction that adopts. */
void work_adopted(struct session *s, const struct db_res *res, int stmt);
/* `done` of the worker. False: that request is not one of these. */
bool work_answered(struct session *s, int64_t req, const char *tag, const char *blob, size_t n);
/* A build of it ended: looks soon. */
void work_kick(struct session *s);
/* Somebody wants folders gone: looks at once. */
void work_kick_now(struct session *s);

/* For choosing workers. */
int64_t work_min_free(const struct session *s);
bool work_is_low(const struct session *s);                       /* less is free than must stay free */
bool work_blocks(const struct session *s, const char *project, const char *builder, int slot);
#endif
