/* common/: buffers, strings, maps, lists, error codes, state machines, the log. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/list.h"
#include "common/log.h"
#include "common/map.h"
#include "common/mem.h"
#include "common/notify.h"
#include "common/quota.h"
#include "common/sm.h"
#include "common/str.h"
#include "common/utf8.h"

static void test_buf(void **state)
{
  struct buf b;
  char *s;

  (void)state;
  buf_init(&b, 10);
  assert_string_equal(buf_str(&b), "");
  buf_add(&b, NULL, 0);
  assert_false(b.failed);
  buf_adds(&b, "ab");
  buf_addc(&b, 'c');
  buf_addf(&b, "%d", 42);
  assert_string_equal(buf_str(&b), "abc42");
  buf_drop(&b, 0);
  buf_drop(&b, 2);
  assert_string_equal(buf_str(&b), "c42");
  buf_adds(&b, "1234567"); /* exactly the maximum */
  assert_false(b.failed);
  assert_int_equal(b.len, 10);
  buf_addc(&b, 'x');
  assert_true(b.failed);
  assert_string_equal(buf_str(&b), "c421234567");
  buf_add(&b, "", 0); /* sticky */
  assert_false(buf_reserve(&b, 0));
  buf_drop(&b, 10);
  buf_addc(&b, 'x');
  assert_int_equal(b.len, 0);
  assert_true(b.failed);
  buf_reset(&b);
  buf_addc(&b, 'x');
  assert_false(b.failed);
  s = buf_take(&b);
  assert_string_equal(s, "x");
  free(s);
  assert_string_equal(buf_str(&b), "");
  s = buf_take(&b); /* of an empty one */
  assert_string_equal(s, "");
  free(s);
  assert_true(buf_reserve(&b, 10));
  memcpy(b.data, "0123456789", 10);
  buf_grown(&b, 10);
  assert_string_equal(buf_str(&b), "0123456789");
  assert_false(buf_reserve(&b, SIZE_MAX)); /* no overflow */
  buf_free(&b);
  buf_free(&b);

  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < 100000; i++)
    buf_addc(&b, (char)('a' + i % 26));
  assert_int_equal(b.len, 100000);
  assert_int_equal(b.data[99999], 'a' + 99999 % 26);
  assert_int_equal(b.data[100000], 0);
  buf_free(&b);
}

static void test_number(void **state)
{
  static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "01", "00", "0x1", "1a", "a", "9223372036854775808",
                                     "9999999999999999999", "10000000000000000000", "\xb2", ":", "/" };
  int64_t v = -7;

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++) {
    assert_int_equal(str_number(bad[i], strlen(bad[i]), &v), ERR_SYNTAX);
    assert_true(v == -7); /* untouched */
  }
  assert_int_equal(str_number("0", 1, &v), ERR_OK);
  assert_true(v == 0);
  assert_int_equal(str_number("12345", 3, &v), ERR_OK); /* length, not NUL */
  assert_true(v == 123);
  assert_int_equal(str_number("9223372036854775807", 19, &v), ERR_OK);
  assert_true(v == INT64_MAX);
}

static void test_id(void **state)
{
  static const char *const bad[] = { "", "-", "1", "1-", "-1", "1-2-3", "1--2", "01-2", "1-02", "1-2 ", "1_2", "1-9223372036854775808" };
  char text[STR_ID_MAX];
  struct id id, big = { INT64_MAX, INT64_MAX };

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_int_equal(str_id(bad[i], strlen(bad[i]), &id), ERR_SYNTAX);
  str_id_text(big, text);
  assert_string_equal(text, "9223372036854775807-9223372036854775807");
  assert_int_equal(str_id(text, strlen(text), &id), ERR_OK);
  assert_int_equal(str_id_cmp(id, big), 0);
  assert_int_equal(str_id("0-0", 3, &id), ERR_OK);
  assert_true(str_id_cmp((struct id){ 1, 9 }, (struct id){ 2, 0 }) < 0);
  assert_true(str_id_cmp((struct id){ 2, 0 }, (struct id){ 1, 9 }) > 0);
  assert_true(str_id_cmp((struct id){ 2, 3 }, (struct id){ 2, 4 }) < 0);
  assert_true(str_id_cmp((struct id){ 2, 5 }, (struct id){ 2, 4 }) > 0);
}

static void test_duration(void **state)
{
  static const struct { const char *s; int64_t ms; } good[] = {
    { "0", 0 },        { "0s", 0 },        { "0ms", 0 },      { "250ms", 250 },         { "90s", 90000 },
    { "30m", 1800000 }, { "1h", 3600000 }, { "2d", 172800000 }, { "9223372036854775807ms", INT64_MAX },
  };
  static const char *const bad[] = { "", "1", "s", "ms", "-1s", "1.5s", "1 s", " 1s", "1s ", "1S", "1w", "1msx", "01s", "1h30m" };
  int64_t ms;

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++) {
    assert_int_equal(str_duration(good[i].s, &ms), ERR_OK);
    assert_true(ms == good[i].ms);
  }
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_int_equal(str_duration(bad[i], &ms), ERR_SYNTAX);
  assert_int_equal(str_duration("9223372036854775807s", &ms), ERR_TOOBIG);
  assert_int_equal(str_duration("106751991168d", &ms), ERR_TOOBIG);
  assert_int_equal(str_duration("106751991167d", &ms), ERR_OK);
}

static void test_size(void **state)
{
  static const struct { const char *s; int64_t bytes; } good[] = {
    { "0", 0 }, { "1K", 1024 }, { "500M", INT64_C(524288000) }, { "10G", INT64_C(10737418240) }, { "3T", INT64_C(3298534883328) }, { "0G", 0 },
    { "8388607T", INT64_C(8388607) << 40 } };
  static const char *const bad[] = { "", "1", "10", "1.5G", "-1G", "10g", "10GB", "G", " 1G", "1G ", "01G", "1B", "1P", "10%" };
  static const struct { int64_t bytes; const char *text; } texts[] = {
    { 0, "0 B" }, { -5, "0 B" }, { 1023, "1023 B" }, { 1024, "1 KiB" }, { 1536, "1.5 KiB" }, { 10 * 1024, "10 KiB" }, { 1024 * 1024 - 1, "1023 KiB" },
    { 1024 * 1024, "1 MiB" }, { INT64_C(10737418240), "10 GiB" }, { INT64_C(10737418239), "9.9 GiB" }, { INT64_C(3328599655), "3.1 GiB" },
    { INT64_MAX, "7.9 EiB" } };
  char out[STR_SIZE_MAX];
  int64_t v;

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++) {
    assert_int_equal(str_size(good[i].s, &v), ERR_OK);
    assert_int_equal(v, good[i].bytes);
  }
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_int_equal(str_size(bad[i], &v), ERR_SYNTAX);
  assert_int_equal(str_size("8388608T", &v), ERR_TOOBIG);
  for (size_t i = 0; i < COUNT(texts); i++)
    assert_string_equal(str_size_text(texts[i].bytes, out), texts[i].text);
}

static void test_names_and_prefixes(void **state)
{
  static const char *const good[] = { "a", "0", "A.b_c-9", "x..", "linux-x86_64" };
  static const char *const bad[] = { "", ".a", "-a", "_a", "a b", "a/b", "a\n", "\xc3\xa4", "a:", "a\x7f" };
  char text[66];

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++)
    assert_true(str_is_name(good[i], strlen(good[i])));
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_false(str_is_name(bad[i], strlen(bad[i])));
  memset(text, 'x', sizeof text);
  assert_true(str_is_name(text, 64));
  assert_false(str_is_name(text, 65));
  assert_false(str_is_name("a\0b", 3));
  assert_true(str_starts("abc", "ab") && str_starts("abc", "") && str_starts("abc", "abc"));
  assert_false(str_starts("ab", "abc"));
  assert_true(str_eq("a", "a") && str_eq(NULL, NULL));
  assert_false(str_eq("a", "b") || str_eq("a", NULL) || str_eq(NULL, "a"));
}

static void test_hex_and_secrets(void **state)
{
  unsigned char b[4];
  char text[9];

  (void)state;
  str_hex("\x00\x9f\xff\x10", 4, text);
  assert_string_equal(text, "009fff10");
  assert_int_equal(str_unhex("009fff10", 8, b, 4), ERR_OK);
  assert_memory_equal(b, "\x00\x9f\xff\x10", 4);
  assert_int_equal(str_unhex("009FFF10", 8, b, 4), ERR_SYNTAX);
  assert_int_equal(str_unhex("009fff1", 7, b, 4), ERR_SYNTAX);
  assert_int_equal(str_unhex("009fff100", 9, b, 4), ERR_SYNTAX);
  assert_int_equal(str_unhex("009fff1g", 8, b, 4), ERR_SYNTAX);
  assert_int_equal(str_unhex("", 0, b, 0), ERR_OK);
  assert_true(str_secret_eq("abc", "abc", 3) && str_secret_eq("abc", "abd", 2) && str_secret_eq(NULL, NULL, 0));
  assert_false(str_secret_eq("abc", "abd", 3) || str_secret_eq("abc", "bbc", 3));
  memset(b, 0, sizeof b);
  for (int i = 0; i < 10 && !memcmp(b, "\0\0\0", 4); i++)
    str_random(b, sizeof b);
  assert_memory_not_equal(b, "\0\0\0", 4);
  mem_wipe(b, sizeof b);
  assert_memory_equal(b, "\0\0\0", 4);
}

/* The same by definition: try everything. */
static bool slow_glob(const char *p, const char *s)
{
  if (!*p)
    return !*s;
  if (*p == '*') {
    bool deep = p[1] == '*';
    for (const char *rest = p + 1 + deep;; s++) {
      if (slow_glob(rest, s))
        return true;
      if (!*s || (!deep && *s == '/'))
        return false;
    }
  }
  return *s && (*p == *s || (*p == '?' && *s != '/')) && slow_glob(p + 1, s + 1);
}

static void test_glob(void **state)
{
  static const struct { const char *p, *s; bool yes; } rows[] = {
    { "", "", true },          { "", "a", false },         { "a", "", false },       { "*", "", true },
    { "*", "abc", true },      { "*", "a/b", false },      { "**", "a/b/c", true },  { "**", "", true },
    { "?", "a", true },        { "?", "/", false },        { "?", "", false },       { "a?c", "abc", true },
    { "*.c", "x.c", true },    { "*.c", "x.c.c", true },   { "*.c", "d/x.c", false }, { "**.c", "d/x.c", true },
    { "**/*.c", "d/e/x.c", true }, { "**/*.c", "x.c", false }, { "src/**/x", "src/a/b/x", true }, { "src/**/x", "src/x", false },
    { "src/**", "src/", true }, { "src/**", "src", false }, { "*/*", "a/b", true },   { "*/*", "a/b/c", false },
    { "a*b*c", "aXbYbZc", true }, { "a*b*c", "aXbY/c", false }, { "***", "a/b", true }, { "*a*", "bab", true },
    { "release/*", "release/1.0", true }, { "release/*", "release/1.0/x", false }, { "A", "a", false },
  };
  char p[6], s[7];
  unsigned seed = 3;

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_int_equal(str_glob(rows[i].p, rows[i].s), rows[i].yes);
    assert_int_equal(slow_glob(rows[i].p, rows[i].s), rows[i].yes);
  }
  /* against the definition, on short strings of few letters */
  for (int i = 0; i < 200000; i++) {
    size_t np, ns;
    seed = seed * 1103515245 + 12345;
    np = seed >> 8 & 7;
    np = np < sizeof p ? np : sizeof p - 1;
    ns = (seed >> 11 & 7) % sizeof s;
    for (size_t k = 0; k < np; k++)
      p[k] = "**?/a*ab"[(seed = seed * 1103515245 + 12345) >> 16 & 7];
    for (size_t k = 0; k < ns; k++)
      s[k] = "ab/a"[(seed = seed * 1103515245 + 12345) >> 16 & 3];
    p[np] = s[ns] = 0;
    if (str_glob(p, s) != slow_glob(p, s))
      fail_msg("glob %s of %s is not %d", p, s, slow_glob(p, s));
  }
}

static void test_distance(void **state)
{
  char text[65];

  (void)state;
  assert_int_equal(str_distance("", ""), 0);
  assert_int_equal(str_distance("", "abc"), 3);
  assert_int_equal(str_distance("abc", ""), 3);
  assert_int_equal(str_distance("kitten", "sitting"), 3);
  assert_int_equal(str_distance("builder", "bulider"), 2);
  memset(text, 'x', 64);
  text[64] = 0;
  assert_int_equal(str_distance(text, "x"), 99);
  assert_int_equal(str_distance("x", text), 99);
  assert_int_equal(str_distance(text + 1, ""), 63);
  assert_int_equal(str_distance(text + 1, text + 1), 0);
}

static void test_map(void **state)
{
  enum { N = 5000 };
  static int value[N];
  struct map *m = map_new();
  size_t at = 0, seen = 0;
  char key[16];
  int *v;

  (void)state;
  assert_null(map_get(m, "a"));
  assert_null(map_set(m, "a", NULL));
  assert_int_equal(map_count(m), 0);
  for (int i = 0; i < N; i++) {
    snprintf(key, sizeof key, "k%d", i);
    assert_null(map_set(m, key, &value[i]));
  }
  assert_int_equal(map_count(m), N);
  assert_ptr_equal(map_set(m, "k7", &value[8]), &value[7]); /* returns what was there */
  assert_ptr_equal(map_set(m, "k7", &value[7]), &value[8]);
  while ((v = map_next(m, &at))) { /* removing what was just returned */
    value[v - value]++;
    seen++;
    snprintf(key, sizeof key, "k%d", (int)(v - value));
    if ((v - value) % 2)
      assert_ptr_equal(map_set(m, key, NULL), v);
  }
  assert_int_equal(seen, N);
  assert_int_equal(map_count(m), N / 2);
  for (int i = 0; i < N; i++) {
    assert_int_equal(value[i], 1);
    snprintf(key, sizeof key, "k%d", i);
    assert_ptr_equal(map_get(m, key), i % 2 ? NULL : &value[i]);
  }
  assert_ptr_equal(map_set(m, "k1", &value[1]), NULL); /* again, where it was removed */
  assert_ptr_equal(map_get(m, "k1"), &value[1]);
  assert_int_equal(map_count(m), N / 2 + 1);
  map_free(m);
  map_free(NULL);

  m = map_new();
  assert_null(map_set_n(m, 0, &value[0]));
  assert_null(map_set_n(m, UINT64_MAX, &value[1]));
  assert_null(map_set_n(m, 256, &value[2]));
  assert_null(map_get_n(m, 1));
  assert_ptr_equal(map_get_n(m, 0), &value[0]);
  assert_ptr_equal(map_get_n(m, UINT64_MAX), &value[1]);
  assert_ptr_equal(map_get_n(m, 256), &value[2]);
  for (uint64_t i = 0; i < 1000000; i++) { /* comes and goes: it doesn't fill up with removed ones */
    map_set_n(m, 1000 + i, &value[3]);
    assert_ptr_equal(map_set_n(m, 1000 + i, NULL), &value[3]);
  }
  assert_int_equal(map_count(m), 3);
  for (at = seen = 0; map_next(m, &at);)
    seen++;
  assert_int_equal(seen, 3);
  assert_true(at <= 64);
  map_free(m);
}

static void test_list(void **state)
{
  struct node { int n; struct list link; } nodes[4];
  struct list head;
  int sum = 0, want = 0;

  (void)state;
  list_init(&head);
  assert_true(list_empty(&head));
  for (int i = 0; i < 4; i++) {
    nodes[i].n = i;
    list_push(&head, &nodes[i].link);
  }
  list_each(it, &head)
    assert_int_equal(list_of(it, struct node, link)->n, want++);
  assert_int_equal(want, 4);
  list_remove(&nodes[1].link);
  list_remove(&nodes[1].link); /* in no list: fine */
  list_each(it, &head) { /* the body removes itself */
    sum = 10 * sum + list_of(it, struct node, link)->n;
    list_remove(it);
  }
  assert_int_equal(sum, 23); /* 0, 2, 3 */
  assert_true(list_empty(&head));
}

static void test_err(void **state)
{
  (void)state;
  assert_int_equal(ERR_OK, 0);
  assert_string_equal(err_text(ERR_OK), "ok");
  assert_string_equal(err_text(ERR_CORRUPT), "contents do not match their checksum");
  assert_string_equal(err_text((enum err)999), "unknown error");
  assert_int_equal(err_class(ERR_OK), ERR_CLASS_OK);
  assert_int_equal(err_class(ERR_AWAY), ERR_CLASS_RETRY);
  assert_int_equal(err_class(ERR_FENCED), ERR_CLASS_NEVER);
  assert_int_equal(err_class((enum err)999), ERR_CLASS_NEVER);
}

static void test_clock(void **state)
{
  int64_t a = clock_mono_ms(), b = clock_boot_ms(), us = clock_mono_us(), wall = clock_wall_ms();

  (void)state;
  assert_true(wall > INT64_C(1600000000000));
  clock_shift_ms(3600000);
  assert_true(clock_mono_ms() >= a + 3600000);
  assert_true(clock_boot_ms() >= b + 3600000);
  assert_true(clock_mono_us() >= us + INT64_C(3600000000));
  assert_true(clock_wall_ms() < wall + 3600000);
  clock_shift_ms(0);
}

static void test_mem(void **state)
{
  char *s;

  (void)state;
  assert_null(xstrdup(NULL));
  s = xstrndup("abcdef", 3);
  assert_string_equal(s, "abc");
  s = xrealloc(s, 100);
  assert_string_equal(s, "abc");
  free(s);
  s = xasprintf("%s-%d", "a", 5);
  assert_string_equal(s, "a-5");
  free(s);
  free(xmalloc(0));
  free(xcalloc(0, 8));
  free(xmemdup(NULL, 0));
}

enum { IDLE, BUSY, DONE, STATES };

static const struct sm_row rows[STATES] = {
  [IDLE] = { "idle", SM_TO(BUSY) },
  [BUSY] = { "busy", SM_TO(IDLE) | SM_TO(DONE) },
  [DONE] = { "done", 0 },
};

/* The signal that ends a child which makes this move; its last words go to `words`. */
static int death_of_move(int from, int to, char *words, size_t room)
{
  struct rlimit none = { 0, 0 };
  int fds[2], status;
  ssize_t n;
  pid_t pid;

  assert_int_equal(pipe(fds), 0);
  fflush(NULL);
  pid = fork();
  assert_true(pid >= 0);
  if (!pid) {
    struct sm m;
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    dup2(fds[1], 2);
    sm_init(&m, "test 1-2", rows, STATES, from);
    sm_move(&m, to);
    _exit(0);
  }
  close(fds[1]);
  n = read(fds[0], words, room - 1);
  words[n > 0 ? n : 0] = 0;
  close(fds[0]);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_sm(void **state)
{
  char words[256];
  struct sm m;

  (void)state;
  sm_init(&m, "test", rows, STATES, IDLE);
  assert_string_equal(sm_name(&m), "idle");
  assert_true(sm_may(&m, BUSY));
  assert_false(sm_may(&m, IDLE) || sm_may(&m, DONE) || sm_may(&m, -1) || sm_may(&m, STATES) || sm_may(&m, 64));
  sm_move(&m, BUSY);
  sm_move(&m, DONE);
  assert_int_equal(m.state, DONE);
  assert_int_equal(sm_find(rows, STATES, "busy"), BUSY);
  assert_int_equal(sm_find(rows, STATES, "bus"), -1);

  assert_int_equal(death_of_move(IDLE, BUSY, words, sizeof words), 0);
  assert_string_equal(words, "");
  assert_int_equal(death_of_move(IDLE, DONE, words, sizeof words), SIGABRT);
  assert_string_equal(words, "error sm: test 1-2: no move from idle to done\n");
  assert_int_equal(death_of_move(DONE, IDLE, words, sizeof words), SIGABRT);
  assert_int_equal(death_of_move(BUSY, STATES, words, sizeof words), SIGABRT);
  assert_string_equal(words, "error sm: test 1-2: no move from busy to ?\n");
  assert_int_equal(death_of_move(BUSY, -1, words, sizeof words), SIGABRT);
}

static char said[4096];
static int said_level, said_count;

static void sink(enum log_level level, const char *line)
{
  snprintf(said, sizeof said, "%s", line);
  said_level = level;
  said_count++;
}

static void test_log(void **state)
{
  char big[5000];

  (void)state;
  log_set_sink(sink);
  log_info("area", "what n=%d", 3);
  assert_string_equal(said, "info area: what n=3");
  assert_int_equal(said_level, LOG_INFO);
  log_debug("area", "quiet");
  assert_int_equal(said_count, 1);
  log_set_level(LOG_DEBUG);
  log_debug("area", "loud");
  assert_string_equal(said, "debug area: loud");
  log_set_level(LOG_ERROR);
  log_warn("area", "quiet");
  assert_int_equal(said_count, 2);
  log_error("area", "%s", "a\nerror forged: \x1b[31m\x7f\r\xc3\xa4");
  assert_string_equal(said, "error area: a\\x0aerror forged: \\x1b[31m\\x7f\\x0d\xc3\xa4");
  memset(big, '\n', sizeof big - 1);
  big[sizeof big - 1] = 0;
  log_error("area", "%s", big);
  assert_true(strlen(said) < 2048);
  memset(big, 'x', sizeof big - 1);
  log_error("area", "%s", big);
  assert_true(strlen(said) > 2000 && strlen(said) < 2048);
  log_set_level(LOG_INFO);
  log_set_sink(NULL);
}

static void test_log_json(void **state)
{
  char big[5000];

  (void)state;
  log_set_sink(sink);
  assert_false(log_set_format("xml"));
  assert_true(log_set_format("json"));
  log_info("area", "%s", "say \"a\\b\"\n\xff\xc3\xa4");
  assert_int_equal(strncmp(said, "{\"time\":\"2", 10), 0);
  assert_non_null(strstr(said, "Z\",\"level\":\"info\",\"area\":\"area\",\"message\":\"say \\\"a\\\\b\\\"\\u000a\\ufffd\xc3\xa4\"}"));
  memset(big, '"', sizeof big - 1);
  big[sizeof big - 1] = 0;
  log_info("area", "%s", big);
  assert_true(strlen(said) > 2000 && strlen(said) < 2048);
  assert_string_equal(said + strlen(said) - 3, "\"\"}");
  assert_true(log_set_format("text"));
  log_set_sink(NULL);
}

static void test_notify(void **state)
{
  struct sockaddr_un at = { .sun_family = AF_UNIX };
  char got[64] = "";
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

  (void)state;
  notify_send("READY=1"); /* nobody was named: nothing happens */
  snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "drover-test-notify-%d", (int)getpid());
  assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(at.sun_path + 1))), 0);
  at.sun_path[0] = '@';
  setenv("NOTIFY_SOCKET", at.sun_path, 1);
  notify_init();
  assert_null(getenv("NOTIFY_SOCKET"));
  notify_send("STATUS=%d workers", 3);
  assert_int_equal(recv(fd, got, sizeof got - 1, 0), 16);
  assert_string_equal(got, "STATUS=3 workers");
  close(fd);
  notify_send("READY=1"); /* the manager is gone: dropped */
  notify_init();
}

/* So many in a second; then what was kept back is told once, with the first of the next. */
static void test_quota(void **state)
{
  struct quota q = { 0 };
  int missed, passed = 0;

  (void)state;
  for (int i = 0; i < 3 * QUOTA_LINES_PER_S; i++)
    passed += quota_take(&q, 5000 + i, &missed) && !missed;
  assert_int_equal(passed, QUOTA_LINES_PER_S);
  assert_true(quota_take(&q, 6000, &missed));
  assert_int_equal(missed, 2 * QUOTA_LINES_PER_S);
  assert_true(quota_take(&q, 6001, &missed));
  assert_int_equal(missed, 0);
  assert_true(quota_take(&q, 60000, &missed));
  assert_int_equal(missed, 0);
}

/* Found by fuzz_told: a byte that is none becomes three, so texts were longer than they may be, or were cut in the middle of a character. */
static void test_utf8_text(void **state)
{
  static const struct { const char *in; size_t max; const char *out; } cases[] = {
    { "ab", 5, "ab" }, { "abcdef", 5, "abcde" }, { "", 5, "" }, { "ab", 0, "" },
    { "abcd\xc3\xa4", 5, "abcd" }, { "abc\xc3\xa4", 5, "abc\xc3\xa4" }, { "abc\xe2\x82\xac", 5, "abc" }, { "a\xf0\x9f\x98\x80z", 5, "a\xf0\x9f\x98\x80" },
    { "\xff", 5, "\xef\xbf\xbd" }, { "\xff\xff", 5, "\xef\xbf\xbd" }, { "a\x01z", 5, "a\xef\xbf\xbdz" }, { "ab\x01z", 4, "ab" }, { "ab\x01z", 5, "ab\xef\xbf\xbd" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    char *text = utf8_text(cases[i].in, strlen(cases[i].in), cases[i].max, true);
    assert_string_equal(text, cases[i].out);
    free(text);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_buf),   cmocka_unit_test(test_number),   cmocka_unit_test(test_id),
    cmocka_unit_test(test_duration), cmocka_unit_test(test_size), cmocka_unit_test(test_names_and_prefixes), cmocka_unit_test(test_hex_and_secrets),
    cmocka_unit_test(test_glob),  cmocka_unit_test(test_distance), cmocka_unit_test(test_map),
    cmocka_unit_test(test_list),  cmocka_unit_test(test_err),      cmocka_unit_test(test_clock),
    cmocka_unit_test(test_mem),   cmocka_unit_test(test_sm),       cmocka_unit_test(test_log),
    cmocka_unit_test(test_log_json), cmocka_unit_test(test_notify), cmocka_unit_test(test_quota), cmocka_unit_test(test_utf8_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
