/* The process of a command, in a job with all that it starts: so nothing of it is left when its minder ends, whatever ends that. */
#include "worker/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <windows.h>

#include "worker/tree.h"
#include "worker/windows/proc.h"
#include "worker/windows/spec_windows.h"
#include "worker/windows/stream.h"
#include "worker/windows/win.h"

/* The one of this process, which is its minder. */
static struct {
  HANDLE job, process, wait;
  unsigned long pid;
  int out, err;
  bool killed, reaped;
} self = { .out = -1, .err = -1 };

char *win_backslashes(char *assignment)
{
  for (char *p = strchr(assignment, '='); p && *p; p++)
    *p = *p == '/' ? '\\' : *p;
  return assignment;
}

bool child_is_fresh(int work, const char *place) { return (void)work, (void)place, false; } /* to remove and make one is not dear */

/* ---- start ---- */

static void close_all(HANDLE h[3])
{
  for (int i = 0; i < 3; i++)
    if (h[i])
      CloseHandle(h[i]);
}

/* The command's ends and ours. */
static int lay_pipes(bool with_in, HANDLE theirs[3], HANDLE ours[3])
{
  if (with_in && !CreatePipe(&theirs[0], &ours[0], NULL, 0))
    return win_errno(GetLastError());
  if (!with_in) {
    theirs[0] = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
    if (theirs[0] == INVALID_HANDLE_VALUE)
      theirs[0] = NULL;
  }
  for (int i = 1; i < 3; i++)
    if (!CreatePipe(&ours[i], &theirs[i], NULL, 0))
      return win_errno(GetLastError());
  return 0;
}

static void CALLBACK on_end(void *arg, BOOLEAN late)
{
  (void)arg, (void)late;
  win_raise(SIGCHLD);
}

static const char *path_of(char *const *env)
{
  for (; *env; env++)
    if (!_strnicmp(*env, "PATH=", 5))
      return *env + 5;
  return "";
}

int child_start(const struct spec *s, int cwd, const struct child_how *how, struct child *c, const char **what)
{
  wchar_t *folder = win_path(win_dir_path(cwd));
  struct proc_args a = { .argv = s->argv, .env = s->env, .path = path_of(s->env), .cwd = folder };
  HANDLE ours[3] = { NULL };
  int e;

  (void)how;
  *what = s->terminal ? "give it a terminal on Windows" : NULL;
  if (s->terminal)
    return ENOSYS;
  self.job = proc_job();
  e = self.job ? lay_pipes(s->nin || s->fed, a.io, ours) : win_errno(GetLastError());
  a.job = self.job;
  if (!e)
    e = proc_start(&a, &self.process, &self.pid);
  free(folder);
  close_all(a.io);
  if (e) {
    close_all(ours);
    return e;
  }
  c->pid = (pid_t)self.pid;
  c->in = ours[0] ? stream_writer(ours[0], 4096) : -1;
  c->out = self.out = stream_reader(ours[1]);
  c->err = self.err = stream_reader(ours[2]);
  RegisterWaitForSingleObject(&self.wait, self.process, on_end, NULL, INFINITE, WT_EXECUTEONLYONCE);
  return 0;
}

/* ---- its end ---- */

static bool runs(void)
{
  JOBOBJECT_BASIC_ACCOUNTING_INFORMATION t;

  return self.process && QueryInformationJobObject(self.job, JobObjectBasicAccountingInformation, &t, sizeof t, NULL) && t.ActiveProcesses;
}

static void measure(struct os_used *u)
{
  JOBOBJECT_BASIC_ACCOUNTING_INFORMATION t;
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION m;

  memset(u, 0, sizeof *u);
  if (QueryInformationJobObject(self.job, JobObjectBasicAccountingInformation, &t, sizeof t, NULL)) {
    u->user_ms = t.TotalUserTime.QuadPart / 10000;
    u->sys_ms = t.TotalKernelTime.QuadPart / 10000;
  }
  if (QueryInformationJobObject(self.job, JobObjectExtendedLimitInformation, &m, sizeof m, NULL))
    u->maxrss_kib = (int64_t)(m.PeakProcessMemoryUsed / 1024);
}

pid_t os_reap(int *status, struct os_used *used)
{
  DWORD code;

  if (self.process && !self.reaped && WaitForSingleObject(self.process, 0) == WAIT_OBJECT_0 && GetExitCodeProcess(self.process, &code)) {
    self.reaped = true;
    *status = (int)code;
    measure(used);
    return (pid_t)self.pid;
  }
  errno = ECHILD; /* os_orphans() is asked */
  return -1;
}

const int os_orphans_ms = 50;

bool os_orphans(void)
{
  if (runs() || (self.process && !self.reaped))
    return true;
  stream_last(self.out); /* all who wrote have ended: what is in the pipes comes now */
  stream_last(self.err);
  return false;
}

/* The exit code says it, since whoever ends a process gives one. */
bool win_was_killed(int status) { return self.killed && (uint32_t)status == PROC_TERMINATED; }

bool child_told(struct child *c) { return (void)c, false; }

bool child_reaped(struct child *c, pid_t pid, int status, const struct os_used *used)
{
  if (pid != c->pid || c->ended)
    return false;
  c->ended = true;
  c->status = status;
  c->used = *used;
  return true;
}

/* Windows knows but one that does not need the other's help. */
void child_signal(const struct child *c, int number)
{
  if (c->ended || !self.process || (number != SIGKILL && number != SIGTERM && number != SIGINT && number != SIGQUIT))
    return;
  self.killed = true;
  TerminateProcess(self.process, PROC_TERMINATED);
}

bool child_kill(const struct child *c)
{
  (void)c;
  return tree_kill(0), true;
}

/* There is no polite word for what has no window. */
int tree_end(pid_t root) { return tree_kill(root); }

int tree_kill(pid_t root)
{
  (void)root;
  if (!self.job)
    return 0;
  self.killed = true;
  TerminateJobObject(self.job, PROC_TERMINATED);
  return 1;
}

int tree_kill_strays(const char *cmd, int64_t since_ms) { return (void)cmd, (void)since_ms, 0; } /* they ended with the minder, whose the job was */
