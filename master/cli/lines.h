/* Labelled lines of what is shown: drover show, of whatever kind. A line whose text is empty is left out. */
#ifndef MASTER_CLI_LINES_H
#define MASTER_CLI_LINES_H
#include <cjson/cJSON.h>
#include <stdint.h>

#include "master/cli/cli.h"

struct table;

void lines_text(struct cli *c, const char *label, const char *text);
void lines_f(struct cli *c, const char *label, const char *fmt, ...) printf_like(3, 4);
void lines_time(struct cli *c, const char *label, int64_t at); /* at: ms since 1970; 0 and below: nothing */
void lines_join(struct cli *c, const char *label, const cJSON *o, const char *path, const char *between); /* of the strings at path */
void lines_head(struct cli *c, const cJSON *o, const char *id); /* id and what became of it; the line goes on */
void lines_source(struct cli *c, const cJSON *o); /* branch, and the revision or that it is the tip */
void lines_table(struct cli *c, struct table *t);     /* nothing where it has no row; frees it */
void lines_all_of(struct cli *c, struct table *t);    /* its head in any case; frees it */
void lines_parent(struct cli *c, const cJSON *o); /* which build's step triggered it */
#endif
