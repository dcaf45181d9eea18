/* drover api-pipe: standard input and output are joined to the master's socket, until either side ends. The far end of `drover -H ssh://HOST`. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/commands.h"

enum { PIPE_BYTES = 65536 };

/* Moves what can be read; false: that end is over. */
static bool move(int from, int to)
{
  static char bytes[PIPE_BYTES];
  ssize_t n;

  do
    n = read(from, bytes, sizeof bytes);
  while (n < 0 && errno == EINTR);
  if (n <= 0)
    return false;
  for (ssize_t at = 0, w; at < n; at += w > 0 ? w : 0) {
    w = write(to, bytes + at, (size_t)(n - at));
    if (w < 0 && errno != EINTR)
      return false;
  }
  return true;
}

int cmd_api_pipe(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct sockaddr_un sa = { .sun_family = AF_UNIX };
  struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };
  int fd;

  (void)a, (void)arg, (void)narg;
  if (strlen(c->socket) >= sizeof sa.sun_path)
    return cli_error(c, CLI_USAGE, "the socket's path is longer than %zu bytes: %s", sizeof sa.sun_path - 1, c->socket);
  strcpy(sa.sun_path, c->socket);
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa))
    return cli_error(c, CLI_AWAY, "%s: %s", c->socket, strerror(errno));
  fds[1].fd = fd;
  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR)
      break;
    if (fds[1].revents && !move(fd, STDOUT_FILENO))
      break;
    if (fds[0].revents && !move(STDIN_FILENO, fd)) {
      if (shutdown(fd, SHUT_WR))
        break;
      fds[0].fd = -1; /* the rest of the answer still comes */
      fds[0].revents = 0;
    }
  }
  close(fd);
  return CLI_OK;
}
