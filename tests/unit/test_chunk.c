/* Log chunks: each inflates alone, all of them end to end are one gzip file; whatever is wrong with a chunk is found. */
#include "proto/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

enum { LOG_LEN = 300000 };

static unsigned seed = 7;

static unsigned rnd(void)
{
  seed = seed * 1103515245 + 12345;
  return seed >> 8 & 0xffff;
}

/* Text as a compiler prints it: it repeats itself over more than one chunk, so references to earlier chunks would pay. */
static void fill_text(char *p, size_t n)
{
  static const char *const words[] = { "gcc -O2 -c ", "src/module", ".c:12:5: ", "warning: unused\n", "note\n", "\xc3\xa4\x00" };
  for (size_t at = 0; at < n;) {
    const char *w = words[rnd() % COUNT(words)];
    size_t k = strlen(w);
    k = k < n - at ? k : n - at;
    memcpy(p + at, w, k);
    at += k;
  }
}

static void fill_random(char *p, size_t n)
{
  for (size_t i = 0; i < n; i++)
    p[i] = (char)rnd();
}

/* Inflates with a stream of its own: windowBits -15 raw, 31 gzip. */
static size_t inflate_with(int bits, const void *z, size_t zlen, void *out, size_t cap, int *rc)
{
  z_stream s;
  size_t got;

  memset(&s, 0, sizeof s);
  assert_int_equal(inflateInit2(&s, bits), Z_OK);
  s.next_in = (Bytef *)(uintptr_t)z;
  s.avail_in = (uInt)zlen;
  s.next_out = out;
  s.avail_out = (uInt)cap;
  *rc = inflate(&s, Z_SYNC_FLUSH);
  assert_int_equal(s.avail_in, 0);
  got = cap - s.avail_out;
  inflateEnd(&s);
  return got;
}

static uint32_t lines_of(const char *p, size_t n)
{
  uint32_t lines = 0;
  while (n--)
    lines += *p++ == '\n';
  return lines;
}

/* One closed chunk against the bytes it must hold, by the module's check and by zlib alone. */
static void check_chunk(struct chunk *c, const char *want)
{
  static char raw[CHUNK_RAW_MAX], again[CHUNK_RAW_MAX];
  size_t got;
  int rc;

  memset(raw, 0x55, sizeof raw);
  assert_int_equal(chunk_check(c, raw), ERR_OK);
  assert_int_equal(chunk_check(c, NULL), ERR_OK);
  assert_memory_equal(raw, want, c->raw);
  assert_int_equal(c->lines, lines_of(want, c->raw));
  assert_int_equal(c->crc, (uint32_t)crc32(0, (const Bytef *)want, c->raw));
  got = inflate_with(-15, c->blob + c->spans, c->blob_len - c->spans, again, sizeof again, &rc);
  assert_int_equal(rc, Z_OK);
  assert_int_equal(got, c->raw);
  assert_memory_equal(again, want, got);
  assert_int_equal(chunk_inflate(c->blob + c->spans, c->blob_len - c->spans, again, c->raw, &got), ERR_OK);
  assert_int_equal(got, c->raw);
  assert_memory_equal(again, want, got);
  assert_int_equal(chunk_inflate(c->blob + c->spans, c->blob_len - c->spans, again, c->raw - 1u, &got), ERR_TOOBIG);
}

/* Puts a log through the encoder in pieces of up to `piece`, closing at random; checks every chunk and the gzip file of all. */
static void whole_log(const char *log, size_t len, size_t piece)
{
  unsigned char head[CHUNK_GZIP_HEAD], tail[CHUNK_GZIP_TAIL];
  struct chunk_enc *e = chunk_enc_new();
  struct buf gz;
  uint32_t crc = 0, lines = 0;
  size_t at = 0, done = 0, got;
  char *out = malloc(len + 1);
  struct chunk c;
  int rc;

  buf_init(&gz, BUF_NO_MAX);
  chunk_gzip_head(head);
  buf_add(&gz, head, sizeof head);
  while (done < len) {
    size_t n = 1 + rnd() % piece;
    n = n < len - at ? n : len - at;
    got = n ? chunk_enc_add(e, rnd() & 1, (int64_t)(at / 1000), log + at, n) : 0;
    assert_true(got <= n);
    at += got;
    assert_int_equal(chunk_enc_len(e), at - done);
    if (got && rnd() % 50)
      continue;
    chunk_enc_close(e, &c);
    assert_int_equal(c.raw, at - done);
    c.off = (int64_t)done;
    check_chunk(&c, log + done);
    buf_add(&gz, c.blob + c.spans, c.blob_len - c.spans);
    crc = chunk_crc_join(crc, c.crc, c.raw);
    lines += c.lines;
    done = at;
  }
  assert_int_equal(crc, chunk_crc(0, log, len));
  assert_int_equal(lines, lines_of(log, len));
  chunk_gzip_tail(tail, crc, (int64_t)len);
  buf_add(&gz, tail, sizeof tail);
  got = inflate_with(31, gz.data, gz.len, out, len + 1, &rc);
  assert_int_equal(rc, Z_STREAM_END); /* zlib checked CRC and length */
  assert_int_equal(got, len);
  assert_memory_equal(out, log, len);
  free(out);
  buf_free(&gz);
  chunk_enc_free(e);
}

static void test_logs(void **state)
{
  static char log[LOG_LEN];

  (void)state;
  fill_text(log, sizeof log);
  whole_log(log, sizeof log, 60000);
  whole_log(log, sizeof log, 300);
  whole_log(log, 20000, 1);
  fill_random(log, sizeof log);
  whole_log(log, sizeof log, 65536);
  whole_log(log, 50000, 3);
  memset(log, '\n', sizeof log);
  whole_log(log, sizeof log, 65536);
  whole_log(log, 1, 1);
}

/* What repeats the chunk before must not refer to it: both chunks are the same bytes. */
static void test_independent(void **state)
{
  struct chunk_enc *e = chunk_enc_new();
  static char log[30000];
  struct chunk c;
  struct buf first;

  (void)state;
  fill_random(log, sizeof log);
  buf_init(&first, BUF_NO_MAX);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(chunk_enc_add(e, 0, 5, log, sizeof log), sizeof log);
    chunk_enc_close(e, &c);
    assert_int_equal(c.spans, 5); /* 00, b0 ea 01, 05 */
    assert_memory_equal(c.blob, "\0\xb0\xea\x01\x05", 5);
    if (!i)
      buf_add(&first, c.blob, c.blob_len);
    assert_int_equal(c.blob_len, first.len);
    assert_memory_equal(c.blob, first.data, first.len);
  }
  chunk_enc_close(e, &c); /* nothing in it */
  assert_int_equal(c.raw, 0);
  assert_int_equal(c.blob_len, 0);
  buf_free(&first);
  chunk_enc_free(e);
  e = chunk_enc_new();
  chunk_enc_close(e, &c);
  assert_int_equal(c.raw, 0);
  chunk_enc_free(e);
  chunk_enc_free(NULL);
}

static void test_spans(void **state)
{
  static const struct chunk_span want[] = { { 0, 5, 0 }, { 1, 2, 0 }, { 0, 1, 127 }, { 0, 3, 128 }, { 1, 200, INT64_MAX } };
  static char text[CHUNK_RAW_MAX];
  struct chunk_enc *e = chunk_enc_new();
  struct chunk_span s;
  struct chunk c;
  size_t at = 0, n = 0;

  (void)state;
  assert_int_equal(chunk_enc_add(e, 0, 0, "abc", 3), 3);
  assert_int_equal(chunk_enc_add(e, 0, 0, "de", 2), 2); /* same channel and time: one span */
  assert_int_equal(chunk_enc_add(e, 1, 0, "fg", 2), 2);
  assert_int_equal(chunk_enc_add(e, 0, 127, "h", 1), 1);
  assert_int_equal(chunk_enc_add(e, 0, 128, "\n\nk", 3), 3);
  assert_int_equal(chunk_enc_add(e, 1, INT64_MAX, text, 200), 200);
  chunk_enc_close(e, &c);
  assert_int_equal(c.lines, 2);
  assert_int_equal(chunk_check(&c, NULL), ERR_OK);
  for (size_t i = 0; i < COUNT(want); i++) {
    assert_int_equal(chunk_span_next(c.blob, c.spans, &at, &s), ERR_OK);
    assert_int_equal(s.channel, want[i].channel);
    assert_int_equal(s.len, want[i].len);
    assert_true(s.ms == want[i].ms);
  }
  assert_int_equal(chunk_span_next(c.blob, c.spans, &at, &s), ERR_NOTFOUND);

  /* channels that alternate by the byte fill the room for spans first; the chunk still passes */
  memset(text, 'x', sizeof text);
  fill_random(text, sizeof text);
  while (chunk_enc_add(e, (unsigned)n & 1, INT64_MAX - (int64_t)n, text + n, 1))
    n++;
  assert_true(n > 2000 && n < CHUNK_RAW_MAX);
  assert_int_equal(chunk_enc_add(e, (unsigned)(n - 1) & 1, INT64_MAX - (int64_t)(n - 1), text + n, 60000), 60000); /* same span */
  chunk_enc_close(e, &c);
  assert_int_equal(c.raw, n + 60000);
  assert_true(c.blob_len <= CHUNK_BLOB_MAX);
  check_chunk(&c, text);

  /* full by bytes */
  assert_int_equal(chunk_enc_add(e, 0, 0, text, 1), 1);
  assert_int_equal(chunk_enc_add(e, 0, 0, text + 1, CHUNK_RAW_MAX), CHUNK_RAW_MAX - 1);
  assert_int_equal(chunk_enc_add(e, 0, 0, text, 1), 0);
  chunk_enc_close(e, &c);
  check_chunk(&c, text);
  chunk_enc_free(e);
}

static void test_span_faults(void **state)
{
  static const struct { const char *p; size_t n; } rows[] = {
    { "\0", 1 },                                                /* cut short */
    { "\0\x01", 2 },
    { "\0\x80", 2 },
    { "\0\x01\x80", 3 },
    { "\0\0\x01", 3 },                                          /* of no bytes */
    { "\x80\0\x01\x01", 4 },                                    /* not the shortest form */
    { "\0\x81\0\x01", 4 },
    { "\x80\x02\x01\x01", 4 },                                  /* channel 256 */
    { "\0\x81\x80\x04\x01", 5 },                                /* 65537 bytes */
    { "\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 },   /* 2^64 - 1 ms */
    { "\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 14 },
  };
  struct chunk_span s;

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    char *p = malloc(rows[i].n); /* exact, so that a byte read too far is seen */
    size_t at = 0;
    memcpy(p, rows[i].p, rows[i].n);
    assert_int_equal(chunk_span_next(p, rows[i].n, &at, &s), ERR_CORRUPT);
    assert_int_equal(at, 0);
    free(p);
  }
}

/* A chunk made by hand: spans for n bytes, then z; CRCs right. */
static void by_hand(struct chunk *c, struct buf *b, const char *raw, size_t n, const void *z, size_t zlen)
{
  buf_reset(b);
  buf_addc(b, 0);
  buf_addc(b, (char)n); /* n < 128 */
  buf_addc(b, 1);
  buf_add(b, z, zlen);
  *c = (struct chunk){ .raw = (uint32_t)n, .lines = lines_of(raw, n), .crc = chunk_crc(0, raw, n), .spans = 3,
                       .bcrc = chunk_crc(0, b->data, b->len), .blob = b->data, .blob_len = b->len };
}

#define HAND(raw, z) by_hand(&c, &b, raw, sizeof(raw) - 1, z, sizeof(z) - 1)
#define FLUSH "\0\0\0\xff\xff"

static void test_bad_streams(void **state)
{
  struct chunk c;
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  HAND("abc", "\0\3\0\xfc\xff" "abc" FLUSH); /* stored: good */
  assert_int_equal(chunk_check(&c, NULL), ERR_OK);
  HAND("abc", "\1\3\0\xfc\xff" "abc" FLUSH); /* a last block: what follows would be lost */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abc", "\0\3\0\xfc\xff" "abc" "\1\0\0\xff\xff"); /* the flush itself is the last block */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abc", "\0\3\0\xfc\xff" "abc"); /* no flush */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abc\0\0\xff\xff", "\0\x08\0\xf7\xff" "abc\0\0\xff\xff"); /* an open stored block that looks like one */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abc", "\0\3\0\xfc\xff" "abc" FLUSH "\0\0\0\xff\xff"); /* empty blocks do no harm */
  assert_int_equal(chunk_check(&c, NULL), ERR_OK);
  HAND("abc", "\0\3\0\xfc\xff" "abc" "\0" FLUSH); /* a stored block with wrong lengths */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abc", "\0\4\0\xfb\xff" "abcd" FLUSH); /* more than raw */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abcd", "\0\3\0\xfc\xff" "abc" FLUSH); /* less */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abc", "\x02\x21\0" FLUSH); /* refers to what is before its start */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abc", "\6\3\0\xfc\xff" "abc" FLUSH); /* no such kind of block */
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  HAND("abc", FLUSH);
  assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
  buf_free(&b);
}

static void test_bad_fields(void **state)
{
  struct chunk_enc *e = chunk_enc_new();
  static char raw[CHUNK_RAW_MAX];
  struct chunk good, c;
  int accepted = 0;
  char *blob;

  (void)state;
  assert_int_equal(chunk_enc_add(e, 0, 1, "one\ntwo\nthree\n", 14), 14);
  chunk_enc_close(e, &good);
  assert_int_equal(chunk_check(&good, NULL), ERR_OK);
#define BAD(what, code) do { c = good; what; assert_int_equal(chunk_check(&c, NULL), code); } while (0)
  BAD(c.raw = CHUNK_RAW_MAX + 1, ERR_TOOBIG);
  BAD(c.blob_len = CHUNK_BLOB_MAX + 1, ERR_TOOBIG);
  BAD(c.raw = 0, ERR_CORRUPT);
  BAD(c.raw = 13, ERR_CORRUPT);
  BAD(c.raw = 15, ERR_CORRUPT);
  BAD(c.lines = 2, ERR_CORRUPT);
  BAD(c.lines = 15, ERR_CORRUPT);
  BAD(c.crc ^= 1, ERR_CORRUPT);
  BAD(c.bcrc ^= 1, ERR_CORRUPT);
  BAD(c.spans = 0, ERR_CORRUPT);
  BAD(c.spans = 2, ERR_CORRUPT);
  BAD(c.spans = (uint32_t)c.blob_len, ERR_CORRUPT);
  BAD(c.spans = (uint32_t)c.blob_len + 1, ERR_CORRUPT);
  BAD(c.off = -1, ERR_CORRUPT);
  BAD(c.off = INT64_MAX, ERR_CORRUPT);
  BAD(c.blob = NULL, ERR_CORRUPT);
  BAD((c.blob_len = 0, c.spans = 0, c.bcrc = 0), ERR_CORRUPT);

  /* every bit of the blob, with its CRC made right again: accepted only where it is the same text still (channel, time, padding) */
  blob = xmemdup(good.blob, good.blob_len);
  for (size_t i = 0; i < good.blob_len * 8; i++) {
    enum err got;
    blob[i / 8] ^= (char)(1 << i % 8);
    c = good;
    c.blob = blob;
    assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
    c.bcrc = chunk_crc(0, blob, c.blob_len);
    got = chunk_check(&c, raw);
    assert_true(got == ERR_CORRUPT || !memcmp(raw, "one\ntwo\nthree\n", 14));
    accepted += got == ERR_OK;
    blob[i / 8] ^= (char)(1 << i % 8);
  }
  assert_true(accepted < 24);
  c = good;
  for (c.blob_len = 0; c.blob_len < good.blob_len; c.blob_len++) { /* cut short */
    char *p = xmemdup(good.blob, c.blob_len);
    c.blob = p;
    c.bcrc = chunk_crc(0, p, c.blob_len);
    assert_int_equal(chunk_check(&c, NULL), ERR_CORRUPT);
    free(p);
  }
  free(blob);
  assert_int_equal(chunk_check(&good, NULL), ERR_OK); /* a failed check leaves nothing behind */
  chunk_enc_free(e);
}

static void test_inflate(void **state)
{
  char out[4];
  size_t got;

  (void)state;
  assert_int_equal(chunk_inflate("", 0, NULL, 0, &got), ERR_OK); /* nothing is a whole number of chunks */
  assert_int_equal(got, 0);
  assert_int_equal(chunk_inflate(FLUSH, 5, NULL, 0, &got), ERR_OK);
  assert_int_equal(chunk_inflate("\0\3\0\xfc\xff" "abc" FLUSH, 13, out, 4, &got), ERR_OK);
  assert_int_equal(got, 3);
  assert_int_equal(chunk_inflate("\0\3\0\xfc\xff" "abc" FLUSH, 13, out, 2, &got), ERR_TOOBIG);
  assert_int_equal(chunk_inflate("\0\3\0\xfc\xff" "ab", 7, out, 4, &got), ERR_CORRUPT);
  assert_int_equal(chunk_inflate("\3\0", 2, out, 4, &got), ERR_CORRUPT);
  assert_int_equal(chunk_inflate("\3", 1, out, 4, &got), ERR_CORRUPT); /* within a byte, and in a last block */
  assert_int_equal(chunk_inflate("\2", 1, out, 4, &got), ERR_CORRUPT);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_logs),
    cmocka_unit_test(test_independent),
    cmocka_unit_test(test_spans),
    cmocka_unit_test(test_span_faults),
    cmocka_unit_test(test_bad_streams),
    cmocka_unit_test(test_bad_fields),
    cmocka_unit_test(test_inflate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
