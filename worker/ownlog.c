/* The agent's own log. A line that can't be written is dropped: the log must never stop the work. */
#include "worker/ownlog.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

static void put(enum log_level level, const char *line)
{
  char text[LINE_MAX_LEN];
  struct timespec t;
  struct tm tm;
  ssize_t w;
  int n;

  (void)level; /* its name is in the line */
  n = snprintf(text, sizeof text, "%s\n", line);
  w = write(2, text, (size_t)n);
  if (file < 0)
    return;
  if (!has_time) {
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    n = (int)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    n += snprintf(text + n, sizeof text - (size_t)n, ".%03ldZ %s\n", t.tv_nsec / 1000000, line);
  }
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
  log_set_sink(put);
}
