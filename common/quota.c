/* Counts by the second, which begins with the first line after the one before is over. */
#include "common/quota.h"

enum { SECOND_MS = 1000 };

bool quota_take(struct quota *q, int64_t now_ms, int *missed)
{
  *missed = 0;
  if (now_ms - q->since_ms >= SECOND_MS) {
    *missed = q->untold;
    *q = (struct quota){ .since_ms = now_ms };
  }
  if (q->told < QUOTA_LINES_PER_S) {
    q->told++;
    return true;
  }
  q->untold++;
  return false;
}
