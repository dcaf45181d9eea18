/* Places below the work folder: named by a relative path, opened and made without ever leaving the folder by a link. */
#ifndef WORKER_BENEATH_H
#define WORKER_BENEATH_H
#include <stdbool.h>
#include <stddef.h>

#define BENEATH_PATH_MAX 4096

/* Relative, not empty, no component `..`, shorter than BENEATH_PATH_MAX. "." is the work folder itself. */
bool beneath_valid(const char *path);
bool beneath_is_top(const char *path); /* "." in any spelling */

/* A system may read some names in another way than they look; those are none. */
#ifdef _WIN32
bool beneath_name(const char *p, size_t n);
#else
#define beneath_name(p, n) true
#endif

/* All return a descriptor or -1 and errno (EXDEV: outside). Descriptors are close-on-exec. */
int beneath_open(int work, const char *path, int flags);
/* The folder that holds the last component, as os_folder_beneath() opens it; leaf is a copy. Not for the work folder itself (EINVAL). */
int beneath_parent(int work, const char *path, char leaf[256]);
/* Makes the folder and its parents where missing; 0, or -1 and errno. An existing folder is fine. */
int beneath_mkdirs(int work, const char *path);
/* Removes a file or a whole tree, never following links; nothing there is fine. 0, or -1 and errno. */
int beneath_remove(int work, const char *path);
#endif
