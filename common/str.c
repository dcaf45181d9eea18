/* Strings: checked numbers, durations, names, hex, comparing secrets. */
#include "common/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum err str_number(const char *s, size_t n, int64_t *out)
{
  int64_t v = 0;

  if (n < 1 || n > 19 || (s[0] == '0' && n > 1))
    return ERR_SYNTAX;
  for (size_t i = 0; i < n; i++) {
    int d = s[i] - '0';
    if (d < 0 || d > 9 || v > (INT64_MAX - d) / 10)
      return ERR_SYNTAX;
    v = v * 10 + d;
  }
  *out = v;
  return ERR_OK;
}

enum err str_id(const char *s, size_t n, struct id *out)
{
  const char *hyphen = memchr(s, '-', n);
  size_t k;

  if (!hyphen)
    return ERR_SYNTAX;
  k = (size_t)(hyphen - s);
  if (str_number(s, k, &out->inc) || str_number(hyphen + 1, n - k - 1, &out->n))
    return ERR_SYNTAX;
  return ERR_OK;
}

char *str_id_text(struct id id, char out[STR_ID_MAX])
{
  snprintf(out, STR_ID_MAX, "%" PRId64 "-%" PRId64, id.inc, id.n);
  return out;
}

int str_id_cmp(struct id a, struct id b)
{
  if (a.inc != b.inc)
    return a.inc < b.inc ? -1 : 1;
  return a.n < b.n ? -1 : a.n > b.n;
}

enum err str_duration(const char *s, int64_t *ms)
{
  static const struct { const char *unit; int64_t ms; } units[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
  size_t digits = strspn(s, "0123456789");
  int64_t v;

  if (str_number(s, digits, &v))
    return ERR_SYNTAX;
  if (v == 0 && !s[digits]) {
    *ms = 0;
    return ERR_OK;
  }
  for (size_t i = 0; i < COUNT(units); i++)
    if (!strcmp(s + digits, units[i].unit)) {
      if (v > INT64_MAX / units[i].ms)
        return ERR_TOOBIG;
      *ms = v * units[i].ms;
      return ERR_OK;
    }
  return ERR_SYNTAX;
}

char *str_duration_text(int64_t ms, char out[STR_DURATION_MAX])
{
  static const struct { int64_t ms; const char *unit; } units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
  size_t i = 0;

  while (ms % units[i].ms)
    i++;
  if (ms)
    snprintf(out, STR_DURATION_MAX, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
  else
    strcpy(out, "0");
  return out;
}

enum err str_size(const char *s, int64_t *bytes)
{
  static const char units[] = "KMGT";
  size_t digits = strspn(s, "0123456789");
  const char *unit = s[digits] ? strchr(units, s[digits]) : NULL;
  int64_t v;
  int shift;

  if (str_number(s, digits, &v))
    return ERR_SYNTAX;
  if (v == 0 && !s[digits]) {
    *bytes = 0;
    return ERR_OK;
  }
  if (!unit || s[digits + 1])
    return ERR_SYNTAX;
  shift = 10 * (int)(unit - units + 1);
  if (v > INT64_MAX >> shift)
    return ERR_TOOBIG;
  *bytes = v << shift;
  return ERR_OK;
}

char *str_size_text(int64_t bytes, char out[STR_SIZE_MAX])
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  uint64_t n = bytes > 0 ? (uint64_t)bytes : 0, rest;
  int u = 0, whole, tenth;

  while (n >> (10 * u) >= 1024)
    u++;
  whole = (int)(n >> (10 * u));
  rest = n - ((uint64_t)whole << (10 * u));
  tenth = (int)(rest * 10 >> (10 * u));
  if (whole < 10 && tenth)
    snprintf(out, STR_SIZE_MAX, "%d.%d %s", whole, tenth, units[u]);
  else
    snprintf(out, STR_SIZE_MAX, "%d %s", whole, units[u]);
  return out;
}

static bool is_alnum(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool str_is_name(const char *s, size_t n)
{
  if (n < 1 || n > 64 || !is_alnum(s[0]))
    return false;
  for (size_t i = 1; i < n; i++)
    if (!is_alnum(s[i]) && s[i] != '.' && s[i] != '_' && s[i] != '-')
      return false;
  return true;
}

bool str_starts(const char *s, const char *prefix)
{
  return !strncmp(s, prefix, strlen(prefix));
}

const char *str_last(const char *s, size_t n, char c)
{
  while (n && s[n - 1] != c)
    n--;
  return n ? s + n - 1 : NULL;
}

bool str_eq(const char *a, const char *b)
{
  return a && b ? !strcmp(a, b) : a == b;
}

char *str_base64(const void *p, size_t n)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *u = p;
  char *out = xmalloc((n + 2) / 3 * 4 + 1), *at = out;

  for (size_t i = 0; i < n; i += 3) {
    unsigned long v = (unsigned long)u[i] << 16 | (i + 1 < n ? (unsigned long)u[i + 1] << 8 : 0) | (i + 2 < n ? u[i + 2] : 0);
    *at++ = digits[v >> 18];
    *at++ = digits[v >> 12 & 63];
    *at++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
    *at++ = i + 2 < n ? digits[v & 63] : '=';
  }
  *at = 0;
  return out;
}

void str_hex(const void *p, size_t n, char *out)
{
  static const char digits[] = "0123456789abcdef";
  const unsigned char *u = p;

  for (size_t i = 0; i < n; i++) {
    *out++ = digits[u[i] >> 4];
    *out++ = digits[u[i] & 15];
  }
  *out = 0;
}

static int hex_digit(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err str_unhex(const char *s, size_t slen, void *out, size_t n)
{
  unsigned char *u = out;

  if (slen != 2 * n)
    return ERR_SYNTAX;
  for (size_t i = 0; i < n; i++) {
    int hi = hex_digit(s[2 * i]), lo = hex_digit(s[2 * i + 1]);
    if (hi < 0 || lo < 0)
      return ERR_SYNTAX;
    u[i] = (unsigned char)(hi << 4 | lo);
  }
  return ERR_OK;
}

bool str_secret_eq(const void *a, const void *b, size_t n)
{
  const volatile unsigned char *x = a, *y = b;
  unsigned char diff = 0;

  for (size_t i = 0; i < n; i++)
    diff |= x[i] ^ y[i];
  return diff == 0;
}

/* Backtracks only to the last star of each kind: linear in practice, quadratic at worst. */
bool str_glob(const char *p, const char *s)
{
  const char *star = NULL, *star_s = NULL, *deep = NULL, *deep_s = NULL;

  for (;;) {
    if (p[0] == '*' && p[1] == '*') {
      deep = p += 2;
      deep_s = s;
      star = NULL;
    } else if (*p == '*') {
      star = ++p;
      star_s = s;
    } else if (*p && *s && (*p == *s || (*p == '?' && *s != '/'))) {
      p++, s++;
    } else if (!*p && !*s) {
      return true;
    } else if (star && *star_s && *star_s != '/') {
      p = star;
      s = ++star_s;
    } else if (deep && *deep_s) {
      p = deep;
      s = ++deep_s;
      star = NULL;
    } else {
      return false;
    }
  }
}

unsigned str_distance(const char *a, const char *b)
{
  unsigned row[64], n = (unsigned)strlen(b);

  if (strlen(a) > 63 || n > 63)
    return 99;
  for (unsigned j = 0; j <= n; j++)
    row[j] = j;
  for (unsigned i = 1; a[i - 1]; i++) {
    unsigned diagonal = row[0];
    row[0] = i;
    for (unsigned j = 1; j <= n; j++) {
      unsigned above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
      if (above + 1 < best)
        best = above + 1;
      if (row[j - 1] + 1 < best)
        best = row[j - 1] + 1;
      diagonal = above;
      row[j] = best;
    }
  }
  return row[n];
}

size_t str_utf8(const char *s, size_t n, uint32_t *out)
{
  static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
  const unsigned char *u = (const unsigned char *)s;
  size_t len = u[0] < 0x80   ? 1
               : u[0] < 0xc0 ? 0
               : u[0] < 0xe0 ? 2
               : u[0] < 0xf0 ? 3
               : u[0] < 0xf8 ? 4
                             : 0;
  uint32_t c;

  if (!len || len > n)
    return 0;
  c = len == 1 ? u[0] : u[0] & (0x7fu >> len);
  for (size_t i = 1; i < len; i++) {
    if ((u[i] & 0xc0) != 0x80)
      return 0;
    c = c << 6 | (u[i] & 0x3f);
  }
  if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
    return 0;
  if (out)
    *out = c;
  return len;
}
