/* From /proc: argv[0] and PATH are those of whoever started us, and may lie. */
#include "master/core/place.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/mem.h"

/* The folder of the program's file, links resolved by the kernel. An upgrade in mid-run leaves " (deleted)" behind the name, not behind the folder. */
static char *own_folder(void)
{
  char self[4096], *slash;
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

  if (n <= 0)
    return xstrdup(".");
  self[n] = 0;
  slash = strrchr(self, '/');
  if (slash)
    *slash = 0;
  return xstrdup(self);
}

void place_close(void)
{
  prctl(PR_SET_DUMPABLE, 0);
}

char *place_find(const char *name)
{
  char *folder = own_folder(), *beside = xasprintf("%s/%s", folder, name), *lib = xasprintf("%s/../lib/drover/%s", folder, name), *found;

  found = access(beside, F_OK) ? realpath(lib, NULL) : NULL;
  free(folder);
  free(lib);
  if (!found)
    return beside;
  free(beside);
  return found;
}
