/* Allocation that ends the process instead of returning NULL. */
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void out_of_memory(void)
{
  static const char text[] = "fatal memory: out of memory\n";
  ssize_t n = write(2, text, sizeof text - 1);
  (void)n;
  abort();
}

void *xmalloc(size_t n)
{
  void *p = malloc(n ? n : 1);
  if (!p)
    out_of_memory();
  return p;
}

void *xcalloc(size_t count, size_t size)
{
  void *p = calloc(count ? count : 1, size ? size : 1);
  if (!p)
    out_of_memory();
  return p;
}

void *xrealloc(void *old, size_t n)
{
  void *p = realloc(old, n ? n : 1);
  if (!p)
    out_of_memory();
  return p;
}

void *xmemdup(const void *p, size_t n)
{
  void *copy = xmalloc(n);
  if (n)
    memcpy(copy, p, n);
  return copy;
}

char *xstrndup(const char *s, size_t n)
{
  char *copy = xmalloc(n + 1);
  if (n)
    memcpy(copy, s, n);
  copy[n] = 0;
  return copy;
}

char *xstrdup(const char *s)
{
  return s ? xstrndup(s, strlen(s)) : NULL;
}

printf_like(1, 0) char *xvasprintf(const char *fmt, va_list ap)
{
  va_list again;
  char *s;
  int n;

  va_copy(again, ap);
  n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  if (n < 0)
    abort();
  s = xmalloc((size_t)n + 1);
  vsnprintf(s, (size_t)n + 1, fmt, ap);
  return s;
}

char *xasprintf(const char *fmt, ...)
{
  va_list ap;
  char *s;

  va_start(ap, fmt);
  s = xvasprintf(fmt, ap);
  va_end(ap);
  return s;
}

void mem_free_all(char **v, int n)
{
  for (int i = 0; i < n; i++)
    free(v[i]);
  free(v);
}

void mem_wipe(void *p, size_t n)
{
  if (n)
    memset(p, 0, n);
  __asm__ volatile("" : : "r"(p) : "memory"); /* somebody might look: it is not left out */
}
