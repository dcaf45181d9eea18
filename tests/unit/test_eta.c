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

static const int first[] = { 0 }, second[] = { 1 }, both[] = { 0, 1 };

static void by_hand(void **state)
{
  static const int slots[] = { 2, 1 };
  static const struct eta_run runs[] = { { 0, 60, T(50, 100, 150) }, { 0, 200, T(100, 100, 150) }, { 1, 0, UNKNOWN } };
  static const struct eta_wait queue[] = { { first, 1, T(10, 20, 30) }, { first, 1, UNKNOWN }, { second, 1, T(1, 1, 1) }, { NULL, 0, T(5, 5, 5) }, { both, 2, T(1, 1, 1) } };
  static const int64_t want[][ETA_CASES] = { { 0, 20, 20 }, { 0, 40, 50 }, { -1, -1, -1 }, { -1, -1, -1 }, { 10, 40, 90 } };
  struct eta_begin out[COUNT(queue)];

  (void)state;
  eta_reckon(slots, 2, runs, COUNT(runs), queue, COUNT(queue), out);
  for (size_t i = 0; i < COUNT(queue); i++)
    for (int k = 0; k < ETA_CASES; k++)
      if (out[i].ms[k] != want[i][k])
        fail_msg("%zu, case %d: %lld, not %lld", i, k, (long long)out[i].ms[k], (long long)want[i][k]);
}

/* Nobody knows how long anything takes: what finds a slot begins now, of the others nothing is said. */
static void nothing_known(void **state)
{
  static const int slots[] = { 2 };
  static const struct eta_run runs[] = { { 0, 5, UNKNOWN } };
  static const struct eta_wait queue[] = { { first, 1, UNKNOWN }, { first, 1, UNKNOWN } };
  struct eta_begin out[2];

  (void)state;
  eta_reckon(slots, 1, runs, 1, queue, 2, out);
  assert_int_equal(out[0].ms[ETA_LIKELY], 0);
  assert_int_equal(out[1].ms[ETA_LIKELY], -1);
  eta_reckon(slots, 0, NULL, 0, NULL, 0, out);
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
      queue[i] = (struct eta_wait){ sets[i], 0, T(ms, ms, ms) };
      for (int w = 0; w < nworkers; w++)
        if (upto(1) || (w == nworkers - 1 && !queue[i].n))
          sets[i][queue[i].n++] = w;
    }
    eta_reckon(slots, nworkers, runs, nruns, queue, nqueue, out);
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
      queue[i] = (struct eta_wait){ upto(1) ? both : upto(1) ? first : second, 1, T(a, known || upto(4) ? b : -1, c) };
      queue[i].n = queue[i].workers == both ? 2 : upto(9) ? 1 : 0;
    }
    eta_reckon(slots, 2, runs, nruns, queue, MAX, out);
    for (int i = 0; i < MAX; i++) {
      const int64_t *t = out[i].ms;
      if (queue[i].n && (known || t[ETA_LIKELY] >= 0))
        assert_true(t[ETA_LOW] >= 0 && t[ETA_LOW] <= t[ETA_LIKELY] && t[ETA_LIKELY] <= t[ETA_HIGH]);
      else
        assert_true(t[ETA_LOW] == -1 && t[ETA_LIKELY] == -1 && t[ETA_HIGH] == -1);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(by_hand), cmocka_unit_test(nothing_known), cmocka_unit_test(generated), cmocka_unit_test(spans) };

  return cmocka_run_group_tests_name("eta", tests, NULL, NULL) ? 1 : 0;
}
