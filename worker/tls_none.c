/* No TLS: a unix socket is guarded by its file's mode. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/mem.h"
#include "worker/tls.h"

struct tls {
  int fd;
};

static struct tls *none_open(int fd, const unsigned char (*pin)[TLS_PIN_LEN], int pins)
{
  struct tls *t = xmalloc(sizeof *t);

  (void)pin;
  (void)pins;
  t->fd = fd;
  return t;
}

static ssize_t none_read(struct tls *t, void *p, size_t n) { return recv(t->fd, p, n, 0); }
static ssize_t none_write(struct tls *t, const void *p, size_t n) { return send(t->fd, p, n, MSG_NOSIGNAL); }
static short none_want(const struct tls *t) { return (void)t, 0; }
static const unsigned char *none_peer(const struct tls *t) { return (void)t, NULL; }
static void none_close(struct tls *t) { free(t); }

const struct tls_ops tls_none = { none_open, none_read, none_write, none_want, none_peer, none_close };
