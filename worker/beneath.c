/* Places below the work folder. The kernel's openat2 does the confining; what is here walks, makes and takes apart. */
#include "worker/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/os.h"
#include "worker/remove.h"

int beneath_open(int work, const char *path, int flags)
{
  return os_open_beneath(work, path, flags | O_CLOEXEC);
}

int beneath_parent(int work, const char *path, char leaf[256])
{
  char copy[BENEATH_PATH_MAX], *slash;

  memcpy(copy, path, strlen(path) + 1);
  for (;;) { /* "a/b/", "a/./": the last real component counts */
    size_t n = strlen(copy);
    if (n && copy[n - 1] == '/')
      copy[n - 1] = 0;
    else if (n >= 2 && copy[n - 1] == '.' && copy[n - 2] == '/')
      copy[n - 1] = 0;
    else
      break;
  }
  if (!*copy || !strcmp(copy, ".")) {
    errno = EINVAL;
    return -1;
  }
  slash = strrchr(copy, '/');
  memcpy(leaf, slash ? slash + 1 : copy, strlen(slash ? slash + 1 : copy) + 1);
  if (slash)
    *slash = 0;
  return os_folder_beneath(work, slash ? copy : ".");
}

static int make_one(int work, const char *path)
{
  char leaf[256];
  int dir = beneath_parent(work, path, leaf), e = 0;

  if (dir < 0)
    return -1;
  if (mkdirat(dir, leaf, 0777) && errno != EEXIST)
    e = errno;
  close(dir);
  errno = e;
  return e ? -1 : 0;
}

int beneath_mkdirs(int work, const char *path)
{
  char prefix[BENEATH_PATH_MAX];
  int fd = os_folder_beneath(work, path);

  if (fd < 0 && errno != ENOENT)
    return -1;
  if (fd >= 0) {
    close(fd);
    return 0;
  }
  for (const char *p = path; *p;) {
    p += strcspn(p, "/");
    memcpy(prefix, path, (size_t)(p - path));
    prefix[p - path] = 0;
    p += strspn(p, "/");
    if (!beneath_is_top(prefix) && make_one(work, prefix))
      return -1;
  }
  fd = os_folder_beneath(work, path); /* what exists may be a file, or a link to the outside */
  if (fd < 0)
    return -1;
  close(fd);
  return 0;
}

int beneath_remove(int work, const char *path)
{
  char leaf[256];
  int dir = beneath_parent(work, path, leaf), r, e;

  if (dir < 0)
    return errno == ENOENT ? 0 : -1;
  r = remove_tree(dir, leaf);
  e = errno;
  close(dir);
  errno = e;
  return r;
}
