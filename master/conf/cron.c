/* Cron lines: one reader for all five fields, then a walk over the wall's calendar: months that fit, days that fit, the first hour and minute that fit. */
#include "master/conf/cron.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/str.h"
#include "master/conf/zone.h"

enum { REPEAT_MAX = 3 * 3600 }; /* no zone puts its clocks back by more */

enum field { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const struct {
  const char *called;
  int low, high;          /* what may be written */
  int spread;             /* H picks from low to this: days that every month has, each weekday once */
  const char *names;      /* three letters each, the first is number low */
} fields[FIELDS] = {
  [MINUTE] = { "minute", 0, 59, 59, "" },
  [HOUR] = { "hour", 0, 23, 23, "" },
  [DAY] = { "day", 1, 31, 28, "" },
  [MONTH] = { "month", 1, 12, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
  [WEEKDAY] = { "weekday", 0, 7, 6, "sunmontuewedthufrisat" },
};

struct reader {
  const char *text, *p;
  enum field field;
  const char *name;       /* H is picked by this */
  struct cron *c;
  struct buf *why;
  int *column;
  bool bad;
};

printf_like(3, 4) static bool fail(struct reader *r, const char *at, const char *fmt, ...)
{
  va_list ap;
  char *text;

  if (r->bad)
    return false;
  r->bad = true;
  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  buf_adds(r->why, text);
  free(text);
  *r->column = (int)(at - r->text) + 1;
  return false;
}

/* ---- one field ---- */

/* FNV-1a over the name and the field: all that H needs is to be spread, and the same each time. */
static uint32_t pick(const char *name, enum field f)
{
  uint32_t h = 2166136261u ^ ((uint32_t)f * 0x9e3779b9u);

  for (; *name; name++)
    h = (h ^ (unsigned char)*name) * 16777619u;
  return h ^ h >> 15;
}

static bool is_word(char c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool read_number(struct reader *r, int *out)
{
  const char *at = r->p, *names = fields[r->field].names;
  int n = 0, low = fields[r->field].low, high = fields[r->field].high;
  size_t len = strspn(at, "0123456789");

  if (len > 2)
    return fail(r, at, "a %s has at most two digits", fields[r->field].called);
  for (size_t i = 0; i < len; i++)
    n = n * 10 + at[i] - '0';
  if (!len && is_word(at[0]) && is_word(at[1]) && is_word(at[2]) && !is_word(at[3])) {
    for (int i = 0; names[i * 3]; i++)
      if (!strncasecmp(names + i * 3, at, 3)) {
        n = low + i;
        len = 3;
      }
  }
  if (!len)
    return fail(r, at, "here a %s should stand: a number%s, *, or H", fields[r->field].called, *names ? ", a name of three letters" : "");
  if (n < low || n > high)
    return fail(r, at, "the %s is %d to %d", fields[r->field].called, low, high);
  r->p += len;
  *out = n;
  return true;
}

static void add(struct reader *r, int n)
{
  struct cron *c = r->c;

  switch (r->field) {
  case MINUTE: c->minutes |= UINT64_C(1) << n; break;
  case HOUR: c->hours |= 1u << n; break;
  case DAY: c->days |= 1u << n; break;
  case MONTH: c->months |= 1u << n; break;
  default: c->weekdays |= (uint8_t)(1u << n % 7);
  }
}

static bool read_step(struct reader *r, int *step)
{
  const char *at = r->p + 1;
  size_t len;

  *step = 1;
  if (*r->p != '/')
    return true;
  len = strspn(at, "0123456789");
  if (!len || len > 2 || (*step = len == 1 ? at[0] - '0' : (at[0] - '0') * 10 + at[1] - '0') == 0)
    return fail(r, at, "a step is 1 to 99");
  r->p = at + len;
  return true;
}

/* from..to, round the end where from is larger. */
static void add_range(struct reader *r, int from, int to, int step)
{
  int low = fields[r->field].low, high = r->field == WEEKDAY ? 6 : fields[r->field].high, size = high - low + 1;
  int n = from > to ? to + size - from : to - from;

  for (int i = 0; i <= n; i += step)
    add(r, low + (from - low + i) % size);
}

/* H, H(a-b), each with /step */
static bool read_spread(struct reader *r)
{
  int low = fields[r->field].low, high = fields[r->field].spread, step;
  uint32_t h = pick(r->name, r->field);
  const char *at = r->p++;

  if (*r->p == '(') {
    r->p++;
    if (!read_number(r, &low))
      return false;
    if (*r->p++ != '-')
      return fail(r, r->p - 1, "H( wants a range: H(0-29)");
    if (!read_number(r, &high))
      return false;
    if (*r->p++ != ')')
      return fail(r, r->p - 1, "the bracket of H( is not closed");
    if (low > high)
      return fail(r, at, "the range of H goes upwards");
  }
  if (*r->p == '/') {
    if (!read_step(r, &step))
      return false;
    for (int i = low + (int)(h % (uint32_t)step); i <= high; i += step)
      add(r, i);
    return (step <= high - low + 1) || fail(r, at, "the step is larger than the range");
  }
  add(r, low + (int)(h % (uint32_t)(high - low + 1)));
  return true;
}

/* "#2" or "L" behind a weekday. */
static bool read_of_month(struct reader *r, int day)
{
  if (*r->p == 'L' || *r->p == 'l') {
    r->p++;
    r->c->last_weekdays |= (uint8_t)(1u << day % 7);
    return true;
  }
  r->p++;
  if (*r->p < '1' || *r->p > '5' || is_word(r->p[1]))
    return fail(r, r->p, "behind # stands 1 to 5: which one of the month");
  r->c->nth[day % 7] |= (uint8_t)(1u << (*r->p++ - '0'));
  return true;
}

static bool is_last(const struct reader *r)
{
  return *r->p == 'L' || *r->p == 'l';
}

static bool read_range(struct reader *r)
{
  int from, to, step;

  if (!read_number(r, &from))
    return false;
  if (r->field == WEEKDAY && (*r->p == '#' || is_last(r)))
    return read_of_month(r, from);
  to = from;
  if (*r->p == '-') {
    r->p++;
    if (!read_number(r, &to))
      return false;
  } else if (*r->p == '/') {
    to = r->field == WEEKDAY ? 6 : fields[r->field].high;
  }
  if (!read_step(r, &step))
    return false;
  if (r->field == WEEKDAY) { /* Sunday is 0; as the end of a range it comes after Saturday */
    if (to == 7)
      to = from ? 0 : 6;
    from %= 7;
  }
  add_range(r, from, to, step);
  return true;
}

static bool read_item(struct reader *r)
{
  int day, step;

  if (*r->p == '*') {
    r->p++;
    if (!read_step(r, &step))
      return false;
    add_range(r, fields[r->field].low, r->field == WEEKDAY ? 6 : fields[r->field].high, step);
    return true;
  }
  if (*r->p == 'H' || (*r->p == 'h' && !is_word(r->p[1])))
    return read_spread(r);
  if (r->field == DAY && is_last(r)) {
    r->p++;
    r->c->last_day = true;
    return true;
  }
  if (r->field == WEEKDAY && is_last(r)) { /* L5, as Buildbot writes it */
    r->p++;
    if (!read_number(r, &day))
      return false;
    r->c->last_weekdays |= (uint8_t)(1u << day % 7);
    return true;
  }
  return read_range(r);
}

static bool read_field(struct reader *r)
{
  const char *at = r->p;

  do {
    if (!read_item(r))
      return false;
  } while (*r->p == ',' && r->p++);
  if (*r->p && *r->p != ' ' && *r->p != '\t')
    return fail(r, r->p, "\"%c\" makes no sense in the %s", *r->p >= ' ' && *r->p < 0x7f ? *r->p : '?', fields[r->field].called);
  if (r->field == DAY)
    r->c->any_day = *at == '*' && r->p == at + 1;
  if (r->field == WEEKDAY)
    r->c->any_weekday = *at == '*' && r->p == at + 1;
  return true;
}

/* ---- the line ---- */

static const char *shortcut(const char *text)
{
  static const char *const all[][2] = { { "@hourly", "H * * * *" }, { "@daily", "H H * * *" }, { "@midnight", "H H(0-2) * * *" }, { "@weekly", "H H * * H" },
                                        { "@monthly", "H H H * *" }, { "@yearly", "H H H H *" }, { "@annually", "H H H H *" } };

  for (size_t i = 0; i < COUNT(all); i++)
    if (!strcmp(all[i][0], text))
      return all[i][1];
  return NULL;
}

enum err cron_parse(const char *text, const char *name, struct cron *c, struct buf *why, int *column)
{
  struct reader r = { .text = text, .name = name, .c = c, .why = why, .column = column };

  memset(c, 0, sizeof *c);
  if (strlen(text) > CRON_TEXT_MAX)
    return fail(&r, text, "longer than %d characters", CRON_TEXT_MAX), ERR_SYNTAX;
  r.p = *text == '@' ? shortcut(text) : text;
  if (!r.p)
    return fail(&r, text, "\"%s\" is none of @hourly @daily @midnight @weekly @monthly @yearly", text), ERR_SYNTAX;
  if (*text == '@')
    r.text = r.p;
  for (; r.field < FIELDS; r.field++) {
    r.p += strspn(r.p, " \t");
    if (!*r.p)
      return fail(&r, r.p, "the %s is missing: a line has five fields, minute hour day month weekday", fields[r.field].called), ERR_SYNTAX;
    if (!read_field(&r))
      return ERR_SYNTAX;
  }
  r.p += strspn(r.p, " \t");
  if (*r.p)
    return fail(&r, r.p, "more than five fields"), ERR_SYNTAX;
  return ERR_OK;
}

/* ---- the calendar ---- */

/* Days since 1970 of a date, and back; the proleptic Gregorian calendar, years from March (Howard Hinnant's arithmetic). */
static int64_t days_of(int64_t year, int month, int day)
{
  int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400, in_era = y - era * 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

  return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day)
{
  int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
  int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365, of_year = of_era - (365 * y + y / 4 - y / 100);
  int64_t m = (5 * of_year + 2) / 153;

  *day = (int)(of_year - (153 * m + 2) / 5 + 1);
  *month = (int)(m < 10 ? m + 3 : m - 9);
  *year = y + era * 400 + (*month <= 2);
}

static int month_days(int64_t year, int month)
{
  return (int)(days_of(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) - days_of(year, month, 1));
}

static bool day_fits(const struct cron *c, int64_t days, int day, int in_month)
{
  int weekday = (int)((days % 7 + 11) % 7); /* the first of January 1970 was a Thursday */
  bool by_day = c->days >> day & 1 || (c->last_day && day == in_month);
  bool by_weekday = c->weekdays >> weekday & 1 || (c->last_weekdays >> weekday & 1 && day + 7 > in_month) || (c->nth[weekday] >> (day + 6) / 7 & 1);

  if (c->any_day || c->any_weekday)
    return by_day && by_weekday;
  return by_day || by_weekday;
}

/* The first minute of the day at or after from (minutes since midnight) that fits; -1. */
static int minute_of_day(const struct cron *c, int from)
{
  for (int h = from / 60, m = from % 60; h < 24; h++, m = 0)
    for (; c->hours >> h & 1 && m < 60; m++)
      if (c->minutes >> m & 1)
        return h * 60 + m;
  return -1;
}

static bool is_real(const char *zone, int64_t instant, int64_t local)
{
  return instant + zone_offset(zone, instant) == local;
}

/* By the wall's calendar, from the minute after the one that it shows at `after`. */
static int64_t walk(const struct cron *c, const char *zone, int64_t after, bool real)
{
  int64_t local = after + zone_offset(zone, after), days = local / 86400 - (local % 86400 < 0), year, last, found;
  int month, day, minute = (int)((local - days * 86400) / 60) + 1;

  date_of(days, &year, &month, &day);
  for (last = year + CRON_YEARS; year <= last; month = month == 12 ? 1 : month + 1, year += month == 1, day = 1, minute = 0) {
    int in_month = month_days(year, month);
    if (!(c->months >> month & 1))
      continue;
    for (; day <= in_month; day++, minute = 0) {
      days = days_of(year, month, day);
      if (!day_fits(c, days, day, in_month))
        continue;
      for (; (minute = minute < 1440 ? minute_of_day(c, minute) : -1) >= 0; minute++) {
        local = days * 86400 + minute * 60;
        found = zone_instant(zone, local);
        if (found > after && (!real || is_real(zone, found, local)))
          return found;
      }
    }
  }
  return CRON_NEVER;
}

static bool fits(const struct cron *c, int64_t local)
{
  int64_t days = local / 86400 - (local % 86400 < 0), year;
  int month, day, minute = (int)((local - days * 86400) / 60);

  date_of(days, &year, &month, &day);
  return c->months >> month & 1 && day_fits(c, days, day, month_days(year, month)) && minute_of_day(c, minute) == minute;
}

int64_t cron_next(const struct cron *c, const char *zone, int64_t after)
{
  bool every_hour = c->hours == (1u << 24) - 1;
  int64_t found = walk(c, zone, after, every_hour), minute = after / 60 * 60 + 60;

  if (!every_hour || (zone_offset(zone, after - REPEAT_MAX) == zone_offset(zone, after) && zone_offset(zone, after + REPEAT_MAX) == zone_offset(zone, after)))
    return found;
  for (int64_t end = minute + REPEAT_MAX; minute < end && (found == CRON_NEVER || minute < found); minute += 60)
    if (fits(c, minute + zone_offset(zone, minute)))
      return minute; /* the hour that comes a second time */
  return found;
}
