#include "worker/small.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "worker/os.h"

enum err small_read(int dir, const char *name, char *text, size_t size)
{
  int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t n;

  if (fd < 0)
    return errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
  n = read(fd, text, size - 1);
  close(fd);
  if (n < 0)
    return ERR_IO;
  text[n] = 0;
  return ERR_OK;
}

bool small_put(int dir, const char *path, const char *text)
{
  int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
  bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

  if (fd >= 0)
    close(fd);
  return good;
}

enum err small_replace(int dir, const char *name, const char *next, const char *text, size_t n)
{
  int fd = openat(dir, next, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  int bad = fd < 0 || write(fd, text, n) != (ssize_t)n || ftruncate(fd, (off_t)n) || fsync(fd), number = errno;

  if (fd >= 0)
    close(fd);
  if (!bad && (bad = (os_swap_names(dir, next, name) && renameat(dir, next, dir, name)) || fsync(dir)))
    number = errno;
  if (!bad)
    return ERR_OK;
  return number == ENOSPC || number == EDQUOT ? ERR_NOSPACE : ERR_IO;
}
