/* The keys by which this master logs in to the hosts of workers (ssh_key.h): the cluster's, and, while it is being rotated, the one before it, which counts until a person drops it. The row `cluster` has them; a number there rises
   with each change, comes with every heartbeat, and so tells every master to read them anew. */
#ifndef MASTER_WORKERS_SSH_KEYS_H
#define MASTER_WORKERS_SSH_KEYS_H
#include <stdint.h>

#include "common/mem.h"

struct db_res;
struct master;

struct ssh_keys {
  int64_t version;        /* of the row; -1: never read */
  char *key, *old;        /* PEM; NULL: there is none */
  char *line, *line_old;  /* theirs for authorized_keys */
};

struct ssh_keys *ssh_keys_new(void) must_check;
void ssh_keys_free(struct ssh_keys *k);
/* A row with key, old key and number, from column col on. */
void ssh_keys_take(struct ssh_keys *k, const struct db_res *res, int stmt, int col, const char *cluster);
/* A heartbeat's answer has the number as its statement's only value: reads them anew where it is another one. */
void ssh_keys_beaten(struct master *m, const struct db_res *res, int stmt);
#endif
