/* A process tree in a job: it is ended as a whole, at the latest with this program. */
#ifndef WORKER_WINDOWS_PROC_H
#define WORKER_WINDOWS_PROC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#include "common/mem.h"

#define PROC_READ_MAX 65536 /* bytes that proc_read() gives at most */

struct proc;
struct proc_args {
  const char *const *argv; /* NULL-ended, UTF-8; argv[0] is looked for on `path` when it has no slash, with .exe behind it where nothing is */
  char *const *env;        /* NULL-ended, NAME=value; SystemRoot is added where it is missing: few programs start without */
  const char *path;        /* folders, by ; */
  const wchar_t *cwd;
  const char *in;          /* standard input, in_len bytes that live as long as the process; NULL: none */
  size_t in_len;
};

/* 0, or errno of what failed: then nothing runs. Each time that there is something new, win_wake() is called. */
int proc_start(const struct proc_args *a, struct proc **out) must_check;
/* Output of a channel (0, 1): bytes put into p (PROC_READ_MAX of room); 0: none now; -1: it has ended. What is not read holds the process up. */
int proc_read(struct proc *p, int channel, char *to);
/* The first process has ended, with that code. */
bool proc_ended(const struct proc *p, uint32_t *code);
/* Ends all of the tree; TERMINATED is the code of what was still running. */
#define PROC_TERMINATED 0xC000013Au /* STATUS_CONTROL_C_EXIT */
void proc_kill(struct proc *p);
struct proc_used {
  int64_t user_ms, sys_ms, maxrss_kib; /* of the whole tree; maxrss: of the largest process, its commit */
};
void proc_used(const struct proc *p, struct proc_used *u);
/* Ends what is left, and frees. */
void proc_free(struct proc *p);

/* argv as one line that CommandLineToArgvW() takes apart again; the caller frees. */
char *proc_line(const char *const *argv) must_check;
#endif
