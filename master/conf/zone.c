/* Wall clocks. localtime_r() is asked only for the offset of an instant, which is never ambiguous; all else is arithmetic on it. */
#include "master/conf/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"

enum { HALF_WINDOW = 14 * 3600 }; /* no two changes of an offset are nearer to each other, and no offset is larger */

bool zone_exists(const char *name)
{
  char path[sizeof ZONE_FOLDER + 1 + ZONE_NAME_MAX + 1], head[4];
  size_t n = strlen(name);
  FILE *f;
  bool good;

  if (!n || n > ZONE_NAME_MAX || *name == '/' || strstr(name, "..") ||
      strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") != n)
    return false;
  snprintf(path, sizeof path, "%s/%s", ZONE_FOLDER, name);
  f = fopen(path, "re");
  good = f && fread(head, 1, sizeof head, f) == sizeof head && !memcmp(head, "TZif", 4);
  if (f)
    fclose(f);
  return good;
}

static char now[ZONE_NAME_MAX + 2]; /* what TZ was set to; "": it is the process's own */
static char *own;

static void use(const char *name)
{
  char wanted[ZONE_NAME_MAX + 2];

  snprintf(wanted, sizeof wanted, ":%s", name);
  if (!strcmp(now, wanted))
    return;
  if (!*now && !own && getenv("TZ"))
    own = xstrdup(getenv("TZ"));
  memcpy(now, wanted, sizeof now);
  setenv("TZ", wanted, 1);
  tzset();
}

void zone_own(void)
{
  if (!*now)
    return;
  *now = 0;
  if (own)
    setenv("TZ", own, 1);
  else
    unsetenv("TZ");
  tzset();
}

int64_t zone_offset(const char *name, int64_t utc)
{
  time_t t = (time_t)utc;
  struct tm tm;

  if (!strcmp(name, "UTC"))
    return 0;
  use(name);
  return localtime_r(&t, &tm) ? tm.tm_gmtoff : 0;
}

/* The first instant in (low, high] with another offset than low has; there is one. */
static int64_t change_between(const char *name, int64_t low, int64_t high)
{
  int64_t offset = zone_offset(name, low);

  while (high - low > 1) {
    int64_t middle = low + (high - low) / 2;
    if (zone_offset(name, middle) == offset)
      low = middle;
    else
      high = middle;
  }
  return high;
}

int64_t zone_instant(const char *name, int64_t local)
{
  int64_t before = zone_offset(name, local - HALF_WINDOW), after = zone_offset(name, local + HALF_WINDOW), early, late;

  if (before == after)
    return local - before;
  early = local - (before > after ? before : after);
  late = local - (before > after ? after : before);
  if (zone_offset(name, early) == local - early)
    return early;
  if (zone_offset(name, late) == local - late)
    return late;
  return change_between(name, early - HALF_WINDOW, late + HALF_WINDOW);
}
