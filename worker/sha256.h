/* SHA-256 of files, with the processor's own instructions where it has them: a file is to be hashed faster than it is sent. */
#ifndef WORKER_SHA256_H
#define WORKER_SHA256_H
#include <stddef.h>
#include <stdint.h>

#define SHA256_HEX_LEN 64

struct sha256 {
  uint32_t h[8];
  uint64_t total;          /* bytes so far */
  unsigned char part[64];  /* the block that is not full yet */
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t n);
/* Ends it: lower-case hex digits and NUL. */
void sha256_end(struct sha256 *s, char hex[SHA256_HEX_LEN + 1]);
/* For tests: never the processor's own instructions. */
void sha256_plainly(void);
#endif
