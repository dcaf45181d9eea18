/* exec_wrapper: a program of this host, named in worker.conf, that runs each command. */
#ifndef WORKER_WRAP_H
#define WORKER_WRAP_H
#include "common/err.h"
#include "worker/confine.h"
#include "worker/spec.h"

/* The path of this program, which a wrapper is told to start; the caller's. In the agent: a minder is started under no path. NULL: the system does not tell it. */
char *wrap_program(void) must_check;
/* Puts the wrapper before the command: {dir} is the absolute path of its place (slot.h) without links, {slot} the place as one word of [A-Za-z0-9._-], {cid} its id. path: worker.conf's, where the wrapper is looked up. 0, or errno of the place. */
int wrap_command(struct spec *s, const struct confine *c, int work, const char *path, const char *cmd);
/* What the wrapper starts: argv[2] … with the environment that was meant for it. The process's exit code, when that can't be started. */
int wrap_main(char **argv);
#endif
