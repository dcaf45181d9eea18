/* Where a log's bytes go: made harmless to standard output, exactly as they are, or as JSON lines. */
#ifndef MASTER_CLI_SINK_H
#define MASTER_CLI_SINK_H
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "master/cli/safe.h"

struct cli;
enum sink_kind { SINK_SAFE, SINK_RAW, SINK_JSON };

struct sink {
  struct cli *c;
  enum sink_kind kind;
  const char *build, *step; /* for JSON; borrowed */
  struct safe safe;
  struct buf b;             /* JSON: an unfinished UTF-8 character; else scratch */
  int64_t at;               /* raw bytes taken so far */
};

void sink_begin(struct sink *s, struct cli *c, enum sink_kind kind, const char *build, const char *step);
void sink_add(struct sink *s, const void *p, size_t n); /* nothing stays in a buffer of ours but an unfinished sequence */
void sink_end(struct sink *s);                          /* what was held back */
#endif
