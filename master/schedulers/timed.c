/* Schedulers of time. A due time is a row's, and so is the last time that was acted upon: each firing is one transaction that moves both, makes the buildsets and says why, guarded by the due
   time that was read, so that of several masters one fires, and a master's death loses no time and doubles none. The next time is reckoned from the last scheduled one, never from now (due.c). */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/conf/conf.h"
#include "master/conf/zone.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/due.h"
#include "master/schedulers/sched_rows.h"
#include "master/schedulers/worlds_int.h"

enum { TIMED_AFTER_MS = 2 };

/* Columns of timed_due, and the statements of a look. */
enum { ID, PROJECT, PROJECT_NAME, NAME, PIPELINE, DUE, FRESH, SCHEDULED, BUILT, BRANCH, HEAD, NOW, MARK, PAST };
enum { SQL_DUE, SQL_NEXT, SQL_TIPS };

static void on_timer(uv_timer_t *t);

static void soon(struct worlds *w, int64_t ms)
{
  if (!w->m->stopping)
    uv_timer_start(&w->timed, on_timer, (uint64_t)ms, 0);
}

void timed_kick(struct worlds *w)
{
  w->timed_again = w->timing;
  soon(w, 0);
}

/* One that is due. */
struct timing {
  struct list node; /* of worlds.timings */
  struct worlds *w;
  int64_t id, pipe_id, due, scheduled, now;
  bool fresh;
  char *project, *name, *built, *branch, *head, *mark, *repository; /* mark: what `built` is compared with */
  char *past; /* time_facts; or NULL */
};

/* One that is still due because its transaction is not over: as in flow.c. */
static bool is_timing(const struct worlds *w, int64_t id)
{
  list_each(it, &w->timings)
    if (list_of(it, struct timing, node)->id == id)
      return true;
  return false;
}

static void timing_free(struct timing *f)
{
  list_remove(&f->node);
  free(f->project);
  free(f->name);
  free(f->built);
  free(f->branch);
  free(f->head);
  free(f->mark);
  free(f->past);
  free(f->repository);
  free(f);
}

static void fired(struct db_res *res, void *arg)
{
  struct timing *f = arg;
  struct worlds *w = f->w;

  if (db_err(res) == ERR_FAILED)
    log_error("scheduler", "%s/%s: %s", f->project, f->name, db_errtext(res));
  if (!db_err(res)) {
    events_kick(w->m->events);
    dispatch_kick(w->m->dispatch);
    soon(w, TIMED_AFTER_MS);
  }
  timing_free(f);
}

/* [{at, what, why, reason}] for scheduler_fire. */
static char *acts_json(const struct timing *f, const struct pipe_scheduler *s, const struct due_plan *plan)
{
  cJSON *list = cJSON_CreateArray();
  char *text;

  for (int i = 0; i < plan->n; i++) {
    cJSON *o = cJSON_CreateObject();
    char *reason;
    struct buf why;
    buf_init(&why, BUF_NO_MAX);
    due_why(s, &plan->v[i], f->branch, f->head, &why);
    reason = xasprintf("scheduler %s, %s", f->name, buf_str(&why));
    cJSON_AddNumberToObject(o, "at", (double)plan->v[i].at);
    cJSON_AddStringToObject(o, "what", due_what_name(plan->v[i].what));
    cJSON_AddStringToObject(o, "why", buf_str(&why));
    cJSON_AddStringToObject(o, "reason", reason);
    cJSON_AddItemToArray(list, o);
    free(reason);
    buf_free(&why);
  }
  text = cJSON_PrintUnformatted(list);
  cJSON_Delete(list);
  return text;
}

static void act(struct timing *f, const struct pipeline *p, const struct pipe_scheduler *s)
{
  struct db_tx *tx = db_tx(f->w->m->db, DB_ANY);
  struct due_plan plan;
  struct buf builders;
  cJSON *past;
  char *acts;

  due_plan(s, f->due, f->fresh, f->scheduled, f->now, &plan);
  past = f->past ? cJSON_Parse(f->past) : NULL;
  due_only_if(s, &(struct due_facts){ f->project, f->branch, f->head, f->mark, f->built, past }, &plan);
  cJSON_Delete(past);
  acts = acts_json(f, s, &plan);
  zone_own(); /* children inherit TZ */
  buf_init(&builders, BUF_NO_MAX);
  decide_scheduler(p, s, &builders);
  db_q(tx, SQL_scheduler_fire, "nnNnnsssss", f->id, f->due, plan.next, f->pipe_id, f->w->m->config_version, f->repository, f->branch ? f->branch : "", f->head ? f->head : "", acts,
       buf_str(&builders));
  buf_free(&builders);
  free(acts);
  db_send(tx, fired, f);
}

static void pipe_here(bool ok, void *arg)
{
  struct timing *f = arg;
  struct pipe_ref *pipe = ok ? pipes_ref(f->w->m, f->pipe_id, f->project) : NULL;
  const struct pipe_scheduler *s = pipe && pipes_of(pipe) ? pipeline_scheduler(pipes_of(pipe), f->name) : NULL;

  if (s && (s->trigger == PIPE_ON_CRON || s->trigger == PIPE_ON_EVERY)) {
    act(f, pipes_of(pipe), s);
  } else {
    if (pipe) /* of another version of drover; the next configuration or commit brings another */
      log_warn("scheduler", "%s/%s is due, but its pipeline is not valid for this version of the master", f->project, f->name);
    timing_free(f);
  }
  pipes_unref(pipe);
}

static void look_here(struct db_res *res, void *arg)
{
  struct worlds *w = arg;
  int64_t next = worlds_safety_ms(w);

  w->timing = false;
  if (w->m->stopping)
    return;
  if (db_err(res)) {
    if (db_err(res) == ERR_FAILED)
      log_error("scheduler", "%s", db_errtext(res));
    soon(w, worlds_safety_ms(w));
    return;
  }
  for (int i = 0; i < db_rows(res, SQL_DUE); i++) {
    struct world *p = worlds_find(w, db_str(res, SQL_DUE, i, PROJECT_NAME));
    struct timing *f;
    if (!p || is_timing(w, db_num(res, SQL_DUE, i, ID)))
      continue; /* it left the configuration since we asked */
    f = xmalloc(sizeof *f);
    *f = (struct timing){ .w = w, .id = db_num(res, SQL_DUE, i, ID), .pipe_id = db_num(res, SQL_DUE, i, PIPELINE), .due = db_num(res, SQL_DUE, i, DUE),
                          .scheduled = db_null(res, SQL_DUE, i, SCHEDULED) ? DUE_NEVER : db_num(res, SQL_DUE, i, SCHEDULED), .now = db_num(res, SQL_DUE, i, NOW),
                          .fresh = db_num(res, SQL_DUE, i, FRESH) != 0, .project = xstrdup(p->conf->name), .name = xstrdup(db_str(res, SQL_DUE, i, NAME)),
                          .built = db_dup(res, SQL_DUE, i, BUILT), .branch = db_dup(res, SQL_DUE, i, BRANCH), .head = db_dup(res, SQL_DUE, i, HEAD), .mark = db_dup(res, SQL_DUE, i, MARK), .past = db_dup(res, SQL_DUE, i, PAST),
                          .repository = xstrdup(world_repository(p)) };
    list_push(&w->timings, &f->node);
    pipes_load(w->m, f->pipe_id, f->project, pipe_here, f);
  }
  sched_rows_tips(w, res, SQL_TIPS);
  if (db_rows(res, SQL_NEXT) && db_num(res, SQL_NEXT, 0, 0) < worlds_safety_ms(w))
    next = db_num(res, SQL_NEXT, 0, 0) + 1;
  soon(w, w->timed_again ? TIMED_AFTER_MS : next);
  w->timed_again = false;
}

/* Names of this master's projects; only: those whose pipeline is in the repository, where this master reads it. */
static char *projects(const struct worlds *w, bool only)
{
  const char **names = xcalloc((size_t)w->n + 1, sizeof *names);
  char *array;
  int n = 0;

  for (int i = 0; i < w->n; i++)
    if (!only || world_reads(w->v[i]))
      names[n++] = w->v[i]->conf->name;
  array = db_text_array(names, n);
  free(names);
  return array;
}

static void on_timer(uv_timer_t *t)
{
  struct worlds *w = t->data;
  char *ours, *read;
  struct db_tx *tx;

  if (w->timing)
    return; /* the answer starts the timer */
  if (!db_is_up(w->m->db)) {
    soon(w, worlds_safety_ms(w));
    return;
  }
  w->timing = true;
  ours = projects(w, false);
  read = w->tips ? db_text_array(NULL, 0) : projects(w, true);
  tx = db_tx(w->m->db, DB_READ); /* behind what waits for the row of one scheduler all others would wait, too */
  db_q(tx, SQL_timed_due, "s", ours);
  db_q(tx, SQL_timed_next, "s", ours);
  db_q(tx, SQL_timed_tips, "s", read);
  db_send(tx, look_here, w);
  free(ours);
  free(read);
}

void timed_init(struct worlds *w)
{
  uv_timer_init(w->m->loop, &w->timed);
  w->timed.data = w;
  w->handles++;
}

static void closed(uv_handle_t *h)
{
  worlds_closed(h->data);
}

void timed_close(struct worlds *w)
{
  uv_close((uv_handle_t *)&w->timed, closed);
}
