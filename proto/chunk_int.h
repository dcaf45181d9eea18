/* Between the two halves of chunk.h: the encoder is the worker's, the rest the master's, so that the master links no deflate. */
#ifndef PROTO_CHUNK_INT_H
#define PROTO_CHUNK_INT_H
#include <stddef.h>
#include <stdint.h>

enum {
  SPANS_MAX = 32768,     /* of one chunk; 65536 raw bytes never deflate to more than CHUNK_BLOB_MAX - SPANS_MAX */
  SPAN_MAX = 5 + 5 + 10, /* three LEB128 numbers of 32, 32 and 64 bits */
  FLUSH_LEN = 16,        /* what Z_FULL_FLUSH may add to deflateBound(): an empty stored block and its alignment */
  CHANNEL_MAX = 255,
  WINDOW_BITS = -15,
  MEM_LEVEL = 8
};
#endif
