/* CreateProcessW in a job with kill-on-close, suspended until it is in there. A thread for each pipe: pipes can't be waited for together with sockets. */
#include "worker/windows/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "common/buf.h"
#include "common/str.h"
#include "worker/windows/win.h"

enum { CHANNELS = 2, THREAD_STACK = 64 << 10, THREAD_END_MS = 1000, PATH_WIDE_MAX = 32768 };

struct reader {
  struct proc *proc;
  HANDLE pipe, thread;
  char data[PROC_READ_MAX];
  DWORD n;     /* bytes in it, waiting for proc_read() */
  bool ended;
};

struct proc {
  HANDLE job, process, thread_in, pipe_in, wait;
  CRITICAL_SECTION lock; /* of what the threads share: n and ended */
  CONDITION_VARIABLE taken;
  struct reader reader[CHANNELS];
  const char *in;
  size_t in_len;
  bool over;
};

/* ---- the command line ---- */

/* Backslashes count only before a quotation mark. */
static void put_word(struct buf *out, const char *w)
{
  size_t slashes = 0;

  if (*w && !strpbrk(w, " \t\n\v\"")) {
    buf_adds(out, w);
    return;
  }
  buf_addc(out, '"');
  for (; *w; w++) {
    if (*w == '\\') {
      slashes++;
      continue;
    }
    for (size_t i = *w == '"' ? 2 * slashes + 1 : slashes; i; i--)
      buf_addc(out, '\\');
    slashes = 0;
    buf_addc(out, *w);
  }
  for (; slashes; slashes--)
    buf_adds(out, "\\\\");
  buf_addc(out, '"');
}

char *proc_line(const char *const *argv)
{
  struct buf line;

  buf_init(&line, BUF_NO_MAX);
  for (size_t i = 0; argv[i]; i++) {
    if (i)
      buf_addc(&line, ' ');
    put_word(&line, argv[i]);
  }
  return buf_take(&line);
}

/* NAME=value NUL … NUL */
static wchar_t *env_block(char *const *env)
{
  const char *root = getenv("SystemRoot");
  wchar_t *block, *at, **wide;
  size_t n = 0, room = 1;
  bool has_root = false;

  while (env[n])
    n++;
  wide = xcalloc(n + 1, sizeof *wide);
  for (size_t i = 0; i < n; i++) {
    has_root = has_root || !_strnicmp(env[i], "SystemRoot=", 11);
    wide[i] = win_wide(env[i]);
  }
  if (!has_root) {
    char *more = xasprintf("SystemRoot=%s", root ? root : "C:\\windows");
    wide[n++] = win_wide(more);
    free(more);
  }
  for (size_t i = 0; i < n; i++)
    room += wcslen(wide[i]) + 1;
  at = block = xcalloc(room + 1, sizeof *block);
  for (size_t i = 0; i < n; i++) {
    wcscpy(at, wide[i]);
    at += wcslen(at) + 1;
    free(wide[i]);
  }
  free(wide);
  return block;
}

static bool ends(const wchar_t *s, const wchar_t *end)
{
  size_t n = wcslen(s), m = wcslen(end);

  return n > m && !_wcsicmp(s + n - m, end);
}

/* The path without \\\\?\\, where it is one of a drive: a current folder is never long. */
static const wchar_t *no_prefix(const wchar_t *path)
{
  return !wcsncmp(path, L"\\\\?\\", 4) && path[5] == L':' ? path + 4 : path;
}

/* What is to be run; NULL and errno. Batch files are the shell's: it would read their arguments as commands. */
static wchar_t *find_program(const struct proc_args *a)
{
  const char *name = a->argv[0];
  wchar_t *path = win_wide(a->path), *found = xcalloc(PATH_WIDE_MAX, sizeof *found), *wide;
  bool has_folder = strpbrk(name, "/\\:") != NULL;
  DWORD n;

  if (has_folder && !strchr("/\\", *name) && name[1] != ':') { /* from the command's folder, not from ours */
    char *cwd = win_utf8(no_prefix(a->cwd)), *whole = xasprintf("%s/%s", cwd, name);
    wide = win_path(whole);
    free(whole);
    free(cwd);
  } else {
    wide = has_folder ? win_path(name) : win_wide(name);
  }
  n = SearchPathW(has_folder ? NULL : path, wide, L".exe", PATH_WIDE_MAX, found, NULL);
  errno = !n || n >= PATH_WIDE_MAX ? ENOENT : ends(found, L".bat") || ends(found, L".cmd") ? ENOEXEC : 0;
  free(wide);
  free(path);
  if (!errno)
    return found;
  free(found);
  return NULL;
}

/* ---- the threads ---- */

static DWORD WINAPI read_all(void *arg)
{
  struct reader *r = arg;
  struct proc *p = r->proc;
  char *part = xmalloc(PROC_READ_MAX);
  DWORD n;

  while (ReadFile(r->pipe, part, PROC_READ_MAX, &n, NULL) && !p->over) {
    if (!n)
      continue;
    EnterCriticalSection(&p->lock);
    while (r->n && !p->over)
      SleepConditionVariableCS(&p->taken, &p->lock, INFINITE);
    memcpy(r->data, part, n);
    r->n = n;
    LeaveCriticalSection(&p->lock);
    win_wake();
  }
  EnterCriticalSection(&p->lock);
  r->ended = true;
  LeaveCriticalSection(&p->lock);
  free(part);
  win_wake();
  return 0;
}

static DWORD WINAPI write_all(void *arg)
{
  struct proc *p = arg;
  size_t at = 0;
  DWORD n;

  while (at < p->in_len && WriteFile(p->pipe_in, p->in + at, p->in_len - at < PROC_READ_MAX ? (DWORD)(p->in_len - at) : PROC_READ_MAX, &n, NULL))
    at += n;
  CloseHandle(p->pipe_in);
  p->pipe_in = NULL;
  return 0;
}

static void CALLBACK on_end(void *arg, BOOLEAN late)
{
  (void)arg, (void)late;
  win_wake();
}

/* ---- start ---- */

struct pipes {
  HANDLE ours[3], theirs[3];
};

static void close_all(HANDLE h[3])
{
  for (int i = 0; i < 3; i++)
    if (h[i])
      CloseHandle(h[i]);
}

static bool lay_pipes(struct pipes *x, bool with_in)
{
  SECURITY_ATTRIBUTES inherit = { sizeof inherit, NULL, TRUE };

  memset(x, 0, sizeof *x);
  if (with_in && !CreatePipe(&x->theirs[0], &x->ours[0], &inherit, 0))
    return false;
  if (!with_in) {
    x->theirs[0] = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherit, OPEN_EXISTING, 0, NULL);
    if (x->theirs[0] == INVALID_HANDLE_VALUE)
      x->theirs[0] = NULL;
  }
  for (int i = 1; i < 3; i++)
    if (!CreatePipe(&x->ours[i], &x->theirs[i], &inherit, 0))
      return false;
  for (int i = 0; i < 3; i++)
    if (x->ours[i])
      SetHandleInformation(x->ours[i], HANDLE_FLAG_INHERIT, 0);
  return true;
}

static HANDLE make_job(void)
{
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = { .BasicLimitInformation = { .LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE } };
  HANDLE job = CreateJobObjectW(NULL, NULL);

  if (job && !SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limit, sizeof limit)) {
    CloseHandle(job);
    job = NULL;
  }
  return job;
}

/* Suspended, in the job, with just its three handles. False: GetLastError(). */
static bool create(const struct proc_args *a, const wchar_t *program, struct pipes *x, HANDLE job, PROCESS_INFORMATION *made)
{
  STARTUPINFOEXW start = { .StartupInfo = { .cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = x->theirs[0], .hStdOutput = x->theirs[1], .hStdError = x->theirs[2] } };
  SIZE_T room = 0;
  char *utf8 = proc_line(a->argv);
  wchar_t *line = win_wide(utf8), *env = env_block(a->env), *cwd = xcalloc(wcslen(a->cwd) + 1, sizeof *cwd);
  bool good;

  wcscpy(cwd, no_prefix(a->cwd));
  InitializeProcThreadAttributeList(NULL, 1, 0, &room);
  start.lpAttributeList = xmalloc(room);
  good = InitializeProcThreadAttributeList(start.lpAttributeList, 1, 0, &room) &&
         UpdateProcThreadAttribute(start.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, x->theirs, sizeof x->theirs, NULL, NULL) &&
         CreateProcessW(program, line, NULL, NULL, TRUE, CREATE_SUSPENDED | CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT, env, cwd, &start.StartupInfo, made);
  if (good && !AssignProcessToJobObject(job, made->hProcess)) {
    DWORD e = GetLastError();
    TerminateProcess(made->hProcess, PROC_TERMINATED);
    CloseHandle(made->hThread);
    CloseHandle(made->hProcess);
    SetLastError(e);
    good = false;
  }
  free(start.lpAttributeList);
  free(cwd);
  free(env);
  free(line);
  free(utf8);
  return good;
}

int proc_start(const struct proc_args *a, struct proc **out)
{
  wchar_t *program = find_program(a);
  PROCESS_INFORMATION made;
  struct pipes x = { .ours = { NULL } };
  struct proc *p;
  HANDLE job;
  int e = 0;

  if (!program)
    return errno;
  job = make_job();
  if (!job || !lay_pipes(&x, a->in) || !create(a, program, &x, job, &made))
    e = win_errno(GetLastError());
  free(program);
  close_all(x.theirs);
  if (e) {
    close_all(x.ours);
    if (job)
      CloseHandle(job);
    return e;
  }
  p = xcalloc(1, sizeof *p);
  p->job = job;
  p->process = made.hProcess;
  p->in = a->in;
  p->in_len = a->in_len;
  p->pipe_in = x.ours[0];
  InitializeCriticalSection(&p->lock);
  InitializeConditionVariable(&p->taken);
  for (int i = 0; i < CHANNELS; i++) {
    p->reader[i].proc = p;
    p->reader[i].pipe = x.ours[i + 1];
    p->reader[i].thread = CreateThread(NULL, THREAD_STACK, read_all, &p->reader[i], 0, NULL);
  }
  if (p->pipe_in)
    p->thread_in = CreateThread(NULL, THREAD_STACK, write_all, p, 0, NULL);
  RegisterWaitForSingleObject(&p->wait, p->process, on_end, NULL, INFINITE, WT_EXECUTEONLYONCE);
  ResumeThread(made.hThread);
  CloseHandle(made.hThread);
  *out = p;
  return 0;
}

/* ---- afterwards ---- */

int proc_read(struct proc *p, int channel, char *to)
{
  struct reader *r = &p->reader[channel];
  int n;

  EnterCriticalSection(&p->lock);
  n = r->n ? (int)r->n : r->ended ? -1 : 0;
  if (n > 0)
    memcpy(to, r->data, r->n);
  r->n = 0;
  LeaveCriticalSection(&p->lock);
  WakeAllConditionVariable(&p->taken);
  return n;
}

bool proc_ended(const struct proc *p, uint32_t *code)
{
  DWORD c;

  if (WaitForSingleObject(p->process, 0) != WAIT_OBJECT_0 || !GetExitCodeProcess(p->process, &c))
    return false;
  *code = c;
  return true;
}

void proc_kill(struct proc *p) { TerminateJobObject(p->job, PROC_TERMINATED); }

void proc_used(const struct proc *p, struct proc_used *u)
{
  JOBOBJECT_BASIC_ACCOUNTING_INFORMATION t;
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION m;

  memset(u, 0, sizeof *u);
  if (QueryInformationJobObject(p->job, JobObjectBasicAccountingInformation, &t, sizeof t, NULL)) {
    u->user_ms = t.TotalUserTime.QuadPart / 10000;
    u->sys_ms = t.TotalKernelTime.QuadPart / 10000;
  }
  if (QueryInformationJobObject(p->job, JobObjectExtendedLimitInformation, &m, sizeof m, NULL))
    u->maxrss_kib = (int64_t)(m.PeakProcessMemoryUsed / 1024);
}

static void end_thread(HANDLE t)
{
  if (!t)
    return;
  while (WaitForSingleObject(t, THREAD_END_MS / 10) == WAIT_TIMEOUT)
    CancelSynchronousIo(t); /* somebody outside the job has the other end of its pipe */
  CloseHandle(t);
}

void proc_free(struct proc *p)
{
  proc_kill(p);
  EnterCriticalSection(&p->lock);
  p->over = true;
  LeaveCriticalSection(&p->lock);
  WakeAllConditionVariable(&p->taken);
  for (int i = 0; i < CHANNELS; i++) {
    end_thread(p->reader[i].thread);
    CloseHandle(p->reader[i].pipe);
  }
  end_thread(p->thread_in);
  UnregisterWaitEx(p->wait, INVALID_HANDLE_VALUE);
  CloseHandle(p->process);
  CloseHandle(p->job);
  DeleteCriticalSection(&p->lock);
  free(p);
}
