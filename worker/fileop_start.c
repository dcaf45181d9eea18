/* The child of a file operation: a fork of the agent. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/fileop.h"
#include "worker/os.h"

int fileop_start(struct fileop *op, int below, pid_t *pid)
{
  int p[2];

  op->agent = getpid();
  if (os_pipe(p))
    return -1;
  *pid = fork();
  if (!*pid) {
    if (!os_end_with(op->agent)) /* else a removal would go on while the next agent's builds use the place again */
      _exit(1);
    signal(SIGTERM, SIG_DFL);
    dup2(below, 0);
    dup2(p[1], 1);
    os_close_from(3); /* above all the lock of the state folder */
    umask(022);
    op->work = 0;
    op->to = 1;
    _exit(fileop_main(op));
  }
  close(p[1]);
  if (*pid < 0) {
    close(p[0]);
    return -1;
  }
  os_pipe_large(p[0]);
  fcntl(p[0], F_SETFL, O_NONBLOCK);
  return p[0];
}

void fileop_kill(pid_t pid) { kill(pid, SIGKILL); } /* reaped by nobody but init: SIGCHLD is ignored */
