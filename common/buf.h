/* Growable bytes with a hard maximum and a sticky failure: build a message from ten parts, check once at the end. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H
#include <stdbool.h>
#include <stddef.h>

#include "common/mem.h"

/* len bytes at data are the contents; data[len] is always NUL once anything was allocated. The fields may be read, not written. */
struct buf {
  char *data;
  size_t len, cap, max;
  bool failed; /* the maximum was hit: the contents are incomplete */
};

#define BUF_NO_MAX ((size_t)-1 / 2)

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);                        /* may be called twice */
void buf_reset(struct buf *b);                       /* empty, not failed, memory kept */
bool buf_reserve(struct buf *b, size_t n);           /* room for n more bytes; false (and failed) where that passes the maximum */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
void buf_grown(struct buf *b, size_t n);             /* n bytes were written behind the contents, into reserved room */
void buf_drop(struct buf *b, size_t n);              /* forget the first n bytes (moves the rest) */
char *buf_take(struct buf *b) must_check;            /* the contents, NUL-ended, owned by the caller; b is empty again */
const char *buf_str(const struct buf *b);            /* never NULL */
#endif
