/* Files of --web-dir. The kernel confines: nothing above the folder, no links of any kind. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "master/api/web.h"

int web_dir_open(const char *path)
{
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static enum err read_all(int fd, struct buf *out)
{
  struct stat st;
  ssize_t n;

  if (fstat(fd, &st))
    return ERR_IO;
  if (!S_ISREG(st.st_mode))
    return ERR_NOTFOUND;
  if (st.st_size > WEB_FILE_MAX)
    return ERR_TOOBIG;
  do {
    if (!buf_reserve(out, 16384))
      return ERR_TOOBIG;
    n = read(fd, out->data + out->len, 16384);
    if (n > 0)
      buf_grown(out, (size_t)n);
  } while (n > 0 || (n < 0 && errno == EINTR));
  if (n < 0)
    return ERR_IO;
  return out->len > WEB_FILE_MAX ? ERR_TOOBIG : ERR_OK;
}

enum err web_dir_read(int dir, const char *name, struct buf *out)
{
  /* NONBLOCK: a FIFO must not stop the master */
  struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
  enum err e;
  int fd;

  if (*name == '.' || !web_type(name))
    return ERR_NOTFOUND;
  fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
  if (fd < 0)
    return errno == ENOENT || errno == ELOOP || errno == EXDEV || errno == ENXIO ? ERR_NOTFOUND : ERR_IO;
  e = read_all(fd, out);
  close(fd);
  return e;
}
