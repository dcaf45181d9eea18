/* Requests that could not be claimed just now: somebody has the row locked (or has been faster with something of it), and all that was claimed beside it in one transaction is undone each time. They are
   left out of the looks for a moment, longer each time, so that what is behind them begins. No I/O. */
#ifndef MASTER_DISPATCH_ASIDE_H
#define MASTER_DISPATCH_ASIDE_H
#include <stdint.h>

#include "common/mem.h"

enum {
  ASIDE_MAX = 256,        /* requests at once; then the one that is due first makes room */
  ASIDE_FIRST_MS = 150,   /* longer than the pause behind claims that failed: the next look is without it */
  ASIDE_MOST_MS = 2400,
};

struct aside {
  int n;
  struct aside_one {
    int64_t request, until_ms, lasts_ms;
  } v[ASIDE_MAX];
};

/* The claim of it failed: twice as long as the last time. now_ms: of any clock that only goes forward. */
void aside_put(struct aside *a, int64_t request, int64_t now_ms);
/* Those that are left out now, as an array of the database: "{7,12}"; the caller frees it. Forgets who has been looked at again for as long as it was left out, and did not fail. */
char *aside_text(struct aside *a, int64_t now_ms) must_check;
/* In how many ms the first of them may be looked at again; -1: there is none. */
int64_t aside_left_ms(const struct aside *a, int64_t now_ms);
#endif
