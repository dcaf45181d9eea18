/* What paths below the work folder look like. Pure. */
#include "worker/beneath.h"

#include <string.h>

bool beneath_valid(const char *path)
{
  size_t n = strlen(path);

  if (!n || n >= BENEATH_PATH_MAX || *path == '/')
    return false;
  for (const char *p = path; *p;) {
    size_t part = strcspn(p, "/");
    if (part > 255 || (part == 2 && p[0] == '.' && p[1] == '.') || !beneath_name(p, part))
      return false;
    p += part;
    p += strspn(p, "/");
  }
  return true;
}

bool beneath_is_top(const char *path)
{
  while (*path) {
    if (*path == '.' && (path[1] == '/' || !path[1]))
      path++;
    else if (*path == '/')
      path++;
    else
      return false;
  }
  return true;
}
