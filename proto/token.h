/* Join tokens: HOST:PORT[,…]#spki-sha256:HEX[,…]#name:secret, or …#pool/name:secret (docs/protocol.md 9). */
#ifndef PROTO_TOKEN_H
#define PROTO_TOKEN_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define TOKEN_ADDRESSES_MAX 8
#define TOKEN_PINS_MAX 2
#define TOKEN_SECRET_LEN 43 /* digits of 6 bits: 258 bits */
#define TOKEN_POOL "pool/"  /* what stands before the name in a pool's */

struct token_address {
  char *host; /* or the path of a unix socket */
  char port[6];
  bool is_unix;
};

struct token {
  struct token_address address[TOKEN_ADDRESSES_MAX];
  int addresses;
  unsigned char pin[TOKEN_PINS_MAX][32];
  int pins;
  char *name, *secret;
  bool pool; /* the name is that of a pool */
};

/* Leading and trailing white space is skipped. ERR_SYNTAX: *why (static text) says which part is wrong; nothing of the secret is in it. */
enum err token_parse(const char *s, struct token *t, const char **why) must_check;
void token_free(struct token *t); /* wipes the secret */
enum err token_address_parse(const char *s, struct token_address *a) must_check; /* a.host is the caller's */
void token_put(struct buf *out, const struct token *t);
/* A new secret, for a token or a key. */
void token_secret(char out[TOKEN_SECRET_LEN + 1]);
#endif
