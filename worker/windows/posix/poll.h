/* What the portable half of the worker asks of POSIX, in terms of Windows: worker/windows/posix.c. */
#ifndef WINDOWS_POSIX_POLL_H
#define WINDOWS_POSIX_POLL_H
#include <winsock2.h> /* struct pollfd, POLLIN … */
typedef unsigned long nfds_t;
#endif
