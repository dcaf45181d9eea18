/* File operations asked of a worker: what is put on its link, how answers are put together, and what a lying worker gets out of it: its link closed, or an answer `io`. */
#include "master/workers/ops.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "common/str.h"
#include "master/workers/session.h"

enum { MOST = 1000 };
#define RECORDS_MAX 400

static const struct sm_row rows[SESSION_STATES] = { [SESSION_READY] = { "ready", SM_TO(SESSION_CLOSED) }, [SESSION_CLOSED] = { "closed", 0 } };

struct world {
  uv_loop_t loop;
  struct link_server *server;
  struct session s;
  int client;
  char path[64];
  bool closed;
  /* the last answer */
  int answers;
  char tag[32], text[200], data[MOST + 1];
  size_t ndata;
};
static struct world w;

static void on_msg(struct link *l, struct wire_msg *m)
{
  (void)m;
  w.s.link = l;
}

static void on_close(struct link *l, const char *why)
{
  (void)l, (void)why;
  w.s.link = NULL;
}

static void answered(void *arg, const struct ops_answer *a)
{
  assert_ptr_equal(arg, &w);
  w.answers++;
  snprintf(w.tag, sizeof w.tag, "%s", a->tag);
  snprintf(w.text, sizeof w.text, "%s", a->text);
  assert_true(a->ndata <= MOST);
  memcpy(w.data, a->data, a->ndata + 1);
  w.ndata = a->ndata;
}

static const struct link_ops link_ops = { on_msg, on_close };

static int start(void **state)
{
  static const char hello[] = "hello 1 w1 00000000000000000000000000000000 00000000000000000000000000000000 1 0-0 - +0\n\n";
  struct sockaddr_un to = { .sun_family = AF_UNIX };
  struct buf why;

  (void)state;
  memset(&w, 0, sizeof w);
  buf_init(&why, 1000);
  uv_loop_init(&w.loop);
  char *key = link_key_make();
  w.server = link_server_new(&w.loop, key, &link_ops, NULL, &why);
  free(key);
  snprintf(w.path, sizeof w.path, "/tmp/drover-test-ops-%d", (int)getpid());
  assert_int_equal(link_listen_unix(w.server, w.path, &why), ERR_OK);
  snprintf(to.sun_path, sizeof to.sun_path, "%s", w.path);
  w.client = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(connect(w.client, (struct sockaddr *)&to, sizeof to), 0);
  assert_int_equal(write(w.client, hello, sizeof hello - 1), sizeof hello - 1);
  while (!w.s.link)
    uv_run(&w.loop, UV_RUN_ONCE);
  w.s.name = xstrdup("build1");
  w.s.features = xstrdup("disk,files");
  w.s.ops = map_new();
  list_init(&w.s.runs);
  list_init(&w.s.node);
  sm_init(&w.s.sm, "session", rows, SESSION_STATES, SESSION_READY);
  buf_free(&why);
  return 0;
}

static void on_done(void *arg) { *(bool *)arg = true; }

static int stop(void **state)
{
  bool done = false;

  (void)state;
  ops_free(&w.s);
  close(w.client);
  link_server_close(w.server, on_done, &done);
  while (!done)
    uv_run(&w.loop, UV_RUN_ONCE);
  while (uv_loop_close(&w.loop))
    uv_run(&w.loop, UV_RUN_ONCE);
  free(w.s.name);
  free(w.s.features);
  unlink(w.path);
  return 0;
}

/* One message of the worker, to its function. */
static void say(const char *line, const void *blob, size_t n)
{
  struct wire_reader *r = wire_reader_new(WIRE_WORKER);
  struct wire_msg m;
  char head[200];
  int len = snprintf(head, sizeof head, blob ? "%s +%zu\n" : "%s\n", line, n);

  wire_reader_trust(r);
  wire_feed(r, head, (size_t)len);
  if (blob) {
    wire_feed(r, blob, n);
    wire_feed(r, "\n", 1);
  }
  assert_int_equal(wire_next(r, &m), ERR_OK);
  if (m.verb == VERB_data)
    ops_data(&w.s, &m);
  else
    ops_answered(&w.s, &m);
  wire_reader_free(r);
}

static int64_t ask(enum verb verb)
{
  return ops_ask(&w.s, &(struct ops_ask){ .verb = verb, .path = "a/b", .off = 7, .max = verb == VERB_list ? 2 : MOST }, answered, &w);
}

/* `done` of a get: bytes and sum of data. */
static void done(int64_t req, size_t bytes, const void *data, size_t n)
{
  unsigned char hash[SHA256_DIGEST_LENGTH];
  char hex[65], records[RECORDS_MAX], line[64];
  int len;

  SHA256(data, n, hash);
  str_hex(hash, sizeof hash, hex);
  len = snprintf(records, sizeof records, "size=9%cbytes=%zu%csum=%s", 0, bytes, 0, hex) + 1;
  snprintf(line, sizeof line, "done %lld ok", (long long)req);
  say(line, records, (size_t)len);
}

static bool is_closed(void) { return w.s.sm.state == SESSION_CLOSED; }

static void asked(void **state)
{
  struct buf *out = link_out(w.s.link);

  (void)state;
  buf_reset(out);
  ops_ask(&w.s, &(struct ops_ask){ .verb = VERB_list, .path = "a b", .after = "x", .max = 5 }, answered, &w);
  assert_memory_equal(out->data, "list 1 5 +17\npath=a b\0after=x\0\n", 31);
  buf_reset(out);
  ops_ask(&w.s, &(struct ops_ask){ .verb = VERB_get, .path = "f", .version = "1-2", .off = 3, .max = 4 }, answered, &w);
  assert_memory_equal(out->data, "get 2 3 4 +19\npath=f\0version=1-2\0\n", 34);
  buf_reset(out);
  ops_ask(&w.s, &(struct ops_ask){ .verb = VERB_stat, .path = "f" }, answered, &w);
  assert_memory_equal(out->data, "stat 3 +1\nf\n", 12);
}

static void whole(void **state)
{
  int64_t req = ask(VERB_get);

  (void)state;
  say("data 1 0", "hello ", 6);
  say("data 1 6", "world", 5);
  assert_int_equal(w.answers, 0);
  done(req, 11, "hello world", 11);
  assert_int_equal(w.answers, 1);
  assert_string_equal(w.tag, "ok");
  assert_string_equal(w.data, "hello world");
  done(req, 11, "hello world", 11); /* said again: nobody waits */
  assert_int_equal(w.answers, 1);
  assert_int_equal(map_count(w.s.ops), 0);
}

static void failures(void **state)
{
  (void)state;
  ask(VERB_stat);
  say("done 1 notfound", "no such file\xff", 13);
  assert_string_equal(w.tag, "notfound");
  assert_string_equal(w.text, "no such file\xef\xbf\xbd");
  ask(VERB_get);
  say("data 2 0", "hello", 5);
  say("done 2 changed", "the file is another one now", 27); /* what came is worthless */
  assert_string_equal(w.tag, "changed");
  assert_int_equal(w.ndata, 0);
}

static void old_worker(void **state)
{
  char *why;

  (void)state;
  free(w.s.features);
  w.s.features = xstrdup("disk,filesystem");
  assert_int_equal(ask(VERB_get), 0);
  assert_int_equal(ask(VERB_list), 0);
  assert_int_equal(map_count(w.s.ops), 0);
  assert_true(ask(VERB_stat) > 0);
  why = ops_too_old(&w.s, VERB_get);
  assert_non_null(strstr(why, "build1 is too old"));
  assert_non_null(strstr(why, "`get`"));
  free(why);
}

static void lies_in_the_sum(void **state)
{
  int64_t req = ask(VERB_get);

  (void)state;
  say("data 1 0", "hello", 5);
  done(req, 5, "hellO", 5);
  assert_string_equal(w.tag, "io");
  assert_int_equal(w.ndata, 0);
  req = ask(VERB_get);
  say("data 2 0", "hello", 5);
  done(req, 6, "hello", 5);
  assert_string_equal(w.tag, "io");
  ask(VERB_get);
  say("done 3 ok", "nonsense", 8);
  assert_string_equal(w.tag, "io");
  ask(VERB_list);
  say("done 4 ok", "complete=1\0", 11);
  assert_string_equal(w.tag, "io");
  assert_false(is_closed());
}

static void too_long(void **state)
{
  char bytes[MOST + 1] = { 0 };

  (void)state;
  ask(VERB_get);
  say("data 1 0", bytes, MOST);
  assert_false(is_closed());
  say("data 1 1000", "x", 1);
  assert_true(is_closed());
  assert_int_equal(w.answers, 0);
}

static void endless_listing(void **state)
{
  char entry[WIRE_ENTRY_MAX] = { 0 };

  (void)state;
  ask(VERB_list);
  for (int i = 0; i < 2; i++) {
    char line[64];
    snprintf(line, sizeof line, "data 1 %d", i * WIRE_ENTRY_MAX);
    say(line, entry, sizeof entry);
  }
  assert_false(is_closed());
  say("data 1 800", entry, 1);
  assert_true(is_closed());
}

static void gaps(void **state)
{
  (void)state;
  ask(VERB_get);
  say("data 9 0", "nobody", 6); /* for nobody: dropped */
  assert_false(is_closed());
  say("data 1 1", "x", 1);
  assert_true(is_closed());
}

static void data_where_there_is_none(void **state)
{
  (void)state;
  ask(VERB_stat);
  say("data 1 0", "x", 1);
  assert_true(is_closed());
}

static void forgotten(void **state)
{
  int64_t req = ask(VERB_get);

  (void)state;
  say("data 1 0", "hello", 5);
  ops_forget(&w.s, req);
  say("data 1 5", "hello", 5);
  done(req, 5, "hello", 5);
  assert_int_equal(w.answers, 0);
  assert_false(is_closed());
}

/* Whoever waits for no longer than that is told so, once; what comes later is for nobody. */
static void patience(void **state)
{
  struct ops_ask of = { .verb = VERB_tail, .max = MOST, .wait_ms = 1 };

  (void)state;
  assert_int_equal(ops_ask(&w.s, &of, answered, &w), 0); /* it does not know `tail` */
  free(w.s.features);
  w.s.features = xstrdup("admin");
  assert_int_equal(ops_ask(&w.s, &of, answered, &w), 1);
  while (!w.answers)
    ops_tick(&w.s);
  assert_string_equal(w.tag, "timeout");
  say("data 1 0", "late", 4);
  ops_tick(&w.s);
  assert_int_equal(w.answers, 1);
  assert_false(is_closed());
  of.wait_ms = 1000000;
  ops_ask(&w.s, &of, answered, &w);
  ask(VERB_stat); /* that one is forgotten with the session */
  ops_tick(&w.s);
  assert_int_equal(w.answers, 1);
  session_close(&w.s, "stop");
  assert_string_equal(w.tag, "away");
  assert_int_equal(w.answers, 2);
}

static void tail(void **state)
{
  struct ops_ask of = { .verb = VERB_tail, .max = 10, .wait_ms = 1000000 };

  (void)state;
  free(w.s.features);
  w.s.features = xstrdup("admin");
  ops_ask(&w.s, &of, answered, &w);
  say("data 1 0", "one\n", 4);
  say("done 1 ok", "bytes=4", 8);
  assert_string_equal(w.tag, "ok");
  assert_string_equal(w.data, "one\n");
  ops_ask(&w.s, &of, answered, &w);
  say("data 2 0", "one\n", 4);
  say("done 2 ok", "bytes=5", 8);
  assert_string_equal(w.tag, "io");
  ops_ask(&w.s, &of, answered, &w);
  say("data 3 0", "0123456789x", 11);
  assert_true(is_closed());
  assert_string_equal(w.tag, "away");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
  const struct CMUnitTest tests[] = { TEST(asked), TEST(whole), TEST(failures), TEST(old_worker), TEST(lies_in_the_sum), TEST(too_long), TEST(endless_listing), TEST(gaps), TEST(data_where_there_is_none), TEST(forgotten), TEST(patience), TEST(tail) };

  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
