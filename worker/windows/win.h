/* Windows at the edge: UTF-16 paths, long ones too; errors as errno; the socket that wakes the loop. */
#ifndef WORKER_WINDOWS_WIN_H
#define WORKER_WINDOWS_WIN_H
#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

#include "common/mem.h"

/* UTF-8 to UTF-16 and back; the caller frees. Bytes that are no UTF-8 become U+FFFD. */
wchar_t *win_wide(const char *s) must_check;
char *win_utf8(const wchar_t *s) must_check;
/* A path as the calls take it: absolute, with \, and \\?\ in front so that it may be long. */
wchar_t *win_path(const char *s) must_check;
int win_errno(unsigned long error); /* of GetLastError() or WSAGetLastError() */
void win_hang_up(int fd); /* a socket: nothing more either way; it stays open */
unsigned long long win_socket_of(int fd); /* the SOCKET of a number that socket() gave */

/* A number that openat() and renameat() take as a folder; it stays open. */
int win_dir(const char *path);

/* The loop's own socket: readable once somebody has called win_wake(), from any thread. */
int win_wake_open(void); /* 0, or -1 and errno */
int win_wake_fd(void);
void win_wake(void);
void win_wake_clear(void);
#endif
