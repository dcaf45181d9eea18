/* Worker programs that are handed out: their names and versions. */
#include "master/workers/offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static int sign(int n) { return (n > 0) - (n < 0); }

static void versions(void **state)
{
  static const char *const rising[] = { "0.1", "0.1.1", "0.1.2", "0.1.10", "0.2", "0.10", "1.0", "1.0.1", "2", "10.0" };

  (void)state;
  for (int i = 0; i < (int)(sizeof rising / sizeof *rising); i++)
    for (int j = 0; j < (int)(sizeof rising / sizeof *rising); j++)
      assert_int_equal(sign(offer_compare(rising[i], rising[j])), sign(i - j));
  assert_int_equal(offer_compare("0.1", "0.1.0"), 0);
  assert_int_equal(offer_compare("", ""), 0);
  assert_int_equal(sign(offer_compare("x", "0.1")), -1);
  assert_int_equal(offer_compare("1..2", "1.0.2"), 0);
}

static void kinds(void **state)
{
  char out[OFFER_NAME_MAX + 1];

  (void)state;
  assert_true(offer_kind("Linux", "x86_64", out));
  assert_string_equal(out, "linux-x86_64");
  assert_true(offer_kind("FreeBSD", "arm64", out));
  assert_string_equal(out, "freebsd-arm64");
  assert_false(offer_kind("Linux", "../../etc/passwd", out));
  assert_false(offer_kind("", "x86_64", out));
  assert_false(offer_kind("linux", "", out));
  assert_false(offer_kind("linux", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", out));
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(versions), cmocka_unit_test(kinds) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
