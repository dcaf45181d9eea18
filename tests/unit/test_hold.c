/* Who sends input to a command: one at a time. */
#include "master/dispatch/hold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BEGUN INT64_C(1764288000000) /* 2025-11-28 00:00:00 UTC */

static struct hold h;

/* What is said to who asks, and then asks where it may. */
static bool ask(const char *sender, const char *who, bool sends, bool take, bool leave, int64_t ms, const char *refused)
{
  struct hold_ask a = { sender, who, sends, take, leave };
  char *why = hold_refused(&h, &a, ms);
  bool got = false;

  if (refused)
    assert_string_equal(why ? why : "(it may)", refused);
  else
    assert_null(why);
  if (!why)
    got = hold_asked(&h, &a, ms, BEGUN + ms);
  free(why);
  return got;
}

static void test_one_at_a_time(void **state)
{
  (void)state;
  memset(&h, 0, sizeof h);
  assert_false(ask(NULL, "script", true, false, false, 0, NULL)); /* who has no word for itself has nothing */
  assert_string_equal(h.sender, "");
  assert_true(ask("a1", "anna", false, false, false, 1000, NULL));
  assert_false(ask("a1", "anna", true, false, false, 2000, NULL));
  assert_false(ask("b2", "bob", false, false, false, 3000, "anna since 2025-11-28 00:00:01 UTC"));
  assert_false(ask(NULL, "script", true, false, false, 3000, "anna since 2025-11-28 00:00:01 UTC"));
  assert_false(ask(NULL, "script", false, false, false, 3000, NULL)); /* a mere question */
  assert_false(ask(NULL, "script", true, true, false, 3000, "anna since 2025-11-28 00:00:01 UTC"));
  assert_true(ask("b2", "bob", true, true, false, 4000, NULL));
  assert_false(ask("a1", "anna", true, false, false, 5000, "bob since 2025-11-28 00:00:04 UTC"));
}

static void test_leaving(void **state)
{
  (void)state;
  memset(&h, 0, sizeof h);
  ask("a1", "anna", false, false, false, 0, NULL);
  assert_false(ask("b2", "bob", false, false, true, 10, NULL)); /* it has nothing to leave */
  assert_string_equal(h.sender, "a1");
  assert_false(ask("a1", "anna", false, false, true, 20, NULL));
  assert_string_equal(h.sender, "");
  assert_true(ask("b2", "bob", false, false, false, 30, NULL));
}

static void test_silence(void **state)
{
  (void)state;
  memset(&h, 0, sizeof h);
  ask("a1", "anna", false, false, false, 0, NULL);
  ask("a1", "anna", false, false, false, 5000, NULL);
  assert_false(ask("b2", "bob", false, false, false, 5000 + HOLD_SILENT_MS, "anna since 2025-11-28 00:00:00 UTC"));
  h.waiting = 1; /* it waits for an answer as long as that takes */
  assert_false(ask("b2", "bob", false, false, false, 50000 + HOLD_SILENT_MS, "anna since 2025-11-28 00:00:00 UTC"));
  h.waiting = 0;
  assert_true(ask("b2", "bob", false, false, false, 5001 + HOLD_SILENT_MS, NULL));
  assert_int_equal(h.waiting, 0);
}

static void test_words(void **state)
{
  (void)state;
  assert_true(hold_is_sender("a"));
  assert_true(hold_is_sender("0123456789abcdefABCDEF0123456789"));
  assert_false(hold_is_sender(""));
  assert_false(hold_is_sender("0123456789abcdefABCDEF01234567890"));
  assert_false(hold_is_sender("a b"));
  assert_false(hold_is_sender("a\n"));
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_at_a_time), cmocka_unit_test(test_leaving), cmocka_unit_test(test_silence), cmocka_unit_test(test_words) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
