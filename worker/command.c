/* The agent's view of one command.

   Happy path: folder and lock made, minder started, accepted; the minder wakes us for each chunk, we copy what credit allows;
   it writes the result and ends; we send that behind the last chunk and keep all until the master forgets.
   Failures: the minder dies: an undertaker settles it (undertaker.c). The agent dies: the next one adopts what it finds. */
#include "worker/command_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/minder.h"
#include "worker/os.h"
#include "worker/spec.h"

#ifndef COMMAND_ACK_STEP /* bytes after which an ack is written down and segments are looked at */
#define COMMAND_ACK_STEP (INT64_C(4) << 20)
#endif

extern char **environ;

static const struct sm_row rows[COMMAND_STATES] = {
  [COMMAND_LIVE] = { "live", SM_TO(COMMAND_ENDED) },
  [COMMAND_ENDED] = { "ended", 0 },
};

struct command *command_find(struct agent *a, struct id id)
{
  char name[STR_ID_MAX];
  return map_get(a->by_id, str_id_text(id, name));
}

static void make_streams(struct command *c, int n)
{
  free(c->stream);
  c->stream = xcalloc((size_t)n, sizeof *c->stream);
  c->nstreams = n;
  for (int i = 0; i < n; i++) {
    c->stream[i].sp = c->sp;
    c->stream[i].sp.stream = i;
    c->stream[i].resume_at = -1;
    segment_reader_init(&c->stream[i].log);
  }
}

static void take_input(struct command *c, const char *blob, size_t n)
{
  c->feed = spec_is_fed(blob, n) ? feed_new() : NULL;
  c->terminal = spec_has_terminal(blob, n);
}

static struct command *add(struct agent *a, struct id id, int streams)
{
  struct command *c = xcalloc(1, sizeof *c);

  c->id = id;
  c->pidfd = -1;
  c->sp.dir = a->spool;
  str_id_text(id, c->sp.cmd);
  sm_init(&c->sm, c->sp.cmd, rows, COMMAND_STATES, COMMAND_LIVE);
  make_streams(c, streams);
  list_push(&a->commands, &c->node);
  map_set(a->by_id, c->sp.cmd, c);
  a->ncommands++;
  a->nlive++;
  return c;
}

static void wake(struct command *c)
{
  for (int i = 0; i < c->nstreams; i++)
    c->stream[i].woken = true;
}

/* The only place where one ends to exist; its folder stays. */
static void drop(struct agent *a, struct command *c)
{
  map_set(a->by_id, c->sp.cmd, NULL);
  list_remove(&c->node);
  a->ncommands--;
  a->nlive -= c->sm.state == COMMAND_LIVE;
  command_close_logs(c);
  if (c->pidfd >= 0)
    close(c->pidfd);
  feed_free(c->feed);
  free(c->exit);
  free(c->stream);
  free(c);
}

/* ---- the minder ---- */

/* secrets: the pipe with them, or -1. */
static pid_t spawn(struct agent *a, const struct spool *sp, const char *mode, int cmd_fd, int ctl_fd, int secrets)
{
  char fds[5][16];
  int fd[5] = { cmd_fd, ctl_fd, a->wake_out, a->seen_fd, secrets };
  pid_t pid;

  for (int i = 0; i < 5; i++)
    snprintf(fds[i], sizeof fds[i], "%d", fd[i]);
  char *argv[] = { "drover-worker", "--minder", (char *)mode, a->spool_path, (char *)sp->cmd, a->work_path,
                   a->conf->path, fds[0], fds[1], fds[2], fds[3], fds[4], a->unshield ? "1" : "0", a->confine, NULL };
  _Static_assert(COUNT(argv) == MINDER_ARGS + 3, "argv of a minder");
  if (posix_spawn(&pid, os_self(), NULL, NULL, argv, environ))
    return -1;
  return pid;
}

static void close_fd(int fd)
{
  if (fd >= 0)
    close(fd);
}

enum err command_start(struct agent *a, struct id id, int64_t build, struct id epoch, int64_t limit, const char *blob, size_t n,
                       const struct secrets_held *secrets)
{
  struct spool sp = { .dir = a->spool };
  struct command *c;
  int cmd_fd, ctl_fd, pipe = secrets ? secrets_pipe(secrets->blob, secrets->n) : -1;
  pid_t pid;
  enum err e;

  if (a->nlive >= a->live_max || (secrets && pipe < 0)) {
    close_fd(pipe);
    return ERR_BUSY;
  }
  str_id_text(id, sp.cmd);
  ident_note(&a->ident, id);
  e = spool_create(&sp, a->nfree ? --a->nfree : -1, build, epoch, blob, n, &cmd_fd, &ctl_fd);
  if (e) {
    close_fd(pipe);
    return e;
  }
  e = spec_is_fed(blob, n) ? feed_make(&sp) : ERR_OK;
  pid = e ? -1 : spawn(a, &sp, "run", cmd_fd, ctl_fd, pipe);
  close_fd(pipe);
  close(cmd_fd);
  close(ctl_fd);
  if (pid < 0) {
    spool_remove(&sp);
    return e ? e : ERR_BUSY;
  }
  c = add(a, id, spec_streams(blob, n));
  c->pidfd = os_pidfd(pid);
  c->build = build;
  c->epoch = epoch;
  for (int i = 0; i < c->nstreams; i++) {
    c->stream[i].limit = limit;
    c->stream[i].sending = true;
  }
  c->this_boot = true;
  take_input(c, blob, n);
  c->plain = !secrets && c->nstreams == 1 && !c->feed;
  return ERR_OK;
}

/* Somebody has to settle it; lock: the flock, which goes to the undertaker. */
static void bury(struct agent *a, struct command *c, const char *mode, int lock)
{
  pid_t pid = spawn(a, &c->sp, mode, lock, lock, -1);

  for (int i = 0; i < c->nstreams && !c->settling; i++) { /* what may be cut is not read from meanwhile */
    struct command_stream *s = &c->stream[i];
    s->resume_at = s->sending ? s->log.off : -1;
    segment_reader_close(&s->log);
  }
  c->settling = true;
  c->plain = false;
  close(lock);
  if (c->pidfd >= 0)
    close(c->pidfd);
  c->pidfd = pid < 0 ? -1 : os_pidfd(pid); /* -1: tried again by command_check_all() */
}

static void end(struct agent *a, struct command *c, const struct spool_exit *x)
{
  c->exit = xmemdup(x, sizeof *x);
  c->report = spool_has_report(&c->sp);
  c->plain = c->plain && !c->report;
  wake(c);
  c->settling = false;
  if (c->pidfd >= 0)
    close(c->pidfd);
  c->pidfd = -1;
  a->nlive--;
  sm_move(&c->sm, COMMAND_ENDED);
  if (c->feed)
    feed_woken(a, c);
  if (c->forgotten)
    command_forget(a, c);
}

/* A result made under another boot counts only after the undertaker has looked at it. */
static bool is_this_boot(const struct agent *a, struct command *c)
{
  struct spool_started started;

  if (!c->this_boot)
    c->this_boot = spool_read_started(&c->sp, &started) || !strcmp(started.boot, a->boot);
  return c->this_boot;
}

/* Is there a result, or nobody to write one? */
static void look(struct agent *a, struct command *c)
{
  struct spool_exit x;
  int lock;

  if (c->sm.state != COMMAND_LIVE)
    return;
  if (!spool_read_exit(&c->sp, &x) && is_this_boot(a, c)) {
    end(a, c, &x);
    return;
  }
  lock = spool_lock(&c->sp);
  if (lock < 0)
    return;
  /* Between the two looks a minder may have written its result and ended. */
  if (!spool_read_exit(&c->sp, &x) && is_this_boot(a, c)) {
    close(lock);
    end(a, c, &x);
    return;
  }
  log_warn("command", "%s: its minder is gone", c->sp.cmd);
  bury(a, c, is_this_boot(a, c) ? "lost" : "boot", lock);
}

void command_minder_gone(struct agent *a, struct command *c)
{
  close(c->pidfd);
  c->pidfd = -1;
  look(a, c);
}

static void watch(struct command *c)
{
  struct spool_started started;

  if (!spool_read_started(&c->sp, &started) && started.pid > 0)
    c->pidfd = os_pidfd((pid_t)started.pid);
}

void command_adopt(struct agent *a, struct id id)
{
  struct spool_cmd cmd = { .blob = NULL };
  struct command *c = add(a, id, 1);
  int lock = spool_lock(&c->sp), fd;
  struct spool_started started;
  enum err e = spool_read_started(&c->sp, &started);

  if (lock == -2 || (lock >= 0 && e == ERR_NOTFOUND)) { /* never received */
    log_info("command", "%s was never received: removed", c->sp.cmd);
    if (lock >= 0)
      close(lock);
    spool_remove(&c->sp);
    drop(a, c);
    return;
  }
  fd = lock >= 0 ? lock : spool_open(&c->sp, "cmd", O_RDONLY | O_CLOEXEC);
  e = spool_read_cmd(&c->sp, fd, &cmd);
  if (e)
    log_error("command", "%s: its files can't be read: %s", c->sp.cmd, err_text(e));
  c->build = cmd.build;
  c->epoch = cmd.epoch;
  if (cmd.blob) {
    make_streams(c, spec_streams(cmd.blob, cmd.blob_len));
    take_input(c, cmd.blob, cmd.blob_len);
  }
  spool_read_epoch(&c->sp, &c->epoch);
  free(cmd.blob);
  close(fd);
  if (lock < 0)
    watch(c);
  look(a, c);
  for (int i = 0; i < c->nstreams; i++) {
    struct command_stream *s = &c->stream[i];
    s->acked = spool_read_ack(&s->sp);
    e = segment_seek(&s->sp, &s->log, INT64_MAX, &s->lo);
    if (e)
      log_error("command", "%s: its log can't be read: %s", c->sp.cmd, err_text(e));
    s->many = s->log.start > s->lo;
    segment_reader_close(&s->log);
  }
}

/* ---- what the master says ---- */

void command_tell(struct agent *a, struct command *c, const char *line)
{
  int fd;

  (void)a;
  if (c->sm.state != COMMAND_LIVE)
    return;
  fd = spool_open(&c->sp, "ctl", O_WRONLY | O_NONBLOCK | O_CLOEXEC | OS_FIFO);
  if (fd < 0)
    return; /* the minder is gone: that is noticed elsewhere */
  if (write(fd, line, strlen(line)) < 0)
    log_warn("command", "%s: its minder takes no orders: %s", c->sp.cmd, strerror(errno));
  close(fd);
}

void command_set_epoch(struct command *c, struct id epoch)
{
  if (str_id_cmp(epoch, c->epoch) <= 0)
    return;
  c->epoch = epoch;
  c->plain = false;
  spool_write_epoch(&c->sp, epoch);
}

enum err command_resume(struct agent *a, struct command *c, int stream, int64_t off, int64_t limit)
{
  struct command_stream *s = &c->stream[stream];
  enum err e = ERR_OK;

  (void)a;
  s->sending = false;
  s->resume_at = c->settling ? off : -1;
  if (!c->settling)
    e = segment_seek(&s->sp, &s->log, off, &s->lo);
  if (e) {
    segment_reader_close(&s->log);
    return e;
  }
  if (!c->settling)
    command_note_sent(s);
  s->limit = limit;
  s->sending = s->woken = true;
  s->stalled = c->exit_sent = false;
  return ERR_OK;
}

static size_t keep_segments(void)
{
  const char *given = getenv("DROVER_TEST_KEEP_SEGMENTS");
  int64_t n;

  return given && !str_number(given, strlen(given), &n) ? (size_t)n : COMMAND_KEEP_SEGMENTS;
}

static void drop_acked(struct command_stream *s)
{
  int64_t *starts, freed, old = s->acked_ago[COMMAND_ACK_MINUTES - 1];
  size_t n = segment_list(&s->sp, &starts), acked = 0;

  while (acked + 1 < n && starts[acked + 1] <= s->acked)
    acked++;
  for (size_t i = 0; i < acked; i++) {
    if (starts[i + 1] > old && acked - i <= keep_segments())
      break;
    if (segment_drop(&s->sp, &freed))
      break;
    s->lo = starts[i + 1];
  }
  s->many = n > 1;
  free(starts);
}

/* For the minder, which may be waiting for it. What can't be written now, since the disk is full, is written by and by (command_retention_all): there may be no other ack. */
static void note_acked(struct command_stream *s)
{
  if (s->acked > s->ack_written && !spool_write_ack(&s->sp, s->acked))
    s->ack_written = s->acked;
}

void command_ack(struct command *c, int stream, int64_t off, int64_t limit)
{
  struct command_stream *s = &c->stream[stream];

  s->limit = limit;
  s->stalled = false;
  if (off <= s->acked)
    return;
  s->acked = off;
  if (!s->many || s->acked - s->ack_written < COMMAND_ACK_STEP)
    return;
  note_acked(s);
  drop_acked(s);
}

/* Whether its folder can serve another command. What was not all sent may be in more segments than were ever looked at. */
static bool is_plain(const struct command *c)
{
  int64_t *starts;
  size_t n;

  if (!c->plain || c->stream->many || c->stream->log.off == c->exit->len)
    return c->plain && !c->stream->many;
  n = segment_list(&c->sp, &starts);
  free(starts);
  return n <= 1;
}

void command_forget(struct agent *a, struct command *c)
{
  if (c->sm.state == COMMAND_LIVE) {
    c->forgotten = true;
    command_stop_sending(c);
    command_tell(a, c, "kill 0 " SPOOL_FORGET "\n");
    return;
  }
  if (is_plain(c) && a->nfree < SPOOL_FREE_MAX && spool_retire(&c->sp, a->nfree, c->exit->len > 0))
    a->nfree++;
  else
    spool_remove(&c->sp);
  drop(a, c);
}

const char *command_state_name(const struct command *c)
{
  struct spool_started started;

  if (c->sm.state == COMMAND_ENDED)
    return strcmp(c->exit->how, "lost") ? "done" : "lost";
  return spool_read_started(&c->sp, &started) == ERR_NOTFOUND ? "accepted" : "running";
}

int64_t command_end(const struct command *c, int stream)
{
  struct segment_reader r;
  int64_t lo;

  if (c->exit)
    return command_stream_len(c->exit, stream);
  segment_reader_init(&r);
  if (segment_seek(&c->stream[stream].sp, &r, INT64_MAX, &lo)) /* then as far as could be read */
    log_error("command", "%s: its log can't be read", c->sp.cmd);
  segment_reader_close(&r);
  return r.off;
}

/* ---- events ---- */

void command_woken(struct agent *a, const char *name, bool ended)
{
  struct command *c = map_get(a->by_id, name);

  if (!c)
    return;
  wake(c);
  if (c->feed)
    feed_woken(a, c);
  if (ended)
    look(a, c);
}

void command_wake_all(struct agent *a)
{
  list_each(it, &a->commands) {
    struct command *c = list_of(it, struct command, node);
    wake(c);
    if (c->feed)
      feed_woken(a, c);
    look(a, c);
  }
}

void command_check_all(struct agent *a)
{
  list_each(it, &a->commands) {
    struct command *c = list_of(it, struct command, node);
    if (c->sm.state != COMMAND_LIVE || c->pidfd >= 0)
      continue;
    watch(c);
    look(a, c);
  }
}

void command_retention_all(struct agent *a)
{
  list_each(it, &a->commands) {
    struct command *c = list_of(it, struct command, node);
    for (int i = 0; i < c->nstreams; i++) {
      struct command_stream *s = &c->stream[i];
      memmove(s->acked_ago + 1, s->acked_ago, sizeof s->acked_ago - sizeof *s->acked_ago);
      s->acked_ago[0] = s->acked;
      if (!s->many)
        continue;
      note_acked(s);
      drop_acked(s);
    }
  }
}
