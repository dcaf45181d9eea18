/* Processes of the private PostgreSQL: starting them as their user, finding those that were left behind
   (in Linux's /proc). */
#include "master/db/pg_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/notify.h"

enum { EXIT_CANT_DROP = 254, EXIT_CANT_EXEC = 253, EXIT_CHILD = 255 };

static void close_from(int first)
{
#ifdef SYS_close_range
  if (!syscall(SYS_close_range, (unsigned)first, ~0U, 0))
    return;
#endif
  for (int fd = first; fd < 65536; fd++)
    close(fd);
}

/* In the child: no signal handlers, no rights, no folder, no session of ours. */
static void become(const struct pg_user *u)
{
  sigset_t none;

  for (int sig = 1; sig < NSIG; sig++)
    signal(sig, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  umask(077);
  if (u->drop && (setgroups(1, &u->gid) || setgid(u->gid) || setuid(u->uid)))
    _exit(EXIT_CANT_DROP);
  if (chdir("/"))
    _exit(EXIT_CANT_DROP);
}

static pid_t fork_quiet(void)
{
  sigset_t all, old;
  pid_t pid;

  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old); /* the child must not run a handler of ours */
  pid = fork();
  if (pid)
    pthread_sigmask(SIG_SETMASK, &old, NULL);
  return pid;
}

static void exec(const char *const *argv, int out)
{
  static const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC",
    NULL };
  int null = open("/dev/null", O_RDWR);

  dup2(null, 0);
  dup2(out, 1);
  dup2(out, 2);
  close_from(3);
  execve(argv[0], (char *const *)argv, (char *const *)env);
  _exit(EXIT_CANT_EXEC);
}

pid_t pg_start(const struct pg_user *u, const char *const *argv, const struct pg_io *io, int *err)
{
  pid_t us = getpid(), pid;
  int fds[2];

  if (pipe2(fds, O_CLOEXEC))
    return -1;
  pid = fork_quiet();
  if (!pid) {
    const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", io->env, NULL };
    int null = open("/dev/null", O_RDWR), in, out, to;

    become(u);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* behind become(): a change of uid forgets it */
    if (getppid() != us)
      _exit(EXIT_CHILD);
    in = fcntl(io->in < 0 ? null : io->in, F_DUPFD, 3); /* first out of each other's way */
    out = fcntl(io->out < 0 ? null : io->out, F_DUPFD, 3);
    to = fcntl(fds[1], F_DUPFD, 3);
    dup2(in, 0);
    dup2(out, 1);
    dup2(to, 2);
    close_from(3);
    execve(argv[0], (char *const *)argv, (char *const *)env);
    _exit(EXIT_CANT_EXEC);
  }
  close(fds[1]);
  if (pid < 0)
    close(fds[0]);
  *err = fds[0];
  return pid;
}

pid_t pg_spawn(const struct pg_user *u, const char *const *argv, const char *log,
               const char *const *remove)
{
  pid_t pid = fork_quiet();
  int out;

  if (pid)
    return pid;
  become(u);
  out = open(log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0600);
  if (out < 0)
    out = open("/dev/null", O_WRONLY); /* a full disk is no reason not to start */
  for (; *remove; remove++)
    unlink(*remove);
  exec(argv, out);
  return -1;
}

void pg_exec(const struct pg_user *u, const char *const *argv, const char *const *remove)
{
  char notify[256] = "";
  const char *told = notify_socket();
  /* The postmaster keeps what the service manager gave it, its backends do not. */
  const char *env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj",
    "PG_OOM_ADJUST_VALUE=0", told ? notify : NULL, NULL };
  int null = open("/dev/null", O_RDWR);

  snprintf(notify, sizeof notify, "NOTIFY_SOCKET=%s", told ? told : "");
  become(u);
  for (; *remove; remove++)
    unlink(*remove);
  dup2(null, 0);
  close_from(3);
  execve(argv[0], (char *const *)argv, (char *const *)env);
}

/* Reads until all writers are gone or the time is over. */
static bool drain(int fd, int64_t until, struct buf *out)
{
  char part[4096];

  for (;;) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int64_t left = until - clock_mono_ms();
    ssize_t n;

    if (left <= 0)
      return false;
    if (poll(&p, 1, (int)left) <= 0)
      continue;
    n = read(fd, part, sizeof part);
    if (n == 0 || (n < 0 && errno != EINTR))
      return true;
    if (out && n > 0)
      buf_add(out, part, (size_t)n);
  }
}

enum err pg_run(const struct pg_user *u, const char *const *argv, int64_t ms, struct buf *out)
{
  int fds[2], status = 0;
  bool ended;
  pid_t pid;

  if (pipe2(fds, O_CLOEXEC))
    return ERR_IO;
  pid = fork_quiet();
  if (!pid) {
    become(u);
    exec(argv, fds[1]);
  }
  close(fds[1]);
  if (pid < 0) {
    close(fds[0]);
    return ERR_IO;
  }
  ended = drain(fds[0], clock_mono_ms() + ms, out);
  close(fds[0]);
  if (!ended)
    kill(-pid, SIGKILL); /* it leads a session, so its group too */
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (!ended)
    return ERR_TIMEOUT;
  return WIFEXITED(status) && !WEXITSTATUS(status) ? ERR_OK : ERR_FAILED;
}

int pg_as(const struct pg_user *u, int (*fn)(void *arg), void *arg)
{
  int status = 0;
  pid_t pid = fork_quiet();

  if (!pid) {
    become(u);
    _exit(fn(arg));
  }
  if (pid < 0)
    return EXIT_CHILD;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_CHILD;
}

int64_t pg_proc_born(pid_t pid)
{
  char path[64], text[1024], *p;
  unsigned long long born = 0;
  ssize_t n;
  int fd;

  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0)
    return 0;
  text[n] = 0;
  p = strrchr(text, ')'); /* the program's name may hold anything */
  if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X')
    return 0;
  p += 2;
  for (int field = 3; field < 22 && p; field++) { /* proc(5): state is 3, starttime 22 */
    p = strchr(p, ' ');
    p = p ? p + 1 : NULL;
  }
  if (!p || sscanf(p, "%llu", &born) != 1)
    return 0;
  return born ? (int64_t)born : 1;
}

bool pg_proc_is_postgres(pid_t pid, const char *data)
{
  char path[64], exe[512];
  struct stat cwd, want;
  const char *base;
  ssize_t n;

  snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
  if (stat(data, &want) || stat(path, &cwd) || cwd.st_dev != want.st_dev ||
      cwd.st_ino != want.st_ino)
    return false;
  snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
  n = readlink(path, exe, sizeof exe - 1);
  if (n <= 0)
    return false;
  exe[n] = 0;
  base = strrchr(exe, '/');
  return base && !strncmp(base, "/postgres", 9); /* " (deleted)" follows after an upgrade */
}

int pg_left_over(const char *data, int sig)
{
  DIR *d = opendir("/proc");
  struct dirent *e;
  int count = 0;

  while (d && (e = readdir(d))) {
    char *end;
    long pid = strtol(e->d_name, &end, 10);

    if (pid <= 1 || *end || !pg_proc_is_postgres((pid_t)pid, data) || !pg_proc_born((pid_t)pid))
      continue;
    count++;
    if (sig)
      kill((pid_t)pid, sig);
  }
  if (d)
    closedir(d);
  return count;
}
