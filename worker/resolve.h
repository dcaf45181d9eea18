/* From an address of the token to socket addresses. Names are looked up in a child, because looking one up may take a minute. */
#ifndef WORKER_RESOLVE_H
#define WORKER_RESOLVE_H
#include <sys/socket.h>

#include "proto/token.h"

#define RESOLVE_MAX 8

struct resolve_target {
  socklen_t len;
  struct sockaddr_storage addr;
};

/* Without asking anybody: unix sockets and numbers. How many; 0: it is a name. */
int resolve_plain(const struct token_address *a, struct resolve_target t[RESOLVE_MAX]);
/* Starts looking a name up; the descriptor that the answer comes from, or -1. */
int resolve_start(const struct token_address *a);
/* The descriptor is readable: how many targets (0: none, the name is not known). Closes it. */
int resolve_take(int fd, struct resolve_target t[RESOLVE_MAX]);
#endif
