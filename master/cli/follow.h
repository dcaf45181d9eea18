/* Following builds to their end: why they wait, their steps and logs live, results. Survives a master or database that goes away
   for a while (--retry). */
#ifndef MASTER_CLI_FOLLOW_H
#define MASTER_CLI_FOLLOW_H
#include <cjson/cJSON.h>
#include <stdbool.h>

#include "master/cli/cli.h"

enum follow_mode {
  FOLLOW_WAIT, /* results only */
  FOLLOW_SHOW, /* steps, logs, results */
  FOLLOW_LOG,  /* logs with a header line each (of one build) */
  FOLLOW_RAW,  /* logs byte for byte (of one build) */
};

struct follow;
struct follow *follow_new(struct cli *c, enum follow_mode mode) must_check;
void follow_free(struct follow *f);
/* Adds a request; its builds with numbers up to after are known already. */
void follow_add(struct follow *f, const char *request, int64_t after);
/* Until all requests added are done, new attempts too. Returns the exit code: the worst of their results. Ctrl-C ends the
   process, and says how to cancel. */
int follow_run(struct follow *f);
/* Until this build is done; build: "project/builder/number". Returns an exit code about the following, not the build's result. */
int follow_one(struct follow *f, const char *build);
#endif
