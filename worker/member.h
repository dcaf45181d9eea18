/* A worker by a pool's token: the key that is its own, and the name that the master has given it. DIR/member, readable by its owner alone.

   The key is made here and kept before it is sent, and the name comes back for it: so an answer that gets lost costs nothing, the same key is given the same name again. */
#ifndef WORKER_MEMBER_H
#define WORKER_MEMBER_H
#include <stdbool.h>

#include "common/err.h"
#include "proto/token.h"

#define MEMBER_NAME_MAX 64

struct member {
  const char *pool;                /* the token's; NULL: the token is of one worker, and all else is empty */
  char name[MEMBER_NAME_MAX + 1];  /* "": none yet */
  char key[TOKEN_SECRET_LEN + 1];
  int dir;                         /* the caller's */
};

/* What is known of the membership in the token's pool; with a new key where there is none yet, or it was of another pool. ERR_CORRUPT, ERR_IO and so on with *why (static). t is borrowed. */
enum err member_load(struct member *m, int dir, const struct token *t, const char **why) must_check;
/* The master calls it so. On disk before it counts. */
enum err member_named(struct member *m, const char *name) must_check;
/* It is no member any more: with another key it may become one anew. */
enum err member_forgotten(struct member *m) must_check;
#endif
