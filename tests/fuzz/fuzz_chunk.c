/* Arbitrary chunks into the check, and arbitrary output through the encoder: what passes the check is sound when it is served. */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <zlib.h>

#include "proto/chunk.h"

/* The deflate part between gzip's head and tail, twice: a stream of zlib's own must find the text twice. */
static void serve_twice(const struct chunk *c, const char *raw)
{
  static char out[2 * CHUNK_RAW_MAX + 1];
  unsigned char head[CHUNK_GZIP_HEAD], tail[CHUNK_GZIP_TAIL];
  struct buf gz;
  z_stream z;

  buf_init(&gz, BUF_NO_MAX);
  chunk_gzip_head(head);
  chunk_gzip_tail(tail, chunk_crc_join(c->crc, c->crc, c->raw), 2 * (int64_t)c->raw);
  buf_add(&gz, head, sizeof head);
  buf_add(&gz, c->blob + c->spans, c->blob_len - c->spans);
  buf_add(&gz, c->blob + c->spans, c->blob_len - c->spans);
  buf_add(&gz, tail, sizeof tail);
  memset(&z, 0, sizeof z);
  must(inflateInit2(&z, 31) == Z_OK);
  z.next_in = (Bytef *)gz.data;
  z.avail_in = (uInt)gz.len;
  z.next_out = (Bytef *)out;
  z.avail_out = sizeof out;
  must(inflate(&z, Z_FINISH) == Z_STREAM_END && !z.avail_in && z.total_out == 2 * (uLong)c->raw);
  must(!memcmp(out, raw, c->raw) && !memcmp(out + c->raw, raw, c->raw));
  inflateEnd(&z);
  buf_free(&gz);
}

static void check(struct chunk *c)
{
  static char raw[CHUNK_RAW_MAX];
  struct chunk_span s;
  size_t at = 0, sum = 0;
  enum err e;

  e = chunk_check(c, raw);
  must(e == chunk_check(c, NULL));
  if (e)
    return;
  while ((e = chunk_span_next(c->blob, c->spans, &at, &s)) == ERR_OK)
    sum += s.len;
  must(e == ERR_NOTFOUND && sum == c->raw);
  serve_twice(c, raw);
}

/* As it comes from a worker: numbers, then the blob. Checksums and counts are made right where they can be, or nothing would pass. */
static void decode(const uint8_t *p, size_t n)
{
  static char raw[CHUNK_RAW_MAX];
  struct chunk c = { 0 };
  char *blob;
  size_t got;

  if (n < 4)
    return;
  c.raw = (uint32_t)(p[0] | p[1] << 8) + (p[2] & 1);
  c.spans = p[3];
  p += 4;
  n -= 4;
  blob = xmemdup(p, n); /* exact, so that a byte read too far is seen */
  c.blob = blob;
  c.blob_len = n;
  check(&c);
  c.bcrc = chunk_crc(0, blob, n);
  check(&c);
  if (c.spans <= n && !chunk_inflate(blob + c.spans, n - c.spans, raw, sizeof raw, &got)) {
    c.raw = (uint32_t)got;
    c.crc = chunk_crc(0, raw, got);
    for (size_t i = 0; i < got; i++)
      c.lines += raw[i] == '\n';
    check(&c);
  }
  free(blob);
}

/* The bytes as output in pieces: (length, channel and time) before each. */
static void encode(const uint8_t *p, size_t n)
{
  struct chunk_enc *e = chunk_enc_new();
  static char raw[CHUNK_RAW_MAX];
  struct chunk c;
  size_t len = 0;
  int64_t ms = 0;

  while (n > 2) {
    size_t k = p[0] < n - 2 ? p[0] : n - 2, took;
    ms += p[1] >> 1;
    took = chunk_enc_add(e, p[1] & 1, ms, p + 2, k);
    memcpy(raw + len, p + 2, took);
    len += took;
    must(chunk_enc_len(e) == len);
    p += 2 + took;
    n -= 2 + took;
    if (took && p[-1] != 0xff)
      continue;
    chunk_enc_close(e, &c);
    must(c.raw == len);
    if (len) {
      must(chunk_check(&c, NULL) == ERR_OK);
      serve_twice(&c, raw);
    }
    len = 0;
  }
  chunk_enc_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  if (n < 1)
    return 0;
  if (*p & 1)
    encode(p + 1, n - 1);
  else
    decode(p + 1, n - 1);
  return 0;
}
