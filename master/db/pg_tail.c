/* PostgreSQL's log file, read from the loop into our own log and emptied when large. It can't be a pipe
   to us, because PostgreSQL outlives us. */
#include "master/db/pg_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/str.h"

void pg_tail_init(struct pg_tail *t, const char *path, uid_t owner)
{
  *t = (struct pg_tail){ .path = xstrdup(path), .fd = -1, .owner = owner };
  buf_init(&t->line, PG_LOG_STEP + PG_LINE_MAX);
}

void pg_tail_free(struct pg_tail *t)
{
  if (t->fd >= 0)
    close(t->fd);
  t->fd = -1;
  free(t->path);
  t->path = NULL;
  buf_free(&t->line);
}

/* As root we open a file in somebody else's folder: no link, nothing but the plain file they write. */
static bool tail_open(struct pg_tail *t)
{
  struct stat st;

  if (t->fd >= 0)
    return true;
  t->fd = open(t->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (t->fd < 0)
    return false;
  if (!fstat(t->fd, &st) && S_ISREG(st.st_mode) && st.st_uid == t->owner && st.st_nlink == 1)
    return true;
  close(t->fd);
  t->fd = -1;
  return false;
}

static void tell(const char *line)
{
  if (!*line)
    return;
  if (str_starts(line, "PANIC"))
    log_error("pg", "%s", line);
  else if (str_starts(line, "FATAL") || str_starts(line, "ERROR") || str_starts(line, "WARNING"))
    log_warn("pg", "%s", line);
  else
    log_info("pg", "%s", line);
}

static void tell_lines(struct pg_tail *t)
{
  size_t done = 0;

  for (size_t i = 0; i < t->line.len; i++)
    if (t->line.data[i] == '\n' || i - done >= PG_LINE_MAX) {
      char was = t->line.data[i];

      t->line.data[i] = 0;
      tell(t->line.data + done);
      t->line.data[i] = was;
      done = was == '\n' ? i + 1 : i;
    }
  buf_drop(&t->line, done);
}

static void skip_to(struct pg_tail *t, int64_t at)
{
  log_warn("pg", "(%lld bytes of its log left out)", (long long)(at - t->at));
  t->at = at;
  buf_reset(&t->line);
}

void pg_tail_read(struct pg_tail *t)
{
  struct stat st;
  ssize_t n;

  if (!tail_open(t) || fstat(t->fd, &st))
    return;
  if (st.st_size < t->at)
    t->at = 0;
  if (st.st_size - t->at > PG_LOG_MAX)
    skip_to(t, st.st_size - PG_LOG_STEP);
  while (t->at < st.st_size && buf_reserve(&t->line, PG_LOG_STEP)) {
    n = pread(t->fd, t->line.data + t->line.len, PG_LOG_STEP, t->at);
    if (n <= 0)
      return;
    buf_grown(&t->line, (size_t)n);
    t->at += n;
    tell_lines(t);
  }
  /* A line written between the last read and here is lost: once a MiB, against a file without bound. */
  if (t->at > PG_LOG_MAX && !fstat(t->fd, &st) && st.st_size == t->at && !ftruncate(t->fd, 0))
    t->at = 0;
}
