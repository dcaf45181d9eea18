#include "worker/windows/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "worker/beneath.h"
#include "worker/windows/win.h"

enum { REMOVE_TRIES = 20, REMOVE_WAIT_MS = 50 }; /* whoever has just looked at a file (a virus scanner) lets go of it soon */

static int last(void) { return win_errno(GetLastError()); }

static bool is_link(const wchar_t *path)
{
  DWORD a = GetFileAttributesW(path);

  return a != INVALID_FILE_ATTRIBUTES && (a & FILE_ATTRIBUTE_REPARSE_POINT);
}

/* One name of a path, for Windows the name that it looks like. */
static bool plain_name(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] < ' ' || strchr("\\:*?\"<>|", s[i]))
      return false;
  return n == 1 || (s[n - 1] != '.' && s[n - 1] != ' ');
}

wchar_t *place_path(const char *work, const char *path)
{
  wchar_t *at = win_path(work), *next, *part;

  for (const char *p = path; *p;) {
    size_t n = strcspn(p, "/");
    char *name = xstrndup(p, n);
    bool rest;
    p += n;
    p += strspn(p, "/");
    rest = *p != 0;
    if (!n || !strcmp(name, ".")) {
      free(name);
      continue;
    }
    part = win_wide(name);
    next = xcalloc(wcslen(at) + wcslen(part) + 2, sizeof *next);
    wcscpy(next, at);
    wcscat(next, L"\\");
    wcscat(next, part);
    errno = !plain_name(name, n) ? EINVAL : rest && is_link(next) ? EXDEV : 0;
    free(part);
    free(name);
    free(at);
    at = next;
    if (errno) {
      int e = errno;
      free(at);
      errno = e;
      return NULL;
    }
  }
  return at;
}

int place_mkdirs(const char *work, const char *path)
{
  for (const char *p = path; *p;) {
    char *prefix;
    wchar_t *w;
    int e = 0;
    p += strcspn(p, "/");
    prefix = xstrndup(path, (size_t)(p - path));
    p += strspn(p, "/");
    w = place_path(work, prefix);
    free(prefix);
    if (!w)
      return errno;
    if (!CreateDirectoryW(w, NULL)) {
      DWORD a = GetLastError() == ERROR_ALREADY_EXISTS ? GetFileAttributesW(w) : 0;
      e = !a ? last() : a == INVALID_FILE_ATTRIBUTES ? EIO : a & FILE_ATTRIBUTE_REPARSE_POINT ? EXDEV : a & FILE_ATTRIBUTE_DIRECTORY ? 0 : ENOTDIR;
    }
    free(w);
    if (e)
      return e;
  }
  return 0;
}

/* ---- removing ---- */

static int remove_once(const wchar_t *path, DWORD attributes)
{
  if (attributes & FILE_ATTRIBUTE_READONLY)
    SetFileAttributesW(path, attributes & ~(DWORD)FILE_ATTRIBUTE_READONLY);
  if (attributes & FILE_ATTRIBUTE_DIRECTORY ? RemoveDirectoryW(path) : DeleteFileW(path))
    return 0;
  return last();
}

static int remove_one(const wchar_t *path, DWORD attributes)
{
  int e = 0;

  for (int i = 0; i < REMOVE_TRIES; i++) {
    e = remove_once(path, attributes);
    if (e != EBUSY && e != ENOTEMPTY && e != EACCES)
      break;
    Sleep(REMOVE_WAIT_MS);
  }
  return e == ENOENT ? 0 : e;
}

static int remove_tree(const wchar_t *path, DWORD attributes);

static int empty(const wchar_t *path)
{
  size_t n = wcslen(path);
  wchar_t *all = xcalloc(n + 3, sizeof *all);
  WIN32_FIND_DATAW f;
  HANDLE h;
  int e = 0;

  wcscpy(all, path);
  wcscat(all, L"\\*");
  h = FindFirstFileW(all, &f);
  free(all);
  if (h == INVALID_HANDLE_VALUE)
    return last() == ENOENT ? 0 : last();
  do {
    wchar_t *one;
    if (!wcscmp(f.cFileName, L".") || !wcscmp(f.cFileName, L".."))
      continue;
    one = xcalloc(n + wcslen(f.cFileName) + 2, sizeof *one);
    wcscpy(one, path);
    wcscat(one, L"\\");
    wcscat(one, f.cFileName);
    e = remove_tree(one, f.dwFileAttributes);
    free(one);
  } while (!e && FindNextFileW(h, &f));
  FindClose(h);
  return e;
}

static int remove_tree(const wchar_t *path, DWORD attributes)
{
  int e = 0;

  if ((attributes & FILE_ATTRIBUTE_DIRECTORY) && !(attributes & FILE_ATTRIBUTE_REPARSE_POINT))
    e = empty(path);
  return e ? e : remove_one(path, attributes);
}

int place_remove(const char *work, const char *path)
{
  wchar_t *w = beneath_is_top(path) ? (errno = EINVAL, NULL) : place_path(work, path);
  DWORD a;
  int e;

  if (!w)
    return errno;
  a = GetFileAttributesW(w);
  e = a == INVALID_FILE_ATTRIBUTES ? last() : remove_tree(w, a);
  free(w);
  return e == ENOENT ? 0 : e;
}

int place_stat(const char *work, const char *path, struct place_stat *st)
{
  wchar_t *w = place_path(work, path);
  WIN32_FILE_ATTRIBUTE_DATA d;
  int e;

  if (!w)
    return errno;
  e = GetFileAttributesExW(w, GetFileExInfoStandard, &d) ? 0 : last();
  free(w);
  if (e)
    return e;
  st->type = d.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT ? "link" : d.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? "dir" : "file";
  st->size = d.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? 0 : (int64_t)((uint64_t)d.nFileSizeHigh << 32 | d.nFileSizeLow);
  st->mtime = (int64_t)(((uint64_t)d.ftLastWriteTime.dwHighDateTime << 32 | d.ftLastWriteTime.dwLowDateTime) / 10000000) - INT64_C(11644473600); /* since 1601 */
  st->read_only = d.dwFileAttributes & FILE_ATTRIBUTE_READONLY;
  return 0;
}
