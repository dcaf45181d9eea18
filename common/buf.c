/* Growable bytes with a hard maximum and a sticky failure. */
#include "common/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST = 256 };

void buf_init(struct buf *b, size_t max)
{
  memset(b, 0, sizeof *b);
  b->max = max;
}

void buf_free(struct buf *b)
{
  size_t max = b->max;
  free(b->data);
  buf_init(b, max);
}

void buf_reset(struct buf *b)
{
  b->len = 0;
  b->failed = false;
  if (b->data)
    b->data[0] = 0;
}

bool buf_reserve(struct buf *b, size_t n)
{
  size_t want, cap;

  if (b->failed)
    return false;
  if (n > b->max || b->len > b->max - n) {
    b->failed = true;
    return false;
  }
  want = b->len + n + 1;
  if (want <= b->cap)
    return true;
  cap = b->cap ? b->cap : BUF_FIRST;
  while (cap < want)
    cap += cap / 2;
  b->data = xrealloc(b->data, cap);
  b->cap = cap;
  b->data[b->len] = 0;
  return true;
}

void buf_grown(struct buf *b, size_t n)
{
  assert(b->len + n < b->cap);
  b->len += n;
  b->data[b->len] = 0;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
  if (!buf_reserve(b, n))
    return;
  if (n)
    memcpy(b->data + b->len, p, n);
  buf_grown(b, n);
}

void buf_adds(struct buf *b, const char *s)
{
  buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
  buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
  va_list ap, again;
  int n;

  va_start(ap, fmt);
  va_copy(again, ap);
  n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  assert(n >= 0);
  if (buf_reserve(b, (size_t)n)) {
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    buf_grown(b, (size_t)n);
  }
  va_end(ap);
}

void buf_drop(struct buf *b, size_t n)
{
  assert(n <= b->len);
  if (!n)
    return;
  b->len -= n;
  memmove(b->data, b->data + n, b->len + 1);
}

char *buf_take(struct buf *b)
{
  char *s = b->data ? b->data : xstrdup("");
  b->data = NULL;
  b->len = b->cap = 0;
  b->failed = false;
  return s;
}

const char *buf_str(const struct buf *b)
{
  return b->data ? b->data : "";
}
