/* The folder of a backup. */
#include "master/keep/stash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"

enum { BLOCK = 1 << 16, TREE_FDS = 16 };

struct stash {
  char *folder, *partial, *parent;
  int lock; /* descriptor of partial, flocked: a writer lives */
};

const char *stash_path(const struct stash *s) { return s->partial; }
const char *stash_folder(const struct stash *s) { return s->folder; }

/* ---- begin ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
  (void)st, (void)kind, (void)at;
  return remove(path);
}

static void remove_tree(const char *path)
{
  nftw(path, remove_one, TREE_FDS, FTW_DEPTH | FTW_PHYS);
}

static void stash_free(struct stash *s)
{
  if (s->lock >= 0)
    close(s->lock);
  free(s->folder);
  free(s->partial);
  free(s->parent);
  free(s);
}

/* The folder as an absolute path without a slash at its end, and the folder around it, which must be there. */
static enum err place(struct stash *s, const char *folder, struct buf *why)
{
  char *copy = xstrdup(folder), *slash, *real;
  size_t n = strlen(copy);

  while (n > 1 && copy[n - 1] == '/')
    copy[--n] = 0;
  slash = strrchr(copy, '/');
  if (slash)
    *slash = 0;
  real = realpath(slash ? (*copy ? copy : "/") : ".", NULL);
  if (!real) {
    buf_addf(why, "%s: %s", slash ? copy : ".", strerror(errno));
  } else {
    s->parent = real;
    s->folder = xasprintf("%s/%s", strcmp(real, "/") ? real : "", slash ? slash + 1 : copy);
    s->partial = xasprintf("%s.partial", s->folder);
  }
  free(copy);
  return real ? ERR_OK : ERR_NOTFOUND;
}

static bool is_empty(const char *path)
{
  DIR *d = opendir(path);
  struct dirent *e;
  bool empty = d != NULL;

  while (empty && (e = readdir(d)))
    empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
  if (d)
    closedir(d);
  return empty;
}

static enum err check_free(const struct stash *s, struct buf *why)
{
  struct stat st, around;

  if (lstat(s->folder, &st))
    return errno == ENOENT ? ERR_OK : ERR_IO;
  if (!S_ISDIR(st.st_mode) || !is_empty(s->folder)) {
    buf_addf(why, "%s is there already and not an empty folder: each backup gets one of its own", s->folder);
    return ERR_EXISTS;
  }
  if (!stat(s->parent, &around) && around.st_dev != st.st_dev) {
    buf_addf(why, "%s is where a disk is mounted: name a folder in it that is not there yet", s->folder);
    return ERR_EXISTS;
  }
  return ERR_OK;
}

static enum err take(struct stash *s, struct buf *why)
{
  for (int tries = 0; tries < 2; tries++) {
    bool made = !mkdir(s->partial, 0700);

    if (!made && errno != EEXIST) {
      buf_addf(why, "can't make %s: %s", s->partial, strerror(errno));
      return ERR_IO;
    }
    s->lock = open(s->partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB)) {
      buf_addf(why, s->lock < 0 ? "%s is not a folder one can use" : "another backup is being written to %s", s->partial);
      return ERR_BUSY;
    }
    if (made)
      return ERR_OK;
    remove_tree(s->partial); /* of a backup that was killed */
    close(s->lock);
    s->lock = -1;
  }
  buf_addf(why, "%s can't be removed", s->partial);
  return ERR_IO;
}

enum err stash_begin(struct stash **out, const char *folder, struct buf *why)
{
  struct stash *s = xcalloc(1, sizeof *s);
  enum err e;

  s->lock = -1;
  e = place(s, folder, why);
  if (!e)
    e = check_free(s, why);
  if (!e)
    e = take(s, why);
  if (e) {
    stash_free(s);
    s = NULL;
  }
  *out = s;
  return e;
}

/* ---- files ---- */

/* Folders of the name are made. */
int stash_create(struct stash *s, const char *name, struct buf *why)
{
  char *path = xasprintf("%s/%s", s->partial, name);
  int fd;

  for (char *p = path + strlen(s->partial) + 1; (p = strchr(p, '/')); *p++ = '/') {
    *p = 0;
    if (mkdir(path, 0700) && errno != EEXIST)
      break;
  }
  fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    buf_addf(why, "can't make %s: %s", path, strerror(errno));
  free(path);
  return fd;
}

static bool write_all(int fd, const char *p, size_t n)
{
  while (n) {
    ssize_t done = write(fd, p, n);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return false;
    p += done;
    n -= (size_t)done;
  }
  return true;
}

static int open_plain(const char *path, struct buf *why)
{
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat st;

  if (fd < 0) {
    buf_addf(why, "%s: %s", path, strerror(errno));
  } else if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
    buf_addf(why, "%s is not a plain file", path);
    close(fd);
    fd = -1;
  }
  return fd;
}

enum err stash_put(struct stash *s, const char *name, const char *text, struct buf *why)
{
  int fd = stash_create(s, name, why);
  bool ok = fd >= 0 && write_all(fd, text, strlen(text));

  if (fd >= 0 && !ok)
    buf_addf(why, "can't write %s/%s: %s", s->partial, name, strerror(errno));
  if (fd >= 0 && close(fd))
    ok = false;
  return ok ? ERR_OK : ERR_IO;
}

enum err stash_copy(struct stash *s, const char *name, const char *from, struct buf *why)
{
  int in = open_plain(from, why), out = in < 0 ? -1 : stash_create(s, name, why);
  char *block = xmalloc(BLOCK);
  ssize_t n = -1;
  bool ok = out >= 0;

  while (ok && (n = read(in, block, BLOCK)) > 0)
    ok = write_all(out, block, (size_t)n);
  if (out >= 0 && (!ok || n < 0)) {
    buf_addf(why, "can't copy %s: %s", from, strerror(errno));
    ok = false;
  }
  if (in >= 0)
    close(in);
  if (out >= 0 && close(out))
    ok = false;
  free(block);
  return ok ? ERR_OK : ERR_IO;
}

enum err stash_sum(const char *path, int64_t *size, char sha256[65], struct buf *why)
{
  int fd = open_plain(path, why);
  EVP_MD_CTX *ctx;
  unsigned char hash[EVP_MAX_MD_SIZE];
  char *block;
  ssize_t n;

  if (fd < 0)
    return ERR_NOTFOUND;
  ctx = EVP_MD_CTX_new();
  block = xmalloc(BLOCK);
  EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
  *size = 0;
  while ((n = read(fd, block, BLOCK)) > 0) {
    EVP_DigestUpdate(ctx, block, (size_t)n);
    *size += n;
  }
  if (n < 0)
    buf_addf(why, "can't read %s: %s", path, strerror(errno));
  EVP_DigestFinal_ex(ctx, hash, NULL);
  EVP_MD_CTX_free(ctx);
  str_hex(hash, 32, sha256);
  free(block);
  close(fd);
  return n < 0 ? ERR_IO : ERR_OK;
}

enum err stash_read(const char *path, size_t max, struct buf *out, struct buf *why)
{
  int fd = open_plain(path, why);
  ssize_t n = 0;

  if (fd < 0)
    return ERR_NOTFOUND;
  while (out->len <= max && buf_reserve(out, BLOCK) && (n = read(fd, out->data + out->len, BLOCK)) > 0)
    buf_grown(out, (size_t)n);
  close(fd);
  if (n < 0) {
    buf_addf(why, "can't read %s: %s", path, strerror(errno));
    return ERR_IO;
  }
  if (out->len <= max)
    return ERR_OK;
  buf_addf(why, "%s is larger than %zu bytes", path, max);
  return ERR_TOOBIG;
}

/* ---- end ---- */

static int sync_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
  int fd = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
  int bad = fd < 0 || fsync(fd);

  (void)kind, (void)at;
  if (fd >= 0)
    close(fd);
  return bad;
}

enum err stash_finish(struct stash *s, struct buf *why)
{
  int fd;

  if (nftw(s->partial, sync_one, TREE_FDS, FTW_DEPTH | FTW_PHYS)) {
    buf_addf(why, "can't write all of %s to the disk: %s", s->partial, strerror(errno));
    return ERR_IO;
  }
  if (rename(s->partial, s->folder)) { /* an empty folder gives way */
    buf_addf(why, "can't rename %s: %s", s->partial, strerror(errno));
    return ERR_IO;
  }
  fd = open(s->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    (void)fsync(fd);
    close(fd);
  }
  stash_free(s);
  return ERR_OK;
}

void stash_drop(struct stash *s)
{
  if (!s)
    return;
  remove_tree(s->partial);
  stash_free(s);
}

char *stash_size_text(int64_t bytes, char out[24])
{
  static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
  double v = (double)bytes;
  size_t u = 0;

  while (v >= 1000 && u + 1 < COUNT(units)) {
    v /= 1000;
    u++;
  }
  snprintf(out, 24, u && v < 10 ? "%.1f %s" : "%.0f %s", v, units[u]);
  return out;
}
