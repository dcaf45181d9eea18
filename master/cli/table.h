/* Tables for people: aligned, cut to the terminal's width where a column may be cut, no control bytes. */
#ifndef MASTER_CLI_TABLE_H
#define MASTER_CLI_TABLE_H
#include <stdbool.h>

#include "common/buf.h"
#include "master/cli/fmt.h"

enum { TABLE_RIGHT = 1, TABLE_FLEX = 2 }; /* FLEX: may be cut, with … */

struct column {
  const char *head;
  unsigned flags;
};

struct table;
struct table *table_new(const struct column *columns, int n) must_check; /* columns: borrowed until the end */
void table_free(struct table *t);
/* The next cell, row by row. An empty text is shown as "-". */
void table_cell(struct table *t, enum style style, const char *text);
void table_cellf(struct table *t, enum style style, const char *fmt, ...) printf_like(3, 4);
int table_rows(const struct table *t);
/* width: columns of the terminal, 0: no limit. */
void table_print(const struct table *t, int width, bool color, struct buf *out);
#endif
