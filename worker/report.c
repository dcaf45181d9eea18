#include "worker/report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/str.h"
#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/os.h"

static const char *const names[] = { "properties", "properties.json", "summary", "links", "stamps", "nodes.yml" };
/* Keys of records have no dot. */
static const char *const keys[COUNT(names)] = { "properties", "properties_json", "summary", "links", "stamps", "nodes" };
enum { NODES = COUNT(names) - 1 };

printf_like(2, 3) static void bad(struct buf *out, const char *fmt, ...)
{
  va_list ap;
  char *text;

  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  buf_reset(out);
  records_put(out, "bad", text);
  free(text);
}

static void put(struct buf *out, const char *key, const char *bytes, size_t n, const struct mask *mask)
{
  struct mask_stream stream;
  struct buf masked;

  if (!mask) {
    records_put_n(out, key, bytes, n);
    return;
  }
  buf_init(&masked, BUF_NO_MAX);
  mask_stream_init(&stream, mask);
  mask_feed(mask, &stream, bytes, n, &masked);
  mask_flush(&stream, &masked);
  records_put_n(out, key, buf_str(&masked), masked.len);
  mask_stream_free(&stream);
  buf_free(&masked);
}

/* False: told in out. */
static bool read_file(int dir, size_t which, const struct mask *mask, struct buf *out)
{
  int fd = openat(dir, names[which], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  char *bytes;
  size_t n = 0;
  struct stat st;
  ssize_t k = 1;

  if (fd < 0 && errno == ENOENT)
    return true;
  if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
    bad(out, "%s is no plain file", names[which]);
    if (fd >= 0)
      close(fd);
    return false;
  }
  bytes = xmalloc(REPORT_MAX + 1);
  while (st.st_size <= REPORT_MAX && n <= REPORT_MAX && (k = read(fd, bytes + n, REPORT_MAX + 1 - n)) > 0)
    n += (size_t)k;
  close(fd);
  if (st.st_size > REPORT_MAX || n > REPORT_MAX)
    bad(out, "%s is longer than %d bytes", names[which], REPORT_MAX);
  else if (k < 0)
    bad(out, "%s can't be read: %s", names[which], strerror(errno));
  else if (memchr(bytes, 0, n))
    bad(out, "%s has a NUL in it", names[which]);
  else
    put(out, keys[which], bytes, n, mask);
  n = k < 0 || n > REPORT_MAX || st.st_size > REPORT_MAX || memchr(bytes, 0, n) != NULL;
  free(bytes);
  return !n;
}

/* Which of the names are there; -1: too many files. */
static int look(DIR *d, bool there[COUNT(names)])
{
  struct dirent *e;
  int n = 0;

  while ((e = readdir(d)) && n <= REPORT_ENTRIES_MAX) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
      continue;
    n++;
    for (size_t i = 0; i < COUNT(names); i++)
      there[i] |= !strcmp(e->d_name, names[i]);
  }
  return n > REPORT_ENTRIES_MAX ? -1 : n;
}

void report_read(int work, const char *folder, const struct mask *mask, struct buf *out)
{
  int fd = beneath_open(work, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  bool there[COUNT(names)] = { false };
  struct stat st;
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  int n;

  if (!d) { /* the command removed it: it has nothing to tell */
    if (fd >= 0)
      close(fd);
    return;
  }
  n = look(d, there);
  if (n < 0)
    bad(out, "there are more than %d files in it", REPORT_ENTRIES_MAX);
  for (size_t i = 0; i < COUNT(names) && n > 0; i++)
    if (there[i] && !read_file(dirfd(d), i, mask, out))
      break;
  if (out->len > REPORT_MAX)
    bad(out, "all of it is longer than %d bytes", REPORT_MAX);
  if (records_get(out->data, out->len, "bad") && !fstatat(dirfd(d), names[NODES], &st, AT_SYMLINK_NOFOLLOW))
    records_put(out, keys[NODES], ""); /* what was to be built is lost: that the master must know */
  closedir(d);
}

enum err report_take(const char *work, uid_t uid, const char *folder, const struct mask *mask, const struct spool *sp, bool sync)
{
  int fd = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  enum err e = ERR_OK;
  struct buf out;

  buf_init(&out, BUF_NO_MAX);
  if (fd >= 0) {
    os_as(uid);
    report_read(fd, folder, mask, &out);
    os_as(0);
    close(fd);
  }
  if (out.len)
    e = spool_write_report(sp, out.data, out.len, sync);
  buf_free(&out);
  return e;
}
