/* Followed files. */
#include "worker/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/beneath.h"
#include "worker/os.h"

enum {
  LOOK_MS = 250,       /* between two looks at a file */
  LOOK_OFTEN_MS = 100, /* while somebody looks */
  READ_SIZE = 65536,
  READS_MAX = 16,      /* of READ_SIZE, of one file, before others have their turn */
  BEFORE_MAX = 64,     /* bytes before the place, by which it is known that the file was not written anew */
};
#define NEVER INT64_MAX

struct followed {
  const char *place;
  uid_t uid;
  int fd;                  /* -1: it is not there */
  dev_t dev;
  ino_t ino;
  int64_t off;
  char before[BEFORE_MAX]; /* the last bytes before off */
  size_t nbefore;
  char *in;                /* READ_SIZE bytes, from the first look at a file on: what the output has of it may have to wait there */
  bool fresh;              /* it was opened after the command had begun: all of it counts */
  bool held;               /* there is no room in the spool for more of it */
  bool over;               /* nothing more comes of it */
  struct spool sp;
  struct output out;
};

/* ---- one file ---- */

/* Is there a regular file, and which? */
static bool look_at(const struct followed *f, int work, struct stat *st)
{
  int r;

  os_as(f->uid);
  r = os_stat_beneath(work, f->place, true, st);
  os_as(0);
  return !r && S_ISREG(st->st_mode);
}

static void remember(struct followed *f, const char *p, size_t n)
{
  if (n > BEFORE_MAX) {
    p += n - BEFORE_MAX;
    n = BEFORE_MAX;
  }
  if (f->nbefore + n > BEFORE_MAX) {
    size_t drop = f->nbefore + n - BEFORE_MAX;
    memmove(f->before, f->before + drop, f->nbefore - drop);
    f->nbefore -= drop;
  }
  memcpy(f->before + f->nbefore, p, n);
  f->nbefore += n;
}

/* What stands in it already is not the command's. */
static void skip_old(struct followed *f, int64_t size)
{
  ssize_t n;

  f->nbefore = size < BEFORE_MAX ? (size_t)size : BEFORE_MAX;
  n = pread(f->fd, f->before, f->nbefore, size - (int64_t)f->nbefore);
  f->nbefore = n > 0 ? (size_t)n : 0;
  f->off = size;
}

static void open_file(struct followed *f, int work)
{
  struct stat seen, st;

  if (!look_at(f, work, &seen))
    return;
  os_as(f->uid);
  f->fd = beneath_open(work, f->place, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  os_as(0);
  if (f->fd < 0)
    return;
  if (fstat(f->fd, &st) || st.st_dev != seen.st_dev || st.st_ino != seen.st_ino) { /* it was replaced in this moment: the next look */
    close(f->fd);
    f->fd = -1;
    return;
  }
  f->in = f->in ? f->in : xmalloc(READ_SIZE);
  f->dev = st.st_dev;
  f->ino = st.st_ino;
  f->off = 0;
  f->nbefore = 0;
  if (!f->fresh)
    skip_old(f, st.st_size);
}

/* Whether another file has its name now. */
static bool replaced(const struct followed *f, int work)
{
  struct stat st;

  if (!look_at(f, work, &st))
    return false; /* the old one may be written to all the same */
  return st.st_dev != f->dev || st.st_ino != f->ino;
}

/* What was read before is not there any more: cut, or written anew. */
static bool rewritten(const struct followed *f)
{
  char now[BEFORE_MAX];

  return f->nbefore && (pread(f->fd, now, f->nbefore, f->off - (int64_t)f->nbefore) != (ssize_t)f->nbefore || memcmp(now, f->before, f->nbefore));
}

static ssize_t read_on(struct followed *f)
{
  ssize_t n;

  if (rewritten(f)) {
    f->off = 0;
    f->nbefore = 0;
  }
  n = pread(f->fd, f->in, READ_SIZE, f->off);
  if (n <= 0)
    return 0;
  f->off += n;
  remember(f, f->in, (size_t)n);
  return n;
}

/* The next bytes, into f->in; 0: none now. */
static size_t read_file(struct followed *f, int work)
{
  ssize_t n;

  for (int files = 0; files < 2; files++) {
    if (f->fd < 0)
      open_file(f, work);
    f->fresh = true;
    if (f->fd < 0)
      return 0;
    if ((n = read_on(f)) > 0)
      return (size_t)n;
    if (!replaced(f, work))
      return 0;
    if ((n = read_on(f)) > 0) /* written before it was replaced, and after the look above */
      return (size_t)n;
    close(f->fd);
    f->fd = -1;
  }
  return 0;
}

/* ---- all of them ---- */

void follows_begin(struct follows *f, const struct spec *spec, const struct spool *sp, int work, uid_t uid, const struct output *first, int wake_fd)
{
  struct stat st;

  f->work = work;
  f->n = spec->nlogs;
  f->v = xcalloc((size_t)f->n + 1, sizeof *f->v);
  f->at = first->start + LOOK_MS;
  for (int i = 0; i < f->n; i++) {
    struct followed *w = &f->v[i];
    w->place = spec->log[i];
    w->uid = uid;
    w->sp = *sp;
    w->sp.stream = i + 1;
    output_init(&w->out, &w->sp, wake_fd);
    output_limit(&w->out, spec->limit_bytes, spec->limit_lines);
    veil_share(&w->out.veil, &first->veil);
    w->out.start = first->start;
    w->fd = -1;
    if (look_at(w, work, &st)) /* else what comes is the command's */
      open_file(w, work);
    w->fresh = true;
  }
}

int64_t follows_due(const struct follows *f, int64_t at)
{
  at = f->n && f->at < at ? f->at : at;
  for (int i = 0; i < f->n; i++) {
    const struct output *o = &f->v[i].out;
    if (f->v[i].over)
      continue;
    at = o->close_at < at ? o->close_at : at;
    at = o->sync_at < at ? o->sync_at : at;
    at = o->veil.due[0] < at ? o->veil.due[0] : at;
  }
  return at;
}

/* Some of a file. What can't be put away now stays in the output, and nothing more is read. True: there may be more. */
static bool take(struct follows *f, struct followed *w, int64_t now, bool *wrote)
{
  size_t n = 0;

  w->held = true;
  for (int i = 0; i < READS_MAX; i++) {
    if (!output_room(&w->out, now))
      return false;
    n = read_file(w, f->work);
    if (!n)
      break;
    *wrote = true;
    if (!output_take(&w->out, 0, w->in, n, now))
      return false;
  }
  w->held = false;
  return n > 0;
}

static void push(struct followed *w, int64_t now, void (*wait)(void))
{
  while (!output_push(&w->out, now))
    wait();
}

/* The last of a file, and a line where it is not the last. */
static void finish(struct follows *f, struct followed *w, int64_t now)
{
  static const char told[] = "\ndrover: the rest of the file is not read\n";

  push(w, now, f->wait);
  if (!output_let_go(&w->out, 0, now))
    push(w, now, f->wait);
  if (f->stopped && read_file(w, f->work) && !output_take(&w->out, 0, told, sizeof told - 1, now))
    push(w, now, f->wait);
  output_end(&w->out, f->wait);
  if (w->fd >= 0)
    close(w->fd);
  w->fd = -1;
  w->held = false;
  w->over = true;
}

bool follows_tick(struct follows *f, int64_t now)
{
  bool wrote = false, more = false, look = now >= f->at;

  for (int i = 0; i < f->n; i++) {
    struct followed *w = &f->v[i];
    struct output *o = &w->out;
    if (w->over)
      continue;
    if (look && !f->stopped && take(f, w, now, &wrote)) {
      more = true;
    } else if (f->stopped || (look && f->ending && !w->held)) {
      finish(f, w, now);
      continue;
    }
    if (now >= o->veil.due[0] && !output_held(o) && !output_let_go(o, 0, now))
      continue;
    if (now >= o->close_at && !output_close(o, true))
      o->close_at = now + LOOK_MS; /* the disk is full */
    if (now >= o->sync_at)
      output_sync(o);
  }
  if (f->n && look)
    f->at = more ? now : now + (f->often ? LOOK_OFTEN_MS : LOOK_MS);
  return wrote;
}

void follows_often(struct follows *f, bool on)
{
  f->often = on;
  for (int i = 0; i < f->n; i++)
    output_follow(&f->v[i].out, on);
}

void follows_end(struct follows *f, int64_t now, void (*wait)(void))
{
  f->ending = true;
  f->wait = wait;
  f->at = now;
}

void follows_stop(struct follows *f)
{
  f->stopped = true;
  f->at = 0;
}

void follows_throw_away(struct follows *f)
{
  for (int i = 0; i < f->n; i++)
    f->v[i].out.broken = true;
}

bool follows_over(const struct follows *f)
{
  for (int i = 0; i < f->n; i++)
    if (!f->v[i].over)
      return false;
  return true;
}

bool follows_held(const struct follows *f)
{
  for (int i = 0; i < f->n; i++)
    if (f->v[i].held)
      return true;
  return false;
}

bool follows_sync(struct follows *f)
{
  bool good = true;

  for (int i = 0; i < f->n; i++)
    good = !segment_sync(&f->v[i].out.log) && good;
  return good;
}

bool follows_broken(const struct follows *f)
{
  for (int i = 0; i < f->n; i++)
    if (f->v[i].out.broken)
      return true;
  return false;
}

void follows_tell(const struct follows *f, struct spool_exit *x)
{
  for (int i = 0; i < f->n; i++) {
    const struct output *o = &f->v[i].out;
    x->log[x->nlogs++] = (struct spool_log){ o->log.off, o->log.lines, o->left_bytes, o->left_lines, o->log.crc };
  }
}
