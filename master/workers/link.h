/* A connection to a worker: accept, TLS, framing, pings, limits. Knows nothing of what the messages mean.

   Happy path: accept → (TLS handshake, ALPN drover) → messages to on_msg → link_trust after the greeting → … → on_close.
   Failures: no greeting within 10 s, TLS refused, bad framing, silence, too much unsent, too many strangers:
   closed with a reason, on_close once. More than 500 connections a second wait in the kernel (TLS) or are answered `busy` (unix). */
#ifndef MASTER_WORKERS_LINK_H
#define MASTER_WORKERS_LINK_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

#include "common/buf.h"
#include "proto/wire.h"

#define LINK_GREETING_MS 10000
#define LINK_PING_MS 10000
#define LINK_HANDSHAKES_PER_S 500
#define LINK_UNGREETED_MAX 2000   /* connections that have not said hello */
#define LINK_UNSENT_MAX (8u << 20)

struct link;
struct link_server;
struct link_ops {
  void (*on_msg)(struct link *l, struct wire_msg *m);  /* m is valid during the call; pings are not told */
  void (*on_close)(struct link *l, const char *why);   /* once for each link that on_msg was called for; l is freed afterwards */
};

/* The worker-link key: P-256, PEM with key and a self-signed certificate made from it at each start (the pin is of the key, so the certificate may change). */
char *link_key_make(void) must_check;                                       /* PEM of a new key */
enum err link_key_pin(const char *pem, char hex[65]) must_check;            /* SHA-256 of its SubjectPublicKeyInfo */

/* NULL: *why says what is wrong with the key. The process must ignore SIGPIPE (libuv writes without MSG_NOSIGNAL). */
struct link_server *link_server_new(uv_loop_t *loop, const char *key_pem, const struct link_ops *ops, void *ctx, struct buf *why) must_check;
/* "HOST:PORT", "*:PORT", port 0: any. *port: the one it got. */
enum err link_listen_tcp(struct link_server *s, const char *address, int *port, struct buf *why) must_check;
/* Mode 0600 of the socket's file; a stale file is removed, a live one refused. No TLS. */
enum err link_listen_unix(struct link_server *s, const char *path, struct buf *why) must_check;
/* Says `bye stop` on all links, closes; done from the loop. on_close is called for each. */
void link_server_close(struct link_server *s, void (*done)(void *arg), void *arg);
void link_server_set_ping(struct link_server *s, int64_t ms);               /* tests; for links made later */
void link_server_set_greeting(struct link_server *s, int64_t ms);           /* tests */
void *link_server_ctx(const struct link_server *s);

struct link_server *link_server_of(const struct link *l);
/* A connection that the master has made itself, to a worker whose name it knows: fd is a stream socket, taken over. */
void link_dialled_new(struct link_server *s, int fd, const char *worker, const char *peer);
const char *link_dialled(const struct link *l);   /* that name; NULL: the worker has dialled */
/* What is appended goes out at the end of this loop turn. After close it is dropped. */
struct buf *link_out(struct link *l);
void link_trust(struct link *l);                  /* greeting accepted: limits of the reader lifted, deadline off, pings on */
void link_close(struct link *l, const char *reason); /* a token: `bye reason`, flush for at most 1 s, close; on_close later from the loop, never from within */
void link_set_data(struct link *l, void *data);
void *link_data(const struct link *l);
const char *link_peer(const struct link *l);      /* "192.0.2.7:5123" or "unix" */
bool link_peer_uid(const struct link *l, uid_t *uid); /* unix: from SO_PEERCRED */
size_t link_unsent(const struct link *l);
int64_t link_heard_ms(const struct link *l);      /* ago; 0 while it is paused: we don't listen, so it isn't silent */
void link_ping(struct link *l);                   /* now, whatever was sent */
/* Stop reading (the database is slow). What was read before, at most 64 KiB, is still told; silence doesn't count meanwhile, the greeting's deadline does. */
void link_pause(struct link *l, bool on);
/* For status: links that can carry messages, greeted or not. */
int link_count(const struct link_server *s);
#endif
