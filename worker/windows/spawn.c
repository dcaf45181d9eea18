/* posix_spawn() for minders: the C library of the new process finds the files that it is given under the numbers that they have here, as after a fork. */
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "worker/windows/notice_windows.h"
#include "worker/windows/proc.h"
#include "worker/windows/win.h"

enum { PASSED_MAX = 16, IS_OPEN = 0x01, IS_PIPE = 0x08 };

#undef environ
char **environ; /* never used: a minder has ours */

/* How many there are up to the highest, a byte of flags for each, a handle for each. */
static size_t describe(const int *fd, size_t n, void *const *handle, void *const io[3], unsigned char **out)
{
  int count = 3;
  unsigned char *flags, *handles;
  HANDLE none = INVALID_HANDLE_VALUE;

  for (size_t i = 0; i < n; i++)
    count = fd[i] >= count ? fd[i] + 1 : count;
  *out = xcalloc(1, sizeof count + (size_t)count * (1 + sizeof none));
  memcpy(*out, &count, sizeof count);
  flags = *out + sizeof count;
  handles = flags + count;
  for (int i = 0; i < count; i++)
    memcpy(handles + (size_t)i * sizeof none, &none, sizeof none);
  for (size_t i = 0; i < n + 3; i++) {
    HANDLE h = i < 3 ? io[i] : handle[i - 3];
    int at = i < 3 ? (int)i : fd[i - 3];
    if (!h)
      continue;
    flags[at] = (unsigned char)(IS_OPEN | (GetFileType(h) == FILE_TYPE_PIPE ? IS_PIPE : 0));
    memcpy(handles + (size_t)at * sizeof h, &h, sizeof h);
  }
  return sizeof count + (size_t)count * (1 + sizeof none);
}

int posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attributes, char *const argv[], char *const env[])
{
  int fd[PASSED_MAX];
  size_t n = win_passed(fd, PASSED_MAX);
  HANDLE keep[PASSED_MAX + 1], null = CreateFileW(L"NUL", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL), err = GetStdHandle(STD_ERROR_HANDLE), process;
  struct proc_args a = { .program = path, .argv = (const char *const *)argv, .io = { null, null, err && err != INVALID_HANDLE_VALUE ? err : null }, .keep = keep, .nkeep = n + 1, .apart = true };
  unsigned char *told;
  unsigned long number;
  int e;

  (void)actions, (void)attributes, (void)env;
  for (size_t i = 0; i < n; i++)
    keep[i] = (HANDLE)_get_osfhandle(fd[i]);
  keep[n] = notice_event();
  a.nfds = describe(fd, n, keep, a.io, &told);
  a.fds = told;
  e = proc_start(&a, &process, &number);
  free(told);
  CloseHandle(null);
  if (e)
    return e;
  CloseHandle(process);
  *pid = (pid_t)number;
  return 0;
}
