/* Starting the process of a command: folders made, pipes laid, new session, clean environment. */
#ifndef WORKER_CHILD_H
#define WORKER_CHILD_H
#include <stdbool.h>
#include <sys/types.h>

#include "worker/spec.h"

struct child {
  pid_t pid;
  int out, err; /* read ends, non-blocking; err -1: what it has is a terminal, and out its other side */
  int in;       /* write end, non-blocking; -1: /dev/null was given */
};

/* Removes and makes the folders that the command asks for and opens the one to start in (*cwd, the caller's).
   0, or errno with *what naming the folder. */
int child_prepare(const struct spec *s, int work, int *cwd, const char **what);

/* Starts it. 0, or errno of what failed (mostly execve); then nothing runs and nothing is open. */
int child_start(const struct spec *s, int cwd, bool unshield, struct child *c);
#endif
