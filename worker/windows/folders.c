/* What there is in folders: looking at it, making it, and other words about it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <windows.h>
#include <sddl.h>
#include <winioctl.h>

#include "common/str.h"
#include "worker/os.h"
#include "worker/windows/win.h"

enum { BLOCK = 512 };

static int failed(void)
{
  errno = win_errno(GetLastError());
  return -1;
}

/* ---- stat ---- */

/* Of 100 ns since 1601. */
static struct timespec time_of(int64_t t)
{
  const int64_t second = 10000000, from_1601 = INT64_C(11644473600);

  return (struct timespec){ .tv_sec = t / second - from_1601, .tv_nsec = (long)(t % second * 100) };
}

static int stat_handle(HANDLE h, struct stat *st)
{
  BY_HANDLE_FILE_INFORMATION i;
  FILE_BASIC_INFO b;
  FILE_STANDARD_INFO s;

  memset(st, 0, sizeof *st);
  if (!GetFileInformationByHandle(h, &i) || !GetFileInformationByHandleEx(h, FileBasicInfo, &b, sizeof b) || !GetFileInformationByHandleEx(h, FileStandardInfo, &s, sizeof s))
    return failed();
  st->st_dev = i.dwVolumeSerialNumber;
  st->st_ino = (uint64_t)i.nFileIndexHigh << 32 | i.nFileIndexLow;
  st->st_nlink = i.nNumberOfLinks;
  st->st_mode = i.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT ? S_IFLNK | 0777 : i.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? S_IFDIR | 0755 : i.dwFileAttributes & FILE_ATTRIBUTE_READONLY ? S_IFREG | 0444 : S_IFREG | 0644;
  if (S_ISREG(st->st_mode))
    st->st_size = (int64_t)((uint64_t)i.nFileSizeHigh << 32 | i.nFileSizeLow);
  st->st_blocks = s.AllocationSize.QuadPart / BLOCK;
  st->st_mtim = time_of(b.LastWriteTime.QuadPart);
  st->st_ctim = time_of(b.ChangeTime.QuadPart);
  return 0;
}

static int stat_wide(const wchar_t *path, bool follow, struct stat *st)
{
  HANDLE h = CreateFileW(path, FILE_READ_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | (follow ? 0 : FILE_FLAG_OPEN_REPARSE_POINT), NULL);
  int r, e;

  if (h == INVALID_HANDLE_VALUE)
    return failed();
  r = stat_handle(h, st);
  e = errno;
  if (!r && !follow && (GetFileAttributesW(path) & FILE_ATTRIBUTE_REPARSE_POINT))
    st->st_mode = S_IFLNK | 0777; /* wine opens what it leads to */
  CloseHandle(h);
  errno = e;
  return r;
}

int fstatat(int dir, const char *name, struct stat *st, int flags)
{
  wchar_t *w = win_below(dir, name);
  int r = w ? stat_wide(w, !(flags & AT_SYMLINK_NOFOLLOW), st) : -1, e = errno;

  free(w);
  errno = e;
  return r;
}

int win_fstat(int fd, struct stat *st)
{
  if (win_dir_path(fd))
    return fstatat(AT_FDCWD, win_dir_path(fd), st, 0);
  return stat_handle((HANDLE)_get_osfhandle(fd), st);
}

int os_lstat_at(int dir, const char *name, struct stat *st) { return fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW); }

int faccessat(int dir, const char *name, int how, int flags)
{
  struct stat st;

  (void)how, (void)flags;
  return fstatat(dir, name, &st, 0);
}

/* ---- walking ---- */

struct win_folder {
  int fd;
  HANDLE find;
  WIN32_FIND_DATAW next;
  bool has;
  struct dirent e;
};

DIR *fdopendir(int fd)
{
  DIR *d = xcalloc(1, sizeof *d);
  char *all = win_dir_path(fd) ? xasprintf("%s/", win_dir_path(fd)) : NULL;
  wchar_t *w = all ? win_path(all) : NULL, *pattern = w ? xcalloc(wcslen(w) + 3, sizeof *pattern) : NULL;

  d->find = INVALID_HANDLE_VALUE;
  errno = EBADF;
  if (pattern) {
    wcscat(wcscpy(pattern, w), w[wcslen(w) - 1] == L'\\' ? L"*" : L"\\*");
    d->find = FindFirstFileW(pattern, &d->next);
    if (d->find == INVALID_HANDLE_VALUE)
      failed();
  }
  free(pattern);
  free(w);
  free(all);
  d->fd = fd;
  d->has = d->find != INVALID_HANDLE_VALUE;
  if (d->has)
    return d;
  free(d);
  return NULL;
}

struct dirent *readdir(DIR *d)
{
  char *name;

  if (!d->has)
    return NULL;
  name = win_utf8(d->next.cFileName);
  snprintf(d->e.d_name, sizeof d->e.d_name, "%s", name);
  free(name);
  d->has = FindNextFileW(d->find, &d->next);
  return &d->e;
}

int closedir(DIR *d)
{
  FindClose(d->find);
  close(d->fd);
  free(d);
  return 0;
}

int dirfd(const DIR *d) { return d->fd; }

/* ---- making ---- */

int mkdirat(int dir, const char *name, mode_t mode)
{
  wchar_t *w = win_below(dir, name);
  int e = !w ? errno : CreateDirectoryW(w, NULL) ? 0 : win_errno(GetLastError());

  (void)mode;
  free(w);
  errno = e;
  return e ? -1 : 0;
}

/* Its owner's, the system's and the administrators', and nobody else's, whatever the folder above lets others do. */
#define PRIVATE L"D:P(A;OICI;FA;;;OW)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

void *win_private(void)
{
  static SECURITY_ATTRIBUTES own = { .nLength = sizeof own };

  if (!own.lpSecurityDescriptor && !ConvertStringSecurityDescriptorToSecurityDescriptorW(PRIVATE, SDDL_REVISION_1, &own.lpSecurityDescriptor, NULL))
    abort(); /* it is a constant */
  return &own;
}

int win_make_private(const wchar_t *path) { return CreateDirectoryW(path, win_private()) ? 0 : win_errno(GetLastError()); }

static DWORD with_mode(DWORD attributes, mode_t mode)
{
  attributes &= ~(DWORD)(FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_NORMAL);
  attributes |= mode & 0200 ? 0 : FILE_ATTRIBUTE_READONLY;
  return attributes ? attributes : FILE_ATTRIBUTE_NORMAL;
}

int fchmod(int fd, mode_t mode)
{
  HANDLE h = (HANDLE)_get_osfhandle(fd);
  FILE_BASIC_INFO b;

  if (!GetFileInformationByHandleEx(h, FileBasicInfo, &b, sizeof b))
    return failed();
  b.FileAttributes = with_mode(b.FileAttributes, mode);
  return SetFileInformationByHandle(h, FileBasicInfo, &b, sizeof b) ? 0 : failed();
}

int fchmodat(int dir, const char *name, mode_t mode, int flags)
{
  wchar_t *w = win_below(dir, name);
  DWORD a = w ? GetFileAttributesW(w) : 0;
  int e = !w ? errno : a == INVALID_FILE_ATTRIBUTES || !SetFileAttributesW(w, a & FILE_ATTRIBUTE_DIRECTORY ? a : with_mode(a, mode)) ? win_errno(GetLastError()) : 0;

  (void)flags;
  free(w);
  errno = e;
  return e ? -1 : 0;
}

/* Windows wants to know whether a link leads to a folder: to one where that is there already. */
int symlinkat(const char *target, int dir, const char *name)
{
  wchar_t *w = win_below(dir, name), *to = win_wide(target), *there;
  char *whole = xasprintf("%s/%s", win_dir_path(dir) ? win_dir_path(dir) : ".", target);
  DWORD a, flags;
  int e;

  there = win_path(whole);
  a = GetFileAttributesW(there);
  flags = SYMBOLIC_LINK_FLAG_ALLOW_UNPRIVILEGED_CREATE | (a != INVALID_FILE_ATTRIBUTES && (a & FILE_ATTRIBUTE_DIRECTORY) ? SYMBOLIC_LINK_FLAG_DIRECTORY : 0);
  for (wchar_t *p = to; *p; p++)
    *p = *p == L'/' ? L'\\' : *p;
  e = !w ? errno : CreateSymbolicLinkW(w, to, flags) ? 0 : win_errno(GetLastError());
  free(there);
  free(whole);
  free(to);
  free(w);
  errno = e;
  return e ? -1 : 0;
}

/* Of symbolic links and junctions alike, as people see it. */
static ssize_t target_of(HANDLE h, char *to, size_t n)
{
  enum { TAG_SYMLINK_HEAD = 20, TAG_JUNCTION_HEAD = 16 };
  static struct {
    DWORD tag;
    WORD length, reserved, subst_at, subst_n, print_at, print_n;
    char rest[MAXIMUM_REPARSE_DATA_BUFFER_SIZE];
  } r;
  const char *base;
  wchar_t *w;
  char *text;
  DWORD got;

  if (!DeviceIoControl(h, FSCTL_GET_REPARSE_POINT, NULL, 0, &r, sizeof r, &got, NULL))
    return failed();
  base = (const char *)&r + (r.tag == IO_REPARSE_TAG_SYMLINK ? TAG_SYMLINK_HEAD : TAG_JUNCTION_HEAD);
  if ((r.tag != IO_REPARSE_TAG_SYMLINK && r.tag != IO_REPARSE_TAG_MOUNT_POINT) || base + r.print_at + r.print_n > (const char *)&r + got) {
    errno = EINVAL;
    return -1;
  }
  w = xcalloc(r.print_n / sizeof *w + 1, sizeof *w);
  memcpy(w, base + r.print_at, r.print_n);
  text = win_utf8(w);
  n = strlen(text) < n ? strlen(text) : n;
  for (size_t i = 0; i < n; i++)
    to[i] = text[i] == '\\' ? '/' : text[i];
  free(text);
  free(w);
  return (ssize_t)n;
}

ssize_t readlinkat(int dir, const char *name, char *to, size_t n)
{
  wchar_t *w = win_below(dir, name);
  HANDLE h = w ? CreateFileW(w, FILE_READ_ATTRIBUTES, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT, NULL) : INVALID_HANDLE_VALUE;
  ssize_t r = h != INVALID_HANDLE_VALUE ? target_of(h, to, n) : w ? failed() : -1;
  int e = errno;

  if (h != INVALID_HANDLE_VALUE)
    CloseHandle(h);
  free(w);
  errno = e;
  return r;
}
