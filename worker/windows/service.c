/* Installing, taking away and being a service.

     stopped ──▶ starting ──▶ running ──▶ stopping ──▶ stopped        as the service manager is told; stop ends the agent as SIGTERM does elsewhere: commands go on

   The service runs as a user of its own, NT SERVICE\NAME, which may do little and is given the state folder and the token's file. */
#include "worker/windows/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <aclapi.h>

#include "common/buf.h"
#include "common/str.h"
#include "worker/agent.h"
#include "worker/os.h"
#include "worker/windows/main_windows.h"
#include "worker/windows/proc.h"
#include "worker/windows/win.h"

enum {
  WAIT_MS = 30000,      /* for what was started or is to stop */
  LOOK_MS = 100,
  HINT_MS = 20000,      /* the manager is told that a change may take so long */
  RETRY_MS = 5000,      /* a service that failed is started again after so long */
  OWN_WORDS = 3         /* program, word, NAME */
};

static struct {
  char *name;            /* UTF-8 */
  bool installs;
  int argc, code;
  char **argv;           /* for worker_main() */
  SERVICE_STATUS_HANDLE handle;
} self;

/* ---- telling people ---- */

static int fail(const char *what)
{
  DWORD e = GetLastError();
  wchar_t *w = NULL;
  char *text;

  FormatMessageW(FORMAT_MESSAGE_ALLOCATE_BUFFER | FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK, NULL, e, 0, (wchar_t *)(void *)&w, 0, NULL);
  text = win_utf8(w ? w : L"");
  fprintf(stderr, "drover-worker: the service %s can't be %s: %s(error %lu)%s\n", self.name, what, text, (unsigned long)e, e == ERROR_ACCESS_DENIED ? "; run this as administrator" : "");
  free(text);
  LocalFree(w);
  return EXIT_OTHER;
}

static bool wait_for_state(SC_HANDLE s, DWORD state)
{
  SERVICE_STATUS now;

  for (int ms = 0; ms < WAIT_MS; ms += LOOK_MS) {
    if (!QueryServiceStatus(s, &now) || now.dwCurrentState == state)
      return now.dwCurrentState == state;
    if (state == SERVICE_RUNNING && now.dwCurrentState == SERVICE_STOPPED) {
      SetLastError(now.dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR ? ERROR_SERVICE_SPECIFIC_ERROR : now.dwWin32ExitCode);
      return false;
    }
    Sleep(LOOK_MS);
  }
  SetLastError(ERROR_TIMEOUT);
  return false;
}

/* ---- installing ---- */

/* Its account may do all there; false: GetLastError(). */
static bool grant(const wchar_t *path, wchar_t *account, bool folder)
{
  EXPLICIT_ACCESSW more;
  PSECURITY_DESCRIPTOR d = NULL;
  PACL was = NULL, is = NULL;
  DWORD e = GetNamedSecurityInfoW((wchar_t *)(uintptr_t)path, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, &was, NULL, &d);

  BuildExplicitAccessWithNameW(&more, account, folder ? GENERIC_ALL : GENERIC_READ, GRANT_ACCESS, folder ? SUB_CONTAINERS_AND_OBJECTS_INHERIT : NO_INHERITANCE);
  e = e ? e : SetEntriesInAclW(1, &more, was, &is);
  e = e ? e : SetNamedSecurityInfoW((wchar_t *)(uintptr_t)path, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL, is, NULL);
  LocalFree(is);
  LocalFree(d);
  SetLastError(e);
  return !e;
}

static void let_in(const char *path, wchar_t *account, bool folder)
{
  wchar_t *w = win_path(path);
  char *name = win_utf8(account);

  if (folder && win_make_private(w))
    SetLastError(0); /* it is there already, or what follows says it */
  if (!grant(w, account, folder))
    fprintf(stderr, "drover-worker: %s can't be given to the service's user %s (error %lu): do that by hand, else it can't start\n", path, name, (unsigned long)GetLastError());
  free(name);
  free(w);
}

static char *absolute(const char *path)
{
  wchar_t *w = win_path(path);
  char *s = win_utf8(!wcsncmp(w, L"\\\\?\\", 4) && w[5] == L':' ? w + 4 : w);

  free(w);
  return s;
}

/* All that was given, as the service is to be given it. */
static char *command_line(const struct conf_given *given)
{
  const char *words[OWN_WORDS + 2 * (CONF_KEYS + 1) + 1] = { os_self(), SERVICE_RUN, self.name };
  size_t n = OWN_WORDS;

  if (given->config) {
    words[n++] = "--config";
    words[n++] = absolute(given->config);
  }
  for (int i = 0; i < CONF_KEYS; i++)
    if (given->value[i]) {
      char *option = xasprintf("--%s", conf_keys[i].name);
      for (char *p = option; *p; p++)
        *p = *p == '_' ? '-' : *p;
      words[n++] = option;
      words[n++] = i == CONF_dir || i == CONF_join_file ? absolute(given->value[i]) : given->value[i];
    }
  words[n] = NULL;
  return proc_line(words);
}

/* It is started again when it fails, soon and for ever. */
static void describe(SC_HANDLE s)
{
  SERVICE_DESCRIPTIONW text = { .lpDescription = (wchar_t *)(uintptr_t)L"Runs builds for a drover master." };
  SC_ACTION again[] = { { SC_ACTION_RESTART, RETRY_MS }, { SC_ACTION_RESTART, RETRY_MS }, { SC_ACTION_RESTART, RETRY_MS } };
  SERVICE_FAILURE_ACTIONSW failure = { .dwResetPeriod = 60, .cActions = COUNT(again), .lpsaActions = again };
  SERVICE_FAILURE_ACTIONS_FLAG flag = { TRUE };

  ChangeServiceConfig2W(s, SERVICE_CONFIG_DESCRIPTION, &text);
  ChangeServiceConfig2W(s, SERVICE_CONFIG_FAILURE_ACTIONS, &failure);
  ChangeServiceConfig2W(s, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &flag);
}

static int create(const struct conf *c, const struct conf_given *given, SC_HANDLE manager)
{
  char *line = command_line(given), *account = xasprintf("NT SERVICE\\%s", self.name);
  wchar_t *wide = win_wide(line), *name = win_wide(self.name), *user = win_wide(account);
  SC_HANDLE s = CreateServiceW(manager, name, name, SERVICE_ALL_ACCESS, SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, wide, NULL, NULL, NULL, user, NULL);
  int code = EXIT_STOPPED;

  if (!s) {
    code = fail("made");
  } else {
    describe(s);
    let_in(c->dir, user, true);
    if (given->value[CONF_join_file])
      let_in(given->value[CONF_join_file], user, false);
    if (given->config)
      let_in(given->config, user, false);
    if (!StartServiceW(s, 0, NULL) || !wait_for_state(s, SERVICE_RUNNING))
      code = fail("started (it is installed; its log is in the state folder)");
    else
      printf("the service %s runs, as %s; its log is %s\\log\n", self.name, account, c->dir);
    CloseServiceHandle(s);
  }
  free(user);
  free(name);
  free(wide);
  free(account);
  free(line);
  return code;
}

bool service_takes(const struct conf *c, const struct conf_given *given, int *code)
{
  SC_HANDLE manager;

  if (!self.installs)
    return false;
  *code = EXIT_USAGE;
  if (!given->value[CONF_dir] || c->token_spent) {
    fputs(SERVICE_INSTALL " NAME wants --dir, and a token that can be read again: --join-file FILE\n", stderr);
    return true;
  }
  manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CREATE_SERVICE);
  *code = manager ? create(c, given, manager) : fail("made");
  if (manager)
    CloseServiceHandle(manager);
  return true;
}

static int uninstall(void)
{
  SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT), s;
  wchar_t *name = win_wide(self.name);
  SERVICE_STATUS now;
  int code = EXIT_STOPPED;

  s = manager ? OpenServiceW(manager, name, SERVICE_STOP | SERVICE_QUERY_STATUS | DELETE) : NULL;
  free(name);
  if (!s)
    return fail("found");
  if (!ControlService(s, SERVICE_CONTROL_STOP, &now) && GetLastError() != ERROR_SERVICE_NOT_ACTIVE)
    code = fail("stopped");
  else if (!wait_for_state(s, SERVICE_STOPPED))
    code = fail("stopped");
  else if (!DeleteService(s))
    code = fail("taken away");
  else
    printf("the service %s is gone; its state folder stays, and commands that still run end by themselves\n", self.name);
  CloseServiceHandle(s);
  CloseServiceHandle(manager);
  return code;
}

/* ---- being it ---- */

/* The only one who tells the manager. */
static void enter(DWORD state)
{
  SERVICE_STATUS s = { .dwServiceType = SERVICE_WIN32_OWN_PROCESS, .dwCurrentState = state, .dwControlsAccepted = state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN : 0,
                       .dwWaitHint = state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING ? HINT_MS : 0 };

  if (state == SERVICE_STOPPED && self.code) {
    s.dwWin32ExitCode = ERROR_SERVICE_SPECIFIC_ERROR;
    s.dwServiceSpecificExitCode = (DWORD)self.code;
  }
  if (self.handle)
    SetServiceStatus(self.handle, &s);
}

static DWORD WINAPI on_control(DWORD control, DWORD type, void *data, void *context)
{
  (void)type, (void)data, (void)context;
  if (control == SERVICE_CONTROL_INTERROGATE)
    return NO_ERROR;
  if (control != SERVICE_CONTROL_STOP && control != SERVICE_CONTROL_SHUTDOWN)
    return ERROR_CALL_NOT_IMPLEMENTED;
  enter(SERVICE_STOP_PENDING);
  agent_stop();
  return NO_ERROR;
}

void service_running(void)
{
  enter(SERVICE_RUNNING);
}

static void WINAPI run(DWORD argc, wchar_t **argv)
{
  wchar_t *name = win_wide(self.name);

  (void)argc, (void)argv; /* of whoever started it by hand: the options are those of the installation */
  self.handle = RegisterServiceCtrlHandlerExW(name, on_control, NULL);
  free(name);
  enter(SERVICE_START_PENDING);
  self.code = worker_main(self.argc, self.argv);
  enter(SERVICE_STOPPED);
}

static int be_service(void)
{
  wchar_t *name = win_wide(self.name);
  SERVICE_TABLE_ENTRYW table[] = { { name, run }, { NULL, NULL } };

  if (StartServiceCtrlDispatcherW(table))
    return self.code;
  fputs("drover-worker: " SERVICE_RUN " is how the service manager starts it; by hand it is started without\n", stderr);
  return EXIT_USAGE;
}

/* ---- which ---- */

bool service_knows(const char *word)
{
  return !strcmp(word, SERVICE_INSTALL) || !strcmp(word, SERVICE_UNINSTALL) || !strcmp(word, SERVICE_RUN);
}

int service_main(int argc, char **argv)
{
  if (argc < OWN_WORDS || !str_is_name(argv[2], strlen(argv[2]))) {
    fprintf(stderr, "drover-worker: %s wants the service's name, of letters, digits, . _ and -\n", argv[1]);
    return EXIT_USAGE;
  }
  self.name = xstrdup(argv[2]);
  self.argc = argc - (OWN_WORDS - 1);
  self.argv = argv + (OWN_WORDS - 1);
  self.argv[0] = argv[0];
  if (!strcmp(argv[1], SERVICE_RUN))
    return be_service();
  self.installs = !strcmp(argv[1], SERVICE_INSTALL);
  if (self.installs)
    return worker_main(self.argc, self.argv);
  return argc == OWN_WORDS ? uninstall() : (fputs("drover-worker: " SERVICE_UNINSTALL " NAME, and nothing else\n", stderr), EXIT_USAGE);
}
