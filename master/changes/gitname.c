/* Names and addresses that may go to git: a short list of what is allowed, all else is refused, so that nothing can be read as
   an option, another transport, a range of revisions or a word for a shell. */
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"

enum { BRANCH_MAX = 240, URL_MAX = 2048, HOST_MAX = 253, PORT_MAX = 65535, HG_DIGITS = 40, SVN_DIGITS = 10 };
#define SVN_MOST "2147483647"

static bool is_letter_or_digit(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* All of [s, s+n) are letters, digits or in `more`. */
static bool only(const char *s, size_t n, const char *more)
{
  for (size_t i = 0; i < n; i++)
    if (!is_letter_or_digit(s[i]) && (!s[i] || !strchr(more, s[i])))
      return false;
  return true;
}

static bool component_ok(const char *s, size_t n)
{
  return n > 0 && s[0] != '.' && s[n - 1] != '.' && !(n >= 5 && !memcmp(s + n - 5, ".lock", 5));
}

bool gith_is_branch(const char *s)
{
  size_t n = strlen(s);

  if (!n || n > BRANCH_MAX || !is_letter_or_digit(s[0]) || !only(s, n, "._/+@-"))
    return false;
  if (strstr(s, "..") || strstr(s, "@{"))
    return false;
  for (const char *p = s;;) {
    size_t k = strcspn(p, "/");
    if (!component_ok(p, k))
      return false;
    if (!p[k])
      return true;
    p += k + 1;
  }
}

bool gith_is_ref(const char *s)
{
  static const struct { const char *before, *after; } pulls[] = { { "refs/pull/", "/head" }, { "refs/merge-requests/", "/head" }, { "refs/pull-requests/", "/from" } };
  int64_t n;

  if (str_starts(s, "refs/tags/"))
    return gith_is_branch(s + strlen("refs/tags/"));
  for (size_t i = 0; i < COUNT(pulls); i++) {
    const char *number = s + strlen(pulls[i].before);
    size_t digits;
    if (!str_starts(s, pulls[i].before))
      continue;
    digits = strcspn(number, "/");
    return !str_number(number, digits, &n) && n > 0 && !strcmp(number + digits, pulls[i].after);
  }
  return false;
}

bool gith_is_revision(const char *s)
{
  size_t n = strnlen(s, 65);

  return n >= 7 && n <= 64 && strspn(s, "0123456789abcdef") == n;
}

static bool has_control(const char *s)
{
  for (; *s; s++)
    if ((unsigned char)*s < 32 || *s == 127)
      return true;
  return false;
}

static bool host_ok(const char *s, size_t n)
{
  if (n > 2 && s[0] == '[' && s[n - 1] == ']')
    return strspn(s + 1, "0123456789abcdefABCDEF:.") == n - 2;
  return n > 0 && n <= HOST_MAX && is_letter_or_digit(s[0]) && only(s, n, ".-_");
}

static bool port_ok(const char *s, size_t n)
{
  int64_t port;

  return str_number(s, n, &port) == ERR_OK && port > 0 && port <= PORT_MAX;
}

/* name or name:password; ends before the '@'. */
static bool user_ok(const char *s, size_t n)
{
  return n > 0 && s[0] != '-' && s[0] != ':' && only(s, n, "._~%+-:=");
}

static bool path_ok(const char *s)
{
  size_t n = strlen(s);

  if (n < 2 || s[0] != '/' || !only(s, n, "._~/:@%+,=-") || s[1] == '-')
    return false;
  for (const char *p = s; (p = strstr(p, "..")); p += 2)
    if (p[-1] == '/' && (!p[2] || p[2] == '/'))
      return false;
  return true;
}

/* [user@]host[:port]/path, what follows a scheme. top: the server's top will do. */
static bool rest_ok(const char *s, bool top)
{
  size_t n = strcspn(s, "/"), host = n;
  const char *at = memchr(s, '@', n);

  if (at) {
    if (!user_ok(s, (size_t)(at - s)))
      return false;
    n -= (size_t)(at + 1 - s);
    s = at + 1;
    host = n;
  }
  if (memchr(s, '@', n))
    return false;
  for (size_t i = n; i-- > 0 && s[i] != ']';)
    if (s[i] == ':') {
      if (!port_ok(s + i + 1, n - i - 1))
        return false;
      host = i;
      break;
    }
  return host_ok(s, host) && (path_ok(s + n) || (top && (!s[n] || !s[n + 1])));
}

/* user@host:path, as ssh's own short form. */
static bool short_ssh_ok(const char *s)
{
  const char *at = strchr(s, '@'), *colon = at ? strchr(at, ':') : NULL;
  char path[URL_MAX + 2];

  if (!colon || !user_ok(s, (size_t)(at - s)) || memchr(s, ':', (size_t)(at - s)) || !is_letter_or_digit(at[1]) ||
      !host_ok(at + 1, (size_t)(colon - at - 1)) || colon[1] == ':' || colon[1] == '-')
    return false;
  path[0] = '/';
  strcpy(path + 1, colon[1] == '/' ? colon + 2 : colon + 1);
  return path_ok(path);
}

static bool is_svn_revision(const char *s)
{
  size_t n = strspn(s, "0123456789");

  return n > 0 && n <= SVN_DIGITS && !s[n] && s[0] != '0' && (n < SVN_DIGITS || strcmp(s, SVN_MOST) <= 0);
}

bool gith_is_revision_of(enum vcs vcs, const char *s)
{
  if (vcs_is_svn(vcs))
    return is_svn_revision(s);
  return gith_is_revision(s) && (vcs != VCS_HG || strlen(s) <= HG_DIGITS);
}

bool gith_is_full(enum vcs vcs, const char *s)
{
  return vcs_is_svn(vcs) ? is_svn_revision(s) : strlen(s) == HG_DIGITS && gith_is_revision(s);
}

const char *gith_revision_rule(enum vcs vcs)
{
  return vcs_is_svn(vcs) ? "a number" : vcs == VCS_HG ? "7 to 40 hex digits" : "7 to 64 hex digits";
}

static bool local_ok(const char *s)
{
  if (str_starts(s, "file://"))
    s += 7;
  return s[0] == '/' && s[1];
}

/* Of repositories of other kinds there is no short form, and only Mercurial's go over ssh. */
bool gith_is_url_of(enum vcs vcs, const char *s, bool allow_local)
{
  static const struct { const char *scheme; bool svn, hg; } schemes[] = { { "https://", true, true }, { "http://", true, true }, { "svn://", true, false }, { "ssh://", false, true } };
  size_t n = strlen(s);

  if (vcs == VCS_GIT)
    return gith_is_url(s, allow_local);
  if (!n || n > URL_MAX || has_control(s))
    return false;
  for (size_t i = 0; i < COUNT(schemes); i++)
    if (str_starts(s, schemes[i].scheme))
      return (vcs == VCS_HG ? schemes[i].hg : schemes[i].svn) && rest_ok(s + strlen(schemes[i].scheme), true);
  return allow_local && local_ok(s) && (vcs == VCS_HG || str_starts(s, "file://"));
}

bool gith_is_url(const char *s, bool allow_local)
{
  static const char *const schemes[] = { "https://", "http://", "git://", "ssh://" };
  size_t n = strlen(s);

  if (!n || n > URL_MAX)
    return false;
  if (has_control(s))
    return false;
  for (size_t i = 0; i < COUNT(schemes); i++)
    if (str_starts(s, schemes[i]))
      return rest_ok(s + strlen(schemes[i]), false);
  if (allow_local && local_ok(s))
    return true;
  return !strstr(s, "//") && short_ssh_ok(s);
}

bool gith_is_mirror(const char *s)
{
  size_t n = strcspn(s, "@");

  return str_is_name(s, n) && (!s[n] || str_is_name(s + n + 1, strlen(s + n + 1)));
}
