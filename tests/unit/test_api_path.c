/* The router: shapes of paths that two parsers could read differently are refused, what is left finds its route or none. Host and Origin rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"
#include "master/api/auth.h"
#include "master/api/json.h"
#include "master/api/routes.h"

/* 404 and 405 as the server would say them, 400 for a refused path, 200 for a route. */
static int status_of(const char *method, const char *target)
{
  const char *why, *args[ROUTE_ARGS_MAX];
  struct path p;
  struct buf allow;
  int n, status = 400;

  buf_init(&allow, 256);
  if (!path_parse(&p, target, "/ci", &why)) {
    assert_null(why);
    status = route_find(method, &p, args, &n, &allow) ? 200 : allow.len ? 405 : 404;
  } else {
    assert_non_null(why);
  }
  path_free(&p);
  buf_free(&allow);
  return status;
}

static void test_routes(void **state)
{
  const char *why, *args[ROUTE_ARGS_MAX];
  struct path p;
  struct buf allow;
  int n;

  (void)state;
  routes_check();
  assert_int_equal(status_of("GET", "/"), 200);
  assert_int_equal(status_of("GET", "/api/v1/status"), 200);
  assert_int_equal(status_of("HEAD", "/api/v1/status"), 200);
  assert_int_equal(status_of("POST", "/api/v1/status"), 405);
  assert_int_equal(status_of("OPTIONS", "/api/v1/builds"), 405);
  assert_int_equal(status_of("get", "/api/v1/status"), 405);
  assert_int_equal(status_of("GET", "/api/v1"), 404);
  assert_int_equal(status_of("GET", "/api/v1/builds/a/b/1/logs"), 404);
  assert_int_equal(status_of("GET", "/api/v1/builds/a/b/1/logs/x/y"), 404);
  assert_int_equal(status_of("GET", "/api/v1/statusx"), 404);
  assert_int_equal(status_of("GET", "/api/v1/statu"), 404);
  assert_int_equal(status_of("GET", "/api/v1/builds/a/b/1/rerun"), 405);
  assert_int_equal(status_of("POST", "/api/v1/builds/a/b/1/rerun"), 200);
  assert_int_equal(status_of("DELETE", "/api/v1/workers/w"), 200);

  buf_init(&allow, 256);
  assert_int_equal(path_parse(&p, "/api/v1/builds/my%20lib/linux%5Bgcc%5D/42/logs/a%2Bb?from=1&x=a+b%2Fc&e&=v&", NULL, &why), ERR_OK);
  assert_non_null(route_find("GET", &p, args, &n, &allow));
  assert_int_equal(n, 4);
  assert_string_equal(args[0], "my lib");
  assert_string_equal(args[1], "linux[gcc]");
  assert_string_equal(args[2], "42");
  assert_string_equal(args[3], "a+b");
  assert_string_equal(path_query(&p, "from"), "1");
  assert_string_equal(path_query(&p, "x"), "a b/c");
  assert_string_equal(path_query(&p, "e"), "");
  assert_null(path_query(&p, "y"));
  path_free(&p);
  assert_int_equal(path_parse(&p, "/api/v1/workers", NULL, &why), ERR_OK);
  assert_null(route_find("PUT", &p, args, &n, &allow));
  assert_string_equal(buf_str(&allow), "GET, HEAD, POST");
  path_free(&p);
  buf_free(&allow);
}

/* The path that the page is reached by is taken off once, and only as a whole. */
static void test_prefix(void **state)
{
  static const struct {
    const char *target;
    int status;
  } cases[] = {
    { "/ci", 200 }, { "/ci/", 200 }, { "/ci/api/v1/status", 200 }, { "/ci?x=1", 200 }, { "/ci/?x=1", 200 }, { "/", 200 }, { "/api/v1/status", 200 },
    { "/cix", 404 }, { "/cix/api/v1/status", 404 }, { "/ci/ci", 404 }, { "/CI/", 404 }, { "/ci//", 400 }, { "//ci/", 400 }, { "/ci/../api/v1/status", 400 },
    { "/ci%2fapi/v1/status", 400 }, { "/%63i/api/v1/status", 404 }, { "/ci/api/v1/builds/../status", 400 }, { "/ci;/api", 400 }, { "/ci#", 400 },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++)
    if (status_of("GET", cases[i].target) != cases[i].status)
      fail_msg("%s: %d", cases[i].target, status_of("GET", cases[i].target));
}

/* Every mutation at every place of every path: nothing is taken for a route. */
static void test_mutations(void **state)
{
  static const char *const bases[] = { "/api/v1/status", "/api/v1/builds/libfoo/linux/42", "/api/v1/workers/here", "/api/v1/builds/libfoo/linux/42/logs/test" };
  static const char *const bad[] = {
    "%2e%2e/", "../", "./", "%2e/", "%2f", "%2F", "%5c", "\\", ";", ";.jsp", ";a=b/", "%3b", "%00", "%g", "%4z", "%zz", "%c0%af", "%c0%ae", "%ff", "%ed%a0%80", "%0a", "%0d%0aX:y", "%09", "%7f", "//", "#x",
    "%23", "%3f", "\x80", "\xc3\xa9", " ", "\t", "\"%00",
  };
  int tried = 0;

  (void)state;
  for (size_t b = 0; b < COUNT(bases); b++)
    for (size_t m = 0; m < COUNT(bad); m++)
      for (size_t at = 0; at <= strlen(bases[b]); at++) {
        char target[256];
        int status;
        snprintf(target, sizeof target, "%.*s%s%s", (int)at, bases[b], bad[m], bases[b] + at);
        status = status_of("GET", target);
        if (status != 400 && status != 404)
          fail_msg("%s: %d", target, status);
        if (strpbrk(bad[m], ";\\# \t\x80") || !strcmp(bad[m], "//"))
          assert_int_equal(status, 400);
        tried++;
      }
  assert_true(tried > 1000);
}

static void test_shapes(void **state)
{
  static const char *const refused[] = {
    "", "*", "api/v1/status", "http://x/api/v1/status", "//", "//api", "/api//", "/api//v1", "/api/./v1", "/api/../v1", "/%2e", "/%2E%2e", "/a%2Fb", "/a%5Cb", "/a;b", "/a%3Bb", "/a%00", "/a?b=%00", "/a?b=%",
    "/a?b=1&b=2", "/a?b=%ff", "/a#b", "/a b", "/a\x7f", "/a\xff", "/1/2/3/4/5/6/7/8/9/10/11/12/13", "/a?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17", "/a%\x30", "/..;/api",
  };
  char longest[PATH_TARGET_MAX + 2];

  (void)state;
  for (size_t i = 0; i < COUNT(refused); i++)
    if (status_of("GET", refused[i]) != 400)
      fail_msg("%s is not refused", refused[i]);
  memset(longest, 'a', sizeof longest);
  longest[0] = '/';
  longest[PATH_TARGET_MAX] = 0;
  assert_int_equal(status_of("GET", longest), 404);
  longest[PATH_TARGET_MAX] = 'a';
  longest[PATH_TARGET_MAX + 1] = 0;
  assert_int_equal(status_of("GET", longest), 400);
  assert_int_equal(status_of("GET", "/RPC2"), 404);
  assert_int_equal(status_of("GET", "/api/v1/status/"), 404);
  assert_int_equal(status_of("GET", "/download/"), 200);
  assert_int_equal(status_of("GET", "/download"), 200);
  assert_int_equal(status_of("GET", "/download/x/"), 404);
  assert_int_equal(status_of("GET", "/api/v1/%73tatus"), 200); /* decoded once */
  assert_int_equal(status_of("GET", "/api/v1/%2573tatus"), 404);
  assert_int_equal(status_of("GET", "/%252e%252e"), 404);
}

static void test_host(void **state)
{
  static const char *const good[] = { "localhost", "LocalHost:1", "localhost.", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:7420", "192.0.2.7", "192.0.2.7:7420", "ci.example.org", "CI.example.org:443" };
  static const char *const bad[] = { "", ":", ":80", "localhost:", "localhost:8x", "localhost:80:80", "[::1", "::1", "[::1]x", "[::2]", "192.0.2.8", "example.org", "xci.example.org", "ci.example.org.evil",
                                     "localhost.evil", "a@localhost", "localhost/", "127.1", "0", "0.0.0.0", "2130706433" };
  const char *url = "https://ci.example.org/drover/";

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++)
    if (!auth_host(good[i], "192.0.2.7", url))
      fail_msg("%s is refused", good[i]);
  for (size_t i = 0; i < COUNT(bad); i++)
    if (auth_host(bad[i], "192.0.2.7", url))
      fail_msg("%s is taken", bad[i]);
  assert_false(auth_host(NULL, "127.0.0.1", url));
  assert_false(auth_host("ci.example.org", "", NULL));
}

static void test_origin(void **state)
{
  const char *url = "https://ci.example.org/drover/";

  (void)state;
  assert_true(auth_origin("http://localhost:7420", "localhost:7420", NULL, url));
  assert_true(auth_origin("https://ci.example.org", "localhost:7420", NULL, url));
  assert_true(auth_origin("https://CI.example.org", "ci.example.org", NULL, NULL));
  assert_false(auth_origin("http://ci.example.org", "localhost", NULL, url));
  assert_false(auth_origin("http://localhost", "localhost:7420", NULL, url));
  assert_true(auth_origin("https://ci2.example.org", "ci2.example.org", "https", url));
  assert_false(auth_origin("http://ci2.example.org", "ci2.example.org", "https", url));
  assert_false(auth_origin("https://ci2.example.org", "ci2.example.org", "http", url));
  assert_false(auth_origin("http://localhost:7420/", "localhost:7420", NULL, url));
  assert_false(auth_origin("null", "localhost", NULL, url));
  assert_false(auth_origin("", "localhost", NULL, url));
  assert_false(auth_origin("ftp://localhost", "localhost", NULL, url));
  assert_false(auth_origin("https://ci.example.org:444", "localhost", NULL, url));
  assert_false(auth_origin("https://ci.example.or", "localhost", NULL, url));
  assert_false(auth_origin("http://", NULL, NULL, NULL));
}

static void test_text(void **state)
{
  cJSON *s = json_bytes("a\0\xff\xc3\xa4\xed\xa0\x80", 8);

  (void)state;
  assert_string_equal(s->valuestring, "a\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  cJSON_Delete(s);
  assert_true(utf8_valid("", 0));
  assert_true(utf8_valid("\xf4\x8f\xbf\xbf", 4));
  assert_false(utf8_valid("\xf4\x90\x80\x80", 4));
  assert_false(utf8_valid("\xc0\x80", 2));
  assert_false(utf8_valid("\xe0\x80\x80", 3));
  assert_false(utf8_valid("\xc3", 1));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_routes), cmocka_unit_test(test_prefix), cmocka_unit_test(test_mutations), cmocka_unit_test(test_shapes), cmocka_unit_test(test_host), cmocka_unit_test(test_origin), cmocka_unit_test(test_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
