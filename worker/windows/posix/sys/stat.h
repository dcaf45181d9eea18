#ifndef WINDOWS_POSIX_STAT_H
#define WINDOWS_POSIX_STAT_H
#include_next <sys/stat.h>
#undef fstat
#define fstat win_fstat
int win_fstat(int fd, struct stat *st); /* who else may read it is not in the mode */
#endif
