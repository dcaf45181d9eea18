/* The git repository that we stand in, by its own program. */
#ifndef MASTER_CLI_GITWORK_H
#define MASTER_CLI_GITWORK_H
#include "common/buf.h"

/* Runs git with these words (NULL-ended, without "git"); stdout into out, as far as out takes it (then out->failed), stderr where ours is, or nowhere where quiet. The exit code; -1: it could
   not be run. */
int gitwork(const char *const *argv, bool quiet, struct buf *out) must_check;
/* The first line of what it says, or NULL where it fails. The caller frees it. */
char *gitwork_line(const char *const *argv) must_check;
#endif
