/* The HTTP daemons in our loop: libmicrohttpd's epoll descriptor in a uv_poll, its time-out in a uv_timer, and deadlines of our own on each connection.

   Happy path: http_listen → connections come and go → http_close.
   Failures: a client that is slow with its head or body, silent between requests, or gone while its stream waits: its socket is shut down, libmicrohttpd then sees the end. */
#include "master/api/http_int.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/api/web.h"
#include "master/conf/conf.h"
#include "master/core/master.h"

enum {
  POOL = HTTP_HEAD_MAX + (8 << 10), /* libmicrohttpd's memory for a connection: head, and room for the answer's */
  RUNS_PER_TURN = 8,                /* before others of the loop get their turn */
  SWEEP_MS = 1000,
  CLOSING_SWEEP_MS = 20,
};

static void on_handle_closed(uv_handle_t *handle)
{
  struct http *h = handle->data;

  h->handles--;
  http_maybe_done(h);
}

static void server_free(struct server *s)
{
  list_remove(&s->node);
  free(s);
}

/* The last of: daemons stopped, handles closed, nobody's callback outstanding. */
void http_maybe_done(struct http *h)
{
  if (!h->stopped || h->handles || h->held)
    return;
  list_each(it, &h->servers)
    server_free(list_of(it, struct server, node));
  if (h->web_dir >= 0)
    close(h->web_dir);
  if (h->done)
    h->done(h->done_arg);
  free(h);
}

static void on_timer(uv_timer_t *timer);

/* Connections that can go on are not told by the descriptor again (it is edge-triggered): a time-out of 0 says so. */
static void server_run(struct server *s)
{
  MHD_UNSIGNED_LONG_LONG ms = 0;
  enum MHD_Result timed = MHD_YES;

  for (int i = 0; i < RUNS_PER_TURN && timed == MHD_YES && ms == 0; i++) {
    MHD_run(s->d);
    timed = MHD_get_timeout(s->d, &ms);
  }
  if (timed == MHD_YES)
    uv_timer_start(&s->timer, on_timer, ms, 0);
  else
    uv_timer_stop(&s->timer);
}

static void on_timer(uv_timer_t *timer)
{
  server_run(list_of(timer, struct server, timer));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
  (void)status;
  (void)events;
  server_run(list_of(poll, struct server, poll));
}

void server_soon(struct server *s)
{
  if (s->d)
    uv_timer_start(&s->timer, on_timer, 0, 0);
}

static void on_sweep(uv_timer_t *timer);

static void sweep_start(struct http *h, uint64_t ms)
{
  if (!uv_is_closing((uv_handle_t *)&h->sweep))
    uv_timer_start(&h->sweep, on_sweep, ms, ms);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode what)
{
  struct server *s = cls;
  struct conn *conn = *context;

  if (what == MHD_CONNECTION_NOTIFY_STARTED) {
    conn = xcalloc(1, sizeof *conn);
    conn->s = s;
    conn->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    conn->deadline = clock_mono_ms() + HTTP_HEAD_MS;
    list_push(&s->conns, &conn->node);
    *context = conn;
    if (!uv_is_active((uv_handle_t *)&s->h->sweep))
      sweep_start(s->h, SWEEP_MS);
    return;
  }
  assert(!conn->call);
  list_remove(&conn->node);
  free(conn);
  *context = NULL;
}

static void conn_cut(struct conn *conn, const char *why)
{
  log_debug("api", "connection cut: %s", why);
  conn->deadline = 0;
  if (conn->call)
    call_cut(conn->call);
  shutdown(conn->fd, SHUT_RDWR);
}

void call_abort(struct call *c, const char *why)
{
  conn_cut(c->conn, why);
}

static bool peer_gone(int fd)
{
  struct pollfd p = { fd, POLLRDHUP, 0 };

  return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void conn_sweep(struct conn *conn, int64_t now)
{
  struct call *c = conn->call;

  if (conn->deadline && now > conn->deadline) {
    conn_cut(conn, "too slow");
  } else if (c && c->ops && c->suspended && peer_gone(conn->fd)) {
    conn_cut(conn, "the reader has gone");
  } else if (c && c->ops && c->ops->tick && !c->cut) {
    c->ops->tick(c->stream);
  }
}

/* Calls in progress have to come out of suspension before libmicrohttpd may be stopped. */
static void server_stop(struct server *s)
{
  uv_close((uv_handle_t *)&s->poll, on_handle_closed);
  uv_close((uv_handle_t *)&s->timer, on_handle_closed);
  list_each(it, &s->conns) {
    struct conn *conn = list_of(it, struct conn, node);
    if (conn->call)
      call_cut(conn->call);
  }
  MHD_run(s->d);
  MHD_stop_daemon(s->d);
  s->d = NULL;
}

static void stop_all(struct http *h)
{
  list_each(it, &h->servers)
    server_stop(list_of(it, struct server, node));
  h->stopped = true;
  uv_close((uv_handle_t *)&h->sweep, on_handle_closed);
}

static void on_sweep(uv_timer_t *timer)
{
  struct http *h = timer->data;
  int64_t now = clock_mono_ms();
  int conns = 0, calls = 0;

  list_each(it, &h->servers) {
    struct server *s = list_of(it, struct server, node);
    list_each(at, &s->conns) {
      struct conn *conn = list_of(at, struct conn, node);
      conns++;
      calls += conn->call && !conn->call->cut;
      conn_sweep(conn, now);
    }
  }
  if (h->close_by && (!calls || now > h->close_by))
    stop_all(h);
  else if (!conns && !h->close_by)
    uv_timer_stop(&h->sweep);
}

struct http *http_new(struct master *m)
{
  struct http *h = xcalloc(1, sizeof *h);

  routes_check();
  h->m = m;
  list_init(&h->servers);
  h->web_dir = m->web_dir ? web_dir_open(m->web_dir) : -1;
  if (m->web_dir && h->web_dir < 0)
    log_error("api", "--web-dir %s: %s; the page comes from the program", m->web_dir, strerror(errno));
  uv_timer_init(m->loop, &h->sweep);
  h->sweep.data = h;
  h->handles = 1;
  return h;
}

static void on_log(void *arg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_log(void *arg, const char *fmt, va_list ap)
{
  char line[512];

  (void)arg;
  vsnprintf(line, sizeof line, fmt, ap);
  log_debug("api", "%s", line);
}

/* Targets are taken apart by path.c, from the raw text. */
static size_t keep_escaped(void *cls, struct MHD_Connection *mhd, char *s)
{
  size_t n = 0;

  (void)cls;
  (void)mhd;
  while (s[n])
    n++;
  return n;
}

enum err http_listen(struct http *h, int fd, bool tcp)
{
  struct server *s = xcalloc(1, sizeof *s);
  int epoll;

  s->h = h;
  s->tcp = tcp;
  list_init(&s->conns);
  s->d = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, call_request, s,
                          MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                          MHD_OPTION_LISTEN_SOCKET, fd,
                          MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
                          MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL,
                          MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(HTTP_IDLE_MS / 1000),
                          MHD_OPTION_STRICT_FOR_CLIENT, 1,
                          MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL,
                          MHD_OPTION_URI_LOG_CALLBACK, call_begin, s,
                          MHD_OPTION_NOTIFY_COMPLETED, call_completed, s,
                          MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
                          MHD_OPTION_END);
  if (!s->d) {
    close(fd);
    free(s);
    return ERR_FAILED;
  }
  list_push(&h->servers, &s->node);
  epoll = MHD_get_daemon_info(s->d, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  uv_poll_init(h->m->loop, &s->poll, epoll);
  uv_timer_init(h->m->loop, &s->timer);
  s->poll.data = s->timer.data = h;
  h->handles += 2;
  uv_poll_start(&s->poll, UV_READABLE, on_poll);
  server_soon(s);
  return ERR_OK;
}

void http_close(struct http *h, void (*done)(void *arg), void *arg)
{
  h->done = done;
  h->done_arg = arg;
  h->close_by = clock_mono_ms() + HTTP_CLOSE_MS;
  list_each(it, &h->servers) {
    struct server *s = list_of(it, struct server, node);
    int fd = MHD_quiesce_daemon(s->d);
    if (fd >= 0)
      close(fd);
    list_each(at, &s->conns) {
      struct conn *conn = list_of(at, struct conn, node);
      if (conn->call && conn->call->ops)
        conn_cut(conn, "the master stops");
    }
  }
  sweep_start(h, CLOSING_SWEEP_MS);
}
