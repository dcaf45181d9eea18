#ifndef WINDOWS_POSIX_UNISTD_H
#define WINDOWS_POSIX_UNISTD_H
#include_next <unistd.h>
#include <stddef.h>
ssize_t pread(int fd, void *p, size_t n, off_t at);
ssize_t pwrite(int fd, const void *p, size_t n, off_t at);
int fsync(int fd);
#endif
