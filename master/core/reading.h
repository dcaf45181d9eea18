/* The site's files and programs are read in a thread: a program of `include` may take its time. */
#ifndef MASTER_CORE_READING_H
#define MASTER_CORE_READING_H
#include <uv.h>

struct parts;

/* parts: the caller's from then on; from the loop. */
typedef void reading_cb(struct parts *parts, void *arg);
void reading_start(uv_loop_t *loop, const char *file, reading_cb *cb, void *arg);
/* The process is about to end: programs are killed, so that whatever is under way ends soon. */
void reading_stop(void);
#endif
