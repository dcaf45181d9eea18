/* Addresses and networks of both families as one kind of value. */
#include "common/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "common/str.h"

enum { V4_BITS = 32, V6_BITS = 128, MAPPED = V6_BITS - V4_BITS };

static const unsigned char mapped[MAPPED / 8] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void set_v4(struct net_addr *a, const void *four)
{
  memcpy(a->b, mapped, sizeof mapped);
  memcpy(a->b + sizeof mapped, four, V4_BITS / 8);
}

static bool is_v4(const struct net_addr *a)
{
  return !memcmp(a->b, mapped, sizeof mapped);
}

enum err net_addr_parse(const char *s, size_t n, struct net_addr *out)
{
  char text[NET_TEXT_MAX];
  struct in_addr four;

  if (n >= sizeof text || memchr(s, 0, n))
    return ERR_SYNTAX;
  memcpy(text, s, n);
  text[n] = 0;
  if (inet_pton(AF_INET, text, &four) == 1)
    set_v4(out, &four);
  else if (inet_pton(AF_INET6, text, out->b) != 1)
    return ERR_SYNTAX;
  return ERR_OK;
}

/* Keeps the first `bits`; whether others were set. */
static bool cut(struct net_addr *a, int bits)
{
  bool had = false;

  for (int i = 0; i < NET_ADDR_LEN; i++) {
    int keep = bits - 8 * i < 0 ? 0 : bits - 8 * i > 8 ? 8 : bits - 8 * i;
    unsigned char mask = (unsigned char)(0xff00 >> keep);
    had |= (a->b[i] & ~mask) != 0;
    a->b[i] &= mask;
  }
  return had;
}

enum err net_parse(const char *s, struct net *out)
{
  size_t n = strcspn(s, "/");
  bool four = memchr(s, '.', n) && !memchr(s, ':', n);
  int64_t bits = four ? V4_BITS : V6_BITS;

  if (net_addr_parse(s, n, &out->addr))
    return ERR_SYNTAX;
  if (s[n] && (str_number(s + n + 1, strlen(s + n + 1), &bits) || bits > (four ? V4_BITS : V6_BITS)))
    return ERR_SYNTAX;
  out->bits = (int)bits + (four ? MAPPED : 0);
  return cut(&out->addr, out->bits) ? ERR_BADARG : ERR_OK;
}

bool net_has(const struct net *n, const struct net_addr *a)
{
  struct net_addr in = *a;

  cut(&in, n->bits);
  return !memcmp(in.b, n->addr.b, NET_ADDR_LEN);
}

char *net_addr_text(const struct net_addr *a, char out[NET_TEXT_MAX])
{
  *out = 0;
  if (is_v4(a))
    (void)inet_ntop(AF_INET, a->b + sizeof mapped, out, NET_TEXT_MAX);
  else
    (void)inet_ntop(AF_INET6, a->b, out, NET_TEXT_MAX);
  return out;
}

static enum err from_socket(const struct sockaddr_storage *s, struct net_addr *out)
{
  if (s->ss_family == AF_INET)
    set_v4(out, &((const struct sockaddr_in *)s)->sin_addr);
  else if (s->ss_family == AF_INET6)
    memcpy(out->b, &((const struct sockaddr_in6 *)s)->sin6_addr, NET_ADDR_LEN);
  else
    return ERR_FAILED;
  return ERR_OK;
}

enum err net_peer(int fd, struct net_addr *out)
{
  struct sockaddr_storage s = { 0 };
  socklen_t len = sizeof s;

  return getpeername(fd, (struct sockaddr *)&s, &len) ? ERR_FAILED : from_socket(&s, out);
}

enum err net_local(int fd, struct net_addr *out)
{
  struct sockaddr_storage s = { 0 };
  socklen_t len = sizeof s;

  return getsockname(fd, (struct sockaddr *)&s, &len) ? ERR_FAILED : from_socket(&s, out);
}
