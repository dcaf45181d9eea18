/* The few calls of POSIX that the portable half of the worker needs. */
#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "worker/beneath.h"
#include "worker/os.h"
#include "worker/windows/win.h"

#include "worker/windows/stream.h"

#undef fstat

enum { FILES_MAX = 2048, DIRS_MAX = 1024, TRIES = 20, TRY_MS = 25 /* whoever has just looked at a file (a virus scanner, a process that ends) lets go of it soon */ };

static char *dirs[DIRS_MAX];     /* paths */
static bool passed[FILES_MAX];   /* files that a minder is given */

int win_errno(unsigned long error)
{
  static const struct {
    unsigned long error;
    int number;
  } of[] = {
    { ERROR_FILE_NOT_FOUND, ENOENT },     { ERROR_PATH_NOT_FOUND, ENOENT },    { ERROR_ACCESS_DENIED, EACCES },
    { ERROR_FILE_EXISTS, EEXIST },       { ERROR_ALREADY_EXISTS, EEXIST },
    { ERROR_DISK_FULL, ENOSPC },          { ERROR_HANDLE_DISK_FULL, ENOSPC },  { ERROR_DIR_NOT_EMPTY, ENOTEMPTY },
    { ERROR_SHARING_VIOLATION, EBUSY },   { ERROR_LOCK_VIOLATION, EBUSY },     { ERROR_USER_MAPPED_FILE, EBUSY },
    { ERROR_PRIVILEGE_NOT_HELD, EPERM },  { ERROR_BROKEN_PIPE, EPIPE },        { ERROR_NO_DATA, EPIPE },
    { ERROR_PIPE_NOT_CONNECTED, EPIPE },  { ERROR_NOT_A_REPARSE_POINT, EINVAL }, { ERROR_BUFFER_OVERFLOW, ENAMETOOLONG },
    { ERROR_DELETE_PENDING, EBUSY },
    { ERROR_DIRECTORY, ENOTDIR },         { ERROR_BAD_EXE_FORMAT, ENOEXEC },   { ERROR_NOT_ENOUGH_MEMORY, ENOMEM },
    { ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG }, { ERROR_INVALID_NAME, EINVAL },
    { WSAEWOULDBLOCK, EAGAIN },           { WSAEINPROGRESS, EINPROGRESS },     { WSAECONNREFUSED, ECONNREFUSED },
    { WSAECONNRESET, ECONNRESET },        { WSAECONNABORTED, ECONNABORTED },   { WSAETIMEDOUT, ETIMEDOUT },
    { WSAENETUNREACH, ENETUNREACH },      { WSAEHOSTUNREACH, EHOSTUNREACH },   { WSAEAFNOSUPPORT, EAFNOSUPPORT },
    { WSAENOTCONN, ENOTCONN },            { WSAEINTR, EINTR },
  };

  for (size_t i = 0; i < COUNT(of); i++)
    if (of[i].error == error)
      return of[i].number;
  return EIO;
}

static int failed(void)
{
  errno = win_errno(GetLastError());
  return -1;
}

/* ---- text ---- */

wchar_t *win_wide(const char *s)
{
  int n = MultiByteToWideChar(CP_UTF8, 0, s, -1, NULL, 0);
  wchar_t *w = xcalloc((size_t)n + 1, sizeof *w);

  MultiByteToWideChar(CP_UTF8, 0, s, -1, w, n);
  return w;
}

char *win_utf8(const wchar_t *s)
{
  int n = WideCharToMultiByte(CP_UTF8, 0, s, -1, NULL, 0, NULL, NULL);
  char *out = xcalloc((size_t)n + 1, 1);

  WideCharToMultiByte(CP_UTF8, 0, s, -1, out, n, NULL, NULL);
  return out;
}

wchar_t *win_path(const char *s)
{
  wchar_t *given = win_wide(s), *full;
  DWORD n;

  for (wchar_t *p = given; *p; p++)
    *p = *p == L'/' ? L'\\' : *p;
  n = GetFullPathNameW(given, 0, NULL, NULL);
  full = xcalloc(n + 8, sizeof *full);
  wcscpy(full, L"\\\\?\\");
  GetFullPathNameW(given, n, full + 4, NULL);
  if (full[4] == L'\\') { /* a device, or \\server\share */
    if (full[5] == L'\\' && full[6] != L'?' && full[6] != L'.') {
      GetFullPathNameW(given, n, full + 6, NULL);
      memcpy(full, L"\\\\?\\UNC", 7 * sizeof *full);
    } else {
      memmove(full, full + 4, (wcslen(full + 4) + 1) * sizeof *full);
    }
  }
  free(given);
  return full;
}

/* ---- descriptors ---- */

/* What a number is: a file of the C library, a socket, a folder, a stream. */
static bool is_dir(int fd) { return fd >= WIN_DIRS && fd < WIN_DIRS + DIRS_MAX; }
static bool is_file(int fd) { return fd >= 0 && fd < FILES_MAX; }
static HANDLE handle_of(int fd) { return (HANDLE)_get_osfhandle(fd); }
const char *win_dir_path(int fd) { return is_dir(fd) ? dirs[fd - WIN_DIRS] : NULL; }

int win_dir(const char *path)
{
  for (int i = 0; i < DIRS_MAX; i++)
    if (!dirs[i]) {
      dirs[i] = xstrdup(path);
      return WIN_DIRS + i;
    }
  errno = EMFILE;
  return -1;
}

wchar_t *win_below(int dir, const char *name)
{
  const char *base = win_dir_path(dir);
  char *whole;
  wchar_t *w;

  for (const char *p = name; base && *p; p += strcspn(p, "/"), p += strspn(p, "/"))
    if (!beneath_name(p, strcspn(p, "/"))) {
      errno = EINVAL;
      return NULL;
    }
  whole = base ? xasprintf("%s/%s", base, name) : xstrdup(name);
  w = win_path(whole);
  free(whole);
  return w;
}

size_t win_passed(int *fd, size_t max)
{
  size_t n = 0;

  for (int i = 0; i < FILES_MAX && n < max; i++)
    if (passed[i])
      fd[n++] = i;
  return n;
}

static int file_of(HANDLE h, int flags)
{
  int fd = _open_osfhandle((intptr_t)h, (flags & (O_APPEND | 3)) | _O_BINARY | _O_NOINHERIT);

  if (is_file(fd))
    passed[fd] = !(flags & O_CLOEXEC);
  return fd;
}

/* ---- files ---- */

/* The first that is no file of a plain kind, in a word; 0: it is one. */
static int wrong_kind(HANDLE h)
{
  FILE_ATTRIBUTE_TAG_INFO t;

  if (!GetFileInformationByHandleEx(h, FileAttributeTagInfo, &t, sizeof t))
    return 0;
  return t.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT ? ELOOP : t.FileAttributes & FILE_ATTRIBUTE_DIRECTORY ? EISDIR : 0;
}

/* Others may read, write, rename and remove meanwhile, as everywhere else. */
static int open_wide(const wchar_t *path, int flags, bool read_only)
{
  DWORD how = flags & O_CREAT ? (flags & O_EXCL ? CREATE_NEW : flags & O_TRUNC ? CREATE_ALWAYS : OPEN_ALWAYS) : flags & O_TRUNC ? TRUNCATE_EXISTING : OPEN_EXISTING;
  DWORD want = (flags & 3) == O_RDONLY ? GENERIC_READ : (flags & 3) == O_WRONLY ? GENERIC_WRITE : GENERIC_READ | GENERIC_WRITE;
  HANDLE h = CreateFileW(path, want, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, how, (read_only ? FILE_ATTRIBUTE_READONLY : FILE_ATTRIBUTE_NORMAL) | (flags & O_NOFOLLOW ? FILE_FLAG_OPEN_REPARSE_POINT : 0), NULL);
  DWORD a;
  int e;

  if (h == INVALID_HANDLE_VALUE) {
    e = win_errno(GetLastError());
    a = e == EACCES ? GetFileAttributesW(path) : INVALID_FILE_ATTRIBUTES;
    errno = a != INVALID_FILE_ATTRIBUTES && (a & FILE_ATTRIBUTE_DIRECTORY) ? EISDIR : e;
    return -1;
  }
  e = flags & O_NOFOLLOW ? wrong_kind(h) : 0;
  if (!e)
    return file_of(h, flags);
  CloseHandle(h);
  errno = e;
  return -1;
}

static int open_folder(const wchar_t *path, int flags)
{
  DWORD a = GetFileAttributesW(path);
  char *name;
  int fd;

  if (a == INVALID_FILE_ATTRIBUTES)
    return failed();
  if (!(a & FILE_ATTRIBUTE_DIRECTORY) || ((flags & O_NOFOLLOW) && (a & FILE_ATTRIBUTE_REPARSE_POINT))) {
    errno = a & FILE_ATTRIBUTE_REPARSE_POINT ? ELOOP : ENOTDIR;
    return -1;
  }
  name = win_utf8(path);
  fd = win_dir(name);
  free(name);
  return fd;
}

int win_open(const wchar_t *path, int flags)
{
  return flags & O_DIRECTORY ? open_folder(path, flags) : flags & OS_FIFO ? fifo_open(path, flags) : open_wide(path, flags, false);
}

int openat(int dir, const char *name, int flags, ...)
{
  wchar_t *w = win_below(dir, name);
  mode_t mode = 0600;
  va_list ap;
  int fd, e;

  va_start(ap, flags);
  if (flags & O_CREAT)
    mode = (mode_t)va_arg(ap, int);
  va_end(ap);
  fd = !w ? -1 : flags & O_CREAT ? open_wide(w, flags, !(mode & 0200)) : win_open(w, flags);
  e = errno;
  free(w);
  errno = e;
  return fd;
}

int open(const char *path, int flags, ...) { return openat(AT_FDCWD, path, flags); }

int win_file(void *handle, int flags) { return file_of(handle, flags); }

int close(int fd)
{
  if (is_dir(fd)) {
    free(dirs[fd - WIN_DIRS]);
    dirs[fd - WIN_DIRS] = NULL;
    return 0;
  }
  if (stream_is(fd))
    return stream_close(fd);
  if (fd >= WIN_SOCKETS)
    return win_socket_close(fd);
  if (is_file(fd))
    passed[fd] = false;
  return _close(fd);
}

int read(int fd, void *p, unsigned n) { return stream_is(fd) ? (int)stream_read(fd, p, n) : _read(fd, p, n); }
int write(int fd, const void *p, unsigned n) { return stream_is(fd) ? (int)stream_write(fd, p, n) : _write(fd, p, n); }

int dup(int fd) { return is_dir(fd) ? win_dir(win_dir_path(fd)) : _dup(fd); }

int fcntl(int fd, int what, ...)
{
  va_list ap;
  int arg;

  va_start(ap, what);
  arg = va_arg(ap, int);
  va_end(ap);
  if (what == F_DUPFD_CLOEXEC)
    return dup(fd);
  if (what == F_SETFD && is_file(fd))
    passed[fd] = !(arg & FD_CLOEXEC);
  return what == F_SETFL && (arg & O_NONBLOCK) && fd >= WIN_SOCKETS && fd < WIN_DIRS ? win_socket_nonblock(fd) : 0;
}

/* At its place, whoever else moves the position that all who were given the file share. */
static OVERLAPPED place(off_t at) { return (OVERLAPPED){ .Offset = (DWORD)at, .OffsetHigh = (DWORD)((uint64_t)at >> 32) }; }

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
  OVERLAPPED o = place(at);
  DWORD done;

  if (ReadFile(handle_of(fd), p, n > INT_MAX ? INT_MAX : (DWORD)n, &done, &o))
    return (ssize_t)done;
  return GetLastError() == ERROR_HANDLE_EOF ? 0 : failed();
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
  OVERLAPPED o = place(at);
  DWORD done;

  return WriteFile(handle_of(fd), p, n > INT_MAX ? INT_MAX : (DWORD)n, &done, &o) ? (ssize_t)done : failed();
}

int fsync(int fd) { return is_file(fd) ? _commit(fd) : 0; }

int win_ftruncate(int fd, off_t size)
{
  int e = (int)_chsize_s(fd, size);

  errno = e;
  return e ? -1 : 0;
}

int pipe(int fd[2])
{
  enum { ROOM = 65536 };
  HANDLE r, w;

  if (!CreatePipe(&r, &w, NULL, ROOM))
    return failed();
  fd[0] = file_of(r, O_RDONLY);
  fd[1] = file_of(w, O_WRONLY);
  return 0;
}

/* A lock is an opening that lets nobody else write: those who were given it hold it too, which Windows' own locks are not for. */
int flock(int fd, int how)
{
  wchar_t *path = xcalloc(WIN_PATH_MAX, sizeof *path);
  DWORD n = GetFinalPathNameByHandleW(handle_of(fd), path, WIN_PATH_MAX, FILE_NAME_NORMALIZED);
  HANDLE h = INVALID_HANDLE_VALUE;
  bool had = passed[fd];
  int e = n && n < WIN_PATH_MAX ? 0 : EIO, other;

  (void)how;
  if (!e) {
    _close(fd);
    h = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    e = h == INVALID_HANDLE_VALUE ? EAGAIN : 0;
    if (e)
      h = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL); /* the caller closes it */
    other = _open_osfhandle((intptr_t)h, O_RDWR | _O_BINARY | _O_NOINHERIT);
    if (other != fd) {
      _dup2(other, fd);
      _close(other);
    }
    passed[fd] = had;
  }
  free(path);
  errno = e;
  return e ? -1 : 0;
}

/* ---- names ---- */

static bool again(int e, int tries)
{
  if (tries >= TRIES || (e != EBUSY && e != ENOTEMPTY && e != EACCES))
    return false;
  Sleep(TRY_MS);
  return true;
}

static void writable(const wchar_t *path)
{
  DWORD a = GetFileAttributesW(path);

  if (a != INVALID_FILE_ATTRIBUTES && (a & FILE_ATTRIBUTE_READONLY))
    SetFileAttributesW(path, a & ~(DWORD)FILE_ATTRIBUTE_READONLY);
}

/* 0, or errno of what can't be done to a file or a link there, or to an empty folder. */
int win_remove(const wchar_t *path, bool folder)
{
  DWORD a = GetFileAttributesW(path);
  int e = 0;

  if (a == INVALID_FILE_ATTRIBUTES)
    return win_errno(GetLastError());
  if (!folder && (a & FILE_ATTRIBUTE_DIRECTORY) && !(a & FILE_ATTRIBUTE_REPARSE_POINT))
    return EISDIR;
  if (folder && !(a & FILE_ATTRIBUTE_DIRECTORY))
    return ENOTDIR;
  writable(path);
  for (int i = 0;; i++) {
    e = (a & FILE_ATTRIBUTE_DIRECTORY ? RemoveDirectoryW(path) : DeleteFileW(path)) ? 0 : win_errno(GetLastError());
    if (!again(e, i))
      return e == ENOENT && i ? 0 : e;
  }
}

int unlinkat(int dir, const char *name, int flags)
{
  wchar_t *w = win_below(dir, name);
  int e = w ? win_remove(w, flags & AT_REMOVEDIR) : errno;

  free(w);
  errno = e;
  return e ? -1 : 0;
}

static bool is_folder(const wchar_t *path)
{
  DWORD a = GetFileAttributesW(path);

  return a != INVALID_FILE_ATTRIBUTES && (a & FILE_ATTRIBUTE_DIRECTORY) && !(a & FILE_ATTRIBUTE_REPARSE_POINT);
}

static int move(const wchar_t *a, const wchar_t *b, bool replace)
{
  size_t n = wcslen(a);
  int e;

  if (!_wcsnicmp(a, b, n) && b[n] == L'\\')
    return EINVAL; /* into itself */
  if (replace && is_folder(b) && _wcsicmp(a, b)) {
    if (!is_folder(a))
      return EISDIR;
    if (!RemoveDirectoryW(b) && (e = win_errno(GetLastError())) != ENOENT)
      return e;
  } else if (replace) {
    writable(b);
  }
  for (int i = 0;; i++) {
    e = MoveFileExW(a, b, MOVEFILE_WRITE_THROUGH | (replace ? MOVEFILE_REPLACE_EXISTING : 0)) ? 0 : win_errno(GetLastError());
    if (!again(e, i))
      return e;
  }
}

static int rename_names(int from_dir, const char *from, int to_dir, const char *to, bool replace)
{
  wchar_t *a = win_below(from_dir, from), *b = a ? win_below(to_dir, to) : NULL;
  int e = b ? move(a, b, replace) : errno;

  free(a);
  free(b);
  errno = e;
  return e ? -1 : 0;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) { return rename_names(from_dir, from, to_dir, to, true); }
int os_rename_new(int from_dir, const char *from, int to_dir, const char *to) { return rename_names(from_dir, from, to_dir, to, false); }
