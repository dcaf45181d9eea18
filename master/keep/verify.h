/* A backup's folder, looked into. */
#ifndef MASTER_KEEP_VERIFY_H
#define MASTER_KEEP_VERIFY_H
#include "common/buf.h"
#include "common/err.h"
#include "master/keep/manifest.h"

/* The manifest and its own sum; sizes and SHA-256 of all files. m is to be freed in any case. */
enum err verify_files(const char *folder, struct manifest *m, struct buf *why) must_check;
/* The dumps: pg_restore can read all of them, and they hold as many rows of each table as were counted in their snapshot. programs: a folder of PostgreSQL's programs. */
enum err verify_dumps(const char *folder, const struct manifest *m, const char *programs, struct buf *why) must_check;
int64_t verify_size(const struct manifest *m, const char *prefix); /* of the files whose names begin so */
#endif
