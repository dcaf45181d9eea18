/* The agent: sets up the state folder, then one loop over the link, the minders' wake-ups, file operations and time.

   Happy path: connect, tell what is there, run what is asked, copy logs, until a signal says stop; commands go on without it.
   Failures: another agent in the same folder: exit code 3; but by ssh the new one takes over from the old one (stdio.h). The master says stop: 4. A folder that can't be used: 1. Everything later is dealt with
   where it happens (link.c, command.c, files.c). */
#include "worker/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/notify.h"
#include "worker/cgroup.h"
#include "worker/command.h"
#include "worker/inventory.h"
#include "worker/jail.h"
#include "worker/os.h"
#include "worker/ownlog.h"
#include "worker/serve.h"
#include "worker/status.h"
#include "worker/stdio.h"
#include "worker/version.h"
#include "worker/wrap.h"

enum {
  CHECK_MS = 1000,       /* of minders that have no descriptor to poll */
  RETENTION_MS = 60000,
  LOCK_TRIES = 50,
  LOCK_RETRY_MS = 20,
  FDS_OWN = 64,          /* descriptors kept for other things than commands */
  FDS_A_COMMAND = 2,
  WAKE_MANY = 32768      /* so many bytes of wake-ups at once: some may not have fitted in */
};

static volatile sig_atomic_t got_stop;

static void on_stop(int sig) { got_stop = sig; }

/* ---- the state folder ---- */

static bool fail(const char *what, const char *name)
{
  log_error("worker", "%s %s: %s", what, name, strerror(errno));
  return false;
}

static bool open_folder(int at, const char *name, mode_t mode, int *fd)
{
  if (mkdirat(at, name, mode) && errno != EEXIST)
    return fail("can't make the folder", name);
  *fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return *fd >= 0 || fail("can't open the folder", name);
}

static bool open_wake(struct agent *a)
{
  if (mkfifoat(a->dir, "wake", 0600) && errno != EEXIST)
    return fail("can't make", "wake");
  a->wake = openat(a->dir, "wake", O_RDWR | O_NONBLOCK | O_CLOEXEC); /* also for writing: never at its end */
  if (a->wake < 0)
    return fail("can't open", "wake");
  a->wake_out = openat(a->dir, "wake", O_WRONLY | O_NONBLOCK); /* minders inherit this one, and master-seen */
  a->seen_fd = openat(a->dir, "master-seen", O_RDWR | O_CREAT, 0600);
  while (a->conf->stdio && read(a->wake, a->wake_part, sizeof a->wake_part) > 0)
    ; /* what the one before was asked; what minders told, the inventory finds */
  return (a->wake_out >= 0 && a->seen_fd >= 0) || fail("can't open", "wake or master-seen");
}

/* An agent that was just killed may have left a child on its way to an exec, which holds the lock for a moment more. */
static bool take_lock(int fd)
{
  for (int i = 0; i < LOCK_TRIES; i++) {
    if (!flock(fd, LOCK_EX | LOCK_NB))
      return true;
    poll(NULL, 0, LOCK_RETRY_MS);
  }
  return false;
}

/* What isolation can be had here is tried, once. What worker.conf demands and can't be had is no reason to go on without. */
static bool set_confine(struct agent *a)
{
  struct confine *c = &a->conf->confine;
  char names[CONFINE_NAMES_MAX];
  const char *what = "";
  int e;

  if (c->first && (geteuid() || !os_has_users)) {
    log_error("worker", "slot_uids: only a worker that is root, on Linux, can run commands as other users: run it as root, or take the line out");
    return false;
  }
  if (c->first && (c->spaces & CONFINE_USER)) {
    log_error("worker", "isolate: `user` is for a worker that is not root; with slot_uids there are users enough: take the word out");
    return false;
  }
  if (c->wrapper && !(c->program = wrap_program())) {
    log_error("worker", "exec_wrapper: the system does not tell the path of this program, which the wrapper is to start: start the worker by its whole path");
    return false;
  }
  if (c->best)
    c->spaces = CONFINE_PID | CONFINE_MOUNT | CONFINE_IPC | (geteuid() ? CONFINE_USER : 0);
  e = c->spaces ? jail_try(c->spaces, a->work_path, &what) : 0;
  if (e && !c->best) {
    log_error("worker", "isolate: %s can't be had here: a command could not %s: %s; `isolate = auto` takes what there is", confine_names(c, names), what, strerror(e));
    return false;
  }
  if (e) {
    c->spaces = 0;
    a->why_plain = xasprintf("a command could not %s: %s", what, strerror(e));
    log_warn("worker", "isolate = auto: no namespaces here: %s", a->why_plain);
  }
  return true;
}

/* Control groups are used where they can be had. */
static void set_groups(struct agent *a)
{
  struct confine *c = &a->conf->confine;
  int e = cgroup_find(c, a->ident.instance, a->dir);

  if (e)
    a->why_none = xasprintf("%s: %s", c->group ? "no limits" : "none can be made", strerror(e));
  confine_fall_back(c);
  a->confine = confine_text(c);
}

/* False with *code set. */
static bool open_state(struct agent *a, int *code)
{
  *code = EXIT_OTHER;
  umask(022);
  if (!open_folder(AT_FDCWD, a->conf->dir, 0755, &a->dir))
    return false;
  a->dir_path = realpath(a->conf->dir, NULL);
  if (!a->dir_path)
    return fail("can't find", a->conf->dir);
  a->lock = openat(a->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (a->lock < 0)
    return fail("can't open", "lock");
  if (!take_lock(a->lock) && (!a->conf->stdio || !stdio_take_over(a->dir, a->lock))) {
    log_error("worker", "another drover-worker is running on the folder %s", a->dir_path);
    *code = EXIT_IN_USE;
    return false;
  }
  a->work_path = xasprintf("%s/work", a->dir_path);
  a->spool_path = xasprintf("%s/spool", a->dir_path);
  return open_folder(a->dir, "work", 0755, &a->work) && open_folder(a->dir, "spool", 0700, &a->spool) && open_wake(a);
}

static bool set_up(struct agent *a, int *code)
{
  struct rlimit files = { 1024, 1024 };
  const char *why;
  enum err e;

  if (!open_state(a, code))
    return false;
  *code = EXIT_USAGE;
  if (!set_confine(a))
    return false;
  *code = EXIT_OTHER;
  ownlog_open(a->dir, !strcmp(a->conf->format, "json"));
  e = ident_load(&a->ident, a->dir, &why);
  if (!e)
    e = member_load(&a->member, a->dir, &a->conf->token, &why);
  if (e) {
    log_error("worker", "%s/%s: %s", a->dir_path, why, err_text(e));
    return false;
  }
  set_groups(a);
  getrlimit(RLIMIT_NOFILE, &files);
  a->live_max = files.rlim_cur > (rlim_t)os_poll_max() ? os_poll_max() : (int)files.rlim_cur;
  a->live_max = a->live_max > FDS_OWN ? (a->live_max - FDS_OWN) / FDS_A_COMMAND : 1;
  os_boot_id(a->boot);
  a->started_ms = clock_boot_ms();
  a->unshield = os_oom_shielded();
  agent_seen(a, false, false);
  return true;
}

static void set_signals(sigset_t *during_poll)
{
  struct sigaction stop = { .sa_handler = on_stop }, ignore = { .sa_handler = SIG_IGN };
  static const int stops[] = { SIGTERM, SIGINT, SIGHUP };
  sigset_t block;

  sigemptyset(&block);
  for (size_t i = 0; i < COUNT(stops); i++) {
    sigaddset(&block, stops[i]);
    sigaction(stops[i], &stop, NULL);
  }
  sigprocmask(SIG_BLOCK, &block, during_poll);
  for (size_t i = 0; i < COUNT(stops); i++)
    sigdelset(during_poll, stops[i]);
  sigaction(SIGPIPE, &ignore, NULL);
  sigaction(SIGCHLD, &ignore, NULL); /* no zombies: what ends tells by its descriptor or pipe */
}

/* ---- telling ---- */

/* How it stands: the status file and the service manager. */
static void tell_status(struct agent *a)
{
  struct status s = { .connected = link_is(&a->link, LINK_UP), .note = a->link.note };
  char names[CONFINE_NAMES_MAX];

  snprintf(s.isolation, sizeof s.isolation, a->why_plain ? "%s (%s)" : "%s", confine_names(&a->conf->confine, names), a->why_plain);
  link_address(&a->link, s.address, sizeof s.address);
  if (s.connected) {
    snprintf(s.name, sizeof s.name, "%s", agent_name(a));
    snprintf(s.key, sizeof s.key, "%s", a->link.ops == &tls_pinned ? "matched" : "none");
  }
  status_tell(a->dir, &s);
}

/* ---- the loop ---- */

static void take_wake_line(struct agent *a, char *line)
{
  size_t n = strlen(line);
  bool ended = n && line[n - 1] == '=';

  if (ended)
    line[n - 1] = 0;
  if (a->conf->stdio && !strcmp(line, STDIO_OVER)) {
    log_info("worker", "another agent takes this folder over");
    a->next = AGENT_ENDS;
  }
  command_woken(a, line, ended);
}

static void read_wake(struct agent *a)
{
  size_t total = 0;
  ssize_t n;

  do {
    char *at = a->wake_part, *lf;
    n = read(a->wake, a->wake_part + a->wake_len, sizeof a->wake_part - 1 - a->wake_len);
    if (n <= 0)
      break;
    total += (size_t)n;
    a->wake_part[a->wake_len + (size_t)n] = 0;
    for (; (lf = strchr(at, '\n')); at = lf + 1) {
      *lf = 0;
      take_wake_line(a, at);
    }
    a->wake_len = strlen(at);
    memmove(a->wake_part, at, a->wake_len);
    if (a->wake_len == sizeof a->wake_part - 1)
      a->wake_len = 0; /* no line is that long */
  } while (n == (ssize_t)(sizeof a->wake_part - 1) || total >= WAKE_MANY);
  if (total >= WAKE_MANY)
    command_wake_all(a);
}

struct poll_set {
  struct pollfd *p;
  struct command **of; /* the command of p[i] */
  int n, cap, files;   /* files: how many file operations, behind wake and link */
};

enum { SET_WAKE, SET_LINK, SET_OUT, SET_FILES }; /* SET_OUT: where the link writes, if that is another one */

static void fill_set(struct agent *a, struct poll_set *s)
{
  int need = SET_FILES + FILES_AT_ONCE + a->nlive;

  if (need > s->cap) {
    s->cap = need + 16;
    s->p = xrealloc(s->p, (size_t)s->cap * sizeof *s->p);
    s->of = xrealloc(s->of, (size_t)s->cap * sizeof *s->of);
  }
  s->p[SET_WAKE] = (struct pollfd){ a->wake, POLLIN, 0 };
  s->p[SET_LINK] = link_poll(&a->link);
  if (stdio_out() >= 0)
    s->p[SET_LINK].events &= (short)~POLLOUT;
  s->p[SET_OUT] = (struct pollfd){ stdio_out(), link_queued(&a->link) ? POLLOUT : 0, 0 };
  s->files = link_queued(&a->link) < LINK_OUT_FULL ? files_poll(&a->files, s->p + SET_FILES) : 0;
  s->n = SET_FILES + s->files;
  list_each(it, &a->commands) {
    struct command *c = list_of(it, struct command, node);
    if (c->pidfd < 0)
      continue;
    s->of[s->n] = c;
    s->p[s->n++] = (struct pollfd){ c->pidfd, POLLIN, 0 };
  }
}

static void wait(struct agent *a, struct poll_set *s, const sigset_t *mask)
{
  int64_t now = clock_mono_ms(), due = link_due(&a->link, now), ms;
  struct timespec t;

  if (a->ncommands && a->check_at < due)
    due = a->check_at;
  ms = due > now ? due - now : 0;
  t = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
  if (os_poll(s->p, (nfds_t)s->n, &t, mask) < 0)
    for (int i = 0; i < s->n; i++)
      s->p[i].revents = 0;
}

/* Commands whose minders poll told to be gone. A wake-up of the same turn may have removed some: so by name, not by pointer. */
static void look_at_minders(struct agent *a, const struct poll_set *s)
{
  for (int i = SET_FILES + s->files; i < s->n; i++)
    if (s->p[i].revents)
      list_each(it, &a->commands) {
        struct command *c = list_of(it, struct command, node);
        if (c == s->of[i] && c->pidfd == s->p[i].fd)
          command_minder_gone(a, c);
      }
}

static void keep_time(struct agent *a, int64_t now)
{
  if (now >= a->check_at) {
    a->check_at = now + CHECK_MS;
    command_check_all(a);
  }
  if (now >= a->retention_at) {
    a->retention_at = now + RETENTION_MS;
    command_retention_all(a);
    cgroup_tidy(&a->conf->confine, a->by_id);
  }
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
  if (a->conf->stdio && link_is(&a->link, LINK_WAIT))
    a->next = AGENT_ENDS; /* the master dials again */
}

/* Minders inherit these two; a program that starts anew has no use for them. */
static void inherited(struct agent *a, bool on)
{
  fcntl(a->wake_out, F_SETFD, on ? 0 : FD_CLOEXEC);
  fcntl(a->seen_fd, F_SETFD, on ? 0 : FD_CLOEXEC);
}

/* Becomes a program anew, as the master has asked. Returns where that failed: the agent goes on. */
static void become(struct agent *a)
{
  bool new = a->next == AGENT_BECOMES;

  log_info("worker", "%s; %d commands go on", new ? "becomes the program that the master has sent" : "starts anew, as the master has asked", a->nlive);
  link_end(&a->link, LINK_LOST, new ? "upgrade" : "restart", 0);
  agent_seen(a, false, false);
  files_forget(&a->files);
  command_detach_all(a);
  inherited(a, false);
  if (new)
    upgrade_become(&a->upgrade, a->next_sum);
  else
    upgrade_again(&a->upgrade);
  if (!new)
    log_error("worker", "%s can't be started anew: %s", a->upgrade.program, strerror(errno));
  inherited(a, true);
  a->next = AGENT_STAYS;
  tell_status(a);
}

static void loop(struct agent *a, const sigset_t *mask)
{
  struct poll_set s = { .cap = 0 };

  while (!got_stop && a->next != AGENT_STOPS && a->next != AGENT_ENDS) {
    int64_t now;
    fill_set(a, &s);
    wait(a, &s, mask);
    now = clock_mono_ms();
    if (s.p[SET_WAKE].revents)
      read_wake(a);
    look_at_minders(a, &s);
    files_turn(&a->files, s.p + SET_FILES, s.files, &a->link.out);
    if (s.p[SET_OUT].revents & (POLLERR | POLLNVAL) && !link_is(&a->link, LINK_WAIT))
      link_end(&a->link, LINK_LOST, NULL, 0);
    work_link(a, s.p[SET_LINK].revents, now);
    keep_time(a, now);
    if (a->conf->stdio && a->next == AGENT_AGAIN)
      link_end(&a->link, LINK_LOST, "restart", 0), a->next = AGENT_ENDS;
    else if (a->next == AGENT_AGAIN || a->next == AGENT_BECOMES)
      become(a);
  }
  free(s.p);
  free(s.of);
}

int agent_main(struct conf *c, const struct conf_given *given, char **argv)
{
  static struct agent a;
  sigset_t mask;
  int code;

  a.conf = c;
  a.given = given;
  a.dir = a.lock = a.spool = a.work = a.wake = a.wake_out = a.seen_fd = -1;
  if (!set_up(&a, &code))
    return code;
  upgrade_init(&a.upgrade, argv, a.dir, a.dir_path);
  set_signals(&mask);
  list_init(&a.commands);
  a.by_id = map_new();
  files_init(&a.files, a.work, &c->confine);
  link_init(&a.link, &c->token, &c->proxy);
  if (c->stdio) {
    link_on_stdio(&a.link);
    stdio_quiet();
  }
  inventory_scan(&a);
  cgroup_tidy(&c->confine, a.by_id);
  a.retention_at = clock_mono_ms() + RETENTION_MS;
  log_info("worker", "drover-worker %s in %s", worker_version, a.dir_path);
  if (a.why_none)
    log_info("worker", "control groups: %s", a.why_none);
  tell_status(&a);
  notify_send("READY=1"); /* a master that is away is no reason to say that the service failed */
  loop(&a, &mask);
  upgrade_stopped(&a.upgrade);
  notify_send("STOPPING=1");
  link_free(&a.link, "stop");
  agent_seen(&a, false, false);
  tell_status(&a);
  if (a.next == AGENT_ENDS) {
    log_info("worker", "the link by ssh is over; %d commands go on", a.nlive);
    return EXIT_STOPPED;
  }
  if (!got_stop) {
    log_info("worker", "stopped by the master; %d commands go on", a.nlive);
    return EXIT_TOLD;
  }
  log_info("worker", "stopped by signal %d; %d commands go on", (int)got_stop, a.nlive);
  return EXIT_STOPPED;
}
