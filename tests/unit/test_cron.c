/* Cron lines and time zones: what is refused, what the calendar says, and the two nights of the year on which the wall's clock jumps. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/mem.h"
#include "master/conf/cron.h"
#include "master/conf/zone.h"

/* "2024-03-31T00:59:00Z" */
static int64_t at(const char *text)
{
  struct tm tm = { 0 };

  assert_int_equal(sscanf(text, "%d-%d-%dT%d:%d:%dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec), 6);
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  return timegm(&tm);
}

static struct cron parsed(const char *text)
{
  struct cron c;
  struct buf why;
  int column = 0;

  buf_init(&why, BUF_NO_MAX);
  if (cron_parse(text, "aurora/nightly", &c, &why, &column))
    fail_msg("%s: column %d: %s", text, column, buf_str(&why));
  buf_free(&why);
  return c;
}

static void expect(const char *text, const char *zone, const char *from, const char *next)
{
  struct cron c = parsed(text);
  int64_t got = cron_next(&c, zone, at(from));
  char shown[32] = "never";
  time_t t = (time_t)got;
  struct tm tm;

  if (got != CRON_NEVER) {
    gmtime_r(&t, &tm);
    strftime(shown, sizeof shown, "%Y-%m-%dT%H:%M:%SZ", &tm);
  }
  if (strcmp(shown, next))
    fail_msg("\"%s\" in %s after %s: %s, not %s", text, zone, from, shown, next);
}

static void refused(void **state)
{
  static const struct { const char *text; int column; const char *words; } bad[] = {
    { "", 1, "minute is missing" },
    { "* * * *", 8, "weekday is missing" },
    { "* * * * * *", 11, "more than five" },
    { "60 * * * *", 1, "0 to 59" },
    { "0 24 * * *", 3, "0 to 23" },
    { "0 0 0 * *", 5, "1 to 31" },
    { "0 0 * 13 *", 7, "1 to 12" },
    { "0 0 * * 8", 9, "0 to 7" },
    { "0 0 * Foo *", 7, "a month should stand" },
    { "*/0 * * * *", 3, "step" },
    { "* /2 * * *", 3, "hour should stand" },
    { "1- * * * *", 3, "minute should stand" },
    { "100 * * * *", 1, "two digits" },
    { "0 0 * * 5#6", 11, "1 to 5" },
    { "0 0 * * 5x", 10, "makes no sense" },
    { "0 L * * *", 3, "hour should stand" },
    { "H(5 * * * *", 4, "wants a range" },
    { "H(5-9 * * * *", 6, "not closed" },
    { "H(9-5) * * * *", 1, "upwards" },
    { "@never", 1, "none of" },
    { "1,,2 * * * *", 3, "minute should stand" },
    { "\x01 * * * *", 1, "minute should stand" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++) {
    struct cron c;
    struct buf why;
    int column = 0;
    buf_init(&why, BUF_NO_MAX);
    assert_int_equal(cron_parse(bad[i].text, "x", &c, &why, &column), ERR_SYNTAX);
    if (column != bad[i].column || !strstr(buf_str(&why), bad[i].words))
      fail_msg("\"%s\": column %d: %s", bad[i].text, column, buf_str(&why));
    buf_free(&why);
  }
}

static void calendar(void **state)
{
  (void)state;
  expect("* * * * *", "UTC", "2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z");
  expect("* * * * *", "UTC", "2024-01-01T00:00:59Z", "2024-01-01T00:01:00Z");
  expect("0 3 * * *", "UTC", "2024-01-01T03:00:00Z", "2024-01-02T03:00:00Z");
  expect("30 4 29 2 *", "UTC", "2024-03-01T00:00:00Z", "2028-02-29T04:30:00Z");
  expect("0 0 30 2 *", "UTC", "2024-03-01T00:00:00Z", "never");
  expect("0 0 29 2 1#5", "UTC", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z"); /* the day or a fifth Monday, but only in February */
}

static void days(void **state)
{
  (void)state;
  expect("0 0 L * *", "UTC", "2024-02-01T00:00:00Z", "2024-02-29T00:00:00Z");
  expect("0 0 * * 5L", "UTC", "2024-02-01T00:00:00Z", "2024-02-23T00:00:00Z");
  expect("0 0 * * L5", "UTC", "2024-02-01T00:00:00Z", "2024-02-23T00:00:00Z");
  expect("0 0 * * Fri#2", "UTC", "2024-02-01T00:00:00Z", "2024-02-09T00:00:00Z");
  expect("0 0 * * 7", "UTC", "2024-02-01T00:00:00Z", "2024-02-04T00:00:00Z");
  expect("0 0 * * Fri-Mon", "UTC", "2024-02-06T00:00:00Z", "2024-02-09T00:00:00Z");
  expect("0 0 * * 5-7", "UTC", "2024-02-03T00:00:00Z", "2024-02-04T00:00:00Z");
  expect("0 0 * * 0-7", "UTC", "2024-02-05T00:00:00Z", "2024-02-06T00:00:00Z");
  expect("0 0 13 * 5", "UTC", "2024-02-10T00:00:00Z", "2024-02-13T00:00:00Z");   /* either will do */
  expect("0 0 */2 * 5", "UTC", "2024-02-02T12:00:00Z", "2024-02-03T00:00:00Z");
  expect("0 22-2 * * *", "UTC", "2024-02-02T02:30:00Z", "2024-02-02T22:00:00Z"); /* round midnight */
  expect("0 0 31 Nov-Jan *", "UTC", "2024-02-02T00:00:00Z", "2024-12-31T00:00:00Z");
}

/* Berlin: 2024-03-31 from 2:00 to 3:00 (01:00 UTC); 2024-10-27 from 3:00 back to 2:00 (01:00 UTC). */
static void a_skipped_time_counts_right_after_the_gap(void **state)
{
  (void)state;
  expect("30 2 * * *", "Europe/Berlin", "2024-03-31T00:59:00Z", "2024-03-31T01:00:00Z");
  expect("30 2 * * *", "Europe/Berlin", "2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z");
  expect("*/20 2 * * *", "Europe/Berlin", "2024-03-31T00:30:00Z", "2024-03-31T01:00:00Z"); /* three fall into it: once */
  expect("*/20 2 * * *", "Europe/Berlin", "2024-03-31T01:00:00Z", "2024-04-01T00:00:00Z");
  expect("0 3 * * *", "Europe/Berlin", "2024-03-31T00:30:00Z", "2024-03-31T01:00:00Z");
  expect("30 0 * * *", "America/Sao_Paulo", "2018-11-04T02:00:00Z", "2018-11-04T03:00:00Z"); /* a gap at midnight */
}

static void a_time_that_comes_twice_counts_once(void **state)
{
  (void)state;
  expect("30 2 * * *", "Europe/Berlin", "2024-10-26T23:00:00Z", "2024-10-27T00:30:00Z");
  expect("30 2 * * *", "Europe/Berlin", "2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z");
  expect("0 3 * * *", "Europe/Berlin", "2024-10-27T00:30:00Z", "2024-10-27T02:00:00Z");
}

static void a_line_for_every_hour_goes_by_what_the_wall_shows(void **state)
{
  (void)state;
  expect("*/30 * * * *", "Europe/Berlin", "2024-10-27T00:30:00Z", "2024-10-27T01:00:00Z");
  expect("*/30 * * * *", "Europe/Berlin", "2024-10-27T01:00:00Z", "2024-10-27T01:30:00Z");
  expect("*/30 * * * *", "Europe/Berlin", "2024-03-31T00:30:00Z", "2024-03-31T01:00:00Z");
  expect("10 * * * *", "Europe/Berlin", "2024-03-31T00:30:00Z", "2024-03-31T01:10:00Z"); /* nothing to catch up with */
  expect("15 * * * *", "Australia/Lord_Howe", "2024-04-06T14:46:00Z", "2024-04-06T15:45:00Z"); /* half an hour back: 1:46 again at 15:16 */
}

static void spread_is_stable_and_wide(void **state)
{
  int minutes[60] = { 0 }, used = 0;
  struct cron a, b;
  struct buf why;
  int column;

  (void)state;
  a = parsed("H H(1-3) * * *");
  b = parsed("H H(1-3) * * *");
  assert_memory_equal(&a, &b, sizeof a);
  assert_int_equal(a.hours & ~0xeu, 0);
  buf_init(&why, BUF_NO_MAX);
  for (int i = 0; i < 1000; i++) {
    char name[32];
    snprintf(name, sizeof name, "p%d/nightly", i);
    assert_int_equal(cron_parse("H 3 * * *", name, &a, &why, &column), ERR_OK);
    for (int m = 0; m < 60; m++)
      minutes[m] += a.minutes >> m & 1;
    assert_int_equal(cron_parse("H/15 * * * *", name, &a, &why, &column), ERR_OK);
    assert_int_equal(__builtin_popcountll(a.minutes), 4);
  }
  for (int m = 0; m < 60; m++)
    used += minutes[m] > 0 && minutes[m] < 60;
  assert_int_equal(used, 60);
  buf_free(&why);
}

static void zones(void **state)
{
  static const char *const bad[] = { "", "/etc/passwd", "../etc/passwd", "Europe/Nowhere", "Europe", "UTC\n", ":UTC", "zone.tab" };

  (void)state;
  assert_true(zone_exists("Europe/Berlin"));
  assert_true(zone_exists("UTC"));
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_false(zone_exists(bad[i]));
  assert_int_equal(zone_offset("Europe/Berlin", at("2024-07-01T00:00:00Z")), 7200);
  assert_int_equal(zone_offset("UTC", at("2024-07-01T00:00:00Z")), 0);
  assert_int_equal(zone_instant("Pacific/Apia", at("2011-12-30T12:00:00Z")), at("2011-12-30T10:00:00Z")); /* a day that never was */
}

static void own_zone(void **state)
{
  time_t t = (time_t)at("2024-07-01T12:00:00Z");
  struct tm tm;

  (void)state;
  zone_own();
  setenv("TZ", "America/New_York", 1);
  tzset();
  assert_int_equal(zone_offset("UTC", t), 0);
  localtime_r(&t, &tm);
  assert_int_equal(tm.tm_hour, 8); /* UTC switches nothing */
  assert_int_equal(zone_offset("Europe/Berlin", t), 7200);
  zone_own();
  localtime_r(&t, &tm);
  assert_int_equal(tm.tm_hour, 8);
  assert_string_equal(getenv("TZ"), "America/New_York");
}

/* What cron_next says is due against every minute of half a year, read off the wall. */
static void agrees_with_the_wall(void **state)
{
  static const char *const places[] = { "America/New_York", "Australia/Lord_Howe" };
  static const char *const lines[] = { "7 * * * *", "*/13 */5 * * *", "0 12 1,15 * *", "30 6 * * Mon-Fri" };

  (void)state;
  for (size_t z = 0; z < COUNT(places); z++)
    for (size_t i = 0; i < COUNT(lines); i++) {
      struct cron c = parsed(lines[i]);
      int64_t t = at("2023-09-01T00:00:00Z"), next = cron_next(&c, places[z], t - 1);
      for (; t < at("2024-04-20T00:00:00Z"); t += 60) {
        time_t local = (time_t)(t + zone_offset(places[z], t));
        struct tm tm;
        bool due;
        gmtime_r(&local, &tm);
        due = c.minutes >> tm.tm_min & 1 && c.hours >> tm.tm_hour & 1 && c.months >> (tm.tm_mon + 1) & 1 && (c.any_day || c.days >> tm.tm_mday & 1) &&
              (c.any_weekday || c.weekdays >> tm.tm_wday & 1);
        if (zone_offset(places[z], t - 10800) != zone_offset(places[z], t + 10800))
          due = t == next; /* the nights that the tests above are about */
        if (due != (t == next))
          fail_msg("%s in %s at %" PRId64 ": due %d, next %" PRId64, lines[i], places[z], t, due, next);
        if (due)
          next = cron_next(&c, places[z], t);
      }
    }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(own_zone), cmocka_unit_test(refused), cmocka_unit_test(calendar), cmocka_unit_test(days), cmocka_unit_test(a_skipped_time_counts_right_after_the_gap),
    cmocka_unit_test(a_time_that_comes_twice_counts_once), cmocka_unit_test(a_line_for_every_hour_goes_by_what_the_wall_shows),
    cmocka_unit_test(spread_is_stable_and_wide), cmocka_unit_test(zones), cmocka_unit_test(agrees_with_the_wall),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
