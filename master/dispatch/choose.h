/* Which worker gets which request: a pure function of what is known. */
#ifndef MASTER_DISPATCH_CHOOSE_H
#define MASTER_DISPATCH_CHOOSE_H
#include "master/dispatch/want.h"

#define CHOOSE_WEIGHT 50 /* where nothing is said */

struct choose_worker {
  struct worker_is is;
  int used;      /* of its slots */
  int weight;    /* 0 to 100: how gladly it is taken; 0: only where nobody else can */
  bool low;      /* less is free on its disk than must stay free */
  bool paused;   /* it gets nothing new */
  bool closed;   /* its calendar says that it does not work now */
  bool quarantined; /* it spoilt a build a short time ago */
  bool cleaning; /* in each free slot the work folder of this request's builder is about to be removed */
  bool warm;     /* it built this request's builder last */
  bool spoilt;   /* the last attempt at this request was on it */
};
/* What a request wants: each tag, and each condition to be met. */
struct choose_want {
  const char *const *tags;
  int ntags;
  const struct want_term *const *terms;
  int nterms;
};
/* Why a worker that will do gets nothing now, and why a request waits: what ends soonest by itself first. */
enum choose_reason { CHOOSE_OK, CHOOSE_CLEANING, CHOOSE_FULL, CHOOSE_QUARANTINE, CHOOSE_DISK, CHOOSE_CALENDAR, CHOOSE_PAUSED, CHOOSE_NO_WANT, CHOOSE_NO_TAG, CHOOSE_NONE_CONNECTED, CHOOSE_REASONS };

/* A worker that has all tags, meets all conditions, and can take a build now. Of several: not the one that spoilt the last attempt; not one of weight 0; the one that built this builder last, unless
   more than half of its slots are used; the one with the smallest share of its slots used, divided by its weight; the heavier one; the first.
   -1 where there is none: *why says why, *which the tag that nobody has (index into tags), the condition that none of those with all tags meets (index into terms; ntags, nterms: each is had by
   somebody, but not together), or the first worker that will do but for *why. Of a worker the gravest reason counts, of the workers the mildest. */
int choose_worker(const struct choose_worker *w, int n, const struct choose_want *want, enum choose_reason *why, int *which);
bool choose_has_tags(const struct worker_is *w, const char *const *tags, int ntags);
#endif
