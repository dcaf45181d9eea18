/* TLS by OpenSSL, 1.2 or 1.3: for systems whose programs are linked to the library that their vendor mends. The peer is who the token says by the hash of its public key, as in tls_bearssl.c. */
#include "worker/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/str.h"

struct tls {
  SSL *ssl;
  const unsigned char (*pin)[TLS_PIN_LEN];
  int pins, number; /* number: errno once it failed */
  unsigned char hash[TLS_PIN_LEN];
  bool hashed;
};

/* In place of all that is usually checked of a chain. What is not trusted gets the alert bad_certificate. */
static int check_key(X509_STORE_CTX *x, void *arg)
{
  struct tls *t = SSL_get_app_data((SSL *)X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const X509 *cert = X509_STORE_CTX_get0_cert(x);
  unsigned char *der = NULL;
  int n = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
  bool match = false;

  (void)arg;
  t->hashed = n > 0 && EVP_Digest(der, (size_t)n, t->hash, NULL, EVP_sha256(), NULL) == 1;
  OPENSSL_free(der);
  for (int i = 0; t->hashed && i < t->pins; i++)
    match = match || str_secret_eq(t->hash, t->pin[i], TLS_PIN_LEN);
  X509_STORE_CTX_set_error(x, match ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
  return match;
}

/* One for all links; NULL: the library refuses (its configuration forbids what we need). */
static SSL_CTX *context(void)
{
  static const unsigned char alpn[] = "\6drover";
  static SSL_CTX *made;
  SSL_CTX *x;

  if (made || !(x = SSL_CTX_new(TLS_client_method())))
    return made;
  if (!SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION) || SSL_CTX_set_alpn_protos(x, alpn, sizeof alpn - 1) || !SSL_CTX_set_cipher_list(x, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305")) {
    SSL_CTX_free(x);
    return NULL;
  }
  SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_cert_verify_callback(x, check_key, NULL);
  SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF /* an end without goodbye is an end: what was lost is known by offsets */
  SSL_CTX_set_options(x, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
  SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(x, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
  made = x;
  return made;
}

static struct tls *open_tls(int fd, const unsigned char (*pin)[TLS_PIN_LEN], int pins)
{
  struct tls *t = xcalloc(1, sizeof *t);
  SSL_CTX *x = context();

  t->pin = pin;
  t->pins = pins;
  t->ssl = x ? SSL_new(x) : NULL;
  if (!t->ssl || !SSL_set_fd(t->ssl, fd) || !SSL_set_app_data(t->ssl, t))
    t->number = EPROTO;
  else
    SSL_set_connect_state(t->ssl);
  return t;
}

/* What a call that did nothing means: 0 or -1, as read and write give it. `number`: errno after it. */
static ssize_t why(struct tls *t, int r, int number)
{
  switch (SSL_get_error(t->ssl, r)) {
  case SSL_ERROR_ZERO_RETURN:
    return 0;
  case SSL_ERROR_WANT_READ:
  case SSL_ERROR_WANT_WRITE:
    errno = EAGAIN;
    return -1;
  case SSL_ERROR_SYSCALL:
    if (!number)
      return 0; /* the end, in the middle of the handshake */
    t->number = number;
    break;
  default:
    t->number = EPROTO;
  }
  errno = t->number;
  return -1;
}

static int at_most(size_t n) { return n < INT_MAX ? (int)n : INT_MAX; }

static ssize_t read_tls(struct tls *t, void *p, size_t n)
{
  int r;

  if ((errno = t->number))
    return -1;
  ERR_clear_error();
  r = SSL_read(t->ssl, p, at_most(n));
  return r > 0 ? r : why(t, r, errno);
}

static ssize_t write_tls(struct tls *t, const void *p, size_t n)
{
  ssize_t r;
  int done;

  if ((errno = t->number))
    return -1;
  ERR_clear_error();
  done = SSL_write(t->ssl, p, at_most(n));
  if (done > 0)
    return done;
  r = why(t, done, errno);
  if (!r)
    errno = EPIPE;
  return -1;
}

static short want(const struct tls *t)
{
  if (t->number || SSL_is_init_finished(t->ssl))
    return 0; /* what is left to write the link knows of */
  return SSL_want_write(t->ssl) ? POLLOUT : POLLIN;
}

static const unsigned char *peer(const struct tls *t) { return t->hashed ? t->hash : NULL; }

static void close_tls(struct tls *t)
{
  if (t->ssl && !t->number && SSL_is_init_finished(t->ssl))
    SSL_shutdown(t->ssl);
  SSL_free(t->ssl);
  ERR_clear_error();
  mem_wipe(t, sizeof *t);
  free(t);
}

const struct tls_ops tls_pinned = { open_tls, read_tls, write_tls, want, peer, close_tls };
