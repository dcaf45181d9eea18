/* TLS of the worker link without I/O: sealed bytes in, plain bytes out, and back. OpenSSL 3, server side, TLS 1.2 and 1.3.

   A struct link_tls keeps no bytes between calls but an incomplete record, and costs next to nothing until a whole ClientHello is there. */
#ifndef MASTER_WORKERS_LINK_TLS_H
#define MASTER_WORKERS_LINK_TLS_H
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

#define LINK_TLS_ALPN "drover"
#define LINK_TLS_HELLO_MAX 8192  /* ClientHello with its record header; those in use have 200 to 2,000 bytes */
#define LINK_TLS_PLAIN_MAX 16384 /* plain bytes of one record */

struct link_tls_ctx;
struct link_tls;

/* From the PEM of a P-256 key; the certificate is made here. NULL: *why says what is wrong with the key. */
struct link_tls_ctx *link_tls_ctx_new(const char *key_pem, struct buf *why) must_check;
void link_tls_ctx_free(struct link_tls_ctx *c);      /* after all its links; NULL is fine */

struct link_tls *link_tls_new(struct link_tls_ctx *c) must_check;
void link_tls_free(struct link_tls *t);              /* NULL is fine */
bool link_tls_started(const struct link_tls *t);     /* the ClientHello was there: OpenSSL's memory is in use */
bool link_tls_ready(const struct link_tls *t);       /* handshake over */

/* n sealed bytes came. They are not copied: p must stay until link_tls_read() said something else than ERR_OK. */
void link_tls_feed(struct link_tls *t, const char *p, size_t n);
/* ERR_OK: *got >= 1 plain bytes. ERR_AGAIN: all that was fed is used. ERR_AWAY: the peer said that it closes.
   ERR_FAILED: link_tls_why(); only link_tls_free() may follow. */
enum err link_tls_read(struct link_tls *t, char *p, size_t room, size_t *got) must_check;
/* Seals all n bytes. Only when ready. */
enum err link_tls_write(struct link_tls *t, const char *p, size_t n) must_check;
void link_tls_bye(struct link_tls *t);               /* close_notify, when ready */

/* What the calls above made for the socket. One buffer for all links: take it out and reset it before another link's turn. */
struct buf *link_tls_sealed(struct link_tls_ctx *c);
const char *link_tls_why(const struct link_tls_ctx *c); /* of the last ERR_FAILED */
#endif
