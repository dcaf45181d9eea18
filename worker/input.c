/* The minder's half of standard input. */
#include "worker/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "worker/notice.h"
#include "worker/os.h"
#include "worker/terminal.h"

enum { TURN_FRAMES = 32 }; /* given in one turn, before the command's output is looked at again */

static const struct sm_row rows[FED_STATES] = {
  [FED_OPEN] = { "open", SM_TO(FED_CLOSED) | SM_TO(FED_GONE) },
  [FED_CLOSED] = { "closed", 0 },
  [FED_GONE] = { "gone", 0 },
};

void input_init(struct input *in, struct spool *sp, int wake_fd)
{
  *in = (struct input){ .sp = sp, .fd = -1, .fifo = -1, .wake_fd = wake_fd, .last = '\n' };
  sm_init(&in->sm, sp->cmd, rows, FED_STATES, FED_OPEN);
}

/* For the agent. Where that can't be written down it is tried again in another turn. */
static void tell(struct input *in)
{
  struct spool_fed at = { in->off, (enum fed_state)in->sm.state };

  if (in->fifo < 0)
    return;
  in->told = spool_write_fed(in->sp, &at) ? -1 : in->off;
  if (in->told >= 0)
    notice_wake(in->wake_fd, in->sp->cmd, false);
}

int input_open(struct input *in)
{
  in->fifo = spool_open(in->sp, SPOOL_IN, O_RDWR | O_NONBLOCK | O_CLOEXEC | OS_FIFO); /* for writing, too: what an agent left in it stays when that dies */
  if (in->fifo < 0)
    return errno;
  notice_wake(in->wake_fd, in->sp->cmd, false); /* the agent may have bytes already, which it could not put into a FIFO that nobody reads */
  return 0;
}

static void end(struct input *in, enum fed_state state)
{
  if (in->sm.state != FED_OPEN)
    return;
  sm_move(&in->sm, (int)state);
  if (in->fd >= 0)
    close(in->fd);
  in->fd = -1;
  if (in->owned)
    mem_wipe(in->owned, in->nowned);
  free(in->owned);
  in->owned = NULL;
  in->n = 0;
  mem_wipe(in->frame, sizeof in->frame);
  tell(in);
}

/* All of it was given. A pipe is closed; to a terminal its end is typed, at the beginning of a line, for anywhere else it only ends that. */
static void give_end(struct input *in)
{
  if (!in->terminal || in->ended) {
    end(in, FED_CLOSED);
    return;
  }
  memset(in->end, terminal_eof(in->fd), sizeof in->end);
  in->bytes = in->end;
  in->n = in->last == '\n' ? 1 : 2;
  in->ended = true;
}

/* The next frame, as far as it is new. False: there is none. */
static bool take_frame(struct input *in)
{
  struct feed_head head;
  int64_t skip;

  if (in->fifo < 0 || read(in->fifo, &head, sizeof head) != sizeof head)
    return false;
  if (head.n > FEED_BYTES_MAX || (head.n && read(in->fifo, in->frame, head.n) != (ssize_t)head.n)) {
    log_error("minder", "%s: its input is garbled", in->sp->cmd); /* by somebody else than an agent: what is ours is whole */
    end(in, FED_GONE);
    return false;
  }
  skip = in->off - head.off;
  in->ending = head.kind == FEED_END && !skip;
  if (head.kind == FEED_BYTES && skip >= 0 && skip < head.n) {
    in->bytes = in->frame + skip;
    in->n = head.n - (size_t)skip;
  }
  return true;
}

/* One write. False: the command takes no more now. */
static bool give(struct input *in)
{
  ssize_t n = write(in->fd, in->bytes, in->n);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  if (n < 0) {
    end(in, FED_GONE);
    return false;
  }
  if (n && !in->ended) {
    in->off += n;
    in->last = in->bytes[n - 1];
  }
  in->bytes += n;
  in->n -= (size_t)n;
  return n > 0;
}

static void go(struct input *in)
{
  for (int i = 0; i < TURN_FRAMES && in->fd >= 0; i++) {
    if (in->n && !give(in))
      break;
    if (in->n)
      continue;
    if (in->ending)
      give_end(in);
    else if (!take_frame(in))
      break;
  }
}

void input_begin(struct input *in, int fd, bool terminal, char *bytes, size_t n)
{
  in->fd = fd;
  in->terminal = terminal;
  in->owned = in->bytes = bytes;
  in->nowned = in->n = n;
  in->ending = in->fifo < 0;
  if (fd >= 0)
    go(in);
  if (in->off != in->told)
    tell(in);
}

void input_poll(const struct input *in, struct pollfd p[INPUT_POLLS])
{
  bool has = in->n || in->ending;

  p[0] = (struct pollfd){ in->fd, has ? POLLOUT : 0, 0 }; /* without anything to give: whether it is still read */
  p[1] = (struct pollfd){ in->fd >= 0 && !has ? in->fifo : -1, POLLIN, 0 };
}

void input_turn(struct input *in, const struct pollfd p[INPUT_POLLS])
{
  if (in->fd >= 0 && (p[0].revents & (POLLERR | POLLHUP)))
    end(in, FED_GONE);
  else if (p[0].revents || p[1].revents)
    go(in);
  if (in->off != in->told)
    tell(in);
}
