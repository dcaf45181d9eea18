/* The few calls of POSIX that the portable half of the worker needs. */
#include <sys/socket.h>
#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "worker/windows/win.h"

#undef socket
#undef connect
#undef getsockopt
#undef setsockopt
#undef recv
#undef send
#undef fstat

enum { DIRS_MAX = 8, DIR_FIRST = 1 << 24 };

static char *dirs[DIRS_MAX];
static int ndirs;

int win_errno(unsigned long error)
{
  static const struct {
    unsigned long error;
    int number;
  } of[] = {
    { ERROR_FILE_NOT_FOUND, ENOENT },     { ERROR_PATH_NOT_FOUND, ENOENT },    { ERROR_ACCESS_DENIED, EACCES },
    { ERROR_SHARING_VIOLATION, EBUSY },   { ERROR_FILE_EXISTS, EEXIST },       { ERROR_ALREADY_EXISTS, EEXIST },
    { ERROR_DISK_FULL, ENOSPC },          { ERROR_HANDLE_DISK_FULL, ENOSPC },  { ERROR_DIR_NOT_EMPTY, ENOTEMPTY },
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
  DWORD n = GetFullPathNameW(given, 0, NULL, NULL);

  full = xcalloc(n + 8, sizeof *full);
  wcscpy(full, L"\\\\?\\");
  GetFullPathNameW(given, n, full + 4, NULL); /* it turns each / */
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

/* ---- files ---- */

int win_dir(const char *path)
{
  if (ndirs == DIRS_MAX)
    return -1;
  dirs[ndirs] = xstrdup(path);
  return DIR_FIRST + ndirs++;
}

static bool is_dir(int fd) { return fd >= DIR_FIRST && fd < DIR_FIRST + ndirs; }
static wchar_t *below(int dir, const char *name)
{
  char *whole = is_dir(dir) ? xasprintf("%s/%s", dirs[dir - DIR_FIRST], name) : xstrdup(name);
  wchar_t *w = win_path(whole);

  free(whole);
  return w;
}

/* Others may read, write, rename and remove meanwhile, as everywhere else. */
static int open_wide(const wchar_t *path, int flags)
{
  DWORD how = flags & O_CREAT ? (flags & O_EXCL ? CREATE_NEW : flags & O_TRUNC ? CREATE_ALWAYS : OPEN_ALWAYS) : flags & O_TRUNC ? TRUNCATE_EXISTING : OPEN_EXISTING;
  DWORD want = (flags & 3) == O_RDONLY ? GENERIC_READ : (flags & 3) == O_WRONLY ? GENERIC_WRITE : GENERIC_READ | GENERIC_WRITE;
  HANDLE h = CreateFileW(path, want, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, how, FILE_ATTRIBUTE_NORMAL, NULL);

  if (h == INVALID_HANDLE_VALUE)
    return failed();
  return _open_osfhandle((intptr_t)h, (flags & (O_APPEND | 3)) | _O_BINARY | _O_NOINHERIT);
}

int openat(int dir, const char *name, int flags, ...)
{
  wchar_t *w = below(dir, name);
  int fd = open_wide(w, flags), e = errno;

  free(w);
  errno = e;
  return fd;
}

int open(const char *path, int flags, ...) { return openat(AT_FDCWD, path, flags); }

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
  wchar_t *a = below(from_dir, from), *b = below(to_dir, to);
  int r = MoveFileExW(a, b, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) ? 0 : failed(), e = errno;

  free(a);
  free(b);
  errno = e;
  return r;
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
  return _lseeki64(fd, at, SEEK_SET) < 0 ? -1 : read(fd, p, (unsigned)n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
  return _lseeki64(fd, at, SEEK_SET) < 0 ? -1 : write(fd, p, (unsigned)n);
}

int fsync(int fd) { return is_dir(fd) ? 0 : _commit(fd); }

int win_fstat(int fd, struct stat *st)
{
  int r = fstat(fd, st);

  st->st_mode &= ~077u;
  return r;
}

/* ---- sockets ---- */

/* Handles of sockets are small and even, descriptors of files are below 2048: a number says which it is. */
enum { SOCKET_BASE = 1 << 16 };

static SOCKET socket_of(int fd) { return (SOCKET)(fd - SOCKET_BASE); }
unsigned long long win_socket_of(int fd) { return socket_of(fd); }
static int socket_failed(void)
{
  errno = win_errno((unsigned long)WSAGetLastError());
  return -1;
}

int win_socket(int family, int type, int protocol)
{
  SOCKET s = WSASocketW(family, type, protocol, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);

  if (s == INVALID_SOCKET)
    return socket_failed();
  return (int)s + SOCKET_BASE;
}

int win_connect(int fd, const struct sockaddr *to, socklen_t len)
{
  if (!connect(socket_of(fd), to, len))
    return 0;
  socket_failed();
  if (errno == EAGAIN)
    errno = EINPROGRESS;
  return -1;
}

int win_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
  int r = getsockopt(socket_of(fd), level, name, value, len);

  if (!r && level == SOL_SOCKET && name == SO_ERROR && *(int *)value)
    *(int *)value = win_errno((unsigned long)*(int *)value);
  return r ? socket_failed() : 0;
}

int win_setsockopt(int fd, int level, int name, const void *value, socklen_t len) { return setsockopt(socket_of(fd), level, name, value, len) ? socket_failed() : 0; }

ssize_t win_recv(int fd, void *p, size_t n, int flags)
{
  int r = recv(socket_of(fd), p, n > INT_MAX ? INT_MAX : (int)n, flags);
  return r < 0 ? socket_failed() : r;
}

ssize_t win_send(int fd, const void *p, size_t n, int flags)
{
  int r = send(socket_of(fd), p, n > INT_MAX ? INT_MAX : (int)n, flags);
  return r < 0 ? socket_failed() : r;
}

int fcntl(int fd, int what, ...)
{
  u_long on = 1;
  va_list ap;
  int arg;

  va_start(ap, what);
  arg = va_arg(ap, int);
  va_end(ap);
  if (what != F_SETFL || !(arg & O_NONBLOCK) || fd < SOCKET_BASE)
    return 0;
  return ioctlsocket(socket_of(fd), FIONBIO, &on) ? socket_failed() : 0;
}

int close(int fd)
{
  if (is_dir(fd))
    return 0;
  if (fd >= SOCKET_BASE)
    return closesocket(socket_of(fd)) ? socket_failed() : 0;
  return _close(fd);
}

void win_hang_up(int fd) { shutdown(socket_of(fd), SD_BOTH); }

/* ---- waking ---- */

static int wake_fd = -1;

int win_wake_open(void)
{
  struct sockaddr_in a = { .sin_family = AF_INET };
  socklen_t len = sizeof a;
  int fd = win_socket(AF_INET, SOCK_DGRAM, 0);

  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(socket_of(fd), (struct sockaddr *)&a, sizeof a) || getsockname(socket_of(fd), (struct sockaddr *)&a, &len) || connect(socket_of(fd), (struct sockaddr *)&a, sizeof a) || fcntl(fd, F_SETFL, O_NONBLOCK))
    return socket_failed();
  wake_fd = fd; /* connected to itself: nobody else's datagrams come in */
  return 0;
}

int win_wake_fd(void) { return wake_fd; }
void win_wake(void) { send(socket_of(wake_fd), "w", 1, 0); }

void win_wake_clear(void)
{
  char part[64];

  while (recv(socket_of(wake_fd), part, sizeof part, 0) > 0)
    continue;
}
