/* A small blocking HTTP/1.1 client over a unix socket: one connection, one request at a time, bodies read piece by piece.

   Happy path: http_start() (connects where needed, sends, reads the answer's head), then http_read() until ERR_NOTFOUND; the
   connection is used again for the next request. Failure: any code of class RETRY means that the connection is gone; http_why()
   says what happened. A GET on a connection that the other side had closed in the meantime is sent once more; nothing else is
   ever sent twice. */
#ifndef MASTER_CLI_HTTP_H
#define MASTER_CLI_HTTP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mem.h"

#define HTTP_HEAD_MAX 16384

struct http;

struct http *http_new(const char *socket) must_check; /* connects later */
void http_free(struct http *h);                       /* NULL is fine */
void http_close(struct http *h);                      /* drops the connection, keeps the object */

/* method and path go on the wire as they are. headers: NULL or lines that end in CRLF. json: the body or NULL. timeout_ms: for
   the answer's head. ERR_OK: status and headers can be asked for. ERR_AWAY: not reached, or the connection was lost. ERR_DENIED:
   not allowed to connect. ERR_TIMEOUT. ERR_SYNTAX, ERR_TOOBIG: that was no HTTP of ours. ERR_BADARG: the socket's path is too
   long. */
enum err http_start(struct http *h, const char *method, const char *path, const char *headers, const char *json, int64_t timeout_ms) must_check;
int http_status(const struct http *h);
/* Value of a header of the answer, name in lower case; false: not there. */
bool http_header(const struct http *h, const char *name, char *out, size_t cap);

/* The body's next bytes, decoded from chunked and gzip; *p is valid until the next call. ERR_OK: at least one byte. ERR_NOTFOUND:
   the body has ended as it should. ERR_AGAIN: nothing within timeout_ms. ERR_AWAY: it broke off. ERR_SYNTAX, ERR_CORRUPT: not
   well-formed. */
enum err http_read(struct http *h, const void **p, size_t *n, int64_t timeout_ms) must_check;

int http_fd(const struct http *h);      /* -1: not connected */
bool http_ready(const struct http *h);  /* http_read() may have something without reading from fd */
const char *http_why(const struct http *h); /* a sentence about the last failure */
#endif
