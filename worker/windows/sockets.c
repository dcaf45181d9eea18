/* Sockets as small numbers with errno, and what wakes whoever waits. */
#include <sys/socket.h>
#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/windows/win.h"

#undef socket
#undef connect
#undef getsockopt
#undef setsockopt
#undef recv
#undef send

/* ---- sockets ---- */

static SOCKET socket_of(int fd) { return (SOCKET)(fd - WIN_SOCKETS); } /* their handles are small and even */
unsigned long long win_socket_of(int fd) { return socket_of(fd); }
static int socket_failed(void)
{
  errno = win_errno((unsigned long)WSAGetLastError());
  return -1;
}

int win_socket(int family, int type, int protocol)
{
  SOCKET s = WSASocketW(family, type, protocol, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);

  if (s == INVALID_SOCKET)
    return socket_failed();
  return (int)s + WIN_SOCKETS;
}

int win_connect(int fd, const struct sockaddr *to, socklen_t len)
{
  if (!connect(socket_of(fd), to, len))
    return 0;
  socket_failed();
  if (errno == EAGAIN)
    errno = EINPROGRESS;
  return -1;
}

int win_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
  int r = getsockopt(socket_of(fd), level, name, value, len);

  if (!r && level == SOL_SOCKET && name == SO_ERROR && *(int *)value)
    *(int *)value = win_errno((unsigned long)*(int *)value);
  return r ? socket_failed() : 0;
}

int win_setsockopt(int fd, int level, int name, const void *value, socklen_t len) { return setsockopt(socket_of(fd), level, name, value, len) ? socket_failed() : 0; }

ssize_t win_recv(int fd, void *p, size_t n, int flags)
{
  int r = recv(socket_of(fd), p, n > INT_MAX ? INT_MAX : (int)n, flags);
  return r < 0 ? socket_failed() : r;
}

ssize_t win_send(int fd, const void *p, size_t n, int flags)
{
  int r = send(socket_of(fd), p, n > INT_MAX ? INT_MAX : (int)n, flags);
  return r < 0 ? socket_failed() : r;
}

int win_socket_nonblock(int fd)
{
  u_long on = 1;

  return ioctlsocket(socket_of(fd), FIONBIO, &on) ? socket_failed() : 0;
}

int win_socket_close(int fd) { return closesocket(socket_of(fd)) ? socket_failed() : 0; }
void win_hang_up(int fd) { shutdown(socket_of(fd), SD_BOTH); }

/* ---- waking ---- */

static int wake_fd = -1;

/* The one that each process has. Who comes first makes it, and several may come at once. */
static HANDLE wake_event(void)
{
  static void *volatile event;
  HANDLE made;

  if (event)
    return event;
  made = CreateEventW(NULL, FALSE, FALSE, NULL);
  if (InterlockedCompareExchangePointer(&event, made, NULL))
    CloseHandle(made); /* another one was first */
  return event;
}

int win_wake_open(void)
{
  struct sockaddr_in a = { .sin_family = AF_INET };
  socklen_t len = sizeof a;
  int fd = win_socket(AF_INET, SOCK_DGRAM, 0);

  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(socket_of(fd), (struct sockaddr *)&a, sizeof a) || getsockname(socket_of(fd), (struct sockaddr *)&a, &len) || connect(socket_of(fd), (struct sockaddr *)&a, sizeof a) || win_socket_nonblock(fd))
    return socket_failed();
  wake_fd = fd; /* connected to itself: nobody else's datagrams come in */
  return 0;
}

int win_wake_fd(void) { return wake_fd; }

void win_wake(void)
{
  SetEvent(wake_event());
  if (wake_fd >= 0)
    send(socket_of(wake_fd), "w", 1, 0);
}

void win_wake_wait(unsigned long ms) { WaitForSingleObject(wake_event(), ms); }

void win_wake_clear(void)
{
  char part[64];

  while (recv(socket_of(wake_fd), part, sizeof part, 0) > 0)
    continue;
}
