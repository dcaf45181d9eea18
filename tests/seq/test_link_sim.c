/* The simulation of link, spool and resume (tests/sim/sim.h): small worlds by seed, each with faults of all kinds for a while and then left in peace, in which all must end.

   SIM_SEED=n plays one seed, SIM_SEEDS=n so many, from SIM_FROM on; SIM_SECONDS=n plays as many as there is time for, from a seed of the day on; SIM_VERBOSE=1 tells each event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/log.h"
#include "tests/sim/sim.h"

enum { SEEDS = 10000, TWICE = 100 };

static uint64_t current;

static void on_abort(int signal)
{
  fprintf(stderr, "the process is ended in seed %llu (SIM_SEED=%llu SIM_VERBOSE=1 plays it again)\n", (unsigned long long)current, (unsigned long long)current);
  (void)signal;
}

static struct result_of play(uint64_t seed)
{
  current = seed;
  model_tell_reset();
  return world_play(seed);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
  const char *text = getenv(name);

  return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_seeds(void **s)
{
  uint64_t from = number_of("SIM_FROM", 0), n = number_of("SIM_SEEDS", SEEDS), bad = 0, seconds = number_of("SIM_SECONDS", 0), done = 0, events = 0, ms = 0, sum = 0;
  time_t end = time(NULL) + (time_t)seconds;
  clock_t began = clock();

  (void)s;
  if (getenv("SIM_SEED")) {
    from = number_of("SIM_SEED", 0);
    n = 1;
  } else if (seconds) {
    from = number_of("SIM_FROM", (uint64_t)time(NULL) * 100000);
  }
  model_verbose = getenv("SIM_VERBOSE") != NULL;
  for (; seconds ? time(NULL) < end : done < n; done++) {
    struct result_of r = play(from + done);
    events += (uint64_t)r.events;
    ms += (uint64_t)r.ms;
    sum += r.hash;
    if (!model_badness())
      continue;
    fprintf(stderr, "seed %llu: %s\nSIM_SEED=%llu plays it again, with SIM_VERBOSE=1 each event is told\n", (unsigned long long)(from + done), model_badness(), (unsigned long long)(from + done));
    if (++bad == number_of("SIM_BAD", 1))
      break;
  }
  print_message("%llu seeds, %llu events, %.1f hours of virtual time, sum %016llx, processor time %.1f s\n", (unsigned long long)done, (unsigned long long)events, (double)ms / 3600000, (unsigned long long)sum, (double)(clock() - began) / CLOCKS_PER_SEC);
  assert_int_equal(bad, 0);
}

/* The same seed is the same world, each event of it. */
static void test_replay(void **s)
{
  (void)s;
  for (uint64_t seed = 0; seed < TWICE; seed++) {
    struct result_of a = play(seed), b = play(seed);
    if (a.events != b.events || a.hash != b.hash)
      fail_msg("seed %llu is another world the second time", (unsigned long long)seed);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_seeds), cmocka_unit_test(test_replay) }, one[] = { cmocka_unit_test(test_seeds) };

  log_set_level(getenv("SIM_VERBOSE") ? LOG_DEBUG : LOG_ERROR + 1);
  proc_begin();
  signal(SIGABRT, on_abort);
  return getenv("SIM_SEED") ? cmocka_run_group_tests(one, NULL, NULL) : cmocka_run_group_tests(tests, NULL, NULL);
}
