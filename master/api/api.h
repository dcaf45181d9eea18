/* The HTTP API (docs/api.md) on libmicrohttpd, whose epoll descriptor sits in our loop. */
#ifndef MASTER_API_API_H
#define MASTER_API_API_H
#include "common/buf.h"
#include "common/err.h"

struct master;
struct api;

struct api *api_new(struct master *m) must_check;
/* Path of the unix socket (mode 0660, group drover where there is one); a stale file is removed, a live one refused. */
enum err api_listen_unix(struct api *a, const char *path, struct buf *why) must_check;
/* "HOST:PORT"; read-only. *port: the one it got. */
enum err api_listen_tcp(struct api *a, const char *address, int *port, struct buf *why) must_check;
void api_close(struct api *a, void (*done)(void *arg), void *arg);
#endif
