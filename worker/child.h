/* Starting the process of a command: folders made, pipes laid, new session, clean environment, and apart from the host as far as worker.conf says. */
#ifndef WORKER_CHILD_H
#define WORKER_CHILD_H
#include <stdbool.h>
#include <sys/types.h>

#include "worker/confine.h"
#include "worker/os.h"
#include "worker/spec.h"

struct child {
  pid_t pid;    /* in namespaces of its own: of their first process, with which all of it ends */
  int out, err; /* read ends, non-blocking; err -1: what it has is a terminal, and out its other side */
  int in;       /* write end, non-blocking; -1: /dev/null was given */
  int jail;     /* readable when the first process has something to tell; -1: there is none, or none any more */
  bool jailed;
  bool ended;   /* its main process: status and used are of it */
  int status;
  struct os_used used;
};

struct child_how {
  const struct confine *confine;
  uid_t uid;        /* 0: the worker's own */
  const char *work; /* absolute */
  char *values;     /* of its secrets, wiped where a process that stays had a copy */
  size_t nvalues;
  int group;        /* cgroup_entry() of its control group; -1: it has none */
  bool unshield;    /* out of the worker's protection against the OOM killer */
};

/* Removes and makes the folders that the command asks for and opens the one to start in (*cwd, the caller's).
   0, or errno with *what naming the folder. */
int child_prepare(const struct spec *s, int work, int *cwd, const char **what);
/* The folder is there as it would be made: it need not be made again. */
bool child_is_fresh(int work, const char *place);

/* Starts it. 0, or errno of what failed; *what: a few words for what it was, NULL: execve of its program. Then nothing runs and nothing is open. */
int child_start(const struct spec *s, int cwd, const struct child_how *how, struct child *c, const char **what);

/* The jail's descriptor is readable. True: the main process has ended, and that was not known. */
bool child_told(struct child *c);
/* A child was reaped: the same question. */
bool child_reaped(struct child *c, pid_t pid, int status, const struct os_used *used);
void child_signal(const struct child *c, int number); /* to the main process, while it lives */
/* SIGKILL to all of it at once. False: that can't be done here, use tree_kill(). */
bool child_kill(const struct child *c);

/* execve over the words of its PATH. Returns errno: that of a file that is there but can't be run, before ENOENT. Async-signal-safe. */
int child_exec(const struct spec *s);
#endif
