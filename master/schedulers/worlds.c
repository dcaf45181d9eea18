/* Projects: their rows, and the pipeline of a project at a revision. */
#include "master/schedulers/worlds.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/changes/githelper.h"
#include "master/conf/conf_diff.h"
#include "master/conf/conf_needs.h"
#include "master/core/master.h"
#include "master/core/secret_values.h"
#include "master/db/db.h"
#include "master/schedulers/sched_rows.h"
#include "master/schedulers/worlds_int.h"

struct world *worlds_find(struct worlds *w, const char *project)
{
  for (int i = 0; i < w->n; i++)
    if (!strcmp(w->v[i]->conf->name, project))
      return w->v[i];
  return NULL;
}

struct world *const *worlds_all(const struct worlds *w, int *n)
{
  *n = w->n;
  return w->v;
}

struct world *worlds_only(struct worlds *w)
{
  return w->n == 1 ? w->v[0] : NULL;
}

struct world *world_hold(struct world *p)
{
  p->users++;
  return p;
}

void world_drop(struct world *p)
{
  if (--p->users)
    return;
  conf_free(p->site);
  free(p);
}

/* ---- rows ---- */

void worlds_put_rows(struct db_tx *tx, const struct conf *c)
{
  for (int i = 0; i < c->nprojects; i++) {
    const struct conf_project *p = &c->projects[i];
    char *codebases = conf_codebases_json(p);
    db_q(tx, SQL_project_put, "ss", p->name, codebases);
    free(codebases);
    for (int k = 0; k < p->ncodebases; k++) {
      db_q(tx, SQL_poll_row, "ss", p->name, p->codebases[k].name);
      db_q(tx, SQL_repository_put, "sss", p->name, p->codebases[k].git, vcs_text(p->codebases[k].vcs));
    }
    if (!p->pipeline)
      continue;
    db_q(tx, SQL_pipeline_add, "b", p->pipeline_text, strlen(p->pipeline_text));
    for (int k = 0; k < p->pipeline->nbuilders; k++) /* so that lists show what was never built */
      db_q(tx, SQL_builder_add, "ss", p->name, p->pipeline->builders[k].name);
  }
}

/* What worlds_put_rows asked for, to the worlds that are still those of c. new_ones: of a reload; their repositories are looked at at once. */
static void take_rows(struct worlds *w, const struct conf *c, const struct db_res *res, int stmt, bool new_ones)
{
  for (int i = 0; i < c->nprojects; i++) {
    const struct conf_project *conf = &c->projects[i];
    struct world *p = worlds_find(w, conf->name);
    int polls = stmt + 1;
    int64_t id = db_num(res, stmt, 0, 0), pipe_id = 0;
    stmt += 1 + 2 * conf->ncodebases; /* poll_row, repository_put of each */
    if (conf->pipeline) {
      pipe_id = db_num(res, stmt, 0, 0);
      stmt += 1 + conf->pipeline->nbuilders;
    }
    if (!p || p->conf != conf)
      continue;
    for (int k = 0; k < conf->ncodebases; k++) {
      p->polls[k]->at_once = new_ones && !p->id;
      p->polls[k]->id = db_num(res, polls + 2 * k, 0, 0);
    }
    p->id = id;
    p->pipe_id = pipe_id;
    if (pipe_id)
      sched_rows_site(w, p);
  }
  worlds_kick(w);
  master_beat_soon(w->m);
}

struct asked_rows {
  struct worlds *w;
  struct conf *conf; /* held: another one may be active when the answer comes */
};

static void rows_made(struct db_res *res, void *arg)
{
  struct asked_rows *a = arg;

  if (!db_err(res))
    take_rows(a->w, a->conf, res, 0, false);
  else if (db_err(res) == ERR_FAILED)
    log_error("project", "%s", db_errtext(res));
  conf_free(a->conf);
  free(a);
}

void worlds_db_up(struct worlds *w)
{
  struct asked_rows *a;
  struct db_tx *tx;

  if (!w->n)
    return;
  a = xmalloc(sizeof *a);
  *a = (struct asked_rows){ w, conf_hold(w->m->conf) };
  tx = db_tx(w->m->db, DB_ANY);
  worlds_put_rows(tx, a->conf);
  db_send(tx, rows_made, a);
}

/* ---- the projects of a configuration ---- */

static struct world *world_new(struct worlds *w, struct conf *site, const struct conf_project *conf)
{
  struct world *p = xcalloc(1, sizeof *p);

  *p = (struct world){ .site = conf_hold(site), .conf = conf, .users = 1 };
  poller_add(w, p);
  return p;
}

static void world_gone(struct world *p)
{
  p->gone = true;
  poller_remove(p);
  world_drop(p);
}

/* The worlds of m->conf: those that are as they were stay, with whatever they are doing. */
static void configure(struct worlds *w)
{
  struct conf *c = w->m->conf;
  struct world **v = xcalloc((size_t)c->nprojects + 1, sizeof *v);

  for (int i = 0; i < c->nprojects; i++) {
    const struct conf_project *conf = &c->projects[i];
    struct world *p = worlds_find(w, conf->name);
    if (!p || !conf_project_same(p->conf, conf)) {
      v[i] = world_new(w, c, conf);
      continue;
    }
    v[i] = world_hold(p);
    conf_free(p->site);
    p->site = conf_hold(c);
    p->conf = conf;
  }
  for (int i = 0; i < w->n; i++) {
    struct world *p = w->v[i];
    if (p->site == c)
      world_drop(p); /* it has the new list's reference */
    else
      world_gone(p);
  }
  free(w->v);
  w->v = v;
  w->n = c->nprojects;
}

void worlds_replaced(struct worlds *w)
{
  configure(w);
}

void worlds_reload(struct worlds *w, const struct db_res *res, int first)
{
  configure(w);
  take_rows(w, w->m->conf, res, first, true);
}

/* ---- the pipeline of a project at a revision ---- */

struct asking {
  struct worlds *w;
  struct world *p;
  struct lease_waiter waiter;
  int64_t epoch;        /* of the lease under which it was read */
  bool reads;           /* counted as a read of that repository: it is not handed over before what was read is stored */
  char *branch, *revision, *author, *message, *text;
  int64_t author_ms, pipe_id;
  char **files;
  int nfiles;
  size_t len;
  void (*cb)(const struct world_pipe *r, void *arg);
  void *arg;
};

static void read_over(struct asking *a)
{
  if (a->reads && !a->p->gone) {
    a->p->poll->reads--;
    lease_rest(a->p->poll);
  }
  a->reads = false;
}

static void asking_end(struct asking *a, const struct world_pipe *r)
{
  const struct world_pipe changed = { .err = ERR_AGAIN, .why = "the configuration of the project has just changed", .revision = "" };

  read_over(a);
  a->cb(a->p->gone ? &changed : r, a->arg);
  world_drop(a->p);
  for (int i = 0; i < a->nfiles; i++)
    free(a->files[i]);
  free(a->files);
  free(a->branch);
  free(a->revision);
  free(a->author);
  free(a->message);
  free(a->text);
  free(a);
}

static void asking_fail(struct asking *a, enum err err, const char *why)
{
  struct world_pipe r = { .err = err, .why = why, .revision = a->revision ? a->revision : "" };
  asking_end(a, &r);
}

static void pipe_loaded(bool ok, void *arg)
{
  struct asking *a = arg;
  struct pipe_ref *pipe = ok ? pipes_ref(a->w->m, a->pipe_id, a->p->conf->name) : NULL;
  struct world_pipe r = { .err = ERR_OK, .pipe = pipe, .pipe_id = a->pipe_id, .revision = a->revision ? a->revision : "",
                          .author = a->author, .message = a->message, .author_ms = a->author_ms, .files = a->files, .nfiles = a->nfiles };

  if (!pipe) {
    asking_fail(a, ERR_AWAY, "the database is away");
    return;
  }
  if (!pipes_of(pipe)) {
    r.err = ERR_SYNTAX;
    r.why = "the pipeline is not valid for this version of the master";
  }
  asking_end(a, &r);
  pipes_unref(pipe);
}

static void timer_gone(uv_handle_t *h)
{
  free(h);
}

static void on_next_turn(uv_timer_t *t)
{
  pipe_loaded(true, t->data);
  uv_close((uv_handle_t *)t, timer_gone);
}

/* From the cache, else from the database. asking: called by who asks, who hears of it on the loop's next turn. An answer of the database is a turn of its own: when the master stops, it may be the last one. */
static void with_row(struct asking *a, bool asking)
{
  struct pipe_ref *pipe = pipes_ref(a->w->m, a->pipe_id, a->p->conf->name);
  uv_timer_t *t;

  pipes_unref(pipe);
  if (!pipe) {
    pipes_load(a->w->m, a->pipe_id, a->p->conf->name, pipe_loaded, a);
    return;
  }
  if (!asking) {
    pipe_loaded(true, a);
    return;
  }
  t = xmalloc(sizeof *t);
  uv_timer_init(a->w->m->loop, t);
  t->data = a;
  uv_timer_start(t, on_next_turn, 0, 0);
}

static const char not_ours[] = "another master looks at the repository now";

static void text_stored(struct db_res *res, void *arg)
{
  struct asking *a = arg;

  if (lease_lost(res)) {
    asking_fail(a, ERR_AGAIN, not_ours);
    return;
  }
  if (db_err(res)) {
    asking_fail(a, db_err(res), db_errtext(res));
    return;
  }
  a->pipe_id = db_num(res, 1, 0, 0);
  read_over(a);
  with_row(a, false);
}

/* A file that is not valid never becomes a row: the diagnostics are the answer. */
static bool check_text(struct asking *a)
{
  struct pipeline *p;
  struct diags d;
  struct buf text;

  diag_init(&d);
  p = pipeline_parse(PIPELINE_FILE, a->text, a->len, a->p->conf->name, &d);
  if (p) {
    conf_check_secrets(a->p->site, a->p->conf->name, p, &d);
    conf_check_locks(a->p->site, a->p->conf->name, p, &d);
    conf_check_needs(a->p->site, a->p->conf->name, p, &d);
    conf_check_codebases(a->p->conf, p, &d);
  }
  pipeline_free(p);
  if (!diag_count(&d)) {
    diag_free(&d);
    return true;
  }
  buf_init(&text, BUF_NO_MAX);
  diag_print(&d, &text);
  diag_free(&d);
  asking_fail(a, ERR_SYNTAX, buf_str(&text));
  buf_free(&text);
  return false;
}

static void was_read(const struct gith_result *g, void *arg)
{
  struct asking *a = arg;
  struct db_tx *tx;

  free(a->revision);
  a->revision = xstrdup(g->revision);
  if (g->err) {
    asking_fail(a, g->err, g->why);
    return;
  }
  if (!g->found) {
    asking_fail(a, ERR_NOTFOUND, "there is no " PIPELINE_FILE " at this revision, and the site gives the project no pipeline");
    return;
  }
  if (g->ncommits) {
    const struct gith_commit *c = &g->commits[0];
    a->author = xstrdup(c->author);
    a->message = xstrdup(c->message);
    a->author_ms = c->author_ms;
    a->files = xcalloc((size_t)c->nfiles, sizeof *a->files);
    for (a->nfiles = 0; a->nfiles < c->nfiles; a->nfiles++)
      a->files[a->nfiles] = xstrdup(c->files[a->nfiles]);
  }
  a->text = xmemdup(g->text, g->text_len);
  a->len = g->text_len;
  if (a->p->gone || !world_lease_same(a->p, a->epoch)) {
    asking_fail(a, ERR_AGAIN, not_ours);
    return;
  }
  if (!check_text(a))
    return;
  tx = db_tx(a->w->m->db, DB_ANY);
  lease_fence(tx, a->p->poll, a->epoch);
  db_q(tx, SQL_pipeline_add, "b", a->text, a->len);
  db_send(tx, text_stored, a);
}

static void ask_helper(struct asking *a, const struct secret_rows *rows)
{
  const struct poll_state *ps = a->p->poll;
  struct poll_login login;
  struct buf why;

  buf_init(&why, BUF_NO_MAX);
  if (poll_login(ps, rows, &login, &why))
    gith_read(a->w->m->gith, poll_conf(ps)->vcs, ps->mirror, poll_conf(ps)->git, a->w->m->conf->allow_local, &login.l, a->branch, a->revision, PIPELINE_FILE, was_read, a);
  else /* the secret may be set any moment */
    was_read(&(struct gith_result){ .err = ERR_AWAY, .why = (char *)(uintptr_t)buf_str(&why) }, a);
  poll_login_free(&login);
  buf_free(&why);
}

static void stored_here(struct db_res *res, void *arg)
{
  struct asking *a = arg;
  struct secret_rows *rows;

  if (db_err(res) || a->p->gone || a->w->m->stopping) {
    was_read(&(struct gith_result){ .err = ERR_AWAY, .why = (char *)(uintptr_t)"the database is away" }, a);
    return;
  }
  rows = secret_rows_take(res, 0);
  ask_helper(a, rows);
  secret_rows_free(rows);
}

static void begin_read(struct asking *a)
{
  char *stored = login_stored(a->w->m->conf, &poll_conf(a->p->poll)->login);
  struct db_tx *tx;

  a->epoch = a->p->poll->epoch;
  a->p->poll->reads++;
  a->reads = true;
  if (!stored) {
    ask_helper(a, NULL);
    return;
  }
  tx = db_tx(a->w->m->db, DB_ANY);
  db_q(tx, SQL_secrets_named, "s", stored);
  db_send(tx, stored_here, a);
  free(stored);
}

static void lease_here(bool got, struct lease_waiter *wt)
{
  struct asking *a = list_of(wt, struct asking, waiter);

  if (got)
    begin_read(a);
  else
    asking_fail(a, ERR_AWAY, "another master looks at the repository, and did not hand it over in time; try again");
}

void worlds_pipeline(struct worlds *w, struct world *p, const char *branch, const char *revision, void (*cb)(const struct world_pipe *, void *), void *arg)
{
  struct asking *a = xcalloc(1, sizeof *a);

  a->w = w;
  a->p = world_hold(p);
  a->cb = cb;
  a->arg = arg;
  a->revision = xstrdup(revision);
  if (p->pipe_id) {
    a->pipe_id = p->pipe_id;
    with_row(a, true);
    return;
  }
  a->branch = xstrdup(branch);
  if (lease_held(p->poll))
    begin_read(a);
  else
    lease_wait(p->poll, &a->waiter, lease_here);
}

void worlds_pipeline_known(struct worlds *w, struct world *p, int64_t pipe_id, const char *revision, void (*cb)(const struct world_pipe *, void *), void *arg)
{
  struct asking *a = xcalloc(1, sizeof *a);

  *a = (struct asking){ .w = w, .p = world_hold(p), .cb = cb, .arg = arg, .revision = xstrdup(revision), .pipe_id = pipe_id };
  with_row(a, true);
}

/* ---- life ---- */

struct worlds *worlds_new(struct master *m)
{
  struct worlds *w = xcalloc(1, sizeof *w);

  w->m = m;
  list_init(&w->polls);
  list_init(&w->firings);
  list_init(&w->timings);
  configure(w);
  flow_init(w);
  timed_init(w);
  lease_init(w);
  return w;
}

void worlds_closed(struct worlds *w)
{
  if (--w->handles)
    return;
  free(w);
}

void worlds_free(struct worlds *w)
{
  w->handles++; /* until both have begun */
  poller_close(w);
  for (int i = 0; i < w->n; i++)
    world_drop(w->v[i]);
  free(w->v);
  flow_close(w);
  timed_close(w);
  lease_close(w);
  worlds_closed(w);
}
