/* Inside of the link: what link.c (one connection) and link_listen.c (the server: listeners, clock, end) share. */
#ifndef MASTER_WORKERS_LINK_INT_H
#define MASTER_WORKERS_LINK_INT_H
#include <stdint.h>

#include "common/list.h"
#include "common/quota.h"
#include "common/sm.h"
#include "master/workers/link.h"
#include "master/workers/link_tls.h"

#define LINK_BYE_MS 1000          /* from bye until the connection is cut off */
#define LINK_DRAIN_MAX (16u << 20)  /* bytes read and dropped after bye: a worker may have that much credit */
#define LINK_TICK_MS 250          /* how exact the deadlines are */
#define LINK_SHAKING_MAX 512      /* handshakes under way: OpenSSL takes up to 50 KiB for each */
#define LINK_YOUNG_UNSENT_MAX (64u << 10) /* unsent before the greeting is over */
#define LINK_SLICE 65536          /* plain bytes sealed and offered to the kernel at once */

/* NEW → SHAKING → GREETING → UP → PARTING → GONE; from every state to GONE, a unix link starts in GREETING. */
enum link_state {
  LINK_NEW,      /* TLS: the ClientHello is not there yet */
  LINK_SHAKING,  /* TLS: handshake */
  LINK_GREETING, /* messages, hello not accepted yet */
  LINK_UP,       /* greeting accepted */
  LINK_PARTING,  /* closed by us: flush, say that nothing follows, wait for the other side's end */
  LINK_GONE,     /* handle closing; freed in its callback */
  LINK_STATES
};

struct link {
  struct list in_state; /* server->lists[state], oldest change first */
  struct list in_dirty; /* server->dirty: to be flushed in this turn */
  struct link_server *server;
  struct sm sm;
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } h;
  struct link_tls *tls;       /* NULL: unix socket */
  struct wire_reader *reader; /* made with the first byte */
  struct buf out;             /* plain bytes, the first out_at are sealed */
  size_t out_at;
  struct buf queue;           /* sealed bytes behind those in flight */
  size_t flight;              /* bytes of the uv_write under way */
  size_t drained;             /* PARTING: bytes dropped */
  char *peer, *why;           /* why: set when it parts or goes */
  char *dialled;              /* the worker's name, where the master has made the connection */
  void *data;
  int64_t made_ms, heard_ms, sent_ms, parted_ms, ping_ms, pings;
  uid_t uid;
  bool unix_peer, uid_known;
  bool told;   /* on_msg was called */
  bool paused;
  bool shut;   /* PARTING: uv_shutdown was called */
};

struct link_listener {
  struct list in_server;
  struct link_server *server;
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } h;
  bool unix_peer;
  bool waiting; /* a connection is there, the gate was shut */
};

struct link_server {
  uv_loop_t *loop;
  const struct link_ops *ops;
  void *ctx;
  struct link_tls_ctx *tls;
  uv_timer_t tick, gate;
  uv_check_t check; /* after the poll: flushes the dirty */
  uv_idle_t idle;   /* active while something is dirty: the poll doesn't wait then */
  int own_handles;  /* of the four above, still open */
  struct list listeners, dirty, lists[LINK_STATES];
  int counts[LINK_STATES];
  int links;        /* all that are not freed */
  int64_t ping_ms, greeting_ms;
  int64_t gate_ms, allowance; /* token bucket, in thousandths of a handshake */
  int64_t tick_due_ms;
  struct buf sink;  /* what is appended after close */
  struct quota lines; /* of closes of strangers in the log */
  bool closing, ended;
  void (*done)(void *arg);
  void *done_arg;
};

/* link.c */
struct link *link_new(struct link_server *s, bool unix_peer) must_check; /* its handle is initialised, nothing else */
void link_begin(struct link *l);                                         /* connected: starts to read */
void link_flush(struct link *l);
void link_drop(struct link *l, const char *fmt, ...) printf_like(2, 3);  /* without a word */
/* With `bye` (NULL: without), flush, close; the text is for on_close and the log. */
void link_part(struct link *l, const char *bye, const char *fmt, ...) printf_like(3, 4);

/* link_listen.c */
void link_server_dirty(struct link_server *s, struct link *l);
void link_server_added(struct link_server *s);
void link_server_freed(struct link_server *s); /* a link was */
void link_server_note(struct link_server *s, const struct link *l);      /* the line in the log about a close */
#endif
