/* The worker's processes as coroutines: each has a stack and its own copy of the program's variables, and gives way to others in its calls of the system. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/sim/guest.h"
#include "tests/sim/sim.h"
#include "tests/sim/sys.h"

enum { STACK = 512 << 10, GIVE_WAY = 12 /* in how many calls once */ };
#define AWAKE INT64_MAX

struct proc *self;
struct list procs = { &procs, &procs };
static ucontext_t world;
static int next_pid;
static void *stacks[64];
static int nstacks;

/* ---- variables ---- */

/* Of the agent, of the minder, of what both are made of: sections of the linked worker (Makefile). */
enum { AREA_AGENT, AREA_MINDER, AREA_BOTH, AREAS };
extern char __start_sim_agent[], __stop_sim_agent[], __start_sim_minder[], __stop_sim_minder[], __start_sim_both[], __stop_sim_both[];
static struct area {
  char *at;
  size_t n;
  char *first;        /* as it is at a program's start */
  struct proc *owner; /* whose values are there; NULL: nobody's */
} areas[AREAS];

void proc_begin(void)
{
  areas[AREA_AGENT] = (struct area){ .at = __start_sim_agent, .n = (size_t)(__stop_sim_agent - __start_sim_agent) };
  areas[AREA_MINDER] = (struct area){ .at = __start_sim_minder, .n = (size_t)(__stop_sim_minder - __start_sim_minder) };
  areas[AREA_BOTH] = (struct area){ .at = __start_sim_both, .n = (size_t)(__stop_sim_both - __start_sim_both) };
  for (int i = 0; i < AREAS; i++)
    areas[i].first = xmemdup(areas[i].at, areas[i].n);
}

static struct area *area_of(const struct proc *p, int n)
{
  return &areas[n ? AREA_BOTH : p->kind == PROC_AGENT ? AREA_AGENT : AREA_MINDER];
}

static void load(struct proc *p)
{
  for (int i = 0; i < 2; i++) {
    struct area *a = area_of(p, i);
    if (a->owner == p)
      continue;
    if (a->owner) {
      char **kept = &a->owner->image[i];
      *kept = *kept ? *kept : xmalloc(a->n);
      memcpy(*kept, a->at, a->n);
    }
    memcpy(a->at, p->image[i] ? p->image[i] : a->first, a->n);
    a->owner = p;
  }
}

/* ---- life ---- */

static struct proc *make(struct host *h, enum proc_kind kind)
{
  struct proc *p = xcalloc(1, sizeof *p);

  p->pid = ++next_pid + 100;
  p->host = h;
  p->kind = kind;
  p->start_ms = host_mono(h) + h->slept;
  list_init(&p->heap);
  list_push(&procs, &p->node);
  return p;
}

static void first(unsigned low, unsigned high)
{
  struct proc *p = (struct proc *)(uintptr_t)((uint64_t)high << 32 | low);
  int code = p->kind == PROC_AGENT ? guest_agent(p->host) : guest_minder(p->argv);

  sys__exit(code);
}

/* A process that died left marks on its stack. */
void __asan_unpoison_memory_region(void const volatile *p, size_t n) __attribute__((weak));

static void prepare(struct proc *p)
{
  p->stack = nstacks ? stacks[--nstacks] : mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  assert(p->stack != MAP_FAILED);
  if (__asan_unpoison_memory_region)
    __asan_unpoison_memory_region(p->stack, STACK);
  getcontext(&p->context);
  p->context.uc_stack.ss_sp = p->stack;
  p->context.uc_stack.ss_size = STACK;
  p->context.uc_link = NULL;
  makecontext(&p->context, (void (*)(void))first, 2, (unsigned)(uintptr_t)p, (unsigned)((uintptr_t)p >> 32));
}

void proc_reset(void) { next_pid = 0; }

void proc_agent(struct host *h)
{
  struct proc *p = make(h, PROC_AGENT);

  p->parent = 1;
  h->agent = p;
  prepare(p);
  trace("agent starts", h->n, p->pid);
}

struct proc *proc_child(const char *cmd)
{
  struct proc *p = make(self->host, PROC_CHILD);

  p->parent = self->pid;
  snprintf(p->cmd, sizeof p->cmd, "%s", cmd);
  return p;
}

struct proc *proc_find(int pid)
{
  list_each(it, &procs) {
    struct proc *p = list_of(it, struct proc, node);
    if (p->pid == pid)
      return p;
  }
  return NULL;
}

static void drop_argv(struct proc *p)
{
  for (char **w = p->argv; w && *w; w++)
    free(*w);
  free(p->argv);
  p->argv = NULL;
}

/* All that it has goes; a zombie of a living parent stays until that one has seen it. */
void proc_ended(struct proc *p, int status)
{
  struct proc *parent = proc_find(p->parent);

  trace("a process ends", p->pid, status);
  for (int fd = 0; fd < SIM_FDS; fd++)
    if (p->fd[fd])
      file_close(p, fd);
  while (!list_empty(&p->heap)) {
    struct list *it = p->heap.next;
    list_remove(it);
    free(it); /* the first member of its head */
  }
  for (int i = 0; i < AREAS; i++)
    if (areas[i].owner == p)
      areas[i].owner = NULL;
  if (p->stack)
    stacks[nstacks++] = p->stack;
  free(p->image[0]);
  free(p->image[1]);
  program_free(p->program);
  drop_argv(p);
  p->program = NULL;
  p->stack = NULL;
  p->zombie = true;
  p->status = status;
  if (p->host->agent == p) {
    p->host->agent = NULL;
    p->host->agent_at = model_now_ms + (int64_t)chance(chance_of(70) ? 1500 : 20000);
  }
  list_each(it, &procs) {
    struct proc *c = list_of(it, struct proc, node);
    if (c->parent != p->pid)
      continue;
    c->parent = 1;
    if (c->zombie) {
      list_remove(&c->node);
      free(c);
    }
  }
  if (parent && !parent->zombie && parent->kind == PROC_MINDER) {
    parent->pending |= UINT64_C(1) << SIGCHLD;
    return;
  }
  list_remove(&p->node);
  free(p);
}

static struct proc *dying;
static int dying_status;

static void leave(void)
{
  swapcontext(&self->context, &world);
}

static void die(int status)
{
  dying = self;
  dying_status = status;
  for (;;)
    leave();
}

void proc_run(struct proc *p)
{
  load(p);
  self = p;
  p->blocked = false;
  swapcontext(&world, &p->context);
  self = NULL;
  if (dying)
    proc_ended(dying, dying_status);
  dying = NULL;
}

/* SIGKILL; of self it does not return. */
static void proc_kill(struct proc *p)
{
  if (p == self)
    die(SIGKILL);
  if (!p->zombie)
    proc_ended(p, SIGKILL);
}

void sys__exit(int code)
{
  for (;;)
    die(code << 8);
}

static void failed(const char *what)
{
  model_bad("a process of the worker (%s %s): %s", self->kind == PROC_AGENT ? "agent" : "minder", self->cmd, what);
  for (;;)
    die(SIGABRT);
}

void sys_abort(void)
{
  failed("abort()");
  abort();
}

void sys___assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
  model_tell("%s:%u: %s", file, line, function);
  failed(what);
  abort();
}

void proc_point(const char *call)
{
  (void)call;
  if (self->die_in && --self->die_in == 0) {
    trace(call, self->pid, -1);
    die(SIGKILL);
  }
  if (!chance(GIVE_WAY))
    leave();
}

void proc_power_loss(struct host *h)
{
  bool more = true;

  while (more) {
    more = false;
    list_each(it, &procs) {
      struct proc *p = list_of(it, struct proc, node);
      if (p->host != h)
        continue;
      if (p->zombie) {
        list_remove(&p->node);
        free(p);
      } else {
        p->parent = 1;
        proc_ended(p, SIGKILL);
      }
      more = true;
      break;
    }
  }
}

/* ---- signals ---- */

void proc_signal(struct proc *p, int sig)
{
  void (*handler)(int) = p->act[sig].sa_handler;

  if (!sig || p->zombie)
    return;
  if (p->kind == PROC_CHILD)
    program_told(p, sig);
  else if (sig == SIGKILL || (sig == SIGTERM && handler == SIG_DFL))
    proc_kill(p);
  else if (handler != SIG_IGN && handler != SIG_DFL)
    p->pending |= UINT64_C(1) << sig;
}

int sys_kill(pid_t pid, int sig)
{
  struct proc *p;

  proc_point("kill");
  p = proc_find(pid);
  if (!p || p->host != self->host) {
    errno = ESRCH;
    return -1;
  }
  proc_signal(p, sig);
  return 0;
}

static bool handle_signals(void)
{
  bool any = self->pending != 0;

  for (int sig = 1; sig < NSIG && self->pending; sig++)
    if (self->pending & UINT64_C(1) << sig) {
      void (*handler)(int) = self->act[sig].sa_handler;
      self->pending &= ~(UINT64_C(1) << sig);
      if (handler != SIG_IGN && handler != SIG_DFL)
        handler(sig);
    }
  return any;
}

int sys_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
  if (old)
    *old = self->act[sig];
  if (act)
    self->act[sig] = *act;
  return 0;
}

/* Signals come inside of ppoll only, as agent and minder have it. */
int sys_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
  (void)how, (void)set;
  if (old)
    sigemptyset(old);
  return 0;
}

void (*sys_signal(int sig, void (*handler)(int)))(int)
{
  void (*old)(int) = self->act[sig].sa_handler;

  self->act[sig].sa_handler = handler;
  return old;
}

/* ---- waiting ---- */

static int look(struct proc *p, struct pollfd *v, int n)
{
  int found = 0;

  for (int i = 0; i < n; i++) {
    v[i].revents = v[i].fd < 0 ? 0 : file_ready(p, v[i].fd, v[i].events);
    found += v[i].revents != 0;
  }
  return found;
}

bool proc_may_run(struct proc *p)
{
  if (p->zombie || p->kind == PROC_CHILD || p->host->asleep_until > model_now_ms)
    return false;
  return !p->blocked || p->pending || host_mono(p->host) >= p->until || look(p, p->poll, p->npoll);
}

int64_t proc_due(void)
{
  int64_t due = INT64_MAX;

  list_each(it, &procs) {
    struct proc *p = list_of(it, struct proc, node);
    int64_t at = INT64_MAX;
    if (p->zombie)
      continue;
    if (p->kind == PROC_CHILD)
      at = program_due(p->program);
    else if (p->host->asleep_until > model_now_ms)
      at = p->host->asleep_until;
    else if (p->until != AWAKE)
      at = p->until + p->host->slept;
    if (at < p->host->asleep_until)
      at = p->host->asleep_until;
    due = at < due ? at : due;
  }
  return due;
}

static int wait_for(struct pollfd *v, nfds_t n, int64_t ms)
{
  int found;

  self->until = ms < 0 ? AWAKE : host_mono(self->host) + ms;
  for (;;) {
    if (handle_signals()) {
      errno = EINTR;
      return -1;
    }
    found = look(self, v, (int)n);
    if (found || host_mono(self->host) >= self->until)
      return found;
    self->poll = v;
    self->npoll = (int)n;
    self->blocked = true;
    leave();
  }
}

int sys_poll(struct pollfd *p, nfds_t n, int ms)
{
  proc_point("poll");
  return wait_for(p, n, ms);
}

int sys_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask)
{
  (void)mask;
  proc_point("ppoll");
  return wait_for(p, n, t ? t->tv_sec * 1000 + (t->tv_nsec + 999999) / 1000000 : -1);
}

/* ---- others ---- */

int sys_posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attr, char *const argv[], char *const env[])
{
  struct proc *p;
  int n = 0;

  (void)path, (void)actions, (void)attr, (void)env;
  proc_point("posix_spawn");
  if (chance_of(1))
    return EAGAIN;
  p = make(self->host, PROC_MINDER);
  p->parent = self->pid;
  while (argv[n])
    n++;
  p->argv = xcalloc((size_t)n + 1, sizeof *p->argv);
  for (int i = 0; i < n; i++)
    p->argv[i] = xstrdup(argv[i]);
  snprintf(p->cmd, sizeof p->cmd, "%s", argv[4]);
  for (int fd = 0; fd < SIM_FDS; fd++)
    if (self->fd[fd] && !self->cloexec[fd]) {
      p->fd[fd] = self->fd[fd];
      p->fd[fd]->refs++;
    }
  for (int sig = 1; sig < NSIG; sig++)
    if (self->act[sig].sa_handler == SIG_IGN)
      p->act[sig] = self->act[sig];
  prepare(p);
  *pid = p->pid;
  trace("a minder starts", p->pid, self->pid);
  return 0;
}

pid_t sys_wait4(pid_t pid, int *status, int options, struct rusage *ru)
{
  bool any = false;

  (void)pid, (void)options;
  list_each(it, &procs) {
    struct proc *p = list_of(it, struct proc, node);
    int found = p->pid;
    if (p->parent != self->pid)
      continue;
    any = true;
    if (!p->zombie)
      continue;
    *status = p->status;
    memset(ru, 0, sizeof *ru);
    list_remove(&p->node);
    free(p);
    return found;
  }
  if (any)
    return 0;
  errno = ECHILD;
  return -1;
}

pid_t sys_getpid(void) { return self->pid; }
pid_t sys_setsid(void) { return self->pid; }
