/* The worker link over real sockets: a server on this thread's loop, clients with OpenSSL's blocking calls on another thread. */
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static void die(int line, const char *what)
{
  fprintf(stderr, "test_link.c:%d: %s\n", line, what);
  ERR_print_errors_fp(stderr);
  abort();
}

static void same_number(int line, const char *what, long long a, long long b)
{
  if (a == b)
    return;
  fprintf(stderr, "%lld instead of %lld\n", a, b);
  die(line, what);
}

static void same_text(int line, const char *a, const char *b)
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

static void on_server_closed(void *arg)
{
  struct env *e = arg;
  e->closed = true;
  uv_close((uv_handle_t *)&e->client_done, NULL);
  uv_close((uv_handle_t *)&e->deadline, NULL);
  uv_close((uv_handle_t *)&e->resume, NULL);
}

static void close_server(struct env *e)
{
  if (!e->closing)
    link_server_close(e->s, on_server_closed, e);
  e->closing = true;
}

static void on_resume(uv_timer_t *t)
{
  struct env *e = t->data;
  must_eq(atomic_load(&e->told), 2); /* hello and listed: nothing while paused */
  link_pause(e->paused, false);
}

static void act(struct env *e, struct link *l, int64_t what)
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

static void on_msg(struct link *l, struct wire_msg *m)
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

static void on_close(struct link *l, const char *why)
{
  struct env *e = link_server_ctx(link_server_of(l));

  pthread_mutex_lock(&e->lock);
  snprintf(e->why, sizeof e->why, "%s", why);
  pthread_mutex_unlock(&e->lock);
  atomic_fetch_add(&e->closes, 1);
  wire_put(link_out(l), VERB_inventory, ""); /* dropped */
}

static const struct link_ops ops = { on_msg, on_close };

static void quiet(enum log_level level, const char *line)
{
  (void)level, (void)line;
}

static void on_client_done(uv_async_t *h) { close_server(h->data); }

static void on_deadline(uv_timer_t *t)
{
  (void)t;
  die(__LINE__, "the test took too long");
}

static void *client_thread(void *arg)
{
  struct env *e = arg;
  e->client(e);
  OPENSSL_thread_stop();
  uv_async_send(&e->client_done);
  return NULL;
}

static void env_open(struct env *e)
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
static void env_run(struct env *e, void (*client)(struct env *e))
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

static void limit_time(int fd)
{
  struct timeval tv = { WAIT_MS / 1000, 0 };
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

static int cli_tcp(const struct env *e)
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

static int cli_unix_fd(const struct env *e)
{
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);

  limit_time(fd);
  strcpy(a.sun_path, e->path);
  must_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  return fd;
}

static struct cli cli_unix(const struct env *e) { return (struct cli){ .fd = cli_unix_fd(e) }; }

static SSL_CTX *cli_ctx(const struct cli_how *how)
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

static bool cli_tls(const struct env *e, const struct cli_how *how, struct cli *c)
{
  c->fd = cli_tcp(e);
  c->ctx = cli_ctx(how);
  c->ssl = SSL_new(c->ctx);
  SSL_set_fd(c->ssl, c->fd);
  return SSL_connect(c->ssl) == 1;
}

static void cli_free(struct cli *c)
{
  SSL_free(c->ssl);
  SSL_CTX_free(c->ctx);
  ERR_clear_error();
  close(c->fd);
}

static int cli_read(struct cli *c, void *p, int n)
{
  return c->ssl ? SSL_read(c->ssl, p, n) : (int)read(c->fd, p, (size_t)n);
}

static bool cli_write(struct cli *c, const void *p, size_t n)
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

static bool cli_puts(struct cli *c, const char *s) { return cli_write(c, s, strlen(s)); }

/* One line without its LF; false: end. */
static bool cli_line(struct cli *c, char *line, size_t size)
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

static void cli_expect(struct cli *c, const char *start)
{
  char line[4096];
  must(cli_line(c, line, sizeof line));
  line[strlen(start)] = 0;
  must_str(line, start);
}

static void cli_expect_end(struct cli *c)
{
  char line[4096];
  if (cli_line(c, line, sizeof line))
    die(__LINE__, line);
}

static void cli_exact(struct cli *c, char *p, int n)
{
  while (n) {
    int r = cli_read(c, p, n);
    must(r > 0);
    p += r;
    n -= r;
  }
}

static void cli_greet(struct cli *c)
{
  must(cli_puts(c, HELLO));
  cli_expect(c, WELCOME);
}

static void wait_for(atomic_int *n, int want)
{
  for (int i = 0; i < WAIT_MS && atomic_load(n) < want; i++)
    usleep(1000);
  must_eq(atomic_load(n), want);
}

static void expect_why(struct env *e, int closes, const char *why)
{
  wait_for(&e->closes, closes);
  pthread_mutex_lock(&e->lock);
  must_str(e->why, why);
  pthread_mutex_unlock(&e->lock);
}

static long rss_kib(void)
{
  long pages = 0, rss = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  must(f);
  must_eq(fscanf(f, "%ld %ld", &pages, &rss), 2);
  fclose(f);
  return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- key ---- */

static void test_key(void **state)
{
  char *a = link_key_make(), *b = link_key_make(), pin[65], again[65], *twice;

  (void)state;
  must_eq(link_key_pin(a, pin), ERR_OK);
  must_eq(strlen(pin), 64);
  must_eq(link_key_pin(a, again), ERR_OK);
  must_str(pin, again);
  must_eq(link_key_pin(b, again), ERR_OK);
  must(strcmp(pin, again));
  twice = xasprintf("a comment before\n%s", a);
  must_eq(link_key_pin(twice, again), ERR_OK);
  must_str(pin, again);
  must_eq(link_key_pin("", again), ERR_BADARG);
  must_eq(link_key_pin("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", again), ERR_BADARG);
  /* asks for no passphrase */
  must_eq(link_key_pin("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
                                "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
                                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END EC PRIVATE KEY-----\n", again), ERR_BADARG);
  free(a);
  free(b);
  free(twice);
}

static void test_bad_key(void **state)
{
  struct buf why;
  uv_loop_t loop;

  (void)state;
  uv_loop_init(&loop);
  buf_init(&why, 1000);
  must(!link_server_new(&loop, "no key", &ops, NULL, &why));
  must(why.len > 0);
  buf_free(&why);
  must_eq(uv_loop_close(&loop), 0);
}

/* ---- handshake and messages ---- */

static void try_how(struct env *e, const struct cli_how *how, bool want)
{
  struct cli c = { 0 };
  bool ok = cli_tls(e, how, &c);

  /* in TLS 1.3 the client's part may end before the server's refusal comes */
  if (!ok || !cli_puts(&c, HELLO)) {
    must(!want);
  } else if (want) {
    cli_expect(&c, WELCOME);
  } else {
    cli_expect_end(&c);
  }
  cli_free(&c);
}

static void check_pin(struct env *e)
{
  char want[65], have[65];
  unsigned char hash[32], *der = NULL;
  struct cli c = { 0 };
  X509 *cert;
  int n;

  must(cli_tls(e, &tls13, &c));
  cert = SSL_get1_peer_certificate(c.ssl);
  n = i2d_PUBKEY(X509_get0_pubkey(cert), &der);
  SHA256(der, (size_t)n, hash);
  str_hex(hash, 32, have);
  must_eq(link_key_pin(e->key, want), ERR_OK);
  must_str(have, want);
  must_eq(X509_cmp_current_time(X509_get0_notBefore(cert)), -1);
  must_eq(X509_cmp_current_time(X509_get0_notAfter(cert)), 1);
  OPENSSL_free(der);
  X509_free(cert);
  cli_free(&c);
}

static void client_handshakes(struct env *e)
{
  static const struct {
    struct cli_how how;
    bool want;
  } rows[] = {
    { { TLS1_3_VERSION, NULL, "\6drover", NULL }, true },
    { { TLS1_3_VERSION, NULL, NULL, NULL }, true },
    { { TLS1_3_VERSION, NULL, "\2h2\6drover", NULL }, true },
    { { TLS1_3_VERSION, NULL, "\2h2\10http/1.1", NULL }, false },
    { { TLS1_2_VERSION, NULL, "\7drover2", NULL }, false },
    { { TLS1_2_VERSION, NULL, "\6drover", NULL }, true },
    { { TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, "P-256" }, true },
    { { TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, "P-256" }, true },
    { { TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, "X25519:P-256" }, true },
    { { TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", NULL, NULL }, false },
    { { TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", NULL, NULL }, false },
    { { TLS1_3_VERSION, NULL, NULL, "P-256" }, true },
    { { TLS1_3_VERSION, NULL, NULL, "P-384" }, false },
    { { TLS1_3_VERSION, NULL, NULL, "P-384:X25519" }, false }, /* would need a second ClientHello */
  };

  for (size_t i = 0; i < COUNT(rows); i++)
    try_how(e, &rows[i].how, rows[i].want);
  check_pin(e);
}

static void test_handshakes(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_handshakes);
  must_eq(e.closes, 8);
}

static void echo(struct env *e, struct cli *c)
{
  static const int sizes[] = { 0, 1, 16383, 16384, 16385, 65535, 65536 };
  char *blob = xmalloc(65536 + 1), *back = xmalloc(65536 + 1), line[64];

  (void)e;
  for (int i = 0; i < 65536; i++)
    blob[i] = (char)(i * 7 + i / 251);
  cli_greet(c);
  for (int round = 0; round < 20; round++) {
    int n = sizes[round % (int)COUNT(sizes)];
    snprintf(line, sizeof line, "done %d ok +%d\n", round, n);
    must(cli_puts(c, line) && cli_write(c, blob, (size_t)n) && cli_puts(c, "\n"));
    snprintf(line, sizeof line, "run 1-1 1 1-1 1 +%d", n);
    cli_expect(c, line);
    cli_exact(c, back, n + 1);
    must(!memcmp(blob, back, (size_t)n));
    must_eq(back[n], '\n');
  }
  must(cli_puts(c, "ping 77\n"));
  cli_expect(c, "pong 77");
  must(cli_puts(c, "frobnicate a b +3\nxyz\nping 1\n"));
  cli_expect(c, "error unknown - +10");
  cli_expect(c, "frobnicate");
  cli_expect(c, "pong 1");
  free(blob);
  free(back);
}

static void client_echo(struct env *e)
{
  const struct cli_how *hows[] = { &tls12, &tls13 };
  struct cli c = { 0 };

  for (size_t i = 0; i < COUNT(hows); i++) {
    must(cli_tls(e, hows[i], &c));
    echo(e, &c);
    if (i) { /* key updates asked for by the client */
      for (int k = 0; k < 5; k++) {
        must_eq(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        must(cli_puts(&c, "ping 5\n"));
        cli_expect(&c, "pong 5");
      }
    }
    cli_free(&c);
  }
  c = cli_unix(e);
  echo(e, &c);
  cli_free(&c);
  wait_for(&e->closes, 3);
}

static void test_echo(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_echo);
}

/* A client that starts a handshake on the established connection (TLS 1.2) is cut off, and our writing meanwhile does no harm. */
static void client_renegotiates(struct env *e)
{
  struct cli c = { 0 };

  must(cli_tls(e, &tls12, &c));
  cli_greet(&c);
  SSL_renegotiate(c.ssl);
  SSL_do_handshake(c.ssl);
  cli_puts(&c, "ping 1\n");
  wait_for(&e->closes, 1);
  cli_free(&c);
}

static void test_renegotiation(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_renegotiates);
}

/* ---- cuts ---- */

static void client_cut_unix(struct env *e)
{
  static const char session[] = HELLO "done 1 ok +5\nhallo\nping 3\nbye stop\n";

  for (size_t k = 0; k <= sizeof session - 1; k++) {
    struct cli c = cli_unix(e);
    char line[100];
    if (!cli_write(&c, session, k)) /* the gate said busy */
      must(cli_line(&c, line, sizeof line));
    cli_free(&c);
    usleep(2000);
  }
}

/* TLS through memory BIOs, of which only the first `left` bytes reach the socket. */
static bool cut_tls(struct env *e, SSL_CTX *ctx, int left)
{
  static const char session[] = HELLO "done 1 ok +5\nhallo\n";
  SSL *ssl = SSL_new(ctx);
  BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
  int fd = cli_tcp(e), n;
  bool sent = false, ended = false;
  char b[4096];

  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  while (!ended) {
    int r = SSL_is_init_finished(ssl) ? 1 : SSL_do_handshake(ssl);
    if (r == 1 && !sent) {
      SSL_write(ssl, session, sizeof session - 1);
      sent = true;
    }
    n = BIO_read(out, b, left < (int)sizeof b ? left : (int)sizeof b);
    if (n > 0) {
      must_eq(write(fd, b, (size_t)n), n);
      left -= n;
    }
    if (left == 0 || (sent && SSL_read(ssl, b, sizeof b) > 0)) {
      ended = true;
    } else {
      n = (int)read(fd, b, sizeof b);
      must(n > 0);
      BIO_write(in, b, n);
    }
  }
  SSL_free(ssl);
  ERR_clear_error();
  close(fd);
  return left > 0;
}

static void client_cut_tls(struct env *e)
{
  const struct cli_how *hows[] = { &tls12, &tls13 };

  for (size_t i = 0; i < COUNT(hows); i++) {
    SSL_CTX *ctx = cli_ctx(hows[i]);
    for (int k = 1; !cut_tls(e, ctx, k); k++)
      must(k < 3000);
    SSL_CTX_free(ctx);
  }
}

static void test_cut_unix(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_cut_unix);
}

static void test_cut_tls(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_cut_tls);
}

/* ---- many ---- */

static pthread_t many[300];
static atomic_int many_up;

static void *one_of_many(void *arg)
{
  struct env *e = arg;
  struct cli c = { 0 };

  must(cli_tls(e, &tls13, &c));
  cli_greet(&c);
  must(cli_puts(&c, "ping 9\n"));
  cli_expect(&c, "pong 9");
  atomic_fetch_add(&many_up, 1);
  cli_expect(&c, "bye stop");
  cli_expect_end(&c);
  cli_free(&c);
  OPENSSL_thread_stop();
  return NULL;
}

static void client_many(struct env *e)
{
  pthread_attr_t small;
  int64_t start = clock_mono_ms();

  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  for (size_t i = 0; i < COUNT(many); i++)
    must_eq(pthread_create(&many[i], &small, one_of_many, e), 0);
  wait_for(&many_up, (int)COUNT(many));
  print_message("300 connections greeted and answered in %lld ms\n", (long long)(clock_mono_ms() - start));
  pthread_attr_destroy(&small);
}

static void test_many_and_server_close(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_many);
  for (size_t i = 0; i < COUNT(many); i++)
    pthread_join(many[i], NULL);
  must_eq(e.closes, COUNT(many));
  must_str(e.why, "stop");
}

/* A thousand half-open ones, each with the start of a ClientHello that promises 128 KiB or 500 bytes. */
static void client_slow(struct env *e)
{
  static const char small[] = "\x16\x03\x01\x01\xf8\x01\x00\x01\xf4\x03\x03";
  static const char large[] = "\x16\x03\x01\x40\x00\x01\x01\xff\xff";
  int fd[1000];
  long before = rss_kib(), grown;
  struct cli c = { 0 };
  char b;

  for (size_t i = 0; i < COUNT(fd); i++) {
    fd[i] = cli_tcp(e);
    must_eq(write(fd[i], small, i % (sizeof small - 1) + 1), i % (sizeof small - 1) + 1);
  }
  must(cli_tls(e, &tls13, &c)); /* accepted in order: all before it are in */
  cli_greet(&c);
  grown = rss_kib() - before;
  print_message("1,000 half-open connections: %ld KiB\n", grown);
#ifndef __SANITIZE_ADDRESS__
  must(grown < 8192);
#endif
  cli_free(&c);
  for (size_t i = 0; i < COUNT(fd); i++)
    close(fd[i]);
  fd[0] = cli_tcp(e);
  must_eq(write(fd[0], large, sizeof large - 1), sizeof large - 1);
  must(read(fd[0], &b, 1) <= 0);
  close(fd[0]);
}

static void test_slow(void **state)
{
  struct rlimit r;
  struct env e;
  (void)state;
  getrlimit(RLIMIT_NOFILE, &r);
  r.rlim_cur = r.rlim_max < 8192 ? r.rlim_max : 8192;
  setrlimit(RLIMIT_NOFILE, &r);
  env_open(&e);
  env_run(&e, client_slow);
}

/* ---- deadlines ---- */

static void client_late(struct env *e)
{
  int fd = cli_tcp(e);
  struct cli c = { 0 }, u = cli_unix(e);
  char b;

  must(cli_tls(e, &tls13, &c));
  cli_puts(&c, "hello 1 w"); /* and no more */
  cli_expect(&c, "bye protocol");
  cli_expect_end(&c);
  cli_expect(&u, "bye protocol");
  cli_expect_end(&u);
  must_eq(read(fd, &b, 1), 0);
  close(fd);
  cli_free(&c);
  cli_free(&u);
  must_eq(atomic_load(&e->closes), 0); /* on_msg was called for none */
}

static void test_greeting_deadline(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  link_server_set_greeting(e.s, 1000);
  env_run(&e, client_late);
}

static void client_silent(struct env *e)
{
  struct cli c = { 0 }, good = { 0 };
  char line[100], pong[120];

  must(cli_tls(e, &tls13, &good));
  cli_greet(&good);
  must(cli_tls(e, &tls13, &c));
  cli_greet(&c);
  for (int i = 0; i < 8; i++) { /* the good one answers; meanwhile the other is found silent */
    cli_expect(&good, "ping ");
    snprintf(pong, sizeof pong, "pong %d\n", i + 1);
    must(cli_puts(&good, pong));
  }
  expect_why(e, 1, "silence");
  do
    must(cli_line(&c, line, sizeof line));
  while (!strncmp(line, "ping ", 5));
  must_str(line, "bye silence");
  cli_expect_end(&c);
  cli_free(&c);
  cli_puts(&good, "ping 1\n");
  do
    must(cli_line(&good, line, sizeof line));
  while (strcmp(line, "pong 1"));
  cli_free(&good);
}

static void test_silence(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  link_server_set_ping(e.s, 400);
  env_run(&e, client_silent);
}

/* The loop stands still longer than silence lasts: nobody was silent. */
static void client_stalled(struct env *e)
{
  struct cli c = { 0 }, other = { 0 };
  char line[100];

  must(cli_tls(e, &tls13, &other));
  cli_greet(&other);
  must(cli_tls(e, &tls13, &c));
  cli_greet(&c);
  must(cli_puts(&c, "listed 7\nping 9\n"));
  do
    must(cli_line(&c, line, sizeof line));
  while (strcmp(line, "pong 9"));
  must(cli_puts(&other, "ping 8\n"));
  do
    must(cli_line(&other, line, sizeof line));
  while (strcmp(line, "pong 8"));
  must_eq(atomic_load(&e->closes), 0);
  cli_free(&c);
  cli_free(&other);
}

static void test_stalled(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  link_server_set_ping(e.s, 400);
  env_run(&e, client_stalled);
}

/* ---- what is refused ---- */

static void client_malformed(struct env *e)
{
  static const char *const bad[] = {
    "Bad line\n", "\n", "ping\n", "ping x\n", "ping 1 2\n", "ping  1\n", "pong -1\n", "done 1 ok +99999999\n", "listed 1 +3\n",
    "done 1 ok +1\nab", "listed \x01\n", "zzzzzzzzzzzzzzzzzzzzzzzzzzzz\n",
  };

  for (size_t i = 0; i < COUNT(bad); i++) {
    struct cli c = { 0 };
    must(cli_tls(e, &tls13, &c));
    cli_greet(&c);
    must(cli_puts(&c, bad[i]));
    cli_expect(&c, "bye protocol");
    cli_expect_end(&c);
    cli_free(&c);
    wait_for(&e->closes, (int)i + 1);
    pthread_mutex_lock(&e->lock);
    must_eq(strncmp(e->why, "protocol: ", 10), 0);
    pthread_mutex_unlock(&e->lock);
  }
}

static void test_malformed(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_malformed);
}

static void send_endless(struct env *e, struct cli *c, bool greet)
{
  static char much[1 << 20];
  long before = rss_kib();
  int mib = 0;

  (void)e;
  memset(much, 'a', sizeof much);
  if (greet)
    cli_greet(c);
  while (mib < 1024 && cli_write(c, much, sizeof much))
    mib++;
  must(mib < 1024);
#ifndef __SANITIZE_ADDRESS__
  must(rss_kib() - before < 4096);
#endif
  (void)before;
  cli_free(c);
}

static void client_endless(struct env *e)
{
  struct cli c = { 0 };

  must(cli_tls(e, &tls13, &c));
  send_endless(e, &c, true);
  must(cli_tls(e, &tls12, &c));
  send_endless(e, &c, false);
  c = cli_unix(e);
  send_endless(e, &c, true);
}

static void test_endless_line(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_endless);
  must_eq(e.closes, 2);
}

static void client_garbage(struct env *e)
{
  static const char *const texts[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", HELLO, "SSH-2.0-x\r\n", "\x16\x03\x01\x00\x05\x02zzzzzzzzzz",
                                       "\x15\x03\x01", "\x16\x02\x01\x00\x05\x01zzzzz" };
  struct cli c = { 0 };
  char b, noise[400];

  for (size_t i = 0; i < COUNT(texts) + 50; i++) {
    int fd = cli_tcp(e);
    if (i < COUNT(texts)) {
      must(write(fd, texts[i], strlen(texts[i]) ? strlen(texts[i]) : 4) > 0);
    } else { /* a good head, then noise */
      str_random(noise, sizeof noise);
      memcpy(noise, "\x16\x03\x01\x01\x8b\x01\x00\x01\x87\x03\x03", 11);
      must_eq(write(fd, noise, sizeof noise), sizeof noise);
    }
    if (i < 5 && i != 3 && i != 4)
      must(read(fd, &b, 1) <= 0);
    else
      shutdown(fd, SHUT_WR);
    while (read(fd, &b, 1) > 0)
      ;
    close(fd);
  }
  must(cli_tls(e, &tls13, &c)); /* and it still works */
  cli_greet(&c);
  cli_free(&c);
}

static void test_garbage(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_garbage);
}

/* Noise inside an established connection. */
static void client_bad_record(struct env *e)
{
  struct cli c = { 0 };
  char b[100];

  for (int i = 0; i < 2; i++) {
    must(cli_tls(e, i ? &tls12 : &tls13, &c));
    cli_greet(&c);
    memset(b, 7, sizeof b);
    memcpy(b, "\x17\x03\x03\x00\x5f", 5);
    must_eq(write(c.fd, b, sizeof b), sizeof b);
    cli_expect_end(&c);
    cli_free(&c);
    wait_for(&e->closes, i + 1);
    pthread_mutex_lock(&e->lock);
    must_eq(strncmp(e->why, "TLS: ", 5), 0);
    pthread_mutex_unlock(&e->lock);
  }
}

static void test_bad_record(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_bad_record);
}

/* ---- closing ---- */

static void client_close(struct env *e)
{
  struct cli c = { 0 };
  char line[100], *all = xmalloc(FLOOD);

  must(cli_tls(e, &tls13, &c));
  cli_greet(&c);
  /* closed under on_msg: what comes behind it is not told, nothing more is said, and the bye arrives although more was sent */
  must(cli_puts(&c, "listed 1\nlisted 2\nlisted 3\n"));
  cli_expect(&c, "bye replaced");
  must_eq(cli_read(&c, line, 1), 0);
  must_eq(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
  cli_free(&c);
  expect_why(e, 1, "replaced");
  must_eq(atomic_load(&e->told), 2);

  must(cli_tls(e, &tls13, &c)); /* seven MiB unsent, then closed: all of it arrives */
  cli_greet(&c);
  must(cli_puts(&c, "listed 2\n"));
  for (int i = 0; i < 7; i++) {
    cli_expect(&c, "run 1-1 1 1-1 1 +1048576");
    cli_exact(&c, all, (1 << 20) + 1);
  }
  cli_expect(&c, "bye stop");
  cli_expect_end(&c);
  cli_free(&c);
  expect_why(e, 2, "stop");

  must(cli_tls(e, &tls13, &c)); /* the same, but the client doesn't read: cut off after a second */
  cli_greet(&c);
  must(cli_puts(&c, "listed 2\n"));
  expect_why(e, 3, "stop");
  cli_free(&c);

  must(cli_tls(e, &tls13, &c));
  cli_greet(&c);
  must(cli_puts(&c, "listed 3\n"));
  expect_why(e, 4, "too much unsent");
  cli_free(&c);
  free(all);
}

static void test_close(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_close);
}

static void client_server_close(struct env *e)
{
  struct cli c = { 0 }, other = { 0 }, u = cli_unix(e);
  int half = cli_tcp(e);
  char b;

  must_eq(write(half, "\x16", 1), 1);
  cli_greet(&u);
  must(cli_tls(e, &tls13, &other));
  cli_greet(&other);
  must(cli_tls(e, &tls13, &c));
  cli_greet(&c);
  must(cli_puts(&c, "listed 5\nlisted 5\n"));
  cli_expect(&c, "bye stop");
  cli_expect_end(&c);
  cli_expect(&other, "bye stop");
  cli_expect_end(&other);
  cli_expect(&u, "bye stop");
  cli_expect_end(&u);
  must_eq(read(half, &b, 1), 0);
  cli_free(&c);
  cli_free(&other);
  cli_free(&u);
  close(half);
  wait_for(&e->closes, 3);
}

static void *server_close_thread(void *arg)
{
  client_server_close(arg);
  OPENSSL_thread_stop();
  return NULL;
}

static void test_server_close_under_on_msg(void **state)
{
  pthread_t thread;
  struct env e;

  (void)state;
  env_open(&e);
  /* not env_run(): the async handle is closed with the server, before the client could use it */
  must_eq(pthread_create(&thread, NULL, server_close_thread, &e), 0);
  uv_run(&e.loop, UV_RUN_DEFAULT);
  pthread_join(thread, NULL);
  must(e.closed);
  must_eq(uv_loop_close(&e.loop), 0);
  rmdir(e.dir);
  free(e.key);
}

static void client_pause(struct env *e)
{
  struct cli c = { 0 };

  must(cli_tls(e, &tls13, &c));
  cli_greet(&c);
  must(cli_puts(&c, "listed 4\n"));
  wait_for(&e->told, 2); /* so that the next comes in a read of its own */
  must(cli_puts(&c, "listed 6\nping 4\n"));
  cli_expect(&c, "ping "); /* ours go on, and 700 ms of not listening are no silence */
  for (;;) {
    char line[100];
    must(cli_line(&c, line, sizeof line));
    if (!strcmp(line, "pong 4"))
      break;
    must_eq(strncmp(line, "ping ", 5), 0);
  }
  must_eq(atomic_load(&e->told), 3);
  cli_free(&c);
}

static void test_pause(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  link_server_set_ping(e.s, 200);
  env_run(&e, client_pause);
}

/* ---- unix socket and addresses ---- */

static void client_busy(struct env *e)
{
  int busy = 0;
  char line[100];

  for (int i = 0; i < 400 && !busy; i++) {
    struct cli c = cli_unix(e);
    cli_puts(&c, HELLO);
    must(cli_line(&c, line, sizeof line));
    if (strncmp(line, WELCOME, strlen(WELCOME))) {
      must_str(line, "busy 1000");
      cli_expect_end(&c);
      busy++;
    }
    cli_free(&c);
  }
  must_eq(busy, 1);
}

static void test_busy(void **state)
{
  struct env e;
  (void)state;
  env_open(&e);
  env_run(&e, client_busy);
}

static void client_nothing(struct env *e)
{
  struct cli c = cli_unix(e);
  cli_greet(&c);
  cli_free(&c);
}

static void test_unix_path(void **state)
{
  struct env e;
  struct stat st;
  struct buf why;
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  char stale[80], file[80], longer[200];
  int fd;

  (void)state;
  env_open(&e);
  buf_init(&why, 1000);
  must_eq(stat(e.path, &st), 0);
  must_eq(st.st_mode & 07777, 0600);
  must_eq(link_listen_unix(e.s, e.path, &why), ERR_BUSY); /* a live one */
  snprintf(stale, sizeof stale, "%s/stale", e.dir);
  strcpy(a.sun_path, stale);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  must_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  close(fd);
  must_eq(link_listen_unix(e.s, stale, &why), ERR_OK);
  snprintf(file, sizeof file, "%s/file", e.dir);
  fd = open(file, O_CREAT | O_WRONLY, 0600);
  close(fd);
  must_eq(link_listen_unix(e.s, file, &why), ERR_EXISTS);
  must_eq(access(file, F_OK), 0);
  unlink(file);
  memset(longer, 'x', sizeof longer);
  longer[sizeof longer - 1] = 0;
  must_eq(link_listen_unix(e.s, longer, &why), ERR_BADARG);
  must_eq(link_listen_unix(e.s, "", &why), ERR_BADARG);
  must_eq(link_listen_unix(e.s, "/nonexistent/folder/s", &why), ERR_FAILED);
  buf_free(&why);
  env_run(&e, client_nothing);
  must_eq(access(stale, F_OK), -1);
}

static void test_addresses(void **state)
{
  static const char *const bad[] = {
    "", ":", "7421", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
    ":7421", "::1:7421", "[]:1", "no.such.host.invalid:1",
  };
  struct env e;
  struct buf why;
  char taken[40];
  int port;

  (void)state;
  env_open(&e);
  buf_init(&why, 4000);
  for (size_t i = 0; i < COUNT(bad); i++)
    must_eq(link_listen_tcp(e.s, bad[i], &port, &why), ERR_BADARG);
  snprintf(taken, sizeof taken, "127.0.0.1:%d", e.port);
  must_eq(link_listen_tcp(e.s, taken, &port, &why), ERR_BUSY);
  must_eq(link_listen_tcp(e.s, "*:0", &port, &why), ERR_OK);
  e.port = port;
  must_eq(link_listen_tcp(e.s, "localhost:0", &port, &why), ERR_OK);
  buf_free(&why);
  env_run(&e, client_handshakes);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_key),
    cmocka_unit_test(test_bad_key),
    cmocka_unit_test(test_handshakes),
    cmocka_unit_test(test_echo),
    cmocka_unit_test(test_renegotiation),
    cmocka_unit_test(test_cut_unix),
    cmocka_unit_test(test_cut_tls),
    cmocka_unit_test(test_slow),
    cmocka_unit_test(test_many_and_server_close),
    cmocka_unit_test(test_greeting_deadline),
    cmocka_unit_test(test_silence),
    cmocka_unit_test(test_stalled),
    cmocka_unit_test(test_malformed),
    cmocka_unit_test(test_endless_line),
    cmocka_unit_test(test_garbage),
    cmocka_unit_test(test_bad_record),
    cmocka_unit_test(test_close),
    cmocka_unit_test(test_server_close_under_on_msg),
    cmocka_unit_test(test_pause),
    cmocka_unit_test(test_busy),
    cmocka_unit_test(test_unix_path),
    cmocka_unit_test(test_addresses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
