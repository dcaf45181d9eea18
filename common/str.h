/* Strings: checked numbers, durations, names, hex, comparing secrets. No locale. */
#ifndef COMMON_STR_H
#define COMMON_STR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/mem.h"

/* An id that a restored database can't confuse: compares by incarnation, then n. Text form "<inc>-<n>" (docs/protocol.md 1). */
struct id {
  int64_t inc, n;
};

#define STR_ID_MAX 48 /* two numbers of 19 digits, a hyphen, NUL, rounded up */

/* Decimal, unsigned, at most 2^63-1, no sign, no leading zero, all of [s, s+n). */
enum err str_number(const char *s, size_t n, int64_t *out) must_check;
enum err str_id(const char *s, size_t n, struct id *out) must_check;
char *str_id_text(struct id id, char out[STR_ID_MAX]); /* returns out */
int str_id_cmp(struct id a, struct id b);

/* "90s" "30m" "1h" "2d" "250ms" or "0"; milliseconds. */
enum err str_duration(const char *s, int64_t *ms) must_check;
#define STR_DURATION_MAX 24
/* The shortest text that str_duration reads as ms (not negative): "90s", "4h"; returns out. */
char *str_duration_text(int64_t ms, char out[STR_DURATION_MAX]);

/* "500M", "10G": a whole number and K, M, G or T (1024 each step), or "0"; bytes. */
enum err str_size(const char *s, int64_t *bytes) must_check;
#define STR_SIZE_MAX 32
/* "3.1 GiB", "10 GiB", "812 B"; returns out. Never more than there is: 9.99 GiB is "9.9 GiB". */
char *str_size_text(int64_t bytes, char out[STR_SIZE_MAX]);

/* 1*64 of [A-Za-z0-9._-], first a letter or digit: names of workers, projects, builders, steps, schedulers. */
bool str_is_name(const char *s, size_t n);
bool str_starts(const char *s, const char *prefix);
const char *str_last(const char *s, size_t n, char c); /* the last c of n bytes; NULL: none */
bool str_eq(const char *a, const char *b); /* NULL equals NULL only */

/* Hex, lower case. out has 2*n+1 bytes. Decoding wants exactly 2*n digits. */
void str_hex(const void *p, size_t n, char *out);
char *str_base64(const void *p, size_t n) must_check; /* with padding; the caller frees it */
enum err str_unhex(const char *s, size_t slen, void *out, size_t n) must_check;

/* Takes the same time wherever the difference is. */
bool str_secret_eq(const void *a, const void *b, size_t n);

/* n random bytes from the kernel; ends the process where there are none. */
void str_random(void *out, size_t n);

/* Glob with * (not over '/'), ** (over '/'), ?; the whole string must match. */
bool str_glob(const char *pattern, const char *s);

/* The character at the start of [s, s+n), n > 0: its length in bytes, 0 where it is not valid UTF-8. out: the character; may be NULL. */
size_t str_utf8(const char *s, size_t n, uint32_t *out);

/* Edit distance, for "did you mean"; strings longer than 63 are far from all. */
unsigned str_distance(const char *a, const char *b);
#endif
