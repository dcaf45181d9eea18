/* Projects: their rows, and the pipeline of a project at a revision. */
#include "master/schedulers/worlds.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/changes/githelper.h"
#include "master/core/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/schedulers/worlds_int.h"

struct world *worlds_find(struct worlds *w, const char *project)
{
  for (int i = 0; i < w->n; i++)
    if (!strcmp(w->v[i].conf->name, project))
      return &w->v[i];
  return NULL;
}

struct world *worlds_only(struct worlds *w)
{
  return w->n == 1 ? &w->v[0] : NULL;
}

/* ---- rows ---- */

static void rows_made(struct db_res *res, void *arg)
{
  struct worlds *w = arg;
  int stmt = 0;

  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("project", "%s", db_errtext(res));
    return;
  }
  for (int i = 0; i < w->n; i++) {
    const struct pipeline *p = w->v[i].conf->pipeline;
    w->v[i].id = db_num(res, stmt++, 0, 0);
    if (p) {
      w->v[i].pipe_id = db_num(res, stmt++, 0, 0);
      stmt += p->nbuilders;
    }
  }
  poller_start(w);
  worlds_kick(w);
}

void worlds_db_up(struct worlds *w)
{
  struct db_tx *tx;

  if (!w->n)
    return;
  tx = db_tx(w->m->db, DB_ANY);
  for (int i = 0; i < w->n; i++) {
    const struct conf_project *c = w->v[i].conf;
    db_q(tx, SQL_project_add, "s", c->name);
    if (!c->pipeline)
      continue;
    db_q(tx, SQL_pipeline_add, "b", c->pipeline_text, strlen(c->pipeline_text));
    for (int k = 0; k < c->pipeline->nbuilders; k++) /* so that lists show what was never built */
      db_q(tx, SQL_builder_add, "ss", c->name, c->pipeline->builders[k].name);
  }
  db_send(tx, rows_made, w);
}

/* ---- the pipeline of a project at a revision ---- */

struct asking {
  struct worlds *w;
  struct world *p;
  char *revision, *author, *message, *text;
  int64_t author_ms, pipe_id;
  char **files;
  int nfiles;
  size_t len;
  void (*cb)(const struct world_pipe *r, void *arg);
  void *arg;
};

static void asking_end(struct asking *a, const struct world_pipe *r)
{
  a->cb(r, a->arg);
  for (int i = 0; i < a->nfiles; i++)
    free(a->files[i]);
  free(a->files);
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

/* From the cache on the loop's next turn, else from the database. */
static void with_row(struct asking *a)
{
  struct pipe_ref *pipe = pipes_ref(a->w->m, a->pipe_id, a->p->conf->name);
  uv_timer_t *t;

  pipes_unref(pipe);
  if (!pipe) {
    pipes_load(a->w->m, a->pipe_id, a->p->conf->name, pipe_loaded, a);
    return;
  }
  t = xmalloc(sizeof *t);
  uv_timer_init(a->w->m->loop, t);
  t->data = a;
  uv_timer_start(t, on_next_turn, 0, 0);
}

static void text_stored(struct db_res *res, void *arg)
{
  struct asking *a = arg;

  if (db_err(res)) {
    asking_fail(a, db_err(res), db_errtext(res));
    return;
  }
  a->pipe_id = db_num(res, 0, 0, 0);
  with_row(a);
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
    pipeline_free(p);
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
  if (!check_text(a))
    return;
  tx = db_tx(a->w->m->db, DB_ANY);
  db_q(tx, SQL_pipeline_add, "b", a->text, a->len);
  db_send(tx, text_stored, a);
}

void worlds_pipeline(struct worlds *w, struct world *p, const char *branch, const char *revision, void (*cb)(const struct world_pipe *, void *), void *arg)
{
  struct asking *a = xcalloc(1, sizeof *a);

  a->w = w;
  a->p = p;
  a->cb = cb;
  a->arg = arg;
  a->revision = xstrdup(revision);
  if (p->pipe_id) {
    a->pipe_id = p->pipe_id;
    with_row(a);
    return;
  }
  gith_read(w->m->gith, p->conf->name, p->conf->git, w->m->conf->allow_local, branch, revision, PIPELINE_FILE, was_read, a);
}

void worlds_pipeline_known(struct worlds *w, struct world *p, int64_t pipe_id, const char *revision, void (*cb)(const struct world_pipe *, void *), void *arg)
{
  struct asking *a = xcalloc(1, sizeof *a);

  *a = (struct asking){ .w = w, .p = p, .cb = cb, .arg = arg, .revision = xstrdup(revision), .pipe_id = pipe_id };
  with_row(a);
}

/* ---- life ---- */

struct worlds *worlds_new(struct master *m)
{
  struct worlds *w = xcalloc(1, sizeof *w);

  w->m = m;
  w->n = m->conf->nprojects;
  w->v = xcalloc((size_t)w->n, sizeof *w->v);
  for (int i = 0; i < w->n; i++)
    w->v[i].conf = &m->conf->projects[i];
  poller_init(w);
  flow_init(w);
  return w;
}

void worlds_closed(struct worlds *w)
{
  if (--w->handles)
    return;
  free(w->poll);
  free(w->v);
  free(w);
}

void worlds_free(struct worlds *w)
{
  w->handles++; /* until both have begun */
  poller_close(w);
  flow_close(w);
  worlds_closed(w);
}
