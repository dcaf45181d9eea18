/* Which worker gets which request: a pure function of what is known. */
#ifndef MASTER_DISPATCH_CHOOSE_H
#define MASTER_DISPATCH_CHOOSE_H
#include <stdbool.h>

struct choose_worker {
  const char *name;
  const char *const *tags;
  int ntags;
  int slots, used;
  bool low;      /* less is free on its disk than must stay free */
  bool paused;   /* it gets nothing new */
  bool cleaning; /* in each free slot the work folder of this request's builder is about to be removed */
};
enum choose_reason { CHOOSE_OK, CHOOSE_NONE_CONNECTED, CHOOSE_NO_TAG, CHOOSE_FULL, CHOOSE_DISK, CHOOSE_CLEANING, CHOOSE_PAUSED };

/* A worker that has all tags, room on its disk and a free slot; the one with the smallest share of its slots used, the first of equals. -1 where there is none: *why says why, *which the tag
   that nobody has (index into tags), or the first worker that is full, low on disk, cleaning or paused; what ends soonest by itself is told first: cleaning, full, low, paused. */
int choose_worker(const struct choose_worker *w, int n, const char *const *tags, int ntags, enum choose_reason *why, int *which);
bool choose_has_tags(const struct choose_worker *w, const char *const *tags, int ntags);
#endif
