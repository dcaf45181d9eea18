/* How many rows a script of pg_restore --data-only has for each table. Pure; takes the text in pieces. */
#ifndef MASTER_KEEP_COPYCOUNT_H
#define MASTER_KEEP_COPYCOUNT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COPYCOUNT_HEAD_MAX 256 /* of a line is looked at; a table's name is shorter */

struct copycount {
  void (*table)(void *arg, const char *name, int64_t rows); /* at the end of each COPY */
  void *arg;
  char head[COPYCOUNT_HEAD_MAX], name[COPYCOUNT_HEAD_MAX];
  size_t len;               /* of the line so far, also beyond head */
  bool copying;
  int64_t rows;
};

void copycount_begin(struct copycount *c, void (*table)(void *arg, const char *name, int64_t rows), void *arg);
void copycount_add(struct copycount *c, const char *p, size_t n);
bool copycount_end(const struct copycount *c) __attribute__((warn_unused_result)); /* false: it ends in the middle of a table */
#endif
