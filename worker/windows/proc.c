/* CreateProcessW, with just the handles that the process is to have, suspended until it is in its job. */
#include "worker/windows/proc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "common/buf.h"
#include "common/str.h"
#include "worker/windows/win.h"

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

/* The same variable, as Windows sees it. */
static bool same_name(const char *a, const char *b)
{
  size_t n = strcspn(a, "=");

  return n == strcspn(b, "=") && !_strnicmp(a, b, n);
}

/* Of two that differ in case only, which Windows knows but one of, the later one counts. */
static bool set_later(char *const *env, size_t i)
{
  for (size_t j = i + 1; env[j]; j++)
    if (same_name(env[i], env[j]))
      return true;
  return false;
}

static const char *value_of(char *const *env, const char *name)
{
  for (size_t i = 0; env[i]; i++)
    if (same_name(env[i], name))
      return strchr(env[i], '=') + 1;
  return NULL;
}

static void put_variable(struct buf *out, const char *name, const char *value)
{
  buf_addf(out, "%s=%s", name, value);
  buf_addc(out, 0);
}

/* What Windows gives every process, none of it the worker's own, and a folder for what is temporary under the names that it has here. */
static void put_system(struct buf *out, char *const *env)
{
  static const char *const names[] = { "SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "OS", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "PROCESSOR_IDENTIFIER", "ProgramData", "ALLUSERSPROFILE",
                                       "ProgramFiles", "ProgramFiles(x86)", "ProgramW6432", "CommonProgramFiles", "CommonProgramFiles(x86)", "CommonProgramW6432" };
  static const struct { const char *name, *from; } places[] = { { "TEMP", "TMPDIR" }, { "TMP", "TMPDIR" }, { "USERPROFILE", "HOME" } };

  for (size_t i = 0; i < COUNT(names); i++) {
    const char *value = getenv(names[i]);
    if (!value && !i)
      value = "C:\\windows";
    if (value && !value_of(env, names[i]))
      put_variable(out, names[i], value);
  }
  for (size_t i = 0; i < COUNT(places); i++)
    if (value_of(env, places[i].from) && !value_of(env, places[i].name))
      put_variable(out, places[i].name, value_of(env, places[i].from));
}

/* NAME=value NUL … NUL */
static wchar_t *env_block(char *const *env)
{
  struct buf all; /* UTF-8, each with a NUL */
  wchar_t *block;
  int n;

  buf_init(&all, BUF_NO_MAX);
  for (size_t i = 0; env[i]; i++)
    if (!set_later(env, i))
      buf_add(&all, env[i], strlen(env[i]) + 1);
  put_system(&all, env);
  n = MultiByteToWideChar(CP_UTF8, 0, all.data, (int)all.len, NULL, 0);
  block = xcalloc((size_t)n + 2, sizeof *block);
  MultiByteToWideChar(CP_UTF8, 0, all.data, (int)all.len, block, n);
  mem_wipe(all.data, all.len);
  buf_free(&all);
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
  wchar_t *path = win_wide(a->path), *found = xcalloc(WIN_PATH_MAX, sizeof *found), *wide;
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
  n = SearchPathW(has_folder ? NULL : path, wide, L".exe", WIN_PATH_MAX, found, NULL);
  if (!n && wcschr(wide, L'.')) { /* python3.12: that is no ending */
    wide = xrealloc(wide, (wcslen(wide) + 5) * sizeof *wide);
    n = SearchPathW(has_folder ? NULL : path, wcscat(wide, L".exe"), NULL, WIN_PATH_MAX, found, NULL);
  }
  errno = !n || n >= WIN_PATH_MAX ? ENOENT : ends(found, L".bat") || ends(found, L".cmd") ? ENOEXEC : 0;
  free(wide);
  free(path);
  if (!errno)
    return found;
  free(found);
  return NULL;
}

/* ---- start ---- */

HANDLE proc_job(void)
{
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = { .BasicLimitInformation = { .LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE } };
  HANDLE job = CreateJobObjectW(NULL, NULL);

  if (job && !SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limit, sizeof limit)) {
    CloseHandle(job);
    job = NULL;
  }
  return job;
}

/* The handles that it is to have, each once. */
static size_t list_handles(const struct proc_args *a, HANDLE *list)
{
  size_t n = 0;

  for (size_t i = 0; i < 3 + a->nkeep; i++) {
    HANDLE h = i < 3 ? a->io[i] : a->keep[i - 3];
    bool has = !h || h == INVALID_HANDLE_VALUE;
    for (size_t j = 0; j < n; j++)
      has = has || list[j] == h;
    if (has)
      continue;
    SetHandleInformation(h, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    list[n++] = h;
  }
  return n;
}

/* False: GetLastError(). */
static bool create(const struct proc_args *a, const wchar_t *program, PROCESS_INFORMATION *made)
{
  STARTUPINFOEXW start = { .StartupInfo = { .cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES, .hStdInput = a->io[0], .hStdOutput = a->io[1], .hStdError = a->io[2], .lpReserved2 = a->fds, .cbReserved2 = (WORD)a->nfds } };
  DWORD flags = CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT | (a->apart ? DETACHED_PROCESS | CREATE_BREAKAWAY_FROM_JOB : CREATE_NO_WINDOW);
  HANDLE *list = xcalloc(3 + a->nkeep, sizeof *list);
  size_t n = list_handles(a, list);
  SIZE_T room = 0;
  char *utf8 = proc_line(a->argv);
  wchar_t *line = win_wide(utf8), *env = a->env ? env_block(a->env) : NULL, *cwd = NULL;
  DWORD e;
  bool good;

  if (a->cwd)
    cwd = wcscpy(xcalloc(wcslen(a->cwd) + 1, sizeof *cwd), no_prefix(a->cwd));
  InitializeProcThreadAttributeList(NULL, 2, 0, &room);
  start.lpAttributeList = xmalloc(room);
  good = InitializeProcThreadAttributeList(start.lpAttributeList, 2, 0, &room) && UpdateProcThreadAttribute(start.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, list, n * sizeof *list, NULL, NULL);
  if (good && a->job && !UpdateProcThreadAttribute(start.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_JOB_LIST, (void *)(uintptr_t)&a->job, sizeof a->job, NULL, NULL))
    SetLastError(0); /* before Windows 10: proc_start() puts it there */
  if (good) {
    good = CreateProcessW(program, line, NULL, NULL, TRUE, flags, env, cwd, &start.StartupInfo, made);
    if (!good && a->apart && GetLastError() == ERROR_ACCESS_DENIED) /* our job lets nobody out */
      good = CreateProcessW(program, line, NULL, NULL, TRUE, flags & ~(DWORD)CREATE_BREAKAWAY_FROM_JOB, env, cwd, &start.StartupInfo, made);
  }
  e = good ? 0 : GetLastError();
  for (size_t i = 0; i < n; i++)
    SetHandleInformation(list[i], HANDLE_FLAG_INHERIT, 0);
  if (env)
    for (size_t i = 0; env[i] || env[i + 1]; i++)
      env[i] = L' '; /* values of secrets */
  free(start.lpAttributeList);
  free(list);
  free(cwd);
  free(env);
  free(line);
  free(utf8);
  SetLastError(e);
  return good;
}

int proc_start(const struct proc_args *a, HANDLE *process, unsigned long *pid)
{
  wchar_t *program = a->program ? win_path(a->program) : find_program(a);
  PROCESS_INFORMATION made;
  BOOL there = FALSE; /* in its job from the first: else one whose maker is killed in between would stay for ever, and not begin */
  int e = 0;

  if (!program)
    return errno;
  if (!create(a, program, &made))
    e = win_errno(GetLastError());
  free(program);
  if (e)
    return e;
  if (a->job && !(IsProcessInJob(made.hProcess, a->job, &there) && there) && !AssignProcessToJobObject(a->job, made.hProcess)) {
    e = win_errno(GetLastError());
    TerminateProcess(made.hProcess, PROC_TERMINATED);
    CloseHandle(made.hProcess);
  } else {
    ResumeThread(made.hThread);
    *process = made.hProcess;
    *pid = made.dwProcessId;
  }
  CloseHandle(made.hThread);
  return e;
}
