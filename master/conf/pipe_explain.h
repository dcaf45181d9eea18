/* What counts for one builder, key by key, and where each comes from: `drover config explain`. */
#ifndef MASTER_CONF_PIPE_EXPLAIN_H
#define MASTER_CONF_PIPE_EXPLAIN_H
#include <cjson/cJSON.h>

#include "master/conf/pipeline.h"

struct explain_row {
  const char *step; /* NULL: of the builder itself */
  char *key;        /* "env.CC", "timeout.total" */
  char *value;      /* as it counts: what is known of an expression before the build stands there, the rest as it is written; one line */
  const char *file; /* NULL: drover's default */
  int line;
  char *from;       /* "default", "defaults", "builder", "matrix", "step", "scheduler", `template "cmake", used at 12:9` */
};
struct explain {
  struct explain_row *v;
  int n;
};
/* Holds nothing of p but the names of steps and files: p must live as long. */
struct explain explain_builder(const struct pipeline *p, const struct pipe_builder *b) must_check;
void explain_free(struct explain *x);
/* [{step, key, value, file, line, from}] of a builder. */
cJSON *explain_json(const struct pipeline *p, const struct pipe_builder *b) must_check;
#endif
