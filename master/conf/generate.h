/* Running a program of the site that prints configuration.

   Happy path: it starts in the folder, prints to its standard output, ends with exit code 0.
   Failures: it can't be started, ends otherwise, prints too much, or is not over in time: a sentence that shows what it wrote to its standard error. At the end, good or bad, its process
   group is killed. Blocks: not for the loop's thread. Safe in any thread. */
#ifndef MASTER_CONF_GENERATE_H
#define MASTER_CONF_GENERATE_H
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define GENERATE_MS 30000        /* until its output has ended and it has too */
#define GENERATE_STDERR_MAX 300  /* bytes of its standard error that are shown: the last ones */

/* argv: NULL-ended; a program with a slash in its name counts from folder, others are looked for in GENERATE_PATH. Its environment is that PATH, HOME=/nonexistent and LANG=C.UTF-8; its input
   /dev/null; no other descriptor of ours is open in it. out: its output, with the maximum that it was made with. why: the sentence, without its end. */
enum err generate(const char *const argv[], const char *folder, int64_t ms, struct buf *out, struct buf *why) must_check;
/* From now on each program that runs is killed, and none is started any more: the process is about to end. From any thread. */
void generate_stop(void);
#endif
