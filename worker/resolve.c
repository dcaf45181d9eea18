/* Looking up addresses. The child writes whole targets into a pipe that they fit into, and ends. */
#include "worker/resolve.h"

#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "worker/os.h"

static int look_up(const struct token_address *a, int flags, struct resolve_target t[RESOLVE_MAX])
{
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags }, *list;
  int n = 0;

  if (getaddrinfo(a->host, a->port, &hints, &list))
    return 0;
  for (struct addrinfo *i = list; i && n < RESOLVE_MAX; i = i->ai_next)
    if (i->ai_addrlen <= sizeof t->addr) {
      memset(&t[n], 0, sizeof t[n]);
      memcpy(&t[n].addr, i->ai_addr, i->ai_addrlen);
      t[n++].len = i->ai_addrlen;
    }
  freeaddrinfo(list);
  return n;
}

int resolve_plain(const struct token_address *a, struct resolve_target t[RESOLVE_MAX])
{
  struct sockaddr_un *u = (struct sockaddr_un *)&t->addr;

  if (!a->is_unix)
    return look_up(a, AI_NUMERICHOST | AI_NUMERICSERV, t);
  memset(t, 0, sizeof *t);
  u->sun_family = AF_UNIX;
  if (strlen(a->host) >= sizeof u->sun_path)
    return 0;
  memcpy(u->sun_path, a->host, strlen(a->host));
  t->len = sizeof *u;
  return 1;
}

int resolve_start(const struct token_address *a)
{
  struct resolve_target t[RESOLVE_MAX];
  int p[2];
  pid_t pid;

  if (os_pipe(p))
    return -1;
  pid = fork();
  if (!pid) {
    int n;
    dup2(p[1], 0);
    os_close_from(3);
    n = look_up(a, AI_NUMERICSERV, t);
    _exit(n && write(0, t, (size_t)n * sizeof *t) < 0);
  }
  close(p[1]);
  if (pid > 0)
    return p[0];
  close(p[0]);
  return -1;
}

int resolve_take(int fd, struct resolve_target t[RESOLVE_MAX])
{
  ssize_t n = read(fd, t, RESOLVE_MAX * sizeof *t);

  close(fd);
  return n > 0 ? (int)((size_t)n / sizeof *t) : 0;
}
