/* Addresses and networks, and what is believed of a proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "master/api/proxy.h"

static struct net_addr addr(const char *s)
{
  struct net_addr a;

  if (net_addr_parse(s, strlen(s), &a))
    fail_msg("%s is no address", s);
  return a;
}

static struct net network(const char *s)
{
  struct net n;

  if (net_parse(s, &n))
    fail_msg("%s is no network", s);
  return n;
}

static void test_addresses(void **state)
{
  static const char *const same[][2] = {
    { "127.0.0.1", "127.0.0.1" }, { "::1", "::1" }, { "0:0:0:0:0:0:0:1", "::1" }, { "::ffff:10.1.2.3", "10.1.2.3" }, { "2001:DB8::7", "2001:db8::7" }, { "::", "::" }, { "0.0.0.0", "0.0.0.0" },
  };
  static const char *const bad[] = { "", " ", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.0.0.1", "1.2.3.4 ", " 1.2.3.4", "localhost", "1.2.3.4:80", "[::1]", "::1%lo", ":::", "::ffff:1.2.3", "12345::",
                                     "1111:2222:3333:4444:5555:6666:7777:8888:9999", "1111:2222:3333:4444:5555:6666:255.255.255.2555", "0x7f.1" };
  char text[NET_TEXT_MAX];
  struct net_addr a;

  (void)state;
  for (size_t i = 0; i < COUNT(same); i++) {
    a = addr(same[i][0]);
    assert_string_equal(net_addr_text(&a, text), same[i][1]);
  }
  for (size_t i = 0; i < COUNT(bad); i++)
    if (!net_addr_parse(bad[i], strlen(bad[i]), &a))
      fail_msg("%s is taken", bad[i]);
  assert_int_equal(net_addr_parse("127.0.0.1x", 9, &a), ERR_OK);
  assert_int_equal(net_addr_parse("127.0.0.1\0", 10, &a), ERR_SYNTAX);
}

static void test_networks(void **state)
{
  static const struct {
    const char *net, *in, *out;
  } cases[] = {
    { "10.0.0.0/8", "10.255.0.1", "11.0.0.0" },
    { "10.0.0.0/8", "::ffff:10.9.9.9", "a00::" },
    { "192.168.4.0/22", "192.168.7.255", "192.168.8.0" },
    { "127.0.0.1", "127.0.0.1", "127.0.0.2" },
    { "127.0.0.1", "::ffff:127.0.0.1", "::1" },
    { "127.0.0.1/32", "127.0.0.1", "127.0.0.0" },
    { "::1", "::1", "::2" },
    { "::ffff:127.0.0.1", "127.0.0.1", "127.0.0.3" },
    { "0.0.0.0/0", "203.0.113.9", "2001:db8::1" },
    { "::/0", "203.0.113.9", NULL },
    { "fd00::/8", "fdff::1", "fe00::" },
    { "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
  };
  static const char *const bad[] = { "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8", "::/129", "10/8", "/8", "", "*", "nginx", "10.0.0.0/255.0.0.0", "fe80::1%eth0" };
  struct net n;

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct net_addr in = addr(cases[i].in), out = addr(cases[i].out ? cases[i].out : "::");
    n = network(cases[i].net);
    if (!net_has(&n, &in) || (cases[i].out && net_has(&n, &out)))
      fail_msg("%s: %s %d, %s %d", cases[i].net, cases[i].in, net_has(&n, &in), cases[i].out, net_has(&n, &out));
  }
  for (size_t i = 0; i < COUNT(bad); i++)
    if (net_parse(bad[i], &n) != ERR_SYNTAX)
      fail_msg("%s is taken", bad[i]);
  assert_int_equal(net_parse("10.0.0.1/8", &n), ERR_BADARG);
  assert_int_equal(net_parse("2001:db8::1/64", &n), ERR_BADARG);
}

/* With 127.0.0.1, 10.0.0.0/8 and fd00::/8 trusted. */
static const struct {
  const char *peer, *x_for, *forwarded, *client;
} asks[] = {
  { "127.0.0.1", NULL, NULL, "127.0.0.1" },
  { "127.0.0.1", "203.0.113.9", NULL, "203.0.113.9" },
  { "::ffff:127.0.0.1", "203.0.113.9", NULL, "203.0.113.9" },
  { "198.51.100.7", "203.0.113.9", "for=203.0.113.9", "198.51.100.7" },    /* not trusted */
  { "127.0.0.2", "203.0.113.9", NULL, "127.0.0.2" },
  { "127.0.0.1", "1.1.1.1, 203.0.113.9", NULL, "203.0.113.9" },            /* the client's own words stand left */
  { "127.0.0.1", "1.1.1.1,203.0.113.9,10.2.3.4", NULL, "203.0.113.9" },    /* two proxies of ours */
  { "127.0.0.1", "203.0.113.9, 10.1.1.1, 10.2.3.4", NULL, "203.0.113.9" },
  { "127.0.0.1", "10.1.1.1, 203.0.113.9, 10.2.3.4", NULL, "203.0.113.9" },
  { "127.0.0.1", "10.1.1.1, 10.2.3.4", NULL, "10.1.1.1" },                 /* somebody inside */
  { "127.0.0.1", "10.1.1.1, junk, 10.2.3.4", NULL, "10.2.3.4" },           /* behind what can't be read nothing is known */
  { "127.0.0.1", "203.0.113.9, junk", NULL, "127.0.0.1" },
  { "127.0.0.1", "junk, 203.0.113.9", NULL, "203.0.113.9" },
  { "127.0.0.1", "\", 203.0.113.9", NULL, "203.0.113.9" },                 /* no quotes to hide behind */
  { "127.0.0.1", "", NULL, "127.0.0.1" },
  { "127.0.0.1", " , ,203.0.113.9, ,", NULL, "203.0.113.9" },
  { "127.0.0.1", "203.0.113.9:4711", NULL, "203.0.113.9" },
  { "127.0.0.1", "[2001:db8::1]:4711", NULL, "2001:db8::1" },
  { "127.0.0.1", "2001:db8::1", NULL, "2001:db8::1" },
  { "127.0.0.1", "[2001:db8::1", NULL, "127.0.0.1" },
  { "127.0.0.1", "[2001:db8::1]x", NULL, "127.0.0.1" },
  { "127.0.0.1", "2001:db8::1, fd00::2", NULL, "2001:db8::1" },
  { "127.0.0.1", NULL, "for=203.0.113.9", "203.0.113.9" },
  { "127.0.0.1", NULL, "For=203.0.113.9;Proto=https, for=10.1.1.1;by=10.2.2.2", "203.0.113.9" },
  { "127.0.0.1", NULL, "for=1.1.1.1, for=203.0.113.9", "203.0.113.9" },
  { "127.0.0.1", NULL, "for=\"[2001:db8::1]:4711\"", "2001:db8::1" },
  { "127.0.0.1", NULL, "for=unknown", "127.0.0.1" },
  { "127.0.0.1", NULL, "for=_hidden, for=10.1.1.1", "10.1.1.1" },
  { "127.0.0.1", NULL, "for=\", for=203.0.113.9", "127.0.0.1" },           /* an open quote swallows the rest: nothing is believed */
  { "127.0.0.1", NULL, "for=203.0.113.9;for=1.1.1.1", "127.0.0.1" },
  { "127.0.0.1", NULL, "for=\"203.0.113\\.9\"", "127.0.0.1" },
  { "127.0.0.1", NULL, "proto=https", "127.0.0.1" },
  { "127.0.0.1", "203.0.113.9", "for=203.0.113.9", "203.0.113.9" },
  { "127.0.0.1", "203.0.113.9", "for=1.1.1.1", "127.0.0.1" },              /* one of the two is the client's */
  { "127.0.0.1", "203.0.113.9", "junk", "127.0.0.1" },
};

static int trust(struct net trusted[3])
{
  trusted[0] = network("127.0.0.1");
  trusted[1] = network("10.0.0.0/8");
  trusted[2] = network("fd00::/8");
  return 3;
}

static void test_client(void **state)
{
  struct net trusted[3];
  int n = trust(trusted);

  (void)state;
  for (size_t i = 0; i < COUNT(asks); i++) {
    struct proxy_says says = { .x_for = asks[i].x_for, .forwarded = asks[i].forwarded };
    struct net_addr peer = addr(asks[i].peer);
    struct proxy_asked asked;
    char text[NET_TEXT_MAX];
    proxy_read(&says, &peer, trusted, n, &asked);
    if (strcmp(net_addr_text(&asked.client, text), asks[i].client))
      fail_msg("%zu: %s instead of %s", i, text, asks[i].client);
    proxy_read(&says, &peer, NULL, 0, &asked); /* the default: nobody is trusted */
    assert_memory_equal(&asked.client, &peer, sizeof peer);
    assert_false(asked.scheme || asked.has_host);
  }
}

static void test_names(void **state)
{
  static const struct {
    const char *peer, *proto, *host, *forwarded, *scheme, *name;
  } cases[] = {
    { "127.0.0.1", "https", "ci.example.org", NULL, "https", "ci.example.org" },
    { "127.0.0.1", "HTTP", "ci.example.org:8443", NULL, "http", "ci.example.org:8443" },
    { "127.0.0.1", "http, https", "evil, ci.example.org", NULL, "https", "ci.example.org" },
    { "127.0.0.1", "gopher", NULL, NULL, NULL, NULL },
    { "127.0.0.2", "https", "ci.example.org", "for=1.1.1.1;host=ci", NULL, NULL },
    { "127.0.0.1", NULL, NULL, "for=203.0.113.9;proto=https;host=ci.example.org", "https", "ci.example.org" },
    { "127.0.0.1", NULL, NULL, "for=203.0.113.9;host=ci, for=10.1.1.1;host=inner;proto=http", NULL, "ci" },
    { "127.0.0.1", NULL, NULL, "for=1.1.1.1;host=evil, for=203.0.113.9;host=\"ci:443\"", NULL, "ci:443" },
    { "127.0.0.1", "https", NULL, "for=203.0.113.9;host=evil", "https", NULL },
  };
  struct net trusted[3];
  int n = trust(trusted);

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct proxy_says says = { .x_proto = cases[i].proto, .x_host = cases[i].host, .forwarded = cases[i].forwarded };
    struct net_addr peer = addr(cases[i].peer);
    struct proxy_asked asked;
    proxy_read(&says, &peer, trusted, n, &asked);
    if (!asked.scheme != !cases[i].scheme || (asked.scheme && strcmp(asked.scheme, cases[i].scheme)))
      fail_msg("%zu: %s", i, asked.scheme);
    if (asked.has_host != !!cases[i].name || (asked.has_host && strcmp(asked.host, cases[i].name)))
      fail_msg("%zu: %s", i, asked.host);
  }
}

/* A name that doesn't fit is one that was said, and no name of ours. */
static void test_long_name(void **state)
{
  char host[PROXY_HOST_MAX + 1];
  struct proxy_says says = { .x_host = host };
  struct net trusted[3];
  struct proxy_asked asked;
  struct net_addr peer = addr("127.0.0.1");
  int n = trust(trusted);

  (void)state;
  memset(host, 'a', sizeof host);
  host[PROXY_HOST_MAX] = 0;
  proxy_read(&says, &peer, trusted, n, &asked);
  assert_true(asked.has_host && !*asked.host);
  host[PROXY_HOST_MAX - 1] = 0;
  proxy_read(&says, &peer, trusted, n, &asked);
  assert_string_equal(asked.host, host);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_addresses), cmocka_unit_test(test_networks), cmocka_unit_test(test_client), cmocka_unit_test(test_names), cmocka_unit_test(test_long_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
