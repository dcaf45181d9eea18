/* What the worker's processes run in, beside files: the parts of the worker that are made up (its os_*.h, the start of a command's process), the network's descriptors, the clock. */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/sim/guest.h"
#include "tests/sim/sim.h"
#include "tests/sim/sys.h"
#include "worker/agent.h"
#include "worker/beneath.h"
#include "worker/cgroup.h"
#include "worker/child.h"
#include "worker/fileop.h"
#include "worker/jail.h"
#include "worker/minder.h"
#include "worker/os.h"
#include "worker/remove.h"
#include "worker/report.h"
#include "worker/slot.h"
#include "worker/wrap.h"

static const char path_of[] = "/bin", folder[] = "/w";

int guest_agent(struct host *h)
{
  struct conf c = { .token = h->token, .dir = (char *)(uintptr_t)folder, .path = (char *)(uintptr_t)path_of, .level = LOG_INFO, .format = "text",
                    .confine = { .limit = { -1, -1, -1, -1, 0 }, .umask = CONFINE_UMASK, .allow = ALLOW_ALL } };
  static const struct conf_given given;
  static char name[] = "/bin/drover-worker";
  char *argv[] = { name, NULL };

  return agent_main(&c, &given, argv);
}

int guest_minder(char **argv)
{
  char **w = argv + 2;
  struct minder_args a = { w[0], w[1], w[2], w[3], w[4], atoi(w[5]), atoi(w[6]), atoi(w[7]), atoi(w[8]), atoi(w[9]), *w[10] == '1', w[11] };

  assert(!strcmp(argv[1], "--minder"));
  return minder_main(&a);
}

void guest_said(const char *text, size_t n)
{
  if (model_verbose)
    model_tell("    %s%d %s: %.*s", self->kind == PROC_AGENT ? "agent " : "minder ", self->host->n, self->cmd, (int)n - 1, text);
}

static int fail(int number)
{
  if (!number)
    return 0;
  errno = number;
  return -1;
}

/* ---- os.h ---- */

void os_boot_id(char out[OS_BOOT_LEN + 1]) { memcpy(out, self->host->boot, OS_BOOT_LEN + 1); }
bool os_machine_id(char out[OS_MACHINE_LEN + 1]) { return (void)out, false; }

int os_pidfd(pid_t pid)
{
  struct file *f;
  struct proc *p;

  proc_point("pidfd_open");
  p = proc_find(pid);
  if (!p || p->host != self->host)
    return -1;
  f = xcalloc(1, sizeof *f);
  *f = (struct file){ .kind = FILE_PROCESS, .refs = 1, .pid = pid };
  return file_put(self, f, true);
}

void os_close_from(int first) { (void)first; }
void os_subreaper(void) {}
void os_no_dump(void) {}
void os_hurry(pid_t pid) { (void)pid; }
void os_pipe_large(int fd) { (void)fd; }
void os_oom_unshield(void) {}
bool os_oom_shielded(void) { return false; }
bool os_end_with(pid_t parent) { return (void)parent, true; }
int os_pipe(int p[2]) { return sys_pipe2(p, O_CLOEXEC); }
int os_poll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask) { return sys_ppoll(p, n, t, mask); }
int os_poll_max(void) { return INT_MAX; }
const char *os_self(void) { return "/proc/self/exe"; }
ssize_t os_self_name(char *out, size_t n) { return (void)out, (void)n, -1; }
const int os_orphans_ms = 0;
bool os_orphans(void) { return false; }

pid_t os_reap(int *status, struct os_used *used)
{
  struct rusage ru = { .ru_maxrss = 0 };

  *used = (struct os_used){ 0 };
  return sys_wait4(-1, status, WNOHANG, &ru);
}

int os_stat_beneath(int dir, const char *path, bool follow, struct stat *st)
{
  int fd = sys_openat(dir, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)), r;

  if (fd < 0)
    return -1;
  r = sys_fstat(fd, st);
  sys_close(fd);
  return r;
}

int os_folder_beneath(int dir, const char *path) { return sys_openat(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC); }
bool os_is_tmpfs(const char *path) { return (void)path, true; }
void os_facts(struct buf *out, const char *work) { (void)out, (void)work; }

bool os_proc_read(pid_t pid, struct os_proc *out)
{
  const struct proc *p = proc_find(pid);

  if (!p || p->host != self->host)
    return false;
  *out = (struct os_proc){ p->pid, p->parent, p->zombie, p->start_ms };
  return true;
}

struct os_walk {
  int pids[64], n, at;
};

struct os_walk *os_walk_begin(void)
{
  struct os_walk *w = sys_calloc(1, sizeof *w);

  proc_point("walk");
  list_each(it, &procs) {
    const struct proc *p = list_of(it, struct proc, node);
    if (p->host == self->host && w->n < (int)COUNT(w->pids))
      w->pids[w->n++] = p->pid;
  }
  return w;
}

bool os_walk_next(struct os_walk *w, struct os_proc *p)
{
  while (w->at < w->n)
    if (os_proc_read(w->pids[w->at++], p))
      return true;
  return false;
}

void os_walk_end(struct os_walk *w) { sys_free(w); }

bool os_proc_has_env(pid_t pid, const char *assignment)
{
  const struct proc *p = proc_find(pid);
  const char *is = strchr(assignment, '=');

  return p && p->kind == PROC_CHILD && is && !strcmp(p->cmd, is + 1);
}

bool os_proc_has_word(pid_t pid, int n, const char *word)
{
  const struct proc *p = proc_find(pid);

  for (int i = 0; p && p->argv && p->argv[i]; i++)
    if (i == n)
      return !strcmp(p->argv[i], word);
  return false;
}

/* ---- child.h, and what the simulation leaves out ---- */

int child_prepare(const struct spec *s, int work, int *cwd, const char **what)
{
  *what = s->cwd;
  *cwd = sys_dup(work);
  return *cwd < 0 ? errno : 0;
}

static int pipe_to(struct proc *p)
{
  struct node *n = node_new(NULL, NODE_FIFO);
  int fd;

  n->refs++;
  fd = file_open_node(self, n, O_RDONLY | O_CLOEXEC);
  (void)file_open_node(p, n, O_WRONLY);
  return fd;
}

int child_start(const struct spec *s, int cwd, const struct child_how *how, struct child *c, const char **what)
{
  const char *cmd = "";
  struct proc *p;

  (void)cwd, (void)how;
  *what = NULL;
  proc_point("vfork");
  if (chance_of(2))
    return ENOENT;
  for (char **e = s->env; *e; e++)
    if (!strncmp(*e, "DROVER_COMMAND=", 15))
      cmd = *e + 15;
  p = proc_child(cmd);
  c->out = pipe_to(p);
  c->err = pipe_to(p);
  c->pid = p->pid;
  p->program = program_start(p, cmd, s->nlogs ? s->log[0] : NULL);
  return 0;
}

bool child_told(struct child *c) { return (void)c, false; }
bool child_kill(const struct child *c) { return (void)c, false; }
void child_signal(const struct child *c, int number) { sys_kill(c->pid, number); }

bool child_reaped(struct child *c, pid_t pid, int status, const struct os_used *used)
{
  c->status = status;
  c->used = *used;
  return pid == c->pid;
}

const char *slot_text(int number) { return (void)number, NULL; }
void os_as(uid_t uid) { (void)uid; }
const bool os_has_users = true;
void slot_sweep(uid_t uid) { (void)uid; }
uid_t slot_owner(const struct confine *c, int work, const char *path, bool make) { return (void)c, (void)work, (void)path, (void)make, 0; }
bool slot_enter(const struct confine *c, int work, enum verb verb, const char *path, const char *to) { return (void)c, (void)work, (void)verb, (void)path, (void)to, true; }
char *wrap_program(void) { return NULL; }
int wrap_command(struct spec *s, const struct confine *c, int work, const char *path, const char *cmd) { return (void)s, (void)c, (void)work, (void)path, (void)cmd, 0; }
int cgroup_find(struct confine *c, const char *instance, int state) { return (void)c, (void)instance, (void)state, 0; }
void cgroup_tidy(const struct confine *c, const struct map *wanted) { (void)c, (void)wanted; }
int cgroup_make(const struct confine *c, const char *cmd) { return (void)c, (void)cmd, -1; }
int cgroup_entry(int group) { return (void)group, -1; }
bool cgroup_kill(int group) { return (void)group, false; }
bool cgroup_starved(int group) { return (void)group, false; }
void cgroup_end(const struct confine *c, const char *cmd, int group) { (void)c, (void)cmd, (void)group; }
int jail_try(unsigned spaces, const char *work, const char **what) { return (void)spaces, (void)work, (void)what, 0; }

int os_swap_names(int dir, const char *a, const char *b)
{
  proc_point("renameat2");
  return fail(disk_swap(file_of(dir)->node, a, b));
}

int os_open_beneath(int dir, const char *path, int flags) { return sys_openat(dir, path, flags); }
int remove_tree(int dir, const char *name) { return (void)dir, (void)name, 0; }
const struct tls_ops tls_pinned; /* links are unix sockets here */

enum err report_take(const char *work, uid_t uid, const char *place, const struct mask *m, const struct spool *sp, bool sync) { (void)work, (void)uid, (void)place, (void)m, (void)sp, (void)sync; return ERR_OK; }
int fileop_start(struct fileop *o, int below, pid_t *pid) { return (void)o, (void)below, *pid = -1, -1; }
void fileop_kill(pid_t pid) { (void)pid; }
enum err fileop_check(enum verb v, int64_t a, int64_t b, const char *blob, size_t n, const char **path, const char **why)
{
  (void)v, (void)a, (void)b, (void)blob, (void)n, (void)path;
  *why = "there are no files here";
  return ERR_BADARG;
}

/* ---- descriptors of the network ---- */

int sys_socket(int domain, int type, int protocol)
{
  struct file *f;

  (void)domain, (void)type, (void)protocol;
  proc_point("socket");
  f = xcalloc(1, sizeof *f);
  *f = (struct file){ .kind = FILE_SOCKET, .refs = 1 };
  return file_put(self, f, true);
}

int sys_connect(int fd, const struct sockaddr *to, socklen_t len)
{
  const struct sockaddr_un *u = (const struct sockaddr_un *)(const void *)to;
  int number;

  (void)len;
  proc_point("connect");
  file_of(fd)->conn = net_dial(self->host, u->sun_path, &number);
  return fail(file_of(fd)->conn ? EINPROGRESS : number);
}

int sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
  (void)level, (void)name, (void)len;
  *(int *)value = net_error(file_of(fd)->conn);
  return 0;
}

int sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len) { return (void)fd, (void)level, (void)name, (void)value, (void)len, 0; }

ssize_t sys_recv(int fd, void *p, size_t n, int flags)
{
  (void)flags;
  proc_point("recv");
  return net_recv(file_of(fd)->conn, p, n);
}

ssize_t sys_send(int fd, const void *p, size_t n, int flags)
{
  (void)flags;
  proc_point("send");
  return net_send(file_of(fd)->conn, p, n);
}

/* ---- the clock, and the rest ---- */

int sys_clock_gettime(clockid_t id, struct timespec *t)
{
  int64_t ms = id == CLOCK_MONOTONIC ? host_mono(self->host) : host_mono(self->host) + self->host->slept;

  *t = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
  return 0;
}

ssize_t sys_getrandom(void *p, size_t n, unsigned flags)
{
  unsigned char *b = p;

  (void)flags;
  for (size_t i = 0; i < n; i++)
    b[i] = (unsigned char)chance(256);
  return (ssize_t)n;
}

char *sys_getenv(const char *name)
{
  static char few[] = "1", full[] = "20000";

  if (!strcmp(name, "DROVER_TEST_KEEP_SEGMENTS"))
    return few;
  return strcmp(name, "DROVER_TEST_SPOOL_FULL") ? NULL : full;
}

int sys_getrlimit(int what, struct rlimit *limit)
{
  (void)what;
  *limit = (struct rlimit){ 1024, 1024 };
  return 0;
}

ssize_t sys_sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t len) { return (void)fd, (void)p, (void)n, (void)flags, (void)to, (void)len, fail(ENOSYS); }
int sys_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list) { return (void)host, (void)port, (void)hints, (void)list, EAI_FAIL; }
pid_t sys_fork(void) { return fail(ENOSYS); }
pid_t sys_vfork(void) { return fail(ENOSYS); }
int sys_execve(const char *path, char *const argv[], char *const env[]) { return (void)path, (void)argv, (void)env, fail(ENOSYS); }
int sys_pipe(int fd[2]) { return (void)fd, fail(ENOSYS); }
int sys_pipe2(int fd[2], int flags) { return (void)fd, (void)flags, fail(ENOSYS); }
ssize_t sys_flistxattr(int fd, char *list, size_t n) { return (void)fd, (void)list, (void)n, fail(ENOSYS); }
