/* What the master says to a helper, and what a host says: from bytes to what is meant by them. Pure. */
#ifndef MASTER_WORKERS_SSH_REQUEST_H
#define MASTER_WORKERS_SSH_REQUEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"

#define SSH_SUM_LEN 64  /* hex digits of a checksum */
#define SSH_WORD_MAX 64 /* bytes of a host's word */

/* Before each line that the host is to say to us: a login may print what it likes. */
#define SSH_MARK "drover-host: "

struct ssh_request {
  const char *name, *user, *host, *port, *dir, *key; /* into the message */
  const char *old_key;                               /* likewise; NULL: there is none */
  const char **pins;                                 /* owned */
  int npins;
};

/* The message stays as long as the request. False: it is not complete. Freed in either case by ssh_request_free(). */
bool ssh_request_read(struct ssh_request *r, const char *p, size_t n) must_check;
void ssh_request_free(struct ssh_request *r);
/* The answer to the host's kind. False: the host has the program that it is to have. */
bool ssh_answer_read(const char *p, size_t n, char sum[SSH_SUM_LEN + 1], int64_t *size) must_check;

/* What stands behind SSH_MARK and `word` in the last such line of what the host has said; "" where there is none. What is too long is cut. */
void ssh_said(const char *text, const char *word, char *out, size_t size);
/* The same, where it is to be a word: of what can't be a name of anything nothing is left. */
void ssh_said_word(const char *text, const char *word, char out[SSH_WORD_MAX + 1]);
#endif
