/* Log chunks, the worker's half: collect bytes with their spans, deflate them once. */
#include "proto/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/chunk_int.h"

struct chunk_enc {
  unsigned char *raw; /* CHUNK_RAW_MAX bytes, made by the first add */
  size_t len;
  struct buf spans;
  struct chunk_span open; /* the last span, not written yet; len 0: none */
  z_stream *z;            /* made by the first close */
  unsigned char *blob;    /* SPANS_MAX bytes for spans, then room bytes */
  size_t room;
};

struct chunk_enc *chunk_enc_new(void)
{
  struct chunk_enc *e = xcalloc(1, sizeof *e);
  buf_init(&e->spans, SPANS_MAX);
  return e;
}

void chunk_enc_free(struct chunk_enc *e)
{
  if (!e)
    return;
  if (e->z)
    deflateEnd(e->z);
  free(e->z);
  free(e->blob);
  free(e->raw);
  buf_free(&e->spans);
  free(e);
}

static void leb_put(struct buf *b, uint64_t v)
{
  for (; v > 127; v >>= 7)
    buf_addc(b, (char)(v | 128));
  buf_addc(b, (char)v);
}

static void span_end(struct chunk_enc *e)
{
  if (!e->open.len)
    return;
  leb_put(&e->spans, e->open.channel);
  leb_put(&e->spans, e->open.len);
  leb_put(&e->spans, (uint64_t)e->open.ms);
  e->open.len = 0;
}

size_t chunk_enc_add(struct chunk_enc *e, unsigned channel, int64_t ms, const void *p, size_t n)
{
  bool same = e->open.len && e->open.channel == channel && e->open.ms == ms;

  assert(channel <= CHANNEL_MAX && ms >= 0);
  if (n > CHUNK_RAW_MAX - e->len)
    n = CHUNK_RAW_MAX - e->len;
  if (!n || (!same && e->spans.len + 2 * SPAN_MAX > SPANS_MAX)) /* the open one has to fit as well */
    return 0;
  if (!e->raw)
    e->raw = xmalloc(CHUNK_RAW_MAX);
  memcpy(e->raw + e->len, p, n);
  e->len += n;
  if (!same) {
    span_end(e);
    e->open = (struct chunk_span){ channel, 0, ms };
  }
  e->open.len += (uint32_t)n;
  return n;
}

size_t chunk_enc_len(const struct chunk_enc *e) { return e->len; }

static void deflate_prepare(struct chunk_enc *e)
{
  if (e->z) {
    deflateReset(e->z);
    return;
  }
  e->z = xcalloc(1, sizeof *e->z);
  if (deflateInit2(e->z, CHUNK_LEVEL, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
    abort(); /* out of memory: fatal as everywhere */
  e->room = deflateBound(e->z, CHUNK_RAW_MAX) + FLUSH_LEN;
  assert(SPANS_MAX + e->room <= CHUNK_BLOB_MAX);
  e->blob = xmalloc(SPANS_MAX + e->room);
}

void chunk_enc_close(struct chunk_enc *e, struct chunk *c)
{
  int rc;

  memset(c, 0, sizeof *c);
  if (!e->len)
    return;
  span_end(e);
  assert(!e->spans.failed);
  deflate_prepare(e);
  memcpy(e->blob, e->spans.data, e->spans.len);
  e->z->next_in = e->raw;
  e->z->avail_in = (uInt)e->len;
  e->z->next_out = e->blob + e->spans.len;
  e->z->avail_out = (uInt)e->room;
  rc = deflate(e->z, Z_FULL_FLUSH);
  assert(rc == Z_OK && !e->z->avail_in && e->z->avail_out);
  c->raw = (uint32_t)e->len;
  c->lines = chunk_count_lf(e->raw, e->len);
  c->crc = chunk_crc(0, e->raw, e->len);
  c->spans = (uint32_t)e->spans.len;
  c->blob = (const char *)e->blob;
  c->blob_len = e->spans.len + e->room - e->z->avail_out;
  c->bcrc = chunk_crc(0, c->blob, c->blob_len);
  e->len = 0;
  buf_reset(&e->spans);
}
