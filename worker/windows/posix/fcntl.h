#ifndef WINDOWS_POSIX_FCNTL_H
#define WINDOWS_POSIX_FCNTL_H
#include_next <fcntl.h>
#include <errno.h>
#ifndef EDQUOT
#define EDQUOT 1133
#endif
#ifndef EUSERS
#define EUSERS 1068
#endif
#define O_CLOEXEC _O_NOINHERIT
#define O_NOCTTY 0
#define O_NONBLOCK 0x10000000
#define O_DIRECTORY 0x20000000
#define O_NOFOLLOW 0x40000000
#define OS_FIFO 0x08000000 /* it was made by mkfifoat() */
#define AT_FDCWD (-100)
enum { AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200 };
enum { F_SETFD = 2, F_SETFL = 4, F_DUPFD_CLOEXEC = 1030, FD_CLOEXEC = 1 };
int fcntl(int fd, int what, ...); /* of sockets O_NONBLOCK; of files FD_CLOEXEC; of folders F_DUPFD_CLOEXEC */
int openat(int dir, const char *name, int flags, ...);
#endif
