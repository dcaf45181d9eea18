/* The agent on Windows: one loop over the link, what processes say, and time. Its commands end with it.

   Happy path: folders, connect, tell what is there, run what is asked, until somebody stops it.
   Failures: another agent in the same folder: exit code 3. A folder that can't be used: 1. */
#include "worker/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "common/clock.h"
#include "common/notify.h"
#include "worker/admin.h"
#include "worker/command.h"
#include "worker/feed.h"
#include "worker/inventory.h"
#include "worker/install.h"
#include "worker/minder.h"
#include "worker/os.h"
#include "worker/serve.h"
#include "worker/stdio.h"
#include "worker/version.h"
#include "worker/windows/commands.h"
#include "worker/windows/files_windows.h"
#include "worker/windows/win.h"
#include "worker/wrap.h"

enum { LIVE_MAX = 256, WAIT_MAX_MS = 60000 };

static volatile LONG got_stop;
static HANDLE lock;

static BOOL WINAPI on_stop(DWORD kind)
{
  (void)kind;
  InterlockedExchange(&got_stop, 1);
  win_wake();
  return TRUE;
}

const char *agent_name(const struct agent *a)
{
  return *a->member.name ? a->member.name : a->conf->token.name;
}

void agent_seen(struct agent *a, bool heard, bool connected)
{
  (void)a, (void)connected;
  if (heard)
    commands_heard(clock_mono_ms());
}

/* ---- the state folder ---- */

static bool make_folder(const char *path)
{
  wchar_t *w = win_path(path);
  bool good = CreateDirectoryW(w, NULL) || GetLastError() == ERROR_ALREADY_EXISTS;

  if (!good)
    log_error("worker", "can't make the folder %s: %s", path, strerror(win_errno(GetLastError())));
  free(w);
  return good;
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
  return make_folder(a->work_path);
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

static bool set_up(struct agent *a, int *code)
{
  const char *why;
  enum err e;

  *code = EXIT_USAGE;
  if (!can_confine(&a->conf->confine))
    return false;
  if (!open_state(a, code))
    return false;
  e = ident_load(&a->ident, a->dir, &why);
  if (!e)
    e = member_load(&a->member, a->dir, &a->conf->token, &why);
  if (!e && win_wake_open()) {
    why = "no socket to wake it";
    e = ERR_IO;
  }
  if (e) {
    log_error("worker", "%s/%s: %s", a->dir_path, why, err_text(e));
    return false;
  }
  a->live_max = LIVE_MAX;
  os_boot_id(a->boot);
  a->started_ms = clock_boot_ms();
  return true;
}

/* ---- the loop ---- */

static void work_link(struct agent *a, short revents, int64_t now)
{
  bool was_up = link_is(&a->link, LINK_UP);
  int64_t heard = a->link.heard_at;

  if (link_turn(&a->link, revents, now))
    serve_hello(a);
  if (link_is(&a->link, LINK_UP) && a->link.heard_at != heard)
    agent_seen(a, true, true);
  serve_messages(a);
  if (link_is(&a->link, LINK_UP))
    command_send_all(a);
  else if (was_up)
    command_detach_all(a);
  link_flush(&a->link);
}

static void loop(struct agent *a)
{
  while (!got_stop) {
    struct pollfd p[2] = { { .fd = (SOCKET)win_wake_fd(), .events = POLLIN }, link_poll(&a->link) };
    int64_t now = clock_mono_ms(), due = link_due(&a->link, now), commands = commands_due(a), ms;
    struct timespec t;
    due = commands < due ? commands : due;
    ms = due <= now ? 0 : due - now > WAIT_MAX_MS ? WAIT_MAX_MS : due - now;
    t = (struct timespec){ ms / 1000, (long)(ms % 1000 * 1000000) };
    if (os_poll(p, COUNT(p), &t, NULL) < 0)
      Sleep(1);
    if (p[0].revents)
      win_wake_clear();
    now = clock_mono_ms();
    commands_turn(a, now);
    work_link(a, p[1].revents, now);
  }
}

int agent_main(struct conf *c, const struct conf_given *given, char **argv)
{
  static struct agent a;
  int code;

  (void)argv;
  a.conf = c;
  a.given = given;
  if (!set_up(&a, &code))
    return code;
  SetConsoleCtrlHandler(on_stop, TRUE);
  list_init(&a.commands);
  a.by_id = map_new();
  files_below(a.work_path);
  files_init(&a.files, -1, &c->confine);
  link_init(&a.link, &c->token, &c->proxy);
  commands_heard(clock_mono_ms());
  log_info("worker", "drover-worker %s in %s", worker_version, a.dir_path);
  loop(&a);
  commands_end(&a);
  link_free(&a.link, "stop");
  log_info("worker", "stopped");
  return EXIT_STOPPED;
}

/* ---- what is not there yet ---- */

static void not_here(struct agent *a, struct wire_msg *m)
{
  static const char text[] = "a worker on Windows can't do that yet";

  wire_put_blob(&a->link.out, VERB_done, text, sizeof text - 1, "ns", wire_num(m, 0), "badarg");
}

void admin_upgrade(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void admin_restart(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void admin_stop(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void admin_tail(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void admin_facts(struct agent *a, struct wire_msg *m) { not_here(a, m); }
void feed_take(struct agent *a, struct command *c, int64_t off, const char *p, size_t n) { (void)a, (void)c, (void)off, (void)p, (void)n; } /* no command has one */
void feed_close(struct agent *a, struct command *c, int64_t off) { (void)a, (void)c, (void)off; }
void upgrade_welcomed(struct upgrade *u) { (void)u; }
void notify_init(void) {}
int wrap_main(char **argv) { return (void)argv, EXIT_USAGE; }
int stdio_in(void) { return -1; }
const struct tls_ops tls_stdio; /* nobody's: --stdio has said no */

bool stdio_begin(void)
{
  fputs("drover-worker: --stdio is not there on Windows: the worker dials its master, with a join token\n", stderr);
  return false;
}

int minder_main(const struct minder_args *a) { return (void)a, EXIT_USAGE; }

static int by_hand(void)
{
  fputs("drover-worker: on Windows there is no install yet: put the join token into a file, and start drover-worker --join-file FILE --dir FOLDER at the system's start (Task Scheduler)\n", stderr);
  return EXIT_USAGE;
}

int install_main(int argc, char **argv) { return (void)argc, (void)argv, by_hand(); }
int uninstall_main(int argc, char **argv) { return (void)argc, (void)argv, by_hand(); }
