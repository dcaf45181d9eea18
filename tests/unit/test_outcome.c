/* What results make of a build: every result with every set of flags, against a table written from docs/rules.md 4.4 (and the rules of the system it restates), not from the code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/steps/outcome.h"
#include "tests/lib/pipefix.h"

/* Flags as the system has them that 4.4 restates: halt on failure, flunk on failure, warn on failure, flunk on warnings, warn on warnings; and how they are written here. Where flunk and warn
   are both set flunk counts, so there is one way to write both. */
struct flags {
  bool halt, flunk, warn, flunk_w, warn_w;
};

static const char *const on_failure_words[2][2] = { { "ignore", "warn" }, { "fail", "fail" } };
static const char *const on_warnings_words[2][2] = { { "ignore", "warn" }, { "fail", "fail" } };

/* The sentences of 4.4, word by word. */
static enum result expected(const struct flags *f, enum result step)
{
  if (step == RESULT_FAILURE)
    return f->flunk ? RESULT_FAILURE : f->warn ? RESULT_WARNINGS : RESULT_SUCCESS;
  if (step == RESULT_WARNINGS)
    return f->flunk_w ? RESULT_FAILURE : f->warn_w ? RESULT_WARNINGS : RESULT_SUCCESS;
  return step;
}

static bool expected_halt(const struct flags *f, enum result step)
{
  return step == RESULT_EXCEPTION || step == RESULT_RETRY || step == RESULT_CANCELLED || (step == RESULT_FAILURE && f->halt);
}

static bool expected_told(const struct flags *f, enum result step)
{
  if (step == RESULT_FAILURE)
    return f->flunk || f->halt || f->warn;
  if (step == RESULT_WARNINGS)
    return f->flunk_w || f->warn_w;
  return step == RESULT_EXCEPTION || step == RESULT_RETRY || step == RESULT_CANCELLED;
}

static struct pipeline *with_flags(const struct flags *f)
{
  char text[200];

  snprintf(text, sizeof text, "builders: {b: {checkout: none, steps: [{run: a, on_failure: %s, on_warnings: %s, halt: %s}]}}\n", on_failure_words[f->flunk][f->warn],
           on_warnings_words[f->flunk_w][f->warn_w], f->halt ? "true" : "false");
  return must_parse(text);
}

static void every_result_with_all_flags(void **state)
{
  long cases = 0;

  (void)state;
  for (int bits = 0; bits < 32; bits++) {
    struct flags f = { bits & 1, bits & 2, bits & 4, bits & 8, bits & 16 };
    struct pipeline *p = with_flags(&f);
    const struct pipe_step *s = &p->builders[0].steps[0];
    for (int r = 0; r < RESULT_COUNT; r++, cases++) {
      assert_int_equal(outcome_for_build(s, (enum result)r), expected(&f, (enum result)r));
      assert_int_equal(outcome_rest(s, (enum result)r, false), expected_halt(&f, (enum result)r) ? OUTCOME_ALWAYS : OUTCOME_ALL);
      assert_int_equal(outcome_rest(s, (enum result)r, true), OUTCOME_NONE);
      assert_int_equal(outcome_told(s, (enum result)r), expected_told(&f, (enum result)r));
    }
    pipeline_free(p);
  }
  assert_int_equal(cases, 32 * 7);
}

/* Without a word: halt, flunk and warnings of the build; and what a word leaves of them. */
static void usual_flags(void **state)
{
  static const struct { const char *step; enum result failure, warnings; bool halts; } usual[] = {
    { "{run: a}", RESULT_FAILURE, RESULT_WARNINGS, true },
    { "{checkout: {}}", RESULT_FAILURE, RESULT_WARNINGS, true },
    { "{run: a, on_failure: fail}", RESULT_FAILURE, RESULT_WARNINGS, true },
    { "{run: a, halt: false}", RESULT_FAILURE, RESULT_WARNINGS, false },
    { "{run: a, on_failure: warn}", RESULT_WARNINGS, RESULT_WARNINGS, false },
    { "{run: a, on_failure: ignore}", RESULT_SUCCESS, RESULT_WARNINGS, false },
    { "{run: a, on_failure: warn, halt: true}", RESULT_WARNINGS, RESULT_WARNINGS, true },
    { "{run: a, on_failure: ignore, halt: true}", RESULT_SUCCESS, RESULT_WARNINGS, true },
    { "{run: a, on_warnings: fail}", RESULT_FAILURE, RESULT_FAILURE, true },
    { "{run: a, on_warnings: ignore}", RESULT_FAILURE, RESULT_SUCCESS, true },
    { "{run: a, on_warnings: warn, always: true}", RESULT_FAILURE, RESULT_WARNINGS, true },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(usual); i++) {
    char *text = xasprintf("steps: [%s]\n", usual[i].step);
    struct pipeline *p = must_parse(text);
    const struct pipe_step *s = &p->builders[0].steps[p->builders[0].nsteps - 1];
    assert_int_equal(outcome_for_build(s, RESULT_FAILURE), usual[i].failure);
    assert_int_equal(outcome_for_build(s, RESULT_WARNINGS), usual[i].warnings);
    assert_int_equal(outcome_rest(s, RESULT_FAILURE, false) == OUTCOME_ALWAYS, usual[i].halts);
    assert_int_equal(outcome_rest(s, RESULT_WARNINGS, false), OUTCOME_ALL); /* not even with on_warnings: fail */
    pipeline_free(p);
    free(text);
  }
}

static void who_runs(void **state)
{
  struct pipe_step plain = { .kind = PIPE_RUN }, always = { .kind = PIPE_RUN, .always = true };

  (void)state;
  assert_true(outcome_runs(&plain, OUTCOME_ALL));
  assert_true(outcome_runs(&always, OUTCOME_ALL));
  assert_false(outcome_runs(&plain, OUTCOME_ALWAYS));
  assert_true(outcome_runs(&always, OUTCOME_ALWAYS));
  assert_false(outcome_runs(&plain, OUTCOME_NONE));
  assert_false(outcome_runs(&always, OUTCOME_NONE));
}

/* The worst of all, from mild to worst: skipped, success, warnings, failure, exception, retry, cancelled; numbers are in another order. */
static void of_two_the_worse(void **state)
{
  static const int rank[RESULT_COUNT] = { 1, 2, 3, 0, 4, 5, 6 };
  static const char *const names[RESULT_COUNT] = { "success", "warnings", "failure", "skipped", "exception", "retry", "cancelled" };

  (void)state;
  for (int a = 0; a < RESULT_COUNT; a++) {
    assert_string_equal(result_text(a), names[a]);
    for (int b = 0; b < RESULT_COUNT; b++)
      assert_int_equal(rank[result_worse((enum result)a, (enum result)b)], rank[a] > rank[b] ? rank[a] : rank[b]);
  }
}

static void exit_statuses(void **state)
{
  struct pipeline *p = must_parse("builders: {b: {checkout: none, steps: [{run: a, exit: {0: skipped, 2: warnings, 3: success, 75: retry, 77: skipped, 99: exception, 255: failure}}, {run: b}]}}\n");
  const struct pipe_step *s = p->builders[0].steps;

  (void)state;
  for (int code = 0; code < 256; code++) {
    enum result want = code == 0 || code == 77 ? RESULT_SKIPPED : code == 2 ? RESULT_WARNINGS : code == 3 ? RESULT_SUCCESS : code == 75 ? RESULT_RETRY : code == 99 ? RESULT_EXCEPTION : RESULT_FAILURE;
    assert_int_equal(outcome_of_exit(&s[0], code), want);
    assert_int_equal(outcome_of_exit(&s[1], code), code ? RESULT_FAILURE : RESULT_SUCCESS);
  }
  pipeline_free(p);
}

static void tries(void **state)
{
  struct pipeline *p = must_parse("builders: {b: {checkout: none, steps: [{run: a}, {run: a, retry: 2}, {run: a, retry: {times: 3, exit: [75, 2], wait: 90s}}, {run: a, retry: {times: 1, exit: 1}}]}}\n");
  const struct pipe_step *s = p->builders[0].steps;

  (void)state;
  assert_int_equal(s[0].retry.times, 0);
  assert_int_equal(s[2].retry.wait_ms, 90000);
  for (int done = 0; done < 5; done++)
    for (int r = 0; r < RESULT_COUNT; r++)
      for (int exited = 0; exited < 2; exited++)
        for (int code = 0; code < 256; code++) {
          assert_false(outcome_again(&s[0].retry, done, (enum result)r, exited, code));
          assert_int_equal(outcome_again(&s[1].retry, done, (enum result)r, exited, code), done < 2 && r == RESULT_FAILURE);
          assert_int_equal(outcome_again(&s[2].retry, done, (enum result)r, exited, code), done < 3 && exited && (code == 75 || code == 2));
          assert_int_equal(outcome_again(&s[3].retry, done, (enum result)r, exited, code), done < 1 && exited && code == 1);
        }
  pipeline_free(p);
}

/* `retry: 3` is three more, without a word it is two more; `fail` is none, `ask` asks however often it was. */
static void what_is_lost(void **state)
{
  struct pipeline *p = must_parse("defaults: {on_lost: {retry: 1}}\n"
                                  "builders:\n"
                                  "  a: {steps: [x, {run: y, on_lost: fail}, {run: z, on_lost: {retry: 3}}]}\n"
                                  "  b: {on_lost: ask, steps: [x]}\n");
  const struct pipe_step *a = pipeline_builder(p, "a")->steps, *b = pipeline_builder(p, "b")->steps;

  (void)state;
  for (int n = 1; n < 20; n++) {
    assert_int_equal(outcome_of_lost(PIPE_LOST_USUAL, n), n < 3 ? OUTCOME_AGAIN : OUTCOME_OVER);
    assert_int_equal(outcome_of_lost(a[0].on_lost, n), n < 2 ? OUTCOME_AGAIN : OUTCOME_OVER); /* the checkout */
    assert_int_equal(outcome_of_lost(a[1].on_lost, n), n < 2 ? OUTCOME_AGAIN : OUTCOME_OVER);
    assert_int_equal(outcome_of_lost(a[2].on_lost, n), OUTCOME_OVER);
    assert_int_equal(outcome_of_lost(a[3].on_lost, n), n < 4 ? OUTCOME_AGAIN : OUTCOME_OVER);
    assert_int_equal(outcome_of_lost(b[0].on_lost, n), OUTCOME_ASK);
    assert_int_equal(outcome_of_lost(b[1].on_lost, n), OUTCOME_ASK);
  }
  pipeline_free(p);
}

static void refused(void **state)
{
  static const struct { const char *text, *printed; } bad[] = {
    { "steps: [{run: a, on_failure: maybe}]\n",
      ":1:30: \"on_failure\" wants \"fail\" or \"warn\" or \"ignore\", got \"maybe\"\n  steps: [{run: a, on_failure: maybe}]\n                               ^\n" },
    { "steps: [{run: a, soft: true}]\n",
      ":1:18: write `on_failure: warn`: the step's failure is a warning of the build\n  steps: [{run: a, soft: true}]\n                   ^\n" },
    { "steps: [{run: a, exit: {256: warnings}}]\n",
      ":1:25: \"256\" is no exit status: they are 0 to 255\n  steps: [{run: a, exit: {256: warnings}}]\n                          ^\n" },
    { "steps: [{run: a, exit: {-1: warnings}}]\n",
      ":1:25: \"-1\" is no exit status: they are 0 to 255\n  steps: [{run: a, exit: {-1: warnings}}]\n                          ^\n" },
    { "steps: [{run: a, exit: {3: cancelled}}]\n",
      ":1:28: an exit status means success, warnings, failure, skipped, exception or retry, got \"cancelled\"\n  steps: [{run: a, exit: {3: cancelled}}]\n                             ^\n" },
    { "steps: [{run: a, exit: {3: [skipped]}}]\n",
      ":1:28: an exit status means success, warnings, failure, skipped, exception or retry, got a list\n  steps: [{run: a, exit: {3: [skipped]}}]\n                             ^\n" },
    { "steps: [{run: a, exit: {}}]\n", ":1:24: \"exit\" is empty (such as {2: warnings, 77: skipped})\n  steps: [{run: a, exit: {}}]\n                         ^\n" },
    { "steps: [{run: a, exit: 3}]\n", ":1:24: \"exit\" wants a map of exit statuses, got \"3\" (such as {2: warnings, 77: skipped})\n  steps: [{run: a, exit: 3}]\n                         ^\n" },
    { "steps: [{run: a, retry: 11}]\n", ":1:25: \"retry\" wants a whole number from 1 to 10 or a map, got \"11\"\n  steps: [{run: a, retry: 11}]\n                          ^\n" },
    { "steps: [{run: a, retry: {wait: 1s}}]\n", ":1:18: \"retry\" wants the key \"times\"\n  steps: [{run: a, retry: {wait: 1s}}]\n                   ^\n" },
    { "steps: [{run: a, retry: {times: 1, exit: [0]}}]\n",
      ":1:43: \"exit\" wants a whole number from 1 to 255, got \"0\"\n  steps: [{run: a, retry: {times: 1, exit: [0]}}]\n                                            ^\n" },
    { "steps: [{run: a, retry: {times: 1, exit: []}}]\n",
      ":1:42: \"exit\" is empty (leave it out to try again after any failure)\n  steps: [{run: a, retry: {times: 1, exit: []}}]\n                                           ^\n" },
    { "steps: [{checkout: {}, retry: 1}]\n", ":1:24: a checkout has no \"retry\"\n  steps: [{checkout: {}, retry: 1}]\n                         ^\n" },
    { "steps: [{checkout: {}, exit: {1: skipped}}]\n", ":1:24: a checkout has no \"exit\"\n  steps: [{checkout: {}, exit: {1: skipped}}]\n                         ^\n" },
    { "steps: [{run: a, on_lost: never}]\n", ":1:27: \"on_lost\" wants \"fail\" or \"ask\" or a map, got \"never\"\n  steps: [{run: a, on_lost: never}]\n                            ^\n" },
    { "builders: {b: {on_lost: {}, steps: [a]}}\n", ":1:16: \"on_lost\" wants the key \"retry\"\n  builders: {b: {on_lost: {}, steps: [a]}}\n                 ^\n" },
    { "defaults: {retry: 2}\nsteps: [a]\n",
      ":1:12: only a step is tried again: `retry` belongs there; what is done when a worker is lost is `on_lost`\n  defaults: {retry: 2}\n             ^\n" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++)
    expect_refused(bad[i].text, bad[i].printed);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_result_with_all_flags), cmocka_unit_test(usual_flags), cmocka_unit_test(who_runs), cmocka_unit_test(of_two_the_worse), cmocka_unit_test(exit_statuses),
    cmocka_unit_test(tries), cmocka_unit_test(what_is_lost), cmocka_unit_test(refused),
  };

  return cmocka_run_group_tests_name("outcome", tests, NULL, NULL) ? 1 : 0;
}
