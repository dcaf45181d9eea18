/* The minder: one process per command, re-executed from the agent's own program. It owns the command's process and its spool
   folder, and outlives the agent. */
#ifndef WORKER_MINDER_H
#define WORKER_MINDER_H
#include <stdbool.h>

#include "worker/spool.h"

/* Descriptors and names that the agent hands on (as words of the argv: main.c). */
struct minder_args {
  const char *mode; /* "run": start the command. "lost": its minder died. "boot": the host was restarted meanwhile */
  const char *spool, *cmd, *work, *path;
  int cmd_fd, ctl_fd, wake_fd, seen_fd;
  int secrets_fd;   /* a pipe with the values of its secrets (secrets.h); -1: it takes none */
  bool unshield; /* take the command's process out of the agent's protection against the OOM killer */
  const char *confine; /* confine_text() */
};
#define MINDER_ARGS 12

int minder_main(const struct minder_args *a);

/* undertaker.c: settles a command whose minder is gone, by writing its result. */
int undertaker_main(const struct minder_args *a, struct spool *sp);
#endif
