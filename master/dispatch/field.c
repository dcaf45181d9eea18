#include "master/dispatch/field.h"

#include "common/clock.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/pauses.h"
#include "master/workers/session.h"

struct worker_is field_is(const struct session *s)
{
  return (struct worker_is){ .name = s->name, .pool = s->pool, .tags = (const char *const *)s->tags, .ntags = s->ntags, .slots = s->slots, .os = s->host.os, .arch = s->host.arch, .release = s->host.release,
                             .host = s->host.host, .isolation = s->host.isolation, .cgroup = s->host.cgroup, .cores = s->host.cores, .memory = s->host.memory, .disk = s->work.total, .disk_free = s->work.free };
}

struct choose_worker field_one(struct session *s, struct master *m)
{
  return (struct choose_worker){ .is = field_is(s), .used = session_used(s), .weight = s->weight, .low = work_is_low(s), .paused = pauses_of_session(dispatch_pauses(m), s->name, s->pool) != NULL || s->order.leaving,
                                 .closed = !calendar_open(&s->calendar, clock_wall_ms() / 1000), .quarantined = pause_holds(pauses_of_worker(dispatch_quarantines(m), s->worker), clock_mono_ms()) };
}

bool field_takes(const struct choose_worker *w)
{
  return !w->low && !w->paused && !w->closed && !w->quarantined;
}

void field_gather(struct field *f, struct master *m)
{
  f->n = 0;
  list_each(it, sessions_list(m->sessions)) {
    struct session *s = list_of(it, struct session, node);
    if (!session_ready(s) || f->n == FIELD_MAX)
      continue;
    f->w[f->n] = field_one(s, m);
    f->of[f->n++] = s;
  }
}

/* Removals are rare: mostly there is nothing to look for. */
void field_for(struct field *f, const char *project, const char *builder, struct field_past past)
{
  for (int i = 0; i < f->n; i++) {
    f->w[i].cleaning = map_count(f->of[i]->work.blocked) && session_slot(f->of[i], project, builder) < 0;
    f->w[i].warm = f->of[i]->worker == past.warm;
    f->w[i].spoilt = f->of[i]->worker == past.spoilt;
  }
}
