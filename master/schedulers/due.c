/* Times of schedulers. The times of `every` are an arithmetic row, those of `cron` a set that cron_next() walks forward; both are looked at from the last scheduled time, never from now. */
#include "master/schedulers/due.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/str.h"
#include "master/conf/zone.h"

#define SECOND INT64_C(1000)

static int64_t seconds_of(int64_t ms)
{
  return ms / SECOND - (ms % SECOND < 0);
}

int64_t due_next(const struct pipe_scheduler *s, int64_t t)
{
  int64_t next;

  if (s->trigger == PIPE_ON_EVERY)
    return t + s->every_ms;
  next = cron_next(&s->cron, s->zone, seconds_of(t));
  return next == CRON_NEVER ? DUE_NEVER : next * SECOND;
}

/* The last time in [low, high]; low is one. By halves, so that a year of minutes costs no more than an hour of them. */
static int64_t last_until(const struct pipe_scheduler *s, int64_t low, int64_t high)
{
  int64_t found = low, next;

  if (s->trigger == PIPE_ON_EVERY)
    return low + (high - low) / s->every_ms * s->every_ms;
  while ((next = due_next(s, found)) != DUE_NEVER && next <= high) {
    int64_t middle = next + (high - next) / 2, after = due_next(s, middle);
    found = next;
    if (after == DUE_NEVER || after > high)
      high = middle; /* all that is left lies before it, or is the middle */
    else
      found = after;
  }
  return found;
}

/* How many times are in (low, high], low is one; no more than DUE_COUNT_MAX. */
static int count_between(const struct pipe_scheduler *s, int64_t low, int64_t high)
{
  int64_t t = low;
  int n = 0;

  if (s->trigger == PIPE_ON_EVERY)
    return (high - low) / s->every_ms < DUE_COUNT_MAX ? (int)((high - low) / s->every_ms) : DUE_COUNT_MAX;
  while (n < DUE_COUNT_MAX && (t = due_next(s, t)) != DUE_NEVER && t <= high)
    n++;
  return n;
}

static void add(struct due_plan *plan, int64_t at, enum due_what what, int missed)
{
  plan->v[plan->n++] = (struct due_act){ at, what, missed };
}

/* One each for the last DUE_ALL_MAX; what is older is only told. */
static void make_up(const struct pipe_scheduler *s, int64_t due, int64_t last, struct due_plan *plan)
{
  int64_t at[DUE_ALL_MAX], oldest;
  int n = 0;

  for (at[n++] = last; n < DUE_ALL_MAX && at[n - 1] > due; n++)
    at[n] = last_until(s, due, at[n - 1] - 1);
  oldest = at[n - 1];
  if (oldest > due) {
    int64_t dropped = last_until(s, due, oldest - 1);
    add(plan, dropped, DUE_MISSED, 1 + count_between(s, due, dropped));
  }
  while (n--)
    add(plan, at[n], DUE_BUILD, 0);
}

void due_plan(const struct pipe_scheduler *s, int64_t due, bool fresh, int64_t scheduled, int64_t now, struct due_plan *plan)
{
  int64_t last, before;
  bool late;

  plan->n = 0;
  if (fresh && s->trigger == PIPE_ON_CRON)
    due = due_next(s, scheduled > due ? scheduled : due); /* a clock that was set back brings no time twice */
  else if (fresh && scheduled != DUE_NEVER && scheduled + s->every_ms > due)
    due = scheduled + s->every_ms;
  plan->next = due;
  if (due == DUE_NEVER || due > now)
    return;
  last = last_until(s, due, now);
  plan->next = due_next(s, last);
  late = now - last > DUE_LATE_MS;
  if (s->missed == PIPE_MISSED_ALL) {
    make_up(s, due, last, plan);
  } else if (s->missed == PIPE_MISSED_ONCE) {
    add(plan, last, DUE_BUILD, count_between(s, due, last));
  } else if (late) {
    add(plan, last, DUE_MISSED, 1 + count_between(s, due, last));
  } else {
    before = last > due ? last_until(s, due, last - 1) : last;
    if (before < last)
      add(plan, before, DUE_MISSED, 1 + count_between(s, due, before));
    add(plan, last, DUE_BUILD, 0);
  }
}

void due_only_if(const struct pipe_scheduler *s, const char *head, const char *built, struct due_plan *plan)
{
  for (int i = 0; i < plan->n; i++) {
    struct due_act *a = &plan->v[i];
    if (a->what != DUE_BUILD)
      continue;
    if (!head || (s->only_if_changed && built && !strcmp(head, built)))
      a->what = DUE_NOTHING;
    else
      built = head;
  }
}

/* As the wall of the scheduler's zone shows it. */
static void add_time(const struct pipe_scheduler *s, int64_t ms, struct buf *out)
{
  const char *zone = s->trigger == PIPE_ON_CRON ? s->zone : "UTC";
  time_t local = (time_t)(seconds_of(ms) + zone_offset(zone, seconds_of(ms)));
  char text[32];
  struct tm tm;

  if (!gmtime_r(&local, &tm) || !strftime(text, sizeof text, s->trigger == PIPE_ON_CRON ? "%Y-%m-%d %H:%M" : "%Y-%m-%d %H:%M:%S", &tm))
    strcpy(text, "?");
  buf_addf(out, "%s %s", text, zone);
}

static void add_times(int n, struct buf *out)
{
  buf_addf(out, "%s%d %s", n >= DUE_COUNT_MAX ? "at least " : "", n, n == 1 ? "time" : "times");
}

void due_why(const struct pipe_scheduler *s, const struct due_act *a, const char *branch, const char *head, struct buf *why)
{
  static const char *const rules[] = { [PIPE_MISSED_ONCE] = "missed: once", [PIPE_MISSED_SKIP] = "missed: skip", [PIPE_MISSED_ALL] = "missed: all" };

  if (a->what == DUE_MISSED) {
    add_times(a->missed, why);
    buf_adds(why, a->missed == 1 ? " missed, at " : " missed, the last at ");
    add_time(s, a->at, why);
    buf_addf(why, " (%s)", rules[s->missed]);
    return;
  }
  buf_adds(why, "due ");
  add_time(s, a->at, why);
  if (a->missed) {
    buf_adds(why, ", and for ");
    add_times(a->missed, why);
    buf_adds(why, a->missed == 1 ? " before that was missed" : " before that were missed");
  }
  if (a->what == DUE_NOTHING && !head)
    buf_addf(why, ": no branch %s%shas been seen in the repository", branch ? branch : "", branch ? " " : "");
  else if (a->what == DUE_NOTHING)
    buf_addf(why, ": %s is at %.12s still, which it built last", branch, head);
}

const char *due_what_name(enum due_what w)
{
  static const char *const names[] = { [DUE_BUILD] = "built", [DUE_NOTHING] = "nothing", [DUE_MISSED] = "missed" };

  return names[w];
}

void due_timing(const struct pipe_scheduler *s, struct buf *text)
{
  if (s->trigger == PIPE_ON_CRON)
    buf_addf(text, "cron %s %s", s->cron_text, s->zone);
  else if (s->trigger == PIPE_ON_EVERY)
    buf_addf(text, "every %" PRId64, s->every_ms);
}

bool due_of_timing(char *text, const char *name, struct pipe_scheduler *s)
{
  char *zone = strrchr(text, ' ');
  struct buf why;
  int column;
  bool ok;

  if (str_starts(text, "every ")) {
    s->trigger = PIPE_ON_EVERY;
    return !str_number(text + 6, strlen(text + 6), &s->every_ms) && s->every_ms > 0;
  }
  if (!str_starts(text, "cron ") || zone <= text + 5)
    return false;
  *zone = 0;
  s->trigger = PIPE_ON_CRON;
  s->zone = zone + 1;
  s->cron_text = text + 5;
  buf_init(&why, BUF_NO_MAX);
  ok = !cron_parse(s->cron_text, name, &s->cron, &why, &column);
  buf_free(&why);
  return ok;
}
