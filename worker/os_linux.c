/* Linux: what /proc tells, and system calls that libc has no name for. */
#include "worker/os.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/scan.h"
#include "proto/records.h"
#include "worker/os_any.h"
#include "worker/sha256.h"

/* Numbers that are the same on every architecture. */
enum { NR_PIDFD_OPEN = 434, NR_CLOSE_RANGE = 436, NR_OPENAT2 = 437 };

struct how {
  uint64_t flags, mode, resolve;
};
#define HOW_NO_MAGICLINKS 0x02
#define HOW_BENEATH 0x08

#define MACHINE_OF "drover-worker machine " /* what the id is hashed with */

enum { OPEN_TRIES = 64, PATH_LONGEST = 4096, STAT_MAX = 1024 };

const int os_orphans_ms = 0;
static const char self[] = "/proc/self/exe";

void os_init(const char *argv0) { (void)argv0; }
const char *os_self(void) { return self; }
ssize_t os_self_name(char *out, size_t n) { return readlink(self, out, n); }

static ssize_t read_file(const char *path, char *out, size_t cap)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n;

  if (fd < 0)
    return -1;
  n = read(fd, out, cap - 1);
  close(fd);
  out[n > 0 ? n : 0] = 0;
  return n;
}

void os_boot_id(char out[OS_BOOT_LEN + 1])
{
  const char *given = getenv("DROVER_TEST_BOOT_ID");
  char text[128] = "";
  size_t n = 0;

  if (given)
    snprintf(text, sizeof text, "%s", given);
  else if (read_file("/proc/sys/kernel/random/boot_id", text, sizeof text) <= 0)
    text[0] = 0;
  for (const char *p = text; *p && n < OS_BOOT_LEN; p++)
    if (isxdigit((unsigned char)*p))
      out[n++] = (char)tolower((unsigned char)*p);
  while (n < OS_BOOT_LEN)
    out[n++] = '0';
  out[n] = 0;
}

int os_pidfd(pid_t pid)
{
  return (int)syscall(NR_PIDFD_OPEN, pid, 0); /* close-on-exec by its nature */
}

void os_close_from(int first)
{
  long most;

  if (syscall(NR_CLOSE_RANGE, first, ~0u, 0) == 0)
    return;
  most = sysconf(_SC_OPEN_MAX);
  for (int fd = first; fd < most; fd++)
    close(fd);
}

int os_pipe(int p[2]) { return pipe2(p, O_CLOEXEC); }
int os_poll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask) { return ppoll(p, n, t, mask); }
int os_poll_max(void) { return INT_MAX; }
int os_be_user(const char *name, uid_t uid, gid_t gid) { return initgroups(name, gid) || setgid(gid) || setuid(uid) ? -1 : 0; }

/* vfork: the parent stands still until the exec, so the child reports its failure in shared memory, and a minder of a few hundred KB costs as little to leave as one can. */
int os_start(int (*become)(void *), void *arg, pid_t *pid)
{
  volatile int failed = 0;
  pid_t child = vfork();

  if (!child) {
    failed = become(arg);
    _exit(127);
  }
  *pid = child;
  return child < 0 ? errno : failed;
}

pid_t os_reap(int *status, struct os_used *used)
{
  struct rusage ru;
  pid_t pid = wait4(-1, status, WNOHANG, &ru);

  if (pid > 0)
    *used = (struct os_used){ ru.ru_utime.tv_sec * 1000 + ru.ru_utime.tv_usec / 1000, ru.ru_stime.tv_sec * 1000 + ru.ru_stime.tv_usec / 1000, ru.ru_maxrss };
  return pid;
}

bool os_orphans(void) { return false; }

void os_subreaper(void)
{
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

int os_open_beneath(int dir, const char *path, int flags)
{
  struct how how = { .flags = (uint64_t)(unsigned)flags, .resolve = HOW_BENEATH | HOW_NO_MAGICLINKS };
  long fd = -1;

  errno = ENOSYS;
  for (int i = getenv("DROVER_TEST_NO_OPENAT2") ? OPEN_TRIES : 0; i < OPEN_TRIES; i++) { /* EAGAIN: something was renamed while the kernel looked */
    fd = syscall(NR_OPENAT2, dir, path, &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN)
      break;
  }
  if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL))
    return os_open_by_component(dir, path, flags, O_PATH); /* kernels before 5.6 */
  return (int)fd;
}

int os_folder_beneath(int dir, const char *path) { return os_open_beneath(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC); }

int os_stat_beneath(int dir, const char *path, bool follow, struct stat *st)
{
  int fd = os_open_beneath(dir, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)), r;

  if (fd < 0)
    return -1;
  r = fstat(fd, st);
  close(fd);
  return r;
}

int os_lstat_at(int dir, const char *name, struct stat *st) { return fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT); }
bool os_has_xattrs(int fd) { return flistxattr(fd, NULL, 0) > 0; }

bool os_proc_read(pid_t pid, struct os_proc *p)
{
  static long ticks;
  char path[64], text[STAT_MAX], *s;
  unsigned long long start = 0;
  int parent = 0;
  char state = 0;

  if (!ticks)
    ticks = sysconf(_SC_CLK_TCK) > 0 ? sysconf(_SC_CLK_TCK) : 100;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  if (read_file(path, text, sizeof text) <= 0)
    return false;
  s = strrchr(text, ')'); /* the name in the brackets may hold anything */
  if (!s || scan(s + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
                   &parent, &start) != 3)
    return false;
  p->pid = pid;
  p->parent = parent;
  p->zombie = state == 'Z' || state == 'X';
  p->start_ms = (int64_t)(start * 1000 / (unsigned long long)ticks);
  return true;
}

/* The folder's stream itself: nothing else has to be kept. */
struct os_walk *os_walk_begin(void) { return (struct os_walk *)(void *)opendir("/proc"); }
void os_walk_end(struct os_walk *w) { closedir((DIR *)(void *)w); }

bool os_walk_next(struct os_walk *w, struct os_proc *p)
{
  struct dirent *e;

  while ((e = readdir((DIR *)(void *)w))) {
    pid_t pid = (pid_t)atoi(e->d_name);
    if (pid > 0 && os_proc_read(pid, p))
      return true;
  }
  return false;
}

int os_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
  enum { NO_REPLACE = 1 };
  struct stat st;

  if (!syscall(SYS_renameat2, from_dir, from, to_dir, to, NO_REPLACE))
    return 0;
  if (errno != ENOSYS && errno != EINVAL)
    return -1;
  if (!fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW)) { /* a file system without it: as well as that can be done */
    errno = EEXIST;
    return -1;
  }
  return renameat(from_dir, from, to_dir, to);
}

int os_swap_names(int dir, const char *a, const char *b)
{
  enum { EXCHANGE = 2 };

  return (int)syscall(SYS_renameat2, dir, a, dir, b, EXCHANGE);
}

int os_clone(int to, int from)
{
  return ioctl(to, _IOW(0x94, 9, int), from); /* FICLONE: linux/fs.h does not go with sys/mount.h of every libc */
}

ssize_t os_copy_range(int from, int to)
{
  enum { AT_ONCE = 16 << 20 };

  return syscall(SYS_copy_file_range, from, NULL, to, NULL, (size_t)AT_ONCE, 0);
}

void os_pipe_large(int fd)
{
  enum { SET_PIPE_SIZE = 1031, LARGE = 256 << 10 };

  if (fcntl(fd, SET_PIPE_SIZE, LARGE) < 0)
    errno = 0; /* the user has many pipes: this one stays as it is */
}

bool os_end_with(pid_t parent)
{
  return !prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) && getppid() == parent;
}

void os_yield(void)
{
  enum { WHO_PROCESS = 1, CLASS_IDLE = 3 << 13, NICEST = 19 };

  if (setpriority(PRIO_PROCESS, 0, NICEST) || syscall(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE))
    errno = 0; /* then it takes its share like anybody */
}

void os_hurry(pid_t pid)
{
  if (setpriority(PRIO_PROCESS, (id_t)pid, -20)) /* only root may; others converge as well, but slower */
    errno = 0;
}

bool os_proc_has_env(pid_t pid, const char *assignment)
{
  char path[64], part[4096];
  size_t want = strlen(assignment) + 1, have = 0;
  bool found = false, at_start = true;
  int fd;
  ssize_t n;

  snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  /* A match begins at the start or behind a NUL; `have` bytes of it were seen. */
  while (!found && (n = read(fd, part, sizeof part)) > 0)
    for (ssize_t i = 0; i < n && !found; i++) {
      if (at_start && part[i] == (have + 1 == want ? 0 : assignment[have]))
        found = ++have == want;
      else
        at_start = false;
      if (!part[i]) {
        at_start = true;
        have = 0;
      }
    }
  close(fd);
  return found;
}

bool os_proc_has_word(pid_t pid, int n, const char *word)
{
  char path[64], text[PATH_LONGEST + STAT_MAX]; /* the spool's path is one of the words */
  const char *at = text;
  ssize_t len;

  snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
  len = read_file(path, text, sizeof text);
  while (n-- > 0 && at - text < len)
    at += strlen(at) + 1;
  return at - text < len && !strcmp(at, word);
}

void os_no_dump(void)
{
  prctl(PR_SET_DUMPABLE, 0);
}

bool os_is_tmpfs(const char *path)
{
  struct statfs fs;
  return !statfs(path, &fs) && fs.f_type == TMPFS_MAGIC;
}

bool os_oom_shielded(void)
{
  char text[32];
  return read_file("/proc/self/oom_score_adj", text, sizeof text) > 0 && atoi(text) < 0;
}

void os_oom_unshield(void)
{
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if (write(fd, "0", 1) != 1) /* then the command is as safe as its worker: no harm to it */
    errno = 0;
  close(fd);
}

bool os_machine_id(char out[OS_MACHINE_LEN + 1])
{
  static const char *const files[] = { "/etc/machine-id", "/var/lib/dbus/machine-id" };
  char id[2 * OS_MACHINE_LEN] = "", hex[SHA256_HEX_LEN + 1];
  struct sha256 sum;

  for (size_t i = 0; i < COUNT(files) && strspn(id, "0123456789abcdef") != OS_MACHINE_LEN; i++)
    if (read_file(files[i], id, sizeof id) < 0)
      *id = 0;
  if (strspn(id, "0123456789abcdef") != OS_MACHINE_LEN) /* "uninitialized", or empty as in images */
    return false;
  sha256_init(&sum);
  sha256_add(&sum, MACHINE_OF, strlen(MACHINE_OF));
  sha256_add(&sum, id, OS_MACHINE_LEN);
  sha256_end(&sum, hex);
  snprintf(out, OS_MACHINE_LEN + 1, "%.*s", OS_MACHINE_LEN, hex);
  return true;
}

void os_facts(struct buf *out, const char *work)
{
  char load[32], *end;

  os_facts_any(out, work);
  if (read_file("/proc/loadavg", load, sizeof load) > 0 && (end = strchr(load, ' '))) {
    *end = 0;
    records_put(out, "load", load);
  }
}

/* The kernel's own calls: what the C library does around them is for programs with threads, and not for a child that shares its parent's memory. */
#ifdef SYS_setresuid32
enum { NR_SETRESUID = SYS_setresuid32, NR_SETRESGID = SYS_setresgid32, NR_SETGROUPS = SYS_setgroups32 };
#else
enum { NR_SETRESUID = SYS_setresuid, NR_SETRESGID = SYS_setresgid, NR_SETGROUPS = SYS_setgroups };
#endif

const bool os_has_users = true;

bool os_become(uid_t uid)
{
  return !syscall(NR_SETGROUPS, 0, NULL) && !syscall(NR_SETRESGID, uid, uid, uid) && !syscall(NR_SETRESUID, uid, uid, uid) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void os_as(uid_t uid)
{
  static bool away;
  int e = errno;

  if (!uid && !away)
    return;
  away = uid != 0;
  if (!uid && syscall(NR_SETRESUID, -1, getuid(), -1)) /* first: then it may be of its own group again */
    abort();
  if (syscall(NR_SETRESGID, -1, uid ? uid : getgid(), -1) || (uid && (syscall(NR_SETGROUPS, 0, NULL) || syscall(NR_SETRESUID, -1, uid, -1))))
    abort(); /* never go on as somebody else */
  errno = e;
}

void os_reset_signals(void)
{
  enum { FIRST = 32, LAST = 34, KERNEL_MASK_BYTES = 8 };
  struct sigaction usual = { .sa_handler = SIG_DFL };
  struct { /* the kernel's struct sigaction; all zero is SIG_DFL on every architecture */
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long mask[2];
  } plain = { 0 };

  for (int sig = 1; sig < NSIG; sig++)
    sigaction(sig, &usual, NULL);
  for (int sig = FIRST; sig <= LAST; sig++)
    syscall(SYS_rt_sigaction, sig, &plain, NULL, KERNEL_MASK_BYTES);
}
