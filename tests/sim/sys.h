/* What the worker's objects call in place of the system (sys.txt): as the manual pages have it, as far as the worker uses it. */
#ifndef TESTS_SIM_SYS_H
#define TESTS_SIM_SYS_H
#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <zlib.h>

/* heap.c */
void *sys_malloc(size_t n);
void *sys_calloc(size_t count, size_t size);
void *sys_realloc(void *p, size_t n);
void sys_free(void *p);
int sys_deflateInit2_(z_stream *z, int level, int method, int bits, int mem, int strategy, const char *version, int size);
int sys_inflateInit2_(z_stream *z, int bits, const char *version, int size);

/* proc.c */
void sys_abort(void) __attribute__((noreturn));
void sys___assert_fail(const char *what, const char *file, unsigned line, const char *function) __attribute__((noreturn));
void sys__exit(int code) __attribute__((noreturn));
int sys_poll(struct pollfd *p, nfds_t n, int ms);
int sys_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask);
int sys_posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attr, char *const argv[], char *const env[]);
int sys_kill(pid_t pid, int sig);
pid_t sys_wait4(pid_t pid, int *status, int options, struct rusage *ru);
pid_t sys_getpid(void);
pid_t sys_setsid(void);
int sys_sigaction(int sig, const struct sigaction *act, struct sigaction *old);
int sys_sigprocmask(int how, const sigset_t *set, sigset_t *old);
void (*sys_signal(int sig, void (*handler)(int)))(int);

/* file.c */
int sys_open(const char *path, int flags, ...);
int sys_openat(int dir, const char *path, int flags, ...);
int sys_close(int fd);
ssize_t sys_read(int fd, void *p, size_t n);
ssize_t sys_write(int fd, const void *p, size_t n);
ssize_t sys_pread(int fd, void *p, size_t n, off_t at);
ssize_t sys_pwrite(int fd, const void *p, size_t n, off_t at);
int sys_ftruncate(int fd, off_t n);
int sys_fsync(int fd);
int sys_fdatasync(int fd);
int sys_fstat(int fd, struct stat *st);
int sys_flock(int fd, int how);
int sys_fcntl(int fd, int what, ...);
int sys_dup(int fd);
int sys_dup2(int fd, int to);

/* folder.c */
int sys_mkdir(const char *path, mode_t mode);
int sys_mkdirat(int dir, const char *path, mode_t mode);
int sys_mkfifoat(int dir, const char *path, mode_t mode);
int sys_renameat(int from_dir, const char *from, int to_dir, const char *to);
int sys_unlinkat(int dir, const char *path, int flags);
int sys_access(const char *path, int mode);
int sys_faccessat(int dir, const char *path, int mode, int flags);
int sys_chdir(const char *path);
int sys_fchdir(int fd);
char *sys_realpath(const char *path, char *out);
mode_t sys_umask(mode_t mask);
DIR *sys_fdopendir(int fd);
struct dirent *sys_readdir(DIR *d);
int sys_closedir(DIR *d);

/* guest.c: the network's descriptors, the clock, and what only fails here */
int sys_socket(int domain, int type, int protocol);
int sys_connect(int fd, const struct sockaddr *to, socklen_t len);
int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
ssize_t sys_recv(int fd, void *p, size_t n, int flags);
ssize_t sys_send(int fd, const void *p, size_t n, int flags);
ssize_t sys_sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t len);
int sys_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
int sys_clock_gettime(clockid_t id, struct timespec *t);
ssize_t sys_getrandom(void *p, size_t n, unsigned flags);
char *sys_getenv(const char *name);
int sys_getrlimit(int what, struct rlimit *limit);
pid_t sys_fork(void);
pid_t sys_vfork(void);
int sys_execve(const char *path, char *const argv[], char *const env[]);
int sys_pipe(int fd[2]);
int sys_pipe2(int fd[2], int flags);
ssize_t sys_flistxattr(int fd, char *list, size_t n);
#endif
