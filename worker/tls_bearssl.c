/* TLS 1.2 by BearSSL. The peer is who the token says by the hash of its public key: no authority, no names, no clock. */
#include "worker/tls.h"

#include <bearssl.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/str.h"
#include "worker/spki.h"

enum { CERT_MAX = 8192, SEED_LEN = 32 };

struct check {
  const br_x509_class *vtable; /* first: BearSSL knows it by this */
  const unsigned char (*pin)[TLS_PIN_LEN];
  int pins, certs;
  size_t len;
  unsigned char cert[CERT_MAX], point[SPKI_P256_POINT_LEN], hash[TLS_PIN_LEN];
  bool hashed;
  br_x509_pkey key;
};

struct tls {
  int fd, number; /* number: errno of the socket once it failed */
  bool closed;    /* by the peer */
  br_ssl_client_context client;
  struct check check;
  unsigned char io[BR_SSL_BUFSIZE_BIDI];
};

/* ---- the peer's key ---- */

static void sha256(const void *p, size_t n, unsigned char out[TLS_PIN_LEN])
{
  br_sha256_context h;

  br_sha256_init(&h);
  br_sha256_update(&h, p, n);
  br_sha256_out(&h, out);
}

static void start_chain(const br_x509_class **ctx, const char *name)
{
  struct check *c = (struct check *)(void *)ctx;

  (void)name;
  c->certs = 0;
  c->len = 0;
  c->hashed = false;
}

static void start_cert(const br_x509_class **ctx, uint32_t length)
{
  struct check *c = (struct check *)(void *)ctx;

  (void)length;
  c->certs++;
}

static void append(const br_x509_class **ctx, const unsigned char *p, size_t n)
{
  struct check *c = (struct check *)(void *)ctx;

  if (c->certs != 1) /* the first is the peer's own; the rest proves nothing to us */
    return;
  if (n > sizeof c->cert - c->len)
    n = sizeof c->cert - c->len; /* then it doesn't parse */
  memcpy(c->cert + c->len, p, n);
  c->len += n;
}

static void end_cert(const br_x509_class **ctx) { (void)ctx; }

static unsigned end_chain(const br_x509_class **ctx)
{
  struct check *c = (struct check *)(void *)ctx;
  const unsigned char *point;
  size_t start, size;
  bool match = false;

  if (!spki_find(c->cert, c->len, &start, &size))
    return BR_ERR_X509_BAD_TAG_CLASS;
  sha256(c->cert + start, size, c->hash);
  c->hashed = true;
  for (int i = 0; i < c->pins; i++)
    match = match || str_secret_eq(c->hash, c->pin[i], TLS_PIN_LEN);
  if (!match)
    return BR_ERR_X509_NOT_TRUSTED;
  point = spki_p256(c->cert + start, size);
  if (!point)
    return BR_ERR_X509_WRONG_KEY_TYPE;
  memcpy(c->point, point, SPKI_P256_POINT_LEN);
  c->key.key_type = BR_KEYTYPE_EC;
  c->key.key.ec.curve = BR_EC_secp256r1;
  c->key.key.ec.q = c->point;
  c->key.key.ec.qlen = SPKI_P256_POINT_LEN;
  return 0;
}

static const br_x509_pkey *get_key(const br_x509_class *const *ctx, unsigned *usages)
{
  const struct check *c = (const struct check *)(const void *)ctx;

  if (usages)
    *usages = BR_KEYTYPE_SIGN | BR_KEYTYPE_KEYX;
  return &c->key;
}

static const br_x509_class check_class = {
  sizeof(struct check), start_chain, start_cert, append, end_cert, end_chain, get_key,
};

/* ---- the connection ---- */

static void set_up(br_ssl_client_context *c)
{
  static const char *names[] = { "drover" };
  static const uint16_t fast[] = { BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                   BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 };
  static const uint16_t plain[] = { BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 };
  br_ssl_engine_context *e = &c->eng;
  bool aes = br_aes_x86ni_ctr_get_vtable() || br_aes_pwr8_ctr_get_vtable();
  unsigned char seed[SEED_LEN];

  br_ssl_client_zero(c);
  br_ssl_engine_set_versions(e, BR_TLS12, BR_TLS12);
  br_ssl_engine_set_suites(e, aes ? fast : plain, COUNT(fast));
  br_ssl_engine_set_hash(e, br_sha256_ID, &br_sha256_vtable);
  br_ssl_engine_set_prf_sha256(e, &br_tls12_sha256_prf);
  br_ssl_engine_set_ec(e, &br_ec_p256_m31);
  br_ssl_engine_set_ecdsa(e, br_ecdsa_i31_vrfy_asn1);
  br_ssl_engine_set_default_aes_gcm(e);
  br_ssl_engine_set_default_chapol(e);
  br_ssl_engine_set_protocol_names(e, names, COUNT(names));
  br_ssl_engine_add_flags(e, BR_OPT_NO_RENEGOTIATION);
  str_random(seed, sizeof seed);
  br_ssl_engine_inject_entropy(e, seed, sizeof seed);
}

static struct tls *bear_open(int fd, const unsigned char (*pin)[TLS_PIN_LEN], int pins)
{
  struct tls *t = xcalloc(1, sizeof *t);

  t->fd = fd;
  t->check.vtable = &check_class;
  t->check.pin = pin;
  t->check.pins = pins;
  set_up(&t->client);
  br_ssl_engine_set_x509(&t->client.eng, &t->check.vtable);
  br_ssl_engine_set_buffer(&t->client.eng, t->io, sizeof t->io, 1);
  if (!br_ssl_client_reset(&t->client, NULL, 0))
    t->number = EPROTO;
  return t;
}

/* Records out, as long as the socket takes them. */
static void push(struct tls *t)
{
  size_t n;
  unsigned char *p;

  while (!t->number && (p = br_ssl_engine_sendrec_buf(&t->client.eng, &n))) {
    ssize_t w = send(t->fd, p, n, MSG_NOSIGNAL);
    if (w > 0)
      br_ssl_engine_sendrec_ack(&t->client.eng, (size_t)w);
    else if (errno == EAGAIN)
      return;
    else if (errno != EINTR)
      t->number = errno;
  }
}

/* One helping of records in. False: there's nothing, or the engine wants none now. */
static bool pull(struct tls *t)
{
  size_t n;
  unsigned char *p = br_ssl_engine_recvrec_buf(&t->client.eng, &n);
  ssize_t r;

  if (!p || t->number || t->closed)
    return false;
  r = recv(t->fd, p, n, 0);
  if (r > 0) {
    br_ssl_engine_recvrec_ack(&t->client.eng, (size_t)r);
    return true;
  }
  if (r == 0)
    t->closed = true;
  else if (errno != EAGAIN && errno != EINTR)
    t->number = errno;
  return false;
}

/* The key is not the master's: BearSSL just closes, so the alert (fatal, bad_certificate) is ours. In TLS 1.2 the client's side is still in the clear then. */
static void tell_untrusted(const struct tls *t)
{
  static const unsigned char alert[] = { 21, 3, 3, 0, 2, 2, 42 };

  if (br_ssl_engine_last_error(&t->client.eng) == BR_ERR_X509_NOT_TRUSTED &&
      send(t->fd, alert, sizeof alert, MSG_NOSIGNAL) < 0)
    errno = 0; /* it learns of it by the close */
}

/* 0, or -1 with errno: the engine or the socket has failed. */
static int check(struct tls *t)
{
  if (br_ssl_engine_current_state(&t->client.eng) == BR_SSL_CLOSED && !t->number) {
    if (br_ssl_engine_last_error(&t->client.eng)) {
      t->number = EPROTO;
      tell_untrusted(t);
    } else {
      t->closed = true;
    }
  }
  errno = t->number;
  return t->number ? -1 : 0;
}

static ssize_t bear_read(struct tls *t, void *p, size_t n)
{
  size_t have;
  unsigned char *from;

  for (;;) {
    push(t);
    from = br_ssl_engine_recvapp_buf(&t->client.eng, &have);
    if (from) {
      n = n < have ? n : have;
      memcpy(p, from, n);
      br_ssl_engine_recvapp_ack(&t->client.eng, n);
      return (ssize_t)n;
    }
    if (!pull(t))
      break;
  }
  if (check(t))
    return -1;
  if (t->closed)
    return 0;
  errno = EAGAIN;
  return -1;
}

static ssize_t bear_write(struct tls *t, const void *p, size_t n)
{
  size_t room, done = 0;
  unsigned char *to;

  while (done < n) {
    push(t);
    to = br_ssl_engine_sendapp_buf(&t->client.eng, &room);
    if (!to)
      break;
    room = room < n - done ? room : n - done;
    memcpy(to, (const char *)p + done, room);
    br_ssl_engine_sendapp_ack(&t->client.eng, room);
    br_ssl_engine_flush(&t->client.eng, 0);
    done += room;
  }
  push(t);
  if (done)
    return (ssize_t)done;
  if (!check(t))
    errno = EAGAIN;
  return -1;
}

static short bear_want(const struct tls *t)
{
  unsigned state = br_ssl_engine_current_state(&t->client.eng);

  /* While app data can't be taken it is no use to be told that the socket is writable. */
  return (short)((state & BR_SSL_SENDREC ? POLLOUT : 0) | (state & BR_SSL_RECVREC ? POLLIN : 0));
}

static const unsigned char *bear_peer(const struct tls *t) { return t->check.hashed ? t->check.hash : NULL; }

static void bear_close(struct tls *t)
{
  br_ssl_engine_close(&t->client.eng);
  push(t);
  mem_wipe(t, sizeof *t);
  free(t);
}

const struct tls_ops tls_pinned = { bear_open, bear_read, bear_write, bear_want, bear_peer, bear_close };
