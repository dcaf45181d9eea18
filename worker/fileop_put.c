/* Bytes of a file. They are collected in a part beside it, which takes its name when it is whole and has the checksum: until then the old file is the file. The part's name comes from the
   file's name and its checksum, so that whoever begins again, on another link or after the agent was killed, goes on with what is there. */
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
#include "worker/sha256.h"

#ifndef FILEOP_MODES
#define FILEOP_MODES 0777 /* what a system keeps of a mode */
#endif

enum { PART_NAME_MAX = 64, PART_DIGITS = 32, MODE_DIGITS = 4, MODE_MASK = FILEOP_MODES };

struct put {
  int dir;             /* that holds it */
  char leaf[256], part[PART_NAME_MAX];
  int64_t off, size;
  mode_t mode;
  const char *sum;
  const char *bytes;
  size_t n;
};

static bool is_sum(const char *s)
{
  return s && strlen(s) == SHA256_HEX_LEN && strspn(s, "0123456789abcdef") == SHA256_HEX_LEN;
}

bool fileop_mode(const char *s, mode_t *mode)
{
  if (!s || !*s || strlen(s) > MODE_DIGITS || strspn(s, "01234567") != strlen(s))
    return false;
  *mode = (mode_t)strtoul(s, NULL, 8) & MODE_MASK;
  return true;
}

void fileop_part_name(const char *leaf, const char *sum, char *out, size_t n)
{
  char hex[SHA256_HEX_LEN + 1];
  struct sha256 s;

  sha256_init(&s);
  sha256_add(&s, leaf, strlen(leaf) + 1);
  sha256_add(&s, sum, strlen(sum));
  sha256_end(&s, hex);
  snprintf(out, n, ".drover-part-%.*s", PART_DIGITS, hex);
}

static int read_ask(struct fileop *op, struct put *p)
{
  size_t head = (size_t)op->b;
  const char *size = records_get(op->blob, head, "size"), *mode = records_get(op->blob, head, "mode");

  p->off = op->a;
  p->sum = records_get(op->blob, head, "sum");
  p->bytes = op->blob + head;
  p->n = op->n - head;
  if (!size || str_number(size, strlen(size), &p->size) || !fileop_mode(mode, &p->mode) || !is_sum(p->sum))
    return fileop_fail(op, "badarg", "size, mode and sum are wanted");
  if (p->off > p->size || (int64_t)p->n > p->size - p->off)
    return fileop_fail(op, "badarg", "more bytes than its size");
  p->dir = beneath_parent(op->work, op->path, p->leaf);
  if (p->dir < 0)
    return -1;
  fileop_part_name(p->leaf, p->sum, p->part, sizeof p->part);
  return 0;
}

/* Has the file from its beginning that checksum? Its own bytes are read again: what counts is what is on the disk. */
static bool has_sum(int fd, const char *sum)
{
  char hex[SHA256_HEX_LEN + 1];
  struct sha256 s;
  off_t off = 0;
  ssize_t n;

  sha256_init(&s);
  while ((n = pread(fd, fileop_room(), FRAME_MAX, off)) > 0) {
    sha256_add(&s, fileop_room(), (size_t)n);
    off += n;
  }
  sha256_end(&s, hex);
  return !n && !strcmp(hex, sum);
}

static bool is_plain(int fd, struct stat *st)
{
  return !fstat(fd, st) && S_ISREG(st->st_mode) && st->st_nlink == 1 && st->st_uid == geteuid();
}

/* The part; -1: there is none, or one that somebody else put there, and it may not be made. */
static int open_part(const struct put *p, bool make, struct stat *st)
{
  int fd = openat(p->dir, p->part, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

  if (fd >= 0 && is_plain(fd, st))
    return fd;
  if (fd >= 0)
    close(fd);
  if (!make)
    return -1;
  unlinkat(p->dir, p->part, 0);
  fd = openat(p->dir, p->part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  return fd >= 0 && !fstat(fd, st) ? fd : -1;
}

static int told(struct fileop *op, int64_t have, bool complete)
{
  records_putf(&op->out, "have", "%lld", (long long)have);
  records_put(&op->out, "complete", complete ? "1" : "0");
  return 0;
}

/* There is no part: it was never begun, or its end was done and the answer lost. */
static int without_part(struct fileop *op, const struct put *p)
{
  struct stat st;
  int fd = openat(p->dir, p->leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  bool done = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size == p->size && (st.st_mode & MODE_MASK) == p->mode && has_sum(fd, p->sum);

  return told(op, done ? p->size : 0, done);
}

static int write_at(int fd, const char *bytes, size_t n, int64_t off)
{
  while (n) {
    ssize_t done = pwrite(fd, bytes, n, (off_t)off);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0)
      return -1;
    bytes += done;
    n -= (size_t)done;
    off += done;
  }
  return 0;
}

int fileop_place(struct fileop *op, int fd, int dir, const char *part, const char *leaf, mode_t mode)
{
  int e;

  if (!fchmod(fd, mode) && !renameat(dir, part, dir, leaf))
    return 0;
  e = errno;
  unlinkat(dir, part, 0);
  errno = e;
  return e == ENOTEMPTY || e == EEXIST ? fileop_fail(op, "isdir", "a folder is in its place") : -1;
}

/* All bytes are there. */
static int finish(struct fileop *op, const struct put *p, int fd)
{
  if (ftruncate(fd, (off_t)p->size))
    return -1;
  if (!has_sum(fd, p->sum)) {
    unlinkat(p->dir, p->part, 0);
    return fileop_fail(op, "changed", "the bytes are not those of the sum: they are thrown away");
  }
  if (fileop_place(op, fd, p->dir, p->part, p->leaf, p->mode))
    return -1;
  return told(op, p->size, true);
}

int fileop_put(struct fileop *op)
{
  struct put p;
  struct stat st;
  bool whole;
  int fd;

  if (read_ask(op, &p))
    return -1;
  whole = !p.off && (int64_t)p.n == p.size;
  fd = open_part(&p, !p.off && (p.n || whole), &st);
  if (fd < 0)
    return p.off || (!p.n && !whole) ? without_part(op, &p) : -1;
  if (p.off > st.st_size)
    return told(op, st.st_size, false); /* a part before it is missing */
  if (write_at(fd, p.bytes, p.n, p.off))
    return -1;
  if (p.off + (int64_t)p.n == p.size)
    return finish(op, &p, fd);
  return told(op, p.off + (int64_t)p.n > st.st_size ? p.off + (int64_t)p.n : st.st_size, false);
}
