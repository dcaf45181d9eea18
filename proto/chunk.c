/* Log chunks, the half that reads: the check on arrival, inflating, the frame of a gzip file around stored chunks. */
#include "proto/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/chunk_int.h"

/* LFs among n bytes, eight at a time: a byte of x is 0 where an LF was, and then its top bit stays clear in the sum. */
uint32_t chunk_count_lf(const void *bytes, size_t n)
{
  const unsigned char *p = bytes;
  const uint64_t ones = UINT64_C(0x0101010101010101), low = ones * 127;
  uint32_t lines = 0;

  for (; n >= 8; p += 8, n -= 8) {
    uint64_t x;
    memcpy(&x, p, 8);
    x ^= ones * '\n';
    x = ~(((x & low) + low) | x | low);
    lines += (uint32_t)(((x >> 7) * ones) >> 56);
  }
  while (n--)
    lines += *p++ == '\n';
  return lines;
}

/* An unsigned LEB128 number of at most max, in its shortest form. */
static bool leb_get(const unsigned char *p, size_t n, size_t *at, uint64_t max, uint64_t *out)
{
  uint64_t v = 0;

  for (unsigned shift = 0; *at < n && shift < 63; shift += 7) {
    unsigned char b = p[(*at)++];
    v |= (uint64_t)(b & 127) << shift;
    if (b & 128)
      continue;
    *out = v;
    return v <= max && (b || !shift);
  }
  return false;
}

enum err chunk_span_next(const void *spans, size_t n, size_t *at, struct chunk_span *s)
{
  uint64_t channel, len, ms;
  size_t i = *at;

  if (i >= n)
    return ERR_NOTFOUND;
  if (!leb_get(spans, n, &i, CHANNEL_MAX, &channel) || !leb_get(spans, n, &i, CHUNK_RAW_MAX, &len) || !len ||
      !leb_get(spans, n, &i, INT64_MAX, &ms))
    return ERR_CORRUPT;
  *s = (struct chunk_span){ (unsigned)channel, (uint32_t)len, (int64_t)ms };
  *at = i;
  return ERR_OK;
}

static enum err spans_check(const struct chunk *c)
{
  struct chunk_span s;
  uint64_t sum = 0;
  size_t at = 0;
  enum err e;

  while ((e = chunk_span_next(c->blob, c->spans, &at, &s)) == ERR_OK)
    sum += s.len;
  return e == ERR_NOTFOUND && sum == c->raw ? ERR_OK : ERR_CORRUPT;
}

static z_stream *inflater(void)
{
  static z_stream z;
  static bool ready;

  if (ready) {
    inflateReset(&z);
    return &z;
  }
  if (inflateInit2(&z, WINDOW_BITS) != Z_OK)
    abort();
  ready = true;
  return &z;
}

/* Inflates a deflate stream that must stop open, at a block's and a byte's border: the proof is that a final empty block fits there
   (as it will when the chunks are served). It has no dictionary, so a reference to an earlier chunk is an error too. */
static enum err inflate_open(const void *p, size_t n, void *out, size_t cap, size_t *got)
{
  static const unsigned char end[2] = { 3, 0 };
  unsigned char none;
  z_stream *z = inflater();
  int rc;

  *got = 0;
  if (n > UINT32_MAX || cap > UINT32_MAX)
    return ERR_TOOBIG;
  z->next_in = (Bytef *)(uintptr_t)p;
  z->avail_in = (uInt)n;
  z->next_out = cap ? out : &none;
  z->avail_out = (uInt)cap;
  rc = inflate(z, Z_SYNC_FLUSH);
  *got = cap - z->avail_out;
  if (rc != Z_OK && rc != Z_BUF_ERROR)
    return ERR_CORRUPT;
  if (z->avail_in)
    return ERR_TOOBIG; /* it stopped because out is full */
  if (z->data_type & 127) /* 64: in a last block; below: so many bits wait to be used */
    return ERR_CORRUPT;
  z->next_in = (Bytef *)(uintptr_t)end;
  z->avail_in = sizeof end;
  cap = z->avail_out;
  rc = inflate(z, Z_SYNC_FLUSH);
  return rc == Z_STREAM_END && !z->avail_in && z->avail_out == cap ? ERR_OK : ERR_CORRUPT;
}

/* What Z_FULL_FLUSH ends with: the lengths of an empty stored block. */
static bool ends_in_flush(const char *p, size_t n)
{
  return n >= 5 && !memcmp(p + n - 4, "\0\0\xff\xff", 4);
}

enum err chunk_check(const struct chunk *c, void *raw_out)
{
  static unsigned char scratch[CHUNK_RAW_MAX];
  void *raw = raw_out ? raw_out : scratch;
  const char *z;
  size_t zlen, got;

  if (c->raw > CHUNK_RAW_MAX || c->blob_len > CHUNK_BLOB_MAX)
    return ERR_TOOBIG;
  if (!c->raw || c->off < 0 || c->off > INT64_MAX - c->raw || c->lines > c->raw || !c->blob || c->spans > c->blob_len)
    return ERR_CORRUPT;
  z = c->blob + c->spans;
  zlen = c->blob_len - c->spans;
  if (!ends_in_flush(z, zlen) || chunk_crc(0, c->blob, c->blob_len) != c->bcrc || spans_check(c))
    return ERR_CORRUPT;
  if (inflate_open(z, zlen, raw, c->raw, &got) || got != c->raw)
    return ERR_CORRUPT;
  return chunk_crc(0, raw, got) == c->crc && chunk_count_lf(raw, got) == c->lines ? ERR_OK : ERR_CORRUPT;
}

enum err chunk_inflate(const void *z, size_t zlen, void *out, size_t cap, size_t *got)
{
  return inflate_open(z, zlen, out, cap, got);
}

uint32_t chunk_crc(uint32_t crc, const void *p, size_t n)
{
  return n ? (uint32_t)crc32_z(crc, p, n) : crc;
}

uint32_t chunk_crc_join(uint32_t a, uint32_t b, int64_t b_len)
{
  return (uint32_t)crc32_combine(a, b, b_len);
}

static void put_le32(unsigned char *out, uint32_t v)
{
  for (int i = 0; i < 4; i++)
    out[i] = (unsigned char)(v >> 8 * i);
}

void chunk_gzip_head(unsigned char out[CHUNK_GZIP_HEAD])
{
  /* magic, deflate, no flags, no time, fastest level, unknown system */
  static const unsigned char head[CHUNK_GZIP_HEAD] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255 };
  memcpy(out, head, sizeof head);
}

void chunk_gzip_tail(unsigned char out[CHUNK_GZIP_TAIL], uint32_t crc, int64_t len)
{
  out[0] = 3; /* a final block of fixed codes: end of block at once */
  out[1] = 0;
  put_le32(out + 2, crc);
  put_le32(out + 6, (uint32_t)(uint64_t)len);
}
