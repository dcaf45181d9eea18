/* One connection to a worker: reading, writing, closing. The server around it is in link_listen.c.

   Happy path: bytes into the one receive buffer → TLS → wire reader → on_msg; link_out → sealed and written at the end of the turn.
   Failures: TLS or framing wrong, end of file, write errors, too much unsent: parted or dropped with a reason, on_close once,
   from the handle's close callback.

   Rules that keep it simple: only link_flush() seals plain bytes, and it runs from the end of the turn or from a write's
   callback, never under on_msg; so the shared buffer of sealed bytes has one user at a time. Nothing is freed but in on_closed(). */
#include "master/workers/link.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/workers/link_int.h"

enum { RECEIVE_SIZE = 65536 };

static const struct sm_row link_rows[LINK_STATES] = {
  [LINK_NEW] = { "new", SM_TO(LINK_SHAKING) | SM_TO(LINK_PARTING) | SM_TO(LINK_GONE) },
  [LINK_SHAKING] = { "handshake", SM_TO(LINK_GREETING) | SM_TO(LINK_PARTING) | SM_TO(LINK_GONE) },
  [LINK_GREETING] = { "greeting", SM_TO(LINK_UP) | SM_TO(LINK_PARTING) | SM_TO(LINK_GONE) },
  [LINK_UP] = { "up", SM_TO(LINK_PARTING) | SM_TO(LINK_GONE) },
  [LINK_PARTING] = { "parting", SM_TO(LINK_GONE) },
  [LINK_GONE] = { "gone", 0 },
};

struct link_write {
  uv_write_t req;
  struct link *link;
  char data[];
};

/* The loop has one thread and read callbacks don't nest: all links share both. */
static char received[RECEIVE_SIZE];
static char plain[LINK_TLS_PLAIN_MAX];

static void link_enter(struct link *l, enum link_state state)
{
  struct link_server *s = l->server;

  list_remove(&l->in_state);
  s->counts[l->sm.state]--;
  sm_move(&l->sm, (int)state);
  s->counts[state]++;
  list_push(&s->lists[state], &l->in_state);
}

/* ---- closing ---- */

static void on_closed(uv_handle_t *h)
{
  struct link *l = h->data;
  struct link_server *s = l->server;

  if (l->told)
    s->ops->on_close(l, l->why);
  list_remove(&l->in_state);
  list_remove(&l->in_dirty);
  s->counts[l->sm.state]--;
  link_tls_free(l->tls);
  wire_reader_free(l->reader);
  buf_free(&l->out);
  buf_free(&l->queue);
  free(l->peer);
  free(l->dialled);
  free(l->why);
  free(l);
  link_server_freed(s);
}

static void set_why(struct link *l, const char *fmt, va_list ap)
{
  if (l->why)
    return;
  l->why = xvasprintf(fmt, ap);
  link_server_note(l->server, l);
}

void link_drop(struct link *l, const char *fmt, ...)
{
  va_list ap;

  if (l->sm.state == LINK_GONE)
    return;
  va_start(ap, fmt);
  set_why(l, fmt, ap);
  va_end(ap);
  link_enter(l, LINK_GONE);
  uv_close(&l->h.handle, on_closed);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b);

/* After bye we read on, and drop what comes, until the other side ends too: closing with bytes unread would send a reset,
   and that can overtake the bye. */
void link_part(struct link *l, const char *bye, const char *fmt, ...)
{
  va_list ap;

  if (l->sm.state >= LINK_PARTING)
    return;
  va_start(ap, fmt);
  set_why(l, fmt, ap);
  va_end(ap);
  if (bye && l->sm.state >= LINK_GREETING)
    wire_put(&l->out, VERB_bye, "s", bye);
  link_enter(l, LINK_PARTING);
  l->parted_ms = clock_mono_ms();
  if (l->paused && uv_read_start(&l->h.stream, on_alloc, on_read))
    link_drop(l, "can't be read");
  else
    link_server_dirty(l->server, l);
}

/* ---- writing ---- */

static bool write_later(struct link *l, const char *p, size_t n);

static void on_written(uv_write_t *req, int status)
{
  struct link_write *w = (struct link_write *)req;
  struct link *l = w->link;

  free(w);
  l->flight = 0;
  if (l->sm.state == LINK_GONE)
    return;
  if (status < 0) {
    link_drop(l, "write: %s", uv_strerror(status));
    return;
  }
  if (l->queue.len) {
    bool ok = write_later(l, l->queue.data, l->queue.len);
    buf_free(&l->queue);
    if (!ok)
      return;
  }
  link_flush(l);
}

static bool write_later(struct link *l, const char *p, size_t n)
{
  struct link_write *w = xmalloc(sizeof *w + n);
  uv_buf_t b = uv_buf_init(w->data, (unsigned)n);
  int e;

  assert(!l->flight);
  w->link = l;
  memcpy(w->data, p, n);
  e = uv_write(&w->req, &l->h.stream, &b, 1, on_written);
  if (e) {
    free(w);
    link_drop(l, "write: %s", uv_strerror(e));
    return false;
  }
  l->flight = n;
  return true;
}

/* Bytes as they go over the socket; what the kernel doesn't take now is copied. False: dropped. */
static bool write_now(struct link *l, const char *p, size_t n)
{
  if (!n)
    return true;
  if (l->flight) {
    buf_add(&l->queue, p, n);
    if (l->queue.failed)
      link_drop(l, "too much unsent");
    return !l->queue.failed;
  }
  for (;;) {
    uv_buf_t b = uv_buf_init((char *)p, (unsigned)n);
    int w = uv_try_write(&l->h.stream, &b, 1);
    if (w < 0 && w != UV_EAGAIN) {
      link_drop(l, "write: %s", uv_strerror(w));
      return false;
    }
    if (w < 0)
      return write_later(l, p, n);
    p += w;
    n -= (size_t)w;
    if (!n)
      return true;
  }
}

static bool write_sealed(struct link *l)
{
  struct buf *sealed = link_tls_sealed(l->server->tls);
  bool ok = write_now(l, sealed->data, sealed->len);

  buf_reset(sealed);
  return ok;
}

static bool write_plain(struct link *l, const char *p, size_t n)
{
  if (!l->tls)
    return write_now(l, p, n);
  if (link_tls_write(l->tls, p, n) != ERR_OK) {
    buf_reset(link_tls_sealed(l->server->tls));
    link_drop(l, "TLS: %s", link_tls_why(l->server->tls));
    return false;
  }
  return write_sealed(l);
}

static void on_shut(uv_shutdown_t *req, int status)
{
  (void)status; /* the other side's end, or the deadline, comes anyway */
  free(req);
}

/* PARTING, and all is with the kernel or in flight: say that nothing follows. */
static void shut(struct link *l)
{
  uv_shutdown_t *req;

  l->shut = true;
  if (l->tls) {
    link_tls_bye(l->tls);
    link_tls_free(l->tls);
    l->tls = NULL;
    if (!write_sealed(l))
      return;
  }
  req = xmalloc(sizeof *req);
  if (uv_shutdown(req, &l->h.stream, on_shut)) {
    free(req);
    link_drop(l, "the other side is away");
  }
}

static bool too_much(const struct link *l)
{
  size_t max = l->sm.state < LINK_UP ? LINK_YOUNG_UNSENT_MAX : LINK_UNSENT_MAX;
  return l->out.failed || link_unsent(l) > max;
}

void link_flush(struct link *l)
{
  if (l->sm.state == LINK_GONE || l->shut)
    return;
  while (!l->flight && l->out_at < l->out.len) {
    size_t n = l->out.len - l->out_at;
    n = n < LINK_SLICE ? n : LINK_SLICE;
    if (!write_plain(l, l->out.data + l->out_at, n))
      return;
    l->out_at += n;
    l->sent_ms = clock_mono_ms();
  }
  if (too_much(l)) {
    link_drop(l, "too much unsent");
  } else if (l->flight) {
    /* What is sealed must not count against the buffer's maximum. */
    if (l->out_at > l->out.len / 2) {
      buf_drop(&l->out, l->out_at);
      l->out_at = 0;
    }
  } else {
    buf_free(&l->out); /* an idle link holds nothing */
    l->out_at = 0;
    if (l->sm.state == LINK_PARTING)
      shut(l);
  }
}

/* ---- reading ---- */

static void refuse_unknown(struct link *l)
{
  const char *verb = wire_reader_word(l->reader);
  wire_put_blob(link_out(l), VERB_error, verb, strlen(verb), "ss", "unknown", "-");
}

static void handle(struct link *l, struct wire_msg *m)
{
  if (m->verb == VERB_ping || m->verb == VERB_pong) {
    int64_t n = wire_num(m, 0);
    if (m->bad)
      link_part(l, "protocol", "protocol: a %s without a number", wire_verbs[m->verb].name);
    else if (m->verb == VERB_ping)
      wire_put(link_out(l), VERB_pong, "n", n);
    return;
  }
  l->told = true;
  l->server->ops->on_msg(l, m);
}

static void deliver(struct link *l, const char *p, size_t n)
{
  struct wire_msg m;

  if (!l->reader)
    l->reader = wire_reader_new(WIRE_WORKER);
  wire_feed(l->reader, p, n);
  while (l->sm.state < LINK_PARTING) {
    enum err e = wire_next(l->reader, &m);
    if (e == ERR_AGAIN)
      return;
    if (e == ERR_OK)
      handle(l, &m);
    else if (e == ERR_UNKNOWN)
      refuse_unknown(l);
    else
      link_part(l, "protocol", "protocol: %s", wire_reader_word(l->reader));
  }
}

/* OpenSSL's memory is taken from now on: the oldest handshake gives way when there are too many. At 500 a second it had
   one second. */
static void shake(struct link *l)
{
  struct list *all = &l->server->lists[LINK_SHAKING];

  link_enter(l, LINK_SHAKING);
  if (l->server->counts[LINK_SHAKING] > LINK_SHAKING_MAX)
    link_drop(list_of(all->next, struct link, in_state), "too many handshakes at once");
}

/* The alert, if there is one, should arrive: the worker's log then names the reason. */
static void fail_tls(struct link *l)
{
  struct link_server *s = l->server;

  if (!link_tls_sealed(s->tls)->len) {
    link_drop(l, "TLS: %s", link_tls_why(s->tls));
    return;
  }
  link_part(l, NULL, "TLS: %s", link_tls_why(s->tls));
  buf_free(&l->out); /* can't be sealed any more */
  l->out_at = 0;
  link_tls_free(l->tls);
  l->tls = NULL;
}

static void receive_tls(struct link *l, const char *p, size_t n)
{
  link_tls_feed(l->tls, p, n);
  while (l->sm.state < LINK_PARTING) {
    size_t got = 0;
    enum err e = link_tls_read(l->tls, plain, sizeof plain, &got);

    if (l->sm.state == LINK_NEW && link_tls_started(l->tls))
      shake(l);
    if (l->sm.state == LINK_SHAKING && link_tls_ready(l->tls))
      link_enter(l, LINK_GREETING);
    if (e == ERR_OK) {
      deliver(l, plain, got);
    } else if (e == ERR_AWAY) {
      link_drop(l, "closed by the worker");
    } else if (e == ERR_FAILED) {
      fail_tls(l);
    } else {
      break;
    }
  }
  if (l->sm.state == LINK_GONE)
    buf_reset(link_tls_sealed(l->server->tls));
  else
    (void)write_sealed(l); /* the handshake's part, an answer to a key update, or an alert */
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
  (void)h, (void)suggested;
  *b = uv_buf_init(received, sizeof received);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
  struct link *l = stream->data;

  if (n == 0)
    return;
  if (n == UV_EOF) {
    link_drop(l, "closed by the worker");
  } else if (n < 0) {
    link_drop(l, "read: %s", uv_strerror((int)n));
  } else if (l->sm.state < LINK_PARTING) {
    l->heard_ms = clock_mono_ms();
    if (l->tls)
      receive_tls(l, b->base, (size_t)n);
    else
      deliver(l, b->base, (size_t)n);
  } else {
    l->drained += (size_t)n;
    if (l->drained > LINK_DRAIN_MAX)
      link_drop(l, "it goes on sending");
  }
}

/* ---- making ---- */

struct link *link_new(struct link_server *s, bool unix_peer)
{
  struct link *l = xcalloc(1, sizeof *l);
  int e = unix_peer ? uv_pipe_init(s->loop, &l->h.pipe, 0) : uv_tcp_init(s->loop, &l->h.tcp);

  assert(!e);
  l->server = s;
  l->h.handle.data = l;
  l->unix_peer = unix_peer;
  if (!unix_peer)
    l->tls = link_tls_new(s->tls);
  buf_init(&l->out, LINK_UNSENT_MAX);
  buf_init(&l->queue, LINK_UNSENT_MAX);
  l->ping_ms = s->ping_ms;
  l->made_ms = l->heard_ms = l->sent_ms = clock_mono_ms();
  l->peer = xstrdup(unix_peer ? "unix" : "?");
  sm_init(&l->sm, "link", link_rows, LINK_STATES, unix_peer ? LINK_GREETING : LINK_NEW);
  s->counts[l->sm.state]++;
  list_push(&s->lists[l->sm.state], &l->in_state);
  list_init(&l->in_dirty);
  link_server_added(s);
  return l;
}

static void name_peer(struct link *l)
{
  union {
    struct sockaddr_storage any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
  } a;
  int len = sizeof a;
  char host[INET6_ADDRSTRLEN];

  if (uv_tcp_getpeername(&l->h.tcp, (struct sockaddr *)&a.any, &len))
    return; /* it is gone already; reading will tell */
  free(l->peer);
  if (a.any.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr)) {
    inet_ntop(AF_INET, a.in6.sin6_addr.s6_addr + 12, host, sizeof host);
    l->peer = xasprintf("%s:%d", host, ntohs(a.in6.sin6_port));
  } else if (a.any.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof host);
    l->peer = xasprintf("[%s]:%d", host, ntohs(a.in6.sin6_port));
  } else {
    inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof host);
    l->peer = xasprintf("%s:%d", host, ntohs(a.in.sin_port));
  }
}

static void learn_uid(struct link *l)
{
  struct ucred cred;
  socklen_t len = sizeof cred;
  uv_os_fd_t fd;

  if (!uv_fileno(&l->h.handle, &fd) && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
    l->uid = cred.uid;
    l->uid_known = true;
  }
}

void link_begin(struct link *l)
{
  int e;

  if (l->unix_peer && !l->dialled) {
    learn_uid(l);
  } else if (!l->unix_peer) {
    name_peer(l);
    uv_tcp_nodelay(&l->h.tcp, 1);
  }
  e = uv_read_start(&l->h.stream, on_alloc, on_read);
  if (e)
    link_drop(l, "read: %s", uv_strerror(e));
}

void link_dialled_new(struct link_server *s, int fd, const char *worker, const char *peer)
{
  struct link *l = link_new(s, true);
  int e = uv_pipe_open(&l->h.pipe, fd);

  free(l->peer);
  l->peer = xstrdup(peer);
  l->dialled = xstrdup(worker);
  if (!e) {
    link_begin(l);
    return;
  }
  close(fd);
  link_drop(l, "%s", uv_strerror(e));
}

/* ---- the calls of others ---- */

const char *link_dialled(const struct link *l) { return l->dialled; }

struct link_server *link_server_of(const struct link *l) { return l->server; }
void link_set_data(struct link *l, void *data) { l->data = data; }
void *link_data(const struct link *l) { return l->data; }
const char *link_peer(const struct link *l) { return l->peer; }
int64_t link_heard_ms(const struct link *l) { return l->paused ? 0 : clock_mono_ms() - l->heard_ms; }

void link_ping(struct link *l)
{
  wire_put(link_out(l), VERB_ping, "n", ++l->pings);
  l->sent_ms = clock_mono_ms();
}
size_t link_unsent(const struct link *l)
{
  return l->out.len - l->out_at + l->queue.len + l->flight;
}

bool link_peer_uid(const struct link *l, uid_t *uid)
{
  if (l->uid_known)
    *uid = l->uid;
  return l->uid_known;
}

struct buf *link_out(struct link *l)
{
  struct link_server *s = l->server;

  if (l->sm.state >= LINK_PARTING) {
    buf_reset(&s->sink);
    return &s->sink;
  }
  link_server_dirty(s, l);
  return &l->out;
}

void link_trust(struct link *l)
{
  if (l->sm.state >= LINK_PARTING)
    return;
  wire_reader_trust(l->reader);
  l->heard_ms = clock_mono_ms();
  link_enter(l, LINK_UP);
}

void link_close(struct link *l, const char *reason)
{
  assert(wire_is_token(reason, strlen(reason)));
  if (l->sm.state < LINK_GREETING)
    link_drop(l, "%s", reason); /* it could not read a bye */
  else
    link_part(l, reason, "%s", reason);
}

void link_pause(struct link *l, bool on)
{
  if (l->sm.state >= LINK_PARTING || l->paused == on)
    return;
  l->paused = on;
  l->heard_ms = clock_mono_ms(); /* silence while we don't listen is not the worker's */
  if (on)
    uv_read_stop(&l->h.stream);
  else if (uv_read_start(&l->h.stream, on_alloc, on_read))
    link_drop(l, "can't be read");
}
