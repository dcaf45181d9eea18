/* So many lines a second, and no more, of what others can cause as often as they like: who may fill the log must not. Pure. */
#ifndef COMMON_QUOTA_H
#define COMMON_QUOTA_H
#include <stdbool.h>
#include <stdint.h>

#define QUOTA_LINES_PER_S 10

/* All zero: nothing was told yet. */
struct quota {
  int64_t since_ms;
  int told, untold;
};

/* Whether one more may be told at now_ms (of a clock that never goes back). *missed: how many were kept back since this was last said, where that is to be told now; else 0. */
bool quota_take(struct quota *q, int64_t now_ms, int *missed);
#endif
