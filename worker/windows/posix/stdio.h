#ifndef WINDOWS_POSIX_STDIO_H
#define WINDOWS_POSIX_STDIO_H
#include_next <stdio.h>
int renameat(int from_dir, const char *from, int to_dir, const char *to); /* in the place of what is there */
#endif
