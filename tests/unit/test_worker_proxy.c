/* A proxy's URL, the request to it, and its answer: whole, cut at every place, and as bad as they come. */
#include "worker/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void good(const char *url, const char *host, const char *port, const char *credentials)
{
  const char *why;
  struct proxy p;

  if (proxy_parse(url, &p, &why))
    fail_msg("%s: %s", url, why);
  assert_string_equal(p.address.host, host);
  assert_string_equal(p.address.port, port);
  if (credentials)
    assert_string_equal(p.credentials, credentials);
  else
    assert_null(p.credentials);
  proxy_free(&p);
}

static void test_urls(void **state)
{
  static const char *const bad[] = {
    "", "no", "p:1", "https://p:1", "socks5://p:1", "http://", "http:///", "http://p:", "http://p:0", "http://p:65536", "http://p:1/x", "http://p q:1", "http://u@p:1", "http://:x@p:1",
    "http://u:%0a@p:1", "http://u:%zz@p:1", "http://u:%4@p:1", "http://u:p@", "http://a,b:1", "http://p:1#x", "http://::1:8", "http://unix:/x", "http://u:p\r\nX: y@p:1", "http://u%3a:p@h",
  };
  const char *why;
  struct proxy p;

  (void)state;
  good("http://proxy.example.org:3128", "proxy.example.org", "3128", NULL);
  good("http://proxy/", "proxy", "3128", NULL);
  good("http://10.0.0.1:80/", "10.0.0.1", "80", NULL);
  good("http://[::1]:8", "::1", "8", NULL);
  good("http://[::1]", "::1", "3128", NULL);
  good("http://u:p@h:1", "h", "1", "dTpw");
  good("http://u:@h:1", "h", "1", "dTo=");
  good("http://user:p%40%3A%25@h:1", "h", "1", "dXNlcjpwQDol"); /* user:p@:% */
  good("http://user:p@ss@h:1", "h", "1", "dXNlcjpwQHNz");       /* the last @ counts */
  for (size_t i = 0; i < COUNT(bad); i++) {
    if (!proxy_parse(bad[i], &p, &why))
      fail_msg("%s is taken", bad[i]);
    assert_non_null(why);
    assert_null(p.credentials);
  }
}

static void test_request(void **state)
{
  struct token_address to = { .host = (char *)(uintptr_t)"ci1", .port = "7421" }, six = { .host = (char *)(uintptr_t)"::1", .port = "7" };
  const char *why;
  struct proxy p;
  struct buf b;

  (void)state;
  assert_int_equal(proxy_parse("http://u:p@h:1", &p, &why), ERR_OK);
  buf_init(&b, 4096);
  proxy_request(&b, &p, &to);
  assert_string_equal(b.data, "CONNECT ci1:7421 HTTP/1.1\r\nHost: ci1:7421\r\nProxy-Authorization: Basic dTpw\r\n\r\n");
  proxy_free(&p);
  assert_int_equal(proxy_parse("http://h", &p, &why), ERR_OK);
  buf_reset(&b);
  proxy_request(&b, &p, &six);
  assert_string_equal(b.data, "CONNECT [::1]:7 HTTP/1.1\r\nHost: [::1]:7\r\n\r\n");
  proxy_free(&p);
  buf_free(&b);
}

/* The answer in one piece, in two at every place, and byte by byte. */
static void answers(const char *text, enum proxy_answer want, const char *says)
{
  size_t n = strlen(text);

  for (size_t cut = 0; cut <= n; cut++) {
    struct proxy_reply r = { .len = 0 };
    char why[PROXY_WHY_MAX] = "";
    enum proxy_answer a = proxy_take(&r, text, cut, why);
    if (a == PROXY_MORE)
      a = proxy_take(&r, text + cut, n - cut, why);
    if (a != want)
      fail_msg("%s cut at %zu: %d", text, cut, (int)a);
    if (says && !strstr(why, says))
      fail_msg("%s cut at %zu: %s", text, cut, why);
  }
  struct proxy_reply r = { .len = 0 };
  char why[PROXY_WHY_MAX];
  enum proxy_answer a = PROXY_MORE;
  for (size_t i = 0; i < n && a == PROXY_MORE; i++)
    a = proxy_take(&r, text + i, 1, why);
  assert_int_equal(a, want);
}

static void test_answers(void **state)
{
  (void)state;
  answers("HTTP/1.1 200 Connection established\r\n\r\n", PROXY_OPEN, NULL);
  answers("HTTP/1.0 200 OK\r\nVia: x\r\nA: b\r\n\r\n", PROXY_OPEN, NULL);
  answers("HTTP/1.1 200\n\n", PROXY_OPEN, NULL);
  answers("HTTP/1.1 204 \r\n\r\n", PROXY_OPEN, NULL);
  answers("HTTP/1.1 200 OK\r\nVia: x\r\n", PROXY_MORE, NULL);
  answers("HTTP/1.1 20", PROXY_MORE, NULL);
  answers("HTTP/1.1 407 Proxy Authentication Required\r\n", PROXY_REFUSED, "the proxy refuses: 407 Proxy Authentication Required (it wants");
  answers("HTTP/1.1 403 Forbidden\r\nX: y\r\n\r\nbody", PROXY_REFUSED, "the proxy refuses: 403 Forbidden");
  answers("HTTP/1.1 502 \x1b]0;x\x07\xff\r\n", PROXY_REFUSED, "502 ?]0;x??");
  answers("HTTP/1.1 100 Continue\r\n", PROXY_REFUSED, "100 Continue");
  answers("SSH-2.0-OpenSSH_9\r\n", PROXY_BROKEN, "does not begin with HTTP/1.");
  answers("\r\n", PROXY_BROKEN, "no status line");
  answers("HTTP/2 200 OK\r\n", PROXY_BROKEN, "does not begin");
  answers("HTTP/1.x 200 OK\r\n", PROXY_BROKEN, "no status line");
  answers("HTTP/1.1  200 OK\r\n", PROXY_BROKEN, "no status line");
  answers("HTTP/1.1 2000 OK\r\n", PROXY_BROKEN, "no status line");
  answers("HTTP/1.1 20 OK\r\n", PROXY_BROKEN, "no status line");
  answers("HTTP/1.1\r\n", PROXY_BROKEN, "no status line");
}

static void test_more_than_an_answer(void **state)
{
  struct proxy_reply r = { .len = 0 };
  char why[PROXY_WHY_MAX];

  (void)state;
  assert_int_equal(proxy_take(&r, "HTTP/1.1 200 OK\r\n\r\nx", 20, why), PROXY_BROKEN);
  assert_non_null(strstr(why, "more than its answer"));
}

static void test_endless(void **state)
{
  static const char *const parts[] = { "A: b\r\n", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "\r", "HTTP/1.1 200 " };

  (void)state;
  for (size_t i = 0; i < COUNT(parts); i++) {
    struct proxy_reply r = { .len = 0 };
    char why[PROXY_WHY_MAX];
    const char *head = i == 3 ? "HTTP/1.1 200 " : "HTTP/1.1 200 OK\r\n";
    enum proxy_answer a = proxy_take(&r, head, strlen(head), why);
    size_t given = 0;
    while (a == PROXY_MORE && given < 100000) {
      a = proxy_take(&r, parts[i], strlen(parts[i]), why);
      given += strlen(parts[i]);
    }
    assert_int_equal(a, PROXY_BROKEN);
    assert_non_null(strstr(why, "headers do not end"));
    assert_true(given < PROXY_HEAD_MAX + 100);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_urls), cmocka_unit_test(test_request), cmocka_unit_test(test_answers), cmocka_unit_test(test_more_than_an_answer), cmocka_unit_test(test_endless),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
