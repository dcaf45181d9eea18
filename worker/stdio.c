/* Happy path: descriptors moved away → (the old agent is asked to go) → read and write until one of them ends.
   Failures: the channel ends: read or write says so, the agent ends, commands go on. An agent that does not go within TAKE_MS: refused. */
#include "worker/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

enum {
  ABOVE = 3,      /* descriptors that stay free for the standard ones */
  TAKE_MS = 5000, /* an agent that lives answers its FIFO at once */
  ASK_MS = 500,   /* others may ask too, and who takes the folder over forgets what was asked before */
  LOOK_MS = 20
};

static int in = -1, out = -1;

/* A copy of `from`, which becomes what `null` is. */
static int away(int from, int null)
{
  int fd = fcntl(from, F_DUPFD_CLOEXEC, ABOVE), flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || dup2(null, from) < 0)
    return -1;
  return fd;
}

bool stdio_begin(void)
{
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);

  in = null < 0 ? -1 : away(0, null);
  out = in < 0 ? -1 : away(1, null);
  if (out < 0)
    log_error("worker", "standard input and output can't be used: %s", strerror(errno));
  if (null >= 0)
    close(null);
  return out >= 0;
}

void stdio_quiet(void)
{
  dup2(1, 2);
}

int stdio_in(void) { return in; }
int stdio_out(void) { return out; }

bool stdio_take_over(int dir, int lock)
{
  static const char over[] = STDIO_OVER "\n";
  int wake = openat(dir, "wake", O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* fails where nobody has it open */
  bool taken = false;

  for (int ms = 0; !taken && ms < TAKE_MS; ms += LOOK_MS) {
    if (wake >= 0 && ms % ASK_MS == 0 && write(wake, over, sizeof over - 1) < 0)
      break;
    poll(NULL, 0, LOOK_MS);
    taken = !flock(lock, LOCK_EX | LOCK_NB);
  }
  if (wake >= 0)
    close(wake);
  return taken;
}

/* ---- the link's bytes ---- */

static struct tls *stdio_open(int fd, const unsigned char (*pin)[TLS_PIN_LEN], int pins)
{
  (void)fd, (void)pin, (void)pins;
  return xmalloc(1);
}

static ssize_t stdio_read(struct tls *t, void *p, size_t n) { return (void)t, read(in, p, n); }
static ssize_t stdio_write(struct tls *t, const void *p, size_t n) { return (void)t, write(out, p, n); }
static short stdio_want(const struct tls *t) { return (void)t, 0; }
static const unsigned char *stdio_peer(const struct tls *t) { return (void)t, NULL; }

/* The other one is the link's, which closes it. */
static void stdio_close(struct tls *t)
{
  close(out);
  out = -1;
  free(t);
}

const struct tls_ops tls_stdio = { stdio_open, stdio_read, stdio_write, stdio_want, stdio_peer, stdio_close };
