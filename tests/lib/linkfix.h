/* The worker link over real sockets, for suites: a server on this thread's loop, clients with OpenSSL's blocking calls on another thread. */
#ifndef TESTS_LIB_LINKFIX_H
#define TESTS_LIB_LINKFIX_H
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/workers/link.h"

/* cmocka's own jump out of the test, which can't be done from the client's thread. */
#define must(c) ((c) ? (void)0 : die(__LINE__, #c))
#define must_eq(a, b) same_number(__LINE__, #a, (long long)(a), (long long)(b))
#define must_str(a, b) same_text(__LINE__, a, b)

#define HELLO "hello 1 w1 00000000000000000000000000000000 00000000000000000000000000000000 1 0-0 - +0\n\n"
#define WELCOME "welcome 1 1 "

enum { DEADLINE_S = 60, WAIT_MS = 20000 };

/* What a `listed <n>` of the client asks of the server. */
enum { DO_CLOSE = 1, DO_FLOOD_CLOSE, DO_TOO_MUCH, DO_PAUSE, DO_SERVER_CLOSE, DO_NOTHING, DO_STALL };

enum { FLOOD = 7 << 20 };

static inline void die(int line, const char *what)
{
  fprintf(stderr, "line %d: %s\n", line, what);
  ERR_print_errors_fp(stderr);
  abort();
}

static inline void same_number(int line, const char *what, long long a, long long b)
{
  if (a == b)
    return;
  fprintf(stderr, "%lld instead of %lld\n", a, b);
  die(line, what);
}

static inline void same_text(int line, const char *a, const char *b)
{
  if (strcmp(a, b))
    fprintf(stderr, "\"%s\" instead of \"%s\"\n", a, b), die(line, "text");
}

/* ---- the server's side ---- */

struct env {
  uv_loop_t loop;
  uv_async_t client_done;
  uv_timer_t deadline, resume;
  struct link_server *s;
  struct link *paused;
  char *key, dir[32], path[64];
  int port;
  bool closed, closing;
  atomic_int told, closes;
  char why[200];
  pthread_mutex_t lock; /* of why */
  void (*client)(struct env *e);
};

static inline void on_server_closed(void *arg)
{
  struct env *e = arg;
  e->closed = true;
  uv_close((uv_handle_t *)&e->client_done, NULL);
  uv_close((uv_handle_t *)&e->deadline, NULL);
  uv_close((uv_handle_t *)&e->resume, NULL);
}

static inline void close_server(struct env *e)
{
  if (!e->closing)
    link_server_close(e->s, on_server_closed, e);
  e->closing = true;
}

static inline void on_resume(uv_timer_t *t)
{
  struct env *e = t->data;
  must_eq(atomic_load(&e->told), 2); /* hello and listed: nothing while paused */
  link_pause(e->paused, false);
}

static inline void act(struct env *e, struct link *l, int64_t what)
{
  char *mib = xcalloc(1, 1 << 20);

  switch (what) {
  case DO_CLOSE:
    link_close(l, "replaced");
    wire_put(link_out(l), VERB_inventory, "");
    link_close(l, "stop");
    break;
  case DO_FLOOD_CLOSE:
  case DO_TOO_MUCH:
    for (int i = 0; i < (what == DO_TOO_MUCH ? 9 : 7); i++)
      wire_put_blob(link_out(l), VERB_run, mib, 1 << 20, "ssss", "1-1", "1", "1-1", "1");
    if (what == DO_FLOOD_CLOSE)
      link_close(l, "stop");
    break;
  case DO_PAUSE:
    e->paused = l;
    link_pause(l, true);
    uv_timer_start(&e->resume, on_resume, 700, 0);
    break;
  case DO_STALL:
    usleep(2000000);
    break;
  case DO_SERVER_CLOSE:
    close_server(e);
    break;
  }
  free(mib);
}

static inline void on_msg(struct link *l, struct wire_msg *m)
{
  struct env *e = link_server_ctx(link_server_of(l));
  uid_t uid;

  atomic_fetch_add(&e->told, 1);
  must(m->verb != VERB_ping && m->verb != VERB_pong);
  must(!link_data(l) || link_data(l) == e);
  must(link_heard_ms(l) >= 0 && link_heard_ms(l) < WAIT_MS && link_count(e->s) > 0);
  if (link_peer_uid(l, &uid)) {
    must_str(link_peer(l), "unix");
    must_eq(uid, getuid());
  } else {
    must(str_starts(link_peer(l), "127.0.0.1:"));
  }
  if (m->verb == VERB_hello) {
    link_set_data(l, e);
    wire_put(link_out(l), VERB_welcome, "sssssss", "1", "1", "c", "1", "10000", "1800000", "-");
    link_trust(l);
  } else if (m->verb == VERB_done) {
    wire_put_blob(link_out(l), VERB_run, m->blob, m->blob_len, "ssss", "1-1", "1", "1-1", "1");
  } else if (m->verb == VERB_listed) {
    act(e, l, wire_num(m, 0));
  }
}

static inline void on_close(struct link *l, const char *why)
{
  struct env *e = link_server_ctx(link_server_of(l));

  pthread_mutex_lock(&e->lock);
  snprintf(e->why, sizeof e->why, "%s", why);
  pthread_mutex_unlock(&e->lock);
  atomic_fetch_add(&e->closes, 1);
  wire_put(link_out(l), VERB_inventory, ""); /* dropped */
}

static const struct link_ops ops = { on_msg, on_close };

static inline void quiet(enum log_level level, const char *line)
{
  (void)level, (void)line;
}

static inline void on_client_done(uv_async_t *h) { close_server(h->data); }

static inline void on_deadline(uv_timer_t *t)
{
  (void)t;
  die(__LINE__, "the test took too long");
}

static inline void *client_thread(void *arg)
{
  struct env *e = arg;
  e->client(e);
  OPENSSL_thread_stop();
  uv_async_send(&e->client_done);
  return NULL;
}

static inline void env_open(struct env *e)
{
  struct buf why;

  memset(e, 0, sizeof *e);
  signal(SIGPIPE, SIG_IGN);
  log_set_sink(quiet);
  buf_init(&why, 1000);
  pthread_mutex_init(&e->lock, NULL);
  uv_loop_init(&e->loop);
  uv_async_init(&e->loop, &e->client_done, on_client_done);
  uv_timer_init(&e->loop, &e->deadline);
  uv_timer_init(&e->loop, &e->resume);
  e->client_done.data = e->resume.data = e;
  uv_timer_start(&e->deadline, on_deadline, DEADLINE_S * 1000, 0);
  e->key = link_key_make();
  e->s = link_server_new(&e->loop, e->key, &ops, e, &why);
  must(e->s);
  must_eq(link_listen_tcp(e->s, "127.0.0.1:0", &e->port, &why), ERR_OK);
  must(e->port > 0);
  strcpy(e->dir, "/tmp/test_link.XXXXXX");
  must(mkdtemp(e->dir));
  snprintf(e->path, sizeof e->path, "%s/s", e->dir);
  must_eq(link_listen_unix(e->s, e->path, &why), ERR_OK);
  buf_free(&why);
}

/* Runs the client, then closes the server: no handle may be left, and on_close has come for all. */
static inline void env_run(struct env *e, void (*client)(struct env *e))
{
  pthread_t thread;

  e->client = client;
  must_eq(pthread_create(&thread, NULL, client_thread, e), 0);
  uv_run(&e->loop, UV_RUN_DEFAULT);
  pthread_join(thread, NULL);
  uv_run(&e->loop, UV_RUN_DEFAULT);
  must(e->closed);
  must_eq(uv_loop_close(&e->loop), 0);
  must_eq(access(e->path, F_OK), -1);
  rmdir(e->dir);
  free(e->key);
}

/* ---- the client's side ---- */

struct cli {
  int fd;
  SSL_CTX *ctx;
  SSL *ssl;
};

struct cli_how {
  int version;              /* 0: any */
  const char *cipher;       /* TLS 1.2 */
  const char *alpn, *groups;
};

static const struct cli_how tls13 = { TLS1_3_VERSION, NULL, "\6drover", NULL };
static const struct cli_how tls12 = { TLS1_2_VERSION, NULL, "\6drover", NULL };

static inline void limit_time(int fd)
{
  struct timeval tv = { WAIT_MS / 1000, 0 };
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

static inline int cli_tcp(const struct env *e)
{
  struct sockaddr_in a = { .sin_family = AF_INET,
                           .sin_port = htons((uint16_t)e->port),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  int fd = socket(AF_INET, SOCK_STREAM, 0);

  must(fd >= 0);
  limit_time(fd);
  must_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  return fd;
}

static inline int cli_unix_fd(const struct env *e)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);

  limit_time(fd);
  strcpy(a.sun_path, e->path);
  must_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  return fd;
}

static inline struct cli cli_unix(const struct env *e) { return (struct cli){ .fd = cli_unix_fd(e) }; }

static inline SSL_CTX *cli_ctx(const struct cli_how *how)
{
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

  if (how->version) {
    SSL_CTX_set_min_proto_version(ctx, how->version);
    SSL_CTX_set_max_proto_version(ctx, how->version);
  }
  if (how->cipher)
    SSL_CTX_set_cipher_list(ctx, how->cipher);
  if (how->alpn)
    SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)how->alpn, (unsigned)strlen(how->alpn));
  if (how->groups)
    SSL_CTX_set1_groups_list(ctx, how->groups);
  return ctx;
}

static inline bool cli_tls(const struct env *e, const struct cli_how *how, struct cli *c)
{
  c->fd = cli_tcp(e);
  c->ctx = cli_ctx(how);
  c->ssl = SSL_new(c->ctx);
  SSL_set_fd(c->ssl, c->fd);
  return SSL_connect(c->ssl) == 1;
}

static inline void cli_free(struct cli *c)
{
  SSL_free(c->ssl);
  SSL_CTX_free(c->ctx);
  ERR_clear_error();
  close(c->fd);
}

static inline int cli_read(struct cli *c, void *p, int n)
{
  return c->ssl ? SSL_read(c->ssl, p, n) : (int)read(c->fd, p, (size_t)n);
}

static inline bool cli_write(struct cli *c, const void *p, size_t n)
{
  const char *s = p;
  while (n) {
    int some = n < (1 << 20) ? (int)n : 1 << 20;
    int w = c->ssl ? SSL_write(c->ssl, s, some) : (int)write(c->fd, s, (size_t)some);
    if (w <= 0)
      return false;
    s += w;
    n -= (size_t)w;
  }
  return true;
}

static inline bool cli_puts(struct cli *c, const char *s) { return cli_write(c, s, strlen(s)); }

/* One line without its LF; false: end. */
static inline bool cli_line(struct cli *c, char *line, size_t size)
{
  size_t n = 0;
  while (n + 1 < size) {
    if (cli_read(c, line + n, 1) != 1)
      return false;
    if (line[n] == '\n') {
      line[n] = 0;
      return true;
    }
    n++;
  }
  return false;
}

static inline void cli_expect(struct cli *c, const char *start)
{
  char line[4096];
  must(cli_line(c, line, sizeof line));
  line[strlen(start)] = 0;
  must_str(line, start);
}

static inline void cli_expect_end(struct cli *c)
{
  char line[4096];
  if (cli_line(c, line, sizeof line))
    die(__LINE__, line);
}

static inline void cli_exact(struct cli *c, char *p, int n)
{
  while (n) {
    int r = cli_read(c, p, n);
    must(r > 0);
    p += r;
    n -= r;
  }
}

static inline void cli_greet(struct cli *c)
{
  must(cli_puts(c, HELLO));
  cli_expect(c, WELCOME);
}

static inline void wait_for(atomic_int *n, int want)
{
  for (int i = 0; i < WAIT_MS && atomic_load(n) < want; i++)
    usleep(1000);
  must_eq(atomic_load(n), want);
}

static inline void expect_why(struct env *e, int closes, const char *why)
{
  wait_for(&e->closes, closes);
  pthread_mutex_lock(&e->lock);
  must_str(e->why, why);
  pthread_mutex_unlock(&e->lock);
}

static inline long rss_kib(void)
{
  long pages = 0, rss = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  must(f);
  must_eq(fscanf(f, "%ld %ld", &pages, &rss), 2);
  fclose(f);
  return rss * (sysconf(_SC_PAGESIZE) / 1024);
}
#endif
