/* File operations: a queue, and at most 8 children. A child writes `<tag> NUL <blob>` to its pipe and ends; an end without that is
   an error io. After a lost link the children are killed; one that can't die (a hung disk) keeps its place until it does, and what is asked about
   the same path waits for that. */
#include "worker/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/os.h"
#include "worker/usage.h"

enum { ANSWER_MAX = 4096 };

struct op {
  struct list node;
  enum verb verb;
  int64_t req;
  bool forgotten;
  pid_t pid;
  int fd;
  char answer[ANSWER_MAX];
  size_t len;
  char path[]; /* NUL-ended */
};

static const struct {
  int number;
  const char *tag, *text; /* NULL: what libc says */
} tags[] = {
  { ENOENT, "notfound", NULL },    { EEXIST, "exists", NULL },    { EACCES, "denied", NULL },     { EPERM, "denied", NULL },
  { ENOSPC, "nospace", NULL },     { EDQUOT, "nospace", NULL },   { ENAMETOOLONG, "toolong", NULL }, { EBUSY, "busy", NULL },
  { ENOTDIR, "notdir", NULL },     { EISDIR, "isdir", NULL },     { ELOOP, "outside", NULL },
  { EXDEV, "outside", "a link leads out of the work folder" },    { EINVAL, "badarg", "that is the work folder itself" },
};

void files_init(struct files *f, int work)
{
  memset(f, 0, sizeof *f);
  f->work = work;
  list_init(&f->waiting);
  list_init(&f->running);
}

static void put_done(struct buf *out, int64_t req, const char *tag, const char *blob, size_t n)
{
  wire_put_blob(out, VERB_done, blob, n, "ns", req, tag);
}

/* ---- in the child ---- */

static const char *type_name(mode_t mode)
{
  return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "dir" : S_ISLNK(mode) ? "link" : "other";
}

static int do_stat(int work, const char *path, struct buf *out)
{
  struct stat st;
  char leaf[256] = ".";
  int dir = beneath_is_top(path) ? beneath_open(work, ".", O_PATH | O_DIRECTORY) : beneath_parent(work, path, leaf);

  if (dir < 0 || fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW))
    return -1;
  records_put(out, "type", type_name(st.st_mode));
  records_putf(out, "size", "%lld", (long long)st.st_size);
  records_putf(out, "mtime", "%lld", (long long)(st.st_mtime > 0 ? st.st_mtime : 0));
  return 0;
}

static int do_usage(int work, const char *path, struct buf *out)
{
  struct usage u;
  int dir = beneath_open(work, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

  if (dir < 0)
    return -1;
  os_yield();
  usage_measure(dir, &u);
  records_putf(out, "bytes", "%lld", (long long)u.bytes);
  records_putf(out, "entries", "%lld", (long long)u.entries);
  records_put(out, "complete", u.complete ? "1" : "0");
  return 0;
}

static int do_op(int work, const struct op *op, struct buf *out)
{
  switch (op->verb) {
  case VERB_stat: return do_stat(work, op->path, out);
  case VERB_mkdir: return beneath_mkdirs(work, op->path);
  case VERB_remove: return beneath_remove(work, op->path);
  case VERB_usage: return do_usage(work, op->path, out);
  case VERB_disk: return os_disk(work, out);
  default: errno = EINVAL; return -1;
  }
}

static void put_error(struct buf *out, int number)
{
  const char *tag = "io", *text = NULL;

  for (size_t i = 0; i < COUNT(tags); i++)
    if (tags[i].number == number) {
      tag = tags[i].tag;
      text = tags[i].text;
    }
  buf_add(out, tag, strlen(tag) + 1);
  buf_adds(out, text ? text : strerror(number));
}

static void work_child(int work, const struct op *op, int fd)
{
  struct buf out;
  int r;

  buf_init(&out, ANSWER_MAX);
  buf_add(&out, "ok", 3);
  umask(022);
  r = do_op(work, op, &out);
  if (r) {
    r = errno;
    buf_reset(&out);
    put_error(&out, r);
  }
  _exit(write(fd, out.data, out.len) == (ssize_t)out.len ? 0 : 1);
}

/* ---- in the agent ---- */

static bool start(struct files *f, struct op *op)
{
  pid_t agent = getpid();
  int p[2];

  if (pipe2(p, O_CLOEXEC))
    return false;
  op->pid = fork();
  if (!op->pid) {
    if (!os_end_with(agent)) /* else a removal would go on while the next agent's builds use the place again */
      _exit(1);
    signal(SIGTERM, SIG_DFL);
    dup2(f->work, 0);
    dup2(p[1], 1);
    os_close_from(3); /* above all the lock of the state folder */
    work_child(0, op, 1);
  }
  close(p[1]);
  if (op->pid < 0) {
    close(p[0]);
    return false;
  }
  op->fd = p[0];
  fcntl(op->fd, F_SETFL, O_NONBLOCK);
  list_push(&f->running, &op->node);
  f->nrunning++;
  return true;
}

/* One of a lost link at the same place that has not ended yet: a removal that wakes up late must not meet what was made since. */
static bool must_wait(const struct files *f, const struct op *op)
{
  list_each(it, &f->running) {
    const struct op *other = list_of(it, struct op, node);
    if (other->forgotten && !strcmp(other->path, op->path))
      return true;
  }
  return false;
}

static void start_waiting(struct files *f, struct buf *out)
{
  list_each(it, &f->waiting) {
    struct op *op = list_of(it, struct op, node);
    if (f->nrunning >= FILES_AT_ONCE)
      return;
    if (must_wait(f, op))
      continue;
    list_remove(&op->node);
    f->nwaiting--;
    if (start(f, op))
      continue;
    put_done(out, op->req, "busy", "no process", 10);
    free(op);
  }
}

void files_take(struct files *f, enum verb verb, int64_t req, const char *path, size_t n, struct buf *out)
{
  static const char bad[] = "the path is not one below the work folder", full[] = "too many at once";
  struct op *op;

  if (f->nwaiting >= FILES_WAITING_MAX) {
    put_done(out, req, "busy", full, sizeof full - 1);
    return;
  }
  op = xcalloc(1, sizeof *op + n + 1);
  if (n)
    memcpy(op->path, path, n);
  op->verb = verb;
  op->req = req;
  if (memchr(op->path, 0, n) || !beneath_valid(op->path)) {
    put_done(out, req, n && op->path[0] != 0 && strlen(op->path) >= BENEATH_PATH_MAX ? "toolong" : "badarg", bad, sizeof bad - 1);
    free(op);
    return;
  }
  list_push(&f->waiting, &op->node);
  f->nwaiting++;
  start_waiting(f, out);
}

int files_poll(const struct files *f, struct pollfd *p)
{
  int n = 0;

  list_each(it, &f->running)
    p[n++] = (struct pollfd){ list_of(it, struct op, node)->fd, POLLIN, 0 };
  return n;
}

/* True: it has ended. */
static bool read_answer(struct op *op)
{
  ssize_t n = read(op->fd, op->answer + op->len, sizeof op->answer - op->len);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  if (n > 0)
    op->len += (size_t)n;
  return n <= 0 || op->len == sizeof op->answer;
}

static void answer(const struct op *op, struct buf *out)
{
  static const char gone[] = "its process ended without an answer";
  const char *nul = memchr(op->answer, 0, op->len);
  size_t tag = nul ? (size_t)(nul - op->answer) + 1 : 0;

  if (tag)
    put_done(out, op->req, op->answer, op->answer + tag, op->len - tag);
  else
    put_done(out, op->req, "io", gone, sizeof gone - 1);
}

void files_turn(struct files *f, const struct pollfd *p, int n, struct buf *out)
{
  int i = 0;

  list_each(it, &f->running) {
    struct op *op = list_of(it, struct op, node);
    if (i == n)
      break; /* started after poll */
    if (!p[i++].revents || !read_answer(op))
      continue;
    list_remove(&op->node);
    f->nrunning--;
    close(op->fd);
    if (!op->forgotten)
      answer(op, out);
    free(op);
  }
  start_waiting(f, out);
}

void files_forget(struct files *f)
{
  list_each(it, &f->waiting) {
    list_remove(it);
    free(list_of(it, struct op, node));
  }
  f->nwaiting = 0;
  list_each(it, &f->running) {
    struct op *op = list_of(it, struct op, node);
    op->forgotten = true;
    kill(op->pid, SIGKILL); /* reaped by nobody but init: SIGCHLD is ignored; the pipe says that it has ended */
  }
}
