/* What differs between operating systems. os_linux.c is the only file of it so far. */
#ifndef WORKER_OS_H
#define WORKER_OS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"

#define OS_BOOT_LEN 32
#define OS_MACHINE_LEN 32

/* The host's boot id, 32 hex digits; the same for all processes until the next start of the host. */
void os_boot_id(char out[OS_BOOT_LEN + 1]);

/* What tells this machine from others, 32 hex digits, for as long as its system is not set up anew; made so that the system's own id is not told. False: the system knows none. */
bool os_machine_id(char out[OS_MACHINE_LEN + 1]);

/* A descriptor that becomes readable when the process has ended; -1 where the system has none. */
int os_pidfd(pid_t pid);
void os_close_from(int first); /* async-signal-safe on Linux 5.9 and newer */
/* Orphaned descendants become children of this process. */
void os_subreaper(void);
/* Open `path` without ever leaving the folder `dir`; -1 and errno, EXDEV: it would have left it. Where the kernel can't do
   that, links are not followed at all (ELOOP). */
int os_open_beneath(int dir, const char *path, int flags);

struct os_proc {
  pid_t pid, parent;
  bool zombie, stopped;
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
/* Before all others, as far as that is allowed: to catch up with a fork bomb. */
void os_hurry(void);

/* Default action for the signals that the C library keeps for itself and so won't let sigaction() touch: whoever started the agent may have left them ignored. Async-signal-safe. */
void os_reset_library_signals(void);

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
