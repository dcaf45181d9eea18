/* The one reason why a request waits: the choice is made as it would be made now, and what it says is put into words. */
#include "master/dispatch/why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/expr.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/field.h"
#include "master/dispatch/lockbook.h"
#include "master/dispatch/pauses.h"
#include "master/dispatch/run.h"
#include "master/dispatch/wanted.h"
#include "master/workers/session.h"

enum { FOR_TEXT_MAX = 32, SECOND_MS = 1000, MINUTE_MS = 60000, HOUR_MS = 3600000, DAY_S = 24 * 3600 };

/* "10 s", "5 min", "3 h", "2 days"; rounded up. */
static const char *for_text(int64_t ms, char out[FOR_TEXT_MAX])
{
  static const struct { int64_t ms; const char *unit; } units[] = { { 2LL * DAY_S * SECOND_MS, "days" }, { 2 * HOUR_MS, "h" }, { 2 * MINUTE_MS, "min" }, { 0, "s" } };
  int64_t each[] = { DAY_S * INT64_C(1000), HOUR_MS, MINUTE_MS, SECOND_MS };
  size_t u = 0;

  while (u < COUNT(units) - 1 && ms < units[u].ms)
    u++;
  snprintf(out, FOR_TEXT_MAX, "%lld %s", (long long)((ms + each[u] - 1) / each[u]), units[u].unit);
  return out;
}

static void why_disk(const struct session *s, struct why *why)
{
  char has[STR_SIZE_MAX], wants[STR_SIZE_MAX], total[STR_SIZE_MAX];
  int64_t min_free = work_min_free(s);
  int n;

  why->kind = "disk";
  n = snprintf(why->text, sizeof why->text, "%.64s has %s free, %s must stay free (min_free)", s->name, str_size_text(s->work.free, has), str_size_text(min_free, wants));
  if (s->work.total >= 0 && s->work.total < min_free)
    snprintf(why->text + n, sizeof why->text - (size_t)n, "; its disk has only %s in all", str_size_text(s->work.total, total));
  else if (s->work.used_up)
    snprintf(why->text + n, sizeof why->text - (size_t)n, "; no unused work folder is left to remove there");
}

static void why_full(const struct session *s, struct why *why)
{
  const struct run *first = NULL;

  list_each(it, &s->runs)
    if (!first && run_holds_slot(list_of(it, struct run, node)))
      first = list_of(it, struct run, node);
  why->kind = "slots";
  snprintf(why->text, sizeof why->text, "%.64s is full (%d of %d slots: %.100s%s)", s->name, session_used(s), s->slots, first ? first->name : "", session_used(s) > 1 ? ", …" : "");
}

static void why_tag(const struct choose_want *want, int which, struct why *why)
{
  why->kind = "no_worker";
  if (which < want->ntags) {
    snprintf(why->text, sizeof why->text, "no connected worker has the tag %.60s", want->tags[which]);
    snprintf(why->object, sizeof why->object, "%.60s", want->tags[which]);
  } else {
    snprintf(why->text, sizeof why->text, "no connected worker has all the tags it needs");
  }
}

/* "no connected worker has memory >= 16G (the most is 8 GiB on build1)" */
static void why_want(const struct field *f, const struct choose_want *want, int which, struct why *why)
{
  const char *tagged = want->ntags ? " with its tags" : "";
  const struct worker_is **is;
  char said[200];
  int n = 0;

  why->kind = "no_worker";
  if (which == want->nterms) {
    snprintf(why->text, sizeof why->text, "no connected worker%s has all that it needs: each of its %d conditions is met by some, not all of them by one", tagged, want->nterms);
    return;
  }
  is = xcalloc((size_t)f->n + 1, sizeof *is);
  for (int i = 0; i < f->n; i++)
    if (choose_has_tags(&f->w[i].is, want->tags, want->ntags))
      is[n++] = &f->w[i].is;
  want_say(want->terms[which], is, n, said, sizeof said);
  free(is);
  snprintf(why->text, sizeof why->text, "no connected worker%s has %.150s%s", tagged, want->terms[which]->text, said);
  snprintf(why->object, sizeof why->object, "%.79s", want->terms[which]->text);
}

/* "calendar: build1 works from Mon 08:00 (Europe/Berlin), in 2 h" */
static void why_calendar(const struct session *s, struct why *why)
{
  int64_t now = clock_wall_ms() / 1000, turns = calendar_turns(&s->calendar, now);
  char day[32] = "", in[FOR_TEXT_MAX];
  time_t local;
  struct tm tm;

  why->kind = "calendar";
  if (turns == CALENDAR_NEVER) {
    snprintf(why->text, sizeof why->text, "calendar: %.64s works at no time in the next %d days", s->name, CALENDAR_DAYS);
    return;
  }
  local = (time_t)(turns + zone_offset(s->calendar.zone, turns));
  if (gmtime_r(&local, &tm))
    strftime(day, sizeof day, turns - now < DAY_S ? "%H:%M" : "%a %H:%M", &tm);
  snprintf(why->text, sizeof why->text, "calendar: %.64s works from %s (%.40s), in %s", s->name, day, s->calendar.zone, for_text((turns - now) * 1000, in));
}

static void why_quarantine(struct master *m, const struct session *s, struct why *why)
{
  const struct pause *q = pauses_of_worker(dispatch_quarantines(m), s->worker);
  char in[FOR_TEXT_MAX];

  why->kind = "quarantine";
  snprintf(why->text, sizeof why->text, "%.64s is in quarantine for another %s, because it spoilt a build: %.150s", s->name, for_text(q ? q->over_ms - clock_mono_ms() : 0, in), q && q->why ? q->why : "");
}

static bool pool_has(const struct conf_pool *p, const char *tag)
{
  for (int i = 0; i < p->is.ntags; i++)
    if (!strcmp(p->is.tags[i], tag))
      return true;
  return false;
}

/* Whether a member of the pool could do, by what the site says of the pool; what a member tells of itself is not known while there is none. */
static bool pool_will_do(const struct conf_pool *p, const struct choose_want *want)
{
  const struct worker_is is = { .name = "", .pool = p->is.name, .tags = (const char *const *)p->is.tags, .ntags = p->is.ntags, .slots = p->is.slots };
  struct expr_limit l;

  for (int i = 0; i < want->ntags; i++)
    if (!pool_has(p, want->tags[i]))
      return false;
  for (int i = 0; i < want->nterms; i++) {
    const struct want_term *t = want->terms[i];
    if (t->x && expr_limit(t->x, &l) && !strcmp(l.name, "pool") && !want_met(t, &is))
      return false;
  }
  return true;
}

/* "; no member of the pool vault is connected": of pools that would do. */
static void add_pools(const struct master *m, const struct field *f, const struct choose_want *want, struct why *why)
{
  const struct conf_pool *first = NULL;
  int more = 0;
  size_t n;

  for (int i = 0; i < m->conf->npools; i++) {
    const struct conf_pool *p = &m->conf->pools[i];
    bool here = !pool_will_do(p, want);
    for (int k = 0; k < f->n && !here; k++)
      here = str_eq(f->w[k].is.pool, p->is.name);
    more += !here && first;
    first = !here && !first ? p : first;
  }
  if (!first)
    return;
  n = strlen(why->text);
  n += (size_t)snprintf(why->text + n, sizeof why->text - n, "; no member of the pool %s is connected", first->is.name);
  if (more && n < sizeof why->text)
    snprintf(why->text + n, sizeof why->text - n, ", nor of %d more", more);
  if (!*why->object)
    snprintf(why->object, sizeof why->object, "pool/%s", first->is.name);
}

static void why_choice(struct master *m, const struct field *f, const struct choose_want *want, enum choose_reason reason, int which, const struct why_of *of, struct why *why)
{
  switch (reason) {
  case CHOOSE_OK:
    why->kind = "starting";
    snprintf(why->text, sizeof why->text, "about to start");
    return;
  case CHOOSE_NONE_CONNECTED:
    why->kind = "no_worker";
    snprintf(why->text, sizeof why->text, "no worker is connected");
    add_pools(m, f, want, why);
    return;
  case CHOOSE_NO_TAG:
    why_tag(want, which, why);
    add_pools(m, f, want, why);
    return;
  case CHOOSE_NO_WANT:
    why_want(f, want, which, why);
    add_pools(m, f, want, why);
    return;
  case CHOOSE_FULL:
    why_full(f->of[which], why);
    break;
  case CHOOSE_DISK:
    why_disk(f->of[which], why);
    break;
  case CHOOSE_CLEANING:
    why->kind = "disk";
    snprintf(why->text, sizeof why->text, "%.64s is removing its work folder of %.64s/%.96s", f->of[which]->name, of->project, of->builder);
    break;
  case CHOOSE_CALENDAR:
    why_calendar(f->of[which], why);
    break;
  case CHOOSE_QUARANTINE:
    why_quarantine(m, f->of[which], why);
    break;
  case CHOOSE_PAUSED: /* else told by the pause */
    why->kind = "paused";
    snprintf(why->text, sizeof why->text, "Worker %.64s has no builds any more, and is told to stop or to start anew.", f->of[which]->name);
    break;
  case CHOOSE_REASONS:
    return;
  }
  snprintf(why->object, sizeof why->object, "%.64s", f->of[which]->name);
}

static void why_paused(const struct pause *pause, struct why *why)
{
  why->kind = "paused";
  snprintf(why->object, sizeof why->object, "%.79s", pause->object);
  pauses_say(pause, why->text, sizeof why->text);
}

void why_pending(struct master *m, const struct why_of *of, struct why *why)
{
  static struct field f;
  const struct want_term **terms;
  struct choose_want want = { of->tags, of->ntags, NULL, of->nwants };
  enum choose_reason reason;
  const struct pause *pause;
  int which;

  memset(why, 0, sizeof *why);
  if (!db_is_up(m->db)) {
    why->kind = "database";
    snprintf(why->text, sizeof why->text, "the database is away%s%.150s", m->db_why ? ": " : "", m->db_why ? m->db_why : "");
    return;
  }
  field_gather(&f, m);
  field_for(&f, of->project, of->builder, (struct field_past){ INT64_MIN, INT64_MIN });
  want.terms = terms = wanted_terms(m, of);
  choose_worker(f.w, f.n, &want, &reason, &which);
  pause = pauses_of_builder(dispatch_pauses(m), of->project, of->builder);
  if (!pause && reason == CHOOSE_PAUSED)
    pause = pauses_of_session(dispatch_pauses(m), f.of[which]->name, f.of[which]->pool);
  if (pause)
    why_paused(pause, why);
  else
    why_choice(m, &f, &want, reason, which, of, why);
  free(terms);
}

/* "build1 has no tag big"; "memory >= 16G is not met by build1 (8 GiB)" */
static void why_lacks(const struct field *f, int at, const struct choose_want *want, enum choose_reason reason, int which, struct why *why)
{
  const struct worker_is *is = &f->w[at].is;
  char said[200];

  if (reason == CHOOSE_NO_TAG) {
    why->kind = "tag";
    snprintf(why->text, sizeof why->text, "%.64s has no tag %.60s", is->name, want->tags[which]);
    snprintf(why->object, sizeof why->object, "%.60s", want->tags[which]);
    return;
  }
  why->kind = "condition";
  want_say_own(want->terms[which], is, said, sizeof said);
  snprintf(why->text, sizeof why->text, "%.150s is not met by %.64s%s", want->terms[which]->text, is->name, said);
  snprintf(why->object, sizeof why->object, "%.79s", want->terms[which]->text);
}

/* Nothing keeps it from that: whether it would be taken, of all. */
static void why_fits(const struct field *f, int at, const struct choose_want *want, struct why *why)
{
  enum choose_reason reason;
  int which, best = choose_worker(f->w, f->n, want, &reason, &which);

  if (best < 0 || best == at) {
    why->kind = "starting";
    snprintf(why->text, sizeof why->text, "about to start on %.64s", f->w[at].is.name);
    return;
  }
  why->kind = "other";
  snprintf(why->text, sizeof why->text, "%.64s is taken before %.64s%s", f->w[best].is.name, f->w[at].is.name, f->w[at].weight ? "" : " (weight 0: only where nobody else can)");
  snprintf(why->object, sizeof why->object, "%.64s", f->w[best].is.name);
}

void why_one(struct master *m, struct field *f, int at, const struct why_of *of, struct why *why)
{
  const struct want_term **terms = wanted_terms(m, of);
  struct choose_want want = { of->tags, of->ntags, terms, of->nwants };
  const struct pause *pause;
  enum choose_reason reason;
  int which;

  memset(why, 0, sizeof *why);
  field_for(f, of->project, of->builder, (struct field_past){ INT64_MIN, INT64_MIN });
  choose_worker(f->w + at, 1, &want, &reason, &which);
  pause = pauses_of_builder(dispatch_pauses(m), of->project, of->builder);
  if (!pause && reason == CHOOSE_PAUSED)
    pause = pauses_of_session(dispatch_pauses(m), f->of[at]->name, f->of[at]->pool);
  if (reason == CHOOSE_NO_TAG || reason == CHOOSE_NO_WANT)
    why_lacks(f, at, &want, reason, which, why);
  else if (pause)
    why_paused(pause, why);
  else if (reason == CHOOSE_OK)
    why_fits(f, at, &want, why);
  else
    why_choice(m, f, &want, reason, at, of, why);
  free(terms);
}

bool why_locks(struct master *m, int64_t request, bool running, struct why *why)
{
  const struct lock_waiter *w = lockbook_waiter(dispatch_locks(m), request);
  struct buf text;

  if (!w || w->at < 0 || (w->step > 0) != running)
    return false;
  memset(why, 0, sizeof *why);
  why->kind = "lock";
  why->since = w->since_ms == INT64_MIN ? 0 : w->since_ms;
  snprintf(why->object, sizeof why->object, "%.79s", w->wants[w->at].name);
  buf_init(&text, sizeof why->text);
  lockbook_say(dispatch_locks(m), w, &text);
  snprintf(why->text, sizeof why->text, "%s", buf_str(&text));
  buf_free(&text);
  return true;
}
