/* Who asks, and whether a browser was talked into asking. */
#include "master/api/auth.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/str.h"

enum { HOST_MAX = 256 };

void auth_peer(int fd, char who[AUTH_WHO_MAX])
{
  struct ucred cred;
  socklen_t len = sizeof cred;
  struct passwd pw, *found = NULL;
  char memory[4096];

  snprintf(who, AUTH_WHO_MAX, "unknown");
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
    return;
  if (getpwuid_r(cred.uid, &pw, memory, sizeof memory, &found) == 0 && found && *found->pw_name)
    snprintf(who, AUTH_WHO_MAX, "%s", found->pw_name);
  else
    snprintf(who, AUTH_WHO_MAX, "uid %ld", (long)cred.uid);
}

static bool all_digits(const char *s, const char *end)
{
  const char *at = s;

  while (at < end && *at >= '0' && *at <= '9')
    at++;
  return at == end && at > s;
}

/* "host", "host:port", "[v6]:port" → host without brackets and last dot. */
static bool split(const char *s, size_t n, char host[HOST_MAX])
{
  const char *start = s, *end, *port;
  size_t len;

  if (n && *s == '[') {
    start = s + 1;
    end = memchr(s, ']', n);
    if (!end)
      return false;
    port = end + 1;
  } else {
    end = memchr(s, ':', n);
    if (!end)
      end = s + n;
    port = end;
  }
  if (port < s + n && (*port != ':' || !all_digits(port + 1, s + n)))
    return false;
  len = (size_t)(end - start);
  if (!len || len >= HOST_MAX)
    return false;
  memcpy(host, start, len);
  host[len] = 0;
  if (len > 1 && host[len - 1] == '.')
    host[len - 1] = 0;
  return true;
}

static bool same_address(const char *a, const char *b)
{
  unsigned char x[16], y[16];

  if (inet_pton(AF_INET, a, x) == 1)
    return inet_pton(AF_INET, b, y) == 1 && !memcmp(x, y, 4);
  if (inet_pton(AF_INET6, a, x) == 1)
    return inet_pton(AF_INET6, b, y) == 1 && !memcmp(x, y, 16);
  return false;
}

static bool loopback(const char *host)
{
  unsigned char a[4];

  return !strcasecmp(host, "localhost") || same_address(host, "::1") || (inet_pton(AF_INET, host, a) == 1 && a[0] == 127);
}

/* The part of a URL between :// and the path, *n bytes; NULL where it has none. */
static const char *authority(const char *url, size_t *n)
{
  const char *s = url ? strstr(url, "://") : NULL;

  *n = 0;
  if (!s)
    return NULL;
  *n = strcspn(s + 3, "/?#");
  return s + 3;
}

bool auth_host(const char *host, const char *local, const char *url)
{
  char name[HOST_MAX], site[HOST_MAX];
  size_t n;
  const char *part = authority(url, &n);

  if (!host || !split(host, strlen(host), name))
    return false;
  if (loopback(name) || same_address(name, local))
    return true;
  return part && split(part, n, site) && !strcasecmp(site, name);
}

bool auth_origin(const char *origin, const char *host, const char *scheme, const char *url)
{
  size_t n, m;
  const char *a = authority(origin, &n), *b = authority(url, &m);

  if (!a || a[n] || !(str_starts(origin, "http://") || str_starts(origin, "https://")))
    return false;
  if (host && strlen(host) == n && !strncasecmp(a, host, n) && (!scheme || (strlen(scheme) == (size_t)(a - origin) - 3 && str_starts(origin, scheme))))
    return true;
  return b && n == m && a - origin == b - url && !strncasecmp(origin, url, (size_t)(b - url) + m);
}
