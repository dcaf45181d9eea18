/* Standard input and terminals of commands. */
#include "master/dispatch/run_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/conf/schema.h"
#include "master/core/master.h"
#include "master/events/hints.h"
#include "master/logs/watch.h"
#include "master/workers/session.h"

/* One that waits for an answer. */
struct waiting {
  struct list node;
  uv_timer_t timer;
  struct run *run;
  run_input_cb *cb;
  void *arg;
  int64_t after;
  bool taken, holder; /* holder: who asked has the input */
};

struct run_input {
  struct list asks;
  int nasks;
  char way[RUN_INPUT_WAY_LEN + 1];
  bool known;            /* the worker has told on this link */
  int64_t off, limit;
  int64_t sent;          /* the end of what was sent on this way */
  char state[sizeof "closed"];
  struct hold hold;
};

static bool wants(const struct pipe_step *def)
{
  bool secret = false;

  for (int i = 0; i < def->ninput; i++)
    secret = secret || !def->input[i].text;
  return def->input_open || def->pty_cols || def->ninput > 1 || secret; /* a text alone is what any worker takes */
}

char *run_input_refused(const struct run *r, const struct pipe_step *def)
{
  if (!wants(def) || session_has(r->session, SESSION_INPUT))
    return NULL;
  return xasprintf("it wants %s, and the drover-worker on %s is too old for that: upgrade it", def->pty_cols ? "a terminal" : "more than a text as its input", r->session->name);
}

struct run *run_input_of(struct master *m, const char *name)
{
  list_each(it, sessions_list(m->sessions)) {
    struct session *s = list_of(it, struct session, node);
    list_each(jt, &s->runs) {
      struct run *r = list_of(jt, struct run, node);
      if (r->sm.state == RUN_COMMAND && !strcmp(r->name, name))
        return r;
    }
  }
  return NULL;
}

char *run_input_not_now(const struct run *r, const char *step, const struct run_input_ask *a)
{
  const struct pipe_step *def = r->step.def;

  if (step && strcmp(step, def->name))
    return xasprintf("%s is at step %s, not at %.100s", r->name, def->name, step);
  if (!def->input_open && !(a->size && def->pty_cols && !a->n && !a->close && a->after < 0))
    return xasprintf("step %s of %s takes no input while it runs: it has no `stdin: {open: true}`", def->name, r->name);
  if (a->size && !def->pty_cols)
    return xasprintf("step %s of %s has no terminal", def->name, r->name);
  if (r->input && r->input->nasks >= RUN_INPUT_ASKS_MAX)
    return xasprintf("others send to step %s of %s, too many at once", def->name, r->name);
  return NULL;
}

static void closed(uv_handle_t *h)
{
  free(h->data);
}

/* f NULL: nobody knows. */
static void answer(struct waiting *w, const struct run_input *f)
{
  struct run_input_told told = { .taken = w->taken };

  if (f) {
    told.off = f->off;
    told.limit = f->limit;
    told.next = f->sent > f->off ? f->sent : f->off;
    told.state = f->state;
    told.way = f->way;
  }
  list_remove(&w->node);
  w->run->input->nasks--;
  if (w->holder && w->run->input->hold.waiting) {
    w->run->input->hold.waiting--;
    w->run->input->hold.heard_ms = clock_mono_ms();
  }
  w->cb(w->arg, &told);
  uv_close((uv_handle_t *)&w->timer, closed);
}

static struct hold_ask asker(const struct run_input_ask *a)
{
  struct hold_ask by = a->by;

  by.sends = a->n || a->close || a->size;
  return by;
}

char *run_input_held(const struct run *r, const struct run_input_ask *a)
{
  struct hold_ask by = asker(a);
  char *who = r->input ? hold_refused(&r->input->hold, &by, clock_mono_ms()) : NULL, *why = NULL;

  if (who)
    why = xasprintf("the input of step %s of %s is sent by %s", r->step.def->name, r->name, who);
  free(who);
  return why;
}

/* Whoever had it before learns that by its next ask: it waits for nothing more. */
static void take_hold(struct run *r, const struct run_input_ask *a)
{
  struct run_input *f = r->input;
  struct hold before = f->hold;
  struct hold_ask by = asker(a);

  if (hold_asked(&f->hold, &by, clock_mono_ms(), clock_wall_ms()))
    log_info("input", "%s: %s sends input to step %s%s%s", r->name, by.who, r->step.def->name, *before.who ? ", as did before " : "", before.who);
  if (strcmp(before.sender, f->hold.sender))
    list_each(it, &f->asks) {
      struct waiting *w = list_of(it, struct waiting, node);
      if (w->holder)
        answer(w, f->known ? f : NULL);
    }
}

static void late(uv_timer_t *t)
{
  struct waiting *w = t->data;

  answer(w, w->run->input->known ? w->run->input : NULL);
}

static void wait_answer(struct run *r, const struct run_input_ask *a, bool taken, run_input_cb *cb, void *arg)
{
  struct waiting *w = xcalloc(1, sizeof *w);
  bool there = a->by.leave || (r->input->known && a->after >= 0 && (r->input->off > a->after || strcmp(r->input->state, "open")));

  *w = (struct waiting){ .run = r, .cb = cb, .arg = arg, .after = taken ? a->after : -1, .taken = taken, .holder = str_eq(a->by.sender, r->input->hold.sender) }; /* what is not on its way is not worth waiting for */
  uv_timer_init(r->m->loop, &w->timer);
  w->timer.data = w;
  uv_timer_start(&w->timer, late, there ? 0 : (uint64_t)(a->wait_ms ? a->wait_ms : RUN_INPUT_WAIT_MS), 0); /* known already: from the loop all the same */
  list_push(&r->input->asks, &w->node);
  r->input->nasks++;
  r->input->hold.waiting += w->holder;
}

static struct run_input *new_input(void)
{
  struct run_input *f = xcalloc(1, sizeof *f);
  unsigned char random[RUN_INPUT_WAY_LEN / 2];

  list_init(&f->asks);
  str_random(random, sizeof random);
  str_hex(random, sizeof random, f->way);
  return f;
}

void run_input_ask(struct run *r, const struct run_input_ask *a, run_input_cb *cb, void *arg)
{
  struct buf *out = link_out(r->session->link);
  struct run_input *f;
  bool fits;

  if (!r->input)
    r->input = new_input();
  f = r->input;
  if (a->far && a->by.sender && strcmp(a->by.sender, f->hold.sender))
    wire_put(out, VERB_follow, "in", &r->cmd, (int64_t)1);
  r->far |= a->far && a->by.sender;
  take_hold(r, a);
  fits = f->known && (!a->way || !strcmp(a->way, f->way)) && a->off <= f->limit && (int64_t)a->n <= f->limit - a->off;
  if (a->size)
    wire_put(out, VERB_resize, "iis", &r->cmd, &r->epoch, a->size);
  if (!r->step.def->input_open) { /* it has a size, and nothing else to tell */
    struct run_input_told told = { .state = "gone", .way = f->way, .taken = true };
    cb(arg, &told);
    return;
  }
  if (a->n && fits)
    wire_put_blob(out, VERB_stdin, a->bytes, a->n, "iin", &r->cmd, &r->epoch, a->off);
  if (fits && a->off <= (f->sent > f->off ? f->sent : f->off) && a->off + (int64_t)a->n > f->sent) /* behind a gap it is dropped there */
    f->sent = a->off + (int64_t)a->n;
  if (a->close && fits)
    wire_put(out, VERB_close, "iin", &r->cmd, &r->epoch, a->off + (int64_t)a->n);
  else if (!a->by.leave && (!f->known || (a->after < 0 && !(a->n && fits))))
    wire_put(out, VERB_stdin, "iin", &r->cmd, &r->epoch, (int64_t)0); /* it answers how far it is */
  wait_answer(r, a, fits, cb, arg);
}

bool run_input_fed(struct run *r, struct wire_msg *m)
{
  int64_t off = wire_num(m, 1), limit = wire_num(m, 2);
  const char *state = wire_str(m, 3);
  struct run_input *f = r->input;

  if (m->bad || limit < off || (strcmp(state, "open") && strcmp(state, "closed") && strcmp(state, "gone")))
    return false;
  if (!f)
    return true; /* nobody asked */
  if (f->known && off < f->off)
    return false;
  f->known = true;
  f->off = off;
  f->limit = limit - off > RUN_INPUT_WINDOW ? off + RUN_INPUT_WINDOW : limit;
  snprintf(f->state, sizeof f->state, "%s", state);
  list_each(it, &f->asks) {
    struct waiting *w = list_of(it, struct waiting, node);
    if (w->after < 0 || off > w->after || strcmp(state, "open"))
      answer(w, f);
  }
  return true;
}

void run_log_grew(struct run *r)
{
  watch_tell(r->m->watches, r->id);
  if (r->far)
    hints_say(r->m->hints, HINT_logs);
}

void run_input_over(struct run *r)
{
  if (!r->input)
    return;
  list_each(it, &r->input->asks)
    answer(list_of(it, struct waiting, node), NULL);
  free(r->input);
  r->input = NULL;
}
