/* Counts lines of a command's output that are warnings, chunk by chunk as they come; what it knows can be kept and taken up by another master. Pure, in bounded time for each byte. */
#ifndef MASTER_LOGS_WARN_H
#define MASTER_LOGS_WARN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define WARN_LINE_MAX 4096 /* bytes of a line that are looked at */
#define WARN_CHANNELS 2    /* stdout, stderr: each has lines of its own */

struct warn;
/* text: pattern is a text that the lines have in them; else a regular expression that was good when the pipeline was read. */
struct warn *warn_new(const char *pattern, bool text) must_check;
void warn_free(struct warn *w); /* NULL: nothing */
/* A chunk: its spans say which bytes are whose. */
void warn_take(struct warn *w, const void *spans, size_t nspans, const char *bytes);
/* So far; at the end lines that were not ended count too. */
int64_t warn_count(const struct warn *w);
int64_t warn_count_at_end(struct warn *w);
/* What another one must know to go on behind this chunk: the beginnings of the lines that are not over. */
void warn_keep(const struct warn *w, struct buf *out);
/* count, and what warn_keep wrote; anything else is as if nothing was open. */
void warn_resume(struct warn *w, int64_t count, const void *kept, size_t n);
#endif
