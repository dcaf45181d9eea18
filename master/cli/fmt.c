/* How values look to people. No locale: the text is UTF-8 whatever LANG says. */
#include "master/cli/fmt.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * (int64_t)HOUR)

char *fmt_duration(int64_t ms, char out[FMT_MAX])
{
  int64_t s = (ms + 500) / SECOND;

  if (ms < 0)
    snprintf(out, FMT_MAX, "-");
  else if (ms < 100)
    snprintf(out, FMT_MAX, "%" PRId64 " ms", ms);
  else if (ms < MINUTE - 50)
    snprintf(out, FMT_MAX, "%" PRId64 ".%" PRId64 " s", (ms + 50) / SECOND, (ms + 50) % SECOND / 100);
  else if (s < HOUR / SECOND)
    snprintf(out, FMT_MAX, "%" PRId64 ":%02" PRId64 " min", s / 60, s % 60);
  else if (s < DAY / SECOND)
    snprintf(out, FMT_MAX, "%" PRId64 ":%02" PRId64 ":%02" PRId64 " h", s / 3600, s / 60 % 60, s % 60);
  else
    snprintf(out, FMT_MAX, "%" PRId64 " d %" PRId64 ":%02" PRId64 " h", s / 86400, s / 3600 % 24, s / 60 % 60);
  return out;
}

char *fmt_size(int64_t bytes, char out[FMT_MAX])
{
  static const char *const units[] = { "B", "KB", "MB", "GB", "TB", "PB", "EB" };
  double v = (double)bytes;
  size_t u = 0;

  while (v >= 999.5 && u + 1 < COUNT(units)) {
    v /= 1000;
    u++;
  }
  snprintf(out, FMT_MAX, u && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
  return out;
}

char *fmt_ago(int64_t at_ms, int64_t now_ms, char out[FMT_MAX])
{
  int64_t ms = now_ms - at_ms;

  if (at_ms <= 0)
    snprintf(out, FMT_MAX, "-");
  else if (ms < 2 * SECOND)
    snprintf(out, FMT_MAX, "just now");
  else if (ms < MINUTE)
    snprintf(out, FMT_MAX, "%" PRId64 " s ago", ms / SECOND);
  else if (ms < HOUR)
    snprintf(out, FMT_MAX, "%" PRId64 " min ago", ms / MINUTE);
  else if (ms < 2 * DAY)
    snprintf(out, FMT_MAX, "%" PRId64 " h ago", ms / HOUR);
  else if (ms < 14 * DAY)
    snprintf(out, FMT_MAX, "%" PRId64 " d ago", ms / DAY);
  else
    fmt_date(at_ms, out)[10] = 0;
  return out;
}

/* Whole days from one local date to the other. */
static int64_t days_between(const struct tm *from, const struct tm *to)
{
  struct tm a = { .tm_year = from->tm_year, .tm_mon = from->tm_mon, .tm_mday = from->tm_mday };
  struct tm b = { .tm_year = to->tm_year, .tm_mon = to->tm_mon, .tm_mday = to->tm_mday };

  return (int64_t)((timegm(&b) - timegm(&a)) / (24 * 3600));
}

char *fmt_due(int64_t at_ms, int64_t now_ms, char out[FMT_MAX])
{
  time_t at = (time_t)(at_ms / SECOND), now = (time_t)(now_ms / SECOND);
  int64_t ms = at_ms - now_ms, days;
  struct tm then, today;

  if (ms <= 0)
    snprintf(out, FMT_MAX, "now");
  else if (ms < MINUTE)
    snprintf(out, FMT_MAX, "in %" PRId64 " s", (ms + SECOND - 1) / SECOND);
  else if (ms < HOUR)
    snprintf(out, FMT_MAX, "in %" PRId64 " min", ms / MINUTE);
  if (ms < HOUR)
    return out;
  if (!localtime_r(&at, &then) || !localtime_r(&now, &today)) {
    snprintf(out, FMT_MAX, "-");
    return out;
  }
  days = days_between(&today, &then);
  if (!strftime(out, FMT_MAX, days == 0 ? "today %H:%M" : days == 1 ? "tomorrow %H:%M" : days < 7 ? "%a %H:%M" : "%Y-%m-%d %H:%M", &then))
    snprintf(out, FMT_MAX, "-");
  return out;
}

char *fmt_until(int64_t at_ms, int64_t now_ms, char out[FMT_MAX])
{
  char due[FMT_MAX];

  fmt_due(at_ms, now_ms, due);
  if (at_ms <= now_ms)
    snprintf(out, FMT_MAX, "about to end");
  else if (at_ms - now_ms < HOUR)
    snprintf(out, FMT_MAX, "for another %.30s", due + sizeof "in " - 1);
  else
    snprintf(out, FMT_MAX, "until %.30s", due);
  return out;
}

char *fmt_date(int64_t at_ms, char out[FMT_MAX])
{
  time_t t = (time_t)(at_ms / SECOND);
  struct tm tm;

  if (at_ms <= 0 || !localtime_r(&t, &tm) || !strftime(out, FMT_MAX, "%Y-%m-%d %H:%M:%S", &tm))
    snprintf(out, FMT_MAX, "%-10s", "-");
  return out;
}

char *fmt_revision(const char *revision, char out[FMT_MAX])
{
  size_t n = strlen(revision);
  bool hash = (n == 40 || n == 64) && strspn(revision, "0123456789abcdef") == n;

  if (hash)
    snprintf(out, FMT_MAX, "%.7s", revision);
  else
    snprintf(out, FMT_MAX, "%.*s", (int)(n < FMT_MAX ? n : FMT_MAX - 1), revision);
  return out;
}

static const struct { const char *text; enum style style; } results[] = {
  [RESULT_SUCCESS] = { "SUCCESS", STYLE_GOOD },       [RESULT_WARNINGS] = { "WARNINGS", STYLE_WARN },
  [RESULT_FAILURE] = { "FAILURE", STYLE_BAD },        [RESULT_SKIPPED] = { "SKIPPED", STYLE_DIM },
  [RESULT_EXCEPTION] = { "EXCEPTION", STYLE_BAD },    [RESULT_RETRY] = { "RETRY", STYLE_WARN },
  [RESULT_CANCELLED] = { "CANCELLED", STYLE_DIM },
};

const char *fmt_result(int result)
{
  if (result == FMT_NO_RESULT)
    return "RUNNING";
  return result >= 0 && (size_t)result < COUNT(results) ? results[result].text : "UNKNOWN";
}

enum style fmt_result_style(int result)
{
  if (result == FMT_NO_RESULT)
    return STYLE_BUSY;
  return result >= 0 && (size_t)result < COUNT(results) ? results[result].style : STYLE_BAD;
}

const char *fmt_style_on(enum style s)
{
  static const char *const on[] = {
    [STYLE_NONE] = "", [STYLE_BOLD] = "\033[1m", [STYLE_DIM] = "\033[2m", [STYLE_GOOD] = "\033[32m",
    [STYLE_WARN] = "\033[33m", [STYLE_BAD] = "\033[1;31m", [STYLE_BUSY] = "\033[36m" };

  return on[s];
}

/* One character of text that is known to be good UTF-8 (anything else counts byte by byte). */
static size_t next_char(const unsigned char *s, uint32_t *cp)
{
  size_t n = s[0] < 0xc0 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

  *cp = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) {
      *cp = s[0];
      return 1;
    }
    *cp = *cp << 6 | (s[i] & 0x3f);
  }
  return n;
}

static int char_width(uint32_t cp)
{
  static const struct { uint32_t from, to; int width; } ranges[] = {
    { 0x300, 0x36f, 0 },     { 0x200b, 0x200d, 0 },   { 0xfe00, 0xfe0f, 0 },   { 0x1100, 0x115f, 2 },
    { 0x2e80, 0xa4cf, 2 },   { 0xac00, 0xd7a3, 2 },   { 0xf900, 0xfaff, 2 },   { 0xfe30, 0xfe6f, 2 },
    { 0xff00, 0xff60, 2 },   { 0xffe0, 0xffe6, 2 },   { 0x1f300, 0x1f64f, 2 }, { 0x1f900, 0x1f9ff, 2 },
    { 0x20000, 0x3fffd, 2 } };

  for (size_t i = 0; i < COUNT(ranges); i++)
    if (cp >= ranges[i].from && cp <= ranges[i].to)
      return ranges[i].width;
  return 1;
}

int fmt_width(const char *s)
{
  int width = 0;
  uint32_t cp;

  for (; *s; width += char_width(cp))
    s += next_char((const unsigned char *)s, &cp);
  return width;
}

size_t fmt_fit(const char *s, int width)
{
  const char *p = s;
  uint32_t cp;

  while (*p) {
    size_t n = next_char((const unsigned char *)p, &cp);
    width -= char_width(cp);
    if (width < 0)
      break;
    p += n;
  }
  return (size_t)(p - s);
}
