/* What a command leaves in the folder of its report (docs/protocol.md 4), read by its minder when it and all that it started have ended. */
#ifndef WORKER_REPORT_H
#define WORKER_REPORT_H
#include "common/buf.h"
#include "worker/mask.h"
#include "worker/spool.h"

#define REPORT_MAX 61440       /* bytes of all that is told */
#define REPORT_ENTRIES_MAX 64  /* files in the folder; more are not looked at */

/* Into out, records: of each file that is known by its name its contents, secrets masked (mask may be NULL). Where something is wrong only `bad`, which says what, and where a nodes.yml is among it `nodes` without a byte. Nothing where nothing was
   left there. work: the work folder; folder: below it. Bounded in time and memory whatever is there; links are not followed, and nothing but plain files is opened for good. */
void report_read(int work, const char *folder, const struct mask *mask, struct buf *out);
/* The same, read as `uid`, into the command's spool; sync: as spool_write_report(). work: the path. Where that fails nothing of it is left there. */
enum err report_take(const char *work, uid_t uid, const char *folder, const struct mask *mask, const struct spool *sp, bool sync) must_check;
#endif
