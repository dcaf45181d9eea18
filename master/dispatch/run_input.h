/* What commands read, and their terminals. */
#ifndef MASTER_DISPATCH_RUN_INPUT_H
#define MASTER_DISPATCH_RUN_INPUT_H
#include "master/dispatch/run.h"

/* Why the worker can't give the step's command its input, or a terminal; NULL: it can. The caller frees it. */
char *run_input_refused(const struct run *r, const struct pipe_step *def) must_check;
#endif
