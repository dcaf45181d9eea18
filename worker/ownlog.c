/* The agent's own log. A line that can't be written is dropped: the log must never stop the work. */
#include "worker/ownlog.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

enum { FILE_MAX = 1 << 20, LINE_MAX_LEN = 2304 };

static int folder = -1, file = -1;
static bool has_time; /* the lines tell it themselves */
static long long size;

static void open_file(void)
{
  struct stat st;

  file = openat(folder, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  size = file >= 0 && !fstat(file, &st) ? (long long)st.st_size : 0;
}

static void rotate(void)
{
  if (renameat(folder, "log", folder, "log.1"))
    return;
  close(file);
  open_file();
}

/* ---- the end of it, in memory ---- */

static char kept[OWNLOG_KEPT];
_Static_assert(LINE_MAX_LEN < OWNLOG_KEPT / 2, "a line fits behind what is left");
static size_t nkept;

/* Where the first whole line begins in what is left once `drop` bytes are gone. */
static size_t line_behind(size_t drop)
{
  const char *lf;

  if (!drop)
    return 0;
  lf = memchr(kept + drop - 1, '\n', nkept - drop + 1);
  return lf ? (size_t)(lf - kept) + 1 : nkept;
}

static void keep(const char *text, size_t n)
{
  if (nkept + n > sizeof kept) { /* half of it goes at once: seldom is cheap */
    size_t from = line_behind(nkept - sizeof kept / 4);
    memmove(kept, kept + from, nkept - from);
    nkept -= from;
  }
  memcpy(kept + nkept, text, n);
  nkept += n;
}

/* What was written before this start. */
static void keep_old(void)
{
  int fd = openat(folder, "log", O_RDONLY | O_CLOEXEC);
  ssize_t n;

  if (fd < 0)
    return;
  n = pread(fd, kept, sizeof kept / 2, size > (long long)sizeof kept / 2 ? (off_t)(size - (long long)sizeof kept / 2) : 0);
  close(fd);
  nkept = n > 0 ? (size_t)n : 0;
  if (size > (long long)sizeof kept / 2 && nkept) {
    size_t from = line_behind(1);
    memmove(kept, kept + from, nkept - from);
    nkept -= from;
  }
}

const char *ownlog_tail(size_t most, size_t *n)
{
  size_t from = nkept > most ? line_behind(nkept - most) : 0;

  *n = nkept - from;
  return kept + from;
}

static void put(enum log_level level, const char *line)
{
  char text[LINE_MAX_LEN];
  char when[CLOCK_TEXT_MAX];
  ssize_t w;
  int n;

  (void)level; /* its name is in the line */
  n = snprintf(text, sizeof text, "%s\n", line);
  w = write(2, text, (size_t)n);
  if (!has_time) {
    n = snprintf(text, sizeof text, "%s %s\n", clock_text(when), line);
  }
  if (n > (int)sizeof text - 1)
    n = (int)sizeof text - 1;
  keep(text, (size_t)n);
  if (file < 0)
    return;
  if (size + n > FILE_MAX)
    rotate();
  w = file < 0 ? 0 : write(file, text, (size_t)n);
  if (w > 0)
    size += w;
}

void ownlog_open(int dir, bool lines_have_time)
{
  folder = dir;
  has_time = lines_have_time;
  open_file();
  keep_old();
  log_set_sink(put);
}
