/* Text that comes from elsewhere, made fit for the database, for JSON and for people. One character: str_utf8 (str.h). */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/mem.h"

bool utf8_valid(const char *p, size_t n) must_check; /* no surrogates, nothing overlong; NUL counts as a character */
/* Adds n bytes at p as valid UTF-8 without NUL, which PostgreSQL's text refuses; what is not valid becomes U+FFFD, with `line` control bytes, too. At most three times as long. */
void utf8_clean(struct buf *out, const char *p, size_t n, bool line);
/* The same of p (NULL: nothing) as a new string of at most max bytes (a limit, not SIZE_MAX): no character is cut. */
char *utf8_text(const char *p, size_t n, size_t max, bool line) must_check;
/* The longest length up to max that does not cut a character of the string s. */
size_t utf8_cut(const char *s, size_t max) must_check;
#endif
