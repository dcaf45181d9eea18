/* Removing a tree: goes down and up with one descriptor, so that depth costs memory only, and checks on each way up that it
   came out where it had gone in (somebody may be moving folders meanwhile: then EAGAIN is told, nothing outside is touched).
   What can't be removed ends the walk with its error, after one try with write permission given. */
#include "worker/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

enum { REFILLS_MAX = 1000 }; /* how often a folder that was emptied may be found filled again by somebody */

struct level {
  dev_t dev;
  ino_t ino;
  char *name; /* of this folder in the one above */
};

struct walk {
  struct level *level;
  size_t depth, cap;
  int fd; /* of the innermost folder */
  int refills;
};

static int open_folder(int dir, const char *name)
{
  int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, fd = openat(dir, name, flags);

  if (fd < 0 && errno == EACCES) {
    if (!fchmodat(dir, name, 0700, AT_SYMLINK_NOFOLLOW))
      fd = openat(dir, name, flags);
    else
      errno = EACCES;
  }
  return fd;
}

/* Goes down into `name`. On success the old descriptor is closed unless it is the caller's (`keep`). */
static int enter(struct walk *w, int dir, const char *name, bool keep)
{
  struct stat st;
  int fd = open_folder(dir, name);

  if (fd < 0)
    return -1;
  if (fstat(fd, &st)) {
    close(fd);
    return -1;
  }
  if (w->depth == w->cap) {
    w->cap = w->cap ? w->cap * 2 : 32;
    w->level = xrealloc(w->level, w->cap * sizeof *w->level);
  }
  w->level[w->depth++] = (struct level){ st.st_dev, st.st_ino, xstrdup(name) };
  if (!keep)
    close(dir);
  w->fd = fd;
  return 0;
}

/* Goes up one level (not from the first). */
static int leave(struct walk *w)
{
  struct level *above = &w->level[w->depth - 2];
  struct stat st;
  int fd = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return -1;
  if (fstat(fd, &st) || st.st_dev != above->dev || st.st_ino != above->ino) {
    close(fd);
    errno = EAGAIN;
    return -1;
  }
  close(w->fd);
  w->fd = fd;
  return 0;
}

/* 0: gone. 1: it is a folder with something in it. -1: errno. */
static int unlink_one(int dir, const char *name)
{
  for (int tries = 0;; tries++) {
    if (!unlinkat(dir, name, 0) || errno == ENOENT)
      return 0;
    if (errno == EISDIR || errno == EPERM) { /* EPERM: what POSIX wants for a folder, or an immutable file */
      if (!unlinkat(dir, name, AT_REMOVEDIR) || errno == ENOENT)
        return 0;
      if (errno == ENOTEMPTY || errno == EEXIST)
        return 1;
      if (errno == ENOTDIR)
        errno = EPERM;
    }
    if (errno != EACCES || tries || fchmod(dir, 0700))
      return -1;
  }
}

/* Empties the innermost folder of all but full folders. 0: empty. 1: went down into a folder. -1: errno. */
static int empty(struct walk *w)
{
  DIR *d = fdopendir(fcntl(w->fd, F_DUPFD_CLOEXEC, 0));
  struct dirent *e;
  int r = 0;

  if (!d)
    return -1;
  rewinddir(d); /* the position is shared with the descriptor */
  while (r == 0 && (errno = 0, e = readdir(d))) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
      continue;
    r = unlink_one(w->fd, e->d_name);
    if (r == 1 && enter(w, w->fd, e->d_name, false))
      r = errno == ENOENT || errno == ENOTDIR ? 0 : -1; /* somebody else was quicker: look at it anew */
  }
  if (r == 0 && errno)
    r = -1;
  closedir(d);
  return r;
}

/* The innermost folder is empty: out of it, and remove it. */
static int finish(struct walk *w, int top)
{
  struct level *l = &w->level[w->depth - 1];
  bool first = w->depth == 1;

  if (!first && leave(w))
    return -1;
  if (unlinkat(first ? top : w->fd, l->name, AT_REMOVEDIR) && errno != ENOENT) {
    if (errno != EACCES || first || fchmod(w->fd, 0700) || unlinkat(w->fd, l->name, AT_REMOVEDIR)) {
      if ((errno != ENOTEMPTY && errno != EEXIST) || ++w->refills > REFILLS_MAX)
        return -1;
      if (first)
        return 0; /* still in it: empty it again */
      free(l->name);
      w->depth--;
      return 0; /* the folder above will meet it again */
    }
  }
  free(l->name);
  w->depth--;
  if (first) {
    close(w->fd);
    w->fd = -1;
  }
  return 0;
}

int remove_tree(int dir, const char *name)
{
  struct walk w = { .fd = -1 };
  int r = unlink_one(dir, name), e;

  if (r == 1)
    r = enter(&w, dir, name, true);
  while (r == 0 && w.depth) {
    r = empty(&w);
    if (r == 0)
      r = finish(&w, dir);
    else if (r == 1)
      r = 0;
  }
  e = errno;
  while (w.depth)
    free(w.level[--w.depth].name);
  free(w.level);
  if (w.fd >= 0)
    close(w.fd);
  errno = e;
  return r ? -1 : 0;
}
