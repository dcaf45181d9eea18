/* Head, marker and tail: outputs of many lengths and line lengths, read in pieces, kept aside in chunks of any size, against what the whole output says. */
#include "worker/cut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "proto/chunk.h"

/* What output.c makes of it, in memory. */
struct kept {
  struct buf log, tail;
  int64_t left_bytes, left_lines;
  bool marked;
};

static const char *const words = "the quick brown fox jumps over the lazy dog; ";

/* n bytes with a line feed at each line_th place; 0: none. */
static char *text(size_t n, size_t line)
{
  char *p = xmalloc(n + 1);

  for (size_t i = 0; i < n; i++)
    p[i] = line && i % line == line - 1 ? '\n' : words[i % strlen(words)];
  p[n] = 0;
  return p;
}

static void feed(struct cut *c, struct kept *k, const char *p, size_t n, size_t piece)
{
  for (size_t at = 0, took; at < n; at += took) {
    size_t most = n - at < piece ? n - at : piece, head = cut_head(c, p + at, most);
    assert_true(head <= most && (head > 0 || cut_full(c)));
    took = head ? head : most;
    buf_add(head ? &k->log : &k->tail, p + at, took);
    cut_took(c, p + at, took);
    if (cut_over(c) && !k->marked) {
      char marker[CUT_MARKER_MAX];
      size_t len = cut_marker(c, marker);
      buf_add(&k->log, marker, len);
      k->marked = true;
    }
  }
}

/* The tail lies in chunks of so many bytes. */
static void end(const struct cut *c, struct kept *k, size_t chunk)
{
  int64_t bytes = 0, lines = 0, skip_bytes = (int64_t)k->tail.len - cut_tail_bytes(c), skip_lines = chunk_count_lf(k->tail.data, k->tail.len) - cut_tail_lines(c);
  bool begins = !c->mid_line;
  char marker[CUT_MARKER_MAX];
  size_t skip = 0, len;

  if (!k->marked) {
    buf_add(&k->log, k->tail.data, k->tail.len);
    return;
  }
  for (size_t at = 0; at < k->tail.len; at += chunk) {
    size_t n = k->tail.len - at < chunk ? k->tail.len - at : chunk;
    uint32_t lf = chunk_count_lf(k->tail.data + at, n);
    if (skip_bytes - bytes <= (int64_t)n && skip_lines - lines <= (int64_t)lf) {
      skip = cut_skip(k->tail.data + at, n, skip_bytes - bytes, skip_lines - lines, begins);
      assert_true(skip <= n);
      if (skip < n)
        break;
      begins = k->tail.data[at + n - 1] == '\n';
    }
    bytes += (int64_t)n;
    lines += lf;
  }
  k->left_bytes = bytes + (int64_t)skip;
  k->left_lines = chunk_count_lf(k->tail.data, (size_t)k->left_bytes);
  len = cut_marker_end(k->left_bytes, k->left_lines, marker);
  buf_add(&k->log, marker, len);
  buf_add(&k->log, k->tail.data + k->left_bytes, k->tail.len - (size_t)k->left_bytes);
}

static void check(const char *out, size_t n, int64_t bytes_max, int64_t lines_max, size_t piece, size_t chunk)
{
  int64_t lf = chunk_count_lf(out, n), head_most = bytes_max ? bytes_max / 2 : INT64_MAX, lines_most = lines_max ? lines_max / 2 : INT64_MAX;
  bool over = (bytes_max && (int64_t)n > bytes_max) || (lines_max && lf > lines_max);
  struct kept k = { .left_bytes = 0 };
  size_t head = 0, tail, kept;
  char *marker, *at;
  struct cut c;

  buf_init(&k.log, BUF_NO_MAX);
  buf_init(&k.tail, BUF_NO_MAX);
  cut_init(&c, bytes_max, lines_max);
  feed(&c, &k, out, n, piece);
  end(&c, &k, chunk);
  assert_int_equal(k.marked, over);
  if (!over) {
    assert_int_equal(k.log.len, n);
    assert_memory_equal(k.log.data, out, n);
  } else {
    for (int64_t lines = 0; head < n && (int64_t)head < head_most && lines < lines_most; head++)
      lines += out[head] == '\n';
    tail = n - head - (size_t)k.left_bytes;
    marker = xasprintf("%sdrover: the output is over its limit of ", head && out[head - 1] != '\n' ? "\n" : "");
    assert_memory_equal(k.log.data, out, head);
    assert_memory_equal(k.log.data + head, marker, strlen(marker));
    assert_memory_equal(k.log.data + k.log.len - tail, out + n - tail, tail);
    assert_int_equal(k.left_lines, chunk_count_lf(out + head, (size_t)k.left_bytes));
    free(marker);
    marker = xasprintf("(left out here: %lld bytes, %lld lines)\n", (long long)k.left_bytes, (long long)k.left_lines);
    at = k.log.data + k.log.len - tail - strlen(marker);
    assert_memory_equal(at, marker, strlen(marker));
    free(marker);
    kept = k.log.len;
    assert_true(k.left_bytes > 0 && tail > 0);
    assert_true(!bytes_max || (int64_t)kept <= bytes_max);
    assert_true(!lines_max || (int64_t)chunk_count_lf(k.log.data, kept) <= lines_max);
    assert_int_equal(memchr(k.log.data + head + 1, '\n', kept - tail - head - 1) != NULL, true); /* one line, which ends */
    assert_ptr_equal(memchr(k.log.data + head + 1, '\n', kept - head - 1), k.log.data + kept - tail - 1);
    if (!lines_max) /* no more is left out than must be, but to begin with a line */
      assert_true((int64_t)tail + CUT_ALIGN_MAX >= bytes_max - (int64_t)head - CUT_MARKER_MAX);
    if (!bytes_max)
      assert_int_equal(chunk_count_lf(out + n - tail, tail), lines_max - lines_max / 2 - CUT_MARKER_LINES);
  }
  buf_free(&k.log);
  buf_free(&k.tail);
}

static void test_enumerated(void **state)
{
  static const size_t around[] = { 0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 4098, 6200, 10000, 20011 }, line[] = { 0, 1, 2, 7, 80, 2048, 4097, 5000 }, piece[] = { 1, 100, 65536 }, chunk[] = { 1, 61, 1000, 65536 };
  static const int64_t bytes[] = { 0, 4096, 4097, 10000 }, lines[] = { 0, 16, 17, 300 };

  (void)state;
  for (size_t a = 0; a < COUNT(around); a++)
    for (size_t l = 0; l < COUNT(line); l++) {
      char *out = text(around[a], line[l]);
      for (size_t b = 0; b < COUNT(bytes); b++)
        for (size_t m = 0; m < COUNT(lines); m++)
          for (size_t p = 0; p < COUNT(piece); p++)
            for (size_t c = 0; c < COUNT(chunk); c++)
              if ((bytes[b] || lines[m]) && (piece[p] > 1 || chunk[c] == 1000))
                check(out, around[a], bytes[b], lines[m], piece[p], chunk[c]);
      free(out);
    }
}

static void test_at_the_limit_of_lines(void **state)
{
  (void)state;
  for (size_t n = 15; n < 40; n++) {
    char *out = text(n * 3, 3);
    check(out, n * 3, 0, 16, 5, 4);
    check(out, n * 3 - 1, 0, 16, 5, 4); /* the last one has no end */
    check(out, n * 3, 4096, 16, 1, 1);
    free(out);
  }
}

/* The tail begins with a line where one begins soon, wherever chunks end. */
static void test_begins_with_a_line(void **state)
{
  (void)state;
  assert_int_equal(cut_skip("abc\ndef\n", 8, 0, 0, true), 0);
  assert_int_equal(cut_skip("abc\ndef\n", 8, 0, 0, false), 4);
  assert_int_equal(cut_skip("abc\ndef\n", 8, 2, 0, true), 4);
  assert_int_equal(cut_skip("abc\ndef\n", 8, 4, 0, true), 4);
  assert_int_equal(cut_skip("abc\ndef\n", 8, 5, 0, true), 5); /* behind the line feed this chunk ends */
  assert_int_equal(cut_skip("abc\ndef\n", 8, 8, 0, true), 8);
  assert_int_equal(cut_skip("abc\ndef\n", 8, 0, 1, true), 4);
  assert_int_equal(cut_skip("abc\ndef\n", 8, 6, 1, true), 6);
  assert_int_equal(cut_skip("abc\ndef\n", 8, 1, 2, true), 8);
  assert_int_equal(cut_skip("abcdefgh", 8, 3, 0, true), 3);
  assert_int_equal(cut_skip("abc\ndef\n", 8, -5, -1, true), 0);
}

/* Without limits everything is head, and numbers at the edge of the type do no harm. */
static void test_no_limits(void **state)
{
  char marker[CUT_MARKER_MAX];
  struct cut c;

  (void)state;
  cut_init(&c, 0, 0);
  c.bytes = c.head_bytes = INT64_MAX / 4;
  c.lines = c.head_lines = INT64_MAX / 4;
  assert_int_equal(cut_head(&c, "a\nb", 3), 3);
  assert_false(cut_full(&c) || cut_over(&c));
  assert_true(cut_tail_bytes(&c) == INT64_MAX && cut_tail_lines(&c) == INT64_MAX);
  cut_init(&c, INT64_MAX - 1, INT64_MAX - 1);
  c.bytes = INT64_MAX;
  c.mid_line = true;
  assert_true(cut_marker(&c, marker) + cut_marker_end(INT64_MAX, INT64_MAX, marker) < CUT_MARKER_MAX);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_enumerated),
    cmocka_unit_test(test_at_the_limit_of_lines),
    cmocka_unit_test(test_begins_with_a_line),
    cmocka_unit_test(test_no_limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
