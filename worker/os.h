/* What differs between operating systems: os_linux.c, and os_posix.c for all that POSIX alone describes. Everything else of the worker is POSIX 2008 (and flock), which tests/lint/posix.sh holds it to. */
#ifndef WORKER_OS_H
#define WORKER_OS_H
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "common/buf.h"

#define OS_BOOT_LEN 32
#define OS_MACHINE_LEN 32
#ifndef OS_FIFO
#define OS_FIFO 0 /* a flag of open() for what mkfifo() made, where the system has to be told */
#endif

/* First of all, with main's argv[0]. */
void os_init(const char *argv0);
/* A path that starts this program again, or reads it; its name, which may have " (deleted)" behind it: bytes without a NUL, as readlink() gives them, or -1. */
const char *os_self(void);
ssize_t os_self_name(char *out, size_t n);

/* The host's boot id, 32 hex digits; the same for all processes until the next start of the host. */
void os_boot_id(char out[OS_BOOT_LEN + 1]);

/* What tells this machine from others, 32 hex digits, for as long as its system is not set up anew; made so that the system's own id is not told. False: the system knows none. */
bool os_machine_id(char out[OS_MACHINE_LEN + 1]);

/* A descriptor that becomes readable when the process has ended; -1 where the system has none. */
int os_pidfd(pid_t pid);
void os_close_from(int first); /* async-signal-safe on Linux 5.9 and newer */
/* A pipe, close-on-exec at both ends. 0, or -1 and errno. */
int os_pipe(int p[2]);
/* As ppoll(). Descriptors from os_poll_max() on can't be waited for. */
int os_poll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask);
int os_poll_max(void);
/* All signals as they were by default, those too that the C library keeps for itself and so won't let sigaction() touch: whoever started the agent may have left them ignored. Async-signal-safe. */
void os_reset_signals(void);
/* The user `uid`, with its groups, for good. 0, or -1 and errno. */
int os_be_user(const char *name, uid_t uid, gid_t gid);

/* This process is the user `uid` from now on, with that number as its only group, and nothing that it starts can become another. False: errno, ENOSYS: not on this system. Async-signal-safe. */
bool os_become(uid_t uid);
/* Looks at files as that user, or (0) as itself again. Only where os_become() can be had. errno stays. */
void os_as(uid_t uid);
extern const bool os_has_users;

/* A child that calls become(arg), which makes another program of it, or returns errno. 0 with *pid, or that errno. The child may share this process's memory, which stands still so long: nothing may be changed
   there. One that failed is reaped like any other. */
int os_start(int (*become)(void *), void *arg, pid_t *pid);
struct os_used {
  int64_t user_ms, sys_ms, maxrss_kib; /* 0: not known */
};
/* A child that has ended, and what it had used, without waiting: as waitpid(). */
pid_t os_reap(int *status, struct os_used *used);
/* Orphaned descendants become children of this process, where os_orphans_ms is 0. */
void os_subreaper(void);
/* Elsewhere: does anything run of the sessions that os_start() has begun? To be asked again after so many ms. */
extern const int os_orphans_ms;
bool os_orphans(void);
/* Open `path` without ever leaving the folder `dir`; -1 and errno, EXDEV: it would have left it. Where the kernel can't do
   that, links are not followed at all (ELOOP). */
int os_open_beneath(int dir, const char *path, int flags);
/* The same for a folder that is only to be looked at, or through: no permission to read it is needed, where the system can do that. */
int os_folder_beneath(int dir, const char *path);
/* What is there, without opening it: that may do something already. follow: a link at its end. 0, or -1 and errno. */
int os_stat_beneath(int dir, const char *path, bool follow, struct stat *st);
/* lstat() of a name in a folder; nothing is mounted for it. */
int os_lstat_at(int dir, const char *name, struct stat *st);
bool os_has_xattrs(int fd);

struct os_proc {
  pid_t pid, parent;
  bool zombie;
  int64_t start_ms; /* on clock_boot_ms(), in the kernel's ticks (10 ms) */
};
bool os_proc_read(pid_t pid, struct os_proc *p); /* false: there is no such process */
/* A walk over all processes, numbers rising. Each is read when it is its turn. */
struct os_walk;
struct os_walk *os_walk_begin(void); /* NULL: there is no /proc */
bool os_walk_next(struct os_walk *w, struct os_proc *p);
void os_walk_end(struct os_walk *w);
/* Is `assignment` ("NAME=value") in the environment that the process was started with? */
bool os_proc_has_env(pid_t pid, const char *assignment);
/* Is `word` the n-th word of its command line? */
bool os_proc_has_word(pid_t pid, int n, const char *word);

/* Like renameat(), but never in the place of something: EEXIST. */
int os_rename_new(int from_dir, const char *from, int to_dir, const char *to);
/* Two names of a folder change places, at once. 0, or -1: one is not there, or the system or the file system can't do that. */
int os_swap_names(int dir, const char *a, const char *b);
/* The blocks of one file become those of another, where the file system can do that. 0, or -1. */
int os_clone(int to, int from);
/* Some bytes from where the one stands to where the other stands, within the kernel. 0: the end; -1: read and write instead. */
ssize_t os_copy_range(int from, int to);
/* More room in a pipe, where that is allowed: fewer turns for a long answer. */
void os_pipe_large(int fd);
/* This process, a child of `parent`, ends when that one does. False: it has ended already. */
bool os_end_with(pid_t parent);
/* Behind all others, for processor and disk: what may take its time. */
void os_yield(void);
/* That process (0: this one) before all others, as far as that is allowed: to catch up with a fork bomb, which then dies in time beside whatever else runs. */
void os_hurry(pid_t pid);

/* No core of this process is ever written, and no other process of its user looks into it: it holds secrets. */
void os_no_dump(void);
bool os_is_tmpfs(const char *path);

bool os_oom_shielded(void); /* this process is less likely to be killed when memory runs out */
void os_oom_unshield(void);

/* The records disk_free_kib (what an ordinary user may still take) and disk_total_kib of the file system of the folder dir; 0, or -1 and errno. */
int os_disk(int dir, struct buf *out);

/* Facts for the greeting, as records (docs/protocol.md 2). */
void os_facts(struct buf *out, const char *work);
#endif
