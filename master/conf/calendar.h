/* Windows of time in a week: `Mon-Fri 08:00-18:00, Sat 10:00-14:00 Europe/Berlin`. Pure, but for the zone's tables (zone.h).

   A window is days, times, or both; without days it is each day, without times the whole day. Days: three letters, English, one or a range, which may go round (`Fri-Mon`). Times: HH:MM-HH:MM, the
   second not in it, 24:00 the day's end; where the second is not after the first the window ends on the next day, and the days say when it begins. Windows are separated by commas; the zone, by its
   IANA name, stands at the end and is that of all of them; without one it is UTC.
   What counts is what the clock on the wall shows: of times that summer time skips nothing is there, and what comes twice is there twice. */
#ifndef MASTER_CONF_CALENDAR_H
#define MASTER_CONF_CALENDAR_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "master/conf/zone.h"

#define CALENDAR_TEXT_MAX 512
#define CALENDAR_WINDOWS_MAX 32
#define CALENDAR_NEVER INT64_MAX
#define CALENDAR_DAYS 16 /* what does not change in so many days never does */

struct calendar {
  char zone[ZONE_NAME_MAX + 1];
  struct {
    uint8_t days;           /* bit 0: Sunday; on which it begins */
    int16_t from, to;       /* minutes of the day; to: up to 24:00, or of the next day where it is not after from */
  } windows[CALENDAR_WINDOWS_MAX];
  int n;                    /* 0: always */
};

/* ERR_SYNTAX: *why says what is wrong, *column (from 1) where. */
enum err calendar_parse(const char *text, struct calendar *c, struct buf *why, int *column) must_check;
/* at: seconds since 1970. */
bool calendar_open(const struct calendar *c, int64_t at);
/* The first full minute after `at` at which it is open where it is closed at `at`, or the other way round; CALENDAR_NEVER. */
int64_t calendar_turns(const struct calendar *c, int64_t at);
#endif
