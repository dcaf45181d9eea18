/* TLS 1.2 by the system's SChannel. The peer is who the token says by the hash of its public key, as in tls_bearssl.c: the system checks no authority, no names and no dates. */
#define SECURITY_WIN32
#include "worker/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <windows.h>
#include <wincrypt.h>
#include <security.h>
#include <schannel.h>

#include "common/buf.h"
#include "common/str.h"
#include "worker/sha256.h"
#include "worker/spki.h"
#include "worker/windows/win.h"

enum { IN_MAX = 20 << 10 /* the longest record is in it */, OUT_FULL = 32 << 10, REQUEST = ISC_REQ_SEQUENCE_DETECT | ISC_REQ_REPLAY_DETECT | ISC_REQ_CONFIDENTIALITY | ISC_REQ_ALLOCATE_MEMORY | ISC_REQ_STREAM | ISC_REQ_MANUAL_CRED_VALIDATION };

struct tls {
  int fd, number;      /* number: errno once it failed */
  bool begun, ready, closed; /* closed: by the peer */
  const unsigned char (*pin)[TLS_PIN_LEN];
  int pins;
  unsigned char hash[TLS_PIN_LEN];
  bool hashed;
  CredHandle cred;
  CtxtHandle ctx;
  SecPkgContext_StreamSizes sizes;
  char in[IN_MAX];     /* as it came */
  size_t in_len;
  struct buf plain, out; /* read, not taken yet; sealed, not sent yet */
  size_t plain_at, out_at;
};

/* Both sides see the end: else a poll would wait for a master that waits for us. */
static void fail(struct tls *t, int number)
{
  if (t->number)
    return;
  t->number = number;
  win_hang_up(t->fd);
}

/* ---- the socket ---- */

static void push(struct tls *t)
{
  while (!t->number && t->out_at < t->out.len) {
    ssize_t n = send(t->fd, t->out.data + t->out_at, t->out.len - t->out_at, 0);
    if (n < 0 && errno == EAGAIN)
      return;
    if (n < 0)
      fail(t, errno);
    else
      t->out_at += (size_t)n;
  }
  buf_reset(&t->out);
  t->out_at = 0;
}

/* False: nothing new. */
static bool pull(struct tls *t)
{
  ssize_t n;

  if (t->number || t->closed || t->in_len == IN_MAX)
    return false;
  n = recv(t->fd, t->in + t->in_len, IN_MAX - t->in_len, 0);
  if (n > 0)
    t->in_len += (size_t)n;
  else if (!n)
    t->closed = true;
  else if (errno != EAGAIN)
    fail(t, errno);
  return n > 0;
}

/* What the system left of the bytes that came: the last n. */
static void keep(struct tls *t, size_t n)
{
  memmove(t->in, t->in + t->in_len - n, n);
  t->in_len = n;
}

/* ---- the handshake ---- */

static void check_key(struct tls *t)
{
  PCCERT_CONTEXT cert = NULL;
  char hex[SHA256_HEX_LEN + 1];
  size_t start, size;
  struct sha256 sum;
  bool match = false;

  if (QueryContextAttributesW(&t->ctx, SECPKG_ATTR_REMOTE_CERT_CONTEXT, &cert) == SEC_E_OK && spki_find(cert->pbCertEncoded, cert->cbCertEncoded, &start, &size)) {
    sha256_init(&sum);
    sha256_add(&sum, cert->pbCertEncoded + start, size);
    sha256_end(&sum, hex);
    t->hashed = !str_unhex(hex, SHA256_HEX_LEN, t->hash, TLS_PIN_LEN);
  }
  if (cert)
    CertFreeCertificateContext(cert);
  for (int i = 0; t->hashed && i < t->pins; i++)
    match = match || str_secret_eq(t->hash, t->pin[i], TLS_PIN_LEN);
  if (!match || QueryContextAttributesW(&t->ctx, SECPKG_ATTR_STREAM_SIZES, &t->sizes) != SEC_E_OK)
    fail(t, EPROTO);
  else
    t->ready = true;
}

/* One step with what came. True: another may follow at once. */
static bool step(struct tls *t)
{
  SecBuffer in[2] = { { (ULONG)t->in_len, SECBUFFER_TOKEN, t->in }, { 0, SECBUFFER_EMPTY, NULL } }, out = { 0, SECBUFFER_TOKEN, NULL };
  SecBufferDesc in_desc = { SECBUFFER_VERSION, 2, in }, out_desc = { SECBUFFER_VERSION, 1, &out };
  wchar_t name[] = L"drover";
  ULONG got;
  SECURITY_STATUS s = InitializeSecurityContextW(&t->cred, t->begun ? &t->ctx : NULL, name, REQUEST, 0, 0, t->begun ? &in_desc : NULL, 0, &t->ctx, &out_desc, &got, NULL);

  if (s == SEC_E_INCOMPLETE_MESSAGE)
    return false;
  if (out.pvBuffer) {
    buf_add(&t->out, out.pvBuffer, out.cbBuffer);
    FreeContextBuffer(out.pvBuffer);
  }
  keep(t, t->begun && in[1].BufferType == SECBUFFER_EXTRA ? in[1].cbBuffer : 0);
  t->begun = true;
  if (s == SEC_E_OK)
    check_key(t);
  else if (s != SEC_I_CONTINUE_NEEDED)
    fail(t, EPROTO);
  push(t);
  return !t->ready && !t->number && t->in_len > 0;
}

static void shake(struct tls *t)
{
  if (t->ready || t->number)
    return;
  if (!t->begun)
    step(t);
  do
    while (t->in_len && step(t))
      continue;
  while (!t->ready && pull(t));
}

/* ---- records ---- */

/* The next record out of what came. False: it is not whole. */
static bool open_record(struct tls *t)
{
  SecBuffer b[4] = { { (ULONG)t->in_len, SECBUFFER_DATA, t->in }, { 0, SECBUFFER_EMPTY, NULL }, { 0, SECBUFFER_EMPTY, NULL }, { 0, SECBUFFER_EMPTY, NULL } };
  SecBufferDesc desc = { SECBUFFER_VERSION, 4, b };
  SECURITY_STATUS s;
  size_t extra = 0;

  if (!t->in_len)
    return false;
  s = DecryptMessage(&t->ctx, &desc, 0, NULL);
  if (s == SEC_E_INCOMPLETE_MESSAGE)
    return false;
  if (s == SEC_I_CONTEXT_EXPIRED) {
    t->closed = true;
    return false;
  }
  if (s != SEC_E_OK) { /* to begin the handshake anew is no master's wish either */
    fail(t, EPROTO);
    return false;
  }
  for (int i = 1; i < 4; i++) {
    if (b[i].BufferType == SECBUFFER_DATA)
      buf_add(&t->plain, b[i].pvBuffer, b[i].cbBuffer);
    else if (b[i].BufferType == SECBUFFER_EXTRA)
      extra = b[i].cbBuffer;
  }
  keep(t, extra);
  return true;
}

static void seal_record(struct tls *t, const void *p, size_t n)
{
  size_t head = t->sizes.cbHeader, whole = head + n + t->sizes.cbTrailer;
  char *record = xmalloc(whole);
  SecBuffer b[4] = { { (ULONG)head, SECBUFFER_STREAM_HEADER, record }, { (ULONG)n, SECBUFFER_DATA, record + head }, { t->sizes.cbTrailer, SECBUFFER_STREAM_TRAILER, record + head + n }, { 0, SECBUFFER_EMPTY, NULL } };
  SecBufferDesc desc = { SECBUFFER_VERSION, 4, b };

  memcpy(record + head, p, n);
  if (EncryptMessage(&t->ctx, 0, &desc, 0) != SEC_E_OK)
    fail(t, EPROTO);
  else
    for (int i = 0; i < 3; i++)
      buf_add(&t->out, b[i].pvBuffer, b[i].cbBuffer);
  free(record);
}

/* ---- the six ---- */

static struct tls *open_tls(int fd, const unsigned char (*pin)[TLS_PIN_LEN], int pins)
{
  struct tls *t = xcalloc(1, sizeof *t);
  SCHANNEL_CRED c = { .dwVersion = SCHANNEL_CRED_VERSION, .grbitEnabledProtocols = SP_PROT_TLS1_2_CLIENT, .dwFlags = SCH_CRED_MANUAL_CRED_VALIDATION | SCH_CRED_NO_DEFAULT_CREDS | SCH_USE_STRONG_CRYPTO };
  wchar_t provider[] = UNISP_NAME_W;

  t->fd = fd;
  t->pin = pin;
  t->pins = pins;
  buf_init(&t->plain, BUF_NO_MAX);
  buf_init(&t->out, BUF_NO_MAX);
  SecInvalidateHandle(&t->cred);
  SecInvalidateHandle(&t->ctx);
  if (AcquireCredentialsHandleW(NULL, provider, SECPKG_CRED_OUTBOUND, NULL, &c, NULL, NULL, &t->cred, NULL) != SEC_E_OK)
    fail(t, EPROTO);
  return t;
}

/* -1 with errno, or 0 at the end. */
static ssize_t nothing(struct tls *t)
{
  if (t->number || !t->closed)
    errno = t->number ? t->number : EAGAIN;
  return t->number || !t->closed ? -1 : 0;
}

static size_t take_plain(struct tls *t, char *p, size_t n)
{
  size_t have = t->plain.len - t->plain_at;

  n = n < have ? n : have;
  if (n)
    memcpy(p, t->plain.data + t->plain_at, n);
  t->plain_at += n;
  if (n < have || !t->plain.len)
    return n;
  mem_wipe(t->plain.data, t->plain.len);
  buf_reset(&t->plain);
  t->plain_at = 0;
  return n;
}

/* All that is there: what would stay in our buffers no poll tells of. So more is only read from the socket when there is room for what it may hold. */
static ssize_t read_tls(struct tls *t, void *p, size_t n)
{
  size_t done = 0;

  shake(t);
  push(t);
  while (t->ready && !t->number) {
    done += take_plain(t, (char *)p + done, n - done);
    if (done < n && open_record(t))
      continue;
    if (t->closed || (done && n - done < IN_MAX) || !pull(t))
      break;
  }
  return done ? (ssize_t)done : nothing(t);
}

static ssize_t write_tls(struct tls *t, const void *p, size_t n)
{
  shake(t);
  push(t);
  if (t->number || !t->ready || t->out.len - t->out_at >= OUT_FULL) {
    errno = t->number ? t->number : EAGAIN;
    return -1;
  }
  n = n < t->sizes.cbMaximumMessage ? n : t->sizes.cbMaximumMessage;
  seal_record(t, p, n);
  push(t);
  errno = t->number;
  return t->number ? -1 : (ssize_t)n;
}

static short want(const struct tls *t)
{
  return (short)((t->out_at < t->out.len || !t->begun ? POLLOUT : 0) | (t->ready ? 0 : POLLIN));
}

static const unsigned char *peer(const struct tls *t) { return t->hashed ? t->hash : NULL; }

static void close_tls(struct tls *t)
{
  if (SecIsValidHandle(&t->ctx))
    DeleteSecurityContext(&t->ctx);
  if (SecIsValidHandle(&t->cred))
    FreeCredentialsHandle(&t->cred);
  if (t->plain.data)
    mem_wipe(t->plain.data, t->plain.len);
  buf_free(&t->plain);
  buf_free(&t->out);
  mem_wipe(t, sizeof *t);
  free(t);
}

const struct tls_ops tls_pinned = { open_tls, read_tls, write_tls, want, peer, close_tls };
