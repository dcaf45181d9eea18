/* Programs that the helper runs: svn, hg, git where libgit2 can't. Without a shell, with nothing to ask anybody, with an environment of our own; what they write is bounded by who takes it.
   Happy path: fork, exec, read both outputs to their ends, wait. Failures: there is no such program; whoever takes the output has enough: it is killed; this process is killed: it goes too. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/changes/helper/helper.h"

enum { READ_BYTES = 65536, ALIVE_EVERY_MS = 1000, NOT_THERE = 127, SAID_MAX = 500 };
#define FILE_BYTES_MAX (8ull << 30) /* of one file that a program writes */

void help_alive(struct help *h)
{
  static const char alive[] = "alive=1";
  int64_t now = clock_mono_ms();

  if (now - h->told_ms < ALIVE_EVERY_MS)
    return;
  h->told_ms = now;
  help_set_alarm(h);
  if (write(STDOUT_FILENO, alive, sizeof alive) < 0) /* with its NUL */
    _exit(1); /* nobody listens any more */
}

/* Of the program: what reads HOME finds nothing, and no language, proxy or setting of the master's host is its business. */
static _Noreturn void become(const struct help *h, pid_t parent, const char *const *argv, int out, int err)
{
  char *folder = help_mirror_path(h);
  static const char *const own[] = { "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "HGPLAIN=1", "HGENCODING=UTF-8", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=ssh" };
  char *env[COUNT(own) + HELP_ENV_MAX + 4] = { xasprintf("PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"), xasprintf("HOME=%s", folder) };
  struct rlimit most = { FILE_BYTES_MAX, FILE_BYTES_MAX };
  int in = h->program.in >= 0 ? h->program.in : open("/dev/null", O_RDONLY | O_CLOEXEC), n = 2;
  bool settings = false;

  for (size_t i = 0; i < COUNT(own); i++)
    env[n++] = (char *)(uintptr_t)own[i];
  for (int i = 0; i < h->program.nenv; i++) {
    settings |= str_starts(h->program.env[i], "HGRCPATH=");
    env[n++] = h->program.env[i];
  }
  if (!settings)
    env[n++] = (char *)(uintptr_t)"HGRCPATH=";

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent || in < 0 || (h->program.in >= 0 && lseek(in, 0, SEEK_SET)) || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0 || chdir("/") || setrlimit(RLIMIT_FSIZE, &most))
    _exit(1);
  alarm(0);
  execvpe(argv[0], (char *const *)(uintptr_t)argv, env);
  _exit(errno == ENOENT ? NOT_THERE : 1);
}

/* Both outputs to their ends, or until the sink has enough. */
static enum err take_outputs(struct help *h, int out, int err, help_sink *sink, void *arg, struct buf *errors)
{
  static char bytes[READ_BYTES];
  struct pollfd fd[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
  enum err e = ERR_OK;

  while (!e && (fd[0].fd >= 0 || fd[1].fd >= 0)) {
    if (poll(fd, 2, -1) < 0) {
      if (errno == EINTR)
        continue;
      return help_fail(h, ERR_FAILED, "can't wait for a program: %s", strerror(errno));
    }
    for (int i = 0; i < 2 && !e; i++) {
      ssize_t n;
      if (fd[i].fd < 0 || !fd[i].revents)
        continue;
      n = read(fd[i].fd, bytes, sizeof bytes);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0) {
        fd[i].fd = -1;
      } else if (i == 0) {
        help_alive(h);
        e = sink(arg, bytes, (size_t)n);
      } else {
        if (h->by_git) /* git tells its progress there */
          help_alive(h);
        size_t room = HELP_ERRORS_MAX - errors->len;
        buf_add(errors, bytes, (size_t)n < room ? (size_t)n : room);
      }
    }
  }
  return e;
}

enum err help_run(struct help *h, const char *const *argv, help_sink *sink, void *arg, struct buf *errors, int *code)
{
  int out[2], err[2], status = 0;
  enum err e;
  pid_t pid, parent = getpid();

  buf_reset(errors);
  *code = -1;
  if (pipe2(out, O_CLOEXEC))
    return help_fail(h, ERR_AWAY, "can't run %s: %s", argv[0], strerror(errno));
  if (pipe2(err, O_CLOEXEC)) {
    close(out[0]);
    close(out[1]);
    return help_fail(h, ERR_AWAY, "can't run %s: %s", argv[0], strerror(errno));
  }
  pid = fork();
  if (!pid)
    become(h, parent, argv, out[1], err[1]);
  close(out[1]);
  close(err[1]);
  e = pid < 0 ? help_fail(h, ERR_AWAY, "can't run %s: %s", argv[0], strerror(errno)) : take_outputs(h, out[0], err[0], sink, arg, errors);
  close(out[0]);
  close(err[0]);
  if (pid < 0)
    return e;
  if (e)
    kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (e)
    return e;
  if (WIFSIGNALED(status))
    return help_fail(h, ERR_FAILED, "%s was ended by signal %d", argv[0], WTERMSIG(status));
  *code = WEXITSTATUS(status);
  if (*code == NOT_THERE && !errors->len)
    return help_fail(h, ERR_NOTFOUND, "there is no program %s on this host: install the package %s", argv[0], vcs_package(h->vcs));
  return ERR_OK;
}

enum err help_sink_buf(void *arg, const char *p, size_t n)
{
  struct buf *b = arg;

  buf_add(b, p, n);
  return b->failed ? ERR_TOOBIG : ERR_OK;
}

enum err help_sink_none(void *arg, const char *p, size_t n)
{
  (void)arg, (void)p, (void)n;
  return ERR_OK;
}

const char *help_said(struct buf *errors)
{
  char *text;
  size_t n;

  if (!errors->len)
    return "it gave no reason";
  text = (char *)(uintptr_t)buf_str(errors);
  n = utf8_cut(text, SAID_MAX);
  while (n && strchr("\r\n ", text[n - 1]))
    n--;
  text[n] = 0;
  for (char *p = text; *p; p++)
    if ((unsigned char)*p < 32)
      *p = ' ';
  return *text ? text : "it gave no reason";
}
