/* Drives drover-git-helper: a queue of requests, at most `max` processes, each with a deadline.
   Happy path: spawn, write the request, read the answer to its end, the process exits 0, call back.
   Failures: it can't be started; silent for too long or too much output: killed; ended by a signal or without the whole answer: its
   stderr goes into the sentence. A request counts as over when the process has exited and both its outputs are at their end.

     queued ──▶ running ──▶ ended        a request that can't be asked goes from queued to ended
                   └▶ killed ──▲
 */
#include "master/changes/githelper.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/list.h"
#include "common/log.h"
#include "common/map.h"
#include "common/sm.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/changes/gitresult.h"
#include "master/changes/gitturn.h"
#include "master/changes/gitwire.h"
#include "proto/records.h"

enum { STDERR_MAX = 4096, READ_BYTES = 65536, KNOWN_DIGITS = 40, LOGIN_ROOM = 32768 };

enum ask_state { ASK_QUEUED, ASK_RUNNING, ASK_KILLED, ASK_ENDED, ASK_STATES };

static const struct sm_row ask_rows[ASK_STATES] = {
  [ASK_QUEUED] = { "queued", SM_TO(ASK_RUNNING) | SM_TO(ASK_ENDED) },
  [ASK_RUNNING] = { "running", SM_TO(ASK_KILLED) | SM_TO(ASK_ENDED) },
  [ASK_KILLED] = { "killed", SM_TO(ASK_ENDED) },
  [ASK_ENDED] = { "ended", 0 },
};

struct gith {
  uv_loop_t *loop;
  char *program, *mirrors;
  int max, running, doubtful; /* doubtful: running ones whose remote is not known to answer */
  int64_t deadline_ms;
  struct list asks;           /* queued and running, in the order they came */
  struct map *standing;       /* struct git_standing of each remote, by name of the mirror */
  uv_timer_t kick;            /* the next turn of the loop: start what may start; or when somebody must make room */
  bool closing, kick_closed;
  void (*done)(void *arg);
  void *done_arg;
};

/* One request. */
struct ask {
  struct list node;
  struct gith *g;
  struct sm sm;
  char *name;
  struct git_standing *standing;
  bool doubtful;
  enum err err;               /* why it was refused or killed */
  char *why;
  gith_cb *cb;
  void *arg;

  struct buf request, answer, errors;
  char errors_spill[512];     /* of stderr past its limit */
  uv_process_t process;
  uv_pipe_t in, out, err_out;
  uv_timer_t timer;
  uv_write_t write;
  int64_t started_ms, heard_ms; /* uv_now; the last sign of life */
  int open;                   /* handles not yet closed */
  int64_t exit_status;
  int exit_signal;
};

static void kick(struct gith *g);
static void on_kick(uv_timer_t *t);

static void ask_enter(struct ask *a, enum ask_state next)
{
  sm_move(&a->sm, next);
}

/* ---- the end of a request ---- */

static void ask_free(struct ask *a)
{
  list_remove(&a->node);
  if (a->request.data)
    mem_wipe(a->request.data, a->request.len);
  buf_free(&a->request);
  buf_free(&a->answer);
  buf_free(&a->errors);
  free(a->name);
  free(a->why);
  free(a);
}

static void end_if_closed(struct gith *g)
{
  void *standing;

  if (!g->closing || !g->kick_closed || !list_empty(&g->asks))
    return;
  g->done(g->done_arg);
  for (size_t at = 0; (standing = map_next(g->standing, &at));)
    free(standing);
  map_free(g->standing);
  free(g->program);
  free(g->mirrors);
  free(g);
}

static void refuse(struct ask *a, enum err e, char *why)
{
  if (a->why) {
    free(why);
    return;
  }
  a->err = e;
  a->why = why;
}

/* Without a whole answer: say what became of the process. */
static void explain(struct ask *a, const char *parse_why)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  if (a->exit_signal == SIGXCPU)
    buf_adds(&text, "the git helper used up its processor time");
  else if (a->exit_signal)
    buf_addf(&text, "the git helper was ended by signal %d", a->exit_signal);
  else if (a->exit_status)
    buf_addf(&text, "the git helper ended with exit code %d", (int)a->exit_status);
  else
    buf_adds(&text, parse_why);
  if (a->errors.len) {
    buf_adds(&text, ": ");
    utf8_clean(&text, a->errors.data, a->errors.len, true);
  }
  refuse(a, ERR_FAILED, buf_take(&text));
}

static void note_standing(struct ask *a)
{
  if (a->err == ERR_TIMEOUT || a->sm.state == ASK_RUNNING)
    gitturn_note(a->standing, a->err != ERR_TIMEOUT);
}

static void log_errors(const struct ask *a)
{
  const char *p = buf_str(&a->errors);

  for (size_t k; *p; p += k + (p[k] == '\n')) {
    k = strcspn(p, "\n");
    log_warn("git", "%.*s", (int)k, p);
  }
}

/* Calls back and forgets the request. */
static void deliver(struct ask *a)
{
  struct gith *g = a->g;
  struct gith_result r = { 0 };

  if (a->sm.state != ASK_QUEUED) {
    g->running--;
    g->doubtful -= a->doubtful;
    if (!a->why && !gitres_parse(&r, &a->answer))
      explain(a, r.why);
    else if (!a->why)
      log_errors(a);
    note_standing(a);
  }
  ask_enter(a, ASK_ENDED);
  if (a->why) {
    r.err = a->err;
    r.why = a->why;
  }
  list_remove(&a->node);
  a->cb(&r, a->arg);
  gitres_free(&r);
  ask_free(a);
  if (g->closing)
    end_if_closed(g);
  else
    kick(g);
}

static void on_closed(uv_handle_t *h)
{
  struct ask *a = h->data;

  if (--a->open == 0)
    deliver(a);
}

static void shut(struct ask *a, void *handle)
{
  uv_handle_t *h = handle;

  if (h->data && !uv_is_closing(h)) {
    assert(h->data == a);
    uv_close(h, on_closed);
  }
}

/* The last of exit, end of stdout and end of stderr closes what is still open. */
static void end_if_over(struct ask *a)
{
  if (!uv_is_closing((uv_handle_t *)&a->process) || !uv_is_closing((uv_handle_t *)&a->out) ||
      !uv_is_closing((uv_handle_t *)&a->err_out))
    return;
  shut(a, &a->in);
  shut(a, &a->timer);
}

/* ---- a running helper ---- */

static void kill_it(struct ask *a, enum err e, char *why)
{
  if (a->sm.state != ASK_RUNNING) {
    free(why);
    return;
  }
  refuse(a, e, why);
  ask_enter(a, ASK_KILLED);
  uv_timer_stop(&a->timer);
  if (!uv_is_closing((uv_handle_t *)&a->process))
    uv_process_kill(&a->process, SIGKILL);
}

static void took_too_long(struct ask *a, const char *more)
{
  int64_t ms = (int64_t)uv_now(a->g->loop) - a->started_ms;

  kill_it(a, ERR_TIMEOUT, xasprintf("the repository gave no answer within %lld.%lld s%s", (long long)(ms / 1000), (long long)(ms % 1000 / 100), more));
}

static void on_deadline(uv_timer_t *t)
{
  took_too_long(t->data, "");
}

/* Each sign of life moves the deadline, up to the total. */
static void set_deadline(struct ask *a)
{
  int64_t left = a->started_ms + GITH_TOTAL_FACTOR * a->g->deadline_ms - (int64_t)uv_now(a->g->loop);
  int64_t ms = left < a->g->deadline_ms ? left : a->g->deadline_ms;

  a->heard_ms = (int64_t)uv_now(a->g->loop);
  if (a->sm.state == ASK_RUNNING)
    uv_timer_start(&a->timer, on_deadline, ms > 0 ? (uint64_t)ms : 0, 0);
}

static void on_exit_status(uv_process_t *p, int64_t status, int sig)
{
  struct ask *a = p->data;

  a->exit_status = status;
  a->exit_signal = sig;
  shut(a, p);
  end_if_over(a);
}

static void out_room(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
  struct ask *a = h->data;

  (void)suggested;
  if (buf_reserve(&a->answer, READ_BYTES))
    *b = uv_buf_init(a->answer.data + a->answer.len, READ_BYTES);
  else
    *b = uv_buf_init(NULL, 0); /* on_out gets UV_ENOBUFS */
}

static void on_out(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
  struct ask *a = s->data;

  (void)b;
  if (n > 0) {
    buf_grown(&a->answer, (size_t)n);
    set_deadline(a);
  } else if (n < 0) {
    if (n == UV_ENOBUFS)
      kill_it(a, ERR_TOOBIG, xasprintf("the git helper's answer is larger than %u bytes", GITH_OUTPUT_MAX));
    shut(a, s);
    end_if_over(a);
  }
}

static void err_room(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
  struct ask *a = h->data;

  (void)suggested;
  *b = uv_buf_init(a->errors_spill, sizeof a->errors_spill);
}

static void on_err(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
  struct ask *a = s->data;

  if (n > 0) {
    size_t room = STDERR_MAX - a->errors.len;
    buf_add(&a->errors, b->base, (size_t)n < room ? (size_t)n : room);
  } else if (n < 0) {
    shut(a, s);
    end_if_over(a);
  }
}

static void on_written(uv_write_t *w, int status)
{
  struct ask *a = w->data;

  (void)status; /* one that does not read has ended: that is told by its exit */
  shut(a, &a->in);
}

/* ---- starting ---- */

static int spawn(struct ask *a)
{
  struct gith *g = a->g;
  static char home[] = "HOME=/nonexistent", path[] = "PATH=/usr/bin:/bin", lang[] = "LANG=C.UTF-8";
  char *argv[] = { g->program, NULL }, *env[] = { home, path, lang, NULL };
  uv_stdio_container_t io[3] = {
    { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&a->in },
    { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&a->out },
    { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&a->err_out },
  };
  uv_process_options_t opts = { .file = g->program, .args = argv, .env = env, .cwd = "/", .stdio = io, .stdio_count = 3,
                                .exit_cb = on_exit_status, .flags = UV_PROCESS_DETACHED }; /* no Ctrl-C for it */

  return uv_spawn(g->loop, &a->process, &opts);
}

static void not_started(struct ask *a, int rc)
{
  enum err e = rc == UV_EAGAIN || rc == UV_ENOMEM || rc == UV_EMFILE || rc == UV_ENFILE ? ERR_AWAY : ERR_FAILED;

  refuse(a, e, xasprintf("can't start the git helper %s: %s", a->g->program, uv_strerror(rc)));
  ask_enter(a, ASK_KILLED);
  shut(a, &a->process);
  shut(a, &a->out);
  shut(a, &a->err_out);
  end_if_over(a);
}

static void start(struct ask *a)
{
  struct gith *g = a->g;
  uv_buf_t bytes = uv_buf_init(a->request.data, (unsigned)a->request.len);
  int rc;

  ask_enter(a, ASK_RUNNING);
  a->doubtful = !a->standing->good;
  g->running++;
  g->doubtful += a->doubtful;
  uv_pipe_init(g->loop, &a->in, 0);
  uv_pipe_init(g->loop, &a->out, 0);
  uv_pipe_init(g->loop, &a->err_out, 0);
  uv_timer_init(g->loop, &a->timer);
  uv_update_time(g->loop);
  a->started_ms = (int64_t)uv_now(g->loop);
  a->in.data = a->out.data = a->err_out.data = a->timer.data = a->write.data = a;
  rc = spawn(a);
  a->process.data = a;
  a->open = 5;
  if (rc) {
    not_started(a, rc);
    return;
  }
  set_deadline(a);
  uv_read_start((uv_stream_t *)&a->out, out_room, on_out);
  uv_read_start((uv_stream_t *)&a->err_out, err_room, on_err);
  if (uv_write(&a->write, (uv_stream_t *)&a->in, &bytes, 1, on_written))
    shut(a, &a->in);
}

static bool name_is_running(const struct gith *g, const char *name)
{
  list_each(it, &g->asks) {
    const struct ask *a = list_of(it, struct ask, node);
    if (a->sm.state != ASK_QUEUED && !strcmp(a->name, name))
      return true;
  }
  return false;
}

/* Somebody waits for a helper: one whose remote has been silent for longer than its patience ends, or is looked at again when that will be so. */
static void make_room(struct gith *g)
{
  int64_t now = (int64_t)uv_now(g->loop), least = INT64_MAX;

  list_each(it, &g->asks) {
    struct ask *a = list_of(it, struct ask, node);
    int64_t left = a->heard_ms + gitturn_patience(a->standing, g->deadline_ms) - now;
    if (a->sm.state != ASK_RUNNING)
      continue;
    if (left <= 0) {
      took_too_long(a, ", and others wait");
      return; /* its end is the next turn */
    }
    least = left < least ? left : least;
  }
  if (least < INT64_MAX)
    uv_timer_start(&g->kick, on_kick, (uint64_t)least, 0);
}

static void on_kick(uv_timer_t *t)
{
  struct gith *g = t->data;
  bool crowded = false;

  list_each(it, &g->asks) {
    struct ask *a = list_of(it, struct ask, node);
    if (a->sm.state != ASK_QUEUED)
      continue;
    if (a->why) {
      deliver(a); /* may ask again or close us: go on in the next turn */
      return;
    }
    if (name_is_running(g, a->name))
      continue;
    if (gitturn_may_start(a->standing, g->running, g->doubtful, g->max))
      start(a);
    else
      crowded = true;
  }
  if (crowded)
    make_room(g);
}

static void kick(struct gith *g)
{
  uv_timer_start(&g->kick, on_kick, 0, 0);
}

/* ---- asking ---- */

static struct git_standing *standing_of(struct gith *g, const char *name)
{
  struct git_standing *s = map_get(g->standing, name);

  if (s)
    return s;
  s = xcalloc(1, sizeof *s);
  map_set(g->standing, name, s);
  return s;
}

static struct ask *ask_new(struct gith *g, const char *op, const char *name, const char *url, bool allow_local, gith_cb *cb, void *arg)
{
  struct ask *a = xcalloc(1, sizeof *a);

  assert(!g->closing);
  a->g = g;
  a->name = xstrdup(name);
  a->standing = standing_of(g, name);
  a->cb = cb;
  a->arg = arg;
  sm_init(&a->sm, "git request", ask_rows, ASK_STATES, ASK_QUEUED);
  buf_init(&a->request, GITW_REQUEST_MAX);
  buf_init(&a->answer, GITH_OUTPUT_MAX + READ_BYTES);
  buf_init(&a->errors, STDERR_MAX);
  records_put(&a->request, "op", op);
  records_put(&a->request, "mirrors", g->mirrors);
  records_put(&a->request, "name", name);
  records_put(&a->request, "url", url);
  records_put(&a->request, "local", allow_local ? "1" : "0");
  records_putf(&a->request, "deadline", "%lld", (long long)g->deadline_ms);
  if (!str_is_name(name, strlen(name)))
    refuse(a, ERR_BADARG, xstrdup("not a name of a mirror"));
  else if (!allow_local && gith_is_url(url, true) && !gith_is_url(url, false))
    refuse(a, ERR_DENIED, xstrdup("paths on this machine are not taken; the site's configuration must say allow_local: true"));
  else if (!gith_is_url(url, allow_local))
    refuse(a, ERR_BADARG, xstrdup("not an address of a git repository; https://, http://, git://, ssh:// and user@host:path are taken"));
  list_push(&g->asks, &a->node);
  kick(g);
  return a;
}

/* Last, so that no larger buffer is taken later and leaves a copy behind. */
static void put_login(struct ask *a, const struct gith_login *l)
{
  if (!l)
    return;
  for (int i = 0; i < l->nhost_keys; i++)
    records_put(&a->request, "host_key", l->host_keys[i]);
  if (l->token) {
    records_put(&a->request, "as", l->bearer ? "bearer" : "password");
    records_put(&a->request, "user", l->user ? l->user : "");
  }
  if (!buf_reserve(&a->request, LOGIN_ROOM))
    return; /* check_size tells */
  if (l->token)
    records_put(&a->request, "token", l->token);
  if (l->key)
    records_put(&a->request, "key", l->key);
}

static void check_size(struct ask *a)
{
  if (a->request.failed)
    refuse(a, ERR_TOOBIG, xstrdup("too many branches are known to ask for changes"));
}

static void put_known(struct ask *a, const char *key, const struct gith_head *k)
{
  if (gith_is_branch(k->branch) && gith_is_revision(k->revision) && strlen(k->revision) == KNOWN_DIGITS)
    records_putf(&a->request, key, "%s %s", k->revision, k->branch);
}

void gith_poll(struct gith *g, const struct gith_poll *q, gith_cb *cb, void *arg)
{
  struct ask *a = ask_new(g, "poll", q->name, q->url, q->allow_local, cb, arg);

  for (int i = 0; i < q->nbranches; i++)
    records_put(&a->request, "glob", q->branches[i]);
  for (int i = 0; i < q->nknown; i++)
    put_known(a, "known", &q->known[i]);
  if (q->tags != GITH_TAGS_NO)
    records_put(&a->request, "tags", q->tags == GITH_TAGS_TELL ? "tell" : "list");
  for (int i = 0; q->tags == GITH_TAGS_TELL && i < q->nknown_tags; i++)
    put_known(a, "known_tag", &q->known_tags[i]);
  put_login(a, q->login);
  check_size(a);
}

void gith_read(struct gith *g, const char *name, const char *url, bool allow_local, const struct gith_login *login, const char *branch,
               const char *revision, const char *path, gith_cb *cb, void *arg)
{
  struct ask *a = ask_new(g, "read", name, url, allow_local, cb, arg);

  if (*branch ? !gith_is_branch(branch) && !(*revision && gith_is_ref(branch)) : !*revision)
    refuse(a, ERR_BADARG, xstrdup("not a name of a branch"));
  if (*revision && !gith_is_revision(revision))
    refuse(a, ERR_BADARG, xstrdup("not a revision; 7 to 64 hex digits are"));
  records_put(&a->request, "branch", branch);
  records_put(&a->request, "revision", revision);
  records_put(&a->request, "path", path);
  put_login(a, login);
  check_size(a);
}

const char *gith_program(const struct gith *g)
{
  return g->program;
}

struct gith *gith_new(uv_loop_t *loop, const char *program, const char *mirrors, int max)
{
  struct gith *g = xcalloc(1, sizeof *g);

  assert(max > 0 && mirrors[0] == '/');
  g->loop = loop;
  g->program = xstrdup(program);
  g->mirrors = xstrdup(mirrors);
  g->max = max;
  g->deadline_ms = GITH_DEADLINE_MS;
  g->standing = map_new();
  list_init(&g->asks);
  uv_timer_init(loop, &g->kick);
  g->kick.data = g;
  return g;
}

void gith_set_max(struct gith *g, int max)
{
  assert(max > 0);
  g->max = max;
  kick(g);
}

void gith_set_deadline(struct gith *g, int64_t ms)
{
  g->deadline_ms = ms;
}

void gith_kill(struct gith *g, const char *name, const char *why)
{
  list_each(it, &g->asks) {
    struct ask *a = list_of(it, struct ask, node);
    if (strcmp(a->name, name))
      continue;
    if (a->sm.state == ASK_QUEUED)
      refuse(a, ERR_AWAY, xstrdup(why));
    else
      kill_it(a, ERR_AWAY, xstrdup(why));
  }
  kick(g);
}

static void on_kick_closed(uv_handle_t *h)
{
  struct gith *g = h->data;

  g->kick_closed = true;
  end_if_closed(g);
}

void gith_close(struct gith *g, void (*done)(void *arg), void *arg)
{
  assert(!g->closing);
  g->closing = true;
  g->done = done;
  g->done_arg = arg;
  list_each(it, &g->asks) {
    struct ask *a = list_of(it, struct ask, node);
    if (a->sm.state == ASK_QUEUED) {
      refuse(a, ERR_AWAY, xstrdup("the master ends"));
      deliver(a);
    } else {
      kill_it(a, ERR_AWAY, xstrdup("the master ends"));
    }
  }
  uv_close((uv_handle_t *)&g->kick, on_kick_closed);
}
