/* What an installer does to a host. Nothing here is left half done: a file is complete or the old one, and what is there already is fine. */
#include "worker/setup.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/str.h"
#include "worker/conf.h"

/* Depends on the unit, which the compiler's dependency files don't tell: the Makefile does. */
__asm__(".section .rodata\n.global setup_unit_text\nsetup_unit_text:\n.incbin \".pkg/units/drover-worker.service\"\n.byte 0\n.previous\n");
extern const char setup_unit_text[];

#define SYSTEM_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
enum { PROGRAM_MISSING = 127, COPY_SIZE = 65536 };

static enum err fail(const char *what, const char *path)
{
  enum err e = errno == ENOSPC || errno == EDQUOT ? ERR_NOSPACE : errno == EACCES || errno == EPERM || errno == EROFS ? ERR_DENIED : ERR_IO;

  fprintf(stderr, "drover-worker: %s %s: %s\n", what, path, strerror(errno));
  return e;
}

/* ---- files ---- */

static char *folder_of(const char *path)
{
  const char *slash = strrchr(path, '/');

  return slash == path ? xstrdup("/") : slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
}

static int sync_folder(const char *path)
{
  char *folder = folder_of(path);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad = fd < 0 || fsync(fd);

  if (fd >= 0)
    close(fd);
  free(folder);
  return bad;
}

/* A new file beside path, named *tmp (the caller's). */
static int open_new(const char *path, char **tmp)
{
  *tmp = xasprintf("%s.new", path);
  if (unlink(*tmp) && errno != ENOENT)
    return -1;
  return open(*tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Takes fd; number: errno of what went wrong before. */
static enum err finish(int fd, char *tmp, const char *path, mode_t mode, uid_t uid, gid_t gid, int number)
{
  enum err e = ERR_OK;

  if (!number && ((uid != SETUP_NOBODY && fchown(fd, uid, gid)) || fchmod(fd, mode) || fsync(fd)))
    number = errno;
  if (fd >= 0)
    close(fd);
  if (!number && (rename(tmp, path) || sync_folder(path)))
    number = errno;
  if (number) {
    unlink(tmp);
    errno = number;
    e = fail("can't write", path);
  }
  free(tmp);
  return e;
}

static int write_all(int fd, const char *p, size_t n)
{
  while (n) {
    ssize_t w = write(fd, p, n);
    if (w < 0 && errno == EINTR)
      continue;
    if (w < 0)
      return errno;
    p += w;
    n -= (size_t)w;
  }
  return 0;
}

enum err setup_write(const char *path, const void *p, size_t n, mode_t mode, uid_t uid, gid_t gid)
{
  char *tmp;
  int fd = open_new(path, &tmp);

  return finish(fd, tmp, path, mode, uid, gid, fd < 0 ? errno : write_all(fd, p, n));
}

enum err setup_copy(int from, const char *path, mode_t mode)
{
  static char part[COPY_SIZE];
  char *tmp;
  int fd = open_new(path, &tmp), number = fd < 0 ? errno : 0;
  off_t at = 0;
  ssize_t n;

  while (!number && (n = pread(from, part, sizeof part, at)) != 0) {
    number = n < 0 ? errno : write_all(fd, part, (size_t)n);
    at += n;
  }
  return finish(fd, tmp, path, mode, SETUP_NOBODY, (gid_t)-1, number);
}

enum err setup_folder(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
  struct stat st;
  char *above;
  enum err e;

  if (!stat(path, &st)) {
    if (S_ISDIR(st.st_mode))
      return ERR_OK;
    errno = ENOTDIR;
    return fail("can't use", path);
  }
  above = folder_of(path);
  e = strcmp(above, path) ? setup_folder(above, 0755, SETUP_NOBODY, (gid_t)-1) : ERR_OK;
  free(above);
  if (e)
    return e;
  if ((mkdir(path, 0700) && errno != EEXIST) || (uid != SETUP_NOBODY && chown(path, uid, gid)) || chmod(path, mode))
    return fail("can't make the folder", path);
  return ERR_OK;
}

static bool is_empty(const char *path)
{
  DIR *d = opendir(path);
  int entries = 0;

  while (d && entries < 3 && readdir(d))
    entries++;
  if (d)
    closedir(d);
  return entries == 2; /* . and .. */
}

enum err setup_state(const char *path, uid_t uid, gid_t gid)
{
  enum err e = setup_folder(path, 0755, uid, gid);
  struct stat st;

  if (e || uid == SETUP_NOBODY)
    return e;
  if (stat(path, &st))
    return fail("can't look at", path);
  if (st.st_uid == uid)
    return ERR_OK;
  if (is_empty(path))
    return chown(path, uid, gid) ? fail("can't give away", path) : ERR_OK;
  fprintf(stderr, "drover-worker: the state folder %s belongs to uid %u, not to the worker's user: chown -R it, or name another --dir or --user\n", path, (unsigned)st.st_uid);
  return ERR_DENIED;
}

/* ---- programs ---- */

int setup_run(const char *const argv[])
{
  extern char **environ;
  static char *env[] = { (char *)(uintptr_t)SYSTEM_PATH, (char *)(uintptr_t)"LANG=C.UTF-8", NULL };
  int state = 0;
  pid_t pid = fork();

  if (!pid) {
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(2, 1);
    environ = env; /* execvp looks where we say, not where the caller's PATH does */
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(PROGRAM_MISSING);
  }
  while (pid > 0 && waitpid(pid, &state, 0) < 0 && errno == EINTR)
    ;
  if (pid < 0) {
    fprintf(stderr, "drover-worker: can't start %s: %s\n", argv[0], strerror(errno));
    return -1;
  }
  return WIFEXITED(state) && WEXITSTATUS(state) != PROGRAM_MISSING ? WEXITSTATUS(state) : -1;
}

bool setup_has_systemd(void)
{
  struct stat st;

  return !lstat("/run/systemd/system", &st) && S_ISDIR(st.st_mode); /* sd_booted(3) */
}

static bool user_is(const char *name, uid_t *uid, gid_t *gid)
{
  struct passwd *pw = getpwnam(name);

  if (!pw)
    return false;
  *uid = pw->pw_uid;
  *gid = pw->pw_gid;
  return true;
}

enum err setup_user(const char *name, const char *home, uid_t *uid, gid_t *gid)
{
  const char *const useradd[] = { "useradd", "--system", "--user-group", "--home-dir", home, "--no-create-home", "--shell", "/usr/sbin/nologin", name, NULL };
  const char *const debian[] = { "adduser", "--system", "--group", "--quiet", "--home", home, "--no-create-home", "--shell", "/usr/sbin/nologin", name, NULL };
  const char *const busybox_group[] = { "addgroup", "-S", name, NULL };
  const char *const busybox[] = { "adduser", "-S", "-D", "-H", "-h", home, "-s", "/sbin/nologin", "-G", name, name, NULL };

  if (user_is(name, uid, gid))
    return ERR_OK;
  if (setup_run(useradd) && setup_run(debian) && (setup_run(busybox_group) || setup_run(busybox))) {
    fprintf(stderr, "drover-worker: the user %s can't be made by useradd or adduser: make it by hand, or name one that is there with --user\n", name);
    return ERR_FAILED;
  }
  if (user_is(name, uid, gid))
    return ERR_OK;
  fprintf(stderr, "drover-worker: the user %s is not in /etc/passwd after it was made: name another with --user\n", name);
  return ERR_FAILED;
}

/* ---- the unit ---- */

void setup_unit(struct buf *out, const char *program, const char *user, const char *dir)
{
  for (const char *line = setup_unit_text, *end; *line; line = end + (*end == '\n')) {
    end = line + strcspn(line, "\n");
    if (str_starts(line, "ExecStart="))
      buf_addf(out, "ExecStart=%s\n", program);
    else if (str_starts(line, "User="))
      buf_addf(out, "User=%s\n", user);
    else if (!str_starts(line, "StateDirectory=") || !strcmp(dir, CONF_DIR))
      buf_addf(out, "%.*s\n", (int)(end - line), line);
  }
}
