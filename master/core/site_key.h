/* The site's key, and what is encrypted with it: AES-256-GCM, with the name and the version of what is encrypted as associated data, so that no row can stand in for another.

   STATE/keys/site.key, 0600: one key a line, 64 hex digits; the first one encrypts, those behind it (of a rotation that is not done with) only decrypt. It is read each time it is needed, and
   wiped: that is rare. Made when the first secret is stored. */
#ifndef MASTER_CORE_SITE_KEY_H
#define MASTER_CORE_SITE_KEY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define SITE_KEY_BYTES 32
#define SITE_KEYS_MAX 2
#define SITE_KEY_ID_MAX 17    /* 16 hex digits of the key's SHA-256, NUL */
#define SITE_KEY_NONCE 12
#define SITE_KEY_TAG 16

struct site_keys {
  int n;
  unsigned char key[SITE_KEYS_MAX][SITE_KEY_BYTES];
  char id[SITE_KEYS_MAX][SITE_KEY_ID_MAX];
};

/* ERR_NOTFOUND: there is none (make: then one is made). ERR_IO, ERR_SYNTAX, ERR_DENIED (open to others): why tells. */
enum err site_keys_read(const char *state, bool make, struct site_keys *k, struct buf *why) must_check;
/* A new key before the others. */
enum err site_keys_add(const char *state, struct site_keys *k, struct buf *why) must_check;
/* Forgets all but the first. */
enum err site_keys_trim(const char *state, struct site_keys *k, struct buf *why) must_check;
void site_keys_wipe(struct site_keys *k);

/* Encrypts with the first key. nonce: made here. sealed: n + SITE_KEY_TAG bytes. */
void site_key_seal(const struct site_keys *k, const char *name, int64_t version, const void *value, size_t n, unsigned char nonce[SITE_KEY_NONCE], unsigned char *sealed);
/* value: n - SITE_KEY_TAG bytes. ERR_NOTFOUND: no key of that id is here; ERR_CORRUPT: not what was encrypted as this with that key. */
enum err site_key_open(const struct site_keys *k, const char *id, const char *name, int64_t version, const void *nonce, const void *sealed, size_t n, unsigned char *value) must_check;
#endif
