/* Which worker gets which request: thousands of generated cases against a naive model, and the reasons by hand. */
#include "master/dispatch/choose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

enum { CASES = 40000, WORKERS_MAX = 7, TAGS_MAX = 4 };

static const char *const tag_names[] = { "linux", "arm64", "gpu", "linux2", "" };

static uint64_t seed = 20240229;

static int below(int n)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (int)((seed >> 33) % (unsigned)n);
}

static int some_tags(const char **out, int max)
{
  int n = below(max + 1);

  for (int i = 0; i < n; i++)
    out[i] = tag_names[below((int)COUNT(tag_names))];
  return n;
}

static bool among(const char *tag, const char *const *tags, int n)
{
  for (int i = 0; i < n; i++)
    if (!strcmp(tags[i], tag))
      return true;
  return false;
}

static bool suits(const struct choose_worker *w, const char *const *tags, int n)
{
  for (int i = 0; i < n; i++)
    if (!among(tags[i], w->tags, w->ntags))
      return false;
  return true;
}

/* Of all that suit and have room: none that is before it in the order (share used, place). Written as the definition, not as a search. */
static bool may_have_it(const struct choose_worker *w)
{
  return w->used < w->slots && !w->low && !w->cleaning && !w->paused;
}

static bool is_best(const struct choose_worker *w, int n, const char *const *tags, int ntags, int at)
{
  if (!suits(&w[at], tags, ntags) || !may_have_it(&w[at]))
    return false;
  for (int i = 0; i < n; i++) {
    double a = (double)w[i].used / w[i].slots, b = (double)w[at].used / w[at].slots;
    if (i != at && suits(&w[i], tags, ntags) && may_have_it(&w[i]) && (a < b - 1e-12 || (a <= b + 1e-12 && i < at)))
      return false;
  }
  return true;
}

static void against_the_model(void **state)
{
  int seen[CHOOSE_PAUSED + 1] = { 0 };

  (void)state;
  for (int c = 0; c < CASES; c++) {
    const char *worker_tags[WORKERS_MAX][TAGS_MAX], *tags[TAGS_MAX];
    struct choose_worker w[WORKERS_MAX];
    int n = below(WORKERS_MAX + 1), ntags = some_tags(tags, 3), at, which, best = -1, suiting = 0;
    enum choose_reason why;

    for (int i = 0; i < n; i++) {
      int slots = 1 + below(4);
      w[i] = (struct choose_worker){ "w", worker_tags[i], some_tags(worker_tags[i], TAGS_MAX), slots, below(slots + 2), !below(4), !below(4), !below(4) };
    }
    at = choose_worker(w, n, tags, ntags, &why, &which);
    for (int i = 0; i < n; i++) {
      suiting += suits(&w[i], tags, ntags);
      if (is_best(w, n, tags, ntags, i)) {
        assert_int_equal(best, -1); /* the order is total */
        best = i;
      }
    }
    assert_int_equal(at, best);
    seen[why]++;
    if (best >= 0) {
      assert_int_equal(why, CHOOSE_OK);
      assert_int_equal(which, -1);
    } else if (!n) {
      assert_int_equal(why, CHOOSE_NONE_CONNECTED);
    } else if (!suiting) {
      assert_int_equal(why, CHOOSE_NO_TAG);
      assert_in_range(which, 0, ntags);
      for (int t = 0; t < ntags && t <= which; t++) { /* had by somebody up to there, by nobody there */
        bool had = false;
        for (int i = 0; i < n; i++)
          had = had || among(tags[t], w[i].tags, w[i].ntags);
        assert_int_equal(had, t < which);
      }
    } else {
      bool full = false, cleaning = false, low = false;
      for (int i = 0; i < n; i++) {
        if (!suits(&w[i], tags, ntags) || w[i].paused)
          continue;
        low |= w[i].low;
        if (w[i].low)
          continue;
        full |= w[i].used >= w[i].slots;
        cleaning |= w[i].used < w[i].slots; /* and had it else */
      }
      assert_int_equal(why, cleaning ? CHOOSE_CLEANING : full ? CHOOSE_FULL : low ? CHOOSE_DISK : CHOOSE_PAUSED);
      assert_in_range(which, 0, n - 1);
      assert_true(suits(&w[which], tags, ntags));
      assert_int_equal(w[which].paused, why == CHOOSE_PAUSED);
      if (why != CHOOSE_PAUSED)
        assert_int_equal(w[which].low, why == CHOOSE_DISK);
      if (why != CHOOSE_PAUSED && why != CHOOSE_DISK)
        assert_int_equal(w[which].used >= w[which].slots, why == CHOOSE_FULL);
    }
  }
  for (size_t i = 0; i < COUNT(seen); i++)
    assert_true(seen[i] > CASES / 100);
  print_message("choose: %d cases (%d chosen, %d none connected, %d no tag, %d full, %d low, %d cleaning, %d paused)\n", CASES, seen[CHOOSE_OK], seen[CHOOSE_NONE_CONNECTED],
                seen[CHOOSE_NO_TAG], seen[CHOOSE_FULL], seen[CHOOSE_DISK], seen[CHOOSE_CLEANING], seen[CHOOSE_PAUSED]);
}

/* Claims taken one by one from the same choice: no worker gets more than its slots, and all slots are filled. */
static void slots_are_filled_and_not_more(void **state)
{
  (void)state;
  for (int c = 0; c < 500; c++) {
    struct choose_worker w[WORKERS_MAX];
    int n = 1 + below(WORKERS_MAX), room = 0, given = 0, which;
    enum choose_reason why;

    for (int i = 0; i < n; i++) {
      w[i] = (struct choose_worker){ "w", NULL, 0, 1 + below(8), 0, false, false, false };
      room += w[i].slots;
    }
    for (int at; (at = choose_worker(w, n, NULL, 0, &why, &which)) >= 0; given++) {
      w[at].used++;
      assert_true(w[at].used <= w[at].slots);
      for (int i = 0; i < n; i++) /* even: nobody is more than one build ahead of another's share */
        assert_true((w[at].used - 1) * w[i].slots <= w[i].used * w[at].slots);
    }
    assert_int_equal(given, room);
    assert_int_equal(why, CHOOSE_FULL);
  }
}

static void by_hand(void **state)
{
  const char *const linux_tag[] = { "linux" }, *const both[] = { "linux", "gpu" }, *const gpu[] = { "gpu" };
  struct choose_worker w[] = { { "a", linux_tag, 1, 2, 1, false, false, false }, { "b", gpu, 1, 4, 1, false, false, false }, { "c", linux_tag, 1, 2, 1, false, false, false } };
  enum choose_reason why;
  int which;

  (void)state;
  assert_int_equal(choose_worker(w, 3, linux_tag, 1, &why, &which), 0);  /* first of equals */
  assert_int_equal(choose_worker(w, 3, NULL, 0, &why, &which), 1);       /* a quarter used is less than a half */
  assert_int_equal(choose_worker(w, 3, both, 2, &why, &which), -1);      /* both are there, on no one worker */
  assert_int_equal(why, CHOOSE_NO_TAG);
  assert_int_equal(which, 2);
  w[0].used = w[2].used = 2;
  assert_int_equal(choose_worker(w, 3, linux_tag, 1, &why, &which), -1);
  assert_int_equal(why, CHOOSE_FULL);
  assert_int_equal(which, 0);
  w[2].used = 1;
  w[2].low = true; /* it would have a slot, but no room */
  assert_int_equal(choose_worker(w, 3, linux_tag, 1, &why, &which), -1);
  assert_int_equal(why, CHOOSE_FULL);
  w[0].low = true;
  assert_int_equal(choose_worker(w, 3, linux_tag, 1, &why, &which), -1);
  assert_int_equal(why, CHOOSE_DISK);
  assert_int_equal(which, 0);
  assert_int_equal(choose_worker(w, 3, gpu, 1, &why, &which), 1);
  assert_true(choose_has_tags(&w[0], NULL, 0));
  assert_false(choose_has_tags(&w[0], both, 2));
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(against_the_model), cmocka_unit_test(slots_are_filled_and_not_more), cmocka_unit_test(by_hand) };

  return cmocka_run_group_tests_name("choose", tests, NULL, NULL) ? 1 : 0;
}
