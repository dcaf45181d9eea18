/* When what waits for a slot or a lock will begin, reckoned from how long such builds took before. Pure.

   The queue is played to its end three times: with builds that take as long as a fifth of the last ones did at most, half of them, four fifths of them. Each takes the slot that is free first among the workers
   that could take it, in the order of the queue; who wants locks takes them in that order too, all at once, and leaves its slot to those behind it until then. What nobody can know (new requests of higher priority,
   workers that come and go) and what steps take of locks on their way is left out: the span says how far off it may be, not how far it can be. */
#ifndef MASTER_DISPATCH_ETA_H
#define MASTER_DISPATCH_ETA_H
#include <stdbool.h>
#include <stdint.h>

#define ETA_QUEUE_MAX 1000 /* requests that are played */

enum { ETA_LOW, ETA_LIKELY, ETA_HIGH, ETA_CASES };

/* How long a build takes, ms; low ≤ likely ≤ high. likely < 0: nobody knows, then its slot and its locks are not reckoned with any more. */
struct eta_takes {
  int64_t ms[ETA_CASES];
};
struct eta_run {
  int worker;  /* index; it holds one of its slots */
  int64_t ran; /* ms */
  struct eta_takes takes;
};
struct eta_lock {
  int count;
  bool per_worker; /* so many on each */
};
struct eta_lock_want {
  int lock;        /* index */
  int n;           /* 0: exclusive */
};
struct eta_hold {
  struct eta_lock_want held;
  int worker;      /* index; of a lock per worker; < 0: none of these */
  int64_t ran;     /* its build, ms */
  struct eta_takes takes;
};
struct eta_wait {
  const int *workers; /* indexes of those that could take it; none: it never begins, and nobody waits for it */
  int n;
  const struct eta_lock_want *locks;
  int nlocks;
  struct eta_takes takes;
};
/* What there is. */
struct eta_site {
  const int *slots; /* of each worker */
  int nworkers;
  const struct eta_run *runs;
  int nruns;
  const struct eta_lock *locks;
  int nlocks;
  const struct eta_hold *holds;
  int nholds;
};
/* Begin, ms from now; likely < 0: can't be told. */
struct eta_begin {
  int64_t ms[ETA_CASES];
};

/* Begins of all of the queue, the first to begin first. */
void eta_reckon(const struct eta_site *site, const struct eta_wait *queue, int nqueue, struct eta_begin *out);
#endif
