/* Due times of schedulers: thousands of generated lines, zones and outages against a clock that is walked minute by minute, over the nights on which summer time begins and ends. */
#include "master/schedulers/due.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/mem.h"
#include "master/conf/expr.h"
#include "master/conf/pipe_expr.h"
#include "master/conf/zone.h"

enum { MINUTE = 60, DAY = 86400, CASES = 3000 };

static uint64_t seed = 7;

static int64_t pick(int64_t n)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (int64_t)((seed >> 33) % (uint64_t)n);
}

/* "2024-03-31T00:59:00Z", ms */
static int64_t at(const char *text)
{
  struct tm tm = { 0 };

  assert_int_equal(sscanf(text, "%d-%d-%dT%d:%d:%dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec), 6);
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  return timegm(&tm) * INT64_C(1000);
}

static struct pipe_scheduler cron_of(const char *line, const char *zone)
{
  struct pipe_scheduler s = { .trigger = PIPE_ON_CRON, .cron_text = line, .zone = zone };
  struct buf why;
  int column;

  buf_init(&why, BUF_NO_MAX);
  if (cron_parse(line, "p/s", &s.cron, &why, &column))
    fail_msg("%s: %s", line, buf_str(&why));
  buf_free(&why);
  return s;
}

/* ---- the slow reckoning ---- */

static bool shows(const struct cron *c, int64_t local)
{
  time_t t = (time_t)local;
  struct tm tm;

  gmtime_r(&t, &tm);
  if (!(c->minutes >> tm.tm_min & 1) || !(c->hours >> tm.tm_hour & 1) || !(c->months >> (tm.tm_mon + 1) & 1))
    return false;
  if (c->any_day || c->any_weekday)
    return (c->any_day || c->days >> tm.tm_mday & 1) && (c->any_weekday || c->weekdays >> tm.tm_wday & 1);
  return c->days >> tm.tm_mday & 1 || c->weekdays >> tm.tm_wday & 1;
}

/* Whether the minute that begins at t (seconds) is one of the line's times: the wall shows one of them for the first time, or it has just skipped some. A line for every hour goes by what is shown. */
static bool slow_due(const struct pipe_scheduler *s, int64_t t)
{
  int64_t local = t + zone_offset(s->zone, t), before = t - MINUTE + zone_offset(s->zone, t - MINUTE);

  if (s->cron.hours == (1u << 24) - 1)
    return shows(&s->cron, local);
  for (int64_t m = before + MINUTE; m <= local; m += MINUTE) { /* more than one where the wall jumped */
    bool seen = false;
    if (!shows(&s->cron, m))
      continue;
    for (int64_t u = t - MINUTE; u > t - 4 * 3600 && !seen; u -= MINUTE)
      seen = u + zone_offset(s->zone, u) == m;
    if (!seen)
      return true;
  }
  return false;
}

/* Everything in one list: what a master that was never away would have acted upon. */
struct slow {
  int64_t *v;
  int n;
};

static struct slow slow_times(const struct pipe_scheduler *s, int64_t from, int64_t to)
{
  struct slow all = { xcalloc((size_t)((to - from) / MINUTE) + 2, sizeof(int64_t)), 0 };

  for (int64_t t = from; t <= to; t += MINUTE)
    if (slow_due(s, t))
      all.v[all.n++] = t * 1000;
  return all;
}

/* The plan by the rules, from the list. i: index of the first time that was not acted upon; returns that of the next. */
static int slow_plan(const struct pipe_scheduler *s, const struct slow *all, int i, int64_t now, struct due_plan *plan)
{
  int n = 0;
  bool late;

  *plan = (struct due_plan){ .n = 0 };
  while (i + n < all->n && all->v[i + n] <= now)
    n++;
  if (!n)
    return i;
  late = now - all->v[i + n - 1] > DUE_LATE_MS;
  if (s->missed == PIPE_MISSED_ONCE) {
    plan->v[plan->n++] = (struct due_act){ .at = all->v[i + n - 1], .what = DUE_BUILD, .missed = n - 1 < DUE_COUNT_MAX ? n - 1 : DUE_COUNT_MAX };
  } else if (s->missed == PIPE_MISSED_SKIP) {
    int miss = late ? n : n - 1;
    if (miss)
      plan->v[plan->n++] = (struct due_act){ .at = all->v[i + miss - 1], .what = DUE_MISSED, .missed = miss <= DUE_COUNT_MAX ? miss : DUE_COUNT_MAX + 1 };
    if (!late)
      plan->v[plan->n++] = (struct due_act){ .at = all->v[i + n - 1], .what = DUE_BUILD, .missed = 0 };
  } else {
    int first = n > DUE_ALL_MAX ? n - DUE_ALL_MAX : 0;
    if (first)
      plan->v[plan->n++] = (struct due_act){ .at = all->v[i + first - 1], .what = DUE_MISSED, .missed = first <= DUE_COUNT_MAX ? first : DUE_COUNT_MAX + 1 };
    for (int k = first; k < n; k++)
      plan->v[plan->n++] = (struct due_act){ .at = all->v[i + k], .what = DUE_BUILD, .missed = 0 };
  }
  return i + n;
}

/* ---- generated ---- */

static void add_field(char *line, int low, int high, int chance)
{
  char one[32];

  if (pick(100) >= chance)
    strcpy(one, "*");
  else if (pick(3))
    snprintf(one, sizeof one, "%d", low + (int)pick(high - low + 1));
  else if (pick(2))
    snprintf(one, sizeof one, "*/%d", 2 + (int)pick(20));
  else {
    int a = low + (int)pick(high - low + 1), b = low + (int)pick(high - low + 1);
    snprintf(one, sizeof one, "%d,%d", a < b ? a : b, a < b ? b : a);
  }
  strcat(line, one);
  strcat(line, " ");
}

static void make_line(char *line)
{
  *line = 0;
  add_field(line, 0, 59, 95);
  add_field(line, 0, 23, 80);
  add_field(line, 1, 28, 20);
  add_field(line, 1, 12, 5);
  add_field(line, 0, 6, 25);
  line[strlen(line) - 1] = 0;
}

/* A night on which the zone's clock jumps, or any. */
static int64_t some_time(const char *zone)
{
  int64_t t = at("2023-01-01T00:00:00Z") / 1000 + pick(700 * DAY / MINUTE) * MINUTE;

  if (pick(4))
    for (int64_t end = t + 400 * DAY; t < end && zone_offset(zone, t) == zone_offset(zone, t + DAY);)
      t += DAY;
  return t - pick(DAY / MINUTE) * MINUTE;
}

static void told(const char *line, const struct pipe_scheduler *s, int64_t now, const struct due_plan *got, const struct due_plan *want)
{
  printf("\"%s\" in %s, missed %d, at %" PRId64 ": next %" PRId64 ", not %" PRId64 "\n", line, s->zone, s->missed, now, got->next, want->next);
  for (int i = 0; i < got->n; i++)
    printf("  got  %" PRId64 " %d %d\n", got->v[i].at, got->v[i].what, got->v[i].missed);
  for (int i = 0; i < want->n; i++)
    printf("  want %" PRId64 " %d %d\n", want->v[i].at, want->v[i].what, want->v[i].missed);
  fail_msg("they differ");
}

static void compare(const char *line, const struct pipe_scheduler *s, int64_t now, const struct due_plan *got, const struct due_plan *want)
{
  if (got->n != want->n || got->next != want->next)
    told(line, s, now, got, want);
  for (int i = 0; i < got->n; i++)
    if (got->v[i].at != want->v[i].at || got->v[i].what != want->v[i].what || got->v[i].missed != want->v[i].missed)
      told(line, s, now, got, want);
}

/* A master that looks now and then, through two or three days of which some have no master: each look's plan, and that all of them together are the list. */
static void agrees_with_the_minutes(void **state)
{
  static const char *const zones[] = { "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Auckland", "Africa/Casablanca" };
  int acts = 0, jumps = 0, made_up = 0;

  (void)state;
  for (int i = 0; i < CASES; i++) {
    const char *zone = zones[pick(COUNT(zones))];
    char line[256];
    int64_t from = some_time(zone), to = from + DAY * (1 + pick(2)), now = from, due;
    struct pipe_scheduler s;
    struct slow all;
    struct due_plan got, want;
    int at_one = 0;
    bool fresh = true;
    make_line(line);
    s = cron_of(line, zone);
    s.missed = (enum pipe_missed)pick(3);
    all = slow_times(&s, from + MINUTE, to + 2 * DAY);
    jumps += zone_offset(zone, from) != zone_offset(zone, to);
    for (due = from * 1000; now < to; now += MINUTE * (1 + (pick(3) ? pick(90) : pick(3000)))) {
      int64_t ms = (now < to ? now : to) * 1000 + pick(60000);
      at_one = slow_plan(&s, &all, at_one, ms, &want);
      if (at_one == all.n)
        break; /* its next time is beyond the list */
      want.next = all.v[at_one];
      if (due > ms)
        continue;
      due_plan(&s, due, fresh, DUE_NEVER, ms, &got);
      compare(line, &s, ms, &got, &want);
      due = got.next;
      fresh = false;
      acts += got.n;
      made_up += got.n > 1;
    }
    free(all.v);
  }
  printf("due: %d cases, %d over a jump of the clock, %d acts, %d times several at once\n", CASES, jumps, acts, made_up);
  assert_true(jumps > CASES / 4 && acts > CASES && made_up > CASES / 20);
}

/* `every`: added up one by one. */
static void every_is_a_row_without_drift(void **state)
{
  (void)state;
  for (int i = 0; i < CASES; i++) {
    struct pipe_scheduler s = { .trigger = PIPE_ON_EVERY, .every_ms = 1000 * (1 + pick(pick(2) ? 10 : 100000)), .missed = (enum pipe_missed)pick(3) };
    int64_t first = at("2024-01-01T00:00:00Z") + pick(1000000), now = first, due = first;
    bool fresh = true;
    struct slow all = { xcalloc(5000, sizeof(int64_t)), 5000 };
    int at_one = 0;
    for (int k = 0; k < all.n; k++)
      all.v[k] = k ? all.v[k - 1] + s.every_ms : first;
    for (int k = 0; k < 20; k++, now += pick(3) ? pick(2 * s.every_ms) : pick(60 * s.every_ms)) {
      struct due_plan got, want;
      at_one = slow_plan(&s, &all, at_one, now, &want);
      want.next = all.v[at_one];
      if (due > now)
        continue;
      due_plan(&s, due, fresh, DUE_NEVER, now, &got);
      compare("every", &s, now, &got, &want);
      due = got.next;
      fresh = false;
    }
    free(all.v);
  }
}

static struct due_plan planned(const struct pipe_scheduler *s, const char *due, bool fresh, const char *scheduled, const char *now)
{
  struct due_plan plan;

  due_plan(s, at(due), fresh, scheduled ? at(scheduled) : DUE_NEVER, at(now), &plan);
  return plan;
}

static void first_times(void **state)
{
  struct pipe_scheduler every = { .trigger = PIPE_ON_EVERY, .every_ms = 4 * 3600 * 1000 }, cron = cron_of("0 3 * * *", "UTC");
  struct due_plan p;

  (void)state;
  p = planned(&every, "2024-01-01T10:00:00Z", true, NULL, "2024-01-01T10:00:01Z"); /* at once */
  assert_int_equal(p.n, 1);
  assert_int_equal(p.next, at("2024-01-01T14:00:00Z"));
  p = planned(&every, "2024-01-01T10:00:00Z", true, "2024-01-01T09:00:00Z", "2024-01-01T10:00:01Z"); /* it ran an hour ago, by another timing */
  assert_int_equal(p.n, 0);
  assert_int_equal(p.next, at("2024-01-01T13:00:00Z"));
  p = planned(&every, "2024-01-01T10:00:00Z", true, "2024-01-01T02:00:00Z", "2024-01-01T10:00:01Z");
  assert_int_equal(p.n, 1);
  assert_int_equal(p.next, at("2024-01-01T14:00:00Z"));
  p = planned(&cron, "2024-01-01T10:00:00Z", true, NULL, "2024-01-01T10:00:01Z"); /* at its time */
  assert_int_equal(p.n, 0);
  assert_int_equal(p.next, at("2024-01-02T03:00:00Z"));
  p = planned(&cron, "2024-01-01T02:00:00Z", true, "2024-01-01T03:00:00Z", "2024-01-01T02:00:01Z"); /* the clock was set back */
  assert_int_equal(p.n, 0);
  assert_int_equal(p.next, at("2024-01-02T03:00:00Z"));
  p = planned(&cron, "2024-01-01T02:59:59Z", true, NULL, "2024-01-01T03:00:01Z"); /* the look came a little later than the time */
  assert_int_equal(p.n, 1);
  assert_int_equal(p.v[0].at, at("2024-01-01T03:00:00Z"));
}

/* A year of minutes away, and more: quick, and bounded. */
static void long_away(void **state)
{
  struct pipe_scheduler s = cron_of("* * * * *", "Europe/Berlin"), december = cron_of("* * * 12 *", "Europe/Berlin");
  struct due_plan p;

  (void)state;
  s.missed = december.missed = PIPE_MISSED_ALL;
  p = planned(&s, "2020-01-01T00:00:00Z", false, NULL, "2024-01-01T00:00:30Z");
  assert_int_equal(p.n, DUE_ALL_MAX + 1);
  assert_int_equal(p.v[0].what, DUE_MISSED);
  assert_true(p.v[0].missed >= DUE_COUNT_MAX);
  assert_int_equal(p.v[1].at, at("2023-12-31T23:37:00Z"));
  assert_int_equal(p.v[DUE_ALL_MAX].at, at("2024-01-01T00:00:00Z"));
  assert_int_equal(p.next, at("2024-01-01T00:01:00Z"));
  p = planned(&december, "2020-12-01T00:00:00Z", false, NULL, "2024-06-01T00:00:30Z");
  assert_int_equal(p.v[DUE_ALL_MAX].at, at("2023-12-31T22:59:00Z"));
  assert_int_equal(p.next, at("2024-11-30T23:00:00Z"));
}

static struct pipe_scheduler with_cond(const char *text)
{
  struct pipe_scheduler s = { .trigger = PIPE_ON_EVERY, .every_ms = 1000, .missed = PIPE_MISSED_ALL, .only_if_text = text };
  struct expr_error e;

  s.only_if = expr_parse(text, strlen(text), time_names, EXPR_BOOL, &e);
  if (!s.only_if)
    fail_msg("%s: %s", text, e.text);
  return s;
}

/* One time, without earlier ones. */
static struct due_act asked(const struct pipe_scheduler *s, const char *head, const char *built, const char *past)
{
  struct due_plan p = planned(s, "2024-01-01T00:00:00Z", false, NULL, "2024-01-01T00:00:00Z");
  cJSON *json = past ? cJSON_Parse(past) : NULL;

  due_only_if(s, &(struct due_facts){ "p", "main", head, head, built, json }, &p);
  cJSON_Delete(json);
  assert_int_equal(p.n, 1);
  return p.v[0];
}

static void only_if_changed(void **state)
{
  struct pipe_scheduler s = with_cond("changed"), plain = { .trigger = PIPE_ON_EVERY, .every_ms = 1000, .missed = PIPE_MISSED_ALL };
  struct due_plan p;

  (void)state;
  p = planned(&s, "2024-01-01T00:00:00Z", false, NULL, "2024-01-01T00:00:02Z");
  due_only_if(&s, &(struct due_facts){ "p", "main", "abc", "abc", NULL, NULL }, &p); /* the first always builds, the others have nothing new */
  assert_int_equal(p.n, 3);
  assert_int_equal(p.v[0].what, DUE_BUILD);
  assert_int_equal(p.v[1].what, DUE_NOTHING);
  assert_int_equal(p.v[2].what, DUE_NOTHING);
  assert_int_equal(asked(&s, "abc", "abc", NULL).what, DUE_NOTHING);
  assert_string_equal(asked(&s, "abc", "abc", NULL).why, "");
  assert_int_equal(asked(&s, "abd", "abc", NULL).what, DUE_BUILD);
  assert_int_equal(asked(&s, NULL, "abc", NULL).what, DUE_NOTHING);
  assert_int_equal(asked(&plain, "abd", "abd", NULL).what, DUE_BUILD);
  assert_int_equal(asked(&plain, NULL, "abd", NULL).what, DUE_NOTHING);
  expr_free((struct expr *)(uintptr_t)s.only_if);
}

static void only_if_an_expression(void **state)
{
  static const char past[] = "{\"result\":\"failure\",\"age\":7200000,\"revision\":\"abc\",\"changes\":3,\"own\":\"success\"}";
  static const struct { const char *cond, *past, *why; } rows[] = {
    { "last.result == failure", past, NULL },
    { "last.result == success", past, "not so: last.result == success (last.result: failure)" },
    { "last.result == failure", "{\"changes\":0}", "not so: last.result == failure (last.result: none)" },
    { "last.age > 1h and changes >= 3", past, NULL },
    { "last.age < 1h", past, "not so: last.age < 1h (last.age: 7200000)" },
    { "last.age < 1h", "{}", "only_if: last.age < 1h: " },
    { "own.result == success and last.revision == revision", past, NULL },
    { "branch == 'main' and project == 'p' and changed", past, "not so: branch == 'main' and project == 'p' and changed (branch: main, project: p, changed: false)" },
    { "changed or last.result in [failure, exception]", past, NULL },
    { "not changed", past, NULL },
  };
  struct pipe_scheduler s = with_cond("changes > 0 and own.result != failure");
  struct due_plan p = planned(&s, "2024-01-01T00:00:00Z", false, NULL, "2024-01-01T00:00:02Z");
  cJSON *json = cJSON_Parse(past);

  (void)state;
  due_only_if(&s, &(struct due_facts){ "p", "main", "abc", "abc", "abd", json }, &p);
  assert_int_equal(p.v[0].what, DUE_BUILD);
  assert_string_equal(p.v[2].why, "not so: changes > 0 and own.result != failure (changes: 0, own.result: none)"); /* of missed times that are all made up for only the first has anything new */
  expr_free((struct expr *)(uintptr_t)s.only_if);
  cJSON_Delete(json);
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct due_act a;
    s = with_cond(rows[i].cond);
    a = asked(&s, "abc", "abc", rows[i].past);
    assert_int_equal(a.what, rows[i].why ? DUE_NOTHING : DUE_BUILD);
    if (rows[i].why && strncmp(a.why, rows[i].why, strlen(rows[i].why)))
      fail_msg("%s: %s", rows[i].cond, a.why);
    expr_free((struct expr *)(uintptr_t)s.only_if);
  }
}

static void say(const struct pipe_scheduler *s, struct due_act a, const char *head, const char *text)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  due_why(s, &a, "main", head, &b);
  assert_string_equal(buf_str(&b), text);
  buf_free(&b);
}

static void words(void **state)
{
  struct pipe_scheduler s = cron_of("30 2 * * *", "Europe/Berlin"), every = { .trigger = PIPE_ON_EVERY, .every_ms = 1000 };
  int64_t t = at("2024-07-01T00:30:00Z");

  (void)state;
  say(&s, (struct due_act){ .at = t, .what = DUE_BUILD, .missed = 0 }, "abc", "due 2024-07-01 02:30 Europe/Berlin");
  say(&s, (struct due_act){ .at = t, .what = DUE_BUILD, .missed = 1 }, "abc", "due 2024-07-01 02:30 Europe/Berlin, and for 1 time before that was missed");
  say(&s, (struct due_act){ .at = t, .what = DUE_BUILD, .missed = DUE_COUNT_MAX }, "abc", "due 2024-07-01 02:30 Europe/Berlin, and for at least 1000 times before that were missed");
  say(&s, (struct due_act){ .at = t, .what = DUE_NOTHING, .missed = 0 }, "0123456789abcdef", "due 2024-07-01 02:30 Europe/Berlin: main is at 0123456789ab still, which it built last");
  say(&every, (struct due_act){ .at = t, .what = DUE_NOTHING, .why = "not so: changes > 2 (changes: 1)" }, "0123456789abcdef", "due 2024-07-01 00:30:00 UTC: not so: changes > 2 (changes: 1)");
  say(&every, (struct due_act){ .at = t, .what = DUE_NOTHING, .missed = 0 }, NULL, "due 2024-07-01 00:30:00 UTC: no branch main has been seen in the repository");
  s.missed = PIPE_MISSED_SKIP;
  say(&s, (struct due_act){ .at = t, .what = DUE_MISSED, .missed = 3 }, "abc", "3 times missed, the last at 2024-07-01 02:30 Europe/Berlin (missed: skip)");
  say(&s, (struct due_act){ .at = t, .what = DUE_MISSED, .missed = 1 }, "abc", "1 time missed, at 2024-07-01 02:30 Europe/Berlin (missed: skip)");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(agrees_with_the_minutes), cmocka_unit_test(every_is_a_row_without_drift), cmocka_unit_test(first_times), cmocka_unit_test(long_away),
    cmocka_unit_test(only_if_changed), cmocka_unit_test(only_if_an_expression), cmocka_unit_test(words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
