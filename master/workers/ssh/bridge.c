/* The worker on the host, and its bytes: from the channel to the link and back, a buffer each way, read only when the one before is gone; so whoever is slow slows the other down, and nothing piles up here.

   Happy path: started → bytes → the master closes the link: end of file to the worker, which then ends.
   Failures: the connection breaks: the link is closed, the worker ends there by itself and its commands go on. The worker ends by itself: what it said last is told. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/utf8.h"
#include "master/workers/ssh/ssh.h"

enum { BUFFER = 65536, START_MS = 20000, PART_MS = 2000, SHELL_NOT_FOUND = 127, SHELL_NOT_RUN = 126 };

struct half {
  char bytes[BUFFER];
  size_t at, n; /* bytes[at] to bytes[n - 1] are still to be written */
};

/* What libssh2 has begun to send and could not end: the same call must come again before any other that sends, and reading may send too (that there is room again). */
enum begun { BEGUN_NOTHING, BEGUN_SAID, BEGUN_READ, BEGUN_WRITE };

struct bridge {
  struct ssh *s;
  LIBSSH2_CHANNEL *channel;
  struct half up, down; /* up: to the worker */
  char said[SSH_SAID_MAX + 1]; /* the end of its standard error */
  size_t nsaid;
  bool link_ended, told_end;
  enum begun begun;
};

/* May `what` be called now? */
static bool free_for(const struct bridge *b, enum begun what)
{
  return b->begun == BEGUN_NOTHING || b->begun == what;
}

/* It was, and returned n. */
static void was_called(struct bridge *b, enum begun what, ssize_t n)
{
  b->begun = n == LIBSSH2_ERROR_EAGAIN && libssh2_session_block_directions(b->s->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND ? what : BEGUN_NOTHING;
}

static _Noreturn void broke(struct bridge *b)
{
  ssh_fail("lost", "the connection with %s broke: %s", b->s->want.host, ssh_error(b->s));
}

/* Keeps the end. */
static void hear(struct bridge *b, const char *p, size_t n)
{
  size_t keep;

  if (n > SSH_SAID_MAX) {
    p += n - SSH_SAID_MAX;
    n = SSH_SAID_MAX;
  }
  keep = b->nsaid + n > SSH_SAID_MAX ? SSH_SAID_MAX - n : b->nsaid;
  memmove(b->said, b->said + b->nsaid - keep, keep);
  memcpy(b->said + keep, p, n);
  b->nsaid = keep + n;
}

/* ---- one move each; true: something moved ---- */

static bool said_by_worker(struct bridge *b)
{
  char part[1024];
  ssize_t n;

  if (!free_for(b, BEGUN_SAID))
    return false;
  n = libssh2_channel_read_stderr(b->channel, part, sizeof part);
  was_called(b, BEGUN_SAID, n);
  if (n > 0)
    hear(b, part, (size_t)n);
  return n > 0;
}

static bool from_worker(struct bridge *b)
{
  ssize_t n;

  if (b->down.n || !free_for(b, BEGUN_READ))
    return false;
  n = libssh2_channel_read(b->channel, b->down.bytes, BUFFER);
  was_called(b, BEGUN_READ, n);
  if (n < 0 && n != LIBSSH2_ERROR_EAGAIN)
    broke(b);
  if (n > 0)
    b->down.n = (size_t)n;
  return n > 0;
}

static bool to_link(struct bridge *b)
{
  struct half *h = &b->down;
  ssize_t n;

  if (!h->n)
    return false;
  n = b->link_ended ? (ssize_t)(h->n - h->at) : write(SSH_LINK_FD, h->bytes + h->at, h->n - h->at);
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    b->link_ended = true;
    return true;
  }
  if (n <= 0)
    return false;
  h->at += (size_t)n;
  if (h->at == h->n)
    h->at = h->n = 0;
  return true;
}

static bool from_link(struct bridge *b)
{
  ssize_t n;

  if (b->up.n || b->link_ended)
    return false;
  n = read(SSH_LINK_FD, b->up.bytes, BUFFER);
  if (n > 0)
    b->up.n = (size_t)n;
  else if (n == 0 || (errno != EAGAIN && errno != EINTR))
    b->link_ended = true;
  return n > 0 || b->link_ended;
}

/* libssh2 wants the same bytes again after EAGAIN: they stay where they are. */
static bool to_worker(struct bridge *b)
{
  struct half *h = &b->up;
  ssize_t n;

  if (!free_for(b, BEGUN_WRITE))
    return false;
  if (!h->n) {
    if (b->link_ended && !b->told_end)
      b->told_end = libssh2_channel_send_eof(b->channel) != LIBSSH2_ERROR_EAGAIN;
    return false;
  }
  n = libssh2_channel_write(b->channel, h->bytes + h->at, h->n - h->at);
  was_called(b, BEGUN_WRITE, n);
  if (n == LIBSSH2_ERROR_EAGAIN)
    return false;
  if (n < 0)
    broke(b);
  h->at += (size_t)n;
  if (h->at == h->n)
    h->at = h->n = 0;
  return true;
}

/* ---- all of it ---- */

static void rest(struct bridge *b, int ms)
{
  int want = libssh2_session_block_directions(b->s->session);
  struct pollfd p[2] = {
    { b->s->sock, (short)(b->begun ? POLLOUT : POLLIN | (b->told_end && want & LIBSSH2_SESSION_BLOCK_OUTBOUND ? POLLOUT : 0)), 0 },
    { b->link_ended ? -1 : SSH_LINK_FD, (short)((b->up.n ? 0 : POLLIN) | (b->down.n ? POLLOUT : 0)), 0 },
  };

  poll(p, 2, ms);
}

static _Noreturn void worker_ended(struct bridge *b)
{
  int64_t until = clock_mono_ms() + PART_MS;
  int code, e;
  char *said;

  while ((e = libssh2_channel_close(b->channel)) == LIBSSH2_ERROR_EAGAIN || (!e && (e = libssh2_channel_wait_closed(b->channel)) == LIBSSH2_ERROR_EAGAIN)) {
    if (clock_mono_ms() >= until)
      break;
    rest(b, 100);
  }
  if (b->link_ended)
    _exit(0); /* as it was asked */
  code = libssh2_channel_get_exit_status(b->channel);
  said = utf8_text(b->said, b->nsaid, SSH_SAID_MAX, true);
  if (code == SHELL_NOT_FOUND || code == SHELL_NOT_RUN)
    ssh_fail("worker", "the worker program can't be run on %s (a disk without exec, or a program for another kind of host): %s", b->s->want.host, said);
  ssh_fail(*said ? "worker" : "lost", "the worker on %s ended with status %d%s%s", b->s->want.host, code, *said ? ": " : "", said);
}

void ssh_bridge(struct ssh *s)
{
  struct bridge *b = xcalloc(1, sizeof *b);
  char *text = xasprintf("exec sh -c 'exec \"%s/drover-worker\" --stdio %s --dir \"%s\"'", s->want.dir, s->want.name, s->want.dir);
  int64_t end = 0;

  b->s = s;
  s->deadline = clock_mono_ms() + START_MS;
  b->channel = ssh_start(s, text);
  free(text);
  fcntl(SSH_LINK_FD, F_SETFL, fcntl(SSH_LINK_FD, F_GETFL) | O_NONBLOCK);
  ssh_tell("run");
  for (;;) {
    bool moved = said_by_worker(b);
    moved |= from_worker(b);
    moved |= to_link(b);
    moved |= from_link(b);
    moved |= to_worker(b);
    if (libssh2_channel_eof(b->channel) && !b->down.n && !moved)
      worker_ended(b);
    if (b->link_ended && !end)
      end = clock_mono_ms() + PART_MS;
    if (end && clock_mono_ms() >= end)
      _exit(0);
    if (!moved)
      rest(b, end ? 100 : -1);
  }
}
