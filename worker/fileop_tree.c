/* Many small files at once. An entry is the records name, type, mode, size, and then `size` bytes: a file's contents, a link's target, nothing of a folder.
   What is put is made entry by entry, the last folder kept open; what is got is told depth first, names in the order of their bytes, so that it can be gone on with behind any entry. */
#include "worker/fileop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/fileop_page.h"
#include "worker/os.h"

enum { DEPTH_MAX = 200, FOLDER_MAX = 65536, LINK_MAX_BYTES = 4095 };

struct entry {
  const char *name, *type, *bytes;
  mode_t mode;
  size_t size;
};

/* ---- put ---- */

struct maker {
  struct fileop *op;
  int top, dir;                  /* the tree's folder; that of the last entry, or -1 */
  char folder[BENEATH_PATH_MAX]; /* its path */
  char link[LINK_MAX_BYTES + 1];
};

static const char *value_of(const char *p, size_t n, size_t *at, const char *want)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;

  return !records_next(p, n, at, key, &value) && !strcmp(key, want) ? value : NULL;
}

static bool next_entry(const char *p, size_t n, size_t *at, struct entry *e)
{
  const char *mode, *size;
  int64_t bytes;

  if (!(e->name = value_of(p, n, at, "name")) || !(e->type = value_of(p, n, at, "type")) || !(mode = value_of(p, n, at, "mode")) || !(size = value_of(p, n, at, "size")))
    return false;
  if (!beneath_valid(e->name) || beneath_is_top(e->name) || !fileop_mode(mode, &e->mode) || str_number(size, strlen(size), &bytes) || (uint64_t)bytes > n - *at)
    return false;
  e->bytes = p + *at;
  e->size = (size_t)bytes;
  *at += e->size;
  return true;
}

/* The folder of the entry, made where it is missing. NULL: errno. Else the last part of its name. */
static const char *go_to(struct maker *m, const char *name)
{
  const char *slash = strrchr(name, '/'), *leaf = slash ? slash + 1 : name;
  size_t n = slash ? (size_t)(slash - name) : 0;

  if (m->dir >= 0 && strlen(m->folder) == n && !memcmp(m->folder, name, n))
    return leaf;
  if (m->dir >= 0)
    close(m->dir);
  memcpy(m->folder, n ? name : ".", n ? n : 1);
  m->folder[n ? n : 1] = 0;
  m->dir = beneath_open(m->top, m->folder, O_RDONLY | O_DIRECTORY);
  if (m->dir < 0 && errno == ENOENT) {
    umask(022); /* no entry says how open it is to be */
    m->dir = beneath_mkdirs(m->top, m->folder) ? -1 : beneath_open(m->top, m->folder, O_RDONLY | O_DIRECTORY);
    umask(0);
  }
  m->folder[n] = 0;
  return m->dir < 0 ? NULL : leaf;
}

static int make_file(const struct maker *m, const char *leaf, const struct entry *e)
{
  int fd = openat(m->dir, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, e->mode), number = 0;

  if (fd < 0)
    return -1;
  for (size_t at = 0; at < e->size && !number;) {
    ssize_t n = write(fd, e->bytes + at, e->size - at);
    if (n < 0 && errno != EINTR)
      number = errno;
    at += n > 0 ? (size_t)n : 0;
  }
  close(fd);
  errno = number;
  return number ? -1 : 0;
}

static int make_link(struct maker *m, const char *leaf, const struct entry *e)
{
  memcpy(m->link, e->bytes, e->size);
  m->link[e->size] = 0;
  return symlinkat(m->link, m->dir, leaf);
}

static int make_dir(const struct maker *m, const char *leaf, const struct entry *e)
{
  struct stat st;

  if (!mkdirat(m->dir, leaf, e->mode))
    return 0;
  if (errno != EEXIST || fstatat(m->dir, leaf, &st, AT_SYMLINK_NOFOLLOW))
    return -1;
  if (!S_ISDIR(st.st_mode)) {
    errno = EEXIST;
    return -1;
  }
  return (st.st_mode & 0777) == e->mode ? 0 : fchmodat(m->dir, leaf, e->mode, 0);
}

static int make_one(struct maker *m, const char *leaf, const struct entry *e)
{
  return *e->type == 'd' ? make_dir(m, leaf, e) : *e->type == 'l' ? make_link(m, leaf, e) : make_file(m, leaf, e);
}

static int make(struct maker *m, const struct entry *e)
{
  bool file = !strcmp(e->type, "file"), link = !strcmp(e->type, "link"), dir = !strcmp(e->type, "dir");
  const char *leaf;

  if ((!file && !link && !dir) || (dir && e->size) || (link && (!e->size || e->size > LINK_MAX_BYTES || memchr(e->bytes, 0, e->size))))
    return fileop_fail(m->op, "badarg", "an entry is none");
  leaf = go_to(m, e->name);
  if (!leaf)
    return -1;
  if (!*leaf || !strcmp(leaf, "."))
    return fileop_fail(m->op, "badarg", "an entry is none");
  if (!make_one(m, leaf, e))
    return 0;
  if (errno != EEXIST || unlinkat(m->dir, leaf, 0)) /* what is there is replaced, but for a folder */
    return -1;
  return make_one(m, leaf, e);
}

int fileop_puttree(struct fileop *op)
{
  static struct maker m;
  const char *p = op->blob + op->a;
  size_t n = op->n - (size_t)op->a, at = 0;
  long long entries = 0;
  struct entry e;

  m.op = op;
  m.dir = -1;
  m.top = beneath_mkdirs(op->work, op->path) ? -1 : beneath_open(op->work, op->path, O_RDONLY | O_DIRECTORY);
  if (m.top < 0)
    return -1;
  umask(0);
  while (at < n) {
    if (!next_entry(p, n, &at, &e))
      return fileop_fail(op, "badarg", "an entry is none");
    if (make(&m, &e))
      return -1;
    entries++;
  }
  records_putf(&op->out, "entries", "%lld", entries);
  return 0;
}

/* ---- get ---- */

struct teller {
  struct fileop *op;
  size_t used;             /* of the frame's room */
  int64_t left, bytes, entries;
  bool more;
  char path[BENEATH_PATH_MAX];
  char contents[WIRE_TREE_FILE_MAX];
};

static void add(struct teller *t, const char *p, size_t n)
{
  t->bytes += (int64_t)n;
  while (n) {
    size_t part = FRAME_MAX - t->used < n ? FRAME_MAX - t->used : n;
    memcpy(fileop_room() + t->used, p, part);
    t->used += part;
    p += part;
    n -= part;
    if (t->used == FRAME_MAX) {
      fileop_data(t->op, fileop_room(), t->used);
      t->used = 0;
    }
  }
}

/* A small file's bytes; -1: errno, ELOOP where it is no file any more. */
static ssize_t contents(struct teller *t, int dir, const char *name)
{
  int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  struct stat st;
  ssize_t n = -1, all = 0;
  int number = ELOOP;

  if (fd < 0)
    return -1;
  if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
    while ((n = read(fd, t->contents + all, sizeof t->contents - (size_t)all)) > 0)
      all += n;
    number = errno;
  }
  close(fd);
  errno = number;
  return n < 0 ? -1 : all;
}

/* 1: go on; 0: the answer has as much as was asked for; -1: errno. */
static int tell(struct teller *t, int dir, const char *name, const struct stat *st)
{
  bool large = S_ISREG(st->st_mode) && st->st_size > WIRE_TREE_FILE_MAX;
  const char *type = large ? "large" : S_ISREG(st->st_mode) ? "file" : S_ISDIR(st->st_mode) ? "dir" : "link";
  ssize_t n = 0;
  struct buf head;

  if (S_ISREG(st->st_mode) && !large)
    n = contents(t, dir, name);
  else if (S_ISLNK(st->st_mode))
    n = readlinkat(dir, name, t->contents, LINK_MAX_BYTES);
  if (n < 0)
    return errno == ENOENT || errno == ELOOP || errno == EINVAL ? 1 : -1; /* it went away, or became something else */
  if (t->entries && t->left < n + (ssize_t)strlen(t->path) + WIRE_ENTRY_MAX) {
    t->more = true;
    return 0;
  }
  buf_init(&head, BENEATH_PATH_MAX + WIRE_ENTRY_MAX);
  records_put(&head, "name", t->path);
  records_put(&head, "type", type);
  records_putf(&head, "mode", "%o", (unsigned)st->st_mode & 0777u);
  records_putf(&head, "size", "%lld", (long long)n);
  t->left -= (int64_t)head.len + n;
  t->entries++;
  add(t, head.data, head.len);
  add(t, t->contents, (size_t)n);
  buf_free(&head);
  return 1;
}

/* The folder dir, whose path is t->path[0, end); after: what of it was told before, or NULL. 1: go on; 0: enough; -1: errno. */
static int walk(struct teller *t, int dir, size_t end, const char *after, int depth)
{
  struct page p = page_new(FOLDER_MAX);
  size_t first = after ? strcspn(after, "/") : 0;
  int r = page_collect(&p, dir, NULL) ? -1 : 1;

  if (r > 0 && p.more)
    r = fileop_fail(t->op, "toolong", "a folder has more than 65536 entries");
  for (size_t i = 0; i < p.n && r > 0; i++) {
    const char *name = p.name[i];
    size_t n = strlen(name);
    int cmp = after ? strncmp(name, after, first) : 1;
    bool was = after && !cmp && n == first; /* this one, or what it holds, was told last */
    struct stat st;
    if (after && !was && (cmp < 0 || (!cmp && n < first)))
      continue;
    if (end + n + 2 > sizeof t->path || os_lstat_at(dir, name, &st) || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)))
      continue;
    memcpy(t->path + end, name, n + 1);
    if (!was)
      r = tell(t, dir, name, &st);
    if (r > 0 && S_ISDIR(st.st_mode)) {
      int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      t->path[end + n] = '/';
      if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        r = -1;
      if (fd >= 0)
        r = depth < DEPTH_MAX ? walk(t, fd, end + n + 1, was && after[first] ? after + first + 1 : NULL, depth + 1) : fileop_fail(t->op, "toolong", "more than 200 levels");
      if (fd >= 0)
        close(fd);
    }
  }
  page_free(&p);
  return r;
}

int fileop_gettree(struct fileop *op)
{
  static struct teller t;
  const char *after = records_get(op->blob, op->n, "after");
  int dir = beneath_open(op->work, op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

  if (dir < 0)
    return -1;
  t.op = op;
  t.left = op->a;
  if (walk(&t, dir, 0, after && *after ? after : NULL, 0) < 0)
    return -1;
  fileop_data(op, fileop_room(), t.used);
  records_putf(&op->out, "entries", "%lld", (long long)t.entries);
  records_putf(&op->out, "bytes", "%lld", (long long)t.bytes);
  records_put(&op->out, "complete", t.more ? "0" : "1");
  return 0;
}
