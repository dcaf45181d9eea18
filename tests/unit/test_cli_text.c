/* The command line's texts: values for people, tables, and bytes made harmless in whatever pieces they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "master/cli/fmt.h"
#include "master/cli/safe.h"
#include "master/cli/table.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define NOW (INT64_C(1762180000) * SECOND)

static void durations(void **state)
{
  static const struct { int64_t ms; const char *text; } cases[] = {
    { -1, "-" }, { 0, "0 ms" }, { 99, "99 ms" }, { 100, "0.1 s" }, { 1249, "1.2 s" }, { 1250, "1.3 s" }, { 43600, "43.6 s" }, { 59949, "59.9 s" },
    { 59950, "1:00 min" }, { 187 * SECOND, "3:07 min" }, { HOUR - 501, "59:59 min" }, { HOUR - 1, "1:00:00 h" }, { HOUR + 2 * MINUTE + 3 * SECOND, "1:02:03 h" },
    { DAY, "1 d 0:00 h" }, { 2 * DAY + 3 * HOUR + 4 * MINUTE, "2 d 3:04 h" } };
  char out[FMT_MAX];

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++)
    assert_string_equal(fmt_duration(cases[i].ms, out), cases[i].text);
  fmt_duration(INT64_MAX - 1000, out);
}

static void sizes(void **state)
{
  static const struct { int64_t n; const char *text; } cases[] = {
    { 0, "0 B" }, { 999, "999 B" }, { 1000, "1.0 KB" }, { 9949, "9.9 KB" }, { 9950, "10 KB" }, { 412345, "412 KB" }, { 999499, "999 KB" },
    { 999500, "1.0 MB" }, { 1300000, "1.3 MB" }, { INT64_C(41000000000), "41 GB" }, { INT64_MAX, "9.2 EB" } };
  char out[FMT_MAX];

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++)
    assert_string_equal(fmt_size(cases[i].n, out), cases[i].text);
}

static void times(void **state)
{
  static const struct { int64_t before; const char *text; } cases[] = {
    { -5000, "just now" }, { 1999, "just now" }, { 59 * SECOND, "59 s ago" }, { 2 * MINUTE + 1, "2 min ago" }, { 3 * HOUR, "3 h ago" }, { 47 * HOUR, "47 h ago" },
    { 3 * DAY, "3 d ago" }, { 30 * DAY, "2025-10-04" } };
  static const struct { int64_t after; const char *text; } coming[] = {
    { -5000, "now" }, { 0, "now" }, { 1, "in 1 s" }, { 59 * SECOND, "in 59 s" }, { 12 * MINUTE + 5, "in 12 min" }, { HOUR, "today 15:26" }, { 9 * HOUR + 33 * MINUTE, "today 23:59" },
    { 10 * HOUR, "tomorrow 00:26" }, { 2 * DAY, "Wed 14:26" }, { 6 * DAY, "Sun 14:26" }, { 7 * DAY, "2025-11-10 14:26" } };
  char out[FMT_MAX];

  (void)state;
  setenv("TZ", "UTC", 1);
  tzset();
  for (size_t i = 0; i < COUNT(coming); i++)
    assert_string_equal(fmt_due(NOW + coming[i].after, NOW, out), coming[i].text);
  assert_string_equal(fmt_until(NOW, NOW, out), "about to end");
  assert_string_equal(fmt_until(NOW + 59 * SECOND, NOW, out), "for another 59 s");
  assert_string_equal(fmt_until(NOW + 12 * MINUTE + 5, NOW, out), "for another 12 min");
  assert_string_equal(fmt_until(NOW + HOUR, NOW, out), "until today 15:26");
  for (size_t i = 0; i < COUNT(cases); i++)
    assert_string_equal(fmt_ago(NOW - cases[i].before, NOW, out), cases[i].text);
  assert_string_equal(fmt_ago(0, NOW, out), "-");
  assert_string_equal(fmt_date(NOW, out), "2025-11-03 14:26:40");
  assert_string_equal(fmt_revision("0123456789abcdef0123456789abcdef01234567", out), "0123456");
  assert_string_equal(fmt_revision("r1234", out), "r1234");
  fmt_revision("a revision that is far too long to be one, but somebody may well send it", out);
  assert_int_equal(strlen(out), FMT_MAX - 1);
}

static void results(void **state)
{
  (void)state;
  assert_string_equal(fmt_result(RESULT_SUCCESS), "SUCCESS");
  assert_string_equal(fmt_result(RESULT_CANCELLED), "CANCELLED");
  assert_string_equal(fmt_result(FMT_NO_RESULT), "RUNNING");
  assert_string_equal(fmt_result(99), "UNKNOWN");
  assert_string_equal(fmt_result(-7), "UNKNOWN");
  assert_int_equal(fmt_result_style(99), STYLE_BAD);
}

static void widths(void **state)
{
  (void)state;
  assert_int_equal(fmt_width("abc"), 3);
  assert_int_equal(fmt_width("stat · clone …"), 14);
  assert_int_equal(fmt_width("日本"), 4);
  assert_int_equal(fmt_width("e\xcc\x81"), 1);
  assert_int_equal(fmt_fit("日本", 3), 3);
  assert_int_equal(fmt_fit("abc", 9), 3);
  assert_int_equal(fmt_fit("abc", -1), 0);
  assert_int_equal(fmt_width("\xe6"), 1);
}

/* All at once, byte by byte, and cut in two at each place: the same comes out. */
static void check(const void *in, size_t n, bool sgr, const char *want)
{
  for (size_t cut = 0; cut <= n + 1; cut++) {
    struct safe s;
    struct buf out;
    safe_init(&s, sgr);
    buf_init(&out, BUF_NO_MAX);
    if (cut == n + 1) {
      for (size_t i = 0; i < n; i++)
        safe_add(&s, (const char *)in + i, 1, &out);
    } else {
      safe_add(&s, in, cut, &out);
      safe_add(&s, (const char *)in + cut, n - cut, &out);
    }
    safe_end(&s, &out);
    assert_string_equal(buf_str(&out), want);
    buf_free(&out);
  }
}
#define CHECK(in, sgr, want) check(in, sizeof(in) - 1, sgr, want)

static void control_bytes(void **state)
{
  (void)state;
  CHECK("plain text\tand\nlines", false, "plain text\tand\nlines");
  CHECK("\0\1\7\b\r\x1f\x7f", false, "^@^A^G^H^M^_^?");
  CHECK("\x1b]52;c;AAAA\x07", true, "^[]52;c;AAAA^G");
  CHECK("\x1b]0;t\x1b\\", true, "^[]0;t^[\\");
  CHECK("\x1bP$q\"p\x1b\\", true, "^[P$q\"p^[\\");
  CHECK("\x1b[6n\x1b[c\x1b[2J\x1b[1;1H\x1b[?25l\x1b[>4;1m", true, "^[[6n^[[c^[[2J^[[1;1H^[[?25l^[[>4;1m");
  CHECK("\x80\x9b" "31m\x9f\xff", true, "M-^@M-^[31mM-^_M-^?");
  CHECK("\xc2\x9b" "31m\xc2\x80", true, "M-^[31mM-^@");
  CHECK("\x1b\x1b[31\x1b[31m\x1b", true, "^[^[[31\x1b[31m^[\x1b[0m");
}

static void colours(void **state)
{
  (void)state;
  CHECK("\x1b[31mred\x1b[0m", true, "\x1b[31mred\x1b[0m");
  CHECK("\x1b[31mred\x1b[0m", false, "^[[31mred^[[0m");
  CHECK("\x1b[01;32mleft", true, "\x1b[01;32mleft\x1b[0m");
  CHECK("\x1b[m", true, "\x1b[m");
  CHECK("\x1b[38;5;200;1mx\x1b[48;2;1;2;3mx\x1b[m", true, "\x1b[38;5;200;1mx\x1b[48;2;1;2;3mx\x1b[m");
  CHECK("\x1b[8mx\x1b[38;5mx\x1b[38;7;1mx\x1b[10mx\x1b[256mx\x1b[1:2m", true, "^[[8mx^[[38;5mx^[[38;7;1mx^[[10mx^[[256mx^[[1:2m");
  CHECK("\x1b[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1m", true, "^[[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1m");
  CHECK("\x1b[00000000000000000000000000000000000000000000000000000000000001m", true, "^[[00000000000000000000000000000000000000000000000000000000000001m");
}

static void characters(void **state)
{
  (void)state;
  CHECK("é 日本 🎈", false, "é 日本 🎈");
  CHECK("\xe6\x97", false, "M-fM-^W");
  CHECK("\xe6\x97x", false, "M-fM-^Wx");
  CHECK("\xe6\xc3\xa9", false, "M-fé");
  CHECK("\xc0\x9b\xe0\x82\x9b\xf0\x80\x82\x9b", false, "M-@M-^[M-`M-^BM-^[M-pM-^@M-^BM-^["); /* overlong forms of U+009B */
  CHECK("\xed\xa0\x80\xf4\x90\x80\x80\xf5", false, "M-mM- M-^@M-tM-^PM-^@M-^@M-u");
  CHECK("a\xe2\x80\xae" "b\xe2\x81\xa6\xe2\x80\x8f", false, "a<U+202E>b<U+2066><U+200F>");
}

static void one_line(void **state)
{
  char *s = safe_line("a\nb\tc\x1b[31md");

  (void)state;
  assert_string_equal(s, "a^Jb^Ic^[[31md");
  free(s);
}

/* Whatever the bytes, no control byte but \n and \t comes out without colours. */
static void random_bytes(void **state)
{
  uint32_t x = 12345;
  char in[400];

  (void)state;
  for (int round = 0; round < 2000; round++) {
    struct safe s;
    struct buf out;
    for (size_t i = 0; i < sizeof in; i++) {
      x = x * 1664525 + 1013904223;
      in[i] = (char)(x >> 24);
    }
    safe_init(&s, false);
    buf_init(&out, BUF_NO_MAX);
    safe_add(&s, in, sizeof in, &out);
    safe_end(&s, &out);
    for (size_t i = 0; i < out.len; i++) {
      unsigned char c = (unsigned char)out.data[i];
      assert_true((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t');
      assert_false(c == 0xc2 && (unsigned char)out.data[i + 1] < 0xa0);
    }
    buf_free(&out);
  }
}

static void tables(void **state)
{
  static const struct column columns[] = { { "NAME", 0 }, { "N", TABLE_RIGHT }, { "TEXT", TABLE_FLEX } };
  struct table *t = table_new(columns, COUNT(columns));
  struct buf out;

  (void)state;
  table_cell(t, STYLE_NONE, "a");
  table_cellf(t, STYLE_GOOD, "%d", 12345);
  table_cell(t, STYLE_NONE, "a long text with\na line feed");
  table_cell(t, STYLE_NONE, "日本");
  table_cell(t, STYLE_NONE, "7");
  table_cell(t, STYLE_NONE, "");
  assert_int_equal(table_rows(t), 2);
  buf_init(&out, BUF_NO_MAX);
  table_print(t, 0, false, &out);
  assert_string_equal(buf_str(&out), "NAME      N  TEXT\na     12345  a long text with^Ja line feed\n日本      7  -\n");
  buf_reset(&out);
  table_print(t, 25, false, &out);
  assert_string_equal(buf_str(&out), "NAME      N  TEXT\na     12345  a long text…\n日本      7  -\n");
  buf_reset(&out);
  table_print(t, 5, true, &out);
  assert_non_null(strstr(buf_str(&out), "\x1b[32m12345\x1b[0m"));
  assert_non_null(strstr(buf_str(&out), "a long …\n")); /* not below the least width */
  buf_free(&out);
  table_free(t);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(durations), cmocka_unit_test(sizes), cmocka_unit_test(times), cmocka_unit_test(results), cmocka_unit_test(widths),
    cmocka_unit_test(control_bytes), cmocka_unit_test(colours), cmocka_unit_test(characters), cmocka_unit_test(one_line),
    cmocka_unit_test(random_bytes), cmocka_unit_test(tables) };

  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
