/* FIFOs as named pipes: the file that stands for one holds its pipe's name, which nobody can guess. Messages, so that what one write brought comes whole or not at all. Only the worker's own user, and the system's, may write to it. */
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <windows.h>

#include "common/str.h"
#include "worker/windows/stream.h"
#include "worker/windows/win.h"

enum { RANDOM_BYTES = 16, HEX = 2 * RANDOM_BYTES, BUSY_MS = 1000 };

int mkfifoat(int dir, const char *name, mode_t mode)
{
  unsigned char random[RANDOM_BYTES];
  char hex[HEX + 1];
  int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), n;

  (void)mode;
  if (fd < 0)
    return -1;
  str_random(random, sizeof random);
  str_hex(random, sizeof random, hex);
  n = write(fd, hex, HEX);
  close(fd);
  errno = ENOSPC;
  return n == HEX ? 0 : -1;
}

static bool name_of(const wchar_t *path, wchar_t *out, size_t room)
{
  char hex[HEX + 1] = "";
  int fd = win_open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, hex, HEX);

  if (fd >= 0)
    close(fd);
  if (n != HEX || strspn(hex, "0123456789abcdef") != HEX) {
    errno = n < 0 ? errno : EIO;
    return false;
  }
  swprintf(out, room, L"\\\\.\\pipe\\drover-%hs", hex);
  return true;
}

static int serve(const wchar_t *name, int flags)
{
  HANDLE h = CreateNamedPipeW(name, PIPE_ACCESS_INBOUND | FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1, STREAM_ROOM, STREAM_ROOM, 0, win_private());

  if (h == INVALID_HANDLE_VALUE) {
    errno = win_errno(GetLastError());
    return -1;
  }
  return flags & O_CLOEXEC ? stream_fifo(h) : win_file(h, O_RDWR);
}

int fifo_take(int fd)
{
  HANDLE h = INVALID_HANDLE_VALUE;

  DuplicateHandle(GetCurrentProcess(), (HANDLE)_get_osfhandle(fd), GetCurrentProcess(), &h, 0, FALSE, DUPLICATE_SAME_ACCESS);
  close(fd);
  return h == INVALID_HANDLE_VALUE ? -1 : stream_fifo(h);
}

/* What finds no room in it is not written at all. */
static int be_client(const wchar_t *name)
{
  DWORD mode = PIPE_READMODE_BYTE | PIPE_NOWAIT;
  HANDLE h;

  for (int tries = 0;; tries++) {
    h = CreateFileW(name, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (h != INVALID_HANDLE_VALUE) {
      SetNamedPipeHandleState(h, &mode, NULL, NULL);
      return win_file(h, O_WRONLY | O_CLOEXEC);
    }
    if (GetLastError() != ERROR_PIPE_BUSY || tries || !WaitNamedPipeW(name, BUSY_MS)) /* the one before is just being read to its end */
      break;
  }
  errno = ENXIO;
  return -1;
}

int fifo_open(const wchar_t *path, int flags)
{
  wchar_t name[HEX + 32];

  if (!name_of(path, name, COUNT(name)))
    return -1;
  return (flags & 3) == O_WRONLY ? be_client(name) : serve(name, flags);
}
