/* What a `run` asks for (docs/protocol.md 4): its records, checked by the agent and taken apart by the minder. */
#ifndef WORKER_SPEC_H
#define WORKER_SPEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mem.h"
#include "worker/spool.h"

#define SPEC_GRACE_MS 10000
#define SPEC_ALONE_MS 1680000
#define SPEC_ITEMS_MAX 65536 /* records in one run; the blob's own limit is 4 MiB */

struct spec_secret {
  const char *env, *name; /* the variable, owned; the secret's name, in the blob */
  bool file;              /* the variable has the path of a file with the value */
};

struct spec {
  const char **argv; /* NULL-ended; the strings are in the blob */
  char **env;        /* NULL-ended, each "NAME=value", owned */
  const char **place; /* `fresh` and `mkdir` in their order, NULL-ended */
  unsigned char *fresh; /* place[i] is to be removed first */
  struct spec_secret *secret;
  size_t nsecrets, nenv;
  const char *report; /* the folder of what it reports, or NULL */
  const char *cwd;
  struct spec_part { const char *text; bool secret; } *in; /* standard input: bytes, or the name of a secret; one after the other */
  size_t nin;
  bool fed;           /* standard input is brought while it runs */
  bool terminal;      /* of that size */
  int cols, rows;
  int64_t idle_ms, total_ms, grace_ms, alone_ms;
  const char *log[SPOOL_STREAMS_MAX - 1]; /* places of files that are followed: streams 1 … nlogs */
  int nlogs;
  int64_t limit_bytes, limit_lines; /* of its output (cut.h); 0: none */
};

/* ERR_OK, or ERR_BADARG and *why (static text). */
enum err spec_check(const char *blob, size_t n, const char **why) must_check;
/* How many streams such a command has: one, and one for each file that is followed. */
int spec_streams(const char *blob, size_t n);
/* Whether its standard input is brought while it runs, and whether it has a terminal. */
bool spec_is_fed(const char *blob, size_t n);
bool spec_has_terminal(const char *blob, size_t n);
/* blob was checked and outlives the spec, which lives as long as its process. work: absolute path for `path` records; path: value of PATH; cmd: the command's id. */
/* All of `in` as one, the caller's to wipe and free; NULL: there is none. values: as of secrets_get(). */
char *spec_input(const struct spec *s, const char *values, size_t nvalues, size_t *n);
/* A variable more, `NAME=value`, taken over; there is room for each of the secrets. */
void spec_set(struct spec *s, char *assignment);
void spec_load(struct spec *s, const char *blob, size_t n, const char *work, const char *path, const char *cmd);
#endif
