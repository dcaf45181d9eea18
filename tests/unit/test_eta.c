/* When what waits will begin: by hand where it can be reckoned by hand, and thousands of made-up queues against one that is played second by second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/dispatch/eta.h"

enum { MAX = 12, ROUNDS = 4000 };
#define T(a, b, c) { { a, b, c } }
#define UNKNOWN T(-1, -1, -1)
#define FREE(w, many, ...) { .workers = (w), .n = (many), .takes = __VA_ARGS__ } /* it wants no lock */
#define WITH(w, many, l, ...) { .workers = (w), .n = (many), .locks = (l), .nlocks = COUNT(l), .takes = __VA_ARGS__ }

static const int first[] = { 0 }, second[] = { 1 }, both[] = { 0, 1 };

static void reckon(const int *slots, int nworkers, const struct eta_run *runs, int nruns, const struct eta_wait *queue, int nqueue, struct eta_begin *out)
{
  eta_reckon(&(struct eta_site){ .slots = slots, .nworkers = nworkers, .runs = runs, .nruns = nruns }, queue, nqueue, out);
}

static void expect(const struct eta_begin *out, const int64_t want[][ETA_CASES], size_t n)
{
  for (size_t i = 0; i < n; i++)
    for (int k = 0; k < ETA_CASES; k++)
      if (out[i].ms[k] != want[i][k])
        fail_msg("%zu, case %d: %lld, not %lld", i, k, (long long)out[i].ms[k], (long long)want[i][k]);
}

static void by_hand(void **state)
{
  static const int slots[] = { 2, 1 };
  static const struct eta_run runs[] = { { 0, 60, T(50, 100, 150) }, { 0, 200, T(100, 100, 150) }, { 1, 0, UNKNOWN } };
  static const struct eta_wait queue[] = { FREE(first, 1, T(10, 20, 30)), FREE(first, 1, UNKNOWN), FREE(second, 1, T(1, 1, 1)), FREE(NULL, 0, T(5, 5, 5)), FREE(both, 2, T(1, 1, 1)) };
  static const int64_t want[][ETA_CASES] = { { 0, 20, 20 }, { 0, 40, 50 }, { -1, -1, -1 }, { -1, -1, -1 }, { 10, 40, 90 } };
  struct eta_begin out[COUNT(queue)];

  (void)state;
  reckon(slots, 2, runs, COUNT(runs), queue, COUNT(queue), out);
  expect(out, want, COUNT(queue));
}

/* Nobody knows how long anything takes: what finds a slot begins now, of the others nothing is said. */
static void nothing_known(void **state)
{
  static const int slots[] = { 2 };
  static const struct eta_run runs[] = { { 0, 5, UNKNOWN } };
  static const struct eta_wait queue[] = { FREE(first, 1, UNKNOWN), FREE(first, 1, UNKNOWN) };
  struct eta_begin out[2];

  (void)state;
  reckon(slots, 1, runs, 1, queue, 2, out);
  assert_int_equal(out[0].ms[ETA_LIKELY], 0);
  assert_int_equal(out[1].ms[ETA_LIKELY], -1);
  reckon(slots, 0, NULL, 0, NULL, 0, out);
}

static int upto(int n)
{
  return rand() % (n + 1);
}

/* Second by second: who holds which slot, and who takes what is free. All durations are known and the same in all cases. */
static void slowly(const int *slots, int nworkers, const struct eta_run *runs, int nruns, const struct eta_wait *queue, int nqueue, int64_t *begin)
{
  int64_t until[MAX][MAX] = { { 0 } };
  int used[MAX] = { 0 }, next = 0;

  for (int i = 0; i < nruns; i++)
    until[runs[i].worker][used[runs[i].worker]++] = runs[i].takes.ms[0] - runs[i].ran;
  /* One after the other, as the queue has it: who is behind may not begin before who is ahead and wants the same, but may where it wants another worker. So each is played alone on what those ahead left. */
  for (; next < nqueue; next++)
    for (int64_t now = 0; ; now++) {
      bool taken = false;
      for (int k = 0; k < queue[next].n && !taken; k++)
        for (int s = 0; s < slots[queue[next].workers[k]] && !taken; s++)
          if (until[queue[next].workers[k]][s] <= now) {
            until[queue[next].workers[k]][s] = now + queue[next].takes.ms[0];
            begin[next] = now;
            taken = true;
          }
      if (taken)
        break;
    }
  (void)nworkers;
}

static void generated(void **state)
{
  (void)state;
  srand(7);
  for (int round = 0; round < ROUNDS; round++) {
    int slots[MAX], sets[MAX][MAX], nworkers = 1 + upto(3), nruns = 0, nqueue = 1 + upto(MAX - 1);
    struct eta_run runs[MAX * MAX];
    struct eta_wait queue[MAX];
    struct eta_begin out[MAX];
    int64_t begin[MAX];
    for (int w = 0; w < nworkers; w++) {
      slots[w] = 1 + upto(2);
      for (int s = upto(slots[w]); s > 0; s--) {
        int64_t ran = upto(9), all = ran + 1 + upto(9);
        runs[nruns++] = (struct eta_run){ w, ran, T(all, all, all) };
      }
    }
    for (int i = 0; i < nqueue; i++) {
      int64_t ms = 1 + upto(9);
      queue[i] = (struct eta_wait)FREE(sets[i], 0, T(ms, ms, ms));
      for (int w = 0; w < nworkers; w++)
        if (upto(1) || (w == nworkers - 1 && !queue[i].n))
          sets[i][queue[i].n++] = w;
    }
    reckon(slots, nworkers, runs, nruns, queue, nqueue, out);
    slowly(slots, nworkers, runs, nruns, queue, nqueue, begin);
    for (int i = 0; i < nqueue; i++)
      for (int k = 0; k < ETA_CASES; k++)
        if (out[i].ms[k] != begin[i])
          fail_msg("round %d, %d of %d: %lld, not %lld", round, i, nqueue, (long long)out[i].ms[k], (long long)begin[i]);
  }
}

/* Whatever the durations: low ≤ likely ≤ high, all of them or none. */
static void spans(void **state)
{
  (void)state;
  srand(11);
  for (int round = 0; round < ROUNDS; round++) {
    int slots[] = { 1 + upto(2), 1 + upto(2) }, nruns = 0;
    struct eta_run runs[MAX];
    struct eta_wait queue[MAX];
    struct eta_begin out[MAX];
    bool known = upto(1);
    for (int i = upto(3); i > 0; i--) {
      int64_t a = upto(9), b = a + upto(9), c = b + upto(9);
      runs[nruns++] = (struct eta_run){ upto(1), upto(20), T(a, known || upto(4) ? b : -1, c) };
    }
    for (int i = 0; i < MAX; i++) {
      int64_t a = upto(9), b = a + upto(9), c = b + upto(9);
      queue[i] = (struct eta_wait)FREE(upto(1) ? both : upto(1) ? first : second, 1, T(a, known || upto(4) ? b : -1, c));
      queue[i].n = queue[i].workers == both ? 2 : upto(9) ? 1 : 0;
    }
    reckon(slots, 2, runs, nruns, queue, MAX, out);
    for (int i = 0; i < MAX; i++) {
      const int64_t *t = out[i].ms;
      if (queue[i].n && (known || t[ETA_LIKELY] >= 0))
        assert_true(t[ETA_LOW] >= 0 && t[ETA_LOW] <= t[ETA_LIKELY] && t[ETA_LIKELY] <= t[ETA_HIGH]);
      else
        assert_true(t[ETA_LOW] == -1 && t[ETA_LIKELY] == -1 && t[ETA_HIGH] == -1);
    }
  }
}

/* One board, three licenses, one disk on each worker; two workers with a slot each. What is not about a lock takes the slots that those leave who wait for one. */
static void locks(void **state)
{
  enum { BOARD, LICENSE, DISK, GONE };
  static const int slots[] = { 2, 2 };
  static const struct eta_lock all[] = { { 1, false }, { 3, false }, { 1, true }, { 0, false } };
  static const struct eta_run runs[] = { { 0, 10, T(30, 40, 60) }, { 1, 10, T(30, 40, 60) } };
  static const struct eta_hold holds[] = { { { BOARD, 1 }, 0, 10, T(30, 40, 60) }, { { DISK, 1 }, 1, 10, T(30, 40, 60) }, { { DISK, 1 }, -1, 0, T(1, 1, 1) } };
  static const struct eta_lock_want board[] = { { BOARD, 1 } }, many[] = { { LICENSE, 4 } }, two[] = { { LICENSE, 2 } }, alone[] = { { LICENSE, 0 } }, disk[] = { { DISK, 1 } }, gone[] = { { GONE, 0 } }, both_locks[] = { { BOARD, 0 }, { LICENSE, 1 } };
  static const struct eta_wait queue[] = {
    WITH(both, 2, board, T(5, 10, 20)),      /* behind the build that has it */
    WITH(both, 2, many, T(5, 10, 20)),       /* there are not so many: in nobody's way */
    WITH(both, 2, two, T(5, 10, 20)),        /* at once */
    WITH(both, 2, alone, T(5, 10, 20)),      /* behind that */
    WITH(both, 2, gone, T(5, 10, 20)),
    WITH(second, 1, disk, T(5, 10, 20)),     /* that worker's disk is taken */
    WITH(both, 2, both_locks, T(5, 10, 20)), /* behind the first, and behind who has it alone */
    FREE(both, 2, T(1, 2, 3)),               /* a slot is free: nobody of those above sits in it */
  };
  static const int64_t want[][ETA_CASES] = { { 20, 30, 50 }, { -1, -1, -1 }, { 0, 0, 0 }, { 5, 10, 20 }, { -1, -1, -1 }, { 20, 30, 50 }, { 25, 40, 70 }, { 0, 0, 0 } };
  struct eta_begin out[COUNT(queue)];

  (void)state;
  eta_reckon(&(struct eta_site){ slots, 2, runs, COUNT(runs), all, COUNT(all), holds, COUNT(holds) }, queue, COUNT(queue), out);
  expect(out, want, COUNT(queue));
}

/* Nobody knows how long the holder takes: nothing is said of those behind it, but of those who want another lock. */
static void locks_of_who_knows(void **state)
{
  static const int slots[] = { 9 };
  static const struct eta_lock all[] = { { 2, false }, { 1, false } };
  static const struct eta_hold holds[] = { { { 0, 1 }, 0, 10, UNKNOWN } };
  static const struct eta_lock_want one[] = { { 0, 1 } }, all_of_it[] = { { 0, 0 } }, other[] = { { 1, 1 } };
  static const struct eta_wait queue[] = { WITH(first, 1, one, T(1, 1, 1)), WITH(first, 1, all_of_it, T(1, 1, 1)), WITH(first, 1, one, T(1, 1, 1)), WITH(first, 1, other, T(1, 1, 1)) };
  static const int64_t want[][ETA_CASES] = { { 0, 0, 0 }, { -1, -1, -1 }, { -1, -1, -1 }, { 0, 0, 0 } };
  struct eta_begin out[COUNT(queue)];

  (void)state;
  eta_reckon(&(struct eta_site){ slots, 1, NULL, 0, all, 2, holds, 1 }, queue, COUNT(queue), out);
  expect(out, want, COUNT(queue));
}

/* With as many slots as anybody may want it is the locks alone: each begins when those ahead leave enough of it, counted second by second. */
static void locks_slowly(void **state)
{
  (void)state;
  srand(13);
  for (int round = 0; round < ROUNDS; round++) {
    static const int slots[] = { MAX };
    int count = 1 + upto(3), n = 1 + upto(MAX - 1);
    struct eta_lock all[] = { { count, false } };
    struct eta_lock_want wants[MAX];
    struct eta_wait queue[MAX];
    struct eta_begin out[MAX];
    int64_t begin[MAX], end[MAX];
    for (int i = 0; i < n; i++) {
      int64_t ms = 1 + upto(9);
      wants[i] = (struct eta_lock_want){ 0, upto(count) };
      queue[i] = (struct eta_wait){ .workers = first, .n = 1, .locks = &wants[i], .nlocks = 1, .takes = T(ms, ms, ms) };
    }
    eta_reckon(&(struct eta_site){ .slots = slots, .nworkers = 1, .locks = all, .nlocks = 1 }, queue, n, out);
    for (int i = 0; i < n; i++)
      for (begin[i] = 0; ; begin[i]++) { /* all ahead that are not over by then have theirs */
        int left = count;
        for (int k = 0; k < i; k++)
          if (end[k] > begin[i])
            left -= wants[k].n ? wants[k].n : count;
        if (left >= (wants[i].n ? wants[i].n : count)) {
          end[i] = begin[i] + queue[i].takes.ms[0];
          break;
        }
      }
    for (int i = 0; i < n; i++)
      if (out[i].ms[ETA_LIKELY] != begin[i])
        fail_msg("round %d, %d of %d: %lld, not %lld", round, i, n, (long long)out[i].ms[ETA_LIKELY], (long long)begin[i]);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(by_hand), cmocka_unit_test(nothing_known), cmocka_unit_test(generated), cmocka_unit_test(spans),
                                      cmocka_unit_test(locks), cmocka_unit_test(locks_of_who_knows), cmocka_unit_test(locks_slowly) };

  return cmocka_run_group_tests_name("eta", tests, NULL, NULL) ? 1 : 0;
}
