/* Join tokens: there and back, and every part that can be wrong. */
#include "proto/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX64 "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define PIN "spki-sha256:" HEX64
#define SECRET "AbCdEfGhIjKlMnOpQrStUvWxYz012345" /* 32 */
#define TAIL "#" PIN "#w1:" SECRET

static void there_and_back(const char *s)
{
  const char *why = NULL;
  struct token t;
  struct buf b;

  assert_int_equal(token_parse(s, &t, &why), ERR_OK);
  assert_null(why);
  buf_init(&b, BUF_NO_MAX);
  token_put(&b, &t);
  assert_string_equal(b.data, s);
  buf_free(&b);
  token_free(&t);
  token_free(&t); /* twice is fine */
}

static void test_good(void **state)
{
  const char *why;
  struct token t;

  (void)state;
  there_and_back("ci.example.org:7421" TAIL);
  there_and_back("10.0.0.1:1,[::1]:65535,a-b_c:7421,unix:/run/drover/w.sock" TAIL);
  there_and_back("[fe80::1%eth0]:7421" TAIL);
  there_and_back("h:1#" PIN "," PIN "#a.b_c-d:" SECRET);
  there_and_back("h:1#" PIN "#w:" SECRET "ABCDEFGHIJKLMNOPQRSTUVWXYZabc_-9"); /* 64 */
  there_and_back("unix:/a##w:" SECRET);
  there_and_back("unix:/a##pool/w:" SECRET);
  there_and_back("unix:/a##pool:" SECRET);
  there_and_back("unix:/a,unix:b/c:d##w:" SECRET);
  there_and_back("a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8" TAIL);

  assert_int_equal(token_parse(" \t\n[::1]:7421,unix:/x" TAIL "\r\n ", &t, &why), ERR_OK);
  assert_int_equal(t.addresses, 2);
  assert_string_equal(t.address[0].host, "::1");
  assert_string_equal(t.address[0].port, "7421");
  assert_false(t.address[0].is_unix);
  assert_string_equal(t.address[1].host, "/x");
  assert_true(t.address[1].is_unix);
  assert_int_equal(t.pins, 1);
  assert_int_equal(t.pin[0][1], 0x11);
  assert_int_equal(t.pin[0][31], 0xef);
  assert_string_equal(t.name, "w1");
  assert_string_equal(t.secret, SECRET);
  assert_false(t.pool);
  token_free(&t);

  assert_int_equal(token_parse("unix:/a##pool/linux:" SECRET, &t, &why), ERR_OK);
  assert_true(t.pool);
  assert_string_equal(t.name, "linux");
  token_free(&t);
}

static void test_secret(void **state)
{
  char one[TOKEN_SECRET_LEN + 1], other[TOKEN_SECRET_LEN + 1], text[200];

  (void)state;
  token_secret(one);
  token_secret(other);
  assert_int_equal(strlen(one), TOKEN_SECRET_LEN);
  assert_string_not_equal(one, other);
  snprintf(text, sizeof text, "unix:/a##w:%s", one);
  there_and_back(text);
}

static void test_bad(void **state)
{
  static const char form[] = "not of the form ADDRESS#FINGERPRINT#NAME:SECRET";
  static const char addr[] = "an address is not HOST:PORT or unix:PATH";
  static const char pin[] = "a fingerprint is not spki-sha256: and 64 hex digits";
  static const char name[] = "the name is not one of a worker or a pool";
  static const char secret[] = "the secret is not 32 to 64 letters, digits, _ or -";
  static const struct { const char *s, *why; } rows[] = {
    { "", form },
    { "  ", form },
    { "h:1", form },
    { "h:1#" PIN, form },
    { TAIL, addr },
    { "h" TAIL, addr },
    { "h:" TAIL, addr },
    { ":1" TAIL, addr },
    { "h:0" TAIL, addr },
    { "h:01" TAIL, addr },
    { "h:65536" TAIL, addr },
    { "h:123456" TAIL, addr },
    { "h:-1" TAIL, addr },
    { "h:1x" TAIL, addr },
    { "h i:1" TAIL, addr },
    { "h:1," TAIL, addr },
    { ",h:1" TAIL, addr },
    { "h:1,,i:1" TAIL, addr },
    { "::1:7421" TAIL, addr },
    { "[::1]" TAIL, addr },
    { "[::1]7421" TAIL, addr },
    { "[h]:7421" TAIL, addr },
    { "[]:7421" TAIL, addr },
    { "[::1:7421" TAIL, addr },
    { "unix:" TAIL, addr },
    { "unix:/a b" TAIL, addr },
    { "https://h:1" TAIL, addr },
    { "a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8,i:9" TAIL, "too many addresses" },
    { "h:1##w:" SECRET, "the key's fingerprint is missing" },
    { "unix:/a,h:1##w:" SECRET, "the key's fingerprint is missing" },
    { "h:1#" PIN "," PIN "," PIN "#w:" SECRET, "too many fingerprints" },
    { "h:1#" HEX64 "#w:" SECRET, pin },
    { "h:1#" PIN "0#w:" SECRET, pin },
    { "h:1#spki-sha256:" "#w:" SECRET, pin },
    { "h:1#spki-sha512:" HEX64 "#w:" SECRET, pin },
    { "h:1#" PIN ",#w:" SECRET, pin },
    { "h:1# #w:" SECRET, pin },
    { "h:1#" PIN "#:" SECRET, name },
    { "h:1#" PIN "#" SECRET, name },
    { "h:1#" PIN "#-w:" SECRET, name },
    { "h:1#" PIN "#pool/:" SECRET, name },
    { "h:1#" PIN "#pool/a/b:" SECRET, name },
    { "h:1#" PIN "#pool:/a" SECRET, secret },
    { "h:1#" PIN "#pools/a:" SECRET, name },
    { "h:1#" PIN "#w#x:" SECRET, name },
    { "h:1#" PIN "#w:", secret },
    { "h:1#" PIN "#w:short", secret },
    { "h:1#" PIN "#w:" SECRET SECRET "x", secret },
    { "h:1#" PIN "#w:" SECRET "+", secret },
    { "h:1#" PIN "#w:" SECRET " x", secret },
    { "h:1#" PIN "#w:" SECRET "#", secret },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    const char *why = NULL;
    struct token t;
    assert_int_equal(token_parse(rows[i].s, &t, &why), ERR_SYNTAX);
    assert_string_equal(why, rows[i].why);
    assert_null(t.secret);
    assert_int_equal(t.addresses, 0);
  }
}

static void test_address(void **state)
{
  char path[128] = "unix:";
  struct token_address a;

  (void)state;
  assert_int_equal(token_address_parse("localhost:7421", &a), ERR_OK);
  assert_string_equal(a.host, "localhost");
  free(a.host);
  assert_int_equal(token_address_parse("", &a), ERR_SYNTAX);
  assert_null(a.host);
  assert_int_equal(token_address_parse("a:1,b:1", &a), ERR_SYNTAX);

  memset(path + 5, 'x', 107);
  assert_int_equal(token_address_parse(path, &a), ERR_OK);
  assert_int_equal(strlen(a.host), 107);
  free(a.host);
  path[112] = 'x'; /* longer than a socket's address can be */
  assert_int_equal(token_address_parse(path, &a), ERR_SYNTAX);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_good), cmocka_unit_test(test_secret),
    cmocka_unit_test(test_bad),
    cmocka_unit_test(test_address),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
