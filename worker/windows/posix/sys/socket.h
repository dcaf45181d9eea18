#ifndef WINDOWS_POSIX_SOCKET_H
#define WINDOWS_POSIX_SOCKET_H
#include <winsock2.h>
#include <ws2tcpip.h>

#define MSG_NOSIGNAL 0
/* The same, with errno, and sockets as small numbers. */
int win_socket(int family, int type, int protocol);
int win_connect(int fd, const struct sockaddr *to, socklen_t len);
int win_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int win_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
ssize_t win_recv(int fd, void *p, size_t n, int flags);
ssize_t win_send(int fd, const void *p, size_t n, int flags);
#define socket(family, type, protocol) win_socket(family, type, protocol)
#define connect(fd, to, len) win_connect(fd, to, len)
#define getsockopt(fd, level, name, value, len) win_getsockopt(fd, level, name, value, len)
#define setsockopt(fd, level, name, value, len) win_setsockopt(fd, level, name, value, len)
#define recv(fd, p, n, flags) win_recv(fd, p, n, flags)
#define send(fd, p, n, flags) win_send(fd, p, n, flags)
#endif
