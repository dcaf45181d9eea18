/* What a proxy in front of the master says about who asked, and by which name. Pure.

   Only a peer of `trusted_proxies` is believed, and of what it says only what it or another trusted one has seen itself: the right-most address that is not a trusted proxy's.
   What stands left of that was written by whoever asked. */
#ifndef MASTER_API_PROXY_H
#define MASTER_API_PROXY_H
#include "common/net.h"

#define PROXY_HOST_MAX 256

/* The headers as they came, lines of one name joined by commas in their order; NULL: not there. */
struct proxy_says {
  const char *x_for, *x_proto, *x_host; /* X-Forwarded-For, -Proto, -Host */
  const char *forwarded;                /* RFC 7239 */
};

struct proxy_asked {
  struct net_addr client;       /* who asked, as far as is known: at least the peer itself */
  const char *scheme;           /* "http", "https"; NULL: not said */
  bool has_host;                /* a name was said by which the master was asked for */
  char host[PROXY_HOST_MAX];    /* that; "" where it can't be one */
};

/* peer: of the TCP connection. Where it is not trusted, or X-Forwarded-For and Forwarded contradict each other (one of them is the client's own), only the peer counts. */
void proxy_read(const struct proxy_says *says, const struct net_addr *peer, const struct net *trusted, int ntrusted, struct proxy_asked *out);
#endif
