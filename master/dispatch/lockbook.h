/* Who gets what of the site's locks, and who waits in which order: a pure function of what is held and wanted at one moment.

   In line is who could begin but for a lock: a request that some worker could take now, a step that is about to begin. The order is that of priority, then of age (the request's number). Each, in this
   order, gets all that it wants, or nothing; then it is in the line of each lock that it could not have, and those behind it leave there what it wants:
     - a number can be had where nobody has the lock for itself or waits for that ahead, and where that many are left when all ahead have theirs;
     - exclusive, where nobody has any of it and nobody is ahead.
   A lock that it could have is left to others meanwhile, so nothing lies idle and builds that hold one lock and want another can't block each other by their places in lines; who wants many locks may wait
   long. What wants more than there are is in no line. */
#ifndef MASTER_DISPATCH_LOCKBOOK_H
#define MASTER_DISPATCH_LOCKBOOK_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "master/conf/pipeline.h"

struct lock_row {
  int64_t id;
  char *name;
  int count;             /* of named ones: nunits */
  char **units;
  int nunits;            /* 0: they have no names */
  bool per_worker;       /* so many on each worker */
  bool gone;             /* it left the configuration: nobody gets it, who holds it does to the end */
};

struct lock_hold {
  int lock;              /* index into locks */
  int64_t build, worker;
  int step;              /* its number; 0: of the build */
  int n;                 /* 0: exclusive */
  char **units;
  int nunits;
  char *who;             /* the build, lab/board-test/41 */
  bool ghost;            /* cancelled, and its worker is away */
};

struct lock_want {
  int lock;              /* index into locks; -1: there is none of that name */
  int n;                 /* 0: exclusive */
  char *name;
};

struct lock_waiter {
  int64_t request, build;
  int priority;
  int step;              /* 0: the request itself */
  char *who;             /* its builder, lab/board-test */
  int64_t since_ms;      /* it waits since 1970; INT64_MIN: it does not yet */
  struct lock_want wants[PIPELINE_LOCKS_MAX];
  int nwants;
  int64_t *workers;      /* that could take it now, the best first; of a step the one it is on. None: it is in no line */
  int nworkers;
  unsigned foreign;      /* another master says that it is in line for these (bits of wants), and will give it to it itself */
  /* what lockbook_line finds */
  int worker;            /* of workers: there it may have all; -1: it waits */
  int at, place;         /* the first of wants that it waits for, -1: none; its place in the line there, from 1; 0: in no line (more than there are, or no such lock) */
  unsigned lines;        /* of which of wants it is in the line */
  int *got[PIPELINE_LOCKS_MAX]; /* of named ones: which units (indexes), ngot of them */
  int ngot[PIPELINE_LOCKS_MAX];
};

struct lockbook {
  struct lock_row *locks;
  int nlocks;
  struct lock_hold *holds;
  int nholds;
  struct lock_waiter *waiters; /* by priority, the higher first, then by request */
  int nwaiters;
};

void lockbook_line(struct lockbook *b);
int lockbook_find(const struct lockbook *b, const char *name); /* index, -1 */
/* How many are left now; of a lock per worker, there. */
int lockbook_free(const struct lockbook *b, int lock, int64_t worker);
const struct lock_waiter *lockbook_waiter(const struct lockbook *b, int64_t request);
/* Why it waits, for people: "waits for lock boards: 1 of 6 units free, needs 2; held by lab/board-test/41 (2); 3rd in line". at must be there. */
void lockbook_say(const struct lockbook *b, const struct lock_waiter *w, struct buf *text);
/* The names of the units that it got of wants[i], separated by blanks; "" where they have none. */
void lockbook_units(const struct lockbook *b, const struct lock_waiter *w, int i, struct buf *text);
void lockbook_clear(struct lockbook *b);
#endif
