/* Which work folders go: tens of thousands of generated cases against what must hold, and the order by hand. */
#include "master/workers/work_clean.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

enum { CASES = 60000, FOLDERS_MAX = 9 };

static uint64_t seed = 19700101;

static int below(int n)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (int)((seed >> 33) % (unsigned)n);
}

struct given {
  struct work_folder f[FOLDERS_MAX];
  int n;
  int64_t keep_ms, free, total, min_free;
};

static void some(struct given *g)
{
  g->n = below(FOLDERS_MAX + 1);
  g->keep_ms = below(3) ? 1 + below(10) * (WORK_GONE_MS / 4) : 0;
  g->total = below(4) ? 50 + below(100) : -1;
  g->free = below(4) ? below(g->total < 0 ? 100 : (int)g->total) : -1;
  g->min_free = below(3) ? below(120) : 0;
  for (int i = 0; i < g->n; i++) {
    bool used = !below(4);
    g->f[i] = (struct work_folder){ used, !used && !below(8), !below(6), !below(5), !below(6), used ? 0 : below(8) * (WORK_GONE_MS / 2), below(5) - 1 + below(30) };
  }
}

/* Why this one would have to go, whatever room there is; WORK_ROOM: it need not. */
static enum work_why reason(const struct given *g, const struct work_folder *f)
{
  if (f->unfinished)
    return WORK_UNFINISHED;
  if (f->wanted)
    return WORK_WANTED;
  if (f->gone && f->idle_ms > WORK_GONE_MS)
    return WORK_GONE;
  return g->keep_ms && f->idle_ms > g->keep_ms ? WORK_EXPIRED : WORK_ROOM;
}

static bool wants_room(const struct given *g)
{
  return g->free >= 0 && g->free < g->min_free && (g->total < 0 || g->total >= g->min_free);
}

static void check(const struct given *g, const struct work_pick *p, int n, int seen[WORK_ROOM + 1])
{
  bool picked[FOLDERS_MAX] = { false };
  int64_t room = g->free;

  for (int i = 0; i < n; i++) {
    const struct work_folder *f = &g->f[p[i].at], *last = i ? &g->f[p[i - 1].at] : NULL;
    assert_in_range(p[i].at, 0, g->n - 1);
    assert_false(picked[p[i].at]);
    picked[p[i].at] = true;
    assert_false(f->used); /* above all */
    assert_false(f->later);
    assert_int_equal(p[i].why, reason(g, f));
    if (last)
      assert_true(p[i - 1].why < p[i].why || (p[i - 1].why == p[i].why && last->idle_ms >= f->idle_ms));
    if (p[i].why == WORK_ROOM) {
      assert_true(wants_room(g));
      assert_true(room < g->min_free); /* not one more than is needed */
    }
    room += f->bytes > 0 && g->free >= 0 ? f->bytes : 0;
    seen[p[i].why]++;
  }
  for (int i = 0; i < g->n; i++) {
    const struct work_folder *f = &g->f[i];
    if (picked[i] || f->used || f->later)
      continue;
    assert_int_equal(reason(g, f), WORK_ROOM); /* whatever must go does */
    if (!wants_room(g))
      continue;
    assert_true(room >= g->min_free); /* enough go, or all that may */
    for (int j = 0; j < n; j++)
      assert_true(p[j].why != WORK_ROOM || g->f[p[j].at].idle_ms >= f->idle_ms);
  }
}

static void against_what_must_hold(void **state)
{
  int seen[WORK_ROOM + 1] = { 0 };

  (void)state;
  for (int c = 0; c < CASES; c++) {
    struct work_pick picks[FOLDERS_MAX];
    struct given g;
    some(&g);
    check(&g, picks, work_clean(g.f, g.n, g.keep_ms, g.free, g.total, g.min_free, picks), seen);
  }
  for (size_t i = 0; i < COUNT(seen); i++)
    assert_true(seen[i] > CASES / 100);
  print_message("work: %d cases (%d unfinished, %d wanted, %d gone, %d expired, %d for room)\n", CASES, seen[0], seen[1], seen[2], seen[3], seen[4]);
}

#define GIB (INT64_C(1) << 30)
#define DAY INT64_C(86400000)

static void by_hand(void **state)
{
  struct work_folder f[] = {
    { .idle_ms = 2 * DAY, .bytes = 3 * GIB },
    { .idle_ms = 9 * DAY, .bytes = 1 * GIB },
    { .idle_ms = 15 * DAY, .bytes = 2 * GIB },
    { .used = true, .idle_ms = 0, .bytes = 20 * GIB },
    { .idle_ms = 3 * DAY, .bytes = -1 },
  };
  struct work_pick p[COUNT(f)];
  int n = COUNT(f);

  (void)state;
  /* room enough: only what was not used for a fortnight */
  assert_int_equal(work_clean(f, n, 14 * DAY, 50 * GIB, 100 * GIB, 10 * GIB, p), 1);
  assert_int_equal(p[0].at, 2);
  assert_int_equal(p[0].why, WORK_EXPIRED);
  assert_int_equal(work_clean(f, n, 0, 50 * GIB, 100 * GIB, 10 * GIB, p), 0);
  /* 8 free: the expired one is enough */
  assert_int_equal(work_clean(f, n, 14 * DAY, 8 * GIB, 100 * GIB, 10 * GIB, p), 1);
  /* 7 free: and the one that is oldest then */
  assert_int_equal(work_clean(f, n, 14 * DAY, 7 * GIB, 100 * GIB, 10 * GIB, p), 2);
  assert_int_equal(p[1].at, 1);
  assert_int_equal(p[1].why, WORK_ROOM);
  /* 5 free: one of unknown size counts as nothing, so all go but the used one */
  assert_int_equal(work_clean(f, n, 14 * DAY, 5 * GIB, 100 * GIB, 10 * GIB, p), 4);
  assert_int_equal(p[2].at, 4);
  assert_int_equal(p[3].at, 0);
  /* exactly enough free is enough; not known is enough; the limit switched off is enough */
  assert_int_equal(work_clean(f, n, 0, 10 * GIB, 100 * GIB, 10 * GIB, p), 0);
  assert_int_equal(work_clean(f, n, 0, -1, -1, 10 * GIB, p), 0);
  assert_int_equal(work_clean(f, n, 0, 0, 100 * GIB, 0, p), 0);
  /* a disk that can't ever have so much free: nothing goes in vain */
  assert_int_equal(work_clean(f, n, 0, 1 * GIB, 9 * GIB, 10 * GIB, p), 0);
  /* the configuration may be mended within the hour */
  f[0].gone = f[1].gone = true;
  f[0].idle_ms = WORK_GONE_MS;
  f[1].idle_ms = WORK_GONE_MS + 1;
  assert_int_equal(work_clean(f, n, 0, 50 * GIB, 100 * GIB, 10 * GIB, p), 1);
  assert_int_equal(p[0].at, 1);
  assert_int_equal(p[0].why, WORK_GONE);
  /* what a person wants goes at once, but not what is used, nor before its time after a failure */
  f[0].wanted = f[3].wanted = true;
  assert_int_equal(work_clean(f, n, 0, 50 * GIB, 100 * GIB, 10 * GIB, p), 2);
  assert_int_equal(p[0].at, 0);
  f[0].later = true;
  assert_int_equal(work_clean(f, n, 0, 50 * GIB, 100 * GIB, 10 * GIB, p), 1);
  assert_int_equal(work_clean(NULL, 0, DAY, 0, 100 * GIB, 10 * GIB, p), 0);
  /* sizes of a worker that lies */
  f[1].bytes = f[2].bytes = INT64_MAX;
  assert_int_equal(work_clean(f, n, 14 * DAY, 1 * GIB, INT64_MAX, INT64_MAX, p), 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(against_what_must_hold), cmocka_unit_test(by_hand) };

  return cmocka_run_group_tests_name("work_clean", tests, NULL, NULL) ? 1 : 0;
}
