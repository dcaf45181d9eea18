/* Rename, and a copy of a file: both name two places below the work folder. */
#include "worker/fileop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/os.h"
#include "worker/sha256.h"

enum { PART_NAME_MAX = 64 };

struct place {
  int dir;
  char leaf[256];
};

static bool find(const struct fileop *op, const char *path, struct place *p)
{
  p->dir = beneath_parent(op->work, path, p->leaf);
  return p->dir >= 0;
}

static bool is_there(const struct place *p)
{
  struct stat st;
  return !fstatat(p->dir, p->leaf, &st, AT_SYMLINK_NOFOLLOW);
}

/* The other place. NULL: fileop_fail() was said. */
static const char *target(struct fileop *op)
{
  const char *to = records_get(op->blob, op->n, "to");

  if (to && beneath_valid(to))
    return to;
  fileop_fail(op, to && strlen(to) >= BENEATH_PATH_MAX ? "toolong" : "badarg", "`to` is no path below the work folder");
  return NULL;
}

int fileop_rename(struct fileop *op)
{
  const char *to = target(op), *replace = records_get(op->blob, op->n, "replace");
  struct place a, b;

  if (!to || !find(op, op->path, &a) || !find(op, to, &b))
    return -1;
  if (str_eq(replace, "1") ? !renameat(a.dir, a.leaf, b.dir, b.leaf) : !os_rename_new(a.dir, a.leaf, b.dir, b.leaf))
    return 0;
  if (errno == ENOENT && !is_there(&a) && is_there(&b))
    return 0; /* done before: its answer was lost */
  if (errno == ENOTEMPTY)
    errno = EEXIST;
  return errno == EINVAL ? fileop_fail(op, "badarg", "a folder can't go into itself") : -1;
}

static int copy_bytes(int from, int to)
{
  ssize_t n;

  if (!os_clone(to, from))
    return 0;
  while ((n = os_copy_range(from, to)) > 0)
    ;
  if (!n)
    return 0;
  while ((n = read(from, fileop_room(), FRAME_MAX)) > 0)
    if (write(to, fileop_room(), (size_t)n) != n)
      return -1;
  return n ? -1 : 0;
}

int fileop_copy(struct fileop *op)
{
  const char *to = target(op);
  char part[PART_NAME_MAX];
  struct place b;
  struct stat st;
  int from, fd, e;

  if (!to || (from = fileop_open(op, &st)) < 0 || !find(op, to, &b))
    return -1;
  fileop_part_name(b.leaf, op->path, part, sizeof part);
  unlinkat(b.dir, part, 0); /* of a copy that was cut short */
  fd = openat(b.dir, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return -1;
  if (copy_bytes(from, fd)) {
    e = errno;
    unlinkat(b.dir, part, 0);
    errno = e;
    return -1;
  }
  return fileop_place(op, fd, b.dir, part, b.leaf, st.st_mode & 0777);
}
