/* One ssh a connection. Its standard error is the user's: passwords are asked for and trouble is told there. */
#include "master/cli/http_ssh.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/str.h"

enum { PART_MAX = 256 };

struct target {
  char host[PART_MAX], port[8], path[PART_MAX]; /* host with its user; path "": the default there */
};

static bool all_of(const char *s, const char *set)
{
  return *s && !s[strspn(s, set)];
}

static bool parse(const char *url, struct target *t)
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-";
  static const char path_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
  const char *host = url + strlen(SSH_PREFIX), *at;
  size_t n = strcspn(host, ":/"), port;

  memset(t, 0, sizeof *t);
  if (!str_starts(url, SSH_PREFIX) || n >= PART_MAX)
    return false;
  memcpy(t->host, host, n);
  at = strchr(t->host, '@');
  if (!all_of(t->host, letters) || t->host[0] == '-' || (at && (at == t->host || !at[1] || at[1] == '-' || strchr(at + 1, '@'))))
    return false;
  host += n;
  if (*host == ':') {
    port = strcspn(++host, "/");
    if (!port || port >= sizeof t->port)
      return false;
    memcpy(t->port, host, port);
    if (!all_of(t->port, "0123456789"))
      return false;
    host += port;
  }
  if (!*host || !strcmp(host, "/"))
    return true;
  if (strlen(host) >= PART_MAX || !all_of(host, path_letters))
    return false;
  strcpy(t->path, host);
  return true;
}

bool http_ssh_valid(const char *url)
{
  struct target t;

  return parse(url, &t);
}

static void become_ssh(const struct target *t, int fd)
{
  const char *argv[12] = { "ssh", "-T" };
  int n = 2;

  if (*t->port) {
    argv[n++] = "-p";
    argv[n++] = t->port;
  }
  argv[n++] = "--";
  argv[n++] = t->host;
  argv[n++] = "drover";
  argv[n++] = "api-pipe";
  if (*t->path) {
    argv[n++] = "--socket";
    argv[n++] = t->path;
  }
  signal(SIGPIPE, SIG_DFL);
  if (dup2(fd, 0) == 0 && dup2(fd, 1) == 1)
    execvp("ssh", (char *const *)(uintptr_t)argv);
  dprintf(2, "drover: can't start ssh: %s\n", strerror(errno));
  _exit(127);
}

int http_ssh_open(const char *url, pid_t *pid)
{
  struct target t;
  int pair[2];

  if (!parse(url, &t) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
    return -1;
  *pid = fork();
  if (*pid == 0)
    become_ssh(&t, pair[1]);
  close(pair[1]);
  if (*pid > 0)
    return pair[0];
  close(pair[0]);
  return -1;
}

void http_ssh_close(pid_t pid)
{
  kill(pid, SIGTERM);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    ;
}
