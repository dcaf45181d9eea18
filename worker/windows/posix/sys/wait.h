#ifndef WINDOWS_POSIX_WAIT_H
#define WINDOWS_POSIX_WAIT_H
#include <stdbool.h>
#include <stdint.h>
/* A status is the exit code; whether it was we who ended the process is known beside it (worker/windows/child.c). */
bool win_was_killed(int status);
#define WIFSIGNALED(status) win_was_killed(status)
#define WTERMSIG(status) ((void)(status), INT64_C(9))
#define WEXITSTATUS(status) ((int64_t)(uint32_t)(status))
#endif
