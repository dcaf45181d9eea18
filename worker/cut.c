/* Head and tail of an output. */
#include "worker/cut.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/chunk.h"

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

void cut_init(struct cut *c, int64_t bytes_max, int64_t lines_max)
{
  memset(c, 0, sizeof *c);
  c->bytes_max = bytes_max ? bytes_max : INT64_MAX;
  c->lines_max = lines_max ? lines_max : INT64_MAX;
}

bool cut_full(const struct cut *c)
{
  return c->head_bytes >= c->bytes_max / 2 || c->head_lines >= c->lines_max / 2;
}

bool cut_over(const struct cut *c)
{
  return c->bytes > c->bytes_max || c->lines > c->lines_max;
}

/* Up to and with the line feed that is the so manieth; n: there are not so many. */
static size_t behind_line(const char *p, size_t n, int64_t lines)
{
  const char *at = p;

  if (lines >= (int64_t)n)
    return n;
  while (lines > 0) {
    const char *lf = memchr(at, '\n', n - (size_t)(at - p));
    if (!lf)
      return n;
    at = lf + 1;
    lines--;
  }
  return (size_t)(at - p);
}

size_t cut_head(const struct cut *c, const char *p, size_t n)
{
  if (cut_full(c))
    return 0;
  return behind_line(p, (size_t)min64((int64_t)n, c->bytes_max / 2 - c->head_bytes), c->lines_max / 2 - c->head_lines);
}

void cut_took(struct cut *c, const char *p, size_t n)
{
  int64_t lines = chunk_count_lf(p, n);

  if (!n)
    return;
  if (!cut_full(c)) {
    c->head_bytes += (int64_t)n;
    c->head_lines += lines;
    c->mid_line = p[n - 1] != '\n';
  }
  c->bytes += (int64_t)n;
  c->lines += lines;
}

int64_t cut_tail_bytes(const struct cut *c)
{
  return c->bytes_max == INT64_MAX ? INT64_MAX : c->bytes_max - c->head_bytes - CUT_MARKER_MAX;
}

int64_t cut_tail_lines(const struct cut *c)
{
  return c->lines_max == INT64_MAX ? INT64_MAX : c->lines_max - c->head_lines - CUT_MARKER_LINES;
}

size_t cut_skip(const char *p, size_t n, int64_t skip_bytes, int64_t skip_lines, bool line_begins)
{
  size_t by_bytes = (size_t)min64(max64(skip_bytes, 0), (int64_t)n), by_lines = behind_line(p, n, skip_lines), at, soon;

  if (by_lines >= by_bytes && skip_lines > 0)
    return by_lines;
  at = by_bytes;
  if (at == n || (at ? p[at - 1] == '\n' : line_begins))
    return at;
  soon = behind_line(p + at, (size_t)min64((int64_t)(n - at), CUT_ALIGN_MAX), 1);
  return p[at + soon - 1] == '\n' && at + soon < n ? at + soon : at; /* behind the chunk there may be nothing */
}

size_t cut_marker(const struct cut *c, char *out)
{
  bool bytes = c->bytes > c->bytes_max;
  int n = snprintf(out, CUT_MARKER_MAX, "%sdrover: the output is over its limit of %" PRId64 " %s: from here on only its end is kept, which follows when the command has ended", c->mid_line ? "\n" : "",
                   bytes ? c->bytes_max : c->lines_max, bytes ? "bytes" : "lines");

  assert(n > 0 && n < CUT_MARKER_MAX * 2 / 3);
  return (size_t)n;
}

size_t cut_marker_end(int64_t left_bytes, int64_t left_lines, char *out)
{
  int n = snprintf(out, CUT_MARKER_MAX, " (left out here: %" PRId64 " bytes, %" PRId64 " lines)\n", left_bytes, left_lines);

  assert(n > 0 && n < CUT_MARKER_MAX / 3);
  return (size_t)n;
}
