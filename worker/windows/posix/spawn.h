#ifndef WINDOWS_POSIX_SPAWN_H
#define WINDOWS_POSIX_SPAWN_H
#include <sys/types.h>
#undef environ
/* A minder: out of our console and, where that may be, out of our job. It has what was opened without O_CLOEXEC, under the same numbers. The environment is always ours. */
int posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attributes, char *const argv[], char *const env[]);
#endif
