/* Namespaces of a command: the first process of a new pid namespace, which starts the command, reaps what it leaves, and with whose death all of it ends, whatever it did to get away. */
#ifndef WORKER_JAIL_H
#define WORKER_JAIL_H
#include <stdbool.h>
#include <sys/types.h>

#include "worker/os.h"

enum { JAIL_GROUP = 5 };

struct jail {
  unsigned spaces;  /* of confine.h, with CONFINE_PID */
  const char *work; /* absolute: stays where it is when /tmp becomes the command's own */
  int cwd;          /* a folder; the command is started in it */
  int io[3];        /* the command's; closed in the first process once it is started */
  int group;        /* cgroup_entry(), or -1: JAIL_GROUP in `start`; the first process itself stays out of it */
  /* In the first process: starts the command, 0 or errno. */
  int (*start)(void *arg, pid_t *pid);
  void *arg;
};

/* What the first process tells its parent. */
struct jail_note {
  bool ended;       /* the command has: status and used. Else: it was started, or not (number, what) */
  int number, status;
  const char *what; /* static text: what could not be done; NULL: the command's program */
  struct os_used used;
};

/* 0: it runs; *pid is the first process, which ends when nothing of the command is left, or when *sock is closed; *sock gives a note when the command ends.
   Else errno, *what as in the note. The dead process is to be reaped in any case. */
int jail_start(const struct jail *j, pid_t *pid, int *sock, const char **what);
/* One note. False: none is there; errno EAGAIN: yet, else there comes no more. */
bool jail_heard(int sock, struct jail_note *n);
/* The signal to the command. */
void jail_signal(int sock, int number);
/* Can it be had on this host, by this user? 0, or errno with *what. Reaps what it starts. */
int jail_try(unsigned spaces, const char *work, const char **what);
#endif
