/* TLS of the worker link without I/O, on OpenSSL 3.

   Happy path: collect the ClientHello → SSL object → handshake by reading → plain bytes both ways → close_notify.
   Failures: no ClientHello (garbage), too large a one, another ALPN, no common cipher or group, bad records: ERR_FAILED, with
   an alert in `sealed` where one is due.

   OpenSSL reads and writes through a BIO of our own, straight from the caller's receive buffer and into one shared buffer: a
   pair of memory BIOs would keep two buffers a link. */
#include "master/workers/link_tls.h"

#include <assert.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/workers/link_key.h"

enum {
  REC_HEAD = 5,      /* type, version, length */
  HANDSHAKE_HEAD = 4, /* type, length */
  REC_HANDSHAKE = 22,
  CLIENT_HELLO = 1,
  SERVER_HELLO = 2,
  RANDOM_AT = REC_HEAD + HANDSHAKE_HEAD + 2,
  RANDOM_LEN = 32,
  SEALED_MAX = 1 << 20 /* one call makes at most what 64 KiB of key updates ask for */
};

/* RFC 8446 4.1.3: a ServerHello with this random is a HelloRetryRequest. */
static const unsigned char retry_random[RANDOM_LEN] = {
  0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
  0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c
};

struct link_tls_ctx {
  SSL_CTX *ssl_ctx;
  BIO_METHOD *bio;
  struct buf sealed;
  char why[160];
};

struct link_tls {
  struct link_tls_ctx *ctx;
  SSL *ssl;         /* NULL until the ClientHello is complete */
  struct buf hello; /* until then */
  const char *in;   /* what was fed and is not used yet */
  size_t in_len;
  bool ready;       /* the handshake was over once */
};

/* ---- the BIO ---- */

static int bio_create(BIO *b)
{
  BIO_set_init(b, 1);
  return 1;
}

static int bio_read(BIO *b, char *p, int n)
{
  struct link_tls *t = BIO_get_data(b);
  size_t take = t->in_len < (size_t)n ? t->in_len : (size_t)n;

  BIO_clear_retry_flags(b);
  if (!take) {
    BIO_set_retry_read(b);
    return -1;
  }
  memcpy(p, t->in, take);
  t->in += take;
  t->in_len -= take;
  return (int)take;
}

static int bio_write(BIO *b, const char *p, int n)
{
  struct link_tls *t = BIO_get_data(b);

  BIO_clear_retry_flags(b);
  buf_add(&t->ctx->sealed, p, (size_t)n);
  return t->ctx->sealed.failed ? -1 : n;
}

static long bio_ctrl(BIO *b, int cmd, long n, void *p)
{
  (void)b, (void)n, (void)p;
  return cmd == BIO_CTRL_FLUSH;
}

/* ---- the context ---- */

/* A worker that offers ALPN must offer ours: a port shared by name or protocol never serves something else here. */
static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
  static const unsigned char ours[] = LINK_TLS_ALPN;

  (void)ssl, (void)arg;
  for (unsigned i = 0; i < in_len && in_len - i > in[i]; i += 1u + in[i])
    if (in[i] == sizeof ours - 1 && !memcmp(in + i + 1, ours, sizeof ours - 1)) {
      *out = in + i + 1;
      *out_len = in[i];
      return SSL_TLSEXT_ERR_OK;
    }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Only the key is pinned, so name and dates mean nothing; they suit clients that look, whatever their clock says. */
static X509 *certificate_make(EVP_PKEY *key)
{
  static const unsigned char cn[] = "drover";
  X509 *x = X509_new();
  X509_NAME *name;
  uint64_t serial;
  int ok;

  assert(x);
  str_random(&serial, sizeof serial);
  ok = X509_set_version(x, X509_VERSION_3) &&
       ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1) &&
       ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "19700101000000Z") &&
       ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z");
  name = X509_get_subject_name(x);
  ok = ok && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, cn, -1, -1, 0) &&
       X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256());
  assert(ok);
  return x;
}

static SSL_CTX *ssl_ctx_make(EVP_PKEY *key)
{
  SSL_CTX *x = SSL_CTX_new(TLS_server_method());
  X509 *cert = certificate_make(key);
  int ok;

  assert(x);
  ok = SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION) &&
       SSL_CTX_set_max_proto_version(x, TLS1_3_VERSION) &&
       SSL_CTX_set_cipher_list(x, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305") &&
       SSL_CTX_set_ciphersuites(x, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") &&
       SSL_CTX_set1_groups_list(x, "X25519:P-256") && SSL_CTX_use_certificate(x, cert) == 1 &&
       SSL_CTX_use_PrivateKey(x, key) == 1;
  assert(ok);
  /* The worker's preference decides the cipher: it knows whether it has AES instructions. */
  SSL_CTX_set_options(x, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_clear_options(x, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(x, 0);
  SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(x, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(x, alpn_select, NULL);
  X509_free(cert);
  return x;
}

static BIO_METHOD *bio_method_make(void)
{
  BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "link");
  int ok;

  assert(m);
  ok = BIO_meth_set_create(m, bio_create) && BIO_meth_set_read(m, bio_read) &&
       BIO_meth_set_write(m, bio_write) && BIO_meth_set_ctrl(m, bio_ctrl);
  assert(ok);
  return m;
}

struct link_tls_ctx *link_tls_ctx_new(const char *key_pem, struct buf *why)
{
  EVP_PKEY *key = link_key_read(key_pem);
  struct link_tls_ctx *c;

  if (!key) {
    buf_adds(why, "the worker-link key is not a P-256 key in PEM");
    return NULL;
  }
  ERR_clear_error();
  c = xcalloc(1, sizeof *c);
  c->ssl_ctx = ssl_ctx_make(key);
  c->bio = bio_method_make();
  buf_init(&c->sealed, SEALED_MAX);
  EVP_PKEY_free(key);
  return c;
}

void link_tls_ctx_free(struct link_tls_ctx *c)
{
  if (!c)
    return;
  SSL_CTX_free(c->ssl_ctx);
  BIO_meth_free(c->bio);
  buf_free(&c->sealed);
  free(c);
}

struct buf *link_tls_sealed(struct link_tls_ctx *c) { return &c->sealed; }
const char *link_tls_why(const struct link_tls_ctx *c) { return c->why; }

/* ---- one link ---- */

struct link_tls *link_tls_new(struct link_tls_ctx *c)
{
  struct link_tls *t = xcalloc(1, sizeof *t);
  t->ctx = c;
  buf_init(&t->hello, LINK_TLS_HELLO_MAX);
  return t;
}

void link_tls_free(struct link_tls *t)
{
  if (!t)
    return;
  SSL_free(t->ssl); /* and its BIO */
  ERR_clear_error();
  buf_free(&t->hello);
  free(t);
}

bool link_tls_started(const struct link_tls *t) { return t->ssl; }
bool link_tls_ready(const struct link_tls *t) { return t->ready; }

void link_tls_feed(struct link_tls *t, const char *p, size_t n)
{
  assert(!t->in_len);
  t->in = p;
  t->in_len = n;
}

static enum err fail(struct link_tls *t, const char *why)
{
  t->in_len = 0;
  snprintf(t->ctx->why, sizeof t->ctx->why, "%s", why);
  return ERR_FAILED;
}

static enum err fail_openssl(struct link_tls *t)
{
  const char *reason = ERR_reason_error_string(ERR_peek_error());
  enum err e;

  if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE)
    reason = "the worker does not trust this master's key: its join token has another one";
  e = fail(t, reason ? reason : "failed");

  ERR_clear_error();
  return e;
}

/* OpenSSL takes 50 KiB for a handshake as soon as one byte is there, and 170 KiB when a header of nine bytes promises a large
   ClientHello. So the hello is collected here first, in what it really has; it must be one record, as all clients send it.
   *whole: it is all there. */
static enum err collect_hello(struct link_tls *t, bool *whole)
{
  static const char not_tls[] = "not a TLS greeting";
  size_t want = REC_HEAD + HANDSHAKE_HEAD;

  *whole = false;
  for (;;) {
    const unsigned char *h = (const unsigned char *)t->hello.data;
    size_t have = t->hello.len, take;

    if (have >= 1 && h[0] != REC_HANDSHAKE)
      return fail(t, not_tls);
    if (have >= REC_HEAD + HANDSHAKE_HEAD) {
      size_t record = (size_t)h[3] << 8 | h[4];
      size_t message = (size_t)h[6] << 16 | (size_t)h[7] << 8 | h[8];

      if (h[1] != 3 || h[5] != CLIENT_HELLO || record != message + HANDSHAKE_HEAD)
        return fail(t, not_tls);
      if (REC_HEAD + record > LINK_TLS_HELLO_MAX)
        return fail(t, "ClientHello is too large");
      want = REC_HEAD + record;
    }
    if (have == want) {
      *whole = true;
      return ERR_OK;
    }
    if (!t->in_len)
      return ERR_AGAIN;
    /* first byte alone: whoever speaks something else is told apart at once */
    take = have ? want - have : 1;
    if (take > t->in_len)
      take = t->in_len;
    buf_add(&t->hello, t->in, take);
    t->in += take;
    t->in_len -= take;
  }
}

/* The first step of the handshake: SSL object, and the collected hello through it. */
static enum err start(struct link_tls *t)
{
  struct link_tls_ctx *c = t->ctx;
  const char *rest = t->in;
  size_t rest_len = t->in_len;
  BIO *b;
  int r;

  ERR_clear_error();
  t->ssl = SSL_new(c->ssl_ctx);
  b = BIO_new(c->bio);
  if (!t->ssl || !b) {
    BIO_free(b);
    return fail_openssl(t);
  }
  BIO_set_data(b, t);
  SSL_set_bio(t->ssl, b, b);
  SSL_set_accept_state(t->ssl);
  t->in = t->hello.data;
  t->in_len = t->hello.len;
  r = SSL_do_handshake(t->ssl);
  buf_free(&t->hello);
  if (r != 1 && SSL_get_error(t->ssl, r) != SSL_ERROR_WANT_READ)
    return fail_openssl(t);
  /* A retry would make OpenSSL wait for a second ClientHello of any size. Clients send a key share of X25519 or P-256 with
     the first. */
  if (c->sealed.len >= RANDOM_AT + RANDOM_LEN && c->sealed.data[REC_HEAD] == SERVER_HELLO &&
      !memcmp(c->sealed.data + RANDOM_AT, retry_random, RANDOM_LEN)) {
    buf_reset(&c->sealed);
    return fail(t, "no key share of X25519 or P-256 in the ClientHello");
  }
  t->in = rest;
  t->in_len = rest_len;
  return ERR_OK;
}

enum err link_tls_read(struct link_tls *t, char *p, size_t room, size_t *got)
{
  bool whole;
  int r, why;

  if (!t->ssl) {
    enum err e = collect_hello(t, &whole);
    if (!whole)
      return e;
    e = start(t);
    if (e != ERR_OK)
      return e;
  }
  ERR_clear_error();
  r = SSL_read_ex(t->ssl, p, room, got);
  if (r == 1) {
    t->ready = true;
    return ERR_OK;
  }
  why = SSL_get_error(t->ssl, r);
  if (why == SSL_ERROR_WANT_READ) {
    assert(!t->in_len);
    /* A key update is whole in its record. What else begins a handshake (renegotiation, TLS 1.2) would keep us from writing
       until the peer ends it. */
    if (t->ready && !SSL_is_init_finished(t->ssl))
      return fail(t, "a handshake within the connection");
    t->ready = SSL_is_init_finished(t->ssl);
    return ERR_AGAIN;
  }
  if (why == SSL_ERROR_ZERO_RETURN) {
    t->in_len = 0;
    return ERR_AWAY;
  }
  return fail_openssl(t);
}

enum err link_tls_write(struct link_tls *t, const char *p, size_t n)
{
  size_t done;

  assert(link_tls_ready(t));
  ERR_clear_error();
  if (SSL_write_ex(t->ssl, p, n, &done) != 1)
    return fail_openssl(t);
  assert(done == n);
  return ERR_OK;
}

void link_tls_bye(struct link_tls *t)
{
  if (!link_tls_ready(t))
    return;
  ERR_clear_error();
  SSL_shutdown(t->ssl);
  ERR_clear_error();
}
