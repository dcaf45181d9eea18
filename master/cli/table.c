/* Tables for people. */
#include "master/cli/table.h"

#include <stdlib.h>
#include <string.h>

#include "master/cli/safe.h"

#define TABLE_GAP 2
#define TABLE_LEAST 8 /* a column is not cut below this */
#define TABLE_COLUMNS_MAX 16

struct cell {
  char *text;
  enum style style;
};
struct table {
  const struct column *columns;
  int ncolumns, ncells;
  struct cell *cells;
};

struct table *table_new(const struct column *columns, int n)
{
  struct table *t = xcalloc(1, sizeof *t);

  t->columns = columns;
  t->ncolumns = n < TABLE_COLUMNS_MAX ? n : TABLE_COLUMNS_MAX;
  return t;
}

void table_free(struct table *t)
{
  for (int i = 0; i < t->ncells; i++)
    free(t->cells[i].text);
  free(t->cells);
  free(t);
}

void table_cell(struct table *t, enum style style, const char *text)
{
  t->cells = xrealloc(t->cells, (size_t)(t->ncells + 1) * sizeof *t->cells);
  t->cells[t->ncells++] = (struct cell){ safe_line(*text ? text : "-"), style };
}

void table_cellf(struct table *t, enum style style, const char *fmt, ...)
{
  va_list ap;
  char *text;

  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  table_cell(t, style, text);
  free(text);
}

int table_rows(const struct table *t)
{
  return t->ncells / t->ncolumns;
}

/* What each column takes; the widest of those that may be cut give way, one blank at a time, until all fits. */
static void measure(const struct table *t, int width, int w[TABLE_COLUMNS_MAX])
{
  int total = TABLE_GAP * (t->ncolumns - 1);

  for (int i = 0; i < t->ncolumns; i++)
    w[i] = fmt_width(t->columns[i].head);
  for (int i = 0; i < t->ncells; i++) {
    int n = fmt_width(t->cells[i].text), col = i % t->ncolumns;
    if (n > w[col])
      w[col] = n;
  }
  for (int i = 0; i < t->ncolumns; i++)
    total += w[i];
  while (width && total > width) {
    int widest = -1;
    for (int i = 0; i < t->ncolumns; i++)
      if (t->columns[i].flags & TABLE_FLEX && w[i] > TABLE_LEAST && (widest < 0 || w[i] >= w[widest]))
        widest = i;
    if (widest < 0)
      return;
    w[widest]--;
    total--;
  }
}

static void print_cell(const char *text, const char *on, unsigned flags, int width, bool last, struct buf *out)
{
  int have = fmt_width(text), pad;
  size_t n = strlen(text);
  bool cut = have > width;

  if (cut) {
    n = fmt_fit(text, width - 1);
    have = width;
  }
  pad = width - have;
  if (flags & TABLE_RIGHT)
    buf_addf(out, "%*s", pad, "");
  buf_adds(out, on);
  buf_add(out, text, n);
  if (cut)
    buf_adds(out, "…");
  if (*on)
    buf_adds(out, FMT_STYLE_OFF);
  if (!(flags & TABLE_RIGHT) && !last)
    buf_addf(out, "%*s", pad, "");
  buf_addf(out, "%*s", last ? 0 : TABLE_GAP, "");
}

void table_print(const struct table *t, int width, bool color, struct buf *out)
{
  int w[TABLE_COLUMNS_MAX], n = t->ncolumns;

  measure(t, width, w);
  for (int i = 0; i < n; i++)
    print_cell(t->columns[i].head, color ? fmt_style_on(STYLE_DIM) : "", t->columns[i].flags, w[i], i + 1 == n, out);
  buf_addc(out, '\n');
  for (int i = 0; i < t->ncells; i++) {
    int col = i % n;
    print_cell(t->cells[i].text, color ? fmt_style_on(t->cells[i].style) : "", t->columns[col].flags, w[col], col + 1 == n, out);
    if (col + 1 == n)
      buf_addc(out, '\n');
  }
}
