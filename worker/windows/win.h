/* Windows at the edge: UTF-16 paths, long ones too; errors as errno; numbers for what POSIX calls descriptors; what wakes the loop. */
#ifndef WORKER_WINDOWS_WIN_H
#define WORKER_WINDOWS_WIN_H
#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

#include "common/mem.h"

/* Kinds of descriptors by their number: files of the C library are below all of these. */
enum { WIN_SOCKETS = 1 << 16, WIN_DIRS = 1 << 24, WIN_STREAMS = 1 << 25 };
#define WIN_PATH_MAX 32768 /* UTF-16 units */

/* UTF-8 to UTF-16 and back; the caller frees. Bytes that are no UTF-8 become U+FFFD. */
wchar_t *win_wide(const char *s) must_check;
char *win_utf8(const wchar_t *s) must_check;
/* A path as the calls take it: absolute, with \, and \\?\ in front so that it may be long. */
wchar_t *win_path(const char *s) must_check;
/* The same of a name in a folder that win_dir() or open() gave a number, or (AT_FDCWD) of any path. NULL and errno: it has a part that Windows reads in another way. */
wchar_t *win_below(int dir, const char *name) must_check;
int win_errno(unsigned long error); /* of GetLastError() or WSAGetLastError() */

/* A number that openat() and renameat() take as a folder; -1: too many. */
int win_dir(const char *path);
const char *win_dir_path(int fd); /* NULL: it is none */
/* As open(); path as win_path() makes it. */
int win_open(const wchar_t *path, int flags);
/* A handle as a file of the C library, which owns it; without O_CLOEXEC posix_spawn() passes it on. */
int win_file(void *handle, int flags);
size_t win_passed(int *fd, size_t max); /* which those are */
/* A file, a link, or (folder) an empty folder is removed, read-only ones too. 0, or errno. */
int win_remove(const wchar_t *path, bool folder) must_check;

/* SECURITY_ATTRIBUTES of what others may not touch; a folder so. 0, or errno. */
void *win_private(void);
int win_make_private(const wchar_t *path) must_check;

void win_hang_up(int fd); /* a socket: nothing more either way; it stays open */
unsigned long long win_socket_of(int fd); /* the SOCKET of a number that socket() gave */
int win_socket_nonblock(int fd);
int win_socket_close(int fd);

/* The loop is woken by win_wake(), from any thread: by a socket of its own, where it waits for sockets, else in win_wake_wait(). */
int win_wake_open(void); /* 0, or -1 and errno */
int win_wake_fd(void);
void win_wake(void);
void win_wake_wait(unsigned long ms);
void win_wake_clear(void);
/* os_poll() calls the handler of that signal next. From any thread. */
void win_raise(int sig);
#endif
