/* Between main.c and master.c. */
#ifndef MASTER_CORE_MASTER_INT_H
#define MASTER_CORE_MASTER_INT_H
#include <stdbool.h>

struct conf;
/* Runs until it is stopped; the exit code. conf: the caller's reference is taken over. raise: begin a new incarnation (after a restore). */
int master_run(struct conf *conf, bool raise);
#endif
