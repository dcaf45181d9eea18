#ifndef WINDOWS_POSIX_TYPES_H
#define WINDOWS_POSIX_TYPES_H
#include_next <sys/types.h>
typedef unsigned uid_t, gid_t;
#endif
