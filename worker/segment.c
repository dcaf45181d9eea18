/* Log segments: appending in the minder, finding and copying in the agent. */
#include "worker/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/scan.h"
#include "proto/wire.h"

enum { FILE_MAX = 32 };

/* "log." or "log-1."; then comes the offset. */
static size_t prefix_of(const struct spool *sp, const char *kind, char file[FILE_MAX])
{
  return (size_t)snprintf(file, FILE_MAX, sp->stream ? "%s-%d." : "%s.", kind, sp->stream);
}

static const char *file_of(const struct spool *sp, const char *kind, int64_t start, char file[FILE_MAX])
{
  size_t n = prefix_of(sp, kind, file);
  snprintf(file + n, FILE_MAX - n, "%lld", (long long)start);
  return file;
}

static int open_segment(const struct spool *sp, const char *kind, int64_t start, int flags)
{
  char file[FILE_MAX];
  return spool_open(sp, file_of(sp, kind, start, file), flags | O_CLOEXEC);
}

static int remove_segment(const struct spool *sp, const char *kind, int64_t start)
{
  char file[FILE_MAX], name[SPOOL_NAME_MAX];
  return unlinkat(sp->dir, spool_name(sp, file_of(sp, kind, start, file), name), 0);
}

/* ---- the minder's side ---- */

void segment_writer_init(struct segment_writer *w, struct spool *sp)
{
  memset(w, 0, sizeof *w);
  w->sp = sp;
  w->kind = SEGMENT_LOG;
  w->fd = -1;
  buf_init(&w->record, SEGMENT_RECORD_MAX);
}

static enum err next_segment(struct segment_writer *w)
{
  int fd = open_segment(w->sp, w->kind, w->off, O_WRONLY | O_CREAT | O_APPEND);

  if (fd < 0)
    return spool_err(errno) == ERR_NOSPACE ? ERR_NOSPACE : ERR_IO;
  if (w->fd >= 0) {
    enum err e = w->dirty ? segment_sync(w) : ERR_OK; /* at most once in 8 MiB */
    if (e) {
      close(fd);
      return e;
    }
    close(w->fd);
  }
  w->fd = fd;
  w->size = 0;
  w->marks = xrealloc(w->marks, (w->nmarks + 1) * sizeof *w->marks);
  w->marks[w->nmarks++] = (struct segment_mark){ w->off, w->bytes, w->lines };
  return ERR_OK;
}

static enum err write_record(struct segment_writer *w)
{
  size_t done = 0;

  while (done < w->record.len) {
    ssize_t n = write(w->fd, w->record.data + done, w->record.len - done);
    int e = errno;
    if (n >= 0) {
      done += (size_t)n;
      continue;
    }
    if (e == EINTR)
      continue;
    if (done && ftruncate(w->fd, w->size))
      return ERR_IO;
    return spool_err(e) == ERR_NOSPACE ? ERR_NOSPACE : ERR_IO;
  }
  return ERR_OK;
}

enum err segment_append(struct segment_writer *w, struct chunk *c)
{
  enum err e = w->fd < 0 || w->size >= SEGMENT_SIZE ? next_segment(w) : ERR_OK;

  if (e)
    return e;
  c->off = w->off;
  buf_reset(&w->record);
  wire_put_blob(&w->record, VERB_out, c->blob, c->blob_len, "snnnncnc", w->sp->cmd, (int64_t)w->sp->stream, c->off, (int64_t)c->raw,
                (int64_t)c->lines, c->crc, (int64_t)c->spans, c->bcrc);
  if (w->record.failed)
    abort();
  e = write_record(w);
  if (e)
    return e;
  w->size += (int64_t)w->record.len;
  w->bytes += (int64_t)w->record.len;
  w->crc = chunk_crc_join(w->crc, c->crc, c->raw);
  w->off += c->raw;
  w->lines += c->lines;
  w->dirty = true;
  return ERR_OK;
}

enum err segment_sync(struct segment_writer *w)
{
  if (w->fd < 0 || !w->dirty)
    return ERR_OK;
  w->dirty = false;
  return fdatasync(w->fd) ? ERR_IO : ERR_OK; /* never again: a second one would hide the first's loss */
}

void segment_writer_drop(struct segment_writer *w)
{
  if (w->nmarks < 2 || remove_segment(w->sp, w->kind, w->marks[0].start))
    return;
  memmove(w->marks, w->marks + 1, --w->nmarks * sizeof *w->marks);
}

void segment_writer_remove(struct segment_writer *w)
{
  if (w->fd >= 0)
    close(w->fd);
  w->fd = -1;
  for (size_t i = 0; i < w->nmarks; i++)
    remove_segment(w->sp, w->kind, w->marks[i].start);
  w->nmarks = 0;
}

int64_t segment_unacked(const struct segment_writer *w, int64_t acked)
{
  for (size_t i = w->nmarks; i--;)
    if (w->marks[i].start <= acked)
      return acked >= w->off ? 0 : w->bytes - w->marks[i].before;
  return w->bytes;
}

/* ---- finding ---- */

static int by_number(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

size_t segment_list(const struct spool *sp, int64_t **starts)
{
  int fd = openat(sp->dir, sp->cmd, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  char file[FILE_MAX];
  size_t n = 0, cap = 0, prefix = prefix_of(sp, SEGMENT_LOG, file);
  struct dirent *e;
  int64_t start;

  *starts = NULL;
  if (!d)
    return 0;
  while ((e = readdir(d)) && n < SEGMENT_COUNT_MAX) {
    if (!str_starts(e->d_name, file) || str_number(e->d_name + prefix, strlen(e->d_name + prefix), &start))
      continue;
    if (n == cap) {
      cap = cap ? cap * 2 : 8;
      *starts = xrealloc(*starts, cap * sizeof **starts);
    }
    (*starts)[n++] = start;
  }
  closedir(d);
  if (n)
    qsort(*starts, n, sizeof **starts, by_number);
  return n;
}

enum err segment_parse(const char *p, size_t n, struct segment_head *h)
{
  char line[SEGMENT_LINE_MAX];
  const char *lf = memchr(p, '\n', n < sizeof line ? n : sizeof line - 1);
  long long off;
  unsigned long raw, lines, spans;
  unsigned crc, bcrc;
  size_t blob;
  int end = 0;

  if (!lf)
    return n < sizeof line - 1 ? ERR_AGAIN : ERR_CORRUPT;
  memcpy(line, p, (size_t)(lf - p));
  line[lf - p] = 0;
  if (scan(line, "out %47s %d %lld %lu %lu %8x %lu %8x +%zu%n", h->cmd, &h->stream, &off, &raw, &lines, &crc, &spans, &bcrc, &blob,
             &end) != 9 || end != lf - p || h->stream < 0 || off < 0 || !raw || raw > CHUNK_RAW_MAX || blob > CHUNK_BLOB_MAX || spans > blob ||
      lines > raw)
    return ERR_CORRUPT;
  h->line = (size_t)(lf - p) + 1;
  h->chunk = (struct chunk){ .off = off, .raw = (uint32_t)raw, .lines = (uint32_t)lines, .crc = crc, .spans = (uint32_t)spans,
                             .bcrc = bcrc, .blob_len = blob };
  return ERR_OK;
}

/* ---- the agent's side ---- */

void segment_reader_init(struct segment_reader *r)
{
  memset(r, 0, sizeof *r);
  r->kind = SEGMENT_LOG;
  r->fd = -1;
}

void segment_reader_close(struct segment_reader *r)
{
  if (r->fd >= 0)
    close(r->fd);
  r->fd = -1;
}

static enum err go_to(const struct spool *sp, struct segment_reader *r, int64_t start)
{
  int fd = open_segment(sp, r->kind, start, O_RDONLY);

  if (fd < 0)
    return errno == ENOENT ? ERR_AGAIN : ERR_IO;
  segment_reader_close(r);
  r->fd = fd;
  r->start = r->off = start;
  r->pos = 0;
  return ERR_OK;
}

/* Opens the segment of the next record where none is open or this one is full. ERR_AGAIN: it isn't there yet. */
static enum err turn(const struct spool *sp, struct segment_reader *r, bool *turned)
{
  enum err e;

  if (r->fd >= 0 && r->pos < SEGMENT_SIZE)
    return ERR_OK;
  e = go_to(sp, r, r->off);
  *turned = !e;
  return e;
}

/* The line at the reader's place. */
static enum err head_at(const struct segment_reader *r, int64_t size, struct segment_head *h)
{
  char line[SEGMENT_LINE_MAX];
  ssize_t n = pread(r->fd, line, sizeof line, r->pos);
  enum err e;

  if (n < 0)
    return ERR_IO;
  e = segment_parse(line, (size_t)n, h);
  if (!e && r->pos + (int64_t)(h->line + h->chunk.blob_len + 1) > size)
    e = ERR_AGAIN;
  return e;
}

/* Is it the one that the reader wants next? */
static bool follows(const struct spool *sp, const struct segment_reader *r, const struct segment_head *h)
{
  return h->chunk.off == r->off && h->stream == sp->stream && !strcmp(h->cmd, sp->cmd);
}

static void step(struct segment_reader *r, const struct segment_head *h)
{
  r->pos += (int64_t)(h->line + h->chunk.blob_len + 1);
  r->off = h->chunk.off + h->chunk.raw;
}

static int64_t file_size(int fd)
{
  struct stat st;
  return fstat(fd, &st) ? 0 : st.st_size;
}

enum err segment_seek(const struct spool *sp, struct segment_reader *r, int64_t off, int64_t *lo)
{
  int64_t *starts, size;
  size_t n = segment_list(sp, &starts), i = n;
  struct segment_head h;
  bool turned;
  enum err e;

  *lo = n ? starts[0] : 0;
  while (i && starts[i - 1] > off)
    i--;
  segment_reader_close(r);
  r->off = r->pos = r->start = 0;
  if (!i || off < *lo) {
    free(starts);
    return n ? ERR_NOTFOUND : ERR_OK; /* no log: the end is at 0 */
  }
  e = go_to(sp, r, starts[i - 1]);
  free(starts);
  while (!e && r->off < off) {
    e = turn(sp, r, &turned);
    size = e ? 0 : file_size(r->fd);
    while (!e && r->off < off && r->pos < SEGMENT_SIZE && !(e = head_at(r, size, &h)))
      step(r, &h);
  }
  if (e && e != ERR_AGAIN)
    return e;
  return r->off > off ? ERR_BADARG : ERR_OK;
}

enum err segment_read(const struct spool *sp, struct segment_reader *r, int64_t limit, size_t most, struct buf *out,
                      bool *turned)
{
  size_t first = out->len, used = 0, room = most > SEGMENT_RECORD_MAX ? most : SEGMENT_RECORD_MAX;
  struct segment_head h;
  enum err e;
  ssize_t n;

  *turned = false;
  e = turn(sp, r, turned);
  if (e)
    return e;
  if (!buf_reserve(out, room))
    return ERR_BUSY;
  n = pread(r->fd, out->data + first, room, r->pos);
  if (n < 0)
    return ERR_IO;
  while (r->pos < SEGMENT_SIZE && !(e = segment_parse(out->data + first + used, (size_t)n - used, &h))) {
    size_t whole = h.line + h.chunk.blob_len + 1;
    if (!follows(sp, r, &h)) {
      e = ERR_CORRUPT;
      break;
    }
    if (whole > (size_t)n - used) {
      e = ERR_AGAIN;
      break;
    }
    if (out->data[first + used + whole - 1] != '\n') {
      e = ERR_CORRUPT;
      break;
    }
    if (h.chunk.off + h.chunk.raw > limit) {
      e = ERR_BUSY;
      break;
    }
    used += whole;
    step(r, &h);
  }
  if (used)
    buf_grown(out, used);
  out->data[out->len] = 0;
  return used ? ERR_OK : e;
}

/* ---- after a crash ---- */

/* Checks the record at r, whose blob is read into `blob`. */
static enum err check_record(const struct spool *sp, struct segment_reader *r, int64_t size, bool deep, char *blob, struct segment_head *h)
{
  enum err e = head_at(r, size, h);

  if (e)
    return e;
  if (!follows(sp, r, h) || pread(r->fd, blob, h->chunk.blob_len + 1, r->pos + (int64_t)h->line) != (ssize_t)h->chunk.blob_len + 1 ||
      blob[h->chunk.blob_len] != '\n' || chunk_crc(0, blob, h->chunk.blob_len) != h->chunk.bcrc)
    return ERR_CORRUPT;
  h->chunk.blob = blob;
  return deep ? chunk_check(&h->chunk, NULL) : ERR_OK;
}

static void cut(const struct spool *sp, const struct segment_reader *r, const int64_t *starts, size_t n)
{
  int fd = open_segment(sp, r->kind, r->start, O_WRONLY); /* the reader's can't be written through */

  for (size_t i = 0; i < n; i++)
    if (starts[i] > r->start)
      remove_segment(sp, r->kind, starts[i]);
  if (fd < 0 || ftruncate(fd, r->pos))
    errno = 0; /* readers stop at the first record that is not one */
  if (fd >= 0)
    close(fd);
}

/* Adds the records of the reader's segment to the sums, until its end or something that is no good record. */
static enum err sum_segment(const struct spool *sp, struct segment_reader *r, int64_t size, bool deep, struct spool_base *sum)
{
  char *blob = xmalloc(CHUNK_BLOB_MAX + 1);
  struct segment_head h;
  enum err e = ERR_OK;

  while (r->pos < size && !(e = check_record(sp, r, size, deep, blob, &h))) {
    sum->crc = chunk_crc_join(sum->crc, h.chunk.crc, h.chunk.raw);
    sum->lines += h.chunk.lines;
    step(r, &h);
    sum->off = r->off;
  }
  free(blob);
  return e;
}

/* The sums before the lowest segment. */
static bool base_of(const struct spool *sp, int64_t lo, struct spool_base *b)
{
  *b = (struct spool_base){ lo, 0, 0 };
  if (!lo)
    return true;
  if (spool_read_base(sp, b) && b->off == lo)
    return true;
  *b = (struct spool_base){ lo, 0, 0 };
  return false;
}

enum err segment_mend(struct spool *sp, bool deep, struct segment_writer *w, bool *complete)
{
  int64_t *starts, size;
  size_t n = segment_list(sp, &starts);
  struct segment_reader r;
  struct spool_base sum;
  bool torn = false;
  enum err e = ERR_OK;

  segment_writer_init(w, sp);
  segment_reader_init(&r);
  *complete = base_of(sp, n ? starts[0] : 0, &sum);
  for (size_t i = 0; i < n && !torn; i++) {
    if (starts[i] != sum.off || (e = go_to(sp, &r, starts[i])))
      break;
    size = file_size(r.fd);
    e = sum_segment(sp, &r, size, deep, &sum);
    torn = r.pos < size || (i + 1 < n && r.pos < SEGMENT_SIZE);
  }
  torn = torn || (n && r.fd >= 0 && r.start != starts[n - 1]);
  if (torn && r.fd >= 0)
    cut(sp, &r, starts, n);
  *complete = *complete && !torn && !e;
  w->off = sum.off;
  w->crc = sum.crc;
  w->lines = sum.lines;
  segment_reader_close(&r);
  free(starts);
  return e == ERR_IO ? ERR_IO : ERR_OK;
}

enum err segment_drop(const struct spool *sp, int64_t *freed)
{
  int64_t *starts;
  size_t n = segment_list(sp, &starts);
  struct segment_reader r;
  struct spool_base sum;
  enum err e = n > 1 ? ERR_OK : ERR_NOTFOUND;
  bool full = false;

  *freed = 0;
  segment_reader_init(&r);
  if (!e && base_of(sp, starts[0], &sum) && !(e = go_to(sp, &r, starts[0]))) {
    *freed = file_size(r.fd);
    e = sum_segment(sp, &r, *freed, false, &sum);
    if (!e)
      e = spool_write_base(sp, &sum);
    full = e == ERR_NOSPACE; /* there is room for it behind what it is about */
    e = full ? ERR_OK : e;
  }
  if (!e && remove_segment(sp, SEGMENT_LOG, starts[0]))
    e = spool_err(errno);
  else if (!e && full)
    e = spool_write_base(sp, &sum);
  segment_reader_close(&r);
  free(starts);
  return e;
}
