/* What agent and minders tell each other. */
#include "worker/notice.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "common/str.h"

void notice_wake(int wake_fd, const char *cmd, bool ended)
{
  char line[STR_ID_MAX + 4];
  int n = snprintf(line, sizeof line, "%s%s\n", cmd, ended ? "=" : "");

  if (write(wake_fd, line, (size_t)n) < 0) /* nobody there, or a full pipe: then the agent looks at everything anyway */
    errno = 0;
}

bool notice_read(int seen_fd, struct notice_seen *s)
{
  return pread(seen_fd, s, sizeof *s, 0) == sizeof *s;
}

bool notice_master_there(int wake_fd, int seen_fd)
{
  struct pollfd p = { wake_fd, POLLOUT, 0 };
  struct notice_seen seen;

  /* POLLERR: nobody has the FIFO open for reading. */
  return poll(&p, 1, 0) >= 0 && !(p.revents & POLLERR) && notice_read(seen_fd, &seen) && seen.connected;
}
