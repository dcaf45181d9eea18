/* Calendars of workers: what is one, days and nights of summer time by hand, and a year of minutes of generated ones against a naive model. */
#include "master/conf/calendar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/mem.h"

enum { CASES = 300, LOOKS = 60 };

static int64_t utc(const char *text)
{
  struct tm tm = { 0 };

  assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
  return timegm(&tm);
}

static struct calendar good(const char *text)
{
  struct calendar c;
  struct buf why;
  int column = 0;

  buf_init(&why, BUF_NO_MAX);
  if (calendar_parse(text, &c, &why, &column))
    fail_msg("%s: at %d: %s", text, column, buf_str(&why));
  buf_free(&why);
  return c;
}

static void refused(void **state)
{
  static const struct { const char *text; int column; const char *why; } cases[] = {
    { "", 1, "here stand days" }, { "Mon-", 1, "here stand days" }, { "mon", 1, "here stand days" }, { "Monday", 1, "here stand days" }, { "Mon-Fry", 1, "here stand days" },
    { "Mon 8:00-18:00", 5, "a time is HH:MM, from" }, { "Mon 08:00", 10, "behind the first time" }, { "Mon 08:00-24:01", 11, "the last one 24:00" }, { "24:00-08:00", 1, "a time is HH:MM, from" },
    { "08:00-08:00", 12, "is none" }, { "08:60-09:00", 1, "a time is" }, { "08:00-18:00x", 12, "a blank or a comma" }, { "Mon 08:00-18:00 Mars/Base", 17, "no such time zone" },
    { "Mon,", 5, "here stand days" }, { ",Mon", 1, "here stand days" }, { "Mon UTC, Tue", 8, "the zone stands at the end" }, { "Mon UTC UTC", 9, "the zone stands at the end" },
    { "Mon Tue", 5, "without a comma" }, { "Mon ../../etc/passwd", 5, "no such time zone" }, { "UTC", 1, "here stand days" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct calendar c;
    struct buf why;
    int column = 0;
    buf_init(&why, BUF_NO_MAX);
    assert_int_equal(calendar_parse(cases[i].text, &c, &why, &column), ERR_SYNTAX);
    if (column != cases[i].column || !strstr(buf_str(&why), cases[i].why))
      fail_msg("\"%s\": at %d: %s", cases[i].text, column, buf_str(&why));
    buf_free(&why);
  }
}

static void by_hand(void **state)
{
  static const struct { const char *calendar, *at; bool open; const char *turns; } cases[] = {
    { "Mon-Fri 08:00-18:00", "2026-11-27 07:59:59", false, "2026-11-27 08:00:00" }, /* a Friday */
    { "Mon-Fri 08:00-18:00", "2026-11-27 08:00:00", true, "2026-11-27 18:00:00" },
    { "Mon-Fri 08:00-18:00", "2026-11-27 18:00:00", false, "2026-11-30 08:00:00" },
    { "Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-27 06:30:00", false, "2026-11-27 07:00:00" },
    { "Mon-Fri 08:00-18:00,Sat 10:00-24:00", "2026-11-28 23:59:00", true, "2026-11-29 00:00:00" },
    { "22:00-06:00", "2026-11-27 05:59:00", true, "2026-11-27 06:00:00" },
    { "Fri 22:00-06:00", "2026-11-28 03:00:00", true, "2026-11-28 06:00:00" }, /* begun on Friday */
    { "Fri 22:00-06:00", "2026-11-27 03:00:00", false, "2026-11-27 22:00:00" },
    { "Fri-Mon", "2026-11-30 23:59:00", true, "2026-12-01 00:00:00" },
    { "Sun", "1969-12-28 12:00:00", true, "1969-12-29 00:00:00" },
    { "00:00-24:00", "2026-11-27 03:00:00", true, NULL },
    { "Mon-Sun", "2026-11-27 03:00:00", true, NULL },
    /* Berlin leaves out 02:00 to 03:00 on 2027-03-28 (01:00 UTC) … */
    { "02:15-02:45 Europe/Berlin", "2027-03-28 00:59:00", false, "2027-03-29 00:15:00" },
    { "01:30-02:30 Europe/Berlin", "2027-03-28 00:45:00", true, "2027-03-28 01:00:00" },
    { "02:30-04:00 Europe/Berlin", "2027-03-28 00:59:00", false, "2027-03-28 01:00:00" },
    /* … and has it twice on 2026-10-25 (00:00 and 01:00 UTC). */
    { "02:15-02:45 Europe/Berlin", "2026-10-25 00:20:00", true, "2026-10-25 00:45:00" },
    { "02:15-02:45 Europe/Berlin", "2026-10-25 00:45:00", false, "2026-10-25 01:15:00" },
    { "02:00-02:30 Europe/Berlin", "2026-10-25 00:40:00", false, "2026-10-25 01:00:00" },
    { "Sun 02:15-02:45 Europe/Berlin", "2027-03-27 12:00:00", false, "2027-04-04 00:15:00" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct calendar c = good(cases[i].calendar);
    int64_t at = utc(cases[i].at), turns = cases[i].turns ? utc(cases[i].turns) : CALENDAR_NEVER;
    if (calendar_open(&c, at) != cases[i].open || calendar_turns(&c, at) != turns)
      fail_msg("%s at %s: %d, turns at %lld and not %lld", cases[i].calendar, cases[i].at, calendar_open(&c, at), (long long)calendar_turns(&c, at), (long long)turns);
  }
}

static uint64_t seed = 20261127;

static int below(int n)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (int)((seed >> 33) % (unsigned)n);
}

/* A window as the definition has it: the minutes of the week in which it is open, one by one from its beginnings. */
static void mark(bool week[7 * 24 * 60], int first, int last, int from, int to)
{
  int minutes = to > from ? to - from : to + 24 * 60 - from;

  for (int d = first;; d = (d + 1) % 7) {
    for (int m = 0; m < minutes; m++)
      week[(d * 24 * 60 + from + m) % (7 * 24 * 60)] = true;
    if (d == last)
      return;
  }
}

static bool model(const bool week[7 * 24 * 60], const char *zone, int64_t at)
{
  time_t local = (time_t)(at + zone_offset(zone, at));
  struct tm tm;

  gmtime_r(&local, &tm);
  return week[(tm.tm_wday * 24 + tm.tm_hour) * 60 + tm.tm_min];
}

static void generated(void **state)
{
  static const char *const zones[] = { "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu" };
  static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
  static bool week[7 * 24 * 60];
  int opened = 0, turned = 0;

  (void)state;
  for (int i = 0; i < CASES; i++) {
    const char *zone = zones[below((int)COUNT(zones))];
    struct calendar c;
    struct buf text;
    int n = 1 + below(3);
    memset(week, 0, sizeof week);
    buf_init(&text, BUF_NO_MAX);
    for (int k = 0; k < n; k++) {
      int first = below(7), last = below(7), from = below(24 * 60), to = (from + 1 + below(24 * 60 - 1)) % (24 * 60);
      buf_addf(&text, "%s%s-%s %02d:%02d-%02d:%02d", k ? "," : "", days[first], days[last], from / 60, from % 60, to / 60, to % 60);
      mark(week, first, last, from, to);
    }
    buf_addf(&text, " %s", zone);
    c = good(buf_str(&text));
    for (int k = 0; k < LOOKS; k++) {
      int64_t at = utc("2026-01-01 00:00:00") + (int64_t)below(2 * 365 * 24 * 60) * 60 + below(60), t;
      bool open = calendar_open(&c, at);
      assert_int_equal(open, model(week, zone, at));
      opened += open;
      t = calendar_turns(&c, at);
      if (t == CALENDAR_NEVER)
        continue;
      turned++;
      assert_true(t > at && t % 60 == 0);
      assert_int_equal(model(week, zone, t), !open);
      for (int64_t m = t - 60; m > at && m > t - 600 * 60; m -= 60)
        assert_int_equal(model(week, zone, m), open);
    }
    buf_free(&text);
  }
  assert_in_range(opened, CASES * LOOKS / 5, CASES * LOOKS * 49 / 50);
  assert_true(turned > CASES * LOOKS / 2);
  print_message("calendar: %d calendars, %d looks (%d open)\n", CASES, CASES * LOOKS, opened);
}

/* Any bytes: read or refused with a place in the text. */
static void noise(void **state)
{
  static const char *const words[] = { "Mon", "-", "Fri", " ", ",", "08:00", "18:00", "24:00", "UTC", "Europe/Berlin", "x", "\xff", "0", ":", "\t" };
  char text[CALENDAR_TEXT_MAX + 200];

  (void)state;
  for (int i = 0; i < 20000; i++) {
    struct calendar c;
    struct buf why;
    int column = 0, n = below(i % 100 ? 12 : 400);
    *text = 0;
    for (int k = 0; k < n && strlen(text) < sizeof text - 20; k++)
      strcat(text, words[below((int)COUNT(words))]);
    buf_init(&why, BUF_NO_MAX);
    if (calendar_parse(text, &c, &why, &column))
      assert_true(why.len && column >= 1 && (size_t)column <= strlen(text) + 1);
    else
      assert_true(c.n >= 1 && c.n <= CALENDAR_WINDOWS_MAX);
    buf_free(&why);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(refused), cmocka_unit_test(by_hand), cmocka_unit_test(generated), cmocka_unit_test(noise) };

  return cmocka_run_group_tests_name("calendar", tests, NULL, NULL) ? 1 : 0;
}
