/* Which worker gets which request. */
#include "master/dispatch/choose.h"

#include <stddef.h>
#include <string.h>

static bool has(const struct worker_is *w, const char *tag)
{
  for (int i = 0; i < w->ntags; i++)
    if (!strcmp(w->tags[i], tag))
      return true;
  return false;
}

bool choose_has_tags(const struct worker_is *w, const char *const *tags, int ntags)
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
      found = has(&w[i].is, tags[t]);
    if (!found)
      return t;
  }
  return ntags;
}

/* The first condition that none of those with all tags meets; nterms where each is met by some of them; -1 where none has all tags. */
static int missing_term(const struct choose_worker *w, int n, const struct choose_want *want)
{
  bool any = false;

  for (int i = 0; i < n; i++)
    any |= choose_has_tags(&w[i].is, want->tags, want->ntags);
  if (!any)
    return -1;
  for (int t = 0; t < want->nterms; t++) {
    bool met = false;
    for (int i = 0; i < n && !met; i++)
      met = choose_has_tags(&w[i].is, want->tags, want->ntags) && want_met(want->terms[t], &w[i].is);
    if (!met)
      return t;
  }
  return want->nterms;
}

/* None will do, however long one waits. */
static enum choose_reason none_fits(const struct choose_worker *w, int n, const struct choose_want *want, int *which)
{
  if (n == 0)
    return CHOOSE_NONE_CONNECTED;
  *which = missing_term(w, n, want);
  if (*which >= 0)
    return CHOOSE_NO_WANT;
  *which = missing_tag(w, n, want->tags, want->ntags);
  return CHOOSE_NO_TAG;
}

/* The gravest of what keeps it from taking a build now. */
static enum choose_reason stands(const struct choose_worker *w)
{
  return w->paused ? CHOOSE_PAUSED : w->closed ? CHOOSE_CALENDAR : w->low ? CHOOSE_DISK : w->quarantined ? CHOOSE_QUARANTINE : w->used >= w->is.slots ? CHOOSE_FULL
         : w->cleaning ? CHOOSE_CLEANING : CHOOSE_OK;
}

static bool is_warm(const struct choose_worker *w)
{
  return w->warm && w->used * 2 <= w->is.slots;
}

/* Whether a is taken before b, which stands before it. */
static bool before(const struct choose_worker *a, const struct choose_worker *b)
{
  int64_t load_a, load_b;

  if (a->spoilt != b->spoilt)
    return b->spoilt;
  if (!a->weight != !b->weight)
    return !b->weight;
  if (is_warm(a) != is_warm(b))
    return is_warm(a);
  load_a = (int64_t)a->used * b->is.slots * (b->weight ? b->weight : 1);
  load_b = (int64_t)b->used * a->is.slots * (a->weight ? a->weight : 1);
  return load_a != load_b ? load_a < load_b : a->weight > b->weight;
}

int choose_worker(const struct choose_worker *w, int n, const struct choose_want *want, enum choose_reason *why, int *which)
{
  int best = -1;

  *which = -1;
  *why = CHOOSE_REASONS;
  for (int i = 0; i < n; i++) {
    enum choose_reason is = stands(&w[i]);
    if (is > *why || !choose_has_tags(&w[i].is, want->tags, want->ntags) || !want_all_met(want->terms, want->nterms, &w[i].is))
      continue;
    if (is == CHOOSE_OK && (best < 0 || before(&w[i], &w[best])))
      best = i;
    if (is < *why) {
      *why = is;
      *which = is == CHOOSE_OK ? -1 : i;
    }
  }
  if (*why == CHOOSE_REASONS)
    *why = none_fits(w, n, want, which);
  return best;
}
