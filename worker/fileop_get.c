/* A part of a file, with its checksum. The file's version is a word made of what changes when the file does: whoever goes on at an offset says which one it began with. */
#include "worker/fileop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/os.h"
#include "worker/sha256.h"

enum { VERSION_MAX = 96 };

static const char *version_of(const struct stat *st, char out[VERSION_MAX])
{
  snprintf(out, VERSION_MAX, "%llx-%llx-%llx.%lx-%llx.%lx", (unsigned long long)st->st_ino, (unsigned long long)st->st_size, (unsigned long long)st->st_mtim.tv_sec,
           (unsigned long)st->st_mtim.tv_nsec, (unsigned long long)st->st_ctim.tv_sec, (unsigned long)st->st_ctim.tv_nsec);
  return out;
}

/* Looked at before it is opened: to open a device or a FIFO may do something already. */
int fileop_open(struct fileop *op, struct stat *st)
{
  struct stat seen;
  int fd;

  if (os_stat_beneath(op->work, op->path, false, &seen))
    return -1;
  if (S_ISDIR(seen.st_mode)) {
    errno = EISDIR;
    return -1;
  }
  if (!S_ISREG(seen.st_mode))
    return fileop_fail(op, "badarg", "that is not a regular file");
  fd = beneath_open(op->work, op->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 || fstat(fd, st))
    return -1;
  return st->st_ino == seen.st_ino && st->st_dev == seen.st_dev ? fd : fileop_fail(op, "changed", "the file is another one now");
}

int fileop_get(struct fileop *op)
{
  const char *asked = records_get(op->blob, op->n, "version");
  char version[VERSION_MAX], later[VERSION_MAX], hex[SHA256_HEX_LEN + 1];
  struct sha256 sum;
  struct stat st;
  int64_t off = op->a, left = op->b;
  int fd = fileop_open(op, &st);

  if (fd < 0)
    return -1;
  version_of(&st, version);
  if (asked && strcmp(asked, version))
    return fileop_fail(op, "changed", "the file is another one now");
  sha256_init(&sum);
  while (left > 0) {
    ssize_t n = pread(fd, fileop_room(), left < FRAME_MAX ? (size_t)left : FRAME_MAX, (off_t)off);
    if (n < 0)
      return -1;
    if (!n)
      break;
    sha256_add(&sum, fileop_room(), (size_t)n);
    fileop_data(op, fileop_room(), (size_t)n);
    off += n;
    left -= n;
  }
  if (fstat(fd, &st))
    return -1;
  if (strcmp(version_of(&st, later), version))
    return fileop_fail(op, "changed", "the file was changed while it was read");
  sha256_end(&sum, hex);
  fileop_put_stat(&op->out, &st);
  records_put(&op->out, "version", version);
  records_putf(&op->out, "bytes", "%lld", (long long)(off - op->a));
  records_put(&op->out, "sum", hex);
  return 0;
}
