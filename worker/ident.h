/* Who this worker is: DIR/ident, and the highest command id ever given. */
#ifndef WORKER_IDENT_H
#define WORKER_IDENT_H
#include <stdint.h>

#include "common/err.h"
#include "common/str.h"

#define IDENT_INSTANCE_LEN 32

struct ident {
  char instance[IDENT_INSTANCE_LEN + 1];
  int64_t conn, incarnation;
  struct id high;
  int dir, high_fd; /* dir is the caller's */
};

/* Reads it, or makes a new one where there is none. ERR_CORRUPT, ERR_IO and so on with *why (static). */
enum err ident_load(struct ident *i, int dir, const char **why) must_check;
/* tmp, fsync, rename, fsync of the folder: before the greeting that uses it. */
enum err ident_save(struct ident *i) must_check;
/* Notes a command's id; survives the agent, not the host (the spool and ident do). */
void ident_note(struct ident *i, struct id cmd);
#endif
