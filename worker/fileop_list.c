/* The entries of a folder, or what matches a pattern anywhere below it, a page at a time, in the order of their names' bytes: so a page is the same whenever it is asked for, and memory has a bound however
   many there are. */
#include "worker/fileop.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/fileop_page.h"
#include "worker/os.h"

/* Tells the page; names are below dir. */
static void tell(struct fileop *op, int dir, const struct page *p)
{
  struct buf part;
  struct stat st;
  long long entries = 0, bytes = 0;

  buf_init(&part, FRAME_MAX);
  for (size_t i = 0; i < p->n; i++) {
    if (part.len + strlen(p->name[i]) + WIRE_ENTRY_MAX > FRAME_MAX) {
      bytes += (long long)part.len;
      fileop_data(op, part.data, part.len);
      buf_reset(&part);
    }
    if (os_lstat_at(dir, p->name[i], &st))
      continue; /* somebody removed it */
    records_put(&part, "name", p->name[i]);
    fileop_put_stat(&part, &st);
    entries++;
  }
  if (part.len)
    fileop_data(op, part.data, part.len);
  records_putf(&op->out, "entries", "%lld", entries);
  records_putf(&op->out, "bytes", "%lld", bytes + (long long)part.len);
  records_put(&op->out, "complete", p->more ? "0" : "1");
}

int fileop_list(struct fileop *op)
{
  struct page p = page_new((size_t)op->a);
  int dir = beneath_open(op->work, op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

  if (dir < 0 || page_collect(&p, dir, records_get(op->blob, op->n, "after")))
    return -1;
  tell(op, dir, &p);
  return 0;
}

/* ---- what matches ---- */

enum { DEPTH_MAX = 200, SEEN_MAX = 2000000, WALK_MS = 20000, CLOCK_EACH = 64 };

struct walk {
  DIR *at[DEPTH_MAX];
  size_t end[DEPTH_MAX]; /* of the folder's path in `path` */
  int depth;
  char path[BENEATH_PATH_MAX];
  int64_t seen, until;
};

static bool enter(struct walk *w, int fd, size_t end)
{
  DIR *d = fd >= 0 && w->depth < DEPTH_MAX ? fdopendir(fd) : NULL;

  if (!d && fd >= 0)
    close(fd);
  if (!d)
    return false;
  w->end[w->depth] = end;
  w->at[w->depth++] = d;
  return true;
}

/* One entry of the folder that is open last. False: a folder that can't be looked into. */
static bool look(struct walk *w, struct page *p, const char *name, const char *pattern, const char *after)
{
  int dir = dirfd(w->at[w->depth - 1]);
  size_t end = w->end[w->depth - 1], n = strlen(name);
  struct stat st;

  if (end + n + 2 > sizeof w->path)
    return false;
  memcpy(w->path + end, name, n + 1);
  if (str_glob(pattern, w->path) && (!after || strcmp(w->path, after) > 0))
    page_offer(p, w->path);
  if (os_lstat_at(dir, name, &st) || !S_ISDIR(st.st_mode))
    return true;
  w->path[end + n] = '/';
  w->path[end + n + 1] = 0;
  return enter(w, openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), end + n + 1);
}

static bool spent(const struct walk *w)
{
  return w->seen >= SEEN_MAX || (w->seen % CLOCK_EACH == 0 && clock_mono_ms() >= w->until);
}

int fileop_glob(struct fileop *op)
{
  static struct walk w;
  const char *pattern = records_get(op->blob, op->n, "pattern"), *after = records_get(op->blob, op->n, "after");
  struct page p = page_new((size_t)op->a);
  int dir = beneath_open(op->work, op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

  if (!pattern || !*pattern || strlen(pattern) > WIRE_PATTERN_MAX)
    return fileop_fail(op, "badarg", "a pattern is wanted, of at most 255 bytes");
  if (dir < 0)
    return -1;
  w.until = clock_mono_ms() + WALK_MS;
  if (!enter(&w, dup(dir), 0))
    return -1;
  while (w.depth) {
    struct dirent *e = readdir(w.at[w.depth - 1]);
    if (!e)
      closedir(w.at[--w.depth]);
    else if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
      w.seen++, p.more |= !look(&w, &p, e->d_name, pattern, after);
    if (spent(&w)) {
      p.more |= w.depth > 0;
      break;
    }
  }
  page_sort(&p);
  tell(op, dir, &p);
  return 0;
}
