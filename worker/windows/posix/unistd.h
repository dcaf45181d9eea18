#ifndef WINDOWS_POSIX_UNISTD_H
#define WINDOWS_POSIX_UNISTD_H
#include_next <unistd.h>
#include <stddef.h>
#include <sys/types.h>
#define tell worker_tell /* a name that the C library has no use for here */
#undef ftruncate
#undef access
#define ftruncate win_ftruncate
#define access(path, how) faccessat(AT_FDCWD, path, how, 0)
ssize_t pread(int fd, void *p, size_t n, off_t at);
ssize_t pwrite(int fd, const void *p, size_t n, off_t at);
int fsync(int fd);
#define fdatasync(fd) fsync(fd)
int win_ftruncate(int fd, off_t size);
int pipe(int fd[2]); /* holds 64 KiB that nobody reads yet */
int faccessat(int dir, const char *name, int how, int flags);
int unlinkat(int dir, const char *name, int flags);
int symlinkat(const char *target, int dir, const char *name);
ssize_t readlinkat(int dir, const char *name, char *to, size_t n);
#define geteuid() 0u
#define setsid() ((void)0)
#endif
