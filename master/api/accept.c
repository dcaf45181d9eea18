/* Request headers in which a client says what it takes and what it has. */
#include "master/api/accept.h"

#include <string.h>
#include <strings.h>

/* One member of a comma-separated list; *at moves behind it. False: no more. */
static bool member(const char **at, const char **start, size_t *n)
{
  *at += strspn(*at, " \t,");
  *start = *at;
  *n = strcspn(*at, ",");
  *at += *n;
  while (*n && strchr(" \t", (*start)[*n - 1]))
    (*n)--;
  return *n > 0;
}

/* Is the member called so, and not refused with q=0? */
static bool wanted(const char *m, size_t n, const char *name)
{
  size_t len = strlen(name);
  const char *q = memmem(m, n, "q=", 2);

  if (n < len || strncasecmp(m, name, len) || (n > len && !strchr("; \t", m[len])))
    return false;
  return !q || strspn(q + 2, "0.") < strcspn(q + 2, ",; \t");
}

static bool lists(const char *header, const char *name)
{
  const char *m;
  size_t n;

  while (header && member(&header, &m, &n))
    if (wanted(m, n, name))
      return true;
  return false;
}

bool accept_gzip(const char *header)
{
  return lists(header, "gzip");
}

bool accept_html(const char *header)
{
  return lists(header, "text/html");
}

bool accept_has(const char *header, const char *etag)
{
  const char *m;
  size_t n;

  while (header && member(&header, &m, &n)) {
    if (n == 1 && *m == '*')
      return true;
    if (n > 2 && !strncmp(m, "W/", 2)) {
      m += 2;
      n -= 2;
    }
    if (n == strlen(etag) && !memcmp(m, etag, n))
      return true;
  }
  return false;
}
