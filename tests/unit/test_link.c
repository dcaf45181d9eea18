/* The worker link when all goes well: keys, handshakes, messages, cuts, many at once, addresses. */
#include <fcntl.h>
#include <openssl/x509.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/lib/linkfix.h"

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

/* ---- unix socket and addresses ---- */

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
    cmocka_unit_test(test_unix_path),
    cmocka_unit_test(test_addresses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
