/* What systems have in common of what os.h asks for. */
#include "worker/os_any.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/records.h"
#include "worker/os.h"

int os_open_by_component(int dir, const char *path, int flags, int through)
{
  char part[256];
  struct stat st;
  int at = dir, next, e;

  for (;;) {
    size_t n;
    bool last;
    while (*path == '/')
      path++;
    n = strcspn(path, "/");
    last = path[n + strspn(path + n, "/")] == 0;
    if (n >= sizeof part || (n == 2 && !memcmp(path, "..", 2))) {
      errno = n == 2 ? EXDEV : ENAMETOOLONG;
      next = -1;
    } else {
      memcpy(part, n ? path : ".", n ? n : 1);
      part[n ? n : 1] = 0;
      next = openat(at, part, (last ? flags : through | O_DIRECTORY | O_CLOEXEC) | O_NOFOLLOW);
      if (next < 0 && errno == ENOTDIR && (!last || !(flags & O_NOFOLLOW)) && !fstatat(at, part, &st, AT_SYMLINK_NOFOLLOW))
        errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
    }
    e = errno;
    if (at != dir)
      close(at);
    errno = e;
    if (next < 0 || last)
      return next;
    at = next;
    path += n;
  }
}

static void put_disk(struct buf *out, const struct statvfs *fs)
{
  records_putf(out, "disk_free_kib", "%llu", (unsigned long long)fs->f_bavail * fs->f_frsize / 1024);
  records_putf(out, "disk_total_kib", "%llu", (unsigned long long)fs->f_blocks * fs->f_frsize / 1024);
}

int os_disk(int dir, struct buf *out)
{
  struct statvfs fs;

  if (fstatvfs(dir, &fs))
    return -1;
  put_disk(out, &fs);
  return 0;
}

void os_facts_any(struct buf *out, const char *work)
{
  struct utsname u;
  struct statvfs fs;
  struct passwd *pw = getpwuid(getuid());
  long cores = 1, pages = 0, page = sysconf(_SC_PAGESIZE);

#ifdef _SC_NPROCESSORS_ONLN
  cores = sysconf(_SC_NPROCESSORS_ONLN);
#endif
#ifdef _SC_PHYS_PAGES
  pages = sysconf(_SC_PHYS_PAGES);
#endif
  memset(&u, 0, sizeof u);
  uname(&u);
  records_put(out, "os", u.sysname);
  records_put(out, "arch", u.machine);
  records_put(out, "release", u.release);
  records_put(out, "host", u.nodename);
  records_putf(out, "cores", "%ld", cores > 0 ? cores : 1);
  if (pages > 0 && page > 0)
    records_putf(out, "memory_kib", "%lld", (long long)pages * (page / 1024));
  if (statvfs(work, &fs) == 0)
    put_disk(out, &fs);
  records_putf(out, "uid", "%u", (unsigned)getuid());
  if (pw && pw->pw_name)
    records_put(out, "user", pw->pw_name);
  records_putf(out, "boot_ms", "%lld", (long long)clock_boot_ms());
}
