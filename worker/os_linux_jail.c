/* Namespaces, by Linux.

   Happy path: clone with a pid (and user) namespace → the other namespaces, /proc and /tmp of its own → the command → reap, until none is left.
   Failures: what the kernel does not allow is told as errno and a few words, and nothing was started. The minder dies: its end of the socket is closed, the first process ends, and the kernel ends all the others. */
#include "worker/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/str.h"
#include "worker/confine.h"
#include "worker/os.h"
#include "worker/small.h"

enum { FD_SOCK = 3, FD_CWD, FD_GROUP = JAIL_GROUP, FD_FREE, FD_HIGH = 64 };

static volatile sig_atomic_t got_child;

static void on_child(int sig) { got_child = sig; }

/* ---- the inside ---- */

/* The user's own number and no other: whoever has no rights outside gets none here either. */
static bool map_user(uid_t uid, gid_t gid)
{
  char users[48], groups[48];

  snprintf(users, sizeof users, "%u %u 1\n", (unsigned)uid, (unsigned)uid);
  snprintf(groups, sizeof groups, "%u %u 1\n", (unsigned)gid, (unsigned)gid);
  return small_put(AT_FDCWD, "/proc/self/setgroups", "deny") && small_put(AT_FDCWD, "/proc/self/uid_map", users) && small_put(AT_FDCWD, "/proc/self/gid_map", groups);
}

static bool make_way(const char *path)
{
  char part[PATH_MAX];

  for (size_t i = 1; path[i - 1] && i < sizeof part; i++)
    if (path[i] == '/' || !path[i]) {
      memcpy(part, path, i);
      part[i] = 0;
      if (mkdir(part, 0755) && errno != EEXIST)
        return false;
    }
  return true;
}

/* /tmp and /var/tmp of its own, in memory; a work folder that lies there stays to be seen. */
static bool own_tmp(const char *work)
{
  bool below = str_starts(work, "/tmp/") || str_starts(work, "/var/tmp/");
  int fd = below ? open(work, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  char name[32];

  if ((below && fd < 0) || mount("tmp", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") || mount("/tmp", "/var/tmp", NULL, MS_BIND, NULL))
    return false;
  if (!below)
    return true;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  if (!make_way(work) || mount(name, work, NULL, MS_BIND | MS_REC, NULL))
    return false;
  close(fd);
  return true;
}

static bool loopback_up(void)
{
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq r = { .ifr_name = "lo" };
  bool good;

  r.ifr_flags = IFF_UP;
  good = fd >= 0 && !ioctl(fd, SIOCSIFFLAGS, &r);
  if (fd >= 0)
    close(fd);
  return good;
}

/* The folder by its name, now that something else may be mounted on the way to it. */
static bool come_back(const char *path)
{
  struct stat was, is;

  if (fstat(FD_CWD, &was) || chdir(path) || stat(".", &is))
    return false;
  errno = ESTALE;
  return was.st_dev == is.st_dev && was.st_ino == is.st_ino;
}

/* NULL, or what could not be done: errno. A descriptor's folder stays in the namespace that it was opened in, while the folder that one stands in comes along. */
static const char *go_in(const struct jail *j, uid_t uid, gid_t gid)
{
  unsigned more = (j->spaces & CONFINE_IPC ? CLONE_NEWIPC : 0u) | (j->spaces & CONFINE_UTS ? CLONE_NEWUTS : 0u) | (j->spaces & CONFINE_NET ? CLONE_NEWNET : 0u);
  char path[PATH_MAX];

  if ((j->spaces & CONFINE_USER) && !map_user(uid, gid))
    return "map its user";
  if (fchdir(FD_CWD) || !getcwd(path, sizeof path))
    return "enter the folder";
  if (unshare((int)(CLONE_NEWNS | more)))
    return "make its namespaces";
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
    return "part from the host's mounts";
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
    return "mount its /proc";
  if ((j->spaces & CONFINE_NET) && !loopback_up())
    return "bring up its loopback";
  if (j->spaces & CONFINE_MOUNT) {
    if (!own_tmp(j->work))
      return "mount its /tmp";
    if (!come_back(path))
      return "find its folder again";
  }
  return NULL;
}

static void tell(const struct jail_note *n)
{
  if (send(FD_SOCK, n, sizeof *n, MSG_NOSIGNAL) < 0)
    _exit(1); /* nobody is there to hear it */
}

/* Until nothing of the command is left, or nobody is there who waits for it. */
_Noreturn static void be_first(pid_t main_pid)
{
  struct jail_note n = { .ended = true };
  struct rusage ru;
  sigset_t none;
  pid_t pid;
  int status;

  sigemptyset(&none);
  for (;;) {
    struct pollfd p = { FD_SOCK, POLLIN, 0 };
    unsigned char number;
    ssize_t got = ppoll(&p, 1, NULL, &none) > 0 ? recv(FD_SOCK, &number, 1, MSG_DONTWAIT) : 2;
    if (!got)
      _exit(1);
    if (got == 1 && main_pid)
      kill(main_pid, number); /* not reaped yet, so the number is still its own */
    while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0)
      if (pid == main_pid) {
        n.status = status;
        n.used = (struct os_used){ ru.ru_utime.tv_sec * 1000 + ru.ru_utime.tv_usec / 1000, ru.ru_stime.tv_sec * 1000 + ru.ru_stime.tv_usec / 1000, ru.ru_maxrss };
        tell(&n);
        main_pid = 0;
      }
    if (pid < 0 && errno == ECHILD)
      _exit(0);
  }
}

/* Only what it needs stays open: what else the minder holds, above all its end of the socket, must end with the minder. */
static void lay_out(const struct jail *j, int sock)
{
  int from[FD_FREE] = { j->io[0], j->io[1], j->io[2], sock, j->cwd, j->group };

  for (int i = 0; i < FD_FREE; i++)
    from[i] = fcntl(from[i], F_DUPFD, FD_HIGH);
  close(FD_GROUP);
  for (int i = 0; i < FD_FREE; i++)
    dup2(from[i], i);
  os_close_from(FD_FREE);
  fcntl(FD_SOCK, F_SETFD, FD_CLOEXEC);
  fcntl(FD_CWD, F_SETFD, FD_CLOEXEC);
  fcntl(FD_GROUP, F_SETFD, FD_CLOEXEC);
}

_Noreturn static void inside(const struct jail *j, int sock, uid_t uid, gid_t gid)
{
  struct sigaction child = { .sa_handler = on_child }, ignore = { .sa_handler = SIG_IGN };
  struct jail_note n = { .number = 0 };
  pid_t pid = 0;

  lay_out(j, sock);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* besides the socket: also while it waits for something here */
  sigaction(SIGCHLD, &child, NULL);
  sigaction(SIGTERM, &ignore, NULL);
  n.what = go_in(j, uid, gid);
  n.number = n.what ? errno : j->start(j->arg, &pid);
  os_no_dump(); /* it is a copy of the minder, and the command may have the same user */
  tell(&n);
  if (n.number)
    _exit(1);
  close(FD_CWD);
  close(FD_GROUP);
  for (int i = 0; i < 3; i++)
    close(i); /* else its output would never end */
  if (chdir("/"))
    _exit(1);
  be_first(pid);
}

/* ---- the outside ---- */

int jail_start(const struct jail *j, pid_t *pid, int *sock, const char **what)
{
  uid_t uid = geteuid();
  gid_t gid = getegid();
  struct jail_note n;
  ssize_t got;
  int pair[2];

  *what = "make its namespaces";
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
    return errno;
  /* As fork() would, but for the flags: the C library has no call that takes them without a stack of its own. */
  *pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWPID | SIGCHLD | (j->spaces & CONFINE_USER ? CLONE_NEWUSER : 0)), 0, 0, 0, 0);
  if (!*pid)
    inside(j, pair[1], uid, gid);
  close(pair[1]);
  if (*pid < 0) {
    n.number = errno;
    close(pair[0]);
    return n.number;
  }
  while ((got = recv(pair[0], &n, sizeof n, 0)) < 0 && errno == EINTR)
    ;
  if (got != sizeof n)
    n.number = ECHILD;
  else
    *what = n.what;
  if (n.number) {
    close(pair[0]);
    return n.number;
  }
  *sock = pair[0];
  return 0;
}

bool jail_heard(int sock, struct jail_note *n)
{
  ssize_t got = recv(sock, n, sizeof *n, MSG_DONTWAIT);

  if (got >= 0 && got != sizeof *n)
    errno = EPIPE;
  return got == sizeof *n;
}

void jail_signal(int sock, int number)
{
  unsigned char byte = (unsigned char)number;

  if (send(sock, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
    errno = 0; /* the first process has just ended */
}

static int start_nothing(void *arg, pid_t *pid)
{
  (void)arg, (void)pid;
  return 0;
}

int jail_try(unsigned spaces, const char *work, const char **what)
{
  int null = open("/dev/null", O_RDWR | O_CLOEXEC), sock = -1, status, e;
  struct jail j = { .spaces = spaces, .work = work, .group = -1, .cwd = open(work, O_PATH | O_DIRECTORY | O_CLOEXEC), .io = { null, null, null }, .start = start_nothing };
  pid_t pid = -1;

  e = jail_start(&j, &pid, &sock, what);
  if (sock >= 0)
    close(sock);
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  close(null);
  close(j.cwd);
  return e;
}
