/* Lines that are warnings. */
#include "master/logs/warn.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "master/conf/pattern.h"
#include "proto/chunk.h"

/* The C library keeps each state of the automaton that it came by: after so many bytes it begins anew, so that no output makes it large. */
enum { FRESH_BYTES = 1 << 20 };

struct line {
  char text[WARN_LINE_MAX];
  uint32_t n;
  bool over; /* it is longer, what follows is not looked at */
};

struct warn {
  char *pattern;
  bool text, good;
  regex_t re;
  size_t spent;
  int64_t count;
  struct line open[WARN_CHANNELS];
};

static void make(struct warn *w)
{
  char why[PATTERN_WHY_MAX];
  const char *help;

  w->good = w->text || pattern_make_perl(w->pattern, &w->re, why, &help);
  w->spent = 0;
}

struct warn *warn_new(const char *pattern, bool text)
{
  struct warn *w = xcalloc(1, sizeof *w);

  w->pattern = xstrdup(pattern);
  w->text = text;
  make(w);
  return w;
}

void warn_free(struct warn *w)
{
  if (!w)
    return;
  if (w->good && !w->text)
    regfree(&w->re);
  free(w->pattern);
  free(w);
}

static bool matches(struct warn *w, const char *s, size_t n)
{
  regmatch_t all = { 0, (regoff_t)n };

  if (w->text)
    return memmem(s, n, w->pattern, strlen(w->pattern)) != NULL;
  if (w->good && w->spent > FRESH_BYTES) {
    regfree(&w->re);
    make(w);
  }
  w->spent += n;
  return w->good && !regexec(&w->re, s, 1, &all, REG_STARTEND); /* there may be NULs in it */
}

static void look(struct warn *w, const char *s, size_t n)
{
  if (n && s[n - 1] == '\r')
    n--;
  if (n && matches(w, s, n))
    w->count++;
}

static void add(struct line *l, const char *s, size_t n)
{
  size_t room = sizeof l->text - l->n;

  if (n > room) {
    n = room;
    l->over = true;
  }
  memcpy(l->text + l->n, s, n);
  l->n += (uint32_t)n;
}

static void take(struct warn *w, struct line *l, const char *s, size_t n)
{
  const char *lf;

  for (; (lf = memchr(s, '\n', n)); n -= (size_t)(lf + 1 - s), s = lf + 1) {
    size_t len = (size_t)(lf - s);
    if (!l->n && !l->over) { /* all of it is here */
      look(w, s, len < WARN_LINE_MAX ? len : WARN_LINE_MAX);
      continue;
    }
    add(l, s, len);
    look(w, l->text, l->n);
    l->n = 0;
    l->over = false;
  }
  add(l, s, n);
}

void warn_take(struct warn *w, const void *spans, size_t nspans, const char *bytes)
{
  struct chunk_span span;
  size_t at = 0;

  while (!chunk_span_next(spans, nspans, &at, &span)) {
    if (span.channel < WARN_CHANNELS)
      take(w, &w->open[span.channel], bytes, span.len);
    bytes += span.len;
  }
}

int64_t warn_count(const struct warn *w)
{
  return w->count;
}

int64_t warn_count_at_end(struct warn *w)
{
  for (int i = 0; i < WARN_CHANNELS; i++) {
    look(w, w->open[i].text, w->open[i].n);
    w->open[i].n = 0;
    w->open[i].over = false;
  }
  return w->count;
}

/* Of each channel: whether the line is longer, its length in two bytes, its bytes. */
void warn_keep(const struct warn *w, struct buf *out)
{
  for (int i = 0; i < WARN_CHANNELS; i++) {
    const struct line *l = &w->open[i];
    buf_addc(out, (char)l->over);
    buf_addc(out, (char)(l->n >> 8));
    buf_addc(out, (char)(l->n & 0xff));
    buf_add(out, l->text, l->n);
  }
}

void warn_resume(struct warn *w, int64_t count, const void *kept, size_t n)
{
  const unsigned char *p = kept;

  w->count = count;
  for (int i = 0; i < WARN_CHANNELS; i++) {
    struct line *l = &w->open[i];
    l->n = 0;
    l->over = false;
    if (n < 3 || (size_t)(p[1] << 8 | p[2]) > n - 3 || (p[1] << 8 | p[2]) > WARN_LINE_MAX)
      return;
    l->over = p[0];
    l->n = (uint32_t)(p[1] << 8 | p[2]);
    memcpy(l->text, p + 3, l->n);
    n -= 3 + l->n;
    p += 3 + l->n;
  }
}
