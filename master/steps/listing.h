/* The answer to `list` (docs/protocol.md 5): the worker's word, so each entry is checked before anybody sees it. */
#ifndef MASTER_STEPS_LISTING_H
#define MASTER_STEPS_LISTING_H
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mem.h"

enum listing_type { LISTING_FILE, LISTING_DIR, LISTING_LINK, LISTING_OTHER };
struct listing_entry {
  const char *name;       /* into the answer: bytes of no known encoding, without '/'; not "", "." or ".." */
  enum listing_type type;
  int64_t size;           /* bytes */
  unsigned mode;          /* permission bits */
  int64_t mtime;          /* seconds */
};
/* *at starts at 0. ERR_NOTFOUND: the end. ERR_SYNTAX: that is no answer to `list`. */
enum err listing_next(const char *p, size_t n, size_t *at, struct listing_entry *e) must_check;
#endif
