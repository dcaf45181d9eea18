/* Facts about the host as it is now, and what programs say to `--version`. Each is looked for in the commands' PATH only, has a time limit, no input, and is ended with all its group. */
#include "worker/fileop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/records.h"
#include "worker/os.h"

enum { TOOL_MS = 5000, ALL_MS = 20000 /* a master waits a little longer */, SAID_MAX = 4096, LINE_MAX_BYTES = 200, PATH_ROOM = 4096, NOBODY = 65534 };

/* In the child of the child. */
static void be_tool(const char *name, const char *search, bool as_nobody, int out)
{
  char *path, file[PATH_ROOM];
  char *argv[] = { (char *)(uintptr_t)name, (char *)(uintptr_t)"--version", NULL };
  char *env[] = { NULL, (char *)(uintptr_t)"LC_ALL=C", NULL };
  int null = open("/dev/null", O_RDWR);

  setpgid(0, 0);
  signal(SIGCHLD, SIG_DFL);
  signal(SIGPIPE, SIG_DFL);
  path = xasprintf("PATH=%s", search);
  env[0] = path;
  dup2(null, 0);
  dup2(out, 1);
  dup2(out, 2);
  os_close_from(3);
  alarm(0); /* of os_end_with(), on some systems; the agent's child ends this one */
  if (as_nobody && !os_become(NOBODY))
    _exit(127);
  for (const char *p = search, *end; *p; p = end + (*end == ':')) {
    end = p + strcspn(p, ":");
    if (end > p && snprintf(file, sizeof file, "%.*s/%s", (int)(end - p), p, name) < (int)sizeof file)
      execve(file, argv, env);
  }
  _exit(127);
}

/* Until the end of a line, of the pipe, of the time or of the buffer. */
static size_t listen_to(int fd, char *said, size_t most, int64_t end)
{
  int64_t left;
  struct pollfd p = { fd, POLLIN, 0 };
  size_t have = 0;
  ssize_t n;

  while (have < most && (left = end - clock_mono_ms()) > 0 && poll(&p, 1, (int)left) > 0) {
    n = read(fd, said + have, most - have);
    if (n <= 0)
      break;
    have += (size_t)n;
    if (memchr(said, '\n', have))
      break;
  }
  return have;
}

/* "NAME LINE" */
static void ask_tool(struct fileop *op, const char *name, const char *search, int64_t all_end)
{
  int64_t end = clock_mono_ms() + TOOL_MS;
  char said[SAID_MAX + 1];
  int p[2];
  size_t n = 0;
  pid_t me = getpid(), pid;

  if (os_pipe(p))
    return;
  pid = fork();
  if (!pid) {
    if (!os_end_with(me))
      _exit(1);
    be_tool(name, search, op->confine != NULL, p[1]);
  }
  close(p[1]);
  if (pid > 0) {
    setpgid(pid, pid); /* here too: whoever comes first */
    n = listen_to(p[0], said, SAID_MAX, end < all_end ? end : all_end);
    kill(-pid, SIGKILL);
  }
  close(p[0]);
  said[n] = 0;
  n = strcspn(said, "\r\n");
  said[n < LINE_MAX_BYTES ? n : LINE_MAX_BYTES] = 0;
  for (char *c = said; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 127)
      *c = '?';
  records_putf(&op->out, "tool", "%s %s", name, said);
}

int fileop_facts(struct fileop *op)
{
  const char *search = records_get(op->blob, op->n, "search"), *value;
  char key[RECORDS_KEY_MAX + 1];
  int64_t end = clock_mono_ms() + ALL_MS;
  size_t at = 0;

  if (fchdir(op->work))
    return -1;
  os_facts(&op->out, ".");
  records_put(&op->out, "isolation", records_get(op->blob, op->n, "isolation"));
  records_put(&op->out, "cgroup", records_get(op->blob, op->n, "cgroup"));
  while (search && !records_next(op->blob, op->n, &at, key, &value))
    if (!strcmp(key, "tool"))
      ask_tool(op, value, search, end);
  return 0;
}
