/* scan(): the small sscanf, against sscanf itself where they are meant to agree, and where they are not. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/scan.h"

static void test_as_sscanf(void **state)
{
  static const struct {
    const char *text;
    int n;
  } line[] = {
    { "out 1-77 3 123456789012 65536 12 00ff00ff 4 deadbeef +512", 9 }, { "out 1-77 -3 -5 1 2 ff 4 0 +0 tail", 9 }, { "out 1-77 3 12", 3 },
    { "out 1-77 x", 1 },                                                { "ou 1-77", 0 },                             { "", 0 },
  };

  (void)state;
  for (size_t i = 0; i < sizeof line / sizeof line[0]; i++) {
    char id[2][48] = { "", "" };
    int stream[2] = { 0 }, end[2] = { 0 };
    long long off[2] = { 0 };
    unsigned long raw[2] = { 0 }, lines[2] = { 0 }, spans[2] = { 0 };
    unsigned crc[2] = { 0 }, bcrc[2] = { 0 };
    size_t blob[2] = { 0 };
    assert_int_equal(scan(line[i].text, "out %47s %d %lld %lu %lu %8x %lu %8x +%zu%n", id[0], &stream[0], &off[0], &raw[0], &lines[0], &crc[0], &spans[0], &bcrc[0], &blob[0], &end[0]), line[i].n);
    sscanf(line[i].text, "out %47s %d %lld %lu %lu %8x %lu %8x +%zu%n", id[1], &stream[1], &off[1], &raw[1], &lines[1], &crc[1], &spans[1], &bcrc[1], &blob[1], &end[1]);
    assert_string_equal(id[0], id[1]);
    assert_true(stream[0] == stream[1] && off[0] == off[1] && raw[0] == raw[1] && lines[0] == lines[1] && spans[0] == spans[1] && crc[0] == crc[1] && bcrc[0] == bcrc[1] && blob[0] == blob[1] && end[0] == end[1]);
  }
}

static void test_limits(void **state)
{
  long long ll;
  unsigned long long ull;
  unsigned x;
  long l;
  int d;

  (void)state;
  assert_int_equal(scan("2147483647", "%d", &d), 1);
  assert_int_equal(d, INT_MAX);
  assert_int_equal(scan("-2147483647", "%d", &d), 1);
  assert_int_equal(d, -INT_MAX);
  assert_int_equal(scan("2147483648", "%d", &d), 0);
  assert_int_equal(scan("9223372036854775807", "%lld", &ll), 1);
  assert_true(ll == LLONG_MAX);
  assert_int_equal(scan("9223372036854775808", "%lld", &ll), 0);
  assert_int_equal(scan("18446744073709551615", "%llu", &ull), 1);
  assert_true(ull == ULLONG_MAX);
  assert_int_equal(scan("18446744073709551616", "%llu", &ull), 0);
  assert_int_equal(scan("-1", "%llu", &ull), 0);
  assert_int_equal(scan("-7", "%ld", &l), 1);
  assert_int_equal(l, -7);
  assert_int_equal(scan("ffffffff", "%8x", &x), 1);
  assert_int_equal(x, UINT_MAX);
  assert_int_equal(scan("ffffffff0", "%x", &x), 0);
  assert_int_equal(scan("FF", "%x", &x), 0); /* we write lower case */
  assert_int_equal(scan(" 1", "%d", &d), 0);
  assert_int_equal(scan("+1", "%d", &d), 0);
  assert_int_equal(scan("-", "%d", &d), 0);
}

static void test_words(void **state)
{
  char w[8] = "before", c = 0;
  int end = -1, d = 0;

  (void)state;
  assert_int_equal(scan("name abcdefg 1", "name %7s %d", w, &d), 2);
  assert_string_equal(w, "abcdefg");
  assert_int_equal(scan("abcdefgh", "%7s", w), 0); /* sscanf would take the first seven */
  assert_string_equal(w, "abcdefg");
  assert_int_equal(scan("one\ntwo", "%7s\n%n", w, &end), 1);
  assert_string_equal(w, "one");
  assert_int_equal(end, 4);
  assert_int_equal(scan(" S 12 13 14", " %c %*d %d", &c, &d), 2);
  assert_int_equal(c, 'S');
  assert_int_equal(d, 13);
  assert_int_equal(scan("", "%c", &c), 0);
  assert_int_equal(scan("", "%7s", w), 0);
  assert_int_equal(scan("a", "%*7s"), 0);
}

static void test_clock_text(void **state)
{
  char now[CLOCK_TEXT_MAX];
  int y, mo, d, h, mi, s, ms, end = 0;

  (void)state;
  assert_ptr_equal(clock_text(now), now);
  assert_int_equal(scan(now, "%d-%d-%dT%d:%d:%d.%dZ%n", &y, &mo, &d, &h, &mi, &s, &ms, &end), 7);
  assert_int_equal(end, 24);
  assert_int_equal(strlen(now), 24);
  assert_true(y >= 2026 && mo >= 1 && mo <= 12 && d >= 1 && d <= 31 && h < 24 && mi < 60 && s <= 60);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_as_sscanf), cmocka_unit_test(test_limits), cmocka_unit_test(test_words), cmocka_unit_test(test_clock_text) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
