/* TLS of the worker's side of the link: six functions, as tls_pinned does them (tls_bearssl.c or tls_openssl.c, whichever was built) and tls_none (unix sockets). No call
   blocks; the caller polls the socket for what tls_want() says. */
#ifndef WORKER_TLS_H
#define WORKER_TLS_H
#include <stddef.h>
#include <sys/types.h>

#define TLS_PIN_LEN 32 /* SHA-256 of the DER SubjectPublicKeyInfo */

struct tls;
struct tls_ops {
  /* On a connected, non-blocking socket, which stays the caller's. One of the pins must match the peer's key. */
  struct tls *(*open)(int fd, const unsigned char (*pin)[TLS_PIN_LEN], int pins);
  /* Bytes read or taken; 0 of read: the peer closed; -1 and errno: EAGAIN, EPROTO (TLS failed), or the socket's. */
  ssize_t (*read)(struct tls *t, void *p, size_t n);
  ssize_t (*write)(struct tls *t, const void *p, size_t n);
  /* POLLIN, POLLOUT: what the TLS layer itself waits for beside the caller's wishes. */
  short (*want)(const struct tls *t);
  /* Fingerprint of the peer's key; NULL before it was seen. */
  const unsigned char *(*peer)(const struct tls *t);
  /* Says goodbye where that is possible at once, and frees. */
  void (*close)(struct tls *t);
};
extern const struct tls_ops tls_pinned, tls_none;
#endif
