/* Log chunks (docs/protocol.md 4, docs/design.md on logs): deflated once on the worker, stored as they came, served by putting them end to end. */
#ifndef PROTO_CHUNK_H
#define PROTO_CHUNK_H
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#ifndef CHUNK_RAW_MAX /* a worker may be built to make smaller ones, as the simulation's is */
#define CHUNK_RAW_MAX 65536
#endif
#define CHUNK_BLOB_MAX 131072
#define CHUNK_LEVEL 1

/* Worker's side: one encoder a stream. Collects bytes with their spans; the caller decides when to close. */
struct chunk_enc;
struct chunk_enc *chunk_enc_new(void) must_check;
void chunk_enc_free(struct chunk_enc *e);
/* Takes at most what fits into the chunk; returns how much it took (0: full, close it; also when its spans are
   many). channel at most 255; ms, not negative: since the command's start. */
size_t chunk_enc_add(struct chunk_enc *e, unsigned channel, int64_t ms, const void *p, size_t n);
size_t chunk_enc_len(const struct chunk_enc *e); /* raw bytes in it */

struct chunk {
  int64_t off;          /* of its first byte in the stream */
  uint32_t raw, lines;  /* bytes before deflating; LFs among them */
  uint32_t crc;         /* CRC-32 of the raw bytes */
  uint32_t spans;       /* bytes of spans at the front of the blob */
  uint32_t bcrc;        /* CRC-32 of the blob */
  const char *blob;     /* spans, then deflate bytes ended by a full flush */
  size_t blob_len;
};
/* Closes the chunk; c->blob is the encoder's, until the next add. c->off is left to the caller. Allocates its deflate state lazily.
   c->raw 0: nothing was in it, and there is nothing to send. */
void chunk_enc_close(struct chunk_enc *e, struct chunk *c);

/* Master's side: checks everything about a chunk (sizes before inflating; bcrc; inflates to exactly raw bytes, no more, no rest; crc; lines;
   spans cover it exactly). raw_out: NULL or CHUNK_RAW_MAX bytes. ERR_CORRUPT or ERR_TOOBIG. Uses one static inflate state: one thread only. */
enum err chunk_check(const struct chunk *c, void *raw_out) must_check;

/* Inflates a stored deflate part (no spans) into out (cap bytes): for readers that want identity. */
enum err chunk_inflate(const void *z, size_t zlen, void *out, size_t cap, size_t *got) must_check;

struct chunk_span {
  unsigned channel;
  uint32_t len;
  int64_t ms;
};
/* Walk over spans: *at starts at 0; ERR_NOTFOUND at the end. */
enum err chunk_span_next(const void *spans, size_t n, size_t *at, struct chunk_span *s) must_check;

uint32_t chunk_crc(uint32_t crc, const void *p, size_t n);                 /* start with 0 */
uint32_t chunk_count_lf(const void *bytes, size_t n); /* line feeds */
uint32_t chunk_crc_join(uint32_t a, uint32_t b, int64_t b_len);            /* CRC of A then B */

/* A gzip file of a log is chunk_gzip_head, the deflate parts end to end, chunk_gzip_tail(crc, length). */
#define CHUNK_GZIP_HEAD 10
#define CHUNK_GZIP_TAIL 10 /* a final empty block (2 bytes), CRC-32, length mod 2^32 */
void chunk_gzip_head(unsigned char out[CHUNK_GZIP_HEAD]);
void chunk_gzip_tail(unsigned char out[CHUNK_GZIP_TAIL], uint32_t crc, int64_t len);
#endif
