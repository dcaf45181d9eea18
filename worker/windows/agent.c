/* The agent on Windows: one loop over the link, file operations, minders' wake-ups, and time.

   Happy path: folders, what is in the spool, connect, tell what is there, run what is asked, until somebody stops it; commands go on without it.
   Failures: another agent in the same folder: exit code 3. A folder that can't be used: 1. */
#include "worker/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "common/clock.h"
#include "worker/command.h"
#include "worker/inventory.h"
#include "worker/os.h"
#include "worker/ownlog.h"
#include "worker/serve.h"
#include "worker/status.h"
#include "worker/version.h"
#include "worker/windows/main_windows.h"
#include "worker/windows/notice_windows.h"
#include "worker/windows/service.h"
#include "worker/windows/win.h"

enum {
  LIVE_MAX = 256,
  CHECK_MS = 1000,      /* minders tell when a command has ended, but not when they are killed */
  LOOK_MS = 20,         /* and are looked at so soon when one of them has told something */
  GOODBYE_MS = 4000,
  RETENTION_MS = 60000
};

static volatile LONG got_stop, got_wake;
static HANDLE lock;

void agent_stop(void)
{
  InterlockedExchange(&got_stop, 1);
  win_wake();
}

/* Ctrl-C and its like. A service hears of everybody's logging off, which is nothing to it. */
static BOOL WINAPI on_stop(DWORD kind)
{
  if (kind == CTRL_LOGOFF_EVENT)
    return FALSE;
  agent_stop();
  if (kind == CTRL_CLOSE_EVENT || kind == CTRL_SHUTDOWN_EVENT)
    Sleep(GOODBYE_MS); /* who returns from these is ended at once */
  return TRUE;
}

static void CALLBACK on_wake(void *arg, BOOLEAN late)
{
  (void)arg, (void)late;
  InterlockedExchange(&got_wake, 1);
  win_wake();
}

/* ---- the state folder ---- */

static bool make_folder(const char *path)
{
  wchar_t *w = win_path(path);
  int e = win_make_private(w);

  free(w);
  if (e && e != EEXIST)
    log_error("worker", "can't make the folder %s: %s", path, strerror(e));
  return !e || e == EEXIST;
}

/* Held by the open handle, however this ends. */
static bool take_lock(const struct agent *a)
{
  char *path = xasprintf("%s/lock", a->dir_path);
  wchar_t *w = win_path(path);

  lock = CreateFileW(w, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
  free(w);
  free(path);
  return lock != INVALID_HANDLE_VALUE;
}

static bool open_state(struct agent *a, int *code)
{
  wchar_t *w;

  *code = EXIT_OTHER;
  if (!make_folder(a->conf->dir))
    return false;
  w = win_path(a->conf->dir);
  a->dir_path = win_utf8(!wcsncmp(w, L"\\\\?\\", 4) && w[5] == L':' ? w + 4 : w);
  free(w);
  if (!take_lock(a)) {
    log_error("worker", "another drover-worker is running on the folder %s, or it can't be written to: %s", a->dir_path, strerror(win_errno(GetLastError())));
    *code = EXIT_IN_USE;
    return false;
  }
  a->dir = win_dir(a->dir_path);
  a->work_path = xasprintf("%s\\work", a->dir_path);
  a->spool_path = xasprintf("%s\\spool", a->dir_path);
  if (!make_folder(a->work_path) || !make_folder(a->spool_path))
    return false;
  a->work = win_dir(a->work_path);
  a->spool = win_dir(a->spool_path);
  a->seen_fd = openat(a->dir, "master-seen", O_RDWR | O_CREAT, 0600);
  return a->seen_fd >= 0;
}

/* What worker.conf asks for and can't be had is no matter to pass over. */
static bool can_confine(const struct confine *c)
{
  struct confine usual;
  bool same;

  confine_init(&usual);
  same = !c->spaces && !c->best && !c->first && !c->wrapper && c->umask == usual.umask && !memcmp(c->limit, usual.limit, sizeof c->limit);
  if (!same)
    log_error("worker", "worker.conf: isolate, slot_uids, exec_wrapper, umask and limits can't be had on Windows: take them out, and let the worker's user be one that may do little");
  return same;
}

static bool hear_minders(struct agent *a)
{
  HANDLE wait;

  a->wake_out = notice_open(a->ident.instance);
  return a->wake_out >= 0 && RegisterWaitForSingleObject(&wait, notice_event(), on_wake, NULL, INFINITE, WT_EXECUTEDEFAULT);
}

static bool set_up(struct agent *a, int *code)
{
  const char *why;
  enum err e;

  *code = EXIT_USAGE;
  if (!can_confine(&a->conf->confine))
    return false;
  if (!open_state(a, code))
    return false;
  ownlog_open(a->dir, !strcmp(a->conf->format, "json"));
  a->confine = confine_text(&a->conf->confine);
  e = ident_load(&a->ident, a->dir, &why);
  if (!e)
    e = member_load(&a->member, a->dir, &a->conf->token, &why);
  if (!e && (win_wake_open() || !hear_minders(a))) {
    why = "nothing to wake it by";
    e = ERR_IO;
  }
  if (e) {
    log_error("worker", "%s/%s: %s", a->dir_path, why, err_text(e));
    return false;
  }
  a->live_max = LIVE_MAX;
  os_boot_id(a->boot);
  a->started_ms = clock_boot_ms();
  agent_seen(a, false, false);
  return true;
}

/* ---- the loop ---- */

static void tell_status(struct agent *a)
{
  struct status s = { .connected = link_is(&a->link, LINK_UP), .note = a->link.note, .isolation = "plain" };

  link_address(&a->link, s.address, sizeof s.address);
  if (s.connected) {
    snprintf(s.name, sizeof s.name, "%s", agent_name(a));
    snprintf(s.key, sizeof s.key, "matched");
  }
  status_tell(a->dir, &s);
}

static void work_link(struct agent *a, short revents, int64_t now)
{
  bool was_up = link_is(&a->link, LINK_UP);
  unsigned notes = a->link.note.count;
  int64_t heard = a->link.heard_at;

  if (link_turn(&a->link, revents, now))
    serve_hello(a);
  if (link_is(&a->link, LINK_UP) && a->link.heard_at != heard)
    agent_seen(a, true, true);
  serve_messages(a);
  if (link_is(&a->link, LINK_UP)) {
    command_send_all(a);
  } else if (was_up) {
    agent_seen(a, false, false);
    files_forget(&a->files);
    command_detach_all(a);
  }
  link_flush(&a->link);
  if (link_is(&a->link, LINK_UP) != was_up || a->link.note.count != notes)
    tell_status(a);
}

static void keep_time(struct agent *a, int64_t now)
{
  if (InterlockedExchange(&got_wake, 0)) { /* by whom is not known: to look for output is cheap, for results less so */
    list_each(it, &a->commands)
      command_woken(a, list_of(it, struct command, node)->sp.cmd, false);
    a->check_at = now + LOOK_MS < a->check_at ? now + LOOK_MS : a->check_at;
  }
  if (now >= a->check_at) {
    a->check_at = now + CHECK_MS;
    command_check_all(a);
  }
  if (now >= a->retention_at) {
    a->retention_at = now + RETENTION_MS;
    command_retention_all(a);
  }
}

static void loop(struct agent *a)
{
  enum { WAKE, LINK, FILES };

  while (!got_stop) {
    struct pollfd p[FILES + FILES_AT_ONCE] = { [WAKE] = { .fd = (SOCKET)win_wake_fd(), .events = POLLIN }, [LINK] = link_poll(&a->link) };
    int files = link_queued(&a->link) < LINK_OUT_FULL ? files_poll(&a->files, p + FILES) : 0;
    int64_t now = clock_mono_ms(), due = link_due(&a->link, now), ms;
    struct timespec t;
    if (a->ncommands && a->check_at < due)
      due = a->check_at;
    ms = due > now ? due - now : 0;
    t = (struct timespec){ ms / 1000, (long)(ms % 1000 * 1000000) };
    if (os_poll(p, (nfds_t)(FILES + files), &t, NULL) < 0)
      Sleep(1);
    if (p[WAKE].revents)
      win_wake_clear();
    now = clock_mono_ms();
    files_turn(&a->files, p + FILES, files, &a->link.out);
    keep_time(a, now);
    work_link(a, p[LINK].revents, now);
  }
}

int agent_main(struct conf *c, const struct conf_given *given, char **argv)
{
  static struct agent a;
  int code;

  (void)argv;
  if (service_takes(c, given, &code))
    return code;
  a.conf = c;
  a.given = given;
  if (!set_up(&a, &code))
    return code;
  SetConsoleCtrlHandler(on_stop, TRUE);
  list_init(&a.commands);
  a.by_id = map_new();
  files_init(&a.files, a.work, &c->confine);
  link_init(&a.link, &c->token, &c->proxy);
  inventory_scan(&a);
  a.retention_at = clock_mono_ms() + RETENTION_MS;
  log_info("worker", "drover-worker %s in %s", worker_version, a.dir_path);
  tell_status(&a);
  service_running();
  loop(&a);
  link_free(&a.link, "stop");
  agent_seen(&a, false, false);
  tell_status(&a);
  log_info("worker", "stopped; %d commands go on", a.nlive);
  return EXIT_STOPPED;
}
