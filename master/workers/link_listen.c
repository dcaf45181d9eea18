/* The link's server: listeners, the gate for new connections, the clock of all links, and the end.

   Happy path: listen → gate → accept → link_begin(); every 250 ms: deadlines, pings; at the end of each turn: flush what is dirty.
   Failures: address or path can't be had (told by *why), more than 500 connections a second, too many strangers, no descriptors left (logged). */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/workers/link_int.h"

enum {
  BACKLOG = 4096,       /* connections that wait in the kernel while the gate is shut */
  BURST = 50,           /* handshakes that may come at once: 15 ms of the loop's time */
  GATE_MS = 10,         /* how long the gate stays shut at least */
  BUSY_MS = 1000,       /* what a worker on the unix socket is told to wait */
  REST_MS = 1000,       /* quiet so long: the reader gives its memory back */
  LATE_MS = 1000,       /* a tick later than this: it was us who slept */
  HOST_MAX = 256
};

/* ---- the end of a turn ---- */

static void on_idle(uv_idle_t *h) { (void)h; }

void link_server_dirty(struct link_server *s, struct link *l)
{
  if (!list_empty(&l->in_dirty))
    return;
  list_push(&s->dirty, &l->in_dirty);
  uv_idle_start(&s->idle, on_idle);
}

static void on_check(uv_check_t *h)
{
  struct link_server *s = h->data;

  while (!list_empty(&s->dirty)) {
    struct link *l = list_of(s->dirty.next, struct link, in_dirty);
    list_remove(&l->in_dirty);
    link_flush(l);
  }
  uv_idle_stop(&s->idle);
}

/* ---- the clock ---- */

/* What strangers cause: a port scan or an attack must not fill the log. */
static bool may_tell(struct link_server *s)
{
  int missed;
  bool pass = quota_take(&s->lines, clock_mono_ms(), &missed);

  if (missed)
    log_info("link", "closed before the greeting, not listed: %d", missed);
  return pass;
}

void link_server_note(struct link_server *s, const struct link *l)
{
  if (l->told)
    log_info("link", "%s: closed: %s", l->peer, l->why);
  else if (may_tell(s))
    log_info("link", "%s: closed before the greeting: %s", l->peer, l->why);
}

static void tick_young(struct link_server *s, enum link_state state, int64_t now)
{
  list_each(it, &s->lists[state]) {
    struct link *l = list_of(it, struct link, in_state);
    if (now - l->made_ms < s->greeting_ms)
      continue;
    if (state < LINK_GREETING)
      link_drop(l, "no TLS handshake in time");
    else
      link_part(l, "protocol", "no greeting in time");
  }
}

static void tick_up(struct link_server *s, int64_t now)
{
  list_each(it, &s->lists[LINK_UP]) {
    struct link *l = list_of(it, struct link, in_state);
    if (now - l->heard_ms >= REST_MS)
      wire_reader_rest(l->reader);
    if (!l->paused && now - l->heard_ms >= 3 * l->ping_ms) {
      link_part(l, "silence", "silence");
    } else if (now - l->sent_ms >= l->ping_ms) {
      wire_put(link_out(l), VERB_ping, "n", ++l->pings);
      l->sent_ms = now;
    }
  }
}

static void tick_parting(struct link_server *s, int64_t now)
{
  list_each(it, &s->lists[LINK_PARTING]) {
    struct link *l = list_of(it, struct link, in_state);
    if (now - l->parted_ms >= LINK_BYE_MS)
      link_drop(l, "parting");
  }
}

/* The host's clock, without the shift of tests. */
static int64_t turn_ms(void) { return (int64_t)(uv_hrtime() / 1000000); }

/* We were stopped or starved: nobody was silent, we did not listen. */
static void forgive(struct link_server *s, int64_t late)
{
  log_warn("link", "the loop stood still for %lld ms", (long long)late);
  for (int state = 0; state < LINK_PARTING; state++)
    list_each(it, &s->lists[state]) {
      struct link *l = list_of(it, struct link, in_state);
      l->made_ms += late;
      l->heard_ms += late;
    }
}

static int64_t tick_period(const struct link_server *s)
{
  int64_t ms = s->ping_ms < s->greeting_ms ? s->ping_ms / 4 : s->greeting_ms / 4;
  return ms < 1 ? 1 : ms > LINK_TICK_MS ? LINK_TICK_MS : ms;
}

static void on_tick(uv_timer_t *t)
{
  struct link_server *s = t->data;
  int64_t now = clock_mono_ms(), late = turn_ms() - s->tick_due_ms;

  if (late > LATE_MS)
    forgive(s, late);
  tick_young(s, LINK_NEW, now);
  tick_young(s, LINK_SHAKING, now);
  tick_young(s, LINK_GREETING, now);
  tick_up(s, now);
  tick_parting(s, now);
  s->tick_due_ms = turn_ms() + tick_period(s);
  uv_timer_start(t, on_tick, (uint64_t)tick_period(s), 0);
}

/* ---- coming and going of links ---- */

static void on_own_closed(uv_handle_t *h)
{
  struct link_server *s = h->data;

  if (--s->own_handles)
    return;
  link_tls_ctx_free(s->tls);
  buf_free(&s->sink);
  s->done(s->done_arg);
  free(s);
}

static void maybe_end(struct link_server *s)
{
  if (!s->closing || s->ended || s->links || !list_empty(&s->listeners))
    return;
  s->ended = true;
  uv_close((uv_handle_t *)&s->tick, on_own_closed);
  uv_close((uv_handle_t *)&s->gate, on_own_closed);
  uv_close((uv_handle_t *)&s->check, on_own_closed);
  uv_close((uv_handle_t *)&s->idle, on_own_closed);
}

void link_server_added(struct link_server *s)
{
  if (s->links++)
    return;
  s->tick_due_ms = turn_ms() + tick_period(s);
  uv_timer_start(&s->tick, on_tick, (uint64_t)tick_period(s), 0);
}

void link_server_freed(struct link_server *s)
{
  if (--s->links)
    return;
  uv_timer_stop(&s->tick);
  maybe_end(s);
}

/* ---- accepting ---- */

/* A token bucket: LINK_HANDSHAKES_PER_S, at most BURST at once. */
static bool gate_pass(struct link_server *s)
{
  int64_t now = clock_mono_ms(), ms = now - s->gate_ms;

  if (ms > 0) {
    s->gate_ms = now;
    ms = ms < 1000 ? ms : 1000;
    s->allowance += ms * LINK_HANDSHAKES_PER_S;
    if (s->allowance > BURST * 1000)
      s->allowance = BURST * 1000;
  }
  if (s->allowance < 1000)
    return false;
  s->allowance -= 1000;
  return true;
}

/* Too many strangers: the oldest goes. It had at least LINK_UNGREETED_MAX / LINK_HANDSHAKES_PER_S = 4 s, more than an honest
   worker needs, so nobody keeps workers out by holding connections open. */
static void make_way(struct link_server *s)
{
  struct link *oldest = NULL;

  if (s->counts[LINK_NEW] + s->counts[LINK_SHAKING] + s->counts[LINK_GREETING] < LINK_UNGREETED_MAX)
    return;
  for (int state = LINK_NEW; state <= LINK_GREETING; state++) {
    struct link *l = list_of(s->lists[state].next, struct link, in_state);
    if (!list_empty(&s->lists[state]) && (!oldest || l->made_ms < oldest->made_ms))
      oldest = l;
  }
  link_drop(oldest, "too many connections without a greeting");
}

static void accept_one(struct link_listener *ls, bool busy)
{
  struct link_server *s = ls->server;
  struct link *l;
  int e;

  make_way(s);
  l = link_new(s, ls->unix_peer);
  e = uv_accept(&ls->h.stream, &l->h.stream);
  if (e) {
    link_drop(l, "accept: %s", uv_strerror(e));
    return;
  }
  link_begin(l);
  if (busy) {
    wire_put(link_out(l), VERB_busy, "n", (int64_t)BUSY_MS);
    link_part(l, NULL, "too many connections at once");
  }
}

static void on_gate(uv_timer_t *t)
{
  struct link_server *s = t->data;
  bool again = false;

  list_each(it, &s->listeners) {
    struct link_listener *ls = list_of(it, struct link_listener, in_server);
    if (ls->waiting && gate_pass(s)) {
      ls->waiting = false;
      accept_one(ls, false); /* and libuv asks the kernel for more */
    }
    again = again || ls->waiting;
  }
  if (again)
    uv_timer_start(t, on_gate, GATE_MS, 0);
}

/* Over the rate a unix connection is told `busy`. Over TLS that answer would cost the very handshake that is too much, and a
   bare close would make the worker come back, for another accept, with its back-off doubled; so nothing is accepted: the
   connection waits in the kernel's queue, in order, at no cost for either side, and the worker sees a slow handshake.
   4,096 wait so, at most 8 s; behind them TCP itself tries again. */
static void on_connection(uv_stream_t *stream, int status)
{
  struct link_listener *ls = stream->data;
  struct link_server *s = ls->server;
  bool pass;

  if (status < 0) {
    if (may_tell(s))
      log_warn("link", "can't accept: %s", uv_strerror(status));
    return;
  }
  pass = gate_pass(s);
  if (pass || ls->unix_peer) {
    accept_one(ls, !pass);
    return;
  }
  ls->waiting = true;
  if (!uv_is_active((uv_handle_t *)&s->gate))
    uv_timer_start(&s->gate, on_gate, GATE_MS, 0);
}

/* ---- listening ---- */

static void on_listener_closed(uv_handle_t *h)
{
  struct link_listener *ls = h->data;
  struct link_server *s = ls->server;

  list_remove(&ls->in_server);
  free(ls);
  maybe_end(s);
}

static struct link_listener *listener_new(struct link_server *s, bool unix_peer)
{
  struct link_listener *ls = xcalloc(1, sizeof *ls);
  int e = unix_peer ? uv_pipe_init(s->loop, &ls->h.pipe, 0) : uv_tcp_init(s->loop, &ls->h.tcp);

  assert(!e);
  ls->server = s;
  ls->unix_peer = unix_peer;
  ls->h.handle.data = ls;
  list_push(&s->listeners, &ls->in_server);
  return ls;
}

/* "HOST:PORT" → host and port; false: malformed. */
static bool split_address(const char *address, char host[HOST_MAX], int64_t *port)
{
  const char *colon = strrchr(address, ':'), *from = address;
  size_t n;

  if (!colon || str_number(colon + 1, strlen(colon + 1), port) != ERR_OK || *port > 65535)
    return false;
  n = (size_t)(colon - address);
  if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
    from++;
    n -= 2;
  } else if (memchr(from, ':', n)) {
    return false; /* an IPv6 address without brackets */
  }
  if (n < 1 || n >= HOST_MAX)
    return false;
  memcpy(host, from, n);
  host[n] = 0;
  return true;
}

/* A name is looked up at once: it is this host's own, in its hosts file. */
static struct addrinfo *look_up(const char *host, const char **error)
{
  struct addrinfo want = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *found = NULL;
  int e = getaddrinfo(host, NULL, &want, &found);

  *error = e ? gai_strerror(e) : NULL;
  return found;
}

static int listen_at(struct link_listener *ls, const struct sockaddr *a, int *port)
{
  union {
    struct sockaddr_storage any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
  } got;
  int len = sizeof got, e;

  e = uv_tcp_bind(&ls->h.tcp, a, 0);
  if (!e)
    e = uv_listen(&ls->h.stream, BACKLOG, on_connection);
  if (!e)
    e = uv_tcp_getsockname(&ls->h.tcp, (struct sockaddr *)&got.any, &len);
  if (!e)
    *port = ntohs(got.any.ss_family == AF_INET6 ? got.in6.sin6_port : got.in.sin_port);
  return e;
}

static int listen_try(struct link_server *s, const struct sockaddr *a, int *port)
{
  struct link_listener *ls = listener_new(s, false);
  int e = listen_at(ls, a, port);

  if (e)
    uv_close(&ls->h.handle, on_listener_closed);
  return e;
}

enum err link_listen_tcp(struct link_server *s, const char *address, int *port, struct buf *why)
{
  union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
  } a;
  char host[HOST_MAX];
  int64_t want;
  int e;

  assert(!s->closing);
  if (!split_address(address, host, &want)) {
    buf_addf(why, "%s: not HOST:PORT", address);
    return ERR_BADARG;
  }
  if (!strcmp(host, "*")) {
    uv_ip6_addr("::", (int)want, &a.in6);
    e = listen_try(s, &a.any, port);
    if (e && e != UV_EADDRINUSE && e != UV_EACCES) { /* a host without IPv6 */
      uv_ip4_addr("0.0.0.0", (int)want, &a.in);
      e = listen_try(s, &a.any, port);
    }
  } else {
    const char *error;
    struct addrinfo *found = look_up(host, &error);
    if (!found) {
      buf_addf(why, "%s: %s", address, error);
      return ERR_BADARG;
    }
    if (found->ai_family == AF_INET6)
      ((struct sockaddr_in6 *)(void *)found->ai_addr)->sin6_port = htons((uint16_t)want);
    else
      ((struct sockaddr_in *)(void *)found->ai_addr)->sin_port = htons((uint16_t)want);
    e = listen_try(s, found->ai_addr, port);
    freeaddrinfo(found);
  }
  if (e)
    buf_addf(why, "%s: %s", address, uv_strerror(e));
  return !e ? ERR_OK : e == UV_EADDRINUSE ? ERR_BUSY : ERR_FAILED;
}

/* ERR_OK: nobody listens at path and it is free now. */
static enum err clear_path(const char *path, struct buf *why)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  struct stat st;
  int fd, e;

  if (lstat(path, &st)) {
    if (errno == ENOENT)
      return ERR_OK;
    buf_addf(why, "%s: %s", path, strerror(errno));
    return ERR_FAILED;
  }
  if (!S_ISSOCK(st.st_mode)) {
    buf_addf(why, "%s: there is something else than a socket", path);
    return ERR_EXISTS;
  }
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    buf_addf(why, "%s: %s", path, strerror(errno));
    return ERR_FAILED;
  }
  strcpy(a.sun_path, path); /* the caller checked its length */
  e = connect(fd, (struct sockaddr *)&a, sizeof a) ? errno : 0;
  close(fd);
  if (e != ECONNREFUSED) {
    buf_addf(why, "%s: another process listens there", path);
    return ERR_BUSY;
  }
  if (unlink(path) && errno != ENOENT) {
    buf_addf(why, "%s: %s", path, strerror(errno));
    return ERR_FAILED;
  }
  return ERR_OK;
}

enum err link_listen_unix(struct link_server *s, const char *path, struct buf *why)
{
  struct link_listener *ls;
  enum err err;
  int e;

  assert(!s->closing);
  if (!*path || strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
    buf_addf(why, "%s: longer than a socket's path may be", path);
    return ERR_BADARG;
  }
  err = clear_path(path, why);
  if (err != ERR_OK)
    return err;
  ls = listener_new(s, true);
  /* Between bind and listen nobody can connect, so the mode is right before the first one does. */
  e = uv_pipe_bind(&ls->h.pipe, path);
  if (!e && chmod(path, 0600))
    e = uv_translate_sys_error(errno);
  if (!e)
    e = uv_listen(&ls->h.stream, BACKLOG, on_connection);
  if (!e)
    return ERR_OK;
  uv_close(&ls->h.handle, on_listener_closed);
  buf_addf(why, "%s: %s", path, uv_strerror(e));
  return e == UV_EADDRINUSE ? ERR_BUSY : ERR_FAILED;
}

/* ---- the server ---- */

struct link_server *link_server_new(uv_loop_t *loop, const char *key_pem, const struct link_ops *ops,
                                    void *ctx, struct buf *why)
{
  struct link_tls_ctx *tls = link_tls_ctx_new(key_pem, why);
  struct link_server *s;

  if (!tls)
    return NULL;
  s = xcalloc(1, sizeof *s);
  s->loop = loop;
  s->ops = ops;
  s->ctx = ctx;
  s->tls = tls;
  s->ping_ms = LINK_PING_MS;
  s->greeting_ms = LINK_GREETING_MS;
  s->gate_ms = clock_mono_ms();
  s->allowance = BURST * 1000;
  buf_init(&s->sink, LINK_UNSENT_MAX);
  list_init(&s->listeners);
  list_init(&s->dirty);
  for (int i = 0; i < LINK_STATES; i++)
    list_init(&s->lists[i]);
  uv_timer_init(loop, &s->tick);
  uv_timer_init(loop, &s->gate);
  uv_check_init(loop, &s->check);
  uv_idle_init(loop, &s->idle);
  s->own_handles = 4;
  s->tick.data = s->gate.data = s->check.data = s->idle.data = s;
  uv_check_start(&s->check, on_check);
  uv_unref((uv_handle_t *)&s->check);
  return s;
}

void link_server_close(struct link_server *s, void (*done)(void *arg), void *arg)
{
  assert(!s->closing);
  s->closing = true;
  s->done = done;
  s->done_arg = arg;
  uv_timer_stop(&s->gate);
  list_each(it, &s->listeners)
    uv_close(&list_of(it, struct link_listener, in_server)->h.handle, on_listener_closed);
  for (int state = 0; state < LINK_PARTING; state++)
    list_each(it, &s->lists[state])
      link_close(list_of(it, struct link, in_state), "stop");
  maybe_end(s);
}

void link_server_set_ping(struct link_server *s, int64_t ms) { s->ping_ms = ms; }
void link_server_set_greeting(struct link_server *s, int64_t ms) { s->greeting_ms = ms; }
void *link_server_ctx(const struct link_server *s) { return s->ctx; }
int link_count(const struct link_server *s)
{
  return s->counts[LINK_GREETING] + s->counts[LINK_UP];
}
