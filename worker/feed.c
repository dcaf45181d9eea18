/* The agent's half of standard input that the master brings. */
#include "worker/feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "worker/command.h"
#include "worker/os.h"

enum { LOOKS = 4 };

static const char *const states[] = { [FED_OPEN] = "open", [FED_CLOSED] = "closed", [FED_GONE] = "gone" };

enum err feed_make(const struct spool *sp)
{
  const struct spool_fed none = { 0, FED_OPEN };
  enum err e = spool_make_in(sp);

  return e ? e : spool_write_fed(sp, &none); /* from now on it has its place, and is only written over */
}

struct feed *feed_new(void)
{
  struct feed *f = xcalloc(1, sizeof *f);

  f->end = -1;
  return f;
}

static void drop(struct feed *f)
{
  if (f->held)
    mem_wipe(f->held, FEED_WINDOW);
  free(f->held);
  f->held = NULL;
  f->n = 0;
}

void feed_free(struct feed *f)
{
  if (f)
    drop(f);
  free(f);
}

/* How far the minder is, or was a moment ago. False: that can't be read now, and is not known from before. */
static bool look(const struct command *c, struct spool_fed *at)
{
  struct feed *f = c->feed;
  enum err e = ERR_CORRUPT;

  for (int i = 0; i < LOOKS && e == ERR_CORRUPT; i++) /* it may be in the midst of writing: then it wakes us behind that */
    e = spool_read_fed(&c->sp, at);
  if (!e) {
    f->seen = *at;
    f->known = true;
  }
  *at = f->seen;
  if (c->sm.state == COMMAND_ENDED && at->state == FED_OPEN)
    at->state = FED_GONE;
  return f->known;
}

/* True: it went into the FIFO, whole. */
static bool put_frame(int fd, int64_t off, enum feed_kind kind, const char *p, size_t n)
{
  char frame[FEED_FRAME_MAX];
  struct feed_head head = { off, (uint32_t)n, kind };
  ssize_t w;

  memcpy(frame, &head, sizeof head);
  if (n)
    memcpy(frame + sizeof head, p, n);
  w = write(fd, frame, sizeof head + n);
  mem_wipe(frame, sizeof head + n);
  return w == (ssize_t)(sizeof head + n);
}

/* What fits into the FIFO. */
static void push(struct command *c)
{
  struct feed *f = c->feed;
  size_t done = 0;
  int fd;

  if (!f->n && f->end < 0)
    return;
  fd = spool_open(&c->sp, SPOOL_IN, O_WRONLY | O_NONBLOCK | O_CLOEXEC | OS_FIFO);
  if (fd < 0)
    return; /* the minder is about to open it, or gone */
  while (done < f->n) {
    size_t n = f->n - done < FEED_BYTES_MAX ? f->n - done : FEED_BYTES_MAX;
    if (!put_frame(fd, f->off, FEED_BYTES, f->held + done, n))
      break;
    f->off += (int64_t)n;
    done += n;
  }
  f->n -= done;
  if (f->n)
    memmove(f->held, f->held + done, f->n);
  else
    drop(f);
  if (!f->n && f->end >= 0 && put_frame(fd, f->end, FEED_END, NULL, 0))
    f->end = -1;
  close(fd);
}

/* Gives and tells. always: it is an answer. */
static void turn(struct agent *a, struct command *c, bool always)
{
  struct feed *f = c->feed;
  struct spool_fed at;

  if (!look(c, &at)) {
    f->told.off = -1; /* so the next wake-up tells */
    return;
  }
  if (at.state == FED_OPEN) {
    push(c);
  } else {
    drop(f);
    f->end = -1;
  }
  if (!f->asked || (!always && at.off == f->told.off && at.state == f->told.state))
    return;
  f->told = at;
  wire_put(&a->link.out, VERB_fed, "inns", &c->id, at.off, at.off + FEED_WINDOW, states[at.state]);
}

/* The master speaks of it. False: how far it is can't be told now. */
static bool begin(struct command *c, struct spool_fed *at)
{
  struct feed *f = c->feed;
  bool known = look(c, at);

  f->asked = true;
  if (known && f->off + (int64_t)f->n < at->off) /* an earlier agent gave them */
    f->off = at->off - (int64_t)f->n;
  return known;
}

void feed_take(struct agent *a, struct command *c, int64_t off, const char *p, size_t n)
{
  struct feed *f = c->feed;
  struct spool_fed at;
  bool known = begin(c, &at);
  int64_t have = f->off + (int64_t)f->n, most = at.off + FEED_WINDOW;

  if (known && at.state == FED_OPEN && f->end < 0 && off <= have && (int64_t)n > have - off) {
    size_t skip = (size_t)(have - off), take = n - skip;
    if ((int64_t)take > most - have)
      take = most > have ? (size_t)(most - have) : 0;
    if (take && !f->held)
      f->held = xmalloc(FEED_WINDOW);
    if (take)
      memcpy(f->held + f->n, p + skip, take);
    f->n += take;
  }
  turn(a, c, true);
}

void feed_close(struct agent *a, struct command *c, int64_t off)
{
  struct feed *f = c->feed;
  struct spool_fed at;

  if (begin(c, &at) && at.state == FED_OPEN && off == f->off + (int64_t)f->n)
    f->end = off;
  turn(a, c, true);
}

void feed_woken(struct agent *a, struct command *c)
{
  turn(a, c, false);
}

void feed_detach(struct feed *f)
{
  f->asked = false;
}
