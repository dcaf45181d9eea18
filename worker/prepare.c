/* The folders of a command, before there is a process. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "worker/beneath.h"
#include "worker/child.h"

int child_prepare(const struct spec *s, int work, int *cwd, const char **what)
{
  umask(022);
  for (size_t i = 0; s->place[i]; i++) {
    *what = s->place[i];
    if (s->fresh[i] && child_is_fresh(work, s->place[i]))
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
