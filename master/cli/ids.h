/* Ids that say their kind (docs/api.md): libfoo/linux/42, linux/last, linux/42:test, r118, s77, c991; and paths of the API made
   of them. Pure. */
#ifndef MASTER_CLI_IDS_H
#define MASTER_CLI_IDS_H
#include <stdbool.h>

#include "common/buf.h"

enum id_kind {
  ID_BUILD,     /* project may be ""; number may be "last" */
  ID_STEP,      /* the same, with step */
  ID_BUILDER,   /* project/builder */
  ID_REQUEST, ID_BUILDSET, ID_CHANGE, /* text is the whole id */
  ID_NAME,      /* a worker, or a builder without its project */
};

#define ID_PART_MAX 256
struct cli_id {
  enum id_kind kind;
  char text[ID_PART_MAX];    /* as given, without the step */
  char project[ID_PART_MAX], builder[ID_PART_MAX], number[24], step[ID_PART_MAX];
};

/* False: it can't be an id of any kind. */
bool id_parse(const char *s, struct cli_id *id) must_check;

/* One segment of a URL's path or a query value, percent-encoded; slashes too. */
void id_encode(struct buf *out, const char *s);
/* "/api/v1/" and the format's literal text, where each %s is encoded as a segment and each %p (an id like libfoo/linux/42) keeps
   its slashes. The caller frees it. */
char *id_path(const char *format, ...) must_check;
#endif
