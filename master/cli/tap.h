/* One step's log from the API into a sink, each byte exactly once, whatever happens to the connection. */
#ifndef MASTER_CLI_TAP_H
#define MASTER_CLI_TAP_H
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"
#include "master/cli/sink.h"

struct cli;
struct feed;

enum tap_end {
  TAP_ENDED,   /* all there is; with follow: until the master said that it is the end */
  TAP_MISSING, /* there is no such log (yet) */
  TAP_FAILED,  /* told, c->code is set */
};

struct tap {
  struct cli *c;
  struct feed *feed;  /* drained while waiting; NULL: none */
  struct http *h;
  struct sink *sink;
  char *path, *log;   /* log: of the query, "" where it is what the commands wrote */
  int64_t got;        /* raw bytes that went into the sink */
};

/* build: "project/builder/number". */
void tap_open(struct tap *t, struct cli *c, struct feed *feed, struct sink *sink, const char *build, const char *step);
/* That of a file which the step's command wrote. Right after tap_open(). */
void tap_log(struct tap *t, const char *name);
void tap_close(struct tap *t);
/* From where it stands. Without follow and before the first byte a lost connection is an error at once; else it is tried again
   for c->retry_ms. */
enum tap_end tap_copy(struct tap *t, bool follow) must_check;
#endif
