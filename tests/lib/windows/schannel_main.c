/* A client of the Windows worker's TLS, for tests/flow/test_windows_tls.py: connects, sends bytes in odd pieces, wants the same back, and says what happened.

   usage: schannel_main PORT PIN[,PIN] BYTES
   Prints `again` when a first read finds nothing, `peer HASH` when the key is seen, then one of: `echoed SHA256` (all came back; it says goodbye), `closed` (by the peer, in order), `failed ERRNO-NAME`. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/str.h"
#include "worker/sha256.h"
#include "worker/tls.h"
#include "worker/windows/win.h"

enum { PINS_MAX = 4, PIECE_MAX = 40000, POLL_MS = 20000, ROOM = 4096 };

static uint32_t dice = 1;

static uint32_t roll(void)
{
  dice ^= dice << 13;
  dice ^= dice >> 17;
  dice ^= dice << 5;
  return dice;
}

static void stop(const char *how, const char *what)
{
  printf("%s%s%s\n", how, what ? " " : "", what ? what : "");
  fflush(stdout);
  exit(0);
}

static const char *name(int number)
{
  static const struct {
    int number;
    const char *name;
  } known[] = { { EPROTO, "EPROTO" }, { ECONNRESET, "ECONNRESET" }, { ECONNABORTED, "ECONNABORTED" }, { EPIPE, "EPIPE" }, { EIO, "EIO" } };
  static char other[16];

  for (size_t i = 0; i < COUNT(known); i++)
    if (known[i].number == number)
      return known[i].name;
  snprintf(other, sizeof other, "%d", number);
  return other;
}

static int dial(int port)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  int room = ROOM; /* so that records go out in parts */
  WSADATA data;
  int fd;

  if (WSAStartup(MAKEWORD(2, 2), &data))
    stop("no sockets", NULL);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) || connect(fd, (const struct sockaddr *)&to, sizeof to) || fcntl(fd, F_SETFL, O_NONBLOCK))
    stop("not connected", NULL);
  return fd;
}

static int read_pins(const char *text, unsigned char pin[PINS_MAX][TLS_PIN_LEN])
{
  int n = 0;

  for (const char *p = text; n < PINS_MAX; p += 2 * TLS_PIN_LEN + 1) {
    if (str_unhex(p, strlen(p) < 2 * TLS_PIN_LEN ? 0 : 2 * TLS_PIN_LEN, pin[n++], TLS_PIN_LEN))
      stop("not a pin:", p);
    if (!p[2 * TLS_PIN_LEN])
      break;
  }
  return n;
}

struct traffic {
  size_t total, sent, got;
  char *data;
  struct sha256 hash;
  bool waited, seen;
};

/* What was agreed to be there is told once. */
static void announce(struct traffic *f, struct tls *t, bool nothing)
{
  char hex[2 * TLS_PIN_LEN + 1];

  if (nothing && !f->waited)
    puts("again");
  f->waited = f->waited || nothing;
  if (!f->seen && tls_pinned.peer(t)) {
    str_hex(tls_pinned.peer(t), TLS_PIN_LEN, hex);
    printf("peer %s\n", hex);
    f->seen = true;
  }
  fflush(stdout);
}

/* False: nothing more just now. */
static bool some_in(struct traffic *f, struct tls *t)
{
  static char part[PIECE_MAX];
  ssize_t n = tls_pinned.read(t, part, 1 + roll() % PIECE_MAX);
  int number = errno;

  announce(f, t, n < 0 && number == EAGAIN);
  if (n < 0 && number == EAGAIN)
    return false;
  if (n < 0) {
    tls_pinned.close(t);
    stop("failed", name(number));
  }
  if (!n) {
    tls_pinned.close(t);
    stop("closed", NULL);
  }
  sha256_add(&f->hash, part, (size_t)n);
  f->got += (size_t)n;
  return true;
}

static void some_out(struct traffic *f, struct tls *t)
{
  while (f->sent < f->total) {
    size_t piece = 1 + roll() % PIECE_MAX;
    ssize_t n = tls_pinned.write(t, f->data + f->sent, piece < f->total - f->sent ? piece : f->total - f->sent);

    if (n <= 0)
      return; /* EAGAIN, or what the next read tells */
    f->sent += (size_t)n;
  }
}

int main(int argc, char **argv)
{
  static unsigned char pin[PINS_MAX][TLS_PIN_LEN];
  struct traffic f = { .total = argc == 4 ? strtoul(argv[3], NULL, 10) : 0 };
  char hex[SHA256_HEX_LEN + 1];
  struct tls *t;
  int fd;

  if (argc != 4)
    stop("usage: schannel_main PORT PIN[,PIN] BYTES", NULL);
  fd = dial(atoi(argv[1]));
  f.data = xmalloc(f.total + 1);
  for (size_t i = 0; i < f.total; i++)
    f.data[i] = (char)roll();
  sha256_init(&f.hash);
  t = tls_pinned.open(fd, pin, read_pins(argv[2], pin));
  while (!f.total || f.got < f.total) {
    WSAPOLLFD p = { win_socket_of(fd), 0, 0 };

    some_out(&f, t);
    if (some_in(&f, t))
      continue;
    p.events = (short)((f.seen ? POLLIN | (f.sent < f.total ? POLLOUT : 0) : 0) | tls_pinned.want(t)); /* before the key is seen only TLS knows */
    if (WSAPoll(&p, 1, POLL_MS) <= 0)
      stop("silence", NULL);
  }
  tls_pinned.close(t);
  sha256_end(&f.hash, hex);
  stop("echoed", hex);
}
