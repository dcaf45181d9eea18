/* The target of a request, taken apart once and strictly. */
#include "master/api/path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "master/api/json.h"

static int hex(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

/* Decodes in place, exactly once. plus: '+' is a blank (queries). */
static const char *decode(char *s, bool plus)
{
  char *out = s;
  const char *in = s;

  while (*in) {
    unsigned char c = (unsigned char)*in++;
    if (c == '%') {
      int high = hex(in[0]), low = high < 0 ? -1 : hex(in[1]);
      if (low < 0)
        return "a percent sign without two hex digits";
      c = (unsigned char)(high << 4 | low);
      in += 2;
      if (!c)
        return "a NUL byte";
    } else if (c == '+' && plus) {
      c = ' ';
    }
    *out++ = (char)c;
  }
  *out = 0;
  return utf8_valid(s, (size_t)(out - s)) ? NULL : "bytes that are not UTF-8";
}

/* Characters that front ends, file systems and servers disagree about. None of our names has them. */
static const char *check_segment(const char *s)
{
  if (!*s)
    return "an empty segment";
  if (!strcmp(s, ".") || !strcmp(s, ".."))
    return "a segment of dots";
  for (; *s; s++) {
    if (strchr("/\\;?#", *s))
      return "one of / \\ ; ? # in a segment";
    if ((unsigned char)*s < ' ' || *s == 127)
      return "a control byte";
  }
  return NULL;
}

static const char *check_raw(const char *s)
{
  if (s[0] != '/')
    return "no slash at its start";
  if (strlen(s) > PATH_TARGET_MAX)
    return "too many bytes";
  for (; *s; s++)
    if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 127 || *s == '#')
      return "a byte that must be percent-encoded";
  return NULL;
}

static const char *parse_segments(struct path *p, char *s)
{
  const char *why;

  if (!*s)
    return NULL;
  for (char *next; s; s = next) {
    next = strchr(s, '/');
    p->slash = !next && !*s && p->nseg;
    if (p->slash)
      return NULL;
    if (next)
      *next++ = 0;
    if (p->nseg == PATH_SEGMENTS_MAX)
      return "too many segments";
    if (strpbrk(s, "\\;"))
      return "one of \\ ; in a segment";
    if ((why = decode(s, false)) || (why = check_segment(s)))
      return why;
    p->seg[p->nseg++] = s;
  }
  return NULL;
}

static const char *parse_query(struct path *p, char *s)
{
  const char *why;

  for (char *next; s; s = next) {
    char *value;
    next = strchr(s, '&');
    if (next)
      *next++ = 0;
    if (!*s)
      continue;
    value = strchr(s, '=');
    if (value)
      *value++ = 0;
    else
      value = s + strlen(s);
    if ((why = decode(s, true)) || (why = decode(value, true)))
      return why;
    if (path_query(p, s))
      return "a key given twice";
    if (p->nquery == PATH_QUERY_MAX)
      return "too many keys";
    p->query[p->nquery].key = s;
    p->query[p->nquery++].value = value;
  }
  return NULL;
}

/* What is left of the target behind the prefix; itself where it doesn't begin with that. "" and "?…" stand for the prefix alone. */
static const char *behind(const char *target, const char *prefix)
{
  size_t n = prefix ? strlen(prefix) : 0;

  return n && !strncmp(target, prefix, n) && strchr("/?", target[n]) ? target + n : target;
}

enum err path_parse(struct path *p, const char *target, const char *prefix, const char **why)
{
  const char *rest;
  char *query;

  memset(p, 0, sizeof *p);
  *why = check_raw(target);
  if (*why)
    return ERR_BADARG;
  rest = behind(target, prefix);
  p->memory = *rest == '/' ? xstrdup(rest) : xasprintf("/%s", rest);
  query = strchr(p->memory, '?');
  if (query)
    *query++ = 0;
  *why = parse_segments(p, p->memory + 1);
  if (!*why)
    *why = parse_query(p, query);
  return *why ? ERR_BADARG : ERR_OK;
}

void path_free(struct path *p)
{
  free(p->memory);
  memset(p, 0, sizeof *p);
}

const char *path_query(const struct path *p, const char *key)
{
  for (int i = 0; i < p->nquery; i++)
    if (!strcmp(p->query[i].key, key))
      return p->query[i].value;
  return NULL;
}
