/* The worker-link key: making it, and the pin that join tokens carry. */
#include "master/workers/link_key.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/workers/link.h"

enum { KEY_PEM_MAX = 16384 }; /* a P-256 key has 241 bytes; text around it is allowed */

/* Without this OpenSSL asks for a passphrase on the terminal. */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
  (void)buf, (void)size, (void)rw, (void)arg;
  return -1;
}

static bool is_p256(EVP_PKEY *key)
{
  char group[64];
  size_t n;

  return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
         !strcmp(group, SN_X9_62_prime256v1);
}

EVP_PKEY *link_key_read(const char *pem)
{
  EVP_PKEY *key = NULL;
  size_t n = strlen(pem);
  BIO *in;

  if (n > KEY_PEM_MAX)
    return NULL;
  in = BIO_new_mem_buf(pem, (int)n);
  assert(in);
  key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
  BIO_free(in);
  if (key && !is_p256(key)) {
    EVP_PKEY_free(key);
    key = NULL;
  }
  ERR_clear_error();
  return key;
}

char *link_key_pem(EVP_PKEY *key)
{
  BIO *out = BIO_new(BIO_s_mem());
  char *text, *pem;
  long n;
  int ok;

  assert(key && out);
  ok = PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
  assert(ok);
  n = BIO_get_mem_data(out, &text);
  pem = xstrndup(text, (size_t)n);
  mem_wipe(text, (size_t)n);
  BIO_free(out);
  EVP_PKEY_free(key);
  return pem;
}

char *link_key_make(void)
{
  return link_key_pem(EVP_EC_gen(SN_X9_62_prime256v1));
}

enum err link_key_pin(const char *pem, char hex[65])
{
  unsigned char hash[SHA256_DIGEST_LENGTH], *der = NULL;
  EVP_PKEY *key = link_key_read(pem);
  int n;

  if (!key)
    return ERR_BADARG;
  n = i2d_PUBKEY(key, &der);
  assert(n > 0);
  SHA256(der, (size_t)n, hash);
  str_hex(hash, sizeof hash, hex);
  OPENSSL_free(der);
  EVP_PKEY_free(key);
  return ERR_OK;
}
