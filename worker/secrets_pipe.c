/* Values of secrets on their way from the agent to the minder. */
#include "worker/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"

int secrets_pipe(const char *blob, size_t n)
{
  int fd[2], number;
  ssize_t w;

  if (pipe(fd))
    return -1;
  fcntl(fd[1], F_SETFD, FD_CLOEXEC);
  fcntl(fd[1], F_SETFL, O_NONBLOCK);
  w = write(fd[1], blob, n);
  number = errno;
  close(fd[1]);
  if (w == (ssize_t)n)
    return fd[0];
  close(fd[0]); /* a host where pipes are scarce gives small ones */
  errno = w < 0 && number != EAGAIN ? number : ENOBUFS;
  return -1;
}

char *secrets_read(int fd, size_t *n)
{
  char *blob = xcalloc(1, SECRETS_MAX + 1);
  ssize_t r = 1;

  for (*n = 0; r && *n < SECRETS_MAX; *n += r > 0 ? (size_t)r : 0) {
    r = read(fd, blob + *n, SECRETS_MAX - *n);
    if (r < 0 && errno != EINTR)
      break;
  }
  close(fd);
  if (r >= 0)
    return blob;
  mem_wipe(blob, *n);
  free(blob);
  return NULL;
}
