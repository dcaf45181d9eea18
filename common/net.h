/* Addresses and networks of both families as one kind of value: IPv4 is kept as IPv6 has it mapped (::ffff:a.b.c.d), so the two never need telling apart. */
#ifndef COMMON_NET_H
#define COMMON_NET_H
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/mem.h"

#define NET_ADDR_LEN 16
#define NET_TEXT_MAX 46 /* an address in text, with its NUL */

struct net_addr {
  unsigned char b[NET_ADDR_LEN];
};
struct net {
  struct net_addr addr; /* bits behind the first `bits` are 0 */
  int bits;             /* of the 128 */
};

/* A numeric address, all of [s, s+n): no port, no brackets, no zone. */
enum err net_addr_parse(const char *s, size_t n, struct net_addr *out) must_check;
/* "127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8". ERR_BADARG: an address with bits set behind the network's; what was meant is not known. ERR_SYNTAX: neither address nor network. */
enum err net_parse(const char *s, struct net *out) must_check;
bool net_has(const struct net *n, const struct net_addr *a);
/* IPv4 as a.b.c.d; returns out. */
char *net_addr_text(const struct net_addr *a, char out[NET_TEXT_MAX]);

/* The addresses of a socket's two ends. ERR_FAILED: it is none of IPv4 or IPv6. */
enum err net_peer(int fd, struct net_addr *out) must_check;
enum err net_local(int fd, struct net_addr *out) must_check;
#endif
