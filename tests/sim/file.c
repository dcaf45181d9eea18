/* Descriptors of the worker's processes: files, pipes, sockets, other processes. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "tests/sim/sim.h"
#include "tests/sim/sys.h"
#include "tests/sim/guest.h"
#include "worker/spool.h"

enum { DEAF_MS = 5000 };

static int fail(int number)
{
  errno = number;
  return -1;
}

struct file *file_of(int fd)
{
  struct file *f = fd >= 0 && fd < SIM_FDS ? self->fd[fd] : NULL;

  if (!f)
    errno = EBADF;
  return f;
}

int file_put(struct proc *p, struct file *f, bool cloexec)
{
  for (int fd = 3; fd < SIM_FDS; fd++)
    if (!p->fd[fd]) {
      p->fd[fd] = f;
      p->cloexec[fd] = cloexec;
      return fd;
    }
  model_bad("a process of the worker has too many descriptors");
  return -1;
}

static bool reads(const struct file *f) { return (f->flags & O_ACCMODE) != O_WRONLY; }
static bool writes(const struct file *f) { return (f->flags & O_ACCMODE) != O_RDONLY; }

void file_close(struct proc *p, int fd)
{
  struct file *f = p->fd[fd];

  p->fd[fd] = NULL;
  if (--f->refs)
    return;
  if (f->kind == FILE_SOCKET && f->conn)
    net_hang_up(f->conn);
  if (f->kind == FILE_NODE) {
    if (f->node->kind == NODE_FIFO) {
      f->node->readers -= reads(f);
      f->node->writers -= writes(f);
      if (!f->node->readers && !f->node->writers)
        f->node->len = 0;
    }
    node_unref(f->node);
  }
  free(f);
}

/* The reference to the node is taken over. */
int file_open_node(struct proc *p, struct node *n, int flags)
{
  struct file *f = xcalloc(1, sizeof *f);

  *f = (struct file){ .kind = FILE_NODE, .refs = 1, .flags = flags, .node = n };
  if (n->kind == NODE_FIFO) {
    n->readers += reads(f);
    n->writers += writes(f);
  }
  return file_put(p, f, flags & O_CLOEXEC);
}

/* As "/proc/self/fd/N" has it: anew, whatever its name is now. */
static int open_again(int fd, int flags)
{
  struct file *f = file_of(fd);

  if (!f)
    return -1;
  f->node->refs++;
  return file_open_node(self, f->node, flags);
}

int sys_openat(int dir, const char *path, int flags, ...)
{
  static const char again[] = "/proc/self/fd/";
  const char *last;
  struct node *folder, *n;
  int e;

  proc_point("openat");
  if (!strncmp(path, again, sizeof again - 1))
    return open_again(atoi(path + sizeof again - 1), flags);
  folder = folder_of(dir, path, &last);
  if (!folder)
    return -1;
  n = *last ? node_find(folder, last) : folder;
  if (n && (flags & O_DIRECTORY) && n->kind != NODE_FOLDER)
    return fail(ENOTDIR);
  if (n && n->kind == NODE_FIFO && (flags & O_ACCMODE) == O_WRONLY && !n->readers)
    return fail(ENXIO);
  if (n) {
    n->refs++;
    if (flags & O_TRUNC)
      disk_truncate(n, 0);
    return file_open_node(self, n, flags);
  }
  if (!(flags & O_CREAT))
    return fail(ENOENT);
  if (!disk_takes(self->host) || (disk_no_acks && !strncmp(last, "ack", 3)))
    return fail(ENOSPC);
  n = node_new(self->host, NODE_FILE);
  e = disk_add(folder, last, n);
  assert(!e);
  return file_open_node(self, n, flags);
}

int sys_open(const char *path, int flags, ...)
{
  return sys_openat(AT_FDCWD, path, flags);
}

int sys_close(int fd)
{
  if (!file_of(fd))
    return -1;
  file_close(self, fd);
  return 0;
}

/* ---- bytes ---- */

/* A file of its command. */
static const struct node *spool_file(const struct proc *minder, const char *name)
{
  const struct node *folder = minder->cwd ? node_find(minder->cwd, minder->cmd) : NULL;

  return folder ? node_find(folder, name) : NULL;
}

/* A minder hears what it is told, whatever it waits for. */
void procs_check(void)
{
  list_each(it, &procs) {
    const struct proc *p = list_of(it, struct proc, node);
    const struct node *ctl = p->kind == PROC_MINDER && !p->zombie && p->host->asleep_until <= model_now_ms ? spool_file(p, "ctl") : NULL;
    if (ctl && ctl->len && model_now_ms - ctl->since > DEAF_MS && model_now_ms - p->host->asleep_until > DEAF_MS && !strcmp(p->argv[2], "run"))
      model_bad("minder %s does not hear what it is told", p->cmd);
  }
}

static ssize_t take_pipe(struct node *n, void *p, size_t len)
{
  if (!n->len)
    return n->writers ? fail(EAGAIN) : 0;
  len = len < n->len ? len : n->len;
  memcpy(p, n->data, len);
  if (self->kind == PROC_MINDER && memmem(p, len, SPOOL_FORGET, sizeof SPOOL_FORGET - 1) && n == spool_file(self, "ctl"))
    self->forgotten = true;
  memmove(n->data, n->data + len, n->len - len);
  n->len -= len;
  return (ssize_t)len;
}

static ssize_t put_pipe(struct node *n, const void *p, size_t len)
{
  if (!n->readers)
    return fail(EPIPE);
  if (!n->len)
    n->since = model_now_ms;
  if (n->len + len > SIM_FIFO) /* all of what is short, or nothing */
    return fail(EAGAIN);
  return disk_write(n, n->len, p, len);
}

static ssize_t read_at(struct node *n, size_t at, void *p, size_t len)
{
  if (n->kind == NODE_FOLDER)
    return fail(EISDIR);
  if (at >= n->len)
    return 0;
  len = len < n->len - at ? len : n->len - at;
  memcpy(p, n->data + at, len);
  return (ssize_t)len;
}

ssize_t sys_read(int fd, void *p, size_t len)
{
  struct file *f;
  ssize_t n;

  proc_point("read");
  f = file_of(fd);
  if (!f)
    return -1;
  if (f->node->kind == NODE_FIFO)
    return take_pipe(f->node, p, len);
  n = read_at(f->node, f->at, p, len);
  f->at += n > 0 ? (size_t)n : 0;
  return n;
}

ssize_t sys_pread(int fd, void *p, size_t len, off_t at)
{
  struct file *f;

  proc_point("pread");
  f = file_of(fd);
  return f ? read_at(f->node, (size_t)at, p, len) : -1;
}

/* A process may die in the middle of it, and a signal may come. */
static size_t some(size_t len)
{
  return self->die_in == 1 || !chance(40) ? (size_t)chance(len) + 1 : len;
}

/* The file that a minder writes its result to. Room was kept for it, unless the power went since. */
static bool is_result(const struct node *n)
{
  return self->kind == PROC_MINDER && !strcmp(self->argv[2], "run") && spool_file(self, "result") == n;
}

static bool is_log(const struct node *n)
{
  const struct node *folder = node_find(self->cwd, self->cmd);

  for (int i = 0; folder && i < folder->nentries; i++)
    if (folder->entries[i].node == n)
      return !strncmp(folder->entries[i].name, "log", 3) || !strncmp(folder->entries[i].name, "tail", 4);
  return false;
}

ssize_t sys_write(int fd, const void *p, size_t len)
{
  struct file *f;
  ssize_t n;

  if (fd == 2) {
    guest_said(p, len);
    return (ssize_t)len;
  }
  if (!(f = file_of(fd)))
    return -1;
  if (f->node->kind == NODE_FIFO) {
    proc_point("write");
    return put_pipe(f->node, p, len);
  }
  len = some(len);
  if (self->die_in == 1)
    (void)disk_write(f->node, f->flags & O_APPEND ? f->node->len : f->at, p, len);
  proc_point("write");
  n = disk_write(f->node, f->flags & O_APPEND ? f->node->len : f->at, p, len);
  if (n < 0 && is_result(f->node))
    model_bad("a minder finds no room for its result");
  if (self->forgotten && is_log(f->node))
    model_bad("the minder of command %s, which is forgotten, writes to the spool", self->cmd);
  f->at += n > 0 ? (size_t)n : 0;
  return n;
}

ssize_t sys_pwrite(int fd, const void *p, size_t len, off_t at)
{
  struct file *f;

  proc_point("pwrite");
  f = file_of(fd);
  return f ? disk_write(f->node, (size_t)at, p, len) : -1;
}

int sys_ftruncate(int fd, off_t len)
{
  struct file *f;

  proc_point("ftruncate");
  f = file_of(fd);
  if (!f || !writes(f))
    return f ? fail(EINVAL) : -1;
  disk_truncate(f->node, (size_t)len);
  return 0;
}

int sys_fsync(int fd)
{
  struct file *f;
  int e;

  proc_point("fsync");
  f = file_of(fd);
  if (!f)
    return -1;
  e = disk_sync(f->node);
  return e ? fail(e) : 0;
}

int sys_fdatasync(int fd) { return sys_fsync(fd); }

int sys_fstat(int fd, struct stat *st)
{
  struct file *f;

  proc_point("fstat");
  f = file_of(fd);
  if (!f)
    return -1;
  memset(st, 0, sizeof *st);
  st->st_size = (off_t)f->node->len;
  st->st_mode = f->node->kind == NODE_FILE ? S_IFREG : f->node->kind == NODE_FOLDER ? S_IFDIR : S_IFIFO;
  st->st_ino = (ino_t)(uintptr_t)f->node;
  return 0;
}

/* ---- the rest ---- */

/* A lock is an open file's, whoever has it. */
int sys_flock(int fd, int how)
{
  struct file *f;

  proc_point("flock");
  f = file_of(fd);
  if (!f)
    return -1;
  if (how & LOCK_UN)
    f->locked = false;
  else
    list_each(it, &procs) {
      const struct proc *p = list_of(it, struct proc, node);
      for (int i = 0; i < SIM_FDS; i++)
        if (p->fd[i] && p->fd[i] != f && p->fd[i]->kind == FILE_NODE && p->fd[i]->node == f->node && p->fd[i]->locked)
          return fail(EWOULDBLOCK);
    }
  f->locked = !(how & LOCK_UN);
  return 0;
}

static int dup_to(int fd, bool cloexec)
{
  struct file *f = file_of(fd);

  if (!f)
    return -1;
  f->refs++;
  return file_put(self, f, cloexec);
}

int sys_fcntl(int fd, int what, ...) { return what == F_DUPFD_CLOEXEC ? dup_to(fd, true) : 0; }
int sys_dup(int fd) { return dup_to(fd, false); }

int sys_dup2(int fd, int to) { return (void)fd, (void)to, fail(EBADF); }

static short pipe_ready(const struct node *n, const struct file *f, short want)
{
  short is = 0;

  if (reads(f))
    is = (short)((n->len ? POLLIN : 0) | (n->writers ? 0 : POLLHUP));
  if (writes(f))
    is = (short)(is | (n->len < SIM_FIFO ? POLLOUT : 0) | (n->readers ? 0 : POLLERR));
  return is & (short)(want | POLLERR | POLLHUP);
}

short file_ready(const struct proc *p, int fd, short want)
{
  const struct file *f = fd < SIM_FDS ? p->fd[fd] : NULL;
  const struct proc *of;

  if (!f)
    return POLLNVAL;
  switch (f->kind) {
  case FILE_SOCKET:
    return f->conn ? net_ready(f->conn) & (short)(want | POLLERR | POLLHUP) : 0;
  case FILE_PROCESS:
    of = proc_find(f->pid);
    return !of || of->zombie ? POLLIN & want : 0;
  default:
    return f->node->kind == NODE_FIFO ? pipe_ready(f->node, f, want) : want;
  }
}
