/* Lines between "COPY schema.table (columns) FROM stdin;" and "\." are rows: COPY writes line feeds in values as \n. */
#include "master/keep/copycount.h"

#include <string.h>

#include "common/str.h"

void copycount_begin(struct copycount *c, void (*table)(void *arg, const char *name, int64_t rows), void *arg)
{
  *c = (struct copycount){ .table = table, .arg = arg };
}

/* "COPY public.build (id, …": the name behind the schema, without quotes. False: no such line. */
static bool copy_name(const char *line, char *name)
{
  const char *at = line + 5, *end = strstr(line, " (");
  size_t n;

  if (!str_starts(line, "COPY ") || !end || end < at)
    return false;
  for (const char *p = at; p < end; p++)
    if (*p == '.')
      at = p + 1;
  if (*at == '"' && end > at + 1 && end[-1] == '"') {
    at++;
    end--;
  }
  n = (size_t)(end - at);
  memcpy(name, at, n);
  name[n] = 0;
  return n > 0;
}

static void line_end(struct copycount *c)
{
  size_t n = c->len < sizeof c->head ? c->len : sizeof c->head - 1;

  c->head[n] = 0;
  if (!c->copying) {
    c->copying = copy_name(c->head, c->name);
    c->rows = 0;
  } else if (c->len == 2 && !memcmp(c->head, "\\.", 2)) {
    c->copying = false;
    c->table(c->arg, c->name, c->rows);
  } else {
    c->rows++;
  }
  c->len = 0;
}

void copycount_add(struct copycount *c, const char *p, size_t n)
{
  while (n) {
    const char *lf = memchr(p, '\n', n);
    size_t part = lf ? (size_t)(lf - p) : n;

    if (c->len < sizeof c->head - 1) {
      size_t room = sizeof c->head - 1 - c->len;
      memcpy(c->head + c->len, p, part < room ? part : room);
    }
    c->len += part;
    if (lf) {
      line_end(c);
      part++;
    }
    p += part;
    n -= part;
  }
}

bool copycount_end(const struct copycount *c)
{
  return !c->copying;
}
