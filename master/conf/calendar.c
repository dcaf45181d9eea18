#include "master/conf/calendar.h"

#include <string.h>

#include "common/str.h"

enum { MINUTE = 60, DAY_MINUTES = 24 * 60, DAY_SECONDS = 24 * 3600, QUARTER = 15 * MINUTE, EVERY_DAY = 0x7f, EPOCH_WEEKDAY = 4 /* 1970 began on a Thursday */ };

static const char day_names[] = "SunMonTueWedThuFriSat";

/* ---- reading ---- */

struct reader {
  const char *text, *p;
  struct buf *why;
  int *column;
};

static enum err wrong(struct reader *r, const char *what)
{
  buf_adds(r->why, what);
  *r->column = (int)(r->p - r->text) + 1;
  return ERR_SYNTAX;
}

static void blanks(struct reader *r)
{
  r->p += strspn(r->p, " \t");
}

static int day_of(const char *s)
{
  for (int d = 0; d < 7; d++)
    if (!strncmp(s, day_names + 3 * d, 3))
      return d;
  return -1;
}

/* A day, or a range of them; none of these: nothing is read. */
static bool read_days(struct reader *r, uint8_t *days)
{
  int from = day_of(r->p), to = from;
  const char *p = r->p + 3;

  if (from < 0)
    return false;
  if (*p == '-') {
    to = day_of(p + 1);
    if (to < 0)
      return false;
    p += 4;
  }
  if (*p && !strchr(" \t,", *p))
    return false;
  *days = 0;
  for (int d = from;; d = (d + 1) % 7) {
    *days |= (uint8_t)(1u << d);
    if (d == to)
      break;
  }
  r->p = p;
  return true;
}

static bool two_digits(const char *s, int *n)
{
  if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
    return false;
  *n = (s[0] - '0') * 10 + s[1] - '0';
  return true;
}

static bool read_time(struct reader *r, bool end, int16_t *minutes)
{
  int h, m;

  if (!two_digits(r->p, &h) || r->p[2] != ':' || !two_digits(r->p + 3, &m) || m > 59 || h > 24 || (h == 24 && (m || !end)))
    return false;
  *minutes = (int16_t)(h * 60 + m);
  r->p += 5;
  return true;
}

static enum err read_times(struct reader *r, int16_t *from, int16_t *to)
{
  if (!read_time(r, false, from))
    return wrong(r, "a time is HH:MM, from 00:00 to 23:59");
  if (*r->p != '-')
    return wrong(r, "behind the first time stands the second: 08:00-18:00");
  r->p++;
  if (!read_time(r, true, to))
    return wrong(r, "a time is HH:MM, the last one 24:00");
  if (*from == *to)
    return wrong(r, "a window that ends when it begins is none; the whole day has no times");
  return *r->p && !strchr(" \t,", *r->p) ? wrong(r, "a blank or a comma should stand here") : ERR_OK;
}

/* Up to the next comma, or the end with or without the zone. */
static enum err read_window(struct reader *r, struct calendar *c)
{
  bool days, times;
  int16_t from = 0, to = DAY_MINUTES;
  uint8_t on = EVERY_DAY;
  enum err e;

  blanks(r);
  days = read_days(r, &on);
  if (days)
    blanks(r);
  times = *r->p >= '0' && *r->p <= '9';
  if (times && (e = read_times(r, &from, &to)))
    return e;
  if (!days && !times)
    return wrong(r, "here stand days (Mon, Mon-Fri: three letters), times (08:00-18:00), or both");
  if (c->n == CALENDAR_WINDOWS_MAX)
    return wrong(r, "there are too many windows");
  c->windows[c->n].days = on;
  c->windows[c->n].from = from;
  c->windows[c->n++].to = to;
  blanks(r);
  return ERR_OK;
}

enum err calendar_parse(const char *text, struct calendar *c, struct buf *why, int *column)
{
  struct reader r = { text, text, why, column };
  size_t n;
  enum err e;

  *c = (struct calendar){ .zone = "UTC" };
  if (strlen(text) > CALENDAR_TEXT_MAX)
    return wrong(&r, "this is too long for a calendar");
  for (;;) {
    if ((e = read_window(&r, c)))
      return e;
    if (*r.p != ',')
      break;
    r.p++;
  }
  n = strcspn(r.p, " \t,");
  if (!n)
    return ERR_OK;
  if (n > ZONE_NAME_MAX)
    return wrong(&r, "there is no such time zone");
  memcpy(c->zone, r.p, n);
  c->zone[n] = 0;
  if (!zone_exists(c->zone))
    return wrong(&r, "there is no such time zone, or several windows without a comma between them");
  r.p += n;
  blanks(&r);
  return *r.p ? wrong(&r, "the zone stands at the end, once for all windows") : ERR_OK;
}

/* ---- asking ---- */

/* local: seconds since 1970 as if the wall's clock showed UTC. */
static bool open_at(const struct calendar *c, int64_t local)
{
  int64_t days = local / DAY_SECONDS - (local % DAY_SECONDS < 0);
  int minute = (int)((local - days * DAY_SECONDS) / MINUTE), weekday = (int)(((days + EPOCH_WEEKDAY) % 7 + 7) % 7), before = (weekday + 6) % 7;

  for (int i = 0; i < c->n; i++) {
    bool over = c->windows[i].to <= c->windows[i].from; /* midnight */
    bool today = c->windows[i].days & 1u << weekday, yesterday = c->windows[i].days & 1u << before;
    if (today && minute >= c->windows[i].from && (over || minute < c->windows[i].to))
      return true;
    if (over && yesterday && minute < c->windows[i].to)
      return true;
  }
  return c->n == 0;
}

bool calendar_open(const struct calendar *c, int64_t at)
{
  return c->n == 0 || open_at(c, at + zone_offset(c->zone, at));
}

/* Zones change their offsets at quarters of hours, so it is asked for once in each. */
int64_t calendar_turns(const struct calendar *c, int64_t at)
{
  bool now = calendar_open(c, at);
  int64_t t = at - ((at % MINUTE) + MINUTE) % MINUTE + MINUTE, end = at + (int64_t)CALENDAR_DAYS * DAY_SECONDS, offset = 0, asked = INT64_MIN;

  if (!c->n)
    return CALENDAR_NEVER;
  for (; t <= end; t += MINUTE) {
    int64_t quarter = t - ((t % QUARTER) + QUARTER) % QUARTER;
    if (quarter != asked)
      offset = zone_offset(c->zone, asked = quarter);
    if (open_at(c, t + offset) != now)
      return t;
  }
  return CALENDAR_NEVER;
}
