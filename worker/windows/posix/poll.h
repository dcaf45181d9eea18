/* What the portable half of the worker asks of POSIX, in terms of Windows: worker/windows/posix.c and its like. */
#ifndef WINDOWS_POSIX_POLL_H
#define WINDOWS_POSIX_POLL_H
#include <winsock2.h> /* struct pollfd, POLLIN … */
#undef IN /* they mean nothing, and others have a use for such names */
#undef OUT
typedef unsigned long nfds_t;
int win_poll(struct pollfd *p, nfds_t n, int ms);
#define poll(p, n, ms) win_poll(p, n, ms)
#endif
