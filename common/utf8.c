/* Text from elsewhere. */
#include "common/utf8.h"

#include <string.h>

#include "common/str.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum { CHARACTER_MAX = 4 /* bytes */ };

bool utf8_valid(const char *p, size_t n)
{
  for (size_t len; n; p += len, n -= len)
    if (!(len = str_utf8(p, n, NULL)))
      return false;
  return true;
}

void utf8_clean(struct buf *out, const char *p, size_t n, bool line)
{
  size_t from = 0, i = 0;

  while (i < n) {
    unsigned char c = (unsigned char)p[i];
    size_t len = c ? str_utf8(p + i, n - i, NULL) : 0;
    if (len && !(line && (c < ' ' || c == 0x7f))) {
      i += len;
      continue;
    }
    buf_add(out, p + from, i - from);
    buf_adds(out, REPLACEMENT);
    from = ++i;
  }
  buf_add(out, p + from, n - from);
}

char *utf8_text(const char *p, size_t n, size_t max, bool line)
{
  struct buf b;
  char *text;

  buf_init(&b, BUF_NO_MAX);
  if (p) /* so much that the last character is whole, if it is one */
    utf8_clean(&b, p, n < max + CHARACTER_MAX ? n : max + CHARACTER_MAX, line);
  text = buf_take(&b);
  text[utf8_cut(text, max)] = 0;
  return text;
}

size_t utf8_cut(const char *s, size_t max)
{
  size_t n = strnlen(s, max + 1);

  if (n <= max)
    return n;
  n = max;
  while (n > 0 && max - n < 4 && ((unsigned char)s[n] & 0xc0) == 0x80)
    n--;
  return n;
}
