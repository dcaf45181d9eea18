#include "master/workers/questions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/core/refusal.h"
#include "master/db/db.h"
#include "master/dispatch/gets.h"
#include "master/dispatch/input.h"
#include "master/events/hints.h"
#include "master/workers/session.h"

enum { LOOK_MS = 250, GRACE_MS = 2000 }; /* rows are looked at so often while somebody waits; another master has so much longer than the worker */

/* wait_ms: for the worker. */
static const struct kind {
  const char *name;
  int64_t wait_ms;
  void (*answer)(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg);
} kinds[QUESTION_KINDS] = {
  [QUESTION_LOG] = { "log", 10000, answer_log },
  [QUESTION_FACTS] = { "facts", 25000, answer_facts }, /* a worker gives all tools 20 s */
  [QUESTION_GETS] = { "gets", 500, gets_answer },
  [QUESTION_INPUT] = { "input", RUN_INPUT_WAIT_MS, input_answer },
};

/* One that somebody waits for here. */
struct question {
  struct list node;
  struct questions *qs;
  const struct kind *kind;
  char *worker, *args, *place; /* place: the master that has it */
  int64_t row, due;            /* row 0: none, or not known yet; due: on clock_mono_ms(), 0: it is answered in any case */
  bool putting;                /* its row is under way: it stays until that is answered */
  questions_done *done;
  void *arg;
  int status;                  /* 0: not answered yet */
  cJSON *body;
};

struct questions {
  struct master *m;
  struct list open;
  uv_timer_t timer;
  bool looking, again;
};

/* One of another master's, which is being answered here. */
struct taken {
  struct master *m;
  int64_t row;
};

static void on_timer(uv_timer_t *t);

/* ---- those that wait here ---- */

/* It is told with the next turn of the loop. body: taken over. */
static void answer(struct question *q, int status, cJSON *body)
{
  if (q->status) {
    cJSON_Delete(body);
    return;
  }
  q->status = status;
  q->body = body;
  uv_timer_start(&q->qs->timer, on_timer, 0, LOOK_MS);
}

static void deliver(struct question *q)
{
  char *text = cJSON_PrintUnformatted(q->body);

  list_remove(&q->node);
  q->done(q->status, text, q->arg);
  free(text);
  cJSON_Delete(q->body);
  free(q->worker);
  free(q->args);
  free(q->place);
  free(q);
}

static void deliver_all(struct questions *qs)
{
  list_each(it, &qs->open) {
    struct question *q = list_of(it, struct question, node);
    if (q->status && !q->putting)
      deliver(q);
  }
}

static void drop_row(struct master *m, int64_t row)
{
  struct db_tx *tx = db_tx(m->db, DB_ANY);

  db_q(tx, SQL_worker_question_drop, "n", row);
  db_send(tx, NULL, NULL);
}

static void expire(struct question *q)
{
  if (!q->place) {
    answer(q, 503, refusal("database_away", "try again in a moment; drover status tells more", "the database does not answer, and worker %.100s is not connected to this master", q->worker));
    return;
  }
  answer(q, 504, refusal("timeout", "drover worker show tells where it is", "worker %.100s is connected to the master %.200s, which has not answered within %d s", q->worker, q->place,
                           (int)((q->kind->wait_ms + GRACE_MS) / 1000)));
  if (q->row && db_is_up(q->qs->m->db))
    drop_row(q->qs->m, q->row);
}

static bool any_elsewhere(struct questions *qs)
{
  list_each(it, &qs->open)
    if (list_of(it, struct question, node)->row)
      return true;
  return false;
}

static void on_timer(uv_timer_t *t)
{
  struct questions *qs = t->data;
  int64_t now = clock_mono_ms();

  list_each(it, &qs->open) {
    struct question *q = list_of(it, struct question, node);
    if (q->due && q->due <= now && !q->status)
      expire(q);
  }
  deliver_all(qs);
  if (list_empty(&qs->open))
    uv_timer_stop(&qs->timer);
  if (!any_elsewhere(qs))
    return;
  hints_say(qs->m->hints, HINT_asked); /* again: the last one may be lost, and the worker may have gone on */
  questions_look(qs);
}

/* ---- rows ---- */

static void put(struct db_res *res, void *arg)
{
  enum { REMOVED, CONNECTED, LOST_AT, PLACE, ROW };
  struct question *q = arg;

  q->putting = false;
  if (db_err(res) == ERR_FAILED)
    log_error("worker", "%s", db_errtext(res));
  if (db_err(res))
    answer(q, 503, refusal("database_away", "try again in a moment; drover status tells more", "the database is away, and worker %.100s is not connected to this master", q->worker));
  else if (!db_rows(res, 1))
    answer(q, 404, refusal("not_found", "drover worker list shows them all", "there is no worker %.100s", q->worker));
  else if (db_num(res, 1, 0, REMOVED))
    answer(q, 409, refusal("conflict", "drover worker add brings it back", "worker %.100s was removed", q->worker));
  else if (!db_num(res, 1, 0, CONNECTED))
    answer(q, 409, refusal("conflict", "drover worker show tells since when", db_null(res, 1, 0, LOST_AT) ? "worker %.100s was never connected" : "worker %.100s is away", q->worker));
  else if (q->status)
    drop_row(q->qs->m, db_num(res, 1, 0, ROW));
  else {
    q->row = db_num(res, 1, 0, ROW);
    q->place = db_dup(res, 1, 0, PLACE);
    uv_timer_start(&q->qs->timer, on_timer, 0, LOOK_MS);
  }
  if (q->status)
    uv_timer_start(&q->qs->timer, on_timer, 0, LOOK_MS);
}

static void ask_elsewhere(struct question *q)
{
  struct master *m = q->qs->m;
  int64_t wait = q->kind->wait_ms + GRACE_MS;
  struct db_tx *tx = db_tx(m->db, DB_ANY);

  q->due = clock_mono_ms() + wait;
  q->putting = true;
  db_q(tx, SQL_worker_question_prune, "");
  db_q(tx, SQL_worker_question_put, "nsssn", m->id, q->worker, q->kind->name, q->args, wait);
  db_send(tx, put, q);
  uv_timer_start(&q->qs->timer, on_timer, LOOK_MS, LOOK_MS);
}

static void answered(struct db_res *res, void *arg)
{
  struct master *m = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("worker", "%s", db_errtext(res));
  hints_say(m->hints, HINT_asked);
}

static void told_taken(void *arg, int status, cJSON *body)
{
  struct taken *t = arg;
  struct db_tx *tx = db_tx(t->m->db, DB_ANY);
  char *text = status ? cJSON_PrintUnformatted(body) : NULL;

  if (status)
    db_q(tx, SQL_worker_question_answer, "nnns", t->row, t->m->id, (int64_t)status, text);
  else
    db_q(tx, SQL_worker_question_leave, "nn", t->row, t->m->id); /* whoever it comes back to asks it again */
  db_send(tx, answered, t->m);
  free(text);
  cJSON_Delete(body);
  free(t);
}

static const struct kind *kind_named(const char *name)
{
  for (int i = 0; i < QUESTION_KINDS; i++)
    if (!strcmp(kinds[i].name, name))
      return &kinds[i];
  return NULL;
}

static void take(struct questions *qs, struct db_res *res, int row)
{
  enum { ROW, WORKER, KIND, ARGS, LEFT };
  const struct kind *k = kind_named(db_str(res, 0, row, KIND));
  struct session *s = session_of_worker(qs->m->sessions, db_num(res, 0, row, WORKER));
  cJSON *args = cJSON_Parse(db_str(res, 0, row, ARGS));
  int64_t left = db_num(res, 0, row, LEFT);
  struct taken *t = xcalloc(1, sizeof *t);

  *t = (struct taken){ qs->m, db_num(res, 0, row, ROW) };
  if (!k)
    told_taken(t, 409, refusal("conflict", "upgrade all masters", "the master that has the worker has another version, and does not know that question"));
  else if (!s || !session_ready(s))
    told_taken(t, 0, NULL); /* about to be, or about to be another's */
  else
    k->answer(s, args, left < k->wait_ms ? left : k->wait_ms, told_taken, t);
  cJSON_Delete(args);
}

static void take_answer(struct questions *qs, struct db_res *res, int row)
{
  enum { ROW, STATUS, BODY };

  list_each(it, &qs->open) {
    struct question *q = list_of(it, struct question, node);
    if (q->row != db_num(res, 1, row, ROW))
      continue;
    q->row = 0;
    answer(q, (int)db_num(res, 1, row, STATUS), cJSON_Parse(db_str(res, 1, row, BODY)));
    return;
  }
}

static void looked(struct db_res *res, void *arg)
{
  struct questions *qs = arg;

  qs->looking = false;
  if (db_err(res) == ERR_FAILED)
    log_error("worker", "%s", db_errtext(res));
  if (db_err(res) || qs->m->stopping)
    return;
  for (int i = 0; i < db_rows(res, 0); i++)
    take(qs, res, i);
  for (int i = 0; i < db_rows(res, 1); i++)
    take_answer(qs, res, i);
  if (qs->again)
    questions_look(qs);
}

void questions_look(struct questions *qs)
{
  struct db_tx *tx;

  if (!qs || qs->m->stopping || !qs->m->id || !db_is_up(qs->m->db))
    return;
  qs->again = qs->looking;
  if (qs->looking)
    return;
  qs->looking = true;
  tx = db_tx(qs->m->db, DB_ANY);
  db_q(tx, SQL_worker_question_take, "n", qs->m->id);
  db_q(tx, SQL_worker_question_answers, "n", qs->m->id);
  db_send(tx, looked, qs);
}

/* ---- asking ---- */

static void told_here(void *arg, int status, cJSON *body)
{
  struct question *q = arg;

  if (status)
    answer(q, status, body);
  else
    answer(q, 409, refusal("conflict", NULL, "worker %.100s: the worker went away before it answered", q->worker));
}

void question_ask(struct master *m, enum question_kind kind, const char *worker, const cJSON *args, questions_done *done, void *arg)
{
  struct question *q = xcalloc(1, sizeof *q);
  struct session *s = session_named(m->sessions, worker);

  *q = (struct question){ .qs = m->questions, .kind = &kinds[kind], .worker = xstrdup(worker), .args = cJSON_PrintUnformatted(args), .done = done, .arg = arg };
  list_push(&m->questions->open, &q->node);
  if (m->stopping)
    answer(q, 503, refusal("stopping", NULL, "this master is about to stop"));
  else if (s)
    q->kind->answer(s, args, q->kind->wait_ms, told_here, q);
  else if (m->id)
    ask_elsewhere(q);
  else
    answer(q, 503, refusal("database_away", "try again in a moment; drover status tells more", "the master is only just starting"));
}

/* ---- life ---- */

struct questions *questions_new(struct master *m)
{
  struct questions *qs = xcalloc(1, sizeof *qs);

  qs->m = m;
  list_init(&qs->open);
  uv_timer_init(m->loop, &qs->timer);
  qs->timer.data = qs;
  return qs;
}

void questions_stop(struct questions *qs)
{
  list_each(it, &qs->open) {
    struct question *q = list_of(it, struct question, node);
    if (q->due)
      answer(q, 503, refusal("stopping", NULL, "this master is about to stop"));
  }
}

static void closed(uv_handle_t *h)
{
  free(h->data);
}

/* Links and database are gone: all that was asked here is answered by that. */
void questions_free(struct questions *qs)
{
  deliver_all(qs);
  qs->m->questions = NULL;
  uv_close((uv_handle_t *)&qs->timer, closed);
}
