/* A small sscanf for the lines that we write ourselves. */
#include "common/scan.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* One conversion of a format: %[*][width][l|ll|z]kind. */
struct want {
  bool forget;
  size_t width; /* 0: none was given */
  int longs;    /* 0 int, 1 long, 2 long long, 3 size_t */
  char kind;
};

static const char *read_want(const char *f, struct want *w)
{
  *w = (struct want){ 0 };
  if (*f == '*') {
    w->forget = true;
    f++;
  }
  while (*f >= '0' && *f <= '9')
    w->width = w->width * 10 + (size_t)(*f++ - '0');
  for (; *f == 'l'; f++)
    w->longs++;
  if (*f == 'z') {
    w->longs = 3;
    f++;
  }
  w->kind = *f++;
  return f;
}

static int digit(char c, unsigned base)
{
  int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;

  return v < (int)base ? v : -1;
}

/* The number at s, not above most; NULL: none, or too large. */
static const char *number(const char *s, unsigned base, size_t width, uint64_t most, uint64_t *out)
{
  const char *from = s;
  uint64_t n = 0;
  int d;

  for (; (!width || (size_t)(s - from) < width) && (d = digit(*s, base)) >= 0; s++) {
    if (n > (most - (uint64_t)d) / base)
      return NULL;
    n = n * base + (uint64_t)d;
  }
  *out = n;
  return s == from ? NULL : s;
}

static const char *signed_number(const char *s, const struct want *w, va_list *to)
{
  static const int64_t most[] = { INT_MAX, LONG_MAX, LLONG_MAX };
  bool minus = *s == '-';
  uint64_t n;
  int64_t v;

  s = number(s + minus, 10, w->width, (uint64_t)most[w->longs], &n);
  if (!s || w->forget)
    return s;
  v = minus ? -(int64_t)n : (int64_t)n;
  if (w->longs == 0)
    *va_arg(*to, int *) = (int)v;
  else if (w->longs == 1)
    *va_arg(*to, long *) = (long)v;
  else
    *va_arg(*to, long long *) = v;
  return s;
}

static const char *unsigned_number(const char *s, const struct want *w, va_list *to)
{
  static const uint64_t most[] = { UINT_MAX, ULONG_MAX, ULLONG_MAX, SIZE_MAX };
  uint64_t n;

  s = number(s, w->kind == 'x' ? 16 : 10, w->width, most[w->longs], &n);
  if (!s || w->forget)
    return s;
  if (w->longs == 0)
    *va_arg(*to, unsigned *) = (unsigned)n;
  else if (w->longs == 1)
    *va_arg(*to, unsigned long *) = (unsigned long)n;
  else if (w->longs == 2)
    *va_arg(*to, unsigned long long *) = n;
  else
    *va_arg(*to, size_t *) = (size_t)n;
  return s;
}

static const char *word(const char *s, const struct want *w, va_list *to)
{
  size_t n = strcspn(s, " \n");

  if (!n || n > w->width)
    return NULL;
  if (!w->forget) {
    char *out = va_arg(*to, char *);
    memcpy(out, s, n);
    out[n] = 0;
  }
  return s + n;
}

static const char *convert(const char *s, const struct want *w, va_list *to)
{
  if (w->kind == 's')
    return word(s, w, to);
  if (w->kind == 'c') {
    if (*s && !w->forget)
      *va_arg(*to, char *) = *s;
    return *s ? s + 1 : NULL;
  }
  return w->kind == 'd' ? signed_number(s, w, to) : unsigned_number(s, w, to);
}

int scan(const char *text, const char *format, ...)
{
  const char *s = text, *f = format;
  struct want w;
  int done = 0;
  va_list to;

  va_start(to, format);
  while (*f) {
    if (*f != '%') {
      if (*s++ != *f++)
        break;
      continue;
    }
    f = read_want(f + 1, &w);
    if (w.kind == 'n') {
      *va_arg(to, int *) = (int)(s - text);
      continue;
    }
    s = convert(s, &w, &to);
    if (!s)
      break;
    done += !w.forget;
  }
  va_end(to);
  return done;
}
