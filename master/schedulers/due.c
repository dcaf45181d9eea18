/* Times of schedulers. The times of `every` are an arithmetic row, those of `cron` a set that cron_next() walks forward; both are looked at from the last scheduled time, never from now. */
#include "master/schedulers/due.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/str.h"
#include "common/utf8.h"
#include "master/conf/expr.h"
#include "master/conf/zone.h"
#include "master/steps/step.h"

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
  plan->v[plan->n++] = (struct due_act){ .at = at, .what = what, .missed = missed };
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

/* ---- only_if ---- */

/* At one of the times of a plan: those before it may have built. */
struct asking {
  const struct due_facts *f;
  const char *built;
  bool again;                /* this plan has built already, so that nothing is new */
};

static bool text_of(const char *s, struct expr_value *out)
{
  if (s)
    *out = (struct expr_value){ .type = EXPR_TEXT, .text = { s, strlen(s) } };
  return s != NULL;
}

static bool number_of(const cJSON *n, struct expr_value *out)
{
  if (cJSON_IsNumber(n))
    *out = (struct expr_value){ .type = EXPR_NUMBER, .number = (int64_t)n->valuedouble };
  return cJSON_IsNumber(n);
}

/* The word for a result, or NULL. */
static const char *result_word(const char *name)
{
  for (int r = 0; r < RESULT_COUNT; r++)
    if (!strcmp(name, result_text(r)))
      return result_text(r);
  return NULL;
}

/* The names of conf/time_names.def. */
static bool value(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  const struct asking *a = ctx;
  const struct { const char *of, *name, *text; } texts[] = {
    { NULL, "project", a->f->project }, { NULL, "branch", a->f->branch }, { NULL, "revision", a->f->head },
    { "last", "result", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a->f->past, "result")) }, { "last", "revision", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a->f->past, "revision")) },
    { "own", "result", a->again ? NULL : cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a->f->past, "own")) },
  };

  (void)m;
  for (size_t i = 0; i < COUNT(texts); i++)
    if (n == 1 + !!texts[i].of && !strcmp(path[n - 1], texts[i].name) && (n == 1 || !strcmp(path[0], texts[i].of)))
      return text_of(texts[i].text, out);
  if (n == 2)
    return !strcmp(path[0], "last") && !strcmp(path[1], "age") && number_of(cJSON_GetObjectItemCaseSensitive(a->f->past, "age"), out);
  if (!strcmp(path[0], "changed"))
    return *out = (struct expr_value){ .type = EXPR_BOOL, .yes = !a->built || strcmp(a->built, a->f->mark) }, true;
  if (!strcmp(path[0], "changes") && a->again)
    return *out = (struct expr_value){ .type = EXPR_NUMBER, .number = 0 }, true;
  if (!strcmp(path[0], "changes"))
    return number_of(cJSON_GetObjectItemCaseSensitive(a->f->past, "changes"), out);
  return text_of(result_word(path[0]), out);
}

/* " (last.result: success, changes: 0)" */
static void add_values(const struct expr *x, struct asking *a, struct expr_memory *m, struct buf *out)
{
  const char *const *path, *sep = " (";
  int i = 0, n, at;

  while (expr_each_name(x, &i, &path, &n, &at)) {
    struct expr_value v = { .type = EXPR_NONE };
    if (n == 1 && result_word(path[0]))
      continue;
    buf_addf(out, "%s%s%s%s: ", sep, path[0], n > 1 ? "." : "", n > 1 ? path[1] : "");
    if (value(a, m, path, n, &v))
      expr_show(&v, out);
    else
      buf_adds(out, "none");
    sep = ", ";
  }
  buf_adds(out, *sep == ',' ? ")" : "");
}

/* False: why says it, where more is to be said than that the branch is where it was. */
static bool is_so(const struct pipe_scheduler *s, struct asking *a, char why[DUE_WHY_MAX])
{
  struct expr_memory *m = expr_memory_new();
  struct expr_value v;
  struct expr_error e;
  struct buf text;
  bool yes = false;

  buf_init(&text, BUF_NO_MAX);
  if (!expr_eval(s->only_if, value, a, m, &v, &e)) {
    buf_addf(&text, "only_if: %s: %s", s->only_if_text, e.text);
  } else if (v.type != EXPR_BOOL && v.type != EXPR_NONE) {
    buf_addf(&text, "only_if: %s: this is neither true nor false", s->only_if_text);
  } else {
    yes = expr_true(&v);
    if (!yes && strcmp(s->only_if_text, "changed")) {
      buf_addf(&text, "not so: %s", s->only_if_text);
      add_values(s->only_if, a, m, &text);
    }
  }
  snprintf(why, DUE_WHY_MAX, "%.*s", (int)utf8_cut(buf_str(&text), DUE_WHY_MAX - 1), buf_str(&text));
  buf_free(&text);
  expr_error_free(&e);
  expr_memory_free(m);
  return yes;
}

void due_only_if(const struct pipe_scheduler *s, const struct due_facts *f, struct due_plan *plan)
{
  struct asking a = { f, f->built, false };

  for (int i = 0; i < plan->n; i++) {
    struct due_act *it = &plan->v[i];
    if (it->what != DUE_BUILD)
      continue;
    if (!f->head || (s->only_if && !is_so(s, &a, it->why))) {
      it->what = DUE_NOTHING;
    } else {
      a.built = f->mark;
      a.again = true;
    }
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
  else if (a->what == DUE_NOTHING && *a->why)
    buf_addf(why, ": %s", a->why);
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
