/* When what waits for a slot will begin, reckoned from how long such builds took before. Pure.

   The queue is played to its end three times: with builds that take as long as a fifth of the last ones did at most, half of them, four fifths of them. Each takes the slot that is free first among the workers
   that could take it, in the order of the queue. What nobody can know (new requests of higher priority, locks, workers that come and go) is left out: the span says how far off it may be, not how far it can be. */
#ifndef MASTER_DISPATCH_ETA_H
#define MASTER_DISPATCH_ETA_H
#include <stdbool.h>
#include <stdint.h>

#define ETA_QUEUE_MAX 1000 /* requests that are played */

enum { ETA_LOW, ETA_LIKELY, ETA_HIGH, ETA_CASES };

/* How long a build takes, ms; low ≤ likely ≤ high. likely < 0: nobody knows, then its slot is not reckoned with any more. */
struct eta_takes {
  int64_t ms[ETA_CASES];
};
struct eta_run {
  int worker;  /* index; it holds one of its slots */
  int64_t ran; /* ms */
  struct eta_takes takes;
};
struct eta_wait {
  const int *workers; /* indexes of those that could take it; none: it never begins, and nobody waits for it */
  int n;
  struct eta_takes takes;
};
/* Begin, ms from now; likely < 0: can't be told. */
struct eta_begin {
  int64_t ms[ETA_CASES];
};

/* Begins of all of the queue, the first to begin first. slots: of each worker. */
void eta_reckon(const int *slots, int nworkers, const struct eta_run *runs, int nruns, const struct eta_wait *queue, int nqueue, struct eta_begin *out);
#endif
