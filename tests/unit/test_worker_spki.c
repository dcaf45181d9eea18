/* The public key of certificates that OpenSSL makes, against what OpenSSL says of them; and of all that a certificate becomes when it is cut, or a byte of it is another. */
#include "worker/spki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "common/mem.h"

struct made {
  unsigned char *cert, *spki; /* DER */
  int cert_len, spki_len;
};

static struct made make(EVP_PKEY *key, long version)
{
  struct made m = { NULL, NULL, 0, 0 };
  X509 *x = X509_new();
  X509_NAME *name = X509_get_subject_name(x);

  assert_non_null(key);
  assert_true(X509_set_version(x, version) && ASN1_INTEGER_set(X509_get_serialNumber(x), 77) && X509_gmtime_adj(X509_getm_notBefore(x), 0) && X509_gmtime_adj(X509_getm_notAfter(x), 60));
  assert_true(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"any", -1, -1, 0) && X509_set_issuer_name(x, name) && X509_set_pubkey(x, key));
  assert_true(X509_sign(x, key, EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()));
  m.cert_len = i2d_X509(x, &m.cert);
  m.spki_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &m.spki);
  assert_true(m.cert_len > 0 && m.spki_len > 0);
  X509_free(x);
  EVP_PKEY_free(key);
  return m;
}

static void drop(struct made *m)
{
  OPENSSL_free(m->cert);
  OPENSSL_free(m->spki);
}

static void expect(EVP_PKEY *key, long version, bool p256)
{
  struct made m = make(key, version);
  const unsigned char *point;
  size_t start, size;

  assert_true(spki_find(m.cert, (size_t)m.cert_len, &start, &size));
  assert_int_equal(size, m.spki_len);
  assert_memory_equal(m.cert + start, m.spki, size);
  point = spki_p256(m.cert + start, size);
  if (p256)
    assert_true(point == m.cert + start + size - SPKI_P256_POINT_LEN && *point == 4);
  else
    assert_null(point);
  drop(&m);
}

static void keys(void **state)
{
  (void)state;
  expect(EVP_EC_gen("P-256"), X509_VERSION_3, true);
  expect(EVP_EC_gen("P-256"), X509_VERSION_1, true); /* which isn't written down */
  expect(EVP_EC_gen("P-384"), X509_VERSION_3, false);
  expect(EVP_EC_gen("secp256k1"), X509_VERSION_3, false); /* as long as P-256 */
  expect(EVP_RSA_gen(2048), X509_VERSION_3, false);
  expect(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), X509_VERSION_3, false);
}

/* In memory of just this size, so that the sanitizers see a byte too far. */
static bool found(const unsigned char *p, size_t n)
{
  unsigned char *copy = xmalloc(n ? n : 1);
  size_t start, size;
  bool ok;

  memcpy(copy, p, n);
  ok = spki_find(n ? copy : copy + 1, n, &start, &size);
  assert_true(!ok || (start < n && size <= n - start));
  if (ok)
    spki_p256(copy + start, size);
  free(copy);
  return ok;
}

static void broken(void **state)
{
  static const unsigned char other[] = { 0x00, 0x02, 0x30, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84, 0xa0, 0xff };
  struct made m = make(EVP_EC_gen("P-256"), X509_VERSION_3);

  (void)state;
  for (int n = 0; n < m.cert_len; n++)
    assert_false(found(m.cert, (size_t)n));
  for (int i = 0; i < m.cert_len; i++)
    for (size_t k = 0; k < COUNT(other); k++) {
      unsigned char was = m.cert[i];
      m.cert[i] = other[k];
      found(m.cert, (size_t)m.cert_len);
      m.cert[i] = was;
    }
  assert_true(found(m.cert, (size_t)m.cert_len));
  drop(&m);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(keys), cmocka_unit_test(broken) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
