/* Records: there and back, cut short anywhere, malformed. */
#include "proto/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s) s, sizeof(s) - 1

static void test_round_trip(void **state)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  struct buf b;
  size_t at = 0;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  records_put(&b, "arg", "sh");
  records_put(&b, "arg", "");
  records_put(&b, "arg", "a=b\nc \xff");
  records_putf(&b, "idle_ms", "%d", 1200);
  records_put_n(&b, "abcdefghijklmnopqrstuvwxyz_abcde", "xyz", 2);
  assert_false(b.failed);
  assert_int_equal(b.len, sizeof "arg=sh\0arg=\0arg=a=b\nc \xff\0idle_ms=1200\0abcdefghijklmnopqrstuvwxyz_abcde=xy");
  assert_memory_equal(b.data, "arg=sh\0arg=\0arg=a=b\nc \xff\0idle_ms=1200\0abcdefghijklmnopqrstuvwxyz_abcde=xy", b.len);
  assert_true(records_valid(b.data, b.len));

  assert_int_equal(records_next(b.data, b.len, &at, key, &value), ERR_OK);
  assert_string_equal(key, "arg");
  assert_string_equal(value, "sh");
  assert_int_equal(records_next(b.data, b.len, &at, key, &value), ERR_OK);
  assert_string_equal(value, "");
  assert_int_equal(records_next(b.data, b.len, &at, key, &value), ERR_OK);
  assert_string_equal(value, "a=b\nc \xff");
  assert_int_equal(records_next(b.data, b.len, &at, key, &value), ERR_OK);
  assert_string_equal(key, "idle_ms");
  assert_string_equal(value, "1200");
  assert_int_equal(records_next(b.data, b.len, &at, key, &value), ERR_OK);
  assert_int_equal(strlen(key), RECORDS_KEY_MAX);
  assert_int_equal(records_next(b.data, b.len, &at, key, &value), ERR_NOTFOUND);
  assert_int_equal(records_next(b.data, b.len, &at, key, &value), ERR_NOTFOUND);

  assert_string_equal(records_get(b.data, b.len, "arg"), "sh");
  assert_string_equal(records_get(b.data, b.len, "idle_ms"), "1200");
  assert_null(records_get(b.data, b.len, "idle"));
  buf_free(&b);
}

/* Every prefix is valid exactly when it ends at a record's end; the copy is exact, so a byte read too far is seen. */
static void test_prefixes(void **state)
{
  static const char all[] = "a=1\0bb=\0c=x=y\0";

  (void)state;
  for (size_t n = 0; n < sizeof all; n++) {
    char *p = malloc(n ? n : 1);
    memcpy(p, all, n);
    assert_int_equal(records_valid(p, n), n == 0 || n == 4 || n == 8 || n == 14);
    if (n >= 4)
      assert_string_equal(records_get(p, n, "a"), "1");
    else
      assert_null(records_get(p, n, "a"));
    free(p);
  }
}

static void test_malformed(void **state)
{
  static const struct { const char *p; size_t n; } rows[] = {
    { TEXT("\0") },
    { TEXT("=\0") },
    { TEXT("=x\0") },
    { TEXT("a\0") },
    { TEXT("a\0=b\0") },
    { TEXT("A=b\0") },
    { TEXT("a1=b\0") },
    { TEXT("a-b=b\0") },
    { TEXT(" a=b\0") },
    { TEXT("a =b\0") },
    { TEXT("a=b\n") },
    { TEXT("a=b\0\0") },
    { TEXT("a=b\0c") },
    { TEXT("abcdefghijklmnopqrstuvwxyz_abcdef=33 bytes of key\0") },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++)
    assert_false(records_valid(rows[i].p, rows[i].n));
  assert_true(records_valid(NULL, 0));
  assert_string_equal(records_get(TEXT("a=b\0c"), "a"), "b"); /* what came before the fault is found */
  assert_null(records_get(TEXT("a=b\0?\0c=d\0"), "c"));
}

static void test_put_refuses(void **state)
{
  static const char *const keys[] = { "", "A", "a b", "a=", "a1", "abcdefghijklmnopqrstuvwxyz_abcdef" };
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  for (size_t i = 0; i < COUNT(keys); i++) {
    records_put(&b, keys[i], "x");
    assert_true(b.failed && !b.len);
    buf_reset(&b);
  }
  records_put_n(&b, "a", "x\0y", 3);
  assert_true(b.failed && !b.len);
  buf_reset(&b);
  records_put_n(&b, "a", NULL, 0);
  assert_false(b.failed);
  assert_int_equal(b.len, 3);
  buf_free(&b);

  buf_init(&b, 10);
  records_put(&b, "abc", "12345"); /* exactly 10 */
  assert_false(b.failed);
  buf_reset(&b);
  records_put(&b, "abc", "123456"); /* all or nothing */
  assert_true(b.failed && !b.len);
  buf_free(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_prefixes),
    cmocka_unit_test(test_malformed),
    cmocka_unit_test(test_put_refuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
