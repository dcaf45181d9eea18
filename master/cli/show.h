/* How a build, its steps and its result look; shared by show, log, and following. */
#ifndef MASTER_CLI_SHOW_H
#define MASTER_CLI_SHOW_H
#include <cjson/cJSON.h>
#include <stdint.h>

#include "master/cli/cli.h"

/* Bytes of all logs of a step, or of all steps of a build. */
struct show_bytes {
  int64_t length, stored;
};
struct show_bytes show_step_bytes(const cJSON *step);
struct show_bytes show_build_bytes(const cJSON *build);
/* "3.2 GB (41000 lines) left out, over the limit of 1.0 GB", or that it will be, or NULL: all of its output is in its logs. The caller frees it. */
char *show_left_out(const cJSON *step) must_check;

/* What came of it: summary, or its commands' names, or nothing. The caller frees it. */
char *show_step_summary(const cJSON *step) must_check;

/* What a change is of: "main", "tag v1", "pull request 7 into main". The caller frees it. */
char *show_change_of(const cJSON *change) must_check;

/* When it will probably begin: "in about 4:00 min (1:10 min to 9:00 min)", "now"; NULL: nobody can tell. The caller frees it. */
char *show_eta(const cJSON *o) must_check;

/* Why it waits: the sentence, or where the terminal is too narrow for sentences in a table a few words, "full: build1"; "": it does not. The caller frees it. */
char *show_waits(const cJSON *request, int width) must_check;

void show_log_header(struct cli *c, const cJSON *step);                            /* "── test: make check ──" */
void show_step_line(struct cli *c, const cJSON *build, const cJSON *step);         /* "  test      212 passed        6.2 s" */
void show_build_head(struct cli *c, const cJSON *build);                           /* "build     drover/check/1 on here, because …" */
void show_build_end(struct cli *c, const cJSON *build, int result);                /* "SUCCESS   drover/check/1 in 43.6 s, log 412 KB (61 KB stored)" */
void show_result(struct cli *c, int result);                                       /* the word, as a label */
#endif
