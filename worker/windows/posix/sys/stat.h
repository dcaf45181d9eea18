#ifndef WINDOWS_POSIX_STAT_H
#define WINDOWS_POSIX_STAT_H
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include_next <sys/stat.h>
/* With the number of a file, which the system's own has not. Modes are 644 or 444 (read only), of folders 755. */
struct win_stat {
  uint64_t st_dev, st_ino;
  mode_t st_mode;
  unsigned st_nlink;
  uid_t st_uid;
  gid_t st_gid;
  int64_t st_size, st_blocks;
  struct timespec st_mtim, st_ctim;
};
#undef st_mtime
#define st_mtime st_mtim.tv_sec
#undef stat
#define stat win_stat
#undef fstat
#define fstat win_fstat
#define S_IFLNK 0120000
#define S_ISLNK(m) (((m) & S_IFMT) == S_IFLNK)
int win_fstat(int fd, struct win_stat *st);
int fstatat(int dir, const char *name, struct win_stat *st, int flags);
int mkdirat(int dir, const char *name, mode_t mode);
int mkfifoat(int dir, const char *name, mode_t mode); /* worker/windows/fifo.c */
#define mkdir(path, mode) mkdirat(-100 /* AT_FDCWD */, path, mode)
int fchmod(int fd, mode_t mode);
int fchmodat(int dir, const char *name, mode_t mode, int flags);
#define umask(mode) ((void)(mode))
#endif
