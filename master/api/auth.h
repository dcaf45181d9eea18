/* Who asks, and whether a browser was talked into asking. Pure but for the peer's credentials. */
#ifndef MASTER_API_AUTH_H
#define MASTER_API_AUTH_H
#include <stdbool.h>
#include <stddef.h>

#define AUTH_WHO_MAX 64

/* Name for the record of the peer of a unix connection: its login name, or "uid N". Who can connect has passed the socket's mode (0660, group drover). */
void auth_peer(int fd, char who[AUTH_WHO_MAX]);

/* Host header of a TCP request: a loopback name, the address that the connection came in on (local), or the host of site.url (url, may be NULL). Against DNS rebinding. */
bool auth_host(const char *host, const char *local, const char *url);
/* Origin header: that of the host asked for (which auth_host accepted), by the scheme that a trusted proxy was asked by (NULL: not known), or site.url's. */
bool auth_origin(const char *origin, const char *host, const char *scheme, const char *url);
#endif
