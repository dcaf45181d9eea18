/* The minder of one command.

   Happy path: read the spooled command, make its folders, write `started`, start the process, copy its output into the log's
   segments, and when the process has ended and its output too, write the result and wake the agent.
   Failures: no such program: a result with how `failed`. Spool full: stop reading, the process blocks, timers stand still.
   A time is over, a kill from the agent: the ladder below. SIGTERM (the host stops): the same, and the result is `lost`.
   The agent away: nothing changes. An I/O error of the spool: the tree is ended, the result is `lost`, reason `spool`.

     run ──▶ linger ──▶ term ──▶ kill ──▶ drain ──▶ end    linger: the main process ended, others hold its output
      │         └───────────────▲  ▲       ▲               term: SIGTERM was sent, grace runs
      ├───────▶ term ───────────┘  │       │               kill: SIGKILL again and again
      └────────────────────────────┴───────┘               drain: nothing of it runs, what is left of its files is read
                                                           sleeps in all but end */
#include "worker/minder_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/scan.h"
#include "worker/cgroup.h"
#include "worker/notice.h"
#include "worker/os.h"
#include "worker/report.h"
#include "worker/secret_files.h"
#include "worker/slot.h"
#include "worker/terminal.h"
#include "worker/tree.h"

enum {
  SYNC_FROM_MS = 1000,      /* a command that took so long is on the disk before its end is told */
  BLOCKED_RETRY_MS = 200,
  SWEEP_MS = 20,            /* between two rounds of SIGKILL */
  SWEEP_SLOW_MS = 500,      /* the same after SWEEP_FAST_ROUNDS: something can't die (a hung disk) */
  SWEEP_FAST_ROUNDS = 100,
  ALONE_LOOK_MS = 30000,    /* poll's clock stands still while the host sleeps, so look at the real one now and then */
  GROUP_ROUNDS = 10,        /* in each so-manieth round the tree is walked although its group is not empty yet: something may have left it */
  SHUTDOWN_GRACE_MS = 5000, /* a stopping host doesn't wait for long */
  DRAIN_ROUNDS = 64,        /* of MINDER_READ at the very end, when something foreign still writes */
};

enum { M_RUN, M_LINGER, M_TERM, M_KILL, M_DRAIN, M_END, M_STATES };
static const struct sm_row rows[M_STATES] = {
  [M_RUN] = { "run", SM_TO(M_LINGER) | SM_TO(M_TERM) | SM_TO(M_KILL) | SM_TO(M_DRAIN) },
  [M_LINGER] = { "linger", SM_TO(M_TERM) | SM_TO(M_KILL) | SM_TO(M_DRAIN) },
  [M_TERM] = { "term", SM_TO(M_KILL) | SM_TO(M_DRAIN) },
  [M_KILL] = { "kill", SM_TO(M_DRAIN) },
  [M_DRAIN] = { "drain", SM_TO(M_END) },
  [M_END] = { "end", 0 },
};

static struct minder self; /* zero, and its 64 KiB are not touched before there is output */
static volatile sig_atomic_t got_child, got_term;

static void on_signal(int sig)
{
  if (sig == SIGCHLD)
    got_child = 1;
  else
    got_term = 1;
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t after(int64_t from, int64_t ms) { return ms <= 0 || ms > NEVER - from ? NEVER : from + ms; }

/* ---- the ladder ---- */

/* The only writer of the state. */
static void enter(struct minder *m, int state, int64_t grace)
{
  int64_t now = clock_mono_ms();

  sm_move(&m->sm, state);
  switch (state) {
  case M_LINGER:
    m->step_at = after(now, max64(grace, 1));
    break;
  case M_TERM:
    tree_end(getpid());
    m->step_at = after(now, max64(grace, 1));
    break;
  case M_KILL:
    m->step_at = now;
    break;
  case M_DRAIN:
    m->step_at = now + FOLLOW_END_MS;
    break;
  }
}

/* Ends the tree, or the reading of its files. The first reason counts, and none when the main process had ended by itself. Where there is a longest time, nobody has more than that to think of it. */
static void end_tree(struct minder *m, const char *reason, int64_t grace)
{
  int64_t now = clock_mono_ms();

  if (m->confine.most_ms)
    grace = min64(grace, m->confine.most_ms);
  m->hurry = true;
  if (!m->main_ended && !strcmp(m->exit.reason, "-"))
    snprintf(m->exit.reason, sizeof m->exit.reason, "%s", reason);
  if (m->sm.state == M_TERM)
    m->step_at = min64(m->step_at, after(now, max64(grace, 1)));
  else if (m->sm.state < M_TERM)
    enter(m, grace > 0 ? M_TERM : M_KILL, grace);
  else if (m->sm.state == M_DRAIN)
    follows_stop(&m->logs);
}

/* A round of SIGKILL. By its group it takes no time, whatever the command forks meanwhile; what is in no group is found in the round in which that is empty. */
static void kill_all(struct minder *m)
{
  if (++m->rounds % GROUP_ROUNDS && m->group >= 0 && cgroup_kill(m->group))
    return;
  if (!child_kill(&m->child))
    tree_kill(getpid());
}

static void step_ladder(struct minder *m, int64_t now)
{
  if (m->sm.state == M_LINGER && m->none_left) {
    enter(m, M_DRAIN, 0); /* what holds the output is none of ours */
  } else if (m->sm.state == M_DRAIN) {
    m->step_at = NEVER;
    follows_stop(&m->logs);
  } else if (m->sm.state == M_KILL) {
    kill_all(m);
    m->step_at = now + (m->rounds > SWEEP_FAST_ROUNDS ? SWEEP_SLOW_MS : SWEEP_MS);
  } else {
    enter(m, M_KILL, 0);
  }
}

/* ---- the spool ---- */

/* The first time that the spool can't be written. */
static void look_spool(struct minder *m)
{
  if (m->broken || (!m->out.broken && !follows_broken(&m->logs)))
    return;
  m->broken = true;
  if (m->sm.state != M_END)
    end_tree(m, "spool", m->spec.grace_ms);
}

static void block(struct minder *m, int64_t now)
{
  m->retry_at = now + BLOCKED_RETRY_MS;
  if (m->blocked)
    return;
  m->blocked = true;
  m->blocked_since = now;
}

static void unblock(struct minder *m, int64_t now)
{
  int64_t lost = now - m->blocked_since;

  m->blocked = false;
  m->retry_at = NEVER;
  if (m->idle_at != NEVER)
    m->idle_at += lost;
  if (m->total_at != NEVER)
    m->total_at += lost;
  if ((m->sm.state == M_LINGER || m->sm.state == M_DRAIN) && m->step_at != NEVER)
    m->step_at += lost;
}

/* The ladder goes on: but nobody is killed for output that we don't read, and no file left out. */
static bool climbing(const struct minder *m)
{
  return m->sm.state == M_TERM || m->sm.state == M_KILL || ((m->sm.state == M_LINGER || m->sm.state == M_DRAIN) && !m->blocked);
}

/* Times of the whole of it run. */
static bool timed(const struct minder *m) { return m->sm.state == M_RUN || m->sm.state == M_DRAIN; }

/* Reads once from one of the two pipes. False: nothing there now. */
static bool read_output(struct minder *m, int *fd, unsigned channel, int64_t now)
{
  ssize_t n = read(*fd, m->in, sizeof m->in);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return false;
  if (n <= 0) {
    close(*fd);
    *fd = -1;
    if (!output_let_go(&m->out, channel, now))
      block(m, now);
    return false;
  }
  if (m->idle_at != NEVER)
    m->idle_at = after(now, m->spec.idle_ms);
  if (!output_take(&m->out, channel, m->in, (size_t)n, now))
    block(m, now);
  return true;
}

static void retry_blocked(struct minder *m, int64_t now)
{
  if (m->sm.state == M_DRAIN)
    return; /* its files are looked at in follows_tick() */
  m->retry_at = now + BLOCKED_RETRY_MS;
  if (output_room(&m->out, now))
    unblock(m, now);
}

/* ---- events ---- */

static void note_end(struct minder *m)
{
  int status = m->child.status;
  const struct os_used *used = &m->child.used;

  m->main_ended = true;
  m->main_end = clock_mono_ms();
  snprintf(m->exit.how, sizeof m->exit.how, WIFSIGNALED(status) ? "signaled" : "exited");
  m->exit.code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  m->exit.wall_ms = m->main_end - m->start;
  m->exit.user_ms = used->user_ms;
  m->exit.sys_ms = used->sys_ms;
  m->exit.maxrss_kib = used->maxrss_kib;
}

/* Orphans of the command become ours before we hear of their parent's end: no child left means no descendant left. */
static void reap(struct minder *m)
{
  struct os_used used;
  int status;
  pid_t pid;

  got_child = 0;
  while ((pid = os_reap(&status, &used)) > 0)
    if (child_reaped(&m->child, pid, status, &used))
      note_end(m);
  m->none_left = pid < 0 && errno == ECHILD && !os_orphans();
}

static void take_ctl(struct minder *m, const char *line)
{
  char word[SPOOL_WORD_MAX];
  long long grace;
  int on, number;

  if (scan(line, "kill %lld %15s", &grace, word) == 2) {
    if (!strcmp(word, SPOOL_FORGET)) { /* what can't be written holds up nobody any more */
      m->out.broken = true;
      follows_throw_away(&m->logs);
    }
    end_tree(m, word, grace);
  } else if (scan(line, "signal %d", &number) == 1) {
    child_signal(&m->child, number);
  } else if (scan(line, "follow %d", &on) == 1) {
    output_follow(&m->out, on);
    follows_often(&m->logs, on);
  } else if (m->spec.terminal && str_starts(line, "resize ")) {
    terminal_resize(m->child.out, line + strlen("resize "));
  }
}

static void read_ctl(struct minder *m)
{
  ssize_t n = read(m->args->ctl_fd, m->ctl + m->ctl_len, sizeof m->ctl - m->ctl_len - 1);
  char *at = m->ctl, *lf;

  if (n <= 0)
    return;
  m->ctl_len += (size_t)n;
  m->ctl[m->ctl_len] = 0;
  for (; (lf = strchr(at, '\n')); at = lf + 1) {
    *lf = 0;
    take_ctl(m, at);
  }
  m->ctl_len = strlen(at);
  memmove(m->ctl, at, m->ctl_len);
  if (m->ctl_len == sizeof m->ctl - 1)
    m->ctl_len = 0; /* no line of ours is that long */
}

static void look_alone(struct minder *m, int64_t now)
{
  int64_t boot = clock_boot_ms();
  struct notice_seen seen;

  if (notice_read(m->args->seen_fd, &seen) && seen.at_ms <= boot)
    m->seen = max64(m->seen, seen.at_ms);
  if (boot - m->seen >= m->spec.alone_ms) {
    m->alone_at = NEVER;
    end_tree(m, "alone", m->spec.grace_ms);
  } else {
    m->alone_at = now + min64(ALONE_LOOK_MS, m->spec.alone_ms - (boot - m->seen));
  }
}

/* What is left of its files goes on as there is room for it. */
static void look_held(struct minder *m, int64_t now)
{
  bool held = follows_held(&m->logs);

  if (held && m->hurry)
    follows_stop(&m->logs);
  else if (held)
    block(m, now);
  else if (m->blocked)
    unblock(m, now);
}

/* After the main process: what is next. */
static void settle(struct minder *m)
{
  bool silent = m->child.out < 0 && m->child.err < 0 && !output_held(&m->out);
  int64_t rest = m->spec.grace_ms - (clock_mono_ms() - m->main_end);

  if (m->sm.state == M_DRAIN && follows_over(&m->logs))
    enter(m, M_END, 0);
  if (!m->main_ended || m->sm.state >= M_DRAIN)
    return;
  if (m->none_left && (silent || m->sm.state == M_TERM || m->sm.state == M_KILL))
    enter(m, M_DRAIN, 0);
  else if (silent && m->sm.state < M_TERM)
    enter(m, M_TERM, rest);
  else if (m->sm.state == M_RUN && !m->blocked)
    enter(m, M_LINGER, rest);
}

static void tick(struct minder *m, int64_t now)
{
  if (now >= m->out.close_at && !output_close(&m->out, true))
    block(m, now);
  if (now >= m->out.sync_at)
    output_sync(&m->out);
  if (m->blocked && now >= m->retry_at)
    retry_blocked(m, now);
  for (unsigned i = 0; i < VEIL_CHANNELS; i++)
    if (!m->blocked && now >= m->out.veil.due[i] && !output_let_go(&m->out, i, now))
      block(m, now);
  if (follows_tick(&m->logs, now) && m->idle_at != NEVER)
    m->idle_at = after(now, m->spec.idle_ms);
  if (m->sm.state == M_DRAIN)
    look_held(m, now);
  look_spool(m);
  if (m->sm.state == M_RUN && !m->blocked && now >= m->idle_at)
    end_tree(m, "idle", m->spec.grace_ms);
  if (timed(m) && !m->blocked && now >= m->total_at)
    end_tree(m, "total", m->spec.grace_ms);
  if (timed(m) && now >= m->alone_at)
    look_alone(m, now);
  if (now >= m->most_at) {
    m->most_at = NEVER;
    end_tree(m, "total", m->spec.grace_ms);
  }
  if (climbing(m) && now >= m->step_at)
    step_ladder(m, now);
}

static int64_t next_due(const struct minder *m)
{
  int64_t at = follows_due(&m->logs, min64(m->most_at, min64(m->out.close_at, m->out.sync_at)));

  if (os_orphans_ms && m->main_ended && !m->none_left)
    at = min64(at, clock_mono_ms() + os_orphans_ms);
  if (timed(m))
    at = min64(at, m->alone_at);
  if (climbing(m))
    at = min64(at, m->step_at);
  if (m->blocked)
    return min64(at, m->retry_at);
  at = min64(at, min64(m->out.veil.due[0], m->out.veil.due[1]));
  if (timed(m))
    at = min64(at, m->total_at);
  return m->sm.state == M_RUN ? min64(at, m->idle_at) : at;
}

static void turn(struct minder *m)
{
  enum { CTL, OUT, ERR, JAIL, IN, FDS = IN + INPUT_POLLS };
  struct pollfd p[FDS] = { [CTL] = { m->args->ctl_fd, POLLIN, 0 },
                           [OUT] = { m->blocked ? -1 : m->child.out, POLLIN, 0 },
                           [ERR] = { m->blocked ? -1 : m->child.err, POLLIN, 0 },
                           [JAIL] = { m->child.jail, POLLIN, 0 } };
  int64_t now = clock_mono_ms(), due = next_due(m), wait = due - now;
  struct timespec t = { wait > 0 ? wait / 1000 : 0, wait > 0 ? wait % 1000 * 1000000 : 0 };
  sigset_t none;
  int n;

  input_poll(&m->input, p + IN);
  sigemptyset(&none);
  n = os_poll(p, FDS, due == NEVER ? NULL : &t, &none);
  now = clock_mono_ms();
  if (n > 0 && p[JAIL].revents && child_told(&m->child))
    note_end(m);
  if (got_child || (os_orphans_ms && m->main_ended && !m->none_left))
    reap(m);
  if (got_term) {
    got_term = 0;
    end_tree(m, "shutdown", min64(m->spec.grace_ms, SHUTDOWN_GRACE_MS));
  }
  if (n > 0) {
    if (p[CTL].revents)
      read_ctl(m);
    if (p[OUT].revents)
      read_output(m, &m->child.out, 0, now);
    if (p[ERR].revents && !m->blocked)
      read_output(m, &m->child.err, 1, now);
    input_turn(&m->input, p + IN);
  }
  tick(m, now);
  settle(m);
}

/* ---- start and end ---- */

/* Also hears that nobody wants it any more. */
void minder_wait_for_room(void)
{
  struct pollfd ctl = { self.args->ctl_fd, POLLIN, 0 };

  if (poll(&ctl, 1, BLOCKED_RETRY_MS) > 0)
    read_ctl(&self);
}

static void push_all(struct minder *m, int64_t now)
{
  while (!output_push(&m->out, now))
    minder_wait_for_room();
}

/* Everything of the command has ended. What is still in the pipes is the last of its output; its files may take longer. */
static void drain(struct minder *m)
{
  int *fds[] = { &m->child.out, &m->child.err };
  int64_t now = clock_mono_ms();

  block(m, now); /* no time is over for what waits for the disk here */
  for (unsigned i = 0; i < COUNT(fds); i++)
    for (int rounds = 0; *fds[i] >= 0 && rounds < DRAIN_ROUNDS; rounds = read_output(m, fds[i], i, now) ? rounds + 1 : DRAIN_ROUNDS)
      push_all(m, now);
  for (unsigned i = 0; i < VEIL_CHANNELS; i++) {
    push_all(m, now);
    if (!output_let_go(&m->out, i, now))
      block(m, now);
  }
  output_end(&m->out, minder_wait_for_room);
  for (unsigned i = 0; i < COUNT(fds); i++)
    if (*fds[i] >= 0)
      close(*fds[i]);
  m->child.out = m->child.err = -1;
  unblock(m, clock_mono_ms());
  if (m->spec.nsecrets)
    secret_files_remove(&m->sp);
  follows_end(&m->logs, now, minder_wait_for_room);
  look_spool(m);
  settle(m); /* without files that is all */
  while (m->sm.state != M_END)
    turn(m);
}

/* What its group can tell of its end, and its group's own. */
static void leave_group(struct minder *m)
{
  if (m->group >= 0 && m->main_ended && cgroup_starved(m->group))
    snprintf(m->exit.text, sizeof m->exit.text, "out of memory: it took more than memory=%lldM of worker.conf's limits", (long long)m->confine.limit[CONFINE_MEMORY] >> 20);
  if (m->group >= 0)
    cgroup_end(&m->confine, m->sp.cmd, m->group);
}

static int finish(struct minder *m)
{
  bool sync = clock_mono_ms() - m->start >= SYNC_FROM_MS || !notice_master_there(m->args->wake_fd, m->args->seen_fd);
  enum err e = ERR_OK;

  if (m->uid && !m->child.jailed)
    slot_sweep(m->uid);
  leave_group(m);
  if (m->spec.report && m->main_ended)
    while ((e = report_take(m->args->work, m->uid, m->spec.report, m->out.veil.mask, &m->sp, sync)) == ERR_NOSPACE && !m->hurry)
      minder_wait_for_room();
  if (m->spec.nsecrets)
    secret_files_remove(&m->sp);
  if (sync && !m->broken && (segment_sync(&m->out.log) || !follows_sync(&m->logs)))
    m->broken = true;
  m->broken |= e && e != ERR_NOSPACE;
  if (m->broken)
    snprintf(m->exit.reason, sizeof m->exit.reason, "spool");
  if (m->broken || !strcmp(m->exit.reason, "shutdown"))
    snprintf(m->exit.how, sizeof m->exit.how, "lost");
  m->exit.len = m->out.log.off;
  m->exit.crc = m->out.log.crc;
  m->exit.lines = m->out.log.lines;
  m->exit.left_bytes = m->out.left_bytes;
  m->exit.left_lines = m->out.left_lines;
  if (strcmp(m->exit.how, "failed"))
    follows_tell(&m->logs, &m->exit);
  while ((e = spool_write_exit(&m->sp, &m->exit, sync)) == ERR_NOSPACE)
    minder_wait_for_room();
  if (e) {
    log_error("minder", "%s: no result: %s", m->sp.cmd, err_text(e));
    return 1; /* the agent finds the minder gone and settles it */
  }
  close(m->args->ctl_fd); /* once we told, the folder may serve another command: no lock and no order may be left */
  close(m->args->cmd_fd);
  notice_wake(m->args->wake_fd, m->sp.cmd, true);
  return 0;
}

static int fail(struct minder *m, int number, const char *doing, const char *what)
{
  const char *why = number == EXDEV ? "it is outside the work folder" : slot_text(number);

  snprintf(m->exit.how, sizeof m->exit.how, "failed");
  snprintf(m->exit.reason, sizeof m->exit.reason, "start");
  snprintf(m->exit.text, sizeof m->exit.text, "%s %.800s: %s", doing, what, why ? why : strerror(number));
  m->exit.code = number;
  return finish(m);
}

static void set_signals(void)
{
  struct sigaction handle = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
  sigset_t block;

  sigemptyset(&block);
  sigaddset(&block, SIGCHLD);
  sigaddset(&block, SIGTERM);
  sigprocmask(SIG_SETMASK, &block, NULL); /* both arrive only inside os_poll */
  sigaction(SIGCHLD, &handle, NULL);
  sigaction(SIGTERM, &handle, NULL);
  sigaction(SIGHUP, &ignore, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  sigaction(SIGINT, &ignore, NULL);
}

void minder_set_timers(struct minder *m)
{
  m->start = m->out.start = clock_mono_ms();
  m->idle_at = after(m->start, m->spec.idle_ms);
  m->most_at = after(m->start, m->confine.most_ms);
  m->total_at = after(m->start, m->spec.total_ms);
  m->alone_at = m->spec.alone_ms ? m->start + min64(ALONE_LOOK_MS, m->spec.alone_ms) : NEVER;
  m->retry_at = m->step_at = NEVER;
}

static int run(struct minder *m)
{
  const char *doing, *what;
  int e = minder_begin(m, &doing, &what);

  if (e)
    return fail(m, e, doing, what);
  if (m->values && !output_warn(&m->out, m->start))
    block(m, m->start);
  while (m->sm.state < M_DRAIN)
    turn(m);
  drain(m);
  return finish(m);
}

int minder_main(const struct minder_args *a)
{
  struct minder *m = &self;

  m->args = a;
  m->child = (struct child){ .pid = -1, .out = -1, .err = -1, .in = -1, .jail = -1 };
  m->sp.dir = AT_FDCWD;
  m->group = -1;
  snprintf(m->sp.cmd, sizeof m->sp.cmd, "%s", a->cmd);
  snprintf(m->exit.reason, sizeof m->exit.reason, "-");
  setsid();
  os_subreaper();
  set_signals();
  if (chdir(a->spool)) {
    log_error("minder", "%s: %s: %s", a->cmd, a->spool, strerror(errno));
    return 1;
  }
  if (strcmp(a->mode, "run"))
    return undertaker_main(a, &m->sp);
  if (spool_read_cmd(&m->sp, a->cmd_fd, &m->cmd)) {
    log_error("minder", "%s: the command can't be read back", a->cmd);
    return 1;
  }
  if (confine_read(&m->confine, a->confine)) {
    log_error("minder", "%s: what confines it can't be read: %s", a->cmd, a->confine);
    return 1; /* it is not run at all */
  }
  sm_init(&m->sm, a->cmd, rows, M_STATES, M_RUN);
  output_init(&m->out, &m->sp, a->wake_fd);
  input_init(&m->input, &m->sp, a->wake_fd);
  m->seen = clock_boot_ms();
  spec_load(&m->spec, m->cmd.blob, m->cmd.blob_len, a->work, a->path, a->cmd);
  output_limit(&m->out, m->spec.limit_bytes, m->spec.limit_lines);
  if ((m->spec.nsecrets || a->secrets_fd >= 0) && !minder_take_secrets(m))
    return 1;
  return run(m);
}
