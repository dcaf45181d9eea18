/* Which worker gets which request. */
#include "master/dispatch/choose.h"

#include <stddef.h>
#include <string.h>

static bool has(const struct choose_worker *w, const char *tag)
{
  for (int i = 0; i < w->ntags; i++)
    if (!strcmp(w->tags[i], tag))
      return true;
  return false;
}

bool choose_has_tags(const struct choose_worker *w, const char *const *tags, int ntags)
{
  for (int i = 0; i < ntags; i++)
    if (!has(w, tags[i]))
      return false;
  return true;
}

/* The first tag that no worker has; ntags where each is had by some worker, though not by one alone. */
static int missing_tag(const struct choose_worker *w, int n, const char *const *tags, int ntags)
{
  for (int t = 0; t < ntags; t++) {
    bool found = false;
    for (int i = 0; i < n && !found; i++)
      found = has(&w[i], tags[t]);
    if (!found)
      return t;
  }
  return ntags;
}

int choose_worker(const struct choose_worker *w, int n, const char *const *tags, int ntags, enum choose_reason *why, int *which)
{
  int best = -1, full = -1, low = -1, cleaning = -1, paused = -1;

  *which = -1;
  for (int i = 0; i < n; i++) {
    if (!choose_has_tags(&w[i], tags, ntags))
      continue;
    if (w[i].paused)
      paused = paused < 0 ? i : paused;
    else if (w[i].low)
      low = low < 0 ? i : low;
    else if (w[i].used >= w[i].slots)
      full = full < 0 ? i : full;
    else if (w[i].cleaning)
      cleaning = cleaning < 0 ? i : cleaning;
    else if (best < 0 || (long)w[i].used * w[best].slots < (long)w[best].used * w[i].slots)
      best = i;
  }
  if (best >= 0) {
    *why = CHOOSE_OK;
  } else if (cleaning >= 0) {
    *why = CHOOSE_CLEANING;
    *which = cleaning;
  } else if (full >= 0) {
    *why = CHOOSE_FULL;
    *which = full;
  } else if (low >= 0) {
    *why = CHOOSE_DISK;
    *which = low;
  } else if (paused >= 0) {
    *why = CHOOSE_PAUSED;
    *which = paused;
  } else if (n == 0) {
    *why = CHOOSE_NONE_CONNECTED;
  } else {
    *why = CHOOSE_NO_TAG;
    *which = missing_tag(w, n, tags, ntags);
  }
  return best;
}
