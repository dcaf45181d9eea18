/* Places below a folder, never outside: a folder on the way that is a link (a junction, a mount point) is not followed. What Windows reads in another way than it looks is no name at all. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <windows.h>

#include "common/str.h"
#include "worker/beneath.h"
#include "worker/os.h"
#include "worker/remove.h"
#include "worker/windows/win.h"

/* ---- names ---- */

/* A device, whatever stands behind a dot: what is made under such a name with \\?\ no other program can remove. */
static bool is_device(const char *p, size_t n)
{
  static const char *const names[] = { "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM", "LPT" };
  enum { NUMBERED = 6 }; /* from here on with a digit, or one of ¹²³ */
  static const char *const digits[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "\302\271", "\302\262", "\302\263" };

  for (size_t i = 0; i < n; i++)
    if (p[i] == '.')
      n = i;
  while (n && p[n - 1] == ' ')
    n--;
  for (size_t i = 0; i < COUNT(names); i++) {
    size_t len = strlen(names[i]);
    if (n < len || _strnicmp(p, names[i], len))
      continue;
    if (i < NUMBERED && n == len)
      return true;
    for (size_t d = 0; i >= NUMBERED && d < COUNT(digits); d++)
      if (n - len == strlen(digits[d]) && !memcmp(p + len, digits[d], n - len))
        return true;
  }
  return false;
}

bool beneath_name(const char *p, size_t n)
{
  if (!n || (n == 1 && *p == '.'))
    return true;
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)p[i] < ' ' || strchr("\\:*?\"<>|", p[i]))
      return false;
  return p[n - 1] != '.' && p[n - 1] != ' ' && !is_device(p, n);
}

/* ---- places ---- */

static bool is_link(const wchar_t *path)
{
  DWORD a = GetFileAttributesW(path);

  return a != INVALID_FILE_ATTRIBUTES && (a & FILE_ATTRIBUTE_REPARSE_POINT);
}

/* The absolute path. NULL and errno: EINVAL, EXDEV (a link on the way, or where `last` at its end). */
static wchar_t *find(int dir, const char *path, bool last)
{
  wchar_t *w = NULL;

  for (const char *p = path; *p;) {
    char *prefix;
    p += strcspn(p, "/");
    prefix = xstrndup(path, (size_t)(p - path));
    p += strspn(p, "/");
    free(w);
    w = win_below(dir, prefix);
    free(prefix);
    if (!w)
      return NULL;
    if ((*p || last) && is_link(w)) {
      free(w);
      errno = EXDEV;
      return NULL;
    }
  }
  return w;
}

int os_open_beneath(int dir, const char *path, int flags)
{
  wchar_t *w = find(dir, path, !(flags & O_NOFOLLOW));
  int fd = w ? win_open(w, flags | O_NOFOLLOW) : -1, e = errno;

  free(w);
  errno = e;
  return fd;
}

int os_folder_beneath(int dir, const char *path) { return os_open_beneath(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

int os_stat_beneath(int dir, const char *path, bool follow, struct stat *st)
{
  wchar_t *w = find(dir, path, follow);
  int r;

  if (!w)
    return -1;
  free(w);
  r = fstatat(dir, path, st, AT_SYMLINK_NOFOLLOW);
  return r;
}

/* ---- removing ---- */

static int remove_at(const wchar_t *path, DWORD attributes);

static int empty(const wchar_t *path)
{
  size_t n = wcslen(path);
  wchar_t *all = xcalloc(n + 3, sizeof *all), *one;
  WIN32_FIND_DATAW f;
  HANDLE h;
  int e = 0;

  wcscat(wcscpy(all, path), L"\\*");
  h = FindFirstFileW(all, &f);
  free(all);
  if (h == INVALID_HANDLE_VALUE)
    return win_errno(GetLastError());
  do {
    if (!wcscmp(f.cFileName, L".") || !wcscmp(f.cFileName, L".."))
      continue;
    one = xcalloc(n + wcslen(f.cFileName) + 2, sizeof *one);
    wcscat(wcscat(wcscpy(one, path), L"\\"), f.cFileName);
    e = remove_at(one, f.dwFileAttributes);
    free(one);
  } while (!e && FindNextFileW(h, &f));
  FindClose(h);
  return e;
}

/* A level takes some 800 bytes of stack, and a path has at most 16384: the program is linked with room for that. */
static int remove_at(const wchar_t *path, DWORD attributes)
{
  bool folder = (attributes & FILE_ATTRIBUTE_DIRECTORY) && !(attributes & FILE_ATTRIBUTE_REPARSE_POINT);
  int e = folder ? empty(path) : 0;

  if (!e)
    e = win_remove(path, folder);
  return e == ENOENT ? 0 : e;
}

int remove_tree(int dir, const char *name)
{
  wchar_t *w = win_below(dir, name);
  DWORD a = w ? GetFileAttributesW(w) : INVALID_FILE_ATTRIBUTES;
  int e = !w ? errno : a == INVALID_FILE_ATTRIBUTES ? win_errno(GetLastError()) : remove_at(w, a);

  free(w);
  errno = e == ENOENT ? 0 : e;
  return errno ? -1 : 0;
}
