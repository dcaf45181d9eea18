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
#include "master/changes/gitproc.h"
#include "master/changes/gitresult.h"
#include "master/changes/gitturn.h"
#include "master/changes/gitwire.h"
#include "proto/records.h"

enum { LOGIN_ROOM = 32768, ASKED_MOST = 100 /* of one process, so that what leaks is little */ };

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
  struct list procs;          /* helper processes, also those that have nothing to do */
  int nprocs;
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
  enum vcs vcs;
  struct git_standing *standing;
  bool doubtful;
  enum err err;               /* why it was refused or killed */
  char *why;
  gith_cb *cb;
  void *arg;

  struct buf request;
  bool secret;                /* there is a key or a token in it */
  struct gitproc *proc;       /* NULL: not started */
  int64_t started_ms, heard_ms; /* uv_now; the last sign of life */
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
  free(a->name);
  free(a->why);
  free(a);
}

static void end_if_closed(struct gith *g)
{
  void *standing;

  if (!g->closing || !g->kick_closed || !list_empty(&g->asks) || g->nprocs)
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
  const struct gitproc *p = a->proc;
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  if (p->h.exit_signal == SIGXCPU)
    buf_adds(&text, "the git helper used up its processor time");
  else if (p->h.exit_signal)
    buf_addf(&text, "the git helper was ended by signal %d", p->h.exit_signal);
  else if (p->h.exit_status)
    buf_addf(&text, "the git helper ended with exit code %d", (int)p->h.exit_status);
  else
    buf_adds(&text, parse_why);
  if (p->h.errors.len) {
    buf_adds(&text, ": ");
    utf8_clean(&text, p->h.errors.data, p->h.errors.len, true);
  }
  refuse(a, ERR_FAILED, buf_take(&text));
}

static void note_standing(struct ask *a)
{
  if (a->err == ERR_TIMEOUT || a->sm.state == ASK_RUNNING)
    gitturn_note(a->standing, a->err != ERR_TIMEOUT);
}

static void log_errors(struct gitproc *proc)
{
  const char *p = buf_str(&proc->h.errors);

  for (size_t k; *p; p += k + (p[k] == '\n')) {
    k = strcspn(p, "\n");
    log_warn("git", "%.*s", (int)k, p);
  }
  buf_reset(&proc->h.errors);
}

/* Calls back and forgets the request. True: its helper did all that was asked. */
static bool deliver(struct ask *a)
{
  struct gith *g = a->g;
  struct gith_result r = { 0 };
  bool good;

  if (a->sm.state != ASK_QUEUED) {
    g->running--;
    g->doubtful -= a->doubtful;
    if (!a->why && !gitres_parse(&r, a->vcs, &a->proc->answer))
      explain(a, r.why);
    else if (!a->why)
      log_errors(a->proc);
    note_standing(a);
  }
  ask_enter(a, ASK_ENDED);
  if (a->why) {
    r.err = a->err;
    r.why = a->why;
  }
  list_remove(&a->node);
  good = !r.err;
  a->cb(&r, a->arg);
  gitres_free(&r);
  ask_free(a);
  if (g->closing)
    end_if_closed(g);
  else
    kick(g);
  return good;
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
  gitproc_kill(a->proc);
}

static void took_too_long(struct ask *a, const char *more)
{
  int64_t ms = (int64_t)uv_now(a->g->loop) - a->started_ms;

  kill_it(a, ERR_TIMEOUT, xasprintf("the repository gave no answer within %lld.%lld s%s", (long long)(ms / 1000), (long long)(ms % 1000 / 100), more));
}

static void late(struct gitproc *p)
{
  took_too_long(p->ask, "");
}

/* Each sign of life moves the deadline, up to the total. */
static void set_deadline(struct ask *a)
{
  int64_t left = a->started_ms + GITH_TOTAL_FACTOR * a->g->deadline_ms - (int64_t)uv_now(a->g->loop);
  int64_t ms = left < a->g->deadline_ms ? left : a->g->deadline_ms;

  a->heard_ms = (int64_t)uv_now(a->g->loop);
  if (a->sm.state == ASK_RUNNING)
    gitproc_deadline(a->proc, ms);
}

static void heard(struct gitproc *p)
{
  set_deadline(p->ask);
}

static void too_large(struct gitproc *p)
{
  kill_it(p->ask, ERR_TOOBIG, xasprintf("the git helper's answer is larger than %u bytes", GITH_OUTPUT_MAX));
}

static void answered(struct gitproc *p)
{
  struct ask *a = p->ask;
  bool secret = a->secret;

  if (a->sm.state != ASK_RUNNING)
    return; /* it is being killed */
  if (deliver(a) && !secret && p->asked < ASKED_MOST)
    gitproc_rest(p);
  else
    gitproc_retire(p);
}

static void gone(struct gitproc *p)
{
  struct gith *g = p->owner;

  g->nprocs--;
  if (p->ask) {
    deliver(p->ask);
    return;
  }
  log_errors(p);
  if (g->closing)
    end_if_closed(g);
}

static const struct gitproc_ops proc_ops = { heard, late, too_large, answered, gone };

/* ---- starting ---- */

static void not_started(struct ask *a, int rc)
{
  enum err e = rc == UV_EAGAIN || rc == UV_ENOMEM || rc == UV_EMFILE || rc == UV_ENFILE ? ERR_AWAY : ERR_FAILED;

  refuse(a, e, xasprintf("can't start the git helper %s: %s", a->g->program, uv_strerror(rc)));
  ask_enter(a, ASK_KILLED); /* its helper is gone soon */
}

/* One that has nothing to do, or a new one. What is secret is told to a process that does nothing else before or after. */
static struct gitproc *helper_for(struct gith *g, const struct ask *a)
{
  struct gitproc *idle = NULL;

  list_each(it, &g->procs) {
    struct gitproc *p = list_of(it, struct gitproc, node);
    if (gitproc_idle(p))
      idle = p;
  }
  if (idle && !a->secret)
    return idle;
  if (idle && g->nprocs >= g->max)
    gitproc_retire(idle);
  idle = gitproc_new(g->loop, g->program, &proc_ops, g);
  list_push(&g->procs, &idle->node);
  g->nprocs++;
  return idle;
}

static void start(struct ask *a)
{
  struct gith *g = a->g;

  ask_enter(a, ASK_RUNNING);
  a->doubtful = !a->standing->good;
  g->running++;
  g->doubtful += a->doubtful;
  uv_update_time(g->loop);
  a->started_ms = (int64_t)uv_now(g->loop);
  a->proc = helper_for(g, a);
  gitproc_ask(a->proc, a, &a->request);
  if (a->proc->h.start_rc)
    not_started(a, a->proc->h.start_rc);
  else
    set_deadline(a);
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

/* Where addresses of a kind may lead. */
static const char *schemes_of(enum vcs vcs)
{
  return vcs == VCS_GIT ? "https://, http://, git://, ssh:// and user@host:path are" : vcs == VCS_HG ? "https://, http:// and ssh:// are" : "https://, http:// and svn:// are";
}

static struct ask *ask_new(struct gith *g, const char *op, enum vcs vcs, const char *name, const char *url, bool allow_local, gith_cb *cb, void *arg)
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
  a->vcs = vcs;
  records_put(&a->request, "op", op);
  records_put(&a->request, "vcs", vcs_text(vcs));
  records_put(&a->request, "mirrors", g->mirrors);
  records_put(&a->request, "name", name);
  records_put(&a->request, "url", url);
  records_put(&a->request, "local", allow_local ? "1" : "0");
  records_putf(&a->request, "deadline", "%lld", (long long)g->deadline_ms);
  if (!gith_is_mirror(name))
    refuse(a, ERR_BADARG, xstrdup("not a name of a mirror"));
  else if (!allow_local && gith_is_url_of(vcs, url, true) && !gith_is_url_of(vcs, url, false))
    refuse(a, ERR_DENIED, xstrdup("paths on this machine are not taken; the site's configuration must say allow_local: true"));
  else if (!gith_is_url_of(vcs, url, allow_local))
    refuse(a, ERR_BADARG, xasprintf("not an address of a %s repository; %s taken", vcs_program(vcs), schemes_of(vcs)));
  list_push(&g->asks, &a->node);
  kick(g);
  return a;
}

/* Last, so that no larger buffer is taken later and leaves a copy behind. */
static void put_login(struct ask *a, const struct gith_login *l)
{
  if (!l)
    return;
  a->secret = l->key || l->token;
  for (int i = 0; i < l->nhost_keys; i++)
    records_put(&a->request, "host_key", l->host_keys[i]);
  if (l->token) {
    records_put(&a->request, "as", l->bearer ? "bearer" : "password");
    records_put(&a->request, "user", l->user ? l->user : "");
  }
  if (!buf_reserve(&a->request, LOGIN_ROOM))
    return; /* end_request tells */
  if (l->token)
    records_put(&a->request, "token", l->token);
  if (l->key)
    records_put(&a->request, "key", l->key);
}

static void end_request(struct ask *a)
{
  records_put(&a->request, "end", "1");
  if (a->request.failed)
    refuse(a, ERR_TOOBIG, xstrdup("too many branches are known to ask for changes"));
}

static void put_known(struct ask *a, const char *key, const struct gith_head *k)
{
  if (gith_is_branch(k->branch) && gith_is_full(a->vcs, k->revision))
    records_putf(&a->request, key, "%s %s", k->revision, k->branch);
}

void gith_poll(struct gith *g, const struct gith_poll *q, gith_cb *cb, void *arg)
{
  struct ask *a = ask_new(g, "poll", q->vcs, q->name, q->url, q->allow_local, cb, arg);

  for (int i = 0; i < q->nbranches; i++)
    records_put(&a->request, "glob", q->branches[i]);
  for (int i = 0; i < q->nknown; i++)
    put_known(a, "known", &q->known[i]);
  if (q->tags != GITH_TAGS_NO)
    records_put(&a->request, "tags", q->tags == GITH_TAGS_TELL ? "tell" : "list");
  for (int i = 0; q->tags == GITH_TAGS_TELL && i < q->nknown_tags; i++)
    put_known(a, "known_tag", &q->known_tags[i]);
  put_login(a, q->login);
  end_request(a);
}

void gith_read(struct gith *g, enum vcs vcs, const char *name, const char *url, bool allow_local, const struct gith_login *login, const char *branch,
               const char *revision, const char *path, gith_cb *cb, void *arg)
{
  struct ask *a = ask_new(g, "read", vcs, name, url, allow_local, cb, arg);

  if (*branch ? !gith_is_branch(branch) && !(*revision && gith_is_ref(branch)) : !*revision)
    refuse(a, ERR_BADARG, xstrdup("not a name of a branch"));
  if (*revision && !gith_is_revision_of(vcs, revision))
    refuse(a, ERR_BADARG, xasprintf("not a revision; %s is", gith_revision_rule(vcs)));
  records_put(&a->request, "branch", branch);
  records_put(&a->request, "revision", revision);
  records_put(&a->request, "path", path);
  put_login(a, login);
  end_request(a);
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
  list_init(&g->procs);
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
  list_each(it, &g->procs)
    gitproc_kill(list_of(it, struct gitproc, node));
  uv_close((uv_handle_t *)&g->kick, on_kick_closed);
}
