/* Records: key=value NUL, again and again. */
#include "proto/records.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Length of the key at s, up to its '='; 0: there is none that is well-formed. */
static size_t key_length(const char *s, size_t n)
{
  size_t k = 0;

  while (k < n && k <= RECORDS_KEY_MAX && ((s[k] >= 'a' && s[k] <= 'z') || s[k] == '_'))
    k++;
  return k <= RECORDS_KEY_MAX && k < n && s[k] == '=' ? k : 0;
}

static bool key_ok(const char *key)
{
  size_t n = strlen(key), k = strspn(key, "abcdefghijklmnopqrstuvwxyz_");
  return n >= 1 && n <= RECORDS_KEY_MAX && k == n;
}

void records_put_n(struct buf *out, const char *key, const char *value, size_t n)
{
  size_t k = strlen(key);

  if (!key_ok(key) || n > BUF_NO_MAX - k - 2 || (n && memchr(value, 0, n))) {
    out->failed = true;
    return;
  }
  if (!buf_reserve(out, k + 1 + n + 1)) /* all or nothing */
    return;
  buf_add(out, key, k);
  buf_addc(out, '=');
  buf_add(out, value, n);
  buf_addc(out, 0);
}

void records_put(struct buf *out, const char *key, const char *value)
{
  records_put_n(out, key, value, strlen(value));
}

void records_putf(struct buf *out, const char *key, const char *fmt, ...)
{
  va_list ap;
  char *value;

  va_start(ap, fmt);
  value = xvasprintf(fmt, ap);
  va_end(ap);
  records_put(out, key, value);
  free(value);
}

enum err records_next(const char *p, size_t n, size_t *at, char key[RECORDS_KEY_MAX + 1], const char **value)
{
  const char *s, *end;
  size_t left, k;

  if (*at >= n)
    return ERR_NOTFOUND;
  s = p + *at;
  left = n - *at;
  k = key_length(s, left);
  end = k ? memchr(s + k + 1, 0, left - k - 1) : NULL;
  if (!end)
    return ERR_SYNTAX;
  memcpy(key, s, k);
  key[k] = 0;
  *value = s + k + 1;
  *at += (size_t)(end - s) + 1;
  return ERR_OK;
}

const char *records_get(const char *p, size_t n, const char *key)
{
  char k[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;

  while (records_next(p, n, &at, k, &value) == ERR_OK)
    if (!strcmp(k, key))
      return value;
  return NULL;
}

bool records_valid(const char *p, size_t n)
{
  char k[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;
  enum err e;

  while ((e = records_next(p, n, &at, k, &value)) == ERR_OK)
    continue;
  return e == ERR_NOTFOUND;
}

bool records_ended(const struct buf *b)
{
  static const char end[] = "\0end=1"; /* a record of its own, with its NUL */

  return b->len >= sizeof end && !memcmp(b->data + b->len - sizeof end, end, sizeof end);
}
