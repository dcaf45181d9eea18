/* The worker link against those who say nothing, nonsense or too much, and its end. */
#include "tests/lib/linkfix.h"

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

int main(void)
{
  const struct CMUnitTest tests[] = {
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
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
