/* Diagnostics about a text: collected, made harmless, shown with the line and a caret. */
#include "master/conf/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

void diag_init(struct diags *d)
{
  memset(d, 0, sizeof *d);
}

static void free_one(struct diag *g)
{
  free(g->file);
  free(g->message);
  free(g->help);
  free(g->source);
}

void diag_free(struct diags *d)
{
  for (int i = 0; i < d->n; i++)
    free_one(&d->v[i]);
  free(d->v);
  diag_init(d);
}

int diag_count(const struct diags *d)
{
  return d->n + d->dropped;
}

/* Control characters could move a terminal's cursor, the bidirectional ones turn a line's meaning round. */
static bool harmless(uint32_t c)
{
  return c >= 0x20 && (c < 0x7f || c > 0x9f) && !(c >= 0x2028 && c <= 0x202e) &&
         !(c >= 0x2066 && c <= 0x2069);
}

/* Copies at most max bytes of [s, s+n); *chars: how many characters that made. */
static char *clean(const char *s, size_t n, size_t max, int *chars)
{
  struct buf b;
  int count = 0;

  buf_init(&b, BUF_NO_MAX);
  for (size_t i = 0; i < n; count++) {
    uint32_t c;
    size_t len = str_utf8(s + i, n - i, &c);
    if (b.len + (len ? len : 1) > max)
      break;
    if (len && harmless(c))
      buf_add(&b, s + i, len);
    else
      buf_addc(&b, len && (c == '\t' || c == '\n' || c == '\r') ? ' ' : '?');
    i += len ? len : 1;
  }
  if (chars)
    *chars = count;
  return buf_take(&b);
}

static size_t char_len(const char *s, size_t n)
{
  uint32_t c;
  size_t len = str_utf8(s, n, &c);
  return len ? len : 1;
}

/* Start and length of a line; CR, LF and CR LF end one. False: the text has fewer lines. */
static bool find_line(const char *text, int line, const char **start, size_t *len)
{
  const char *p = text;

  for (int i = 1; i < line; i++) {
    p += strcspn(p, "\r\n");
    if (!*p)
      return false;
    p += p[0] == '\r' && p[1] == '\n' ? 2 : 1;
  }
  if (line == 1 && str_starts(p, "\xef\xbb\xbf"))
    p += 3;
  *start = p;
  *len = strcspn(p, "\r\n");
  return true;
}

/* The line as it is shown: without indentation, and moved along where the column lies far right. */
static void show_line(struct diag *g, const char *text)
{
  const char *s;
  size_t len, at = 0, from = 0;
  int before;

  if (!find_line(text, g->line, &s, &len))
    return;
  for (int i = 1; i < g->column && at < len; i++)
    at += char_len(s + at, len - at);
  while (from < at && (s[from] == ' ' || s[from] == '\t'))
    from++;
  while (at - from > DIAG_SOURCE_MAX * 3 / 4)
    from += char_len(s + from, len - from);
  free(clean(s + from, at - from, DIAG_SOURCE_MAX, &before));
  g->caret = len > from ? before + 1 : 0;
  if (len > from)
    g->source = clean(s + from, len - from, DIAG_SOURCE_MAX, NULL);
}

static bool said_before(const struct diags *d, const struct diag *g)
{
  for (int i = 0; i < d->n; i++)
    if (d->v[i].line == g->line && d->v[i].column == g->column && str_eq(d->v[i].file, g->file) &&
        str_eq(d->v[i].message, g->message))
      return true;
  return false;
}

/* g: taken over. Where there are too many already, it is counted. */
static void keep(struct diags *d, struct diag *g)
{
  bool known = said_before(d, g);

  if (known || d->n == DIAG_MAX) {
    d->dropped += !known;
    free_one(g);
    return;
  }
  d->v = xrealloc(d->v, (size_t)(d->n + 1) * sizeof *d->v);
  d->v[d->n++] = *g;
}

void diag_take(struct diags *d, struct diags *from)
{
  for (int i = 0; i < from->n; i++)
    keep(d, &from->v[i]);
  d->dropped += from->dropped;
  free(from->v);
  diag_init(from);
}

void diag_vadd(struct diags *d, const char *file, const char *text, int line, int column,
               const char *help, const char *fmt, va_list ap)
{
  struct diag g = { .line = line, .column = column };
  char *message = xvasprintf(fmt, ap), *whole = d->context ? xasprintf("%s, %s", message, d->context) : NULL;

  if (whole) {
    free(message);
    message = whole;
  }
  g.file = clean(file, strlen(file), DIAG_MESSAGE_MAX, NULL);
  g.message = clean(message, strlen(message), DIAG_MESSAGE_MAX, NULL);
  free(message);
  if (help && d->n < DIAG_MAX)
    g.help = clean(help, strlen(help), DIAG_MESSAGE_MAX, NULL);
  if (text && line > 0 && d->n < DIAG_MAX) /* to look for the line of each of many errors would take longer than all else */
    show_line(&g, text);
  keep(d, &g);
}

void diag_add(struct diags *d, const char *file, const char *text, int line, int column,
              const char *help, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  diag_vadd(d, file, text, line, column, help, fmt, ap);
  va_end(ap);
}

static int file_rank(const struct diags *d, const char *file)
{
  int i = 0;

  while (strcmp(d->v[i].file, file))
    i++;
  return i;
}

void diag_sort(struct diags *d)
{
  int rank[DIAG_MAX];

  for (int i = 0; i < d->n; i++)
    rank[i] = file_rank(d, d->v[i].file);
  for (int i = 1; i < d->n; i++) {
    struct diag g = d->v[i];
    int r = rank[i], k = i;
    for (; k && (rank[k - 1] > r || (rank[k - 1] == r && (d->v[k - 1].line > g.line ||
                 (d->v[k - 1].line == g.line && d->v[k - 1].column > g.column)))); k--) {
      d->v[k] = d->v[k - 1];
      rank[k] = rank[k - 1];
    }
    d->v[k] = g;
    rank[k] = r;
  }
}

void diag_print(const struct diags *d, struct buf *out)
{
  for (int i = 0; i < d->n; i++) {
    const struct diag *g = &d->v[i];
    buf_adds(out, g->file);
    if (g->line)
      buf_addf(out, ":%d:%d", g->line, g->column);
    buf_addf(out, ": %s", g->message);
    if (g->help)
      buf_addf(out, " (%s)", g->help);
    buf_addc(out, '\n');
    if (g->source)
      buf_addf(out, "  %s\n%*s^\n", g->source, g->caret + 1, "");
  }
  if (d->dropped)
    buf_addf(out, "and %d more\n", d->dropped);
}
