/* Starting the process of a command. */
#include "worker/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/beneath.h"
#include "worker/jail.h"
#include "worker/os.h"
#include "worker/slot.h"
#include "worker/terminal.h"

/* A folder as mkdir would make it, with nothing in it. Most builds leave theirs like that, and to remove and make it anew is dear:
   some file systems look at every inode that was freed in the last seconds before they give out one. */
bool child_is_fresh(int work, const char *place)
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

static const char *path_of(char *const *env)
{
  for (; *env; env++)
    if (!strncmp(*env, "PATH=", 5))
      return *env + 5;
  return "";
}

int child_exec(const struct spec *s)
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

/* Never more than the worker itself may have. */
static void limit(const struct confine *c)
{
  static const int of[CONFINE_RULED] = {
#ifdef RLIMIT_NPROC
    [CONFINE_NPROC] = RLIMIT_NPROC,
#else
    [CONFINE_NPROC] = -1,
#endif
    [CONFINE_NOFILE] = RLIMIT_NOFILE, [CONFINE_FSIZE] = RLIMIT_FSIZE, [CONFINE_AS] = RLIMIT_AS, [CONFINE_CORE] = RLIMIT_CORE,
  };

  for (int i = 0; i < CONFINE_RULED; i++) {
    struct rlimit r;
    rlim_t most = c->limit[i] == INT64_MAX ? RLIM_INFINITY : (rlim_t)c->limit[i];
    if (c->limit[i] < 0 || of[i] < 0 || getrlimit(of[i], &r))
      continue;
    r.rlim_max = most < r.rlim_max ? most : r.rlim_max;
    r.rlim_cur = r.rlim_max;
    setrlimit(of[i], &r);
  }
}

struct start {
  const struct spec *s;
  const struct child_how *how;
  int cwd, io[3], group; /* cwd -1: it is there already */
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
  if (b->cwd >= 0 && fchdir(b->cwd))
    return errno;
  if (b->how->unshield)
    os_oom_unshield();
  if (b->group >= 0 && write(b->group, "0", 1) != 1 && b->how->confine->ruled & RULED_LIMITS)
    return errno;
  umask(b->how->confine->umask);
  limit(b->how->confine);
  if (b->how->uid && !os_become(b->how->uid))
    return errno;
  os_close_from(3);
  os_reset_signals(); /* ignored ones would stay so, and handlers must not run here */
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  return child_exec(b->s);
}

/* In the first process of its namespaces, where the three descriptors are its own. What is secret is needed no more there. */
static int start_inside(void *arg, pid_t *pid)
{
  struct start *t = arg;
  int failed;

  t->cwd = -1;
  t->group = t->group < 0 ? -1 : JAIL_GROUP;
  for (int i = 0; i < 3; i++)
    t->io[i] = i;
  failed = os_start(become, t, pid);
  for (char **e = t->s->env; *e; e++)
    mem_wipe(*e, strlen(*e));
  mem_wipe(t->how->values, t->how->nvalues);
  return failed;
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
static int lay_terminal(const struct spec *s, uid_t uid, int in[2], int out[2], int err[2])
{
  out[0] = terminal_open(s->cols, s->rows, &in[0]);
  if (out[0] < 0 || (uid && fchown(in[0], uid, (gid_t)-1))) /* it is opened by its name too */
    return errno;
  in[1] = fcntl(out[0], F_DUPFD_CLOEXEC, 0);
  out[1] = fcntl(in[0], F_DUPFD_CLOEXEC, 0);
  err[1] = fcntl(in[0], F_DUPFD_CLOEXEC, 0);
  return in[1] < 0 || out[1] < 0 || err[1] < 0 ? errno : 0;
}

int child_start(const struct spec *s, int cwd, const struct child_how *how, struct child *c, const char **what)
{
  int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
  int failed = s->terminal ? lay_terminal(s, how->uid, in, out, err) : lay_pipes(s, in, out, err);
  struct start t = { .s = s, .how = how, .cwd = cwd, .io = { in[0], out[1], err[1] }, .group = how->group };

  *what = NULL;
  c->jailed = how->confine->spaces != 0;
  if (!failed && !c->jailed) {
    failed = os_start(become, &t, &c->pid);
  } else if (!failed) {
    struct jail j = { .spaces = how->confine->spaces, .work = how->work, .cwd = cwd, .io = { in[0], out[1], err[1] }, .group = how->group, .start = start_inside, .arg = &t };
    failed = jail_start(&j, &c->pid, &c->jail, what);
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

bool child_told(struct child *c)
{
  struct jail_note n;

  if (c->jail < 0)
    return false;
  if (!jail_heard(c->jail, &n)) {
    if (errno != EAGAIN && errno != EINTR) { /* it is ending, or has: that comes by a signal, which is not seen while there is something to read */
      close(c->jail);
      c->jail = -1;
    }
    return false;
  }
  if (!n.ended || c->ended)
    return false;
  c->ended = true;
  c->status = n.status;
  c->used = n.used;
  return true;
}

bool child_reaped(struct child *c, pid_t pid, int status, const struct os_used *used)
{
  bool told;

  if (pid != c->pid)
    return false;
  told = child_told(c);
  if (c->jail >= 0)
    close(c->jail);
  c->jail = -1;
  if (told || c->ended)
    return told;
  c->ended = true;
  c->status = status; /* of the first process, which was killed: and so was the command */
  c->used = *used;
  return true;
}

void child_signal(const struct child *c, int number)
{
  if (c->ended || c->pid <= 0)
    return;
  if (!c->jailed)
    kill(c->pid, number); /* not reaped yet, so the number is still its own */
  else if (c->jail >= 0)
    jail_signal(c->jail, number);
}

bool child_kill(const struct child *c)
{
  if (c->jail >= 0)
    kill(c->pid, SIGKILL); /* not reaped yet */
  return c->jailed;
}
