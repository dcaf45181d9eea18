/* Places below the work folder, never outside: a folder on the way that is a link (a junction, a mount point) is not followed. */
#ifndef WORKER_WINDOWS_PLACE_H
#define WORKER_WINDOWS_PLACE_H
#include <stdbool.h>
#include <stdint.h>
#include <wchar.h>

#include "common/mem.h"

/* Of a path that beneath_valid() takes. NULL and errno: EINVAL (a name that Windows reads in another way: with \ or :, or a dot or blank at its end), EXDEV (a link on the way). The caller frees. */
wchar_t *place_path(const char *work, const char *path) must_check;
/* With its parents; a folder that is there is fine. 0, or errno. */
int place_mkdirs(const char *work, const char *path) must_check;
/* A file or all of a tree; links are removed, not followed; nothing there is fine. 0, or errno. */
int place_remove(const char *work, const char *path) must_check;
struct place_stat {
  const char *type; /* file, dir, link */
  int64_t size, mtime; /* bytes; seconds since 1970 */
  bool read_only;
};
int place_stat(const char *work, const char *path, struct place_stat *st) must_check;
#endif
