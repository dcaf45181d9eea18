/* Which worker gets which request: a pure function of what is known. */
#ifndef MASTER_DISPATCH_CHOOSE_H
#define MASTER_DISPATCH_CHOOSE_H
#include <stdbool.h>

struct choose_worker {
  const char *name;
  const char *const *tags;
  int ntags;
  int slots, used;
};
enum choose_reason { CHOOSE_OK, CHOOSE_NONE_CONNECTED, CHOOSE_NO_TAG, CHOOSE_FULL };

/* A worker that has all tags and a free slot; the one with the smallest share of its slots used, the first of equals. -1 where there is none: *why says why, *which the tag
   that nobody has (index into tags) or a worker that is full. */
int choose_worker(const struct choose_worker *w, int n, const char *const *tags, int ntags, enum choose_reason *why, int *which);
bool choose_has_tags(const struct choose_worker *w, const char *const *tags, int ntags);
#endif
