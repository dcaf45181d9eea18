/* The child of a file operation: this program again, with the message's blob as its standard input. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <windows.h>

#include "worker/fileop.h"
#include "worker/os.h"
#include "worker/windows/fileop_windows.h"
#include "worker/windows/proc.h"
#include "worker/windows/stream.h"
#include "worker/windows/win.h"

enum { NUMBER_MAX = 24, WORDS = 5 };

/* They end with the agent. */
static HANDLE job(void)
{
  static HANDLE all;

  if (!all)
    all = proc_job();
  return all;
}

int fileop_start(struct fileop *op, int below, pid_t *pid)
{
  char verb[NUMBER_MAX], a[NUMBER_MAX], b[NUMBER_MAX];
  const char *argv[] = { "drover-worker", FILEOP_WORD, verb, a, b, win_dir_path(below), NULL };
  HANDLE in, out, process;
  struct proc_args p = { .program = os_self(), .argv = argv, .job = job() };
  unsigned long number;
  int fd, to, e;

  snprintf(verb, sizeof verb, "%d", (int)op->verb);
  snprintf(a, sizeof a, "%lld", (long long)op->a);
  snprintf(b, sizeof b, "%lld", (long long)op->b);
  if (!p.job || !CreatePipe(&p.io[0], &in, NULL, 0))
    return -1;
  if (!CreatePipe(&out, &p.io[1], NULL, 0)) {
    CloseHandle(p.io[0]);
    CloseHandle(in);
    return -1;
  }
  e = proc_start(&p, &process, &number);
  CloseHandle(p.io[0]);
  CloseHandle(p.io[1]);
  if (e) {
    CloseHandle(in);
    CloseHandle(out);
    return -1;
  }
  fd = stream_reader(out);
  to = stream_writer(in, op->n + 1);
  if (fd >= 0)
    stream_hold(fd, process);
  else
    CloseHandle(process);
  if (to >= 0) {
    if (op->n && stream_write(to, op->blob, op->n) < 0)
      errno = 0; /* it ends, and so does its pipe */
    stream_close(to);
  }
  *pid = (pid_t)number;
  return fd;
}

void fileop_kill(pid_t pid)
{
  HANDLE h = OpenProcess(PROCESS_TERMINATE, FALSE, (DWORD)pid); /* its stream has a handle, so the number is still its own */

  if (h)
    TerminateProcess(h, 1);
  if (h)
    CloseHandle(h);
}

int fileop_here(int argc, char **argv)
{
  struct fileop op = { .to = 1 };
  const char *why;
  size_t most;
  char *blob;
  int n;

  op.verb = argc == WORDS + 1 ? (enum verb)atoi(argv[2]) : VERB_COUNT;
  if ((int)op.verb < 0 || op.verb >= VERB_COUNT)
    return 1;
  most = wire_verbs[op.verb].blob_max > 0 ? (size_t)wire_verbs[op.verb].blob_max : 1;
  blob = xmalloc(most + 1);
  op.a = strtoll(argv[3], NULL, 10);
  op.b = strtoll(argv[4], NULL, 10);
  op.work = win_dir(argv[5]);
  while (op.n < most && (n = read(0, blob + op.n, (unsigned)(most - op.n))) > 0)
    op.n += (size_t)n;
  blob[op.n] = 0;
  op.blob = blob;
  if (fileop_check(op.verb, op.a, op.b, blob, op.n, &op.path, &why))
    return 1;
  return fileop_main(&op);
}
