/* What http.c (daemons and connections in the loop) and call.c (one request) share. */
#ifndef MASTER_API_HTTP_INT_H
#define MASTER_API_HTTP_INT_H
#include <microhttpd.h>
#include <uv.h>

#include "common/list.h"
#include "common/net.h"
#include "common/sm.h"
#include "master/api/http.h"
#include "master/api/routes.h"

struct server;
struct http {
  struct master *m;
  struct list servers;
  uv_timer_t sweep;       /* runs while there are connections */
  int handles;            /* not closed yet */
  int web_dir;            /* descriptor of --web-dir, or -1 */
  int held;               /* calls that wait for somebody's callback */
  int large;              /* calls with a body above HTTP_BODY_MAX */
  int64_t close_by;       /* 0: not closing */
  bool stopped;           /* all daemons are gone */
  void (*done)(void *arg);
  void *done_arg;
};

/* One listening socket with its daemon. */
struct server {
  struct list node;       /* in http->servers */
  struct http *h;
  struct MHD_Daemon *d;
  bool tcp;
  uv_poll_t poll;         /* on the daemon's epoll descriptor */
  uv_timer_t timer;       /* what the daemon asked for, or the next turn */
  struct list conns;
};

struct conn {
  struct list node;       /* in server->conns */
  struct server *s;
  int fd;
  int64_t deadline;       /* clock_mono_ms; 0: none */
  struct call *call;      /* in progress, or NULL */
};

/* reading ─▶ working ─▶ ready ─▶ sending ─▶ gone.  Suspended in working, and in sending while a stream has nothing. */
enum { CALL_READING, CALL_WORKING, CALL_READY, CALL_SENDING, CALL_GONE, CALL_STATES };
enum { CALL_HEADERS_MAX = 12 };

struct call {
  struct sm sm;
  struct http *h;
  struct conn *conn;              /* NULL when gone */
  struct MHD_Connection *mhd;
  char *target;
  char client[NET_TEXT_MAX];      /* who asked over TCP; "" where that is not known yet, or by the unix socket */
  struct path path;
  const struct route *route;
  const char *args[ROUTE_ARGS_MAX];
  int nargs;
  bool head_read, is_head, suspended, cut, large;
  struct buf body;
  size_t body_seen;
  int64_t began_us;
  /* the answer */
  int status;
  const char *type;
  char *out;
  size_t out_len;
  struct {
    const char *name;
    char *value;
  } headers[CALL_HEADERS_MAX];
  int nheaders;
  const struct stream_ops *ops;   /* NULL: no stream, or closed */
  void *stream;
  int64_t length;
  size_t block;
  /* the handler's */
  int holds;
  void (*got)(struct call *c, const struct db_res *r);
  void *data;
};

/* call.c: libmicrohttpd's callbacks, and the end of a call from outside. */
void *call_begin(void *cls, const char *target, struct MHD_Connection *mhd);
enum MHD_Result call_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version, const char *data, size_t *size, void **context);
void call_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode why);
void call_cut(struct call *c);    /* no answer, or no more of it */

/* http.c */
void server_soon(struct server *s);
void http_maybe_done(struct http *h);
#endif
