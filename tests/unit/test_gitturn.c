/* Turns at the git helpers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/mem.h"
#include "master/changes/gitturn.h"

enum { DEADLINE = 60000 };

static void one_is_kept(void **state)
{
  struct git_standing nothing = { 0 }, good = { .good = true }, slow = { .slow = 3 };

  (void)state;
  assert_true(gitturn_may_start(&nothing, 2, 2, 4));
  assert_false(gitturn_may_start(&nothing, 3, 3, 4));
  assert_true(gitturn_may_start(&nothing, 3, 2, 4));
  assert_false(gitturn_may_start(&slow, 3, 3, 4));
  assert_true(gitturn_may_start(&good, 3, 3, 4));
  assert_false(gitturn_may_start(&good, 4, 3, 4));
  assert_true(gitturn_may_start(&nothing, 0, 0, 1)); /* one helper is for all */
  assert_false(gitturn_may_start(&good, 1, 1, 1));
}

static void patience_grows(void **state)
{
  static const int64_t want[] = { 5000, 10000, 20000, 40000, DEADLINE, DEADLINE };
  struct git_standing s = { 0 };

  (void)state;
  for (size_t i = 0; i < COUNT(want); i++) {
    assert_int_equal(gitturn_patience(&s, DEADLINE), want[i]);
    gitturn_note(&s, false);
  }
  for (int i = 0; i < 100; i++) /* and never overflows */
    gitturn_note(&s, false);
  assert_int_equal(gitturn_patience(&s, DEADLINE), DEADLINE);
  gitturn_note(&s, true);
  assert_int_equal(gitturn_patience(&s, DEADLINE), 15000);
  gitturn_note(&s, false);
  assert_int_equal(gitturn_patience(&s, DEADLINE), 10000);
  assert_int_equal(gitturn_patience(&s, 3000), 3000);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(one_is_kept), cmocka_unit_test(patience_grows) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
