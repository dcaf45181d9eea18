/* From changes to requests: a change is read (its pipeline at its revision), the schedulers decide, and what they decide is one transaction with its events. Timers are due times in the
   database, so any master fires them, and a restart forgets none. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/facts.h"
#include "master/schedulers/worlds_int.h"

enum { FLOW_AFTER_MS = 2, FLOW_FAILED_MS = 1000 /* what the database refuses is tried again after */ };

struct change {
  struct worlds *w;
  struct world *p;
  int64_t id;
  struct facts *facts;
  int64_t epoch;       /* of the lease under which it is read */
  bool supersedes;     /* builds of older changes may have been cancelled */
};

static void change_free(struct change *c)
{
  world_drop(c->p);
  facts_free(c->facts);
  free(c);
}

static void on_due(uv_timer_t *t);

static void soon(struct worlds *w, int64_t ms)
{
  if (!w->m->stopping)
    uv_timer_start(&w->due, on_due, (uint64_t)ms, 0);
}

int64_t worlds_safety_ms(const struct worlds *w)
{
  return w->m->conf->look_ms / CONF_LOOKS_FLOW;
}

/* Something is another way now, which a look that is under way may have missed. */
void worlds_after(struct worlds *w)
{
  w->again |= w->firing;
  soon(w, FLOW_AFTER_MS);
}

void worlds_kick(struct worlds *w)
{
  w->again = w->reading || w->firing || w->in_read;
  soon(w, 0);
  timed_kick(w);
}

/* ---- a change is decided ---- */

static void decided(struct db_res *res, void *arg)
{
  struct change *c = arg;
  struct worlds *w = c->w;

  w->in_read--;
  if (db_err(res) == ERR_FAILED && !lease_lost(res)) /* else who has it now reads the change */
    log_error("change", "c%" PRId64 ": %s", c->id, db_errtext(res));
  if (!db_err(res)) {
    events_kick(w->m->events);
    dispatch_kick(w->m->dispatch);
    if (c->supersedes)
      dispatch_cancelled(w->m->dispatch);
    timed_kick(w); /* its branch may say which schedulers there are */
  }
  change_free(c);
  worlds_after(w);
}

static void put_buildset(struct db_tx *tx, struct worlds *w, int64_t project, const char *repository, const char *branch, const char *revision,
                         const char *scheduler, const char *changes, int64_t pipe_id, const char *builders)
{
  char *reason = xasprintf("scheduler %s saw %s", scheduler, changes);
  char *ids = xstrdup(changes), *to = ids;

  for (const char *s = changes; *s; s++) /* "c7,c8" → "{7,8}" */
    if (*s != 'c')
      *to++ = *s;
  *to = 0;
  to = xasprintf("{%s}", ids);
  db_q(tx, SQL_buildset_add, "nssssssssnnNs", project, repository, branch, revision, scheduler, reason, to, "{}", NULL, w->m->config_version, pipe_id, INT64_MIN, builders);
  free(reason);
  free(ids);
  free(to);
}

static void pipeline_here(const struct world_pipe *r, void *arg)
{
  struct change *c = arg;
  struct worlds *w = c->w;
  struct db_tx *tx;

  if (c->p->gone || (!c->p->pipe_id && !world_lease_same(c->p, c->epoch))) { /* it stays in `reading`: for the project as it is now, until there is one again, or for another master */
    w->in_read--;
    change_free(c);
    soon(w, FLOW_AFTER_MS);
    return;
  }
  tx = db_tx(w->m->db, DB_ANY);
  if (!c->p->pipe_id)
    lease_fence(tx, c->p->poll, c->epoch);
  if (r->err && err_class(r->err) == ERR_CLASS_RETRY) {
    log_warn("change", "c%" PRId64 " can't be read yet: %s", c->id, r->why);
    db_q(tx, SQL_change_later, "ns", c->id, r->why);
  } else {
    struct buf plan;
    buf_init(&plan, BUF_NO_MAX);
    if (r->err)
      log_warn("change", "c%" PRId64 " %s %.12s: %s", c->id, c->facts->c.branch, c->facts->c.revision, r->why);
    else
      c->supersedes = decide_plan(pipes_of(r->pipe), &c->facts->c, &plan);
    db_q(tx, SQL_change_decide, "nssNNs", c->id, r->err && r->err != ERR_NOTFOUND ? "failed" : "decided", r->err ? r->why : NULL, r->err ? INT64_MIN : r->pipe_id,
         c->w->m->config_version, plan.len ? buf_str(&plan) : "[]");
    buf_free(&plan);
  }
  db_send(tx, decided, c);
}

/* A row of changes_due. */
static struct facts *facts_of(const struct db_res *res, int stmt, int row, const struct world *p)
{
  return facts_new(&(struct facts_in){ .project = p->conf->name, .branch = db_str(res, stmt, row, 2), .revision = db_str(res, stmt, row, 3), .repository = db_str(res, stmt, row, 4),
                                       .kind = db_str(res, stmt, row, 7), .author = db_str(res, stmt, row, 8), .message = db_str(res, stmt, row, 9), .files = db_str(res, stmt, row, 10),
                                       .properties = db_str(res, stmt, row, 11), .number = db_num(res, stmt, row, 12), .build_forks = p->conf->forks_build || db_num(res, stmt, row, 13),
                                       .committer = db_str(res, stmt, row, 14), .category = db_str(res, stmt, row, 15), .codebase = db_str(res, stmt, row, 16), .main = conf_main(p->conf),
                                       .main_branch = db_null(res, stmt, row, 18) ? NULL : db_str(res, stmt, row, 17), .main_revision = db_null(res, stmt, row, 18) ? NULL : db_str(res, stmt, row, 18) });
}

static void changes_here(struct db_res *res, void *arg)
{
  struct worlds *w = arg;

  int stmt = w->stamping;

  w->reading = false;
  if (w->m->stopping)
    return; /* the git helper takes no more requests */
  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("change", "%s", db_errtext(res));
    return;
  }
  for (int i = 0; i < db_rows(res, stmt); i++) {
    struct world *p = worlds_find(w, db_str(res, stmt, i, 1));
    struct change *c;
    if (!p || !p->id || (!p->pipe_id && !world_reads(p)))
      continue; /* it left the configuration since we asked, or another master reads there */
    c = xcalloc(1, sizeof *c);
    *c = (struct change){ .w = w, .p = world_hold(p), .id = db_num(res, stmt, i, 0), .facts = facts_of(res, stmt, i, p), .epoch = p->poll->epoch };
    w->in_read++;
    if (!p->pipe_id && !db_null(res, stmt, i, 6))
      worlds_pipeline_known(w, p, db_num(res, stmt, i, 6), c->facts->at, pipeline_here, c);
    else
      worlds_pipeline(w, p, c->facts->place, c->facts->at, pipeline_here, c);
  }
}

/* ---- a scheduler's due time has come ---- */

struct firing {
  struct list node; /* of worlds.firings */
  struct worlds *w;
  int64_t project, pipe_id;
  char *name, *scheduler, *branch, *changes, *revision, *repository;
  char *codebases; /* of the changes: JSON */
  int64_t newest; /* of changes */
  int64_t rests_until; /* clock_mono_ms; 0: it is under way */
};

/* One that is still due because its transaction is not over (a second one would only wait for it, on one more of the few connections), or was refused a moment ago. */
static bool is_firing(const struct worlds *w, int64_t project, const char *scheduler, const char *branch)
{
  list_each(it, &w->firings) {
    const struct firing *f = list_of(it, struct firing, node);
    if (f->project == project && !strcmp(f->scheduler, scheduler) && !strcmp(f->branch, branch))
      return true;
  }
  return false;
}

static void firing_free(struct firing *f)
{
  list_remove(&f->node);
  free(f->name);
  free(f->scheduler);
  free(f->branch);
  free(f->changes);
  free(f->revision);
  free(f->repository);
  free(f->codebases);
  free(f);
}

static void fired(struct db_res *res, void *arg)
{
  struct firing *f = arg;
  struct worlds *w = f->w;

  if (db_err(res) == ERR_FAILED && !strstr(db_errtext(res), "division by zero")) { /* another change came meanwhile, or another master was first */
    log_error("scheduler", "%s/%s: %s", f->name, f->scheduler, db_errtext(res));
    f->rests_until = clock_mono_ms() + FLOW_FAILED_MS;
    return;
  }
  if (!db_err(res)) {
    events_kick(w->m->events);
    dispatch_kick(w->m->dispatch);
    dispatch_cancelled(w->m->dispatch);
  }
  firing_free(f);
  worlds_after(w);
}

/* "{7,8}" → "c7,c8" */
static char *change_names(const char *array)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (const char *s = array + 1; *s && *s != '}'; s++) {
    if (s == array + 1 || s[-1] == ',')
      buf_addc(&b, 'c');
    buf_addc(&b, *s);
  }
  return buf_take(&b);
}

/* What it asks for, in the newest change's pipeline, by all the changes that waited. */
static void ask_for(const struct firing *f, const struct pipeline *p, const struct pipe_scheduler *s, struct buf *builders)
{
  const struct world *w = worlds_find(f->w, f->name);
  cJSON *list = cJSON_Parse(f->codebases), *it;
  const char **names = xcalloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *names);
  int n = 0;

  cJSON_ArrayForEach(it, list)
    if (cJSON_IsString(it))
      names[n++] = it->valuestring;
  decide_waited(p, s, names, n, w ? conf_main(w->conf) : NULL, builders);
  free(names);
  cJSON_Delete(list);
}

static void fire(bool ok, void *arg)
{
  struct firing *f = arg;
  struct pipe_ref *pipe = ok ? pipes_ref(f->w->m, f->pipe_id, f->name) : NULL;
  const struct pipe_scheduler *s = NULL;
  struct db_tx *tx;
  char *names;

  if (!pipe) {
    firing_free(f);
    return;
  }
  s = pipes_of(pipe) ? pipeline_scheduler(pipes_of(pipe), f->scheduler) : NULL;
  if (s && s->trigger != PIPE_ON_CHANGE)
    s = NULL;
  names = change_names(f->changes);
  tx = db_tx(f->w->m->db, DB_ANY);
  if (s) {
    struct buf builders;
    buf_init(&builders, BUF_NO_MAX);
    ask_for(f, pipes_of(pipe), s, &builders);
    if (s->supersede || s->collapse)
      db_q(tx, SQL_change_lock, "n", f->newest);
    db_q(tx, SQL_sched_take, "nssss", f->project, f->scheduler, f->branch, f->changes, "fired");
    put_buildset(tx, f->w, f->project, f->repository, f->branch, f->revision, f->scheduler, names, f->pipe_id, buf_str(&builders));
    if (s->supersede)
      db_q(tx, SQL_supersede, "sn", f->scheduler, f->newest);
    if (s->collapse)
      db_q(tx, SQL_collapse, "snn", f->scheduler, f->newest, (int64_t)s->collapse);
    buf_free(&builders);
  } else {
    db_q(tx, SQL_sched_take, "nssss", f->project, f->scheduler, f->branch, f->changes, "the newest change's pipeline has no such scheduler any more");
    db_q(tx, SQL_verdict_dropped, "ss", f->scheduler, f->changes);
  }
  free(names);
  db_send(tx, fired, f);
  pipes_unref(pipe);
}

static void drop_rested(struct worlds *w, int64_t now)
{
  list_each(it, &w->firings) {
    struct firing *f = list_of(it, struct firing, node);
    if (f->rests_until && f->rests_until <= now)
      firing_free(f);
  }
}

static void due_here(struct db_res *res, void *arg)
{
  struct worlds *w = arg;

  w->firing = false;
  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("scheduler", "%s", db_errtext(res));
    return;
  }
  drop_rested(w, clock_mono_ms());
  for (int i = 0; i < db_rows(res, 0); i++) {
    struct firing *f;
    if (is_firing(w, db_num(res, 0, i, 0), db_str(res, 0, i, 2), db_str(res, 0, i, 3)))
      continue;
    f = xmalloc(sizeof *f);
    *f = (struct firing){ { 0 }, w, db_num(res, 0, i, 0), db_num(res, 0, i, 7), xstrdup(db_str(res, 0, i, 1)), xstrdup(db_str(res, 0, i, 2)),
                          xstrdup(db_str(res, 0, i, 3)), xstrdup(db_str(res, 0, i, 4)), xstrdup(db_str(res, 0, i, 5)), xstrdup(db_str(res, 0, i, 6)), xstrdup(db_str(res, 0, i, 9)), db_num(res, 0, i, 8), 0 };
    list_push(&w->firings, &f->node);
    pipes_load(w->m, f->pipe_id, f->name, fire, f);
  }
  if (db_rows(res, 1) && !db_null(res, 1, 0, 0)) {
    int64_t next = db_num(res, 1, 0, 0);
    soon(w, next < worlds_safety_ms(w) ? next + 1 : worlds_safety_ms(w));
  } else {
    soon(w, worlds_safety_ms(w));
  }
  if (w->again) {
    w->again = false;
    soon(w, FLOW_AFTER_MS);
  }
}

/* Of other projects' changes and timers another master takes care, or nobody until they are configured again. read: also of changes that are read in a repository which another master looks at. */
static char *our_projects(const struct worlds *w, bool read)
{
  const char **names = xcalloc((size_t)w->n + 1, sizeof *names);
  char *array;
  int n = 0;

  for (int i = 0; i < w->n; i++)
    if (!read || w->v[i]->pipe_id || world_reads(w->v[i]))
      names[n++] = w->v[i]->conf->name;
  array = db_text_array(names, n);
  free(names);
  return array;
}

static bool have_codebases(const struct worlds *w)
{
  for (int i = 0; i < w->n; i++)
    if (conf_has_codebases(w->v[i]->conf))
      return true;
  return false;
}

static void on_due(uv_timer_t *t)
{
  struct worlds *w = t->data;
  struct db_tx *tx;
  char *ours, *read;

  if (!db_is_up(w->m->db)) {
    soon(w, worlds_safety_ms(w));
    return;
  }
  ours = our_projects(w, false);
  read = our_projects(w, true);
  if (!w->reading && !w->in_read) {
    w->reading = true;
    w->stamping = have_codebases(w);
    tx = db_tx(w->m->db, DB_ANY);
    if (w->stamping)
      db_q(tx, SQL_changes_stamp, "s", ours);
    db_q(tx, SQL_changes_due, "s", read);
    db_send(tx, changes_here, w);
  }
  if (!w->firing) {
    w->firing = true;
    tx = db_tx(w->m->db, DB_ANY);
    db_q(tx, SQL_sched_due, "s", ours);
    db_q(tx, SQL_sched_next, "s", ours);
    db_send(tx, due_here, w);
  }
  asks_look(w, ours, read);
  free(ours);
  free(read);
}

void flow_init(struct worlds *w)
{
  uv_timer_init(w->m->loop, &w->due);
  w->due.data = w;
  w->handles++;
}

static void closed(uv_handle_t *h)
{
  worlds_closed(h->data);
}

void flow_close(struct worlds *w)
{
  drop_rested(w, INT64_MAX);
  uv_close((uv_handle_t *)&w->due, closed);
}
