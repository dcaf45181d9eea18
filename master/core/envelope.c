/* Sealed for one process. An envelope: the public key of its sender's key, made for it alone, the nonce, the sealed bytes. */
#include "master/core/envelope.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/core/base64.h"
#include "master/core/site_key.h"

#define LABEL "drover envelope"

enum { POINT = 32, HEAD = POINT + SITE_KEY_NONCE };

struct envelope_key {
  EVP_PKEY *key;
  unsigned char public[POINT];
  char address[2 * POINT + 1];
};

static_assert(2 * POINT <= ENVELOPE_ADDRESS_MAX, "an address fits");

struct envelope_key *envelope_key_new(void)
{
  struct envelope_key *k = xcalloc(1, sizeof *k);
  size_t n = POINT;
  int ok;

  k->key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
  ok = k->key && EVP_PKEY_get_raw_public_key(k->key, k->public, &n) == 1 && n == POINT;
  assert(ok);
  str_hex(k->public, POINT, k->address);
  return k;
}

void envelope_key_free(struct envelope_key *k)
{
  if (k)
    EVP_PKEY_free(k->key); /* which wipes it */
  free(k);
}

const char *envelope_address(const struct envelope_key *k)
{
  return k->address;
}

/* The key of an envelope that `sender` sealed for `receiver`, of both of which we have ours. False: other is no point. */
static bool derive(EVP_PKEY *ours, const unsigned char *other, const unsigned char *sender, const unsigned char *receiver, struct site_keys *out)
{
  EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, other, POINT);
  EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(ours, NULL);
  unsigned char text[sizeof LABEL - 1 + 3 * POINT], *at = text + sizeof LABEL - 1;
  size_t n = POINT;
  bool good = theirs && c && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_derive_set_peer(c, theirs) == 1 && EVP_PKEY_derive(c, at, &n) == 1 && n == POINT;

  memset(out, 0, sizeof *out);
  if (good) {
    memcpy(text, LABEL, sizeof LABEL - 1);
    memcpy(at + POINT, sender, POINT);
    memcpy(at + 2 * POINT, receiver, POINT);
    SHA256(text, sizeof text, out->key[0]);
    out->n = 1;
  }
  mem_wipe(text, sizeof text);
  ERR_clear_error();
  EVP_PKEY_CTX_free(c);
  EVP_PKEY_free(theirs);
  return good;
}

char *envelope_seal(const char *address, const char *name, int64_t number, const void *bytes, size_t n)
{
  unsigned char to[POINT], *sealed;
  struct envelope_key *once;
  struct site_keys keys;
  char *text = NULL;

  if (!address || str_unhex(address, strlen(address), to, POINT))
    return NULL;
  once = envelope_key_new();
  if (derive(once->key, to, once->public, to, &keys)) {
    sealed = xmalloc(HEAD + n + SITE_KEY_TAG);
    memcpy(sealed, once->public, POINT);
    site_key_seal(&keys, name, number, bytes, n, sealed + POINT, sealed + HEAD);
    text = str_base64(sealed, HEAD + n + SITE_KEY_TAG);
    free(sealed);
  }
  site_keys_wipe(&keys);
  envelope_key_free(once);
  return text;
}

char *envelope_open(const struct envelope_key *k, const char *text, const char *name, int64_t number, size_t *n)
{
  size_t len, sealed;
  unsigned char *all = (unsigned char *)base64_read(text, &len);
  struct site_keys keys;
  char *bytes = NULL;

  *n = 0;
  if (all && len >= HEAD + SITE_KEY_TAG && derive(k->key, all, all, k->public, &keys)) {
    sealed = len - HEAD;
    bytes = xmalloc(sealed);
    if (site_key_open(&keys, "", name, number, all + POINT, all + HEAD, sealed, (unsigned char *)bytes)) {
      free(bytes);
      bytes = NULL;
    } else {
      *n = sealed - SITE_KEY_TAG;
    }
    site_keys_wipe(&keys);
  }
  ERR_clear_error();
  free(all);
  return bytes;
}
