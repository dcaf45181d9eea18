/* One datagram a message to the socket that the service manager named. */
#include "common/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { NOTIFY_MAX = 512 };

static struct sockaddr_un to;
static socklen_t to_len; /* 0: nobody listens */
static char named[sizeof to.sun_path];

void notify_init(void)
{
  const char *path = getenv("NOTIFY_SOCKET");
  size_t n = path ? strlen(path) : 0;

  to_len = 0;
  if (n > 1 && n < sizeof to.sun_path && (*path == '/' || *path == '@')) {
    to.sun_family = AF_UNIX;
    memcpy(to.sun_path, path, n + 1);
    memcpy(named, path, n + 1);
    to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (*path == '@')
      to.sun_path[0] = 0; /* the abstract namespace */
  }
  unsetenv("NOTIFY_SOCKET");
}

const char *notify_socket(void)
{
  return to_len ? named : NULL;
}

void notify_send(const char *fmt, ...)
{
  char text[NOTIFY_MAX];
  va_list ap;
  int fd, n;
  ssize_t w;

  if (!to_len)
    return;
  va_start(ap, fmt);
  n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (n < 0)
    return;
  fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0)
    return;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  w = sendto(fd, text, n < NOTIFY_MAX ? (size_t)n : NOTIFY_MAX - 1, MSG_NOSIGNAL, (const struct sockaddr *)&to, to_len);
  (void)w; /* the manager is away: nobody is left to tell */
  close(fd);
}
