/* Starting a process on Windows. */
#ifndef WORKER_WINDOWS_PROC_H
#define WORKER_WINDOWS_PROC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#include "common/mem.h"

#define PROC_TERMINATED 0xC000013Au /* STATUS_CONTROL_C_EXIT: the code of what we ended */

struct proc_args {
  const char *program;     /* a file's path; NULL: what argv[0] means, with .exe behind it where nothing is: looked for on `path` when it has no slash */
  const char *const *argv; /* NULL-ended, UTF-8 */
  char *const *env;        /* NULL-ended, NAME=value; what Windows gives every process is added where it is missing: few programs start without. NULL: ours */
  const char *path;        /* folders, by ; */
  const wchar_t *cwd;      /* NULL: ours */
  void *io[3];             /* handles for its standard input, output, error; NULL: none */
  void *const *keep;       /* nkeep handles more that it has */
  size_t nkeep;
  void *fds;               /* what its C library is told of descriptors, nfds bytes (spawn.c) */
  size_t nfds;
  void *job;               /* that it is in from its beginning; NULL: ours, if any */
  bool apart;              /* outlives us: out of our console and, where that may be, out of our job. Else it has a console of its own that nobody sees */
};
/* 0, or errno of what failed: then nothing runs. *process: a handle, the caller's. The handles given stay the caller's too. */
int proc_start(const struct proc_args *a, void **process, unsigned long *pid) must_check;
/* A job whose processes end with its last handle; NULL: GetLastError(). */
void *proc_job(void);
/* argv as one line that CommandLineToArgvW() takes apart again; the caller frees. */
char *proc_line(const char *const *argv) must_check;
#endif
