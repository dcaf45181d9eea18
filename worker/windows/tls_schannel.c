/* TLS 1.2 or 1.3 by SChannel, which every Windows has and Microsoft mends. The peer is who the token says by the hash of its public key, as in tls_bearssl.c: no authority, no names, no clock.

   Happy path: SChannel's greeting out, the server's records in, one by one, until it is content; then the peer's key and protocol are looked at, and only then may data go; records both ways; close_notify.
   Failures: what is no TLS, a version below 1.2, another key, another protocol, a record that was changed: EPROTO, with an alert where SChannel makes one. An end without close_notify: ECONNRESET.

   SChannel does no I/O. What goes through it is one record at a time, read with exactly the bytes that it has, so that nothing is ever left here which poll() could not tell of. */
#define SECURITY_WIN32
#define SCHANNEL_USE_BLACKLISTS /* for SCH_CREDENTIALS, without which there is no TLS 1.3 */
#include "worker/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <windows.h>
#include <ntsecapi.h>
#include <wincrypt.h>
#include <security.h>
#include <schannel.h>

#include "common/str.h"
#include "worker/sha256.h"
#include "worker/spki.h"
#include "worker/windows/win.h"

enum {
  HEAD_LEN = 5,                           /* of a record: type, version, length */
  BODY_MAX = 16384 + 2048,                /* RFC 5246 6.2.3; TLS 1.3 allows less */
  IN_MAX = 2 * (HEAD_LEN + BODY_MAX),     /* a message of the handshake may lie in two records */
  PLAIN_MAX = 16384,                      /* of what is sent, a record */
  OVERHEAD_MAX = 1024,                    /* that SChannel may ask for around it */
  TOKEN_MAX = 16384,                      /* of what SChannel itself has to say, not sent yet */
  OUT_MAX = PLAIN_MAX + OVERHEAD_MAX + TOKEN_MAX,
  HANDSHAKE_MAX = 65536,                  /* of all that the server says in one */
  RECORD_FIRST = 20, RECORD_LAST = 23,    /* change_cipher_spec … application_data */
  RECORD_ALERT = 21,
  ALERT_BAD_CERTIFICATE = 42
};

static const ULONG ASKED = ISC_REQ_ALLOCATE_MEMORY | ISC_REQ_STREAM | ISC_REQ_CONFIDENTIALITY | ISC_REQ_REPLAY_DETECT | ISC_REQ_SEQUENCE_DETECT | ISC_REQ_EXTENDED_ERROR |
                           ISC_REQ_MANUAL_CRED_VALIDATION | ISC_REQ_USE_SUPPLIED_CREDS;
static const char PROTOCOL[] = "drover";

struct tls {
  int fd, number; /* number: errno once it failed */
  bool open;      /* the handshake is over, and the peer is the right one */
  bool closed;    /* by the peer, with close_notify */
  const unsigned char (*pin)[TLS_PIN_LEN];
  int pins;
  unsigned char hash[TLS_PIN_LEN];
  bool hashed, has_cred, has_ctx;
  CredHandle cred;
  CtxtHandle ctx;
  SecPkgContext_StreamSizes sizes;
  bool may_rekey;             /* TLS 1.3: its messages after the handshake look to SChannel like a renegotiation */
  size_t in_len, record;      /* bytes of `in`; where its last record begins */
  size_t shaken;              /* bytes of the handshake that came */
  size_t plain_at, plain_len; /* what is decrypted, within `in`, and not read yet */
  size_t out_at, out_len;     /* records for the socket */
  unsigned char in[IN_MAX], out[OUT_MAX];
};

/* ---- the socket ---- */

/* Records out, as long as the socket takes them; also after a failure: an alert may be among them. */
static void push(struct tls *t)
{
  while (t->out_at < t->out_len) {
    ssize_t n = send(t->fd, t->out + t->out_at, t->out_len - t->out_at, 0);

    if (n > 0) {
      t->out_at += (size_t)n;
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      t->number = t->number ? t->number : errno;
      break;
    }
  }
  t->out_at = t->out_len = 0;
}

/* Of the record at hand: how many bytes it has, or HEAD_LEN: that is not known yet; 0: it is none. */
static size_t record_len(const struct tls *t)
{
  const unsigned char *r = t->in + t->record;
  size_t have = t->in_len - t->record, body;

  if ((have && (r[0] < RECORD_FIRST || r[0] > RECORD_LAST)) || (have > 1 && r[1] != 3))
    return 0;
  if (have < HEAD_LEN)
    return HEAD_LEN;
  body = (size_t)r[3] << 8 | r[4];
  return body && body <= BODY_MAX ? HEAD_LEN + body : 0;
}

/* More of the record at hand. True: it is all there. */
static bool pull(struct tls *t)
{
  for (;;) {
    size_t len = record_len(t), have = t->in_len - t->record;
    ssize_t n;

    if (!len || len > IN_MAX - t->record) {
      t->number = EPROTO;
      return false;
    }
    if (have >= len)
      return true;
    n = recv(t->fd, t->in + t->in_len, len - have, 0);
    if (n > 0) {
      t->in_len += (size_t)n;
      continue;
    }
    if (!n)
      t->number = ECONNRESET;
    else if (errno != EAGAIN && errno != EINTR)
      t->number = errno;
    return false;
  }
}

/* ---- SChannel ---- */

/* A credential of nobody, with the newest structure that this system takes: TLS 1.3 wants the one that Windows 10 1809 brought. */
static bool get_cred(struct tls *t)
{
  enum { LATER = SP_PROT_TLS1_2_CLIENT | SP_PROT_TLS1_3_CLIENT };
  DWORD flags = SCH_CRED_MANUAL_CRED_VALIDATION | SCH_CRED_NO_DEFAULT_CREDS | SCH_USE_STRONG_CRYPTO;
  TLS_PARAMETERS allowed = { .grbitDisabledProtocols = ~(DWORD)LATER };
  SCH_CREDENTIALS now = { .dwVersion = SCH_CREDENTIALS_VERSION, .dwFlags = flags, .cTlsParameters = 1, .pTlsParameters = &allowed };
  SCHANNEL_CRED then = { .dwVersion = SCHANNEL_CRED_VERSION, .dwFlags = flags, .grbitEnabledProtocols = LATER };
  SCHANNEL_CRED first = { .dwVersion = SCHANNEL_CRED_VERSION, .dwFlags = flags, .grbitEnabledProtocols = SP_PROT_TLS1_2_CLIENT };
  void *const tries[] = { &now, &then, &first };

  for (size_t i = 0; i < COUNT(tries) && !t->has_cred; i++)
    t->has_cred = AcquireCredentialsHandleW(NULL, (wchar_t *)UNISP_NAME_W, SECPKG_CRED_OUTBOUND, NULL, tries[i], NULL, NULL, &t->cred, NULL) == SEC_E_OK;
  return t->has_cred;
}

/* What SChannel has to say, behind what is waiting to be sent. */
static void say(struct tls *t, SecBuffer *token)
{
  if (!token->pvBuffer)
    return;
  if (token->cbBuffer <= sizeof t->out - t->out_len) {
    memcpy(t->out + t->out_len, token->pvBuffer, token->cbBuffer);
    t->out_len += token->cbBuffer;
  } else {
    t->number = EPROTO; /* a peer that asks for new keys without end, and reads nothing */
  }
  FreeContextBuffer(token->pvBuffer);
}

/* A step of the handshake, or of what follows it: `n` bytes to SChannel, what it answers to the socket. *left: of the n, those that it did not take. */
static SECURITY_STATUS step(struct tls *t, void *p, size_t n, ULONG kind, size_t *left)
{
  SecBuffer in[] = { { (ULONG)n, kind, p }, { 0, SECBUFFER_EMPTY, NULL } };
  SecBuffer out[] = { { 0, SECBUFFER_TOKEN, NULL }, { 0, SECBUFFER_ALERT, NULL } };
  SecBufferDesc ins = { SECBUFFER_VERSION, kind == SECBUFFER_TOKEN ? COUNT(in) : 1, in }, outs = { SECBUFFER_VERSION, COUNT(out), out };
  ULONG given = 0;
  SECURITY_STATUS status = InitializeSecurityContextW(&t->cred, t->has_ctx ? &t->ctx : NULL, NULL, ASKED, 0, 0, n ? &ins : NULL, 0, t->has_ctx ? NULL : &t->ctx, &outs, &given, NULL);

  t->has_ctx = t->has_ctx || status == SEC_E_OK || status == SEC_I_CONTINUE_NEEDED;
  *left = in[1].BufferType == SECBUFFER_EXTRA ? in[1].cbBuffer : 0;
  for (size_t i = 0; i < COUNT(out); i++)
    say(t, &out[i]);
  return status;
}

static bool begin(struct tls *t)
{
  struct {
    SEC_APPLICATION_PROTOCOLS head; /* with one list, whose bytes begin within it */
    char rest[sizeof PROTOCOL];
  } alpn;
  SEC_APPLICATION_PROTOCOL_LIST *list = alpn.head.ProtocolLists;
  size_t left, n = sizeof PROTOCOL - 1;

  memset(&alpn, 0, sizeof alpn);
  list->ProtoNegoExt = SecApplicationProtocolNegotiationExt_ALPN;
  list->ProtocolListSize = (unsigned short)(1 + n);
  list->ProtocolList[0] = (unsigned char)n;
  memcpy((unsigned char *)&alpn + offsetof(SEC_APPLICATION_PROTOCOLS, ProtocolLists) + offsetof(SEC_APPLICATION_PROTOCOL_LIST, ProtocolList) + 1, PROTOCOL, n);
  alpn.head.ProtocolListsSize = (ULONG)(offsetof(SEC_APPLICATION_PROTOCOL_LIST, ProtocolList) + 1 + n);
  return get_cred(t) && step(t, &alpn, offsetof(SEC_APPLICATION_PROTOCOLS, ProtocolLists) + alpn.head.ProtocolListsSize, SECBUFFER_APPLICATION_PROTOCOLS, &left) == SEC_I_CONTINUE_NEEDED;
}

/* One of what ApplyControlToken() knows: an alert, or the end. It comes out of the next step. */
static void control(struct tls *t, void *what, size_t n)
{
  SecBuffer b = { (ULONG)n, SECBUFFER_TOKEN, what };
  SecBufferDesc d = { SECBUFFER_VERSION, 1, &b };
  size_t left;

  if (ApplyControlToken(&t->ctx, &d) == SEC_E_OK)
    step(t, NULL, 0, SECBUFFER_TOKEN, &left);
}

/* ---- the peer ---- */

static bool key_is_right(struct tls *t)
{
  PCCERT_CONTEXT cert = NULL;
  char hex[SHA256_HEX_LEN + 1];
  struct sha256 h;
  size_t start, size;
  bool match = false;

  if (QueryContextAttributesW(&t->ctx, SECPKG_ATTR_REMOTE_CERT_CONTEXT, &cert) != SEC_E_OK || !cert)
    return false;
  if (spki_find(cert->pbCertEncoded, cert->cbCertEncoded, &start, &size)) {
    sha256_init(&h);
    sha256_add(&h, cert->pbCertEncoded + start, size);
    sha256_end(&h, hex);
    t->hashed = !str_unhex(hex, SHA256_HEX_LEN, t->hash, TLS_PIN_LEN);
    for (int i = 0; t->hashed && i < t->pins; i++)
      match = match || str_secret_eq(t->hash, t->pin[i], TLS_PIN_LEN);
    match = match && spki_p256(cert->pbCertEncoded + start, size);
  }
  CertFreeCertificateContext(cert);
  return match;
}

/* A server that speaks no ALPN is fine, as one that speaks something else is not. */
static bool protocol_is_right(struct tls *t)
{
  SecPkgContext_ApplicationProtocol got;

  memset(&got, 0, sizeof got);
  return QueryContextAttributesW(&t->ctx, SECPKG_ATTR_APPLICATION_PROTOCOL, &got) != SEC_E_OK || got.ProtoNegoStatus == SecApplicationProtocolNegotiationStatus_None ||
         (got.ProtoNegoStatus == SecApplicationProtocolNegotiationStatus_Success && got.ProtocolIdSize == sizeof PROTOCOL - 1 && !memcmp(got.ProtocolId, PROTOCOL, sizeof PROTOCOL - 1));
}

/* Said again here, because there are systems that don't mind what the credential allows. */
static bool version_is_right(struct tls *t)
{
  SecPkgContext_ConnectionInfo info;

  memset(&info, 0, sizeof info);
  if (QueryContextAttributesW(&t->ctx, SECPKG_ATTR_CONNECTION_INFO, &info) != SEC_E_OK)
    return false;
  t->may_rekey = info.dwProtocol == SP_PROT_TLS1_3_CLIENT;
  return t->may_rekey || info.dwProtocol == SP_PROT_TLS1_2_CLIENT;
}

static bool sizes_are_right(struct tls *t)
{
  return QueryContextAttributesW(&t->ctx, SECPKG_ATTR_STREAM_SIZES, &t->sizes) == SEC_E_OK && t->sizes.cbHeader <= OVERHEAD_MAX / 2 && t->sizes.cbTrailer <= OVERHEAD_MAX / 2 &&
         t->sizes.cbMaximumMessage;
}

/* SChannel is content: are we? */
static void judge(struct tls *t)
{
  SCHANNEL_ALERT_TOKEN alert = { SCHANNEL_ALERT, TLS1_ALERT_FATAL, ALERT_BAD_CERTIFICATE };

  if (!key_is_right(t)) {
    control(t, &alert, sizeof alert);
    t->number = EPROTO;
  } else if (!version_is_right(t) || !protocol_is_right(t) || !sizes_are_right(t)) {
    t->number = EPROTO;
  } else {
    t->open = true;
    t->shaken = 0;
  }
}

/* ---- records ---- */

static void shake(struct tls *t, void *p, size_t n, size_t *left)
{
  switch (step(t, p, n, SECBUFFER_TOKEN, left)) {
  case SEC_I_CONTINUE_NEEDED:
    break;
  case SEC_E_OK:
    if (*left)
      t->number = EPROTO; /* something behind the last message, in its record */
    if (!t->number)
      judge(t);
    break;
  case SEC_E_INCOMPLETE_MESSAGE: /* the message goes on in the next record */
    *left = n;
    break;
  default:
    t->number = EPROTO;
  }
}

/* All of `in` but its last `left` bytes has been taken. */
static void taken(struct tls *t, size_t left)
{
  size_t gone = t->in_len - left;

  memmove(t->in, t->in + gone, left);
  mem_wipe(t->in + left, gone);
  t->in_len = left;
}

static void handshake(struct tls *t)
{
  size_t n = t->in_len, left;

  shake(t, t->in, n, &left);
  t->shaken += n - left;
  if (!t->open && t->shaken > HANDSHAKE_MAX)
    t->number = EPROTO;
  taken(t, left);
  t->record = left == n ? n : 0; /* nothing was taken: one more is wanted */
}

static void decrypt(struct tls *t)
{
  SecBuffer b[] = { { (ULONG)t->in_len, SECBUFFER_DATA, t->in }, { 0, SECBUFFER_EMPTY, NULL }, { 0, SECBUFFER_EMPTY, NULL }, { 0, SECBUFFER_EMPTY, NULL } };
  SecBufferDesc d = { SECBUFFER_VERSION, COUNT(b), b };
  SECURITY_STATUS status = DecryptMessage(&t->ctx, &d, 0, NULL);
  SecBuffer *data = NULL, *extra = NULL;
  bool alert = t->in[0] == RECORD_ALERT;
  size_t left;

  for (size_t i = 0; i < COUNT(b); i++) {
    data = b[i].BufferType == SECBUFFER_DATA ? &b[i] : data;
    extra = b[i].BufferType == SECBUFFER_EXTRA ? &b[i] : extra;
  }
  switch (status) {
  case SEC_E_OK:
    if (data && data->cbBuffer) {
      t->plain_at = (size_t)((unsigned char *)data->pvBuffer - t->in);
      t->plain_len = data->cbBuffer;
      return;
    }
    t->closed = alert; /* wine's SChannel makes nothing of a goodbye; of other alerts it does */
    break;
  case SEC_I_CONTEXT_EXPIRED:
    t->closed = true;
    break;
  case SEC_I_RENEGOTIATE: /* TLS 1.3: a ticket, or new keys. In TLS 1.2 it would be another handshake, which nobody needs */
    if (t->may_rekey && extra && extra->pvBuffer) {
      t->open = false; /* until SChannel is content again */
      shake(t, extra->pvBuffer, extra->cbBuffer, &left);
    } else {
      t->number = EPROTO;
    }
    break;
  default:
    t->number = EPROTO;
  }
  taken(t, 0);
}

/* What is written, sealed into `out`, which is empty. */
static bool seal(struct tls *t, const void *p, size_t n)
{
  size_t head = t->sizes.cbHeader;
  SecBuffer b[] = { { (ULONG)head, SECBUFFER_STREAM_HEADER, t->out }, { (ULONG)n, SECBUFFER_DATA, t->out + head }, { t->sizes.cbTrailer, SECBUFFER_STREAM_TRAILER, t->out + head + n }, { 0, SECBUFFER_EMPTY, NULL } };
  SecBufferDesc d = { SECBUFFER_VERSION, COUNT(b), b };

  memcpy(t->out + head, p, n);
  if (EncryptMessage(&t->ctx, 0, &d, 0) != SEC_E_OK) {
    mem_wipe(t->out, sizeof t->out);
    t->number = EPROTO;
    return false;
  }
  t->out_len = (size_t)b[0].cbBuffer + b[1].cbBuffer + b[2].cbBuffer;
  return true;
}

/* ---- the six ---- */

static struct tls *chan_open(int fd, const unsigned char (*pin)[TLS_PIN_LEN], int pins)
{
  struct tls *t = xcalloc(1, sizeof *t);

  t->fd = fd;
  t->pin = pin;
  t->pins = pins;
  if (!begin(t))
    t->number = EPROTO;
  return t;
}

static ssize_t chan_read(struct tls *t, void *p, size_t n)
{
  for (;;) {
    push(t);
    if (t->plain_len) {
      n = n < t->plain_len ? n : t->plain_len;
      memcpy(p, t->in + t->plain_at, n);
      t->plain_at += n;
      t->plain_len -= n;
      if (!t->plain_len)
        taken(t, 0);
      return (ssize_t)n;
    }
    if (t->closed || t->number || !pull(t))
      break;
    if (t->open)
      decrypt(t);
    else
      handshake(t);
  }
  push(t); /* perhaps an alert */
  if (t->closed)
    return 0;
  errno = t->number ? t->number : EAGAIN;
  return -1;
}

static ssize_t chan_write(struct tls *t, const void *p, size_t n)
{
  size_t done = 0, most = t->sizes.cbMaximumMessage < PLAIN_MAX ? t->sizes.cbMaximumMessage : PLAIN_MAX;

  for (;;) {
    size_t part = n - done < most ? n - done : most;

    push(t);
    if (done == n || !t->open || t->closed || t->number || t->out_len || !seal(t, (const char *)p + done, part))
      break;
    done += part;
  }
  if (t->number)
    win_hang_up(t->fd); /* so that a poll tells, and a read is next */
  if (done)
    return (ssize_t)done;
  errno = t->number ? t->number : t->closed ? EPIPE : EAGAIN;
  return -1;
}

static short chan_want(const struct tls *t)
{
  if (t->number || t->closed)
    return 0;
  return (short)((t->out_len ? POLLOUT : 0) | (t->open ? 0 : POLLIN));
}

static const unsigned char *chan_peer(const struct tls *t) { return t->hashed ? t->hash : NULL; }

static void chan_close(struct tls *t)
{
  DWORD end = SCHANNEL_SHUTDOWN;

  if (t->open && !t->number)
    control(t, &end, sizeof end);
  push(t);
  if (t->has_ctx)
    DeleteSecurityContext(&t->ctx);
  if (t->has_cred)
    FreeCredentialsHandle(&t->cred);
  mem_wipe(t, sizeof *t);
  free(t);
}

const struct tls_ops tls_pinned = { chan_open, chan_read, chan_write, chan_want, chan_peer, chan_close };
