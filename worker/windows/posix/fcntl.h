#ifndef WINDOWS_POSIX_FCNTL_H
#define WINDOWS_POSIX_FCNTL_H
#include_next <fcntl.h>
#include <errno.h>
#ifndef EDQUOT
#define EDQUOT ENOSPC
#endif
#define O_CLOEXEC _O_NOINHERIT
#define O_NOCTTY 0
#define O_NOFOLLOW 0
#define O_NONBLOCK 0x10000000
#define AT_FDCWD (-100)
enum { F_SETFD = 2, F_SETFL = 4, FD_CLOEXEC = 1 };
int fcntl(int fd, int what, ...); /* of sockets: O_NONBLOCK; nothing is inherited anyway */
int openat(int dir, const char *name, int flags, ...);
#endif
