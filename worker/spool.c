/* The files of one command. Small files are one line of text that ends with its own CRC, so a half-written one counts as none. */
#include "worker/spool.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scan.h"
#include "proto/chunk.h"
#include "proto/wire.h"
#include "worker/os.h"

enum { SPOOL_VERSION = 1, LINE_MAX_LEN = 384, CRC_LEN = 9, LOG_LEN = 4 * 20 + 9 /* of a followed file in a result */,
       SMALL_MAX = LINE_MAX_LEN + SPOOL_TEXT_MAX + (SPOOL_STREAMS_MAX - 1) * LOG_LEN + 64 };

char *spool_name(const struct spool *s, const char *file, char out[SPOOL_NAME_MAX])
{
  snprintf(out, SPOOL_NAME_MAX, "%s/%s", s->cmd, file);
  return out;
}

int spool_open(const struct spool *s, const char *file, int flags)
{
  char name[SPOOL_NAME_MAX];
  return openat(s->dir, spool_name(s, file, name), flags, 0600);
}

/* Of a file that each stream has. */
static const char *stream_file(const struct spool *s, const char *file, char out[SPOOL_WORD_MAX])
{
  snprintf(out, SPOOL_WORD_MAX, s->stream ? "%s-%d" : "%s", file, s->stream);
  return out;
}

enum err spool_err(int number)
{
  switch (number) {
  case 0: return ERR_OK;
  case ENOSPC:
  case EDQUOT: return ERR_NOSPACE;
  case ENOENT: return ERR_NOTFOUND;
  case EEXIST: return ERR_EXISTS;
  case EACCES:
  case EPERM: return ERR_DENIED;
  }
  return ERR_IO;
}

static enum err write_all(int fd, const char *p, size_t n)
{
  while (n) {
    ssize_t w = write(fd, p, n);
    if (w < 0 && errno == EINTR)
      continue;
    if (w < 0)
      return spool_err(errno);
    p += w;
    n -= (size_t)w;
  }
  return ERR_OK;
}

/* A small file: the command's id, its text, then the CRC of both. It is written over what is there, which takes no room where a disk is full. */
static enum err put_small(const struct spool *s, const char *file, const char *text, bool sync)
{
  char whole[SMALL_MAX];
  size_t n = (size_t)snprintf(whole, sizeof whole - CRC_LEN, "%s %s\n", s->cmd, text);
  int fd = spool_open(s, file, O_WRONLY | O_CREAT | O_CLOEXEC);
  enum err e;

  assert(n < sizeof whole - CRC_LEN);
  if (fd < 0)
    return spool_err(errno);
  n += (size_t)snprintf(whole + n, CRC_LEN + 1, "%08x\n", (unsigned)chunk_crc(0, whole, n));
  e = write_all(fd, whole, n);
  if (!e && ftruncate(fd, (off_t)n))
    e = spool_err(errno);
  if (!e && sync && fsync(fd))
    e = ERR_IO;
  close(fd);
  return e;
}

/* The text of a small file, NUL-ended. One that names another command is not there. */
static enum err get_small(const struct spool *s, const char *file, char *out, size_t cap)
{
  int fd = spool_open(s, file, O_RDONLY | O_CLOEXEC);
  size_t id = strlen(s->cmd);
  unsigned crc;
  ssize_t n;

  if (fd < 0)
    return spool_err(errno);
  n = read(fd, out, cap - 1);
  close(fd);
  if (n < 0)
    return ERR_IO;
  out[n] = 0;
  if (n < CRC_LEN + 1 || out[n - 1] != '\n' || scan(out + n - CRC_LEN, "%8x", &crc) != 1 ||
      crc != chunk_crc(0, out, (size_t)(n - CRC_LEN)))
    return ERR_CORRUPT;
  if (strncmp(out, s->cmd, id) || out[id] != ' ')
    return ERR_NOTFOUND;
  n -= CRC_LEN + 1 + (ssize_t)id + 1; /* also the line feed before the CRC, and the blank */
  memmove(out, out + id + 1, (size_t)n);
  out[n] = 0;
  return ERR_OK;
}

static enum err write_cmd(const struct spool *s, int fd, int64_t build, struct id epoch, const char *blob, size_t n)
{
  char line[LINE_MAX_LEN], id[STR_ID_MAX];
  size_t len = (size_t)snprintf(line, sizeof line, "drover-command %d %s %lld %s %zu %08x\n", SPOOL_VERSION, s->cmd,
                                (long long)build, str_id_text(epoch, id), n, (unsigned)chunk_crc(0, blob, n));
  enum err e = write_all(fd, line, len);
  return e ? e : write_all(fd, blob, n);
}

static char *free_name(int n, char out[SPOOL_NAME_MAX])
{
  snprintf(out, SPOOL_NAME_MAX, ".free.%d", n);
  return out;
}

static int make_folder(const struct spool *s, int from)
{
  char name[SPOOL_NAME_MAX];

  if (from >= 0 && !renameat(s->dir, free_name(from, name), s->dir, s->cmd))
    return 0;
  return mkdirat(s->dir, s->cmd, 0700) || mkfifoat(s->dir, spool_name(s, "ctl", name), 0600);
}

/* Room for the result, which what holds the disk full must not keep from being written. A folder that is used again has it. */
static enum err reserve(const struct spool *s)
{
  char room[SMALL_MAX] = { 0 }; /* no good CRC: no result */
  int fd = spool_open(s, "result", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
  enum err e;

  if (fd < 0)
    return errno == EEXIST ? ERR_OK : spool_err(errno);
  e = write_all(fd, room, sizeof room);
  close(fd);
  return e;
}

enum err spool_create(const struct spool *s, int from, int64_t build, struct id epoch, const char *blob, size_t n, int *cmd_fd,
                      int *ctl_fd)
{
  enum err e;

  *cmd_fd = *ctl_fd = -1;
  if (make_folder(s, from) || (*cmd_fd = spool_open(s, "cmd", O_RDWR | O_CREAT)) < 0 || flock(*cmd_fd, LOCK_EX | LOCK_NB) ||
      (*ctl_fd = spool_open(s, "ctl", O_RDWR | O_NONBLOCK | OS_FIFO)) < 0)
    e = spool_err(errno);
  else
    e = write_cmd(s, *cmd_fd, build, epoch, blob, n);
  e = e ? e : reserve(s);
  if (!e)
    return ERR_OK;
  if (*cmd_fd >= 0)
    close(*cmd_fd);
  if (*ctl_fd >= 0)
    close(*ctl_fd);
  if (e != ERR_EXISTS) /* that one is another's */
    spool_remove(s);
  return e;
}

enum err spool_read_cmd(const struct spool *s, int fd, struct spool_cmd *c)
{
  char line[LINE_MAX_LEN], id[STR_ID_MAX], epoch[STR_ID_MAX], *lf;
  ssize_t n = pread(fd, line, sizeof line - 1, 0);
  int version, head = 0;
  long long build;
  unsigned crc;
  size_t len;

  memset(c, 0, sizeof *c);
  if (n < 0)
    return ERR_IO;
  line[n] = 0;
  lf = memchr(line, '\n', (size_t)n);
  if (!lf)
    return ERR_CORRUPT;
  *lf = 0;
  if (scan(line, "drover-command %d %47s %lld %47s %zu %8x%n", &version, id, &build, epoch, &len, &crc, &head) != 6 ||
      version != SPOOL_VERSION || head != lf - line || build < 0 || len > SPOOL_BLOB_MAX || str_id(epoch, strlen(epoch), &c->epoch))
    return ERR_CORRUPT;
  if (strcmp(id, s->cmd))
    return ERR_NOTFOUND;
  c->build = build;
  c->blob_len = len;
  c->blob = xmalloc(len + 1);
  c->blob[len] = 0;
  if (pread(fd, c->blob, len, head + 1) == (ssize_t)len && chunk_crc(0, c->blob, len) == crc)
    return ERR_OK;
  free(c->blob);
  c->blob = NULL;
  return ERR_CORRUPT;
}

int spool_lock(const struct spool *s)
{
  int fd = spool_open(s, "cmd", O_RDWR);

  if (fd < 0)
    return errno == EBUSY ? -1 : -2; /* where a lock is a way of opening it */
  if (!flock(fd, LOCK_EX | LOCK_NB))
    return fd;
  close(fd);
  return -1;
}

enum err spool_write_started(const struct spool *s, const struct spool_started *w)
{
  char text[LINE_MAX_LEN];

  snprintf(text, sizeof text, "%d %s %lld %lld", SPOOL_VERSION, w->boot, (long long)w->pid, (long long)w->at_ms);
  return put_small(s, "started", text, false);
}

enum err spool_read_started(const struct spool *s, struct spool_started *w)
{
  char text[LINE_MAX_LEN];
  long long pid, at;
  int version;
  enum err e = get_small(s, "started", text, sizeof text);

  if (e)
    return e;
  if (scan(text, "%d %32s %lld %lld", &version, w->boot, &pid, &at) != 4 || version != SPOOL_VERSION)
    return ERR_CORRUPT;
  w->pid = pid;
  w->at_ms = at;
  return ERR_OK;
}

static enum err sync_folder(const struct spool *s)
{
  int fd = openat(s->dir, s->cmd, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  enum err e = ERR_OK;

  if (fd < 0)
    return ERR_IO;
  if (fsync(fd))
    e = ERR_IO;
  close(fd);
  return e;
}

enum err spool_write_exit(const struct spool *s, const struct spool_exit *x, bool sync)
{
  char text[SMALL_MAX - STR_ID_MAX - CRC_LEN - 2], left[(SPOOL_STREAMS_MAX - 1) * LOG_LEN + 64] = "";
  int n = 0;
  enum err e;

  if (x->left_bytes || x->nlogs) /* only then: an older agent knows no line with these */
    n = snprintf(left, sizeof left, " %lld %lld", (long long)x->left_bytes, (long long)x->left_lines);
  for (int i = 0; i < x->nlogs; i++)
    n += snprintf(left + n, sizeof left - (size_t)n, " %lld %08x %lld %lld %lld", (long long)x->log[i].len, (unsigned)x->log[i].crc, (long long)x->log[i].lines, (long long)x->log[i].left_bytes,
                  (long long)x->log[i].left_lines);
  snprintf(text, sizeof text, "%d %s %lld %s %lld %08x %lld %lld %lld %lld %lld%s\n%s", SPOOL_VERSION, x->how, (long long)x->code,
           x->reason, (long long)x->len, (unsigned)x->crc, (long long)x->lines, (long long)x->wall_ms, (long long)x->user_ms,
           (long long)x->sys_ms, (long long)x->maxrss_kib, left, x->text);
  e = put_small(s, "result", text, sync);
  if (!e && sync)
    e = sync_folder(s);
  return e;
}

enum err spool_read_exit(const struct spool *s, struct spool_exit *x)
{
  char text[SMALL_MAX];
  long long code, len, lines, wall, user, sys, rss, left_bytes = 0, left_lines = 0;
  int version, head = 0, more = 0;
  unsigned crc;
  enum err e = get_small(s, "result", text, sizeof text);

  if (e)
    return e;
  memset(x, 0, sizeof *x);
  if (scan(text, "%d %15s %lld %15s %lld %8x %lld %lld %lld %lld %lld%n", &version, x->how, &code, x->reason, &len, &crc,
             &lines, &wall, &user, &sys, &rss, &head) != 11 || version != SPOOL_VERSION || !wire_is_token(x->how, strlen(x->how)) || !wire_is_token(x->reason, strlen(x->reason)))
    return ERR_CORRUPT;
  if (text[head] == ' ' && scan(text + head, " %lld %lld%n", &left_bytes, &left_lines, &more) != 2)
    return ERR_CORRUPT;
  head += more;
  while (text[head] == ' ' && x->nlogs < SPOOL_STREAMS_MAX - 1) {
    long long v[4];
    if (scan(text + head, " %lld %8x %lld %lld %lld%n", &v[0], &x->log[x->nlogs].crc, &v[1], &v[2], &v[3], &more) != 5 || (v[0] | v[1] | v[2] | v[3]) < 0)
      return ERR_CORRUPT;
    x->log[x->nlogs].len = v[0];
    x->log[x->nlogs].lines = v[1];
    x->log[x->nlogs].left_bytes = v[2];
    x->log[x->nlogs++].left_lines = v[3];
    head += more;
  }
  if (text[head] != '\n' || (code | len | lines | wall | user | sys | rss | left_bytes | left_lines) < 0) /* one below 0 has its sign in all of them */
    return ERR_CORRUPT;
  x->code = code;
  x->len = len;
  x->crc = crc;
  x->lines = lines;
  x->wall_ms = wall;
  x->user_ms = user;
  x->sys_ms = sys;
  x->maxrss_kib = rss;
  x->left_bytes = left_bytes;
  x->left_lines = left_lines;
  return snprintf(x->text, sizeof x->text, "%s", text + head + 1) < (int)sizeof x->text ? ERR_OK : ERR_CORRUPT;
}

enum err spool_write_ack(const struct spool *s, int64_t off)
{
  char text[LINE_MAX_LEN], file[SPOOL_WORD_MAX];

  snprintf(text, sizeof text, "%lld", (long long)off);
  return put_small(s, stream_file(s, "ack", file), text, false);
}

int64_t spool_read_ack(const struct spool *s)
{
  char text[LINE_MAX_LEN], file[SPOOL_WORD_MAX];
  long long off;

  if (get_small(s, stream_file(s, "ack", file), text, sizeof text) || scan(text, "%lld", &off) != 1 || off < 0)
    return 0;
  return off;
}

void spool_write_epoch(const struct spool *s, struct id epoch)
{
  char id[STR_ID_MAX];

  str_id_text(epoch, id);
  if (put_small(s, "epoch", id, false)) /* then a new agent fences a little less */
    errno = 0;
}

bool spool_read_epoch(const struct spool *s, struct id *epoch)
{
  char text[LINE_MAX_LEN];

  return !get_small(s, "epoch", text, sizeof text) && !str_id(text, strlen(text), epoch);
}

enum err spool_write_base(const struct spool *s, const struct spool_base *b)
{
  char text[LINE_MAX_LEN], file[SPOOL_WORD_MAX];

  snprintf(text, sizeof text, "%lld %08x %lld", (long long)b->off, (unsigned)b->crc, (long long)b->lines);
  return put_small(s, stream_file(s, "base", file), text, false);
}

bool spool_read_base(const struct spool *s, struct spool_base *b)
{
  char text[LINE_MAX_LEN], file[SPOOL_WORD_MAX];
  long long off, lines;
  unsigned crc;

  if (get_small(s, stream_file(s, "base", file), text, sizeof text) || scan(text, "%lld %8x %lld", &off, &crc, &lines) != 3 || (off | lines) < 0)
    return false;
  *b = (struct spool_base){ off, lines, crc };
  return true;
}

enum err spool_make_in(const struct spool *s)
{
  char name[SPOOL_NAME_MAX];

  return mkfifoat(s->dir, spool_name(s, SPOOL_IN, name), 0600) ? spool_err(errno) : ERR_OK;
}

enum err spool_write_fed(const struct spool *s, const struct spool_fed *f)
{
  char text[LINE_MAX_LEN];

  snprintf(text, sizeof text, "%d %lld", (int)f->state, (long long)f->off);
  return put_small(s, "fed", text, false);
}

enum err spool_read_fed(const struct spool *s, struct spool_fed *f)
{
  char text[LINE_MAX_LEN];
  enum err e = get_small(s, "fed", text, sizeof text);

  if (e)
    return e;
  if (text[0] < '0' || text[0] >= '0' + FED_STATES || text[1] != ' ' || str_number(text + 2, strlen(text + 2), &f->off))
    return ERR_CORRUPT;
  f->state = (enum fed_state)(text[0] - '0');
  return ERR_OK;
}

enum err spool_write_secrets(const struct spool *s, const char *folder)
{
  return put_small(s, "secrets", folder, false);
}

bool spool_read_secrets(const struct spool *s, char *folder, size_t cap)
{
  char text[LINE_MAX_LEN + SPOOL_TEXT_MAX];

  return !get_small(s, "secrets", text, sizeof text) && snprintf(folder, cap, "%s", text) < (int)cap;
}

void spool_drop_secrets(const struct spool *s)
{
  char name[SPOOL_NAME_MAX];
  unlinkat(s->dir, spool_name(s, "secrets", name), 0);
}

static void remove_folder(int dir, const char *name)
{
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *e;

  if (d)
    unlinkat(fd, "started", 0); /* first: without it a folder was never received */
  while (d && (e = readdir(d)))
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
      unlinkat(fd, e->d_name, 0);
  if (d)
    closedir(d);
  unlinkat(dir, name, AT_REMOVEDIR);
}

enum err spool_write_report(const struct spool *s, const char *bytes, size_t n, bool sync)
{
  int fd = spool_open(s, "report", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
  char name[SPOOL_NAME_MAX];
  enum err e;

  if (fd < 0)
    return spool_err(errno);
  e = write_all(fd, bytes, n);
  if (!e && sync && fsync(fd))
    e = spool_err(errno);
  close(fd);
  if (e)
    unlinkat(s->dir, spool_name(s, "report", name), 0); /* half of one is none */
  return e;
}

bool spool_has_report(const struct spool *s)
{
  char name[SPOOL_NAME_MAX];

  return !faccessat(s->dir, spool_name(s, "report", name), F_OK, 0);
}

bool spool_read_report(const struct spool *s, struct buf *out)
{
  int fd = spool_open(s, "report", O_RDONLY | O_CLOEXEC);
  char *bytes;
  ssize_t n;

  if (fd < 0)
    return false;
  bytes = xmalloc(SPOOL_REPORT_MAX + 1);
  n = read(fd, bytes, SPOOL_REPORT_MAX + 1);
  close(fd);
  if (n > 0 && n <= SPOOL_REPORT_MAX)
    buf_add(out, bytes, (size_t)n);
  free(bytes);
  return n > 0 && n <= SPOOL_REPORT_MAX;
}

void spool_remove(const struct spool *s)
{
  remove_folder(s->dir, s->cmd);
}

bool spool_retire(const struct spool *s, int to, bool has_log)
{
  static const char *const emptied[] = { "cmd", "log.0" };
  char name[SPOOL_NAME_MAX];

  for (size_t i = 0; i < (has_log ? 2 : 1); i++) {
    int fd = spool_open(s, emptied[i], O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
      return false;
    close(fd);
  }
  return !renameat(s->dir, s->cmd, s->dir, free_name(to, name));
}

void spool_remove_free(int dir)
{
  char name[SPOOL_NAME_MAX];

  for (int i = 0; i < SPOOL_FREE_MAX; i++)
    if (!faccessat(dir, free_name(i, name), F_OK, 0))
      remove_folder(dir, name);
}
