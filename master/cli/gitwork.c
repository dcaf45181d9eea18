#include "master/cli/gitwork.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 32, LINE_MAX_BYTES = 4096, PART = 65536 };

static void be(const char *const *argv, bool quiet, int to)
{
  const char *words[WORDS_MAX] = { "git" };
  int n = 1, null = open("/dev/null", O_RDWR);

  while (*argv && n < WORDS_MAX - 1)
    words[n++] = *argv++;
  words[n] = NULL;
  dup2(null, 0);
  dup2(to, 1);
  if (quiet)
    dup2(null, 2);
  execvp("git", (char *const *)(uintptr_t)words);
  _exit(127);
}

int gitwork(const char *const *argv, bool quiet, struct buf *out)
{
  static char part[PART];
  int fds[2], status;
  ssize_t n;
  pid_t pid;

  if (pipe2(fds, O_CLOEXEC))
    return -1;
  pid = fork();
  if (!pid)
    be(argv, quiet, fds[1]);
  close(fds[1]);
  while (pid > 0 && (n = read(fds[0], part, sizeof part)) > 0 && !out->failed)
    buf_add(out, part, (size_t)n);
  close(fds[0]);
  if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
    return out->failed ? 0 : -1; /* it was told to stop by a closed pipe */
  return WEXITSTATUS(status);
}

char *gitwork_line(const char *const *argv)
{
  struct buf out;
  char *line = NULL;

  buf_init(&out, LINE_MAX_BYTES);
  if (!gitwork(argv, true, &out) && !out.failed && out.len)
    line = xstrndup(buf_str(&out), strcspn(buf_str(&out), "\n"));
  buf_free(&out);
  return line;
}
