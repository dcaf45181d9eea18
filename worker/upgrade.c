/* Happy path: the bytes are there (fileop_put.c) → their checksum, fsync → a guard is forked → execve of NAME.new → welcomed: NAME.new becomes NAME, the guard is told and ends.
   Failures: no execve: this agent goes on. The new one ends, or is not welcomed in time: the guard ends it, notes why in the state folder and starts the old one, unless a service manager does. The
   guard is killed too: nothing is left but NAME.new, which nobody starts. */
#include "worker/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/str.h"
#include "worker/os.h"
#include "worker/version.h"

#define TRIAL_ENV "DROVER_TRIAL"      /* the descriptor to the guard, for the new program */
#define REFUSED_FILE "upgrade-refused" /* "SUM why" */

enum {
  TRIAL_MS = 120000,      /* for the master's welcome: it may be restarted itself just then */
  OTHERS_MS = 2000,       /* somebody else may start the worker again: then the guard does not */
  OTHERS_POLL_MS = 50,
  BUSY_MS = 2000,         /* the new program may be open for writing elsewhere */
  BLOCK = 65536,
  GUARD_FD = 3,
  SAID_WELCOME = 'w', SAID_STOP = 's'
};

/* ---- files ---- */

/* Of a plain file from its beginning; false: errno. */
static bool sum_of(int fd, char hex[SHA256_HEX_LEN + 1])
{
  static char part[BLOCK];
  struct sha256 s;
  off_t off = 0;
  ssize_t n;

  sha256_init(&s);
  while ((n = pread(fd, part, sizeof part, off)) > 0 && off <= UPGRADE_SIZE_MAX) {
    sha256_add(&s, part, (size_t)n);
    off += n;
  }
  sha256_end(&s, hex);
  return !n;
}

static void write_refused(const struct upgrade *u)
{
  char path[4096], text[SHA256_HEX_LEN + UPGRADE_WHY_MAX + 2];
  int fd, n;
  ssize_t w;

  snprintf(path, sizeof path, "%s/" REFUSED_FILE, u->state);
  n = snprintf(text, sizeof text, "%s %s", u->refused, u->why);
  fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  w = fd < 0 ? -1 : write(fd, text, (size_t)n);
  if (w < n)
    log_warn("upgrade", "%s can't be written: %s", path, strerror(errno));
  if (fd >= 0)
    close(fd);
}

static void read_refused(struct upgrade *u, int state)
{
  char text[SHA256_HEX_LEN + 1 + UPGRADE_WHY_MAX];
  int fd = openat(state, REFUSED_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

  if (fd >= 0)
    close(fd);
  if (n <= SHA256_HEX_LEN || text[SHA256_HEX_LEN] != ' ')
    return;
  text[n] = 0;
  memcpy(u->refused, text, SHA256_HEX_LEN);
  snprintf(u->why, sizeof u->why, "%s", text + SHA256_HEX_LEN + 1);
}

static void refuse(struct upgrade *u, const char *sum, const char *why)
{
  memcpy(u->refused, sum, sizeof u->refused);
  snprintf(u->why, sizeof u->why, "%s", why);
  if (u->dir >= 0)
    unlinkat(u->dir, u->next_leaf, 0);
  else
    unlink(u->next);
  write_refused(u);
  log_error("upgrade", "the new program %.12s is not kept: %s", u->refused, u->why);
}

/* ---- at the start ---- */

static void take_trial(struct upgrade *u)
{
  const char *text = getenv(TRIAL_ENV);
  int64_t fd;

  u->trial = -1;
  if (text && !str_number(text, strlen(text), &fd) && fd > 2 && fd < 1 << 20 && !fcntl((int)fd, F_SETFD, FD_CLOEXEC))
    u->trial = (int)fd;
  unsetenv(TRIAL_ENV);
}

static bool ends_with(const char *s, const char *end)
{
  size_t n = strlen(s), m = strlen(end);

  return n > m && !strcmp(s + n - m, end);
}

static void take_names(struct upgrade *u)
{
  static const char deleted[] = " (deleted)";
  char self[4096];
  ssize_t n = os_self_name(self, sizeof self - 1);
  char *slash;

  u->dir = -1;
  if (n <= 0)
    return;
  self[n] = 0;
  if (ends_with(self, deleted))
    self[n - (ssize_t)(sizeof deleted - 1)] = 0;
  if (u->trial >= 0 && ends_with(self, UPGRADE_SUFFIX))
    self[strlen(self) - strlen(UPGRADE_SUFFIX)] = 0;
  slash = strrchr(self, '/');
  if (!slash)
    return;
  u->program = xstrdup(self);
  u->leaf = u->program + (slash - self) + 1;
  u->next = xasprintf("%s" UPGRADE_SUFFIX, self);
  u->next_leaf = u->next + (slash - self) + 1;
  slash[slash == self] = 0;
  u->dir = open(self, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void upgrade_init(struct upgrade *u, char **argv, int state, const char *state_path)
{
  memset(u, 0, sizeof *u);
  u->argv = argv;
  u->state = state_path;
  take_trial(u);
  take_names(u);
  read_refused(u, state);
}

const char *upgrade_sum(struct upgrade *u)
{
  int fd;

  if (*u->sum)
    return u->sum;
  fd = open(os_self(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || !sum_of(fd, u->sum))
    u->sum[0] = 0;
  if (fd >= 0)
    close(fd);
  return u->sum;
}

/* ---- before ---- */

bool upgrade_may_write(const struct upgrade *u, const char **why)
{
  static char text[4096 + 256];

  if (!u->program)
    *why = "the system does not tell which program this worker is: put the new one in its place by hand and restart the worker";
  else if (u->dir < 0 || faccessat(u->dir, ".", W_OK | X_OK, AT_EACCESS)) {
    snprintf(text, sizeof text, "the worker may not write into the folder of its program %s (%s): put the new one there as who may, then drover worker restart; or run the worker from a folder of its own user",
             u->program, strerror(errno));
    *why = text;
  } else
    return true;
  return false;
}

enum err upgrade_ready(const struct upgrade *u, const char *sum)
{
  char hex[SHA256_HEX_LEN + 1];
  int fd = u->dir < 0 ? -1 : openat(u->dir, u->next_leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat st;
  enum err e = ERR_OK;

  if (fd < 0)
    return ERR_NOTFOUND;
  if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > UPGRADE_SIZE_MAX || !sum_of(fd, hex) || strcmp(hex, sum))
    e = ERR_BADARG;
  else if (fsync(fd) || fsync(u->dir))
    e = ERR_IO;
  close(fd);
  return e;
}

void upgrade_anew(struct upgrade *u)
{
  char path[4096];

  if (!*u->refused)
    return;
  u->refused[0] = 0;
  snprintf(path, sizeof path, "%s/" REFUSED_FILE, u->state);
  unlink(path);
}

/* ---- the guard ---- */

static int64_t trial_ms(void)
{
  const char *given = getenv("DROVER_TEST_TRIAL_MS");
  int64_t ms;

  return given && !str_number(given, strlen(given), &ms) && ms < TRIAL_MS ? ms : TRIAL_MS;
}

/* Has somebody started the worker again? */
static bool others_run(const struct upgrade *u)
{
  char path[4096];
  int fd;
  bool held;

  snprintf(path, sizeof path, "%s/lock", u->state);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB);
  if (fd >= 0)
    close(fd);
  return held;
}

/* The old program, as it was started. */
static void start_old(const struct upgrade *u, const sigset_t *mask)
{
  static const int usual[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD };
  int64_t end = clock_mono_ms() + OTHERS_MS;

  if (notify_socket())
    return; /* systemd has seen the end of its process, and starts it */
  while (clock_mono_ms() < end) {
    if (others_run(u))
      return;
    poll(NULL, 0, OTHERS_POLL_MS);
  }
  for (size_t i = 0; i < COUNT(usual); i++)
    signal(usual[i], SIG_DFL);
  sigprocmask(SIG_SETMASK, mask, NULL);
  execv(u->program, u->argv);
}

/* A child of the agent that is about to be another program. */
static void guard(struct upgrade *u, const char *sum, pid_t agent, const sigset_t *mask)
{
  struct pollfd p = { GUARD_FD, POLLIN, 0 };
  int64_t end = clock_mono_ms() + trial_ms(), left;
  char said = 0, why[UPGRADE_WHY_MAX];
  ssize_t n = 0;

  setsid();
  u->dir = -1; /* closed */
  while ((left = end - clock_mono_ms()) > 0 && poll(&p, 1, (int)left) <= 0)
    ;
  if (p.revents)
    n = read(GUARD_FD, &said, 1);
  if (n == 1)
    _exit(0);
  if (p.revents)
    snprintf(why, sizeof why, "it ended before the master had welcomed it");
  else
    snprintf(why, sizeof why, "the master did not welcome it within %lld s", (long long)(trial_ms() / 1000));
  if (getppid() == agent)
    kill(agent, SIGKILL); /* its commands are no children of it */
  refuse(u, sum, why);
  start_old(u, mask);
  _exit(0);
}

/* ---- becoming ---- */

static void set_environment(int trial)
{
  char text[16];

  snprintf(text, sizeof text, "%d", trial);
  if (trial >= 0)
    setenv(TRIAL_ENV, text, 1);
  if (notify_socket())
    setenv("NOTIFY_SOCKET", notify_socket(), 1);
}

/* Comes back where it can't be. A process that was being started while the file was written may have it open for writing until it is what it is to be. */
static void start_next(const struct upgrade *u)
{
  int64_t end = clock_mono_ms() + BUSY_MS;

  while (execv(u->next, u->argv) && errno == ETXTBSY && clock_mono_ms() < end) {
    poll(NULL, 0, OTHERS_POLL_MS);
    errno = ETXTBSY;
  }
}

void upgrade_become(struct upgrade *u, const char *sum)
{
  pid_t agent = getpid(), child;
  char why[UPGRADE_WHY_MAX];
  sigset_t mask, none;
  int p[2], ready[2];
  char byte;

  if (os_pipe(p) || os_pipe(ready)) {
    refuse(u, sum, "there is no pipe left for its guard");
    return;
  }
  sigemptyset(&none);
  sigprocmask(SIG_BLOCK, &none, &mask);
  child = fork();
  if (!child) {
    dup2(p[0], GUARD_FD);
    os_close_from(GUARD_FD + 1); /* above all the lock of the state folder, and the other end of the pipe */
    sigdelset(&mask, SIGTERM), sigdelset(&mask, SIGINT), sigdelset(&mask, SIGHUP);
    guard(u, sum, agent, &mask);
  }
  close(p[0]);
  close(ready[1]);
  while (child > 0 && read(ready[0], &byte, 1) < 0 && errno == EINTR)
    ; /* its end: the guard has let go of what is not its own, so that the next agent gets the lock */
  close(ready[0]);
  fcntl(p[1], F_SETFD, 0);
  set_environment(p[1]);
  if (child > 0)
    start_next(u);
  snprintf(why, sizeof why, "it does not start: %s", strerror(errno));
  if (child > 0 && write(p[1], (char[]){ SAID_STOP }, 1) < 0)
    log_warn("upgrade", "its guard is gone");
  close(p[1]);
  unsetenv(TRIAL_ENV);
  unsetenv("NOTIFY_SOCKET");
  refuse(u, sum, why);
}

void upgrade_again(const struct upgrade *u)
{
  int number;

  set_environment(-1);
  execv(u->program, u->argv);
  number = errno;
  unsetenv("NOTIFY_SOCKET");
  errno = number;
}

/* ---- after ---- */

static void tell_guard(struct upgrade *u, char what)
{
  if (write(u->trial, &what, 1) < 0)
    log_warn("upgrade", "the guard is gone: %s", strerror(errno));
  close(u->trial);
  u->trial = -1;
}

void upgrade_welcomed(struct upgrade *u)
{
  if (u->trial < 0)
    return;
  if (u->dir < 0 || renameat(u->dir, u->next_leaf, u->dir, u->leaf) || fsync(u->dir))
    log_error("upgrade", "the new program can't take the name %s: %s; the next start runs the old one", u->program ? u->program : "?", strerror(errno));
  else
    log_info("upgrade", "%s is drover-worker %s now", u->program, worker_version);
  tell_guard(u, SAID_WELCOME);
}

void upgrade_stopped(struct upgrade *u)
{
  if (u->trial >= 0)
    tell_guard(u, SAID_STOP);
}
