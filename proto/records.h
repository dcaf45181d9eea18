/* Records: key=value NUL, again and again (docs/protocol.md 1). What `run`, `hello` and `done` carry, and what the master tells its helper processes. */
#ifndef PROTO_RECORDS_H
#define PROTO_RECORDS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define RECORDS_KEY_MAX 32

void records_put(struct buf *out, const char *key, const char *value);               /* value without NUL by its nature */
void records_putf(struct buf *out, const char *key, const char *fmt, ...) printf_like(3, 4);
void records_put_n(struct buf *out, const char *key, const char *value, size_t n);   /* a NUL in it makes out->failed */

/* Walk: *at starts at 0. ERR_OK: key and value are set (both NUL-ended, into p; key is copied to `key`).
   ERR_NOTFOUND: the end. ERR_SYNTAX: not records. */
enum err records_next(const char *p, size_t n, size_t *at, char key[RECORDS_KEY_MAX + 1], const char **value) must_check;
/* The first record of that key, or NULL. */
const char *records_get(const char *p, size_t n, const char *key);
bool records_valid(const char *p, size_t n);
/* Is the last of several records `end=1`? So a message of records over a pipe is known to be whole. */
bool records_ended(const struct buf *b);
#endif
