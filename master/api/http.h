/* HTTP/1.1 as our handlers see it: a call comes in whole, is answered once, now or later; a long answer is a stream that is read piece by piece.

   Happy path: libmicrohttpd reads head and body → checks (shape of the path, Host, Origin, method, permission) → the route's handler → call_json / call_error / call_stream.
   Failures: refused before a handler sees it (4xx); the client goes away (the call lives until what it asked the database has come back, and is then dropped); the database is
   away (503 by itself); a slow or silent client (deadlines below). Handlers never see libmicrohttpd. */
#ifndef MASTER_API_HTTP_H
#define MASTER_API_HTTP_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"
#include "master/api/path.h"
#include "master/db/db.h"

#define HTTP_HEAD_MAX (16u << 10)     /* request line and headers */
#define HTTP_BODY_MAX (1u << 20)
#define HTTP_TRY_MAX (5u << 20)         /* of an action that brings a patch */
#define HTTP_LARGE_MAX 4              /* bodies of hooks above HTTP_BODY_MAX (HOOK_BODY_MAX at most) under way at once */
#define HTTP_CONNECTIONS_MAX 200      /* of each of the two sockets */
#define HTTP_HEAD_MS 10000            /* from the connection to its first whole head */
#define HTTP_BODY_MS 10000            /* from the head to the body's end */
#define HTTP_IDLE_MS 60000            /* between requests; a client that does not take its answer */
#define HTTP_STREAM_IDLE_S 3600       /* a reader that stopped reading a log or events */
#define HTTP_CLOSE_MS 1000            /* for answers in progress when the master stops */

struct master;
struct route;
struct call;

struct master *call_master(const struct call *c);
const struct route *call_route(const struct call *c);
const char *call_arg(const struct call *c, int i);           /* of the path's {names}, in order */
int call_args(const struct call *c);
int call_segments(const struct call *c);                     /* of the path */
const char *call_query(const struct call *c, const char *key);
const char *call_header(const struct call *c, const char *name); /* NULL: not there */
bool call_is_head(const struct call *c);
bool call_is_tcp(const struct call *c);
const struct buf *call_body(const struct call *c);
int call_web_dir(const struct call *c);                      /* descriptor of --web-dir, or -1 */
void call_who(const struct call *c, char *who, size_t n);    /* for the record: the login name of a unix connection, the address of a TCP one */

/* What a handler keeps between two questions to the database; freed (shallowly) with the call. */
void *call_data(struct call *c, size_t n);                   /* zeroed at first; always the same memory */

/* Each call gets exactly one of these, from the handler or from a later callback. */
void call_json(struct call *c, int status, cJSON *body);     /* takes body */
void call_bytes(struct call *c, int status, const char *type, const void *p, size_t n); /* copied */
void call_body_text(struct call *c, int status, const char *type, const char *text);
void call_error(struct call *c, int status, const char *code, const char *help, const char *fmt, ...) printf_like(5, 6);

#define STREAM_WAIT 0      /* nothing now; call_wake when there is */
#define STREAM_END (-1)
#define STREAM_BROKEN (-2) /* the client must see that the answer is not whole: the connection is cut */
struct stream_ops {
  ssize_t (*read)(void *s, char *out, size_t n); /* > 0: so many bytes were put into out */
  void (*tick)(void *s);                         /* each second; may be NULL */
  void (*close)(void *s);                        /* once, at the end, whatever that was; c is not to be used afterwards */
};
/* length: of the whole body, -1 where it is not known. block: how much is asked for at a time. For HEAD the stream is closed unread. */
void call_stream(struct call *c, const char *type, int64_t length, size_t block, const struct stream_ops *ops, void *s);
void call_wake(struct call *c);
void call_abort(struct call *c, const char *why);             /* cuts the connection under a stream whose reader does not keep up */
void call_header_set(struct call *c, const char *name, const char *value); /* of the answer, before it; instead of ours of that name; value: no control bytes */

/* Questions to the database: got is called with the answer unless the database is away (503) or refused (500), which is answered here, or the client has gone. */
struct db_tx *call_tx(const struct call *c) must_check;
void call_ask(struct call *c, struct db_tx *tx, void (*got)(struct call *c, const struct db_res *r));
void call_away(struct call *c);                              /* the 503 */

/* Answers of others that come by a callback with an argument: between hold and release the call's memory stays. */
void call_hold(struct call *c);
bool call_release(struct call *c) must_check;                /* false: nobody waits for an answer any more; c is gone */

/* The sockets' side, for api.c. */
struct http;
struct http *http_new(struct master *m) must_check;
/* fd: listening, non-blocking, owned from here on. tcp: reading only, Host and Origin are checked. */
enum err http_listen(struct http *h, int fd, bool tcp) must_check;
/* No new connections, streams end, answers in progress get HTTP_CLOSE_MS; done from the loop. */
void http_close(struct http *h, void (*done)(void *arg), void *arg);
#endif
