/* Places and their users. */
#include "worker/slot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"
#include "worker/os.h"

enum { PLACE_PARTS = 3, DEPTH_MAX = 200, PLACE_MODE = 0700 };

int slot_place(const char *path, char out[BENEATH_PATH_MAX])
{
  int parts = 0;
  size_t len = 0;

  while (*path && parts < PLACE_PARTS) {
    size_t n = strcspn(path, "/");
    if (n && (n != 1 || *path != '.')) {
      if (len)
        out[len++] = '/';
      memcpy(out + len, path, n);
      len += n;
      parts++;
    }
    path += n;
    path += strspn(path, "/");
  }
  out[len] = 0;
  return parts;
}

/* ---- which are taken ---- */

static bool in_range(const struct confine *c, uid_t uid) { return uid >= c->first && uid <= c->last; }

/* Marks the owners of all places below. */
static void mark(const struct confine *c, int dir, int parts, unsigned char *taken)
{
  DIR *d = fdopendir(dir);
  struct dirent *e;
  struct stat st;

  if (!d) {
    close(dir);
    return;
  }
  while ((e = readdir(d))) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode))
      continue;
    if (in_range(c, st.st_uid))
      taken[st.st_uid - c->first] = 1;
    if (parts > 1) {
      int below = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (below >= 0)
        mark(c, below, parts - 1, taken);
    }
  }
  closedir(d);
}

/* 0: there is none. */
static uid_t pick(const struct confine *c, int work)
{
  size_t n = c->last - c->first + 1, i = 0;
  unsigned char *taken = xcalloc(n, 1);
  int dir = beneath_open(work, ".", O_RDONLY | O_DIRECTORY);

  if (dir >= 0)
    mark(c, dir, PLACE_PARTS, taken);
  while (i < n && taken[i])
    i++;
  free(taken);
  errno = EUSERS;
  return dir >= 0 && i < n ? c->first + (uid_t)i : 0;
}

/* ---- giving ---- */

/* All that is in the folder (taken over). A file of several names may have one elsewhere, so it stays whose it is. */
static int give(int dir, uid_t uid, int depth)
{
  DIR *d = depth < DEPTH_MAX ? fdopendir(dir) : NULL;
  struct dirent *e;
  struct stat st;
  int bad = 0;

  if (!d) {
    close(dir);
    errno = depth < DEPTH_MAX ? errno : ENAMETOOLONG;
    return -1;
  }
  while (!bad && (e = readdir(d))) {
    int at = dirfd(d), below;
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || fstatat(at, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
      continue;
    if (!S_ISDIR(st.st_mode)) {
      bad = st.st_nlink == 1 && fchownat(at, e->d_name, uid, uid, AT_SYMLINK_NOFOLLOW) && errno != ENOENT;
      continue;
    }
    below = openat(at, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bad = below < 0 || fchown(below, uid, uid);
    if (below >= 0 && bad)
      close(below);
    else if (below >= 0)
      bad = give(below, uid, depth + 1);
  }
  closedir(d);
  return bad ? -1 : 0;
}

/* The place's own owner comes last: until then the next look begins anew. */
static uid_t take(const struct confine *c, int work, int place)
{
  uid_t uid = pick(c, work);

  if (!uid || give(fcntl(place, F_DUPFD_CLOEXEC, 0), uid, 0) || fchmod(place, PLACE_MODE) || fchown(place, uid, uid))
    return 0;
  return uid;
}

static int open_place(int work, const char *place, bool make)
{
  char leaf[256], above[BENEATH_PATH_MAX];
  int dir, fd;

  strcpy(above, place);
  *strrchr(above, '/') = 0;
  if (make && beneath_mkdirs(work, above))
    return -1;
  dir = beneath_parent(work, place, leaf);
  if (dir < 0)
    return -1;
  if (make && mkdirat(dir, leaf, PLACE_MODE) && errno != EEXIST) {
    close(dir);
    return -1;
  }
  fd = openat(dir, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  close(dir);
  return fd;
}

uid_t slot_owner(const struct confine *c, int work, const char *path, bool make)
{
  char place[BENEATH_PATH_MAX];
  struct stat st;
  uid_t uid = 0;
  int fd, lock, e;

  if (slot_place(path, place) < PLACE_PARTS) {
    errno = EDOM;
    return 0;
  }
  fd = open_place(work, place, make);
  if (fd < 0)
    return 0;
  if (!fstat(fd, &st) && in_range(c, st.st_uid)) {
    close(fd);
    return st.st_uid;
  }
  errno = ENOENT;
  if (make) {
    lock = beneath_open(work, ".", O_RDONLY | O_DIRECTORY); /* two that come at once take two numbers */
    if (lock >= 0 && !flock(lock, LOCK_EX))
      uid = !fstat(fd, &st) && in_range(c, st.st_uid) ? st.st_uid : take(c, work, fd);
    e = errno;
    if (lock >= 0)
      close(lock);
    errno = e;
  }
  e = errno;
  close(fd);
  errno = e;
  return uid;
}

const char *slot_text(int number)
{
  return number == EUSERS ? "each of slot_uids has a folder: remove some, or widen it in worker.conf" : number == EDOM ? "with slot_uids a command works in a folder PROJECT/BUILDER/SLOT" : NULL;
}

void slot_sweep(uid_t uid)
{
  int status;
  pid_t pid = fork();

  if (!pid) {
    if (os_become(uid))
      kill(-1, SIGKILL); /* itself too */
    _exit(1);
  }
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
}

/* ---- file operations ---- */

static bool writes(enum verb v)
{
  return confine_group(v) == ALLOW_WRITE && v != VERB_remove;
}

bool slot_enter(const struct confine *c, int work, enum verb verb, const char *path, const char *to)
{
  char place[BENEATH_PATH_MAX];
  const char *where = to && beneath_valid(to) ? to : path; /* what comes into being decides */
  uid_t uid;

  if (slot_place(where, place) < PLACE_PARTS)
    return true;
  /* The place itself comes and goes in a folder that is not its user's. */
  if ((verb == VERB_remove || verb == VERB_rename) && (!strcmp(where, place) || beneath_is_top(where + strlen(place))))
    return true;
  uid = slot_owner(c, work, where, writes(verb));
  return uid ? os_become(uid) : errno == ENOENT && !writes(verb); /* it is not there, as the operation will tell */
}
