/* Requests that are left out of the looks for a moment, because they could not be claimed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "master/dispatch/aside.h"

static void are(struct aside *a, int64_t now, const char *want)
{
  char *text = aside_text(a, now);

  assert_string_equal(text, want);
  free(text);
}

static void test_longer_each_time(void **state)
{
  struct aside a = { 0 };
  int64_t now = 1000, lasts = ASIDE_FIRST_MS;

  (void)state;
  are(&a, now, "{}");
  assert_int_equal(aside_left_ms(&a, now), -1);
  for (int i = 0; i < 10; i++) {
    aside_put(&a, 7, now);
    assert_int_equal(aside_left_ms(&a, now), lasts);
    are(&a, now + lasts - 1, "{7}");
    are(&a, now + lasts, "{}");
    assert_int_equal(aside_left_ms(&a, now + lasts), -1);
    now += lasts;
    lasts = lasts * 2 < ASIDE_MOST_MS ? lasts * 2 : ASIDE_MOST_MS;
  }
}

static void test_forgotten_when_it_did_not_fail_again(void **state)
{
  struct aside a = { 0 };

  (void)state;
  aside_put(&a, 7, 0);
  aside_put(&a, 8, 0);
  aside_put(&a, 8, ASIDE_FIRST_MS);
  are(&a, ASIDE_FIRST_MS, "{8}");
  are(&a, 2 * ASIDE_FIRST_MS, "{8}");
  assert_int_equal(a.n, 1);
  aside_put(&a, 7, 2 * ASIDE_FIRST_MS);
  assert_int_equal(aside_left_ms(&a, 2 * ASIDE_FIRST_MS), ASIDE_FIRST_MS);
  are(&a, 100 * ASIDE_MOST_MS, "{}");
  assert_int_equal(a.n, 0);
}

static void test_no_more_than_so_many(void **state)
{
  static struct aside a;
  char *text;

  (void)state;
  for (int i = 1; i <= ASIDE_MAX + 1; i++)
    aside_put(&a, i, i);
  assert_int_equal(a.n, ASIDE_MAX);
  text = aside_text(&a, ASIDE_MAX + 1);
  assert_null(strstr(text, "{1,"));
  assert_non_null(strstr(text, "257"));
  free(text);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_longer_each_time), cmocka_unit_test(test_forgotten_when_it_did_not_fail_again), cmocka_unit_test(test_no_more_than_so_many) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
