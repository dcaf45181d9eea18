/* Which work folders go. */
#include "master/workers/work_clean.h"

#include <stdlib.h>

#include "common/mem.h"

static const char *const whys[] = {
  [WORK_UNFINISHED] = "its removal was begun before",
  [WORK_WANTED] = "somebody wants it gone",
  [WORK_GONE] = "its builder is not in the configuration any more",
  [WORK_EXPIRED] = "not used for longer than keep_work",
  [WORK_ROOM] = "there is less free than min_free",
};

const char *work_why_text(enum work_why why)
{
  return whys[why];
}

/* False: nothing but room speaks against it. */
static bool must_go(const struct work_folder *f, int64_t keep_ms, enum work_why *why)
{
  if (f->unfinished)
    *why = WORK_UNFINISHED;
  else if (f->wanted)
    *why = WORK_WANTED;
  else if (f->gone && f->idle_ms > WORK_GONE_MS)
    *why = WORK_GONE;
  else if (keep_ms && f->idle_ms > keep_ms)
    *why = WORK_EXPIRED;
  else
    return false;
  return true;
}

/* For qsort: the folders beside the picks. */
struct order {
  struct work_pick pick;
  int64_t idle_ms;
};

static int by_order(const void *va, const void *vb)
{
  const struct order *a = va, *b = vb;

  if (a->pick.why != b->pick.why)
    return a->pick.why < b->pick.why ? -1 : 1;
  if (a->idle_ms != b->idle_ms)
    return a->idle_ms > b->idle_ms ? -1 : 1;
  return a->pick.at - b->pick.at;
}

int work_clean(const struct work_folder *f, int n, int64_t keep_ms, int64_t free_bytes, int64_t total, int64_t min_free, struct work_pick *picks)
{
  struct order *all = xcalloc((size_t)n, sizeof *all);
  bool wants_room = free_bytes >= 0 && free_bytes < min_free && (total < 0 || total >= min_free);
  int count = 0, taken = 0;

  for (int i = 0; i < n; i++) {
    enum work_why why = WORK_ROOM;
    if (f[i].used || f[i].later || (!must_go(&f[i], keep_ms, &why) && !wants_room))
      continue;
    all[count++] = (struct order){ { i, why }, f[i].idle_ms };
  }
  if (count)
    qsort(all, (size_t)count, sizeof *all, by_order);
  for (int i = 0; i < count; i++) {
    const struct work_folder *one = &f[all[i].pick.at];
    if (all[i].pick.why == WORK_ROOM && free_bytes >= min_free)
      break;
    picks[taken++] = all[i].pick;
    if (one->bytes > 0 && free_bytes >= 0)
      free_bytes = free_bytes > INT64_MAX - one->bytes ? INT64_MAX : free_bytes + one->bytes;
  }
  free(all);
  return taken;
}
