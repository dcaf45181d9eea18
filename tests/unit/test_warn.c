/* Lines that are warnings, counted once each: whatever the chunks are, whoever goes on in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "master/logs/warn.h"
#include "proto/chunk.h"

/* One chunk of one channel's bytes, through the encoder that workers have; cut where it is full. resume: another one goes on behind each. */
static void feed(struct warn **w, const char *pattern, bool text, unsigned channel, const char *s, size_t n, bool resume)
{
  static char raw[CHUNK_RAW_MAX];
  struct chunk_enc *e = chunk_enc_new();
  struct chunk c = { 0 };

  while (n) {
    size_t took = chunk_enc_add(e, channel, 1, s, n);
    chunk_enc_close(e, &c);
    c.off = 0;
    assert_int_equal(chunk_check(&c, raw), ERR_OK);
    warn_take(*w, c.blob, c.spans, raw);
    s += took;
    n -= took;
    if (resume) {
      struct warn *other = warn_new(pattern, text);
      struct buf kept;
      buf_init(&kept, BUF_NO_MAX);
      warn_keep(*w, &kept);
      warn_resume(other, warn_count(*w), kept.data, kept.len);
      buf_free(&kept);
      warn_free(*w);
      *w = other;
    }
  }
  chunk_enc_free(e);
}

static int64_t counted(const char *pattern, bool text, const char *s, size_t n)
{
  struct warn *w = warn_new(pattern, text);
  int64_t count;

  feed(&w, pattern, text, 0, s, n, false);
  count = warn_count_at_end(w);
  warn_free(w);
  return count;
}

#define COUNTED(pattern, text, s) counted(pattern, text, s, sizeof s - 1)

static void what_counts(void **state)
{
  (void)state;
  assert_int_equal(COUNTED(": warning: ", true, "a.c:1:2: warning: x\nb.c:1: error: warning\nld: warning: y\n"), 2);
  assert_int_equal(COUNTED("^WARN", false, "WARN a\n WARN\nWARN"), 2); /* the last line has no end */
  assert_int_equal(COUNTED("x$", false, "x\r\nx\nxy\r\n"), 2);
  assert_int_equal(COUNTED("x", false, "\0x\n\0\n"), 1);
  assert_int_equal(COUNTED("", false, "\n\n"), 0);
  assert_int_equal(COUNTED("\\d+ warnings?", false, "12 warnings\nno warnings\n"), 1);
}

static void only_the_beginning_of_a_line(void **state)
{
  char *s = xmalloc(3 * WARN_LINE_MAX);
  size_t n = 3 * WARN_LINE_MAX;

  (void)state;
  memset(s, '.', n);
  memcpy(s + WARN_LINE_MAX - 4, "WARN", 4);
  assert_int_equal(counted("WARN", true, s, n), 1);
  memset(s, '.', n);
  memcpy(s + WARN_LINE_MAX - 3, "WARN", 4);
  assert_int_equal(counted("WARN", true, s, n), 0);
  memcpy(s + 2 * WARN_LINE_MAX, "\nWARN", 5); /* and behind it the next line counts again */
  assert_int_equal(counted("WARN", true, s, n), 1);
  free(s);
}

static void channels_have_lines_of_their_own(void **state)
{
  struct warn *w = warn_new("ab", true);

  (void)state;
  feed(&w, "ab", true, 0, "a", 1, true);
  feed(&w, "ab", true, 1, "a", 1, true);
  feed(&w, "ab", true, 0, "b\n", 2, true);
  assert_int_equal(warn_count(w), 1);
  feed(&w, "ab", true, 1, "\nb", 2, true);
  assert_int_equal(warn_count_at_end(w), 1);
  warn_free(w);
}

/* Any cuts, any hand-over: the same count as of the whole. */
static void however_it_is_cut(void **state)
{
  unsigned seed = (unsigned)time(NULL);
  static char s[20000];

  (void)state;
  for (int round = 0; round < 200; round++) {
    int64_t want = 0;
    size_t n = 0;
    struct warn *w;
    print_message(round ? "" : "seed %u\n", seed);
    while (n < sizeof s - 6000) {
      size_t len = (size_t)rand_r(&seed) % (rand_r(&seed) % 10 ? 60 : 5000);
      bool yes = rand_r(&seed) % 3 == 0;
      memset(s + n, 'x', len);
      if (yes && len >= 4 && len <= WARN_LINE_MAX)
        memcpy(s + n + (size_t)rand_r(&seed) % (len - 3), "WARN", 4), want++;
      n += len;
      s[n++] = '\n';
    }
    assert_int_equal(counted("WARN", false, s, n), want);
    w = warn_new("WARN", false);
    for (size_t at = 0; at < n;) {
      size_t part = 1 + (size_t)rand_r(&seed) % 3000;
      part = part < n - at ? part : n - at;
      feed(&w, "WARN", false, 0, s + at, part, rand_r(&seed) % 2);
      at += part;
    }
    assert_int_equal(warn_count_at_end(w), want);
    warn_free(w);
  }
}

static void what_is_kept_may_be_anything(void **state)
{
  static const unsigned char bad[][8] = { { 0 }, { 0, 0xff, 0xff, 1 }, { 1, 0, 200 }, { 0, 0x10, 0x01 } };

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++)
    for (size_t n = 0; n <= sizeof bad[i]; n++) {
      struct warn *w = warn_new("x", true);
      warn_resume(w, 7, bad[i], n);
      feed(&w, "x", true, 0, "x\n", 2, false);
      assert_true(warn_count_at_end(w) >= 7);
      warn_free(w);
    }
}

/* A pattern that has many states, and output without end: memory stays as it is. Each line is another one, so that no state comes twice. */
static void a_pattern_with_many_states(void **state)
{
  const char *pattern = "(a|b)*a(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)c";
  struct warn *w = warn_new(pattern, false);
  unsigned seed = 1;
  char line[1001];

  (void)state;
  for (int i = 0; i < 200; i++) {
    for (int k = 0; k < 1000; k++)
      line[k] = "ab"[rand_r(&seed) & 1];
    line[1000] = '\n';
    feed(&w, pattern, false, 0, line, sizeof line, false);
  }
  assert_int_equal(warn_count_at_end(w), 0);
  warn_free(w);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_counts), cmocka_unit_test(only_the_beginning_of_a_line), cmocka_unit_test(channels_have_lines_of_their_own), cmocka_unit_test(however_it_is_cut),
    cmocka_unit_test(what_is_kept_may_be_anything), cmocka_unit_test(a_pattern_with_many_states),
  };

  return cmocka_run_group_tests_name("warn", tests, NULL, NULL) ? 1 : 0;
}
