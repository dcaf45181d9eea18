/* Two instances on one worker's credential. The incumbent is asked for a sign of life: a word from it within 5 s and the newcomer is refused; silence, and the newcomer takes over.
   So neither a copied token nor a second host pushes a living worker out, and a host that was set up anew does not wait for the old one's silence to be found out. */
#include "master/workers/session_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "master/core/master.h"

enum { ANSWER_MS = 5000, LOOK_MS = 50 };

/* Lives as long as its timer, which outlives the session by a turn of the loop. */
struct rival {
  uv_timer_t timer;
  struct session *s; /* the newcomer; NULL: it is over */
  int64_t worker, asked_ms;
};

static void on_closed(uv_handle_t *h) { free(h->data); }

void session_rival_end(struct session *s)
{
  struct rival *r = s->rival;

  if (!r)
    return;
  s->rival = NULL;
  r->s = NULL;
  uv_close((uv_handle_t *)&r->timer, on_closed);
}

static void look(uv_timer_t *timer)
{
  struct rival *r = timer->data;
  struct session *s = r->s, *old = session_of_worker(s->m->sessions, r->worker);
  int64_t waited = clock_mono_ms() - r->asked_ms, worker = r->worker;

  if (old && old->link && strcmp(old->instance, s->instance)) {
    if (link_heard_ms(old->link) <= waited) {
      session_refuse(s, "duplicate", "another instance is connected as %s and answers", s->name);
      return;
    }
    if (waited < ANSWER_MS)
      return;
    log_warn("worker", "%s: the instance at %s does not answer, the one at %s takes over", s->name, old->peer, s->peer);
  }
  session_rival_end(s);
  session_take_over(s, worker);
}

void session_rival_begin(struct session *s, int64_t worker, struct session *old)
{
  struct rival *r = xcalloc(1, sizeof *r);

  r->s = s;
  r->worker = worker;
  r->asked_ms = clock_mono_ms();
  s->rival = r;
  sm_move(&s->sm, SESSION_RIVAL);
  uv_timer_init(s->m->loop, &r->timer);
  r->timer.data = r;
  link_ping(old->link);
  uv_timer_start(&r->timer, look, LOOK_MS, LOOK_MS);
}
