/* Starting the process of a command. */
#include "worker/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/beneath.h"
#include "worker/os.h"
#include "worker/terminal.h"

/* A folder as mkdir would make it, with nothing in it. Most builds leave theirs like that, and to remove and make it anew is dear:
   some file systems look at every inode that was freed in the last seconds before they give out one. */
static bool is_fresh(int work, const char *place)
{
  int fd = beneath_open(work, place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), entries = 0;
  struct stat st;
  DIR *d;

  if (fd < 0)
    return false;
  if (fstat(fd, &st) || st.st_uid != geteuid() || st.st_gid != getegid() || (st.st_mode & 07777) != 0755 ||
      os_has_xattrs(fd) || !(d = fdopendir(fd))) {
    close(fd);
    return false;
  }
  while (entries < 3 && readdir(d))
    entries++;
  closedir(d);
  return entries == 2; /* . and .. */
}

int child_prepare(const struct spec *s, int work, int *cwd, const char **what)
{
  umask(022);
  for (size_t i = 0; s->place[i]; i++) {
    *what = s->place[i];
    if (s->fresh[i] && is_fresh(work, s->place[i]))
      continue;
    if (s->fresh[i] && beneath_remove(work, s->place[i]))
      return errno;
    if (beneath_mkdirs(work, s->place[i]))
      return errno;
  }
  *what = s->cwd;
  if (!beneath_is_top(s->cwd) && beneath_mkdirs(work, s->cwd))
    return errno;
  *cwd = beneath_open(work, s->cwd, O_RDONLY | O_DIRECTORY);
  return *cwd < 0 ? errno : 0;
}

static const char *path_of(char *const *env)
{
  for (; *env; env++)
    if (!strncmp(*env, "PATH=", 5))
      return *env + 5;
  return "";
}

/* execve over the words of PATH. Returns errno: that of a file that is there but can't be run, before ENOENT. */
static int exec_on_path(const struct spec *s)
{
  const char *name = s->argv[0], *p;
  char file[PATH_MAX];
  int worst = ENOENT;

  if (strchr(name, '/')) {
    execve(name, (char *const *)s->argv, s->env);
    return errno;
  }
  for (p = path_of(s->env); *p;) {
    int n = (int)strcspn(p, ":");
    if (n && snprintf(file, sizeof file, "%.*s/%s", n, p, name) < (int)sizeof file) {
      execve(file, (char *const *)s->argv, s->env);
      if (errno != ENOENT && errno != ENOTDIR)
        worst = errno;
    }
    p += n + (p[n] == ':');
  }
  return worst;
}

struct start {
  const struct spec *s;
  int cwd, io[3];
  bool unshield;
};

/* In the child, which may share the parent's memory: nothing here may change it. Errno of what failed. */
static int become(void *arg)
{
  const struct start *b = arg;
  sigset_t none;

  setsid();
  for (int i = 0; i < 3; i++)
    if (dup2(b->io[i], i) < 0)
      return errno;
  if (b->s->terminal)
    terminal_control(0);
  if (fchdir(b->cwd))
    return errno;
  if (b->unshield)
    os_oom_unshield();
  os_close_from(3);
  os_reset_signals(); /* ignored ones would stay so, and handlers must not run here */
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  return exec_on_path(b->s);
}

static void close_pair(int pair[2])
{
  for (int i = 0; i < 2; i++)
    if (pair[i] >= 0)
      close(pair[i]);
}

static int lay_pipes(const struct spec *s, int in[2], int out[2], int err[2])
{
  if (os_pipe(out) || os_pipe(err))
    return errno;
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  if (!s->nin && !s->fed) {
    in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return in[0] < 0 ? errno : 0;
  }
  if (os_pipe(in))
    return errno;
  fcntl(in[1], F_SETFL, O_NONBLOCK);
  return 0;
}

/* One descriptor for each of the three ends that the command has, and of ours, so that they are closed as pipes are. */
static int lay_terminal(const struct spec *s, int in[2], int out[2], int err[2])
{
  out[0] = terminal_open(s->cols, s->rows, &in[0]);
  if (out[0] < 0)
    return errno;
  in[1] = fcntl(out[0], F_DUPFD_CLOEXEC, 0);
  out[1] = fcntl(in[0], F_DUPFD_CLOEXEC, 0);
  err[1] = fcntl(in[0], F_DUPFD_CLOEXEC, 0);
  return in[1] < 0 || out[1] < 0 || err[1] < 0 ? errno : 0;
}

int child_start(const struct spec *s, int cwd, bool unshield, struct child *c)
{
  int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, failed = s->terminal ? lay_terminal(s, in, out, err) : lay_pipes(s, in, out, err);

  if (!failed) {
    struct start start = { s, cwd, { in[0], out[1], err[1] }, unshield };
    failed = os_start(become, &start, &c->pid);
  }
  if (failed) { /* the dead child is reaped with all others */
    close_pair(in);
    close_pair(out);
    close_pair(err);
    return failed;
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  c->in = in[1];
  c->out = out[0];
  c->err = err[0];
  return 0;
}
