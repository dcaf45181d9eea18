/* Measuring a tree: a stack of open folders, one entry after the other. */
#include "worker/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/os.h"

enum { BLOCK = 512, CLOCK_EACH = 64 }; /* the time is looked at each so many entries */

struct walk {
  DIR *at[USAGE_DEPTH_MAX];
  int depth;
  dev_t dev;
  int64_t until;
};

static void count(struct usage *u, const struct stat *st)
{
  int64_t bytes = (int64_t)st->st_blocks * BLOCK;

  u->entries++;
  u->bytes += S_ISDIR(st->st_mode) || st->st_nlink < 2 ? bytes : bytes / (int64_t)st->st_nlink;
}

/* Goes down into the folder that fd is; fd is the walk's in any case. */
static void enter(struct walk *w, struct usage *u, int fd)
{
  DIR *d = fd >= 0 && w->depth < USAGE_DEPTH_MAX ? fdopendir(fd) : NULL;

  if (d) {
    w->at[w->depth++] = d;
    return;
  }
  u->complete = false;
  if (fd >= 0)
    close(fd);
}

static void look(struct walk *w, struct usage *u, const char *name)
{
  int dir = dirfd(w->at[w->depth - 1]), fd;
  struct stat st;

  if (os_lstat_at(dir, name, &st))
    return; /* somebody removed it */
  if (st.st_dev != w->dev)
    return;
  count(u, &st);
  if (!S_ISDIR(st.st_mode))
    return;
  if (w->depth == USAGE_DEPTH_MAX) {
    u->complete = false;
    return;
  }
  fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0 && (fstat(fd, &st) || st.st_dev != w->dev)) {
    close(fd); /* something was mounted there just now */
    return;
  }
  enter(w, u, fd);
}

static bool spent(const struct walk *w, const struct usage *u)
{
  return u->entries >= USAGE_ENTRIES_MAX || (u->entries % CLOCK_EACH == 0 && clock_mono_ms() >= w->until);
}

void usage_measure(int dir, struct usage *u)
{
  static struct walk w; /* the process has one measure at a time, and little stack */
  struct stat st;

  memset(u, 0, sizeof *u);
  u->complete = true;
  w.depth = 0;
  w.until = clock_mono_ms() + USAGE_MS;
  if (fstat(dir, &st)) {
    u->complete = false;
    close(dir);
    return;
  }
  w.dev = st.st_dev;
  count(u, &st);
  enter(&w, u, dir);
  while (w.depth) {
    struct dirent *e = readdir(w.at[w.depth - 1]);
    if (!e)
      closedir(w.at[--w.depth]);
    else if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
      look(&w, u, e->d_name);
    if (spent(&w, u)) {
      u->complete = u->complete && !w.depth;
      break;
    }
  }
  while (w.depth)
    closedir(w.at[--w.depth]);
}
