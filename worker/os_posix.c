/* Any system that POSIX 2008 describes. What it knows no call for is done without:
   - No subreaper, no /proc: the processes of a command are those of the session that it was started in (and their group), as ps tells. One that makes a session of its own is not found, nor is what a dead minder left.
   - No openat2: links inside the work folder are not followed at all.
   - No descriptor of a process: the agent hears of a minder's end within a second.
   - No id of boot but the time of it, where utmpx has that; none of the machine. */
#include "worker/os.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmpx.h>

#include "common/mem.h"
#include "common/scan.h"
#include "proto/records.h"
#include "worker/beneath.h"
#include "worker/cgroup.h"
#include "worker/jail.h"
#include "worker/os_any.h"

enum { ORPHANS_MS = 100, SIGNALS = 128, FDS_MANY = 65536, NICEST = 19, PS_MAX = 4 << 20, PATH_LONGEST = 4096 };

const int os_orphans_ms = ORPHANS_MS;
static char self[PATH_LONGEST]; /* empty: not found */
static int kept = -1;           /* the pipe of os_start(), in the child */
static pid_t session;           /* the last that os_start() began; 0: none */

/* ---- the program ---- */

void os_init(const char *argv0)
{
  const char *path = getenv("PATH");
  char name[PATH_LONGEST], *real;

  if (strchr(argv0, '/')) {
    snprintf(name, sizeof name, "%s", argv0);
    path = "";
  }
  for (const char *p = path ? path : ""; *p;) {
    int n = (int)strcspn(p, ":");
    snprintf(name, sizeof name, "%.*s/%s", n, p, argv0);
    if (!access(name, X_OK))
      break;
    p += n + (p[n] == ':');
    *name = 0;
  }
  real = realpath(name, NULL);
  if (real)
    snprintf(self, sizeof self, "%s", real);
  free(real);
}

const char *os_self(void) { return self; }

ssize_t os_self_name(char *out, size_t n)
{
  size_t have = strlen(self);

  memcpy(out, self, have < n ? have : n);
  return have ? (ssize_t)(have < n ? have : n) : -1;
}

/* ---- the host ---- */

void os_boot_id(char out[OS_BOOT_LEN + 1])
{
  const char *given = getenv("DROVER_TEST_BOOT_ID");
  long long at = 0;
  struct utmpx *u;

  if (given) {
    snprintf(out, OS_BOOT_LEN + 1, "%s", given);
    return;
  }
  setutxent();
  while ((u = getutxent()))
    if (u->ut_type == BOOT_TIME)
      at = (long long)u->ut_tv.tv_sec;
  endutxent();
  snprintf(out, OS_BOOT_LEN + 1, "%032llx", (unsigned long long)at);
}

bool os_machine_id(char out[OS_MACHINE_LEN + 1]) { return *out = 0, false; }
bool os_is_tmpfs(const char *path) { return (void)path, false; }
bool os_oom_shielded(void) { return false; }
void os_oom_unshield(void) {}

void os_facts(struct buf *out, const char *work)
{
  os_facts_any(out, work);
  records_put(out, "tree", "session");
}

/* ---- descriptors ---- */

int os_pidfd(pid_t pid) { return (void)pid, -1; }
void os_pipe_large(int fd) { (void)fd; }
int os_poll_max(void) { return FD_SETSIZE; }

int os_pipe(int p[2])
{
  if (pipe(p))
    return -1;
  fcntl(p[0], F_SETFD, FD_CLOEXEC);
  fcntl(p[1], F_SETFD, FD_CLOEXEC);
  return 0;
}

/* /dev/fd is not POSIX's, but where it tells of its own descriptor it tells of all. */
static bool close_listed(int first)
{
  DIR *d = opendir("/dev/fd");
  bool all = false;
  struct dirent *e;

  while (d && (e = readdir(d))) {
    int fd = *e->d_name >= '0' && *e->d_name <= '9' ? atoi(e->d_name) : -1;
    all = all || fd == dirfd(d);
    if (fd >= first && fd != dirfd(d) && fd != kept)
      close(fd);
  }
  if (d)
    closedir(d);
  return all;
}

void os_close_from(int first)
{
  long most = sysconf(_SC_OPEN_MAX);

  if (close_listed(first))
    return;
  for (int fd = first; fd < most && fd < FDS_MANY; fd++)
    if (fd != kept)
      close(fd);
}

/* pselect, since POSIX 2008 has no ppoll. */
int os_poll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask)
{
  fd_set in, out;
  int most = -1, r;

  FD_ZERO(&in);
  FD_ZERO(&out);
  for (nfds_t i = 0; i < n; i++) {
    p[i].revents = 0;
    if (p[i].fd < 0 || p[i].fd >= FD_SETSIZE)
      continue;
    if (p[i].events & POLLIN)
      FD_SET(p[i].fd, &in);
    if (p[i].events & POLLOUT)
      FD_SET(p[i].fd, &out);
    most = p[i].fd > most ? p[i].fd : most;
  }
  r = pselect(most + 1, &in, &out, NULL, t, mask);
  for (nfds_t i = 0; i < n && r > 0; i++)
    if (p[i].fd >= 0 && p[i].fd < FD_SETSIZE)
      p[i].revents = (short)((FD_ISSET(p[i].fd, &in) ? POLLIN : 0) | (FD_ISSET(p[i].fd, &out) ? POLLOUT : 0));
  return r;
}

/* ---- files ---- */

int os_open_beneath(int dir, const char *path, int flags) { return os_open_by_component(dir, path, flags, O_RDONLY); }
int os_folder_beneath(int dir, const char *path) { return os_open_by_component(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, O_RDONLY); }
int os_lstat_at(int dir, const char *name, struct stat *st) { return fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW); }
bool os_has_xattrs(int fd) { return (void)fd, false; }

int os_stat_beneath(int dir, const char *path, bool follow, struct stat *st)
{
  char leaf[256];
  int parent, r, e;

  if (beneath_is_top(path))
    return fstat(dir, st);
  parent = beneath_parent(dir, path, leaf);
  if (parent < 0)
    return -1;
  r = os_lstat_at(parent, leaf, st);
  e = errno;
  close(parent);
  errno = e;
  if (!r && follow && S_ISLNK(st->st_mode)) {
    errno = ELOOP;
    return -1;
  }
  return r;
}

/* Both are files, and b always is one of them; a may be missing for a moment. */
int os_swap_names(int dir, const char *a, const char *b)
{
  char third[NAME_MAX + 1];

  snprintf(third, sizeof third, "%s.swap", b);
  unlinkat(dir, third, 0); /* of one that died in here */
  if (linkat(dir, b, dir, third, 0))
    return -1;
  if (renameat(dir, a, dir, b)) {
    unlinkat(dir, third, 0);
    return -1;
  }
  return renameat(dir, third, dir, a);
}

static int no_such_call(void)
{
  errno = ENOSYS;
  return -1;
}

/* A second name is never made in the place of another; for a folder, which can have no second, a look has to do. */
int os_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
  struct stat st;

  if (!linkat(from_dir, from, to_dir, to, 0))
    return unlinkat(from_dir, from, 0);
  if (errno == EEXIST)
    return -1;
  if (!fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW)) {
    errno = EEXIST;
    return -1;
  }
  return renameat(from_dir, from, to_dir, to);
}

int os_clone(int to, int from) { return (void)to, (void)from, no_such_call(); }
ssize_t os_copy_range(int from, int to) { return (void)to, (void)from, no_such_call(); }

/* ---- this process and its children ---- */

void os_subreaper(void) {}

/* ---- other users, namespaces ---- */

const bool os_has_users = false; /* nobody could be rid of the worker's groups */

bool os_become(uid_t uid)
{
  (void)uid;
  errno = ENOSYS;
  return false;
}

void os_as(uid_t uid) { assert(!uid); }

int jail_start(const struct jail *j, pid_t *pid, int *sock, const char **what)
{
  (void)j;
  *pid = *sock = -1;
  *what = "make its namespaces";
  return ENOSYS;
}

int jail_try(unsigned spaces, const char *work, const char **what)
{
  (void)spaces, (void)work;
  *what = "make its namespaces";
  return ENOSYS;
}

bool jail_heard(int sock, struct jail_note *n) { return (void)sock, (void)n, false; }
void jail_signal(int sock, int number) { (void)sock, (void)number; }

/* ---- control groups: Linux alone has them ---- */

int cgroup_find(struct confine *c, const char *instance, int state) { return (void)instance, (void)state, c->no_groups ? 0 : ENOSYS; }
void cgroup_tidy(const struct confine *c, const struct map *wanted) { (void)c, (void)wanted; }
int cgroup_make(const struct confine *c, const char *cmd) { return (void)c, (void)cmd, -1; }
int cgroup_entry(int group) { return group; }
bool cgroup_kill(int group) { return (void)group, false; }
bool cgroup_starved(int group) { return (void)group, false; }
void cgroup_end(const struct confine *c, const char *cmd, int group) { (void)c, (void)cmd, (void)group; }


void os_reset_signals(void)
{
  struct sigaction usual = { .sa_handler = SIG_DFL };

  for (int sig = 1; sig < SIGNALS; sig++)
    sigaction(sig, &usual, NULL);
}

/* POSIX has no call that sets a user's groups: they may stay only where they give nothing more. */
int os_be_user(const char *name, uid_t uid, gid_t gid)
{
  gid_t have[NGROUPS_MAX < 1024 ? NGROUPS_MAX : 1024];
  int n = getgroups((int)COUNT(have), have);

  (void)name;
  for (int i = 0; i < n; i++)
    if (have[i] != gid)
      n = -1;
  if (n < 0) {
    errno = EPERM;
    return -1;
  }
  return setgid(gid) || setuid(uid) ? -1 : 0;
}

void os_no_dump(void)
{
  setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

static pid_t expected;

static void look_for_parent(int sig)
{
  (void)sig;
  if (getppid() != expected)
    _exit(1);
  alarm(1);
}

/* Within a second. */
bool os_end_with(pid_t parent)
{
  struct sigaction look = { .sa_handler = look_for_parent, .sa_flags = SA_RESTART };

  expected = parent;
  sigaction(SIGALRM, &look, NULL);
  alarm(1);
  return getppid() == parent;
}

void os_yield(void)
{
  if (setpriority(PRIO_PROCESS, 0, NICEST))
    errno = 0;
}

void os_hurry(pid_t pid)
{
  if (setpriority(PRIO_PROCESS, (id_t)pid, -20))
    errno = 0;
}

int os_start(int (*become)(void *), void *arg, pid_t *pid)
{
  int p[2], failed = 0;
  ssize_t n;

  if (os_pipe(p))
    return errno;
  *pid = fork();
  if (!*pid) {
    kept = p[1];
    failed = become(arg);
    n = write(p[1], &failed, sizeof failed);
    _exit(127);
  }
  if (*pid < 0)
    failed = errno;
  close(p[1]);
  while (*pid > 0 && (n = read(p[0], &failed, sizeof failed)) < 0 && errno == EINTR)
    continue; /* its end without a byte: the exec has closed it */
  close(p[0]);
  if (!failed)
    session = *pid;
  return failed;
}

static int64_t ms_of(const struct timeval *t) { return (int64_t)t->tv_sec * 1000 + t->tv_usec / 1000; }

pid_t os_reap(int *status, struct os_used *used)
{
  static struct os_used before; /* by all that were reaped */
  struct rusage ru = { .ru_utime = { 0, 0 } };
  pid_t pid = waitpid(-1, status, WNOHANG);

  if (pid <= 0)
    return pid;
  getrusage(RUSAGE_CHILDREN, &ru);
  *used = (struct os_used){ ms_of(&ru.ru_utime) - before.user_ms, ms_of(&ru.ru_stime) - before.sys_ms, 0 };
  before.user_ms += used->user_ms;
  before.sys_ms += used->sys_ms;
  return pid;
}

/* ---- all processes ---- */

struct os_walk {
  char *text, *at; /* what ps said */
  pid_t ps;
};

static void be_ps(int out)
{
  static char *env[] = { NULL };
  char *argv[] = { (char *)(uintptr_t)"ps", (char *)(uintptr_t)"-A", (char *)(uintptr_t)"-o", (char *)(uintptr_t)"pid=", (char *)(uintptr_t)"-o", (char *)(uintptr_t)"ppid=",
                   (char *)(uintptr_t)"-o", (char *)(uintptr_t)"pgid=", (char *)(uintptr_t)"-o", (char *)(uintptr_t)"stat=", NULL };
  int null = open("/dev/null", O_RDWR);

  dup2(null, 0);
  dup2(out, 1);
  dup2(null, 2);
  os_close_from(3);
  os_reset_signals();
  execve("/bin/ps", argv, env);
  execve("/usr/bin/ps", argv, env);
  _exit(127);
}

/* ps has ended before anything is looked at: whoever stops what he finds must not stop it. */
struct os_walk *os_walk_begin(void)
{
  struct os_walk *w = NULL;
  struct buf said;
  char part[4096];
  int p[2];
  ssize_t n;
  pid_t pid;

  if (os_pipe(p))
    return NULL;
  pid = fork();
  if (!pid)
    be_ps(p[1]);
  close(p[1]);
  buf_init(&said, PS_MAX);
  while (pid > 0 && ((n = read(p[0], part, sizeof part)) > 0 || (n < 0 && errno == EINTR)))
    buf_add(&said, part, n > 0 ? (size_t)n : 0);
  close(p[0]);
  while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    continue;
  if (said.len && !said.failed) {
    w = xmalloc(sizeof *w);
    w->text = w->at = xstrndup(said.data, said.len);
    w->ps = pid;
  }
  buf_free(&said);
  return w;
}

static const char *blanks(const char *s) { return s + strspn(s, " "); }

/* " 123  1  120 Ss+" */
static bool read_line(const char *line, struct os_proc *p, pid_t *group)
{
  int v[3], len;
  char state;

  for (int i = 0; i < 3; i++) {
    line = blanks(line);
    if (scan(line, "%d%n", &v[i], &len) != 1)
      return false;
    line += len;
  }
  state = *blanks(line);
  *group = v[2];
  *p = (struct os_proc){ .pid = v[0], .parent = v[1], .zombie = state == 'Z' };
  return p->pid > 0 && state;
}

bool os_walk_next(struct os_walk *w, struct os_proc *p)
{
  pid_t group;
  char *lf;

  while ((lf = strchr(w->at, '\n'))) {
    char *line = w->at;
    *lf = 0;
    w->at = lf + 1;
    if (!read_line(line, p, &group) || p->pid == w->ps)
      continue;
    if (session && (group == session || getsid(p->pid) == session))
      p->parent = getpid(); /* whatever its parent is: that may have ended */
    return true;
  }
  return false;
}

void os_walk_end(struct os_walk *w)
{
  free(w->text);
  free(w);
}

bool os_orphans(void)
{
  struct os_walk *w = session ? os_walk_begin() : NULL;
  struct os_proc p;
  bool found = false;

  while (w && !found && os_walk_next(w, &p))
    found = p.parent == getpid() && !p.zombie;
  if (w)
    os_walk_end(w);
  return found;
}

/* Only asked for what has the environment of a command, and that is not told here. */
bool os_proc_read(pid_t pid, struct os_proc *p) { return (void)pid, (void)p, false; }
bool os_proc_has_env(pid_t pid, const char *assignment) { return (void)pid, (void)assignment, false; }
bool os_proc_has_word(pid_t pid, int n, const char *word) { return (void)pid, (void)n, (void)word, false; }
