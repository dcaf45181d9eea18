/* The few things that both ends of the helper's pipe need: names of errors, and text made fit for the database. */
#include "master/changes/gitwire.h"

#include <string.h>

static const struct {
  enum err err;
  const char *tag;
} tags[] = {
  { ERR_OK, "ok" },             { ERR_AWAY, "away" },       { ERR_TIMEOUT, "timeout" }, { ERR_NOSPACE, "nospace" },
  { ERR_NOTFOUND, "notfound" }, { ERR_DENIED, "denied" },   { ERR_BADARG, "badarg" },   { ERR_TOOBIG, "toobig" },
  { ERR_FAILED, "failed" },
};

const char *gitw_err_tag(enum err e)
{
  for (size_t i = 0; i < COUNT(tags); i++)
    if (tags[i].err == e)
      return tags[i].tag;
  return "failed";
}

bool gitw_err_of(const char *tag, enum err *e)
{
  for (size_t i = 0; i < COUNT(tags); i++)
    if (!strcmp(tags[i].tag, tag)) {
      *e = tags[i].err;
      return true;
    }
  return false;
}

/* Bytes of the character at p, 0 where it is none: too long a form, a surrogate, past U+10FFFF, cut off, or NUL. */
static size_t char_len(const unsigned char *p, size_t n)
{
  static const unsigned long least[] = { 0, 1, 0x80, 0x800, 0x10000 };
  size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
  unsigned long c;

  if (!len || len > n)
    return 0;
  c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xc0) != 0x80)
      return 0;
    c = c << 6 | (p[i] & 0x3fu);
  }
  if (c < least[len] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
    return 0;
  return len;
}

bool gitw_is_utf8(const char *s)
{
  size_t n = strlen(s);

  for (size_t i = 0, k; i < n; i += k)
    if (!(k = char_len((const unsigned char *)s + i, n - i)))
      return false;
  return true;
}

void gitw_utf8(struct buf *out, const char *s, size_t n, bool line)
{
  size_t from = 0, i = 0;

  while (i < n) {
    unsigned char c = (unsigned char)s[i];
    size_t k = char_len((const unsigned char *)s + i, n - i);
    if (k && !(line && (c < 32 || c == 127))) {
      i += k;
      continue;
    }
    buf_add(out, s + from, i - from);
    buf_adds(out, "\xef\xbf\xbd");
    from = ++i;
  }
  buf_add(out, s + from, n - from);
}

size_t gitw_utf8_cut(const char *s, size_t max)
{
  size_t n = strnlen(s, max + 1);

  if (n <= max)
    return n;
  n = max;
  while (n > 0 && max - n < 4 && ((unsigned char)s[n] & 0xc0) == 0x80)
    n--;
  return n;
}
