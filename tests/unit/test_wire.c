/* The wire: every verb there and back, whole and byte by byte; what is malformed, too big or unknown; memory. */
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char zeros[WIRE_SKIP_MAX + 2];

static struct wire_reader *reader(enum wire_from from, bool trusted)
{
  struct wire_reader *r = wire_reader_new(from);
  if (trusted)
    wire_reader_trust(r);
  return r;
}

/* One message as text: "verb tok tok +N:blob". */
static void describe(struct buf *out, const struct wire_msg *m)
{
  buf_adds(out, wire_verbs[m->verb].name);
  for (int i = 0; i < m->ntok; i++)
    buf_addf(out, " %s", m->tok[i]);
  if (m->blob) {
    buf_addf(out, " +%zu:", m->blob_len);
    buf_add(out, m->blob, m->blob_len);
    assert_true(m->blob[m->blob_len] == '\n' || !m->blob[m->blob_len]);
  }
  buf_addc(out, '\n');
}

/* What a reader says to the bytes, given in pieces: messages, "?word" for unknown ones, "!tag word" at a failure. */
static void transcript(struct buf *out, enum wire_from from, bool trusted, const char *p, size_t n, size_t piece)
{
  struct wire_reader *r = reader(from, trusted);
  struct wire_msg m;
  enum err e = ERR_AGAIN;

  for (size_t at = 0; at < n && (e == ERR_AGAIN); at += piece) {
    wire_feed(r, p + at, n - at < piece ? n - at : piece);
    while ((e = wire_next(r, &m)) == ERR_OK || e == ERR_UNKNOWN) {
      if (e == ERR_OK)
        describe(out, &m);
      else
        buf_addf(out, "?%s\n", wire_reader_word(r));
    }
  }
  if (e != ERR_AGAIN) {
    buf_addf(out, "!%s %s\n", err_text(e), wire_reader_word(r));
    assert_true(strlen(wire_reader_word(r)) > 0);
    assert_int_equal(wire_next(r, &m), e); /* for good */
    wire_feed(r, "bye x\n", 6);
    assert_int_equal(wire_next(r, &m), e);
  }
  wire_reader_free(r);
}

/* The transcript is the same however the bytes come in. */
static void expect(enum wire_from from, bool trusted, const char *p, size_t n, const char *want)
{
  static const size_t pieces[] = { 1, 2, 3, 7, 64, 1000, 65536, SIZE_MAX / 2 };

  for (size_t i = 0; i < COUNT(pieces); i++) {
    struct buf got;
    buf_init(&got, BUF_NO_MAX);
    transcript(&got, from, trusted, p, n, pieces[i]);
    assert_string_equal(buf_str(&got), want);
    buf_free(&got);
  }
}

static void expects(enum wire_from from, const char *text, const char *want)
{
  expect(from, true, text, strlen(text), want);
}

static void test_table(void **state)
{
  (void)state;
  for (int v = 0; v < VERB_COUNT; v++) {
    const struct wire_verb *w = &wire_verbs[v];
    int words = *w->names != 0;
    for (const char *s = w->names; *s; s++)
      words += *s == ' ';
    assert_int_equal(w->tokens, words);
    assert_true(w->tokens < WIRE_TOKENS_MAX);
    assert_true(w->from >= WIRE_WORKER && w->from <= WIRE_BOTH);
    assert_true(w->blob_max >= -1 && w->blob_max <= (int64_t)WIRE_SKIP_MAX);
  }
  assert_int_equal(wire_verbs[VERB_exit].tokens, 12);
  assert_int_equal(wire_verbs[VERB_inventory].tokens, 0);
}

static void test_every_verb(void **state)
{
  static const char *const t[12] = { "a", "1-2", "c/d", "e:f", "+g", "h=i", "j@k", "l,m", "n-o", "p.q", "r_s", "-" };
  struct buf wire, want;

  (void)state;
  buf_init(&wire, BUF_NO_MAX);
  buf_init(&want, BUF_NO_MAX);
  for (int v = 0; v < VERB_COUNT; v++)
    for (int with = 0; with <= (wire_verbs[v].blob_max >= 0); with++) {
      char kinds[13] = "ssssssssssss";
      int n = wire_verbs[v].tokens;
      if (n == 5 && !with)
        continue; /* its last token would be "+g" */
      kinds[n] = 0;
      buf_reset(&wire);
      buf_reset(&want);
      if (with)
        wire_put_blob(&wire, (enum verb)v, "x\ny +3\n", 7, kinds, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9],
                      t[10], t[11]);
      else
        wire_put(&wire, (enum verb)v, kinds, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11]);
      assert_false(wire.failed);
      buf_adds(&want, wire_verbs[v].name);
      for (int i = 0; i < n; i++)
        buf_addf(&want, " %s", t[i]);
      buf_adds(&want, with ? " +7:x\ny +3\n\n" : "\n");
      expect(wire_verbs[v].from, true, wire.data, wire.len, want.data);
      if (wire_verbs[v].from != WIRE_BOTH) {
        buf_reset(&want);
        buf_addf(&want, "?%s\n", wire_verbs[v].name);
        expect((enum wire_from)(WIRE_BOTH & ~wire_verbs[v].from), true, wire.data, wire.len, want.data);
      }
    }
  buf_free(&wire);
  buf_free(&want);
}

static void test_getters(void **state)
{
  struct wire_reader *r = reader(WIRE_WORKER, true);
  struct id cmd = { 3, 44 }, got;
  struct wire_msg m;
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  wire_put_blob(&b, VERB_out, "", (size_t)0, "isnnncnc", &cmd, "0", INT64_MAX, (int64_t)65536, (int64_t)0, 0xdeadbeefu,
                (int64_t)12, 7u);
  assert_string_equal(b.data, "out 3-44 0 9223372036854775807 65536 0 deadbeef 12 00000007 +0\n\n");
  wire_feed(r, b.data, b.len);
  assert_int_equal(wire_next(r, &m), ERR_OK);
  assert_int_equal(m.verb, VERB_out);
  got = wire_id(&m, 0);
  assert_int_equal(str_id_cmp(got, cmd), 0);
  assert_true(wire_num(&m, 2) == INT64_MAX);
  assert_int_equal(wire_crc(&m, 5), 0xdeadbeefu);
  assert_int_equal(wire_crc(&m, 7), 7);
  assert_string_equal(wire_str(&m, 1), "0");
  assert_non_null(m.blob);
  assert_int_equal(m.blob_len, 0);
  assert_false(m.bad);
  assert_int_equal(wire_num(&m, 0), 0);
  assert_true(m.bad);
  m.bad = false;
  got = wire_id(&m, 1);
  assert_true(m.bad && !got.inc && !got.n);
  m.bad = false;
  assert_int_equal(wire_crc(&m, 6), 0);
  assert_true(m.bad);
  wire_num(&m, 6); /* sticky */
  assert_true(m.bad);
  assert_int_equal(wire_next(r, &m), ERR_AGAIN);
  buf_free(&b);
  wire_reader_free(r);
}

static void test_malformed(void **state)
{
  static const struct { const char *text, *want; } rows[] = {
    { "\n", "!not well-formed a line without a verb\n" },
    { " ping 1\n", "!not well-formed a line without a verb\n" },
    { "Ping 1\n", "!not well-formed a line without a verb\n" },
    { "ping1\n", "!not well-formed a line without a verb\n" },
    { "ping\t1\n", "!not well-formed a line without a verb\n" },
    { "+3\nabc\n", "!not well-formed a line without a verb\n" },
    { "abcdefghijklmnopq\n", "!not well-formed a line without a verb\n" },
    { "ping 1\r\n", "!not well-formed ping: token 1 is not well-formed\n" },
    { "ping  1\n", "!not well-formed ping: token 1 is not well-formed\n" },
    { "ping 1 \n", "!not well-formed ping: token 2 is not well-formed\n" },
    { "ping \n", "!not well-formed ping: token 1 is not well-formed\n" },
    { "ping a\"b\n", "!not well-formed ping: token 1 is not well-formed\n" },
    { "ping \xc3\xa4\n", "!not well-formed ping: token 1 is not well-formed\n" },
    { "ping\n", "!not well-formed ping: 0 tokens instead of 1\n" },
    { "ping 1 2\n", "!not well-formed ping: 2 tokens instead of 1\n" },
    { "ping 1 +3\nabc\n", "!larger than the limit ping: a blob of 3 bytes\n" },
    { "ping 1 +0\n\n", "!larger than the limit ping: a blob of 0 bytes\n" },
    { "done 1 ok +\n", "!not well-formed done: not the size of a blob\n" },
    { "done 1 ok +01\n", "!not well-formed done: not the size of a blob\n" },
    { "done 1 ok +1x\n", "!not well-formed done: not the size of a blob\n" },
    { "done 1 ok +-1\n", "!not well-formed done: not the size of a blob\n" },
    { "done 1 ok +9223372036854775808\n", "!not well-formed done: not the size of a blob\n" },
    { "done 1 ok +9223372036854775807\n", "!larger than the limit done: a blob of 9223372036854775807 bytes\n" },
    { "done 1 ok +65537\n", "!larger than the limit done: a blob of 65537 bytes\n" },
    { "done 1 ok +3\nabcd\n", "!not well-formed done: no line feed after the blob\n" },
    { "frob +3\nabcd\n", "!not well-formed no line feed after the blob of an unknown verb\n" },
    { "frob +16777217\n", "!larger than the limit frob: a blob of 16777217 bytes\n" },
    { "frob a b\tc\n", "!not well-formed frob: token 2 is not well-formed\n" },
    { "ping 1\nping 2\nfrob\nfrob x +2\n\n\n\npong 3\n", "ping 1\nping 2\n?frob\n?frob\npong 3\n" },
    { "frob +2 x\nping 1\n", "?frob\nping 1\n" }, /* only the last token is a size */
    { "frob 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\nping 1\n", "?frob\nping 1\n" },
    { "frob 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", "!not well-formed frob: more than 16 tokens\n" },
    { "pin", "" },
    { "ping 1", "" },
    { "done 1 ok +5\nabcde", "" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++)
    expects(WIRE_WORKER, rows[i].text, rows[i].want);
  expect(WIRE_WORKER, true, "ping \0\n", 7, "!not well-formed ping: token 1 is not well-formed\n");
  expect(WIRE_WORKER, true, "done 1 ok +3\nabc\0", 17, "!not well-formed done: no line feed after the blob\n");
  expect(WIRE_WORKER, true, "done 1 ok +0\n\nping 9\n", 21, "done 1 ok +0:\nping 9\n");
}

static void test_lengths(void **state)
{
  char line[WIRE_LINE_MAX + 2];
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  for (size_t n = WIRE_TOKEN_MAX; n <= WIRE_TOKEN_MAX + 1; n++) {
    buf_reset(&b);
    buf_adds(&b, "frob ");
    for (size_t i = 0; i < n; i++)
      buf_addc(&b, 'x');
    buf_addc(&b, '\n');
    expect(WIRE_WORKER, true, b.data, b.len,
           n == WIRE_TOKEN_MAX ? "?frob\n" : "!not well-formed frob: token 1 is not well-formed\n");
  }
  buf_free(&b);

  /* "frobs" and 15 tokens of 255 and one of 250 are 4096 with the LF; one more is too long */
  memset(line, 'x', sizeof line);
  memcpy(line, "frobs", 5);
  for (size_t i = 5; i < WIRE_LINE_MAX - 1; i += 256)
    line[i] = ' ';
  line[WIRE_LINE_MAX - 1] = '\n';
  expect(WIRE_WORKER, true, line, WIRE_LINE_MAX, "?frobs\n");
  line[WIRE_LINE_MAX - 1] = 'x';
  line[WIRE_LINE_MAX] = '\n';
  expect(WIRE_WORKER, true, line, WIRE_LINE_MAX + 1, "!larger than the limit a line that is too long\n");
  expect(WIRE_WORKER, true, zeros, WIRE_LINE_MAX - 1, "");
  expect(WIRE_WORKER, true, zeros, WIRE_LINE_MAX, "!larger than the limit a line that is too long\n");
}

static void test_skip_stores_nothing(void **state)
{
  struct wire_reader *r = reader(WIRE_WORKER, true);
  struct wire_msg m;

  (void)state;
  wire_feed(r, "frob x +16777216\n", 17);
  assert_int_equal(wire_next(r, &m), ERR_AGAIN);
  for (size_t at = 0; at < WIRE_SKIP_MAX; at += 65536) {
    wire_feed(r, zeros, 65536);
    assert_int_equal(wire_next(r, &m), ERR_AGAIN);
    assert_true(wire_reader_held(r) < 8192);
  }
  wire_feed(r, "\npong 1\n", 8);
  assert_int_equal(wire_next(r, &m), ERR_UNKNOWN);
  assert_string_equal(wire_reader_word(r), "frob");
  assert_int_equal(wire_next(r, &m), ERR_OK);
  assert_int_equal(m.verb, VERB_pong);
  wire_reader_free(r);
}

static void test_nothing_allocated_for_a_promise(void **state)
{
  struct wire_reader *r = reader(WIRE_MASTER, true);
  struct wire_msg m;

  (void)state;
  wire_feed(r, "run 1-1 1 1-1 100 +4194304\n", 27);
  assert_int_equal(wire_next(r, &m), ERR_AGAIN);
  assert_true(wire_reader_held(r) < 8192);
  wire_reader_free(r);
}

static void test_greeting_limit(void **state)
{
  struct buf b, want;
  size_t n = 16384 - strlen("hello 1 w i b 1 0-0 - +16300\n") - 1;
  struct wire_reader *r;
  struct wire_msg m;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  buf_init(&want, BUF_NO_MAX);
  wire_put_blob(&b, VERB_hello, zeros, n, "sssssss", "1", "w", "i", "b", "1", "0-0", "-");
  assert_int_equal(b.len, 16384);
  r = reader(WIRE_WORKER, false);
  wire_feed(r, b.data, b.len);
  assert_int_equal(wire_next(r, &m), ERR_OK);
  assert_int_equal(wire_next(r, &m), ERR_AGAIN);
  wire_feed(r, "ping 1\n", 7);
  assert_int_equal(wire_next(r, &m), ERR_TOOBIG);
  wire_reader_free(r);

  r = reader(WIRE_WORKER, false);
  wire_feed(r, b.data, b.len);
  assert_int_equal(wire_next(r, &m), ERR_OK);
  wire_reader_trust(r);
  wire_feed(r, "ping 1\n", 7);
  assert_int_equal(wire_next(r, &m), ERR_OK);
  wire_reader_free(r);

  /* one byte more: refused by its line, before the blob comes */
  buf_reset(&b);
  wire_put_blob(&b, VERB_hello, zeros, n + 1, "sssssss", "1", "w", "i", "b", "1", "0-0", "-");
  expect(WIRE_WORKER, false, b.data, b.len, "!larger than the limit hello: too much before the greeting is over\n");
  expect(WIRE_WORKER, false, "frob +16384\n", 12, "!larger than the limit frob: too much before the greeting is over\n");
  expect(WIRE_WORKER, false, "frob +16300\n", 12, "");

  /* who doesn't drain the reader meanwhile doesn't store without end either */
  r = reader(WIRE_WORKER, false);
  for (int i = 0; i < 1000; i++)
    wire_feed(r, zeros, 4096);
  assert_int_equal(wire_next(r, &m), ERR_TOOBIG);
  assert_true(wire_reader_held(r) < 65536);
  wire_reader_free(r);
  buf_free(&b);
  buf_free(&want);
}

static void test_big_blobs_and_memory(void **state)
{
  struct wire_reader *r = reader(WIRE_MASTER, true);
  struct wire_msg m;
  struct buf b;
  enum err e;
  int got = 0;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  wire_put_blob(&b, VERB_run, zeros, 4194304, "ssss", "1-1", "1", "1-1", "0");
  assert_false(b.failed);
  for (int round = 0; round < 3; round++)
    for (size_t at = 0; at < b.len; at += 16384) {
      wire_feed(r, b.data + at, b.len - at < 16384 ? b.len - at : 16384);
      while ((e = wire_next(r, &m)) == ERR_OK) {
        assert_int_equal(m.blob_len, 4194304);
        assert_memory_equal(m.blob, zeros, m.blob_len);
        got++;
      }
      assert_int_equal(e, ERR_AGAIN);
      assert_true(wire_reader_held(r) < 3 * 4194304);
    }
  assert_int_equal(got, 3);
  wire_feed(r, "ping 1\n", 7);
  assert_int_equal(wire_next(r, &m), ERR_OK);
  assert_true(wire_reader_held(r) < 32768); /* given back */
  buf_free(&b);
  wire_reader_free(r);
}

/* A stream of output as a busy worker sends it, cut at odd places: every blob is its own and memory stays small. */
static void test_stream(void **state)
{
  enum { MESSAGES = 300, BLOB = 20000 };
  struct wire_reader *r = reader(WIRE_WORKER, true);
  static char blob[BLOB];
  struct wire_msg m;
  struct buf b;
  int got = 0;
  unsigned seed = 1;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < MESSAGES; i++) {
    struct id id = { 1, i };
    memset(blob, i, sizeof blob);
    wire_put_blob(&b, VERB_out, blob, sizeof blob - (size_t)i, "isnnncnc", &id, "0", (int64_t)i, (int64_t)1, (int64_t)0, 0u,
                  (int64_t)3, 0u);
  }
  for (size_t at = 0; at < b.len;) {
    size_t n = (seed = seed * 1103515245 + 12345) >> 8 & 65535;
    n = n < b.len - at ? n : b.len - at;
    wire_feed(r, b.data + at, n);
    at += n;
    while (wire_next(r, &m) == ERR_OK) {
      memset(blob, got, sizeof blob);
      assert_int_equal(wire_id(&m, 0).n, got);
      assert_int_equal(m.blob_len, BLOB - got);
      assert_memory_equal(m.blob, blob, m.blob_len);
      got++;
    }
    assert_true(wire_reader_held(r) < 262144);
  }
  assert_int_equal(got, MESSAGES);
  buf_free(&b);
  wire_reader_free(r);
}

static void refuse(struct buf *b)
{
  assert_true(b->failed);
  assert_int_equal(b->len, 7);
  buf_reset(b);
  buf_adds(b, "before\n");
}

static void test_put_refuses(void **state)
{
  struct id bad = { -1, 2 };
  char text[WIRE_TOKEN_MAX + 2];
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "before\n");
  memset(text, 'x', sizeof text);
  text[WIRE_TOKEN_MAX + 1] = 0;
  wire_put(&b, VERB_bye, "s", text);
  refuse(&b);
  wire_put(&b, VERB_bye, "s", "");
  refuse(&b);
  wire_put(&b, VERB_bye, "s", "two words");
  refuse(&b);
  wire_put(&b, VERB_bye, "s", "a\nkill");
  refuse(&b);
  wire_put(&b, VERB_bye, "s", "+3");
  refuse(&b);
  wire_put(&b, VERB_ping, "n", (int64_t)-1);
  refuse(&b);
  wire_put(&b, VERB_forget, "i", &bad);
  refuse(&b);
  wire_put_blob(&b, VERB_error, zeros, 1025, "ss", "io", "-");
  refuse(&b);
  text[WIRE_TOKEN_MAX] = 0;
  wire_put(&b, VERB_bye, "s", text);
  assert_false(b.failed);
  buf_free(&b);

  buf_init(&b, 20); /* no room: all or nothing */
  buf_adds(&b, "before\n");
  wire_put_blob(&b, VERB_error, "xxx", 3, "ss", "io", "-");
  refuse(&b);
  buf_free(&b);

  assert_false(wire_is_token("", 0));
  assert_false(wire_is_token("a b", 3));
  assert_true(wire_is_token("azAZ09._:/+=@,-", 15));
  for (int c = 0; c < 256; c++) {
    char s = (char)c;
    bool want = c && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/+=@,-", c);
    assert_int_equal(wire_is_token(&s, 1), want);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_table),
    cmocka_unit_test(test_every_verb),
    cmocka_unit_test(test_getters),
    cmocka_unit_test(test_malformed),
    cmocka_unit_test(test_lengths),
    cmocka_unit_test(test_skip_stores_nothing),
    cmocka_unit_test(test_nothing_allocated_for_a_promise),
    cmocka_unit_test(test_greeting_limit),
    cmocka_unit_test(test_big_blobs_and_memory),
    cmocka_unit_test(test_stream),
    cmocka_unit_test(test_put_refuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
