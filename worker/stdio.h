/* A worker whose master has dialled it by ssh: its link is standard input and output. One on the folder that was started so gives it up to the next one: the master's new connection is better than its old one. */
#ifndef WORKER_STDIO_H
#define WORKER_STDIO_H
#include <stdbool.h>

#include "worker/tls.h"

#define STDIO_DIR ".drover-worker"  /* in the home folder: where no other was given */
#define STDIO_OVER "over"           /* a line on the folder's FIFO `wake`: give the folder up */

extern const struct tls_ops tls_stdio; /* its fd is the one to read from */

/* Takes the two ends away from descriptors 0 and 1, on which /dev/null is then: nothing that is started holds the channel open, or writes into it. False: told. */
bool stdio_begin(void);
/* From now on nobody hears what goes to standard error: the agent has its log. */
void stdio_quiet(void);
int stdio_in(void);
int stdio_out(void); /* -1: there is none, or no more */
/* The folder's lock is held by another agent: asks it to go, and takes the lock. False: it does not go; it is no agent by ssh, or hangs. */
bool stdio_take_over(int dir, int lock);
#endif
