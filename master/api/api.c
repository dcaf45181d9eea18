/* The API's sockets: a unix socket for people on the host, TCP for reading. */
#include "master/api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "master/api/http.h"

#define API_GROUP "drover" /* whose members may use the unix socket */

struct api {
  struct http *http;
  char *path;         /* of the unix socket, to be removed at the end */
  struct stat made;   /* it, as it was made */
  void (*done)(void *arg);
  void *done_arg;
};

struct api *api_new(struct master *m)
{
  struct api *a = xcalloc(1, sizeof *a);

  a->http = http_new(m);
  return a;
}

/* Nobody may listen there: a file that is no socket, or a socket that answers, is not ours to remove. */
static enum err remove_stale(const struct sockaddr_un *at, struct buf *why)
{
  struct stat st;
  int fd, failed;

  if (lstat(at->sun_path, &st))
    return ERR_OK;
  if (!S_ISSOCK(st.st_mode)) {
    buf_addf(why, "%s is in the way, and no socket", at->sun_path);
    return ERR_EXISTS;
  }
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  failed = fd < 0 ? EMFILE : connect(fd, (const struct sockaddr *)at, sizeof *at) ? errno : 0;
  if (fd >= 0)
    close(fd);
  if (failed != ECONNREFUSED) {
    buf_addf(why, "another master listens on %s", at->sun_path);
    return ERR_EXISTS;
  }
  unlink(at->sun_path);
  return ERR_OK;
}

static void make_folder(const char *path)
{
  char *folder = xstrdup(path), *slash = strrchr(folder, '/');

  if (slash && slash != folder) {
    *slash = 0;
    (void)mkdir(folder, 0755);
  }
  free(folder);
}

static void give_to_group(const char *path)
{
  struct group *g = getgrnam(API_GROUP);

  if (g && chown(path, (uid_t)-1, g->gr_gid))
    log_warn("api", "group " API_GROUP " can't be given %s: %s", path, strerror(errno));
}

enum err api_listen_unix(struct api *a, const char *path, struct buf *why)
{
  struct sockaddr_un at = { .sun_family = AF_UNIX };
  int fd, failed;
  mode_t old;
  enum err e;

  if (strlen(path) >= sizeof at.sun_path) {
    buf_addf(why, "%s: a socket's path has at most %zu bytes", path, sizeof at.sun_path - 1);
    return ERR_TOOBIG;
  }
  strcpy(at.sun_path, path);
  make_folder(path);
  e = remove_stale(&at, why);
  if (e)
    return e;
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  old = umask(0117);
  failed = fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, SOMAXCONN);
  umask(old);
  if (failed || stat(path, &a->made)) {
    buf_addf(why, "%s: %s", path, strerror(errno));
    if (fd >= 0)
      close(fd);
    return ERR_IO;
  }
  give_to_group(path);
  a->path = xstrdup(path);
  return http_listen(a->http, fd, false);
}

/* "HOST:PORT", "[V6]:PORT", "*:PORT" */
static enum err split(const char *address, char host[256], char port[16])
{
  const char *colon = strrchr(address, ':'), *start = address;
  size_t n = colon ? (size_t)(colon - address) : 0;

  if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
    start++;
    n -= 2;
  }
  if (!colon || !n || n >= 256 || strlen(colon + 1) >= 16 || !colon[1])
    return ERR_SYNTAX;
  memcpy(host, start, n);
  host[n] = 0;
  strcpy(port, colon + 1);
  return ERR_OK;
}

static int listen_on(const struct addrinfo *ai)
{
  int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, off = 0, saved;

  if (fd < 0)
    return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (ai->ai_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (!bind(fd, ai->ai_addr, ai->ai_addrlen) && !listen(fd, SOMAXCONN))
    return fd;
  saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

static int port_of(int fd)
{
  struct sockaddr_storage a;
  socklen_t len = sizeof a;

  if (getsockname(fd, (struct sockaddr *)&a, &len))
    return 0;
  return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
}

enum err api_listen_tcp(struct api *a, const char *address, int *port, struct buf *why)
{
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *found = NULL;
  char host[256], service[16];
  int fd = -1, bad;

  if (split(address, host, service)) {
    buf_addf(why, "\"%s\" is no HOST:PORT", address);
    return ERR_SYNTAX;
  }
  bad = getaddrinfo(strcmp(host, "*") ? host : NULL, service, &hints, &found);
  if (bad) {
    buf_addf(why, "%s: %s", address, gai_strerror(bad));
    return ERR_IO;
  }
  for (struct addrinfo *ai = found; ai && fd < 0; ai = ai->ai_next)
    fd = listen_on(ai);
  freeaddrinfo(found);
  if (fd < 0) {
    buf_addf(why, "%s: %s", address, strerror(errno));
    return ERR_IO;
  }
  *port = port_of(fd);
  return http_listen(a->http, fd, true);
}

static void on_closed(void *arg)
{
  struct api *a = arg;
  struct stat st;

  if (a->path && !stat(a->path, &st) && st.st_ino == a->made.st_ino && st.st_dev == a->made.st_dev)
    unlink(a->path);
  free(a->path);
  if (a->done)
    a->done(a->done_arg);
  free(a);
}

void api_close(struct api *a, void (*done)(void *arg), void *arg)
{
  a->done = done;
  a->done_arg = arg;
  http_close(a->http, on_closed, a);
}
