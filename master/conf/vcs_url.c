/* Addresses of repositories, taken apart. They have been looked at already (conf_repo.c, changes/gitname.c); what is none gives nothing. */
#include "master/conf/vcs_url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

struct url {
  const char *scheme, *user, *host; /* user NULL: none */
  size_t nscheme, nuser, nhost;     /* the host with its port */
};

static bool split(const char *s, struct url *u)
{
  const char *sep = strstr(s, "://"), *end, *at;

  *u = (struct url){ 0 };
  if (sep) {
    u->scheme = s;
    u->nscheme = (size_t)(sep - s);
    s = sep + strlen("://");
    end = s + strcspn(s, "/?#");
  } else if (s[0] != '/' && strchr(s, ':')) {
    u->scheme = "ssh";
    u->nscheme = strlen("ssh");
    end = s + strcspn(s, ":");
  } else {
    return false;
  }
  at = memchr(s, '@', (size_t)(end - s));
  if (at) {
    u->user = s;
    u->nuser = (size_t)(at - s);
    if (memchr(s, ':', u->nuser))
      u->nuser = strcspn(s, ":");
    s = at + 1;
  }
  u->host = s;
  u->nhost = (size_t)(end - s);
  return u->nhost > 0;
}

bool vcs_url_is_ssh(const char *url)
{
  return str_starts(url, "ssh://") || (url[0] != '/' && !strstr(url, "://"));
}

bool vcs_url_is_safe(const char *url)
{
  static const char *const here[] = { "127.0.0.1", "localhost", "[::1]" };
  struct url u;

  if (str_starts(url, "https://"))
    return true;
  if (!split(url, &u) || !str_starts(url, "http://"))
    return false;
  for (size_t i = 0; i < COUNT(here); i++)
    if (u.nhost >= strlen(here[i]) && !memcmp(u.host, here[i], strlen(here[i])) && (u.nhost == strlen(here[i]) || u.host[strlen(here[i])] == ':'))
      return true;
  return false;
}

/* "https://host", in small letters, without the port that the scheme has anyway. */
static char *origin(const char *url)
{
  static const struct { const char *scheme, *port; } usual[] = { { "https://", ":443" }, { "http://", ":80" }, { "ssh://", ":22" }, { "svn://", ":3690" }, { "git://", ":9418" } };
  struct url u;
  char *out;

  if (!split(url, &u))
    return NULL;
  out = xasprintf("%.*s://%.*s", (int)u.nscheme, u.scheme, (int)u.nhost, u.host);
  for (char *p = out; *p; p++)
    *p = (char)tolower((unsigned char)*p);
  for (size_t i = 0; i < COUNT(usual); i++) {
    size_t n = strlen(out), port = strlen(usual[i].port);
    if (str_starts(out, usual[i].scheme) && n > port && !strcmp(out + n - port, usual[i].port))
      out[n - port] = 0;
  }
  return out;
}

bool vcs_url_same_server(const char *a, const char *b)
{
  char *x = origin(a), *y = origin(b);
  bool same = x && y && !strcmp(x, y);

  free(x);
  free(y);
  return same;
}

char *vcs_url_server(const char *url)
{
  struct url u;

  if (!strstr(url, "://") || !split(url, &u))
    return NULL;
  return xasprintf("%.*s://%.*s/", (int)u.nscheme, u.scheme, (int)u.nhost, u.host);
}

char *vcs_url_user(const char *url)
{
  struct url u;
  char *out, *to;

  if (!split(url, &u) || !u.nuser)
    return NULL;
  to = out = xcalloc(1, u.nuser + 1);
  for (size_t i = 0; i < u.nuser; i++) {
    char c = u.user[i];
    if (c == '%' && i + 2 < u.nuser && !str_unhex((char[]){ (char)tolower((unsigned char)u.user[i + 1]), (char)tolower((unsigned char)u.user[i + 2]) }, 2, &c, 1))
      i += 2;
    *to++ = c;
  }
  return out;
}
