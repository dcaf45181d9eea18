/* Regular expressions, made safe before the C library sees them. */
#include "master/conf/pattern.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"

bool pattern_make(const char *pattern, regex_t *re, char why[PATTERN_WHY_MAX], const char **help)
{
  char text[128];
  int bad;

  *help = NULL;
  if (strchr(pattern, '{') || strchr(pattern, '\\')) { /* counts and back references are what makes the library slow or large */
    *help = "[[:digit:]], [.] and the like say the same";
    snprintf(why, PATTERN_WHY_MAX, "a regular expression has no \\ and no { here");
    return false;
  }
  bad = regcomp(re, pattern, REG_EXTENDED | REG_NOSUB);
  if (!bad)
    return true;
  regerror(bad, re, text, sizeof text);
  snprintf(why, PATTERN_WHY_MAX, "the regular expression is not well-formed: %s", text);
  return false;
}

/* The piece of POSIX that says the same as backslash c; NULL: there is none. */
static const char *posix(char c, char out[4])
{
  if (c == 'd')
    return "[0-9]";
  if (c == 'w')
    return "[A-Za-z0-9_]";
  if (c == 's')
    return "[[:space:]]";
  if (!ispunct((unsigned char)c) || c == '^' || c == '{')
    return NULL;
  snprintf(out, 4, "[%c]", c);
  return out;
}

bool pattern_make_perl(const char *pattern, regex_t *re, char why[PATTERN_WHY_MAX], const char **help)
{
  struct buf b;
  bool ok = false, set = false;
  char one[4];

  buf_init(&b, BUF_NO_MAX);
  for (const char *p = pattern; *p; p++) {
    const char *piece = !set && *p == '\\' ? posix(p[1], one) : NULL;
    if (!set && *p == '[') { /* a ] that comes first belongs to it */
      size_t first = 1 + (p[1] == '^');
      first += p[first] == ']';
      set = true;
      buf_add(&b, p, first);
      p += first - 1;
    } else if (piece) {
      buf_adds(&b, piece);
      p++;
    } else {
      if (set && *p == ']')
        set = false;
      buf_addc(&b, *p);
    }
  }
  ok = pattern_make(buf_str(&b), re, why, help);
  buf_free(&b);
  return ok;
}
