/* What the master says, and what is answered: one function a verb. */
#ifndef WORKER_SERVE_H
#define WORKER_SERVE_H
#include "worker/agent.h"

/* The link has come to `greet`: a new connection number to disk, then hello. */
void serve_hello(struct agent *a);
/* All messages that are there. */
void serve_messages(struct agent *a);
#endif
