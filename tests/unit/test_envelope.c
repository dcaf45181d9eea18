/* Envelopes: only for whom they were sealed, only as what they were sealed as, only unchanged. */
#include "master/core/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "master/core/base64.h"

static const char bytes[] = "what nobody else may read\0with a NUL";

static void test_there_and_back(void **state)
{
  struct envelope_key *k = envelope_key_new();
  char *text, *again, *got;
  size_t n;

  (void)state;
  for (size_t len = 0; len <= sizeof bytes; len++) {
    text = envelope_seal(envelope_address(k), "p/b/1", 7, bytes, len);
    assert_non_null(text);
    got = envelope_open(k, text, "p/b/1", 7, &n);
    assert_non_null(got);
    assert_int_equal(n, len);
    assert_memory_equal(got, bytes, len);
    free(got);
    again = envelope_seal(envelope_address(k), "p/b/1", 7, bytes, len);
    assert_string_not_equal(text, again);
    free(again);
    free(text);
  }
  envelope_key_free(k);
}

static void refused(const struct envelope_key *k, const char *text, const char *name, int64_t number)
{
  size_t n = 1;

  assert_null(envelope_open(k, text, name, number, &n));
  assert_int_equal(n, 0);
}

static void test_nobody_else(void **state)
{
  struct envelope_key *k = envelope_key_new(), *other = envelope_key_new();
  char *text = envelope_seal(envelope_address(k), "p/b/1", 7, bytes, sizeof bytes);

  (void)state;
  assert_string_not_equal(envelope_address(k), envelope_address(other));
  refused(other, text, "p/b/1", 7);
  refused(k, text, "p/b/2", 7);
  refused(k, text, "p/b/1", 8);
  refused(k, "", "p/b/1", 7);
  refused(k, NULL, "p/b/1", 7);
  refused(k, "AAAA", "p/b/1", 7);
  refused(k, "no base64", "p/b/1", 7);
  for (size_t i = 0; text[i] && text[i] != '='; i++) { /* each character */
    char was = text[i];
    text[i] = was == 'A' ? 'g' : 'A';
    if (text[i + 1] != '=') /* the last one has bits that stand for nothing */
      refused(k, text, "p/b/1", 7);
    text[i] = was;
  }
  free(text);
  envelope_key_free(k);
  envelope_key_free(other);
  envelope_key_free(NULL);
}

static void test_no_address(void **state)
{
  char zeros[65];

  (void)state;
  memset(zeros, '0', 64);
  zeros[64] = 0;
  assert_null(envelope_seal(NULL, "p/b/1", 0, bytes, 1));
  assert_null(envelope_seal("", "p/b/1", 0, bytes, 1));
  assert_null(envelope_seal("0123", "p/b/1", 0, bytes, 1));
  assert_null(envelope_seal(zeros, "p/b/1", 0, bytes, 1)); /* a point whose secret anybody knows */
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_nobody_else), cmocka_unit_test(test_no_address) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
