/* SHA-256 against OpenSSL's: every length around the blocks, in pieces of every size, by both ways. */
#include "worker/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "common/str.h"

enum { LENGTH_MAX = 300, LARGE = 1 << 20 };
static unsigned char bytes[LARGE];

static void expect(size_t n, size_t piece)
{
  unsigned char sum[SHA256_DIGEST_LENGTH];
  char want[SHA256_HEX_LEN + 1], got[SHA256_HEX_LEN + 1];
  struct sha256 s;

  SHA256(bytes, n, sum);
  str_hex(sum, sizeof sum, want);
  sha256_init(&s);
  for (size_t at = 0; at < n; at += piece)
    sha256_add(&s, bytes + at, n - at < piece ? n - at : piece);
  sha256_end(&s, got);
  assert_string_equal(got, want);
}

static void all(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (unsigned char)(i * 2654435761u >> 13);
  for (size_t n = 0; n <= LENGTH_MAX; n++)
    for (size_t piece = 1; piece <= LENGTH_MAX; piece += piece < 70 ? 1 : 57)
      expect(n, piece);
  expect(LARGE, LARGE);
  expect(LARGE - 1, 4099);
}

static void all_plainly(void **state)
{
  sha256_plainly();
  all(state);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(all), cmocka_unit_test(all_plainly) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
