/* A connection to the host, whose key is one that is taken, and a login there with the cluster's key.

   Happy path: addresses of the name in turn → the keys of the connection → the host's key compared → public key.
   Failures: nobody there (unreachable), no algorithm in common (protocol), another host key or one that nobody has trusted yet (host_key, unknown_host_key), not let in (auth). */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/workers/ssh/ssh.h"

enum { UNSENT_MAX = 128 << 10 /* bytes in the kernel that the network has not taken: a ping waits behind them */, CONNECT_MS = 10000, HANDSHAKE_MS = 15000, LOGIN_MS = 15000, ED25519_LEN = 32, SIGNATURE_LEN = 64, MARK_MAX = 64, KINDS_MAX = 512 };

#define KIND "ssh-ed25519"

/* ---- waiting ---- */

void ssh_wait(struct ssh *s, const char *tag, const char *late)
{
  int want = libssh2_session_block_directions(s->session);
  struct pollfd p = { s->sock, (short)(POLLIN | (want & LIBSSH2_SESSION_BLOCK_OUTBOUND ? POLLOUT : 0)), 0 };
  int64_t left = s->deadline - clock_mono_ms();

  if (left <= 0)
    ssh_fail(tag, "%s: %s", s->want.host, late);
  poll(&p, 1, left > 1000 ? 1000 : (int)left);
}

const char *ssh_error(struct ssh *s)
{
  char *text = NULL;

  libssh2_session_last_error(s->session, &text, NULL, 0);
  return text && *text ? text : "no reason is given";
}

/* ---- the connection ---- */

/* 0: connected; an errno. */
static int connect_to(int fd, const struct addrinfo *a)
{
  struct pollfd p = { fd, POLLOUT, 0 };
  int number = 0;
  socklen_t len = sizeof number;

  if (!connect(fd, a->ai_addr, a->ai_addrlen))
    return 0;
  if (errno != EINPROGRESS)
    return errno;
  if (poll(&p, 1, CONNECT_MS) != 1)
    return ETIMEDOUT;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) ? errno : number;
}

static void dial(struct ssh *s)
{
  struct addrinfo want = { .ai_socktype = SOCK_STREAM }, *found = NULL;
  int e = getaddrinfo(s->want.host, s->want.port, &want, &found), on = 1, unsent = UNSENT_MAX, number = ENOENT;

  if (e)
    ssh_fail("unreachable", "%s: the name is not known: %s", s->want.host, gai_strerror(e));
  for (const struct addrinfo *a = found; a && s->sock < 0; a = a->ai_next) {
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    number = fd < 0 ? errno : connect_to(fd, a);
    if (!number)
      s->sock = fd;
    else if (fd >= 0)
      close(fd);
  }
  freeaddrinfo(found);
  if (s->sock < 0)
    ssh_fail("unreachable", "%s port %s can't be reached: %s", s->want.host, s->want.port, strerror(number));
  setsockopt(s->sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(s->sock, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
  setsockopt(s->sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* ---- the host's key ---- */

/* Where all pins are whole keys, only their kinds are asked for; else ed25519 is preferred, since that is what people are told to trust. */
static void prefer(struct ssh *s)
{
  static const char any[] = KIND ",ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,ssh-rsa";
  char kinds[KINDS_MAX] = "";
  bool whole = s->want.npins > 0;
  size_t n = 0;

  for (int i = 0; i < s->want.npins && n < sizeof kinds; i++) {
    whole &= strchr(s->want.pins[i], ' ') != NULL;
    n += (size_t)snprintf(kinds + n, sizeof kinds - n, "%s%.*s", i ? "," : "", (int)strcspn(s->want.pins[i], " "), s->want.pins[i]);
  }
  if (libssh2_session_method_pref(s->session, LIBSSH2_METHOD_HOSTKEY, whole && n < sizeof kinds ? kinds : any))
    ssh_fail("protocol", "%s: host keys of the kind %s are not known to this master's libssh2: give an ssh-ed25519 one", s->want.host, kinds);
}

static void mark_of(struct ssh *s, char mark[MARK_MAX])
{
  const char *hash = libssh2_hostkey_hash(s->session, LIBSSH2_HOSTKEY_HASH_SHA256);
  char *text = hash ? str_base64(hash, 32) : xstrdup("?");

  snprintf(mark, MARK_MAX, "SHA256:%.43s", text);
  free(text);
}

static bool is_pinned(struct ssh *s, const char *mark)
{
  size_t len = 0;
  int kind;
  const char *key = libssh2_session_hostkey(s->session, &len, &kind);
  char *text = key ? str_base64(key, len) : xstrdup("");
  bool found = false;

  for (int i = 0; i < s->want.npins && key; i++) {
    const char *space = strchr(s->want.pins[i], ' ');
    found |= !strcmp(space ? space + 1 : s->want.pins[i], space ? text : mark);
  }
  free(text);
  return found;
}

static void shake(struct ssh *s)
{
  char mark[MARK_MAX];
  int e;

  s->session = libssh2_session_init();
  if (!s->session)
    ssh_fail("helper", "libssh2 has no memory");
  libssh2_session_set_blocking(s->session, 0);
  prefer(s);
  s->deadline = clock_mono_ms() + HANDSHAKE_MS;
  while ((e = libssh2_session_handshake(s->session, s->sock)) == LIBSSH2_ERROR_EAGAIN)
    ssh_wait(s, "unreachable", "an ssh server does not answer there");
  if (e == LIBSSH2_ERROR_KEX_FAILURE || e == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE)
    ssh_fail("protocol", "%s: no connection can be agreed on (%s); the host needs a host key of the kind ssh-ed25519, or of the pinned kind", s->want.host, ssh_error(s));
  if (e)
    ssh_fail("unreachable", "%s: no ssh connection comes about: %s", s->want.host, ssh_error(s));
  mark_of(s, mark);
  if (is_pinned(s, mark))
    return;
  if (!s->want.npins)
    ssh_fail_key("unknown_host_key", mark, "the host key of %s is %s, and nobody has trusted it yet: compare it there (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then: drover worker trust %s %s", s->want.host, mark,
                 s->want.name, mark);
  ssh_fail_key("host_key", mark, "the host key of %s is %s, which is not the one that is trusted: the host was set up anew, or somebody else answers", s->want.host, mark);
}

/* ---- the login ---- */

/* libssh2 1.10 reads ed25519 keys from OpenSSH's own form of files only; so what it is given is a signature. */
static int sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len, const unsigned char *data, size_t n, void **abstract)
{
  EVP_PKEY *key = *abstract;
  EVP_MD_CTX *c = EVP_MD_CTX_new();
  bool good;

  (void)session;
  *sig_len = SIGNATURE_LEN;
  *sig = malloc(SIGNATURE_LEN); /* libssh2 frees it */
  good = c && *sig && EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 && EVP_DigestSign(c, *sig, sig_len, data, n) == 1;
  EVP_MD_CTX_free(c);
  return good ? 0 : -1;
}

static EVP_PKEY *read_key(const char *pem)
{
  BIO *in = BIO_new_mem_buf(pem, -1);
  EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t)"") : NULL;

  BIO_free(in);
  if (!key || !EVP_PKEY_is_a(key, "ED25519"))
    ssh_fail("helper", "the cluster's ssh key can't be read");
  return key;
}

static void put_text(struct buf *b, const void *p, size_t n)
{
  buf_addc(b, 0), buf_addc(b, 0), buf_addc(b, 0), buf_addc(b, (char)n);
  buf_add(b, p, n);
}

/* False: the host does not take that key. */
static bool log_in(struct ssh *s, const char *pem)
{
  EVP_PKEY *key = read_key(pem);
  unsigned char raw[ED25519_LEN];
  size_t n = sizeof raw;
  void *abstract = key;
  struct buf public;
  int e;

  if (EVP_PKEY_get_raw_public_key(key, raw, &n) != 1)
    ssh_fail("helper", "the cluster's ssh key has no public part");
  buf_init(&public, BUF_NO_MAX);
  put_text(&public, KIND, strlen(KIND));
  put_text(&public, raw, n);
  s->deadline = clock_mono_ms() + LOGIN_MS;
  while ((e = libssh2_userauth_publickey(s->session, s->want.user, (const unsigned char *)public.data, public.len, sign, &abstract)) == LIBSSH2_ERROR_EAGAIN)
    ssh_wait(s, "auth", "the host does not answer the login");
  buf_free(&public);
  EVP_PKEY_free(key);
  if (e == LIBSSH2_ERROR_SOCKET_DISCONNECT || e == LIBSSH2_ERROR_SOCKET_RECV || e == LIBSSH2_ERROR_SOCKET_SEND)
    ssh_fail("auth", "%s ended the connection at the login as %s: %s", s->want.host, s->want.user, ssh_error(s));
  return !e;
}

bool ssh_reach(struct ssh *s)
{
  dial(s);
  shake(s);
  if (log_in(s, s->want.key))
    return false;
  if (s->want.old_key && log_in(s, s->want.old_key))
    return true;
  ssh_fail("auth", "%s does not let %s in with the cluster's key: put the line that `drover worker key` prints into ~%s/.ssh/authorized_keys there (%s)", s->want.host, s->want.user, s->want.user, ssh_error(s));
}
