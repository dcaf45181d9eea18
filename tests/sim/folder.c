/* Names and folders, as the worker's processes see them. Each has one folder that relative names are about: the spool, or the root. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/guest.h"
#include "tests/sim/sim.h"
#include "tests/sim/sys.h"

static int fail(int number)
{
  if (!number)
    return 0;
  errno = number;
  return -1;
}

struct node *folder_of(int dir, const char *path, const char **last)
{
  struct node *at = *path == '/' ? self->host->root : dir == AT_FDCWD ? (self->cwd ? self->cwd : self->host->root) : file_of(dir) ? file_of(dir)->node : NULL;
  char part[64];

  while (at && strchr(path, '/')) {
    size_t n = strcspn(path, "/");
    snprintf(part, sizeof part, "%.*s", (int)n, path);
    path += n + 1;
    if (*part)
      at = node_find(at, part);
    if (!at)
      errno = ENOENT;
  }
  if (at && at->kind != NODE_FOLDER) {
    errno = ENOTDIR;
    at = NULL;
  }
  *last = !strcmp(path, ".") ? "" : path;
  return at;
}

static int make(int dir, const char *path, enum node_kind kind)
{
  const char *last;
  struct node *folder = folder_of(dir, path, &last), *n;
  int e;

  if (!folder)
    return -1;
  if (!*last || node_find(folder, last))
    return fail(EEXIST);
  if (!disk_takes(self->host))
    return fail(ENOSPC);
  n = node_new(self->host, kind);
  e = disk_add(folder, last, n);
  node_unref(n);
  return fail(e);
}

int sys_mkdirat(int dir, const char *path, mode_t mode)
{
  (void)mode;
  proc_point("mkdirat");
  return make(dir, path, NODE_FOLDER);
}

int sys_mkdir(const char *path, mode_t mode) { return sys_mkdirat(AT_FDCWD, path, mode); }

int sys_mkfifoat(int dir, const char *path, mode_t mode)
{
  (void)mode;
  proc_point("mkfifoat");
  return make(dir, path, NODE_FIFO);
}

/* A folder of the spool goes, or is to be used again. */
static void removes(const char *name)
{
  struct id id;

  if (!str_id(name, strlen(name), &id))
    store_removed(id.n);
}

int sys_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
  const char *from_last, *to_last;
  struct node *a, *b;

  proc_point("renameat");
  a = folder_of(from_dir, from, &from_last);
  b = folder_of(to_dir, to, &to_last);
  if (!a || !b)
    return -1;
  assert(a == b);
  removes(from_last);
  return fail(disk_rename(a, from_last, to_last));
}

int sys_unlinkat(int dir, const char *path, int flags)
{
  const char *last;
  struct node *folder, *n;

  proc_point("unlinkat");
  folder = folder_of(dir, path, &last);
  if (!folder)
    return -1;
  n = node_find(folder, last);
  if (n && (n->kind == NODE_FOLDER) != (flags == AT_REMOVEDIR))
    return fail(n->kind == NODE_FOLDER ? EISDIR : ENOTDIR);
  removes(last);
  return fail(disk_remove(folder, last));
}

int sys_faccessat(int dir, const char *path, int mode, int flags)
{
  const char *last;
  struct node *folder;

  (void)mode, (void)flags;
  proc_point("faccessat");
  folder = folder_of(dir, path, &last);
  return folder ? fail(*last && !node_find(folder, last) ? ENOENT : 0) : -1;
}

int sys_access(const char *path, int mode) { return sys_faccessat(AT_FDCWD, path, mode, 0); }

int sys_chdir(const char *path)
{
  const char *last;
  struct node *folder = folder_of(AT_FDCWD, path, &last), *n = folder && *last ? node_find(folder, last) : folder;

  if (!n || n->kind != NODE_FOLDER)
    return fail(ENOENT);
  self->cwd = n;
  return 0;
}

int sys_fchdir(int fd) { return (void)fd, fail(ENOENT); }
mode_t sys_umask(mode_t mask) { return mask; }

char *sys_realpath(const char *path, char *out)
{
  assert(!out);
  out = sys_malloc(strlen(path) + 1);
  strcpy(out, path);
  return out;
}

/* ---- walks ---- */

struct walk {
  int fd, n, at;
  struct dirent entry;
  char (*names)[40];
};

DIR *sys_fdopendir(int fd)
{
  struct walk *w;
  struct node *n;

  proc_point("fdopendir");
  if (!file_of(fd))
    return NULL;
  n = file_of(fd)->node;
  w = sys_calloc(1, sizeof *w);
  w->fd = fd;
  w->n = n->nentries;
  w->names = sys_malloc((size_t)n->nentries * sizeof *w->names + 1);
  for (int i = 0; i < w->n; i++)
    memcpy(w->names[i], n->entries[i].name, sizeof *w->names);
  return (DIR *)(void *)w;
}

struct dirent *sys_readdir(DIR *d)
{
  struct walk *w = (struct walk *)(void *)d;

  if (w->at == w->n)
    return NULL;
  snprintf(w->entry.d_name, sizeof w->entry.d_name, "%s", w->names[w->at++]);
  return &w->entry;
}

int sys_closedir(DIR *d)
{
  struct walk *w = (struct walk *)(void *)d;

  file_close(self, w->fd);
  sys_free(w->names);
  sys_free(w);
  return 0;
}
