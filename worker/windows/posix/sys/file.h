#ifndef WINDOWS_POSIX_FILE_H
#define WINDOWS_POSIX_FILE_H
enum { LOCK_EX = 2, LOCK_NB = 4 };
int flock(int fd, int how); /* for as long as anybody has this opening of the file: whoever is started with it too */
#endif
