/* One program at a time in its own process group, its two outputs read until both are at their end or the time is over. */
#include "master/conf/generate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/utf8.h"

#define GENERATE_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { LOOK_MS = 100, READ_BYTES = 16384 }; /* how long generate_stop may go unnoticed */

static atomic_bool stopped;

void generate_stop(void)
{
  atomic_store(&stopped, true);
}

struct program {
  pid_t pid;
  int out, errors;         /* our ends; -1: at its end */
  char last[2 * GENERATE_STDERR_MAX]; /* of its standard error */
  size_t nlast;
  int64_t end_ms;          /* clock_mono_ms */
};

/* ---- starting ---- */

/* The child's side; the attributes say that it leads a group of its own and has no signal blocked or ignored. */
static int spawn(pid_t *pid, const char *const argv[], const char *folder, int out, int errors)
{
  static char path[] = "PATH=" GENERATE_PATH, home[] = "HOME=/nonexistent", lang[] = "LANG=C.UTF-8";
  char *env[] = { path, home, lang, NULL };
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  sigset_t none, all;
  int rc;

  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_init(&how);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigdefault(&how, &all);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, out, 1);
  posix_spawn_file_actions_adddup2(&files, errors, 2);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  posix_spawn_file_actions_addchdir_np(&files, folder);
  rc = posix_spawnp(pid, argv[0], &files, &how, (char *const *)(uintptr_t)argv, env);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&how);
  return rc;
}

static enum err start(struct program *p, const char *const argv[], const char *folder, struct buf *why)
{
  int out[2] = { -1, -1 }, errors[2] = { -1, -1 }, rc;

  rc = pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC) ? errno : 0;
  /* Descriptors 0 to 2 are open here, so that none of ours is replaced before it is copied. */
  if (!rc)
    rc = spawn(&p->pid, argv, folder, out[1], errors[1]);
  if (out[1] >= 0)
    close(out[1]);
  if (errors[1] >= 0)
    close(errors[1]);
  p->out = out[0];
  p->errors = errors[0];
  if (!rc)
    return ERR_OK;
  buf_addf(why, "can't be started in %s: %s", folder, strerror(rc));
  return ERR_IO;
}

/* ---- reading ---- */

static void close_end(int *fd)
{
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

static void keep_last(struct program *p, const char *s, size_t n)
{
  const size_t max = sizeof p->last;
  size_t over;

  if (n > max) {
    s += n - max;
    n = max;
  }
  over = p->nlast + n > max ? p->nlast + n - max : 0;
  memmove(p->last, p->last + over, p->nlast - over);
  memcpy(p->last + p->nlast - over, s, n);
  p->nlast += n - over;
}

/* False: more than fits. */
static bool read_some(struct program *p, int *fd, struct buf *out)
{
  char bytes[READ_BYTES];
  ssize_t n = read(*fd, bytes, sizeof bytes);

  if (n < 0 && errno == EINTR)
    return true;
  if (n <= 0) {
    close_end(fd);
  } else if (fd == &p->errors) {
    keep_last(p, bytes, (size_t)n);
  } else {
    buf_add(out, bytes, (size_t)n);
    return !out->failed;
  }
  return true;
}

/* Until both outputs are at their end. */
static enum err read_all(struct program *p, int64_t ms, struct buf *out, struct buf *why)
{
  while (p->out >= 0 || p->errors >= 0) {
    struct pollfd fds[2] = { { .fd = p->out, .events = POLLIN }, { .fd = p->errors, .events = POLLIN } };
    int64_t left = p->end_ms - clock_mono_ms();
    if (left <= 0) {
      buf_addf(why, "was not over after %lld.%lld s, and was killed", (long long)(ms / 1000), (long long)(ms % 1000 / 100));
      return ERR_TIMEOUT;
    }
    if (atomic_load(&stopped)) {
      buf_adds(why, "was killed, for the master is stopping");
      return ERR_FAILED;
    }
    (void)poll(fds, 2, (int)(left < LOOK_MS ? left : LOOK_MS));
    if (fds[1].revents)
      (void)read_some(p, &p->errors, out);
    if (fds[0].revents && !read_some(p, &p->out, out)) {
      buf_addf(why, "printed more than %zu KiB, and was killed", out->max >> 10);
      return ERR_TOOBIG;
    }
  }
  return ERR_OK;
}

/* ---- the end ---- */

/* One that has closed its outputs may still run. It stays a zombie, so that its number is nobody else's. */
static bool wait_for_end(const struct program *p)
{
  siginfo_t info;

  for (;;) {
    info.si_pid = 0;
    if (!waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)
      return true;
    if (clock_mono_ms() >= p->end_ms || atomic_load(&stopped))
      return false;
    (void)poll(NULL, 0, 1);
  }
}

static enum err judge(int status, struct buf *why)
{
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return ERR_OK;
  if (WIFEXITED(status))
    buf_addf(why, "ended with exit code %d", WEXITSTATUS(status));
  else
    buf_addf(why, "was ended by signal %d", WTERMSIG(status));
  return ERR_FAILED;
}

/* What it said last, as one line. */
static void add_errors(struct program *p, struct buf *why)
{
  char *s = p->last;
  size_t n = p->nlast;

  while (n && (s[n - 1] == '\n' || s[n - 1] == ' '))
    n--;
  if (n > GENERATE_STDERR_MAX) {
    s += n - GENERATE_STDERR_MAX;
    n = GENERATE_STDERR_MAX;
    for (; n && ((unsigned char)*s & 0xc0) == 0x80; s++) /* not from within a character */
      n--;
  }
  if (!n)
    return;
  for (size_t i = 0; i < n; i++)
    if (s[i] == '\n' || s[i] == '\t' || s[i] == '\r')
      s[i] = ' ';
  buf_adds(why, s == p->last ? ": " : ": …");
  utf8_clean(why, s, n, true);
}

enum err generate(const char *const argv[], const char *folder, int64_t ms, struct buf *out, struct buf *why)
{
  struct program p = { .end_ms = clock_mono_ms() + ms };
  enum err err;
  int status = 0;

  if (atomic_load(&stopped)) {
    buf_adds(why, "was not started, for the master is stopping");
    return ERR_FAILED;
  }
  err = start(&p, argv, folder, why);
  if (!err) {
    err = read_all(&p, ms, out, why);
    if (!err && !wait_for_end(&p)) {
      buf_adds(why, "closed its output and did not end in time");
      err = ERR_TIMEOUT;
    }
    kill(-p.pid, SIGKILL); /* also what it has left behind */
    while (waitpid(p.pid, &status, 0) < 0 && errno == EINTR)
      ;
    if (!err)
      err = judge(status, why);
    if (err)
      add_errors(&p, why);
  }
  close_end(&p.out);
  close_end(&p.errors);
  return err;
}
