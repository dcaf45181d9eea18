/* File operations: a queue, and at most 8 children. A child writes frames to its pipe (fileop.h) and ends; an end without the last frame is
   an error io. After a lost link the children are killed; one that can't die (a hung disk) keeps its place until it does, and what is asked about
   the same path waits for that. A child whose answer is long waits in its pipe while the link is full. */
#include "worker/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/fileop.h"

struct op {
  struct list node;
  enum verb verb;
  int64_t req, a, b;
  bool forgotten;
  pid_t pid;
  int below;            /* the folder of its path */
  int fd;
  int64_t sent;         /* bytes of the answer that are on their way */
  char head[FRAME_HEAD];
  char *frame;          /* of the length that the head says; NULL: the head is not complete */
  size_t have, want;    /* bytes of head or frame */
  char *blob;           /* n bytes and a NUL, until it is started */
  size_t n;
  char *path;
};

void files_init(struct files *f, int work, const struct confine *confine)
{
  memset(f, 0, sizeof *f);
  f->work = work;
  f->confine = confine;
  list_init(&f->waiting);
  list_init(&f->running);
}

static void op_free(struct op *op)
{
  free(op->frame);
  free(op->blob);
  free(op->path);
  free(op);
}

static void put_done(struct buf *out, int64_t req, const char *tag, const char *blob, size_t n)
{
  wire_put_blob(out, VERB_done, blob, n, "ns", req, tag);
}

static bool start(struct files *f, struct op *op)
{
  struct fileop o = { .verb = op->verb, .a = op->a, .b = op->b, .path = op->path, .blob = op->blob, .n = op->n, .confine = op->below == f->work && f->confine->first ? f->confine : NULL };

  op->fd = fileop_start(&o, op->below, &op->pid);
  if (op->fd < 0)
    return false;
  op->want = FRAME_HEAD;
  free(op->blob); /* the child has its own */
  op->blob = NULL;
  list_push(&f->running, &op->node);
  f->nrunning++;
  return true;
}

/* One of a lost link at the same place that has not ended yet: a removal that wakes up late must not meet what was made since. Puts of one file go one after the other. */
static bool must_wait(const struct files *f, const struct op *op)
{
  list_each(it, &f->running) {
    const struct op *other = list_of(it, struct op, node);
    if ((other->forgotten || (other->verb == VERB_put && op->verb == VERB_put)) && other->below == op->below && !strcmp(other->path, op->path))
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
    f->waiting_bytes -= op->n;
    if (start(f, op))
      continue;
    put_done(out, op->req, "busy", "no process", 10);
    op_free(op);
  }
}

void files_take(struct files *f, const struct files_ask *ask, struct buf *out)
{
  static const char full[] = "too many at once";
  const char *why, *path;
  struct op *op;
  enum err e;

  if (f->nwaiting >= FILES_WAITING_MAX || f->waiting_bytes + ask->n > FILES_WAITING_BYTES) {
    put_done(out, ask->req, "busy", full, sizeof full - 1);
    return;
  }
  op = xcalloc(1, sizeof *op);
  op->blob = xmalloc(ask->n + 1);
  op->blob[ask->n] = 0;
  if (ask->n)
    memcpy(op->blob, ask->blob, ask->n);
  op->n = ask->n;
  op->verb = ask->verb;
  op->req = ask->req;
  op->a = ask->a;
  op->b = ask->b;
  op->below = ask->below ? ask->below : f->work;
  e = fileop_check(op->verb, op->a, op->b, op->blob, op->n, &path, &why);
  if (e) {
    put_done(out, op->req, e == ERR_TOOBIG ? "toolong" : "badarg", why, strlen(why));
    op_free(op);
    return;
  }
  op->path = xstrdup(path);
  f->waiting_bytes += op->n;
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

enum got { GOT_LESS, GOT_FRAME, GOT_END };

/* Head, then frame, as far as the pipe has them. */
static enum got read_frame(struct op *op)
{
  for (;;) {
    ssize_t n = read(op->fd, (op->frame ? op->frame : op->head) + op->have, op->want - op->have);
    uint32_t len;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      return GOT_LESS;
    if (n <= 0)
      return GOT_END;
    op->have += (size_t)n;
    if (op->have < op->want)
      continue;
    if (op->frame)
      return GOT_FRAME;
    memcpy(&len, op->head + 1, sizeof len);
    if (!len || len > FRAME_MAX)
      return GOT_END;
    op->frame = xmalloc(len);
    op->have = 0;
    op->want = len;
  }
}

/* True: that was the last. */
static bool take_frame(struct op *op, struct buf *out)
{
  bool last = op->head[0] == FRAME_END;
  const char *nul = memchr(op->frame, 0, op->want);
  size_t tag = nul ? (size_t)(nul - op->frame) + 1 : 0;

  if (op->forgotten) {
    /* nobody waits for it */
  } else if (!last) {
    wire_put_blob(out, VERB_data, op->frame, op->want, "nn", op->req, op->sent);
    op->sent += (int64_t)op->want;
  } else if (tag) {
    put_done(out, op->req, op->frame, op->frame + tag, op->want - tag);
  }
  free(op->frame);
  op->frame = NULL;
  op->have = 0;
  op->want = FRAME_HEAD;
  return last;
}

static void end(struct files *f, struct op *op)
{
  list_remove(&op->node);
  f->nrunning--;
  close(op->fd);
  op_free(op);
}

/* One frame a turn of each, so that nobody waits for a long answer of another. */
static void turn_of(struct files *f, struct op *op, struct buf *out)
{
  static const char gone[] = "its process ended without an answer";

  switch (read_frame(op)) {
  case GOT_LESS:
    return;
  case GOT_FRAME:
    if (take_frame(op, out))
      end(f, op);
    return;
  case GOT_END:
    if (!op->forgotten)
      put_done(out, op->req, "io", gone, sizeof gone - 1);
    end(f, op);
  }
}

void files_turn(struct files *f, const struct pollfd *p, int n, struct buf *out)
{
  int i = 0;

  list_each(it, &f->running) {
    if (i == n)
      break; /* started after poll */
    if (p[i++].revents)
      turn_of(f, list_of(it, struct op, node), out);
  }
  start_waiting(f, out);
}

void files_forget(struct files *f)
{
  list_each(it, &f->waiting) {
    list_remove(it);
    op_free(list_of(it, struct op, node));
  }
  f->nwaiting = 0;
  f->waiting_bytes = 0;
  list_each(it, &f->running) {
    struct op *op = list_of(it, struct op, node);
    op->forgotten = true;
    fileop_kill(op->pid); /* the pipe says when it has ended */
  }
}
