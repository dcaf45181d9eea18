#ifndef WINDOWS_POSIX_LIMITS_H
#define WINDOWS_POSIX_LIMITS_H
#include_next <limits.h>
#ifndef PATH_MAX
#define PATH_MAX 4096
#endif
#define PIPE_BUF 4096 /* any message is whole (worker/windows/fifo.c) */
#endif
