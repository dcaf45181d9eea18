#ifndef WINDOWS_POSIX_DIRENT_H
#define WINDOWS_POSIX_DIRENT_H
struct dirent {
  char d_name[1024]; /* 255 UTF-16 units are at most 765 bytes */
};
typedef struct win_folder DIR;
DIR *fdopendir(int fd); /* takes it over */
struct dirent *readdir(DIR *d);
int closedir(DIR *d);
int dirfd(const DIR *d);
#endif
