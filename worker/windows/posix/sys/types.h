#ifndef WINDOWS_POSIX_TYPES_H
#define WINDOWS_POSIX_TYPES_H
#include <stdint.h>
#include_next <sys/types.h>
typedef unsigned uid_t, gid_t;
typedef uint64_t dev_number, ino_number;
#define dev_t dev_number
#define ino_t ino_number
#endif
