/* Cron lines: five fields (minute hour day month weekday), and when they are next due. Pure, but for the zone's tables (zone.h).

   A field: `*`, numbers, ranges, lists, steps (`1-30/2`, `0-59/5`, `10/20`: from 10 on), names of months and weekdays (three letters, English), weekday 0 or 7 is Sunday; a range may go round (`Fri-Mon`, `22-2`).
   Day: `L` the last of the month. Weekday: `5L` or `L5` the last Friday of the month, `5#2` the second. `H` in place of a number: one that the scheduler's name picks, the same
   each time, so that a hundred nightly schedulers don't all start in the same minute; `H(0-29)`, `H/15`, `H(8-17)/3`. `@hourly @daily @midnight @weekly @monthly @yearly @annually` are the usual lines with `H`.
   Where both day and weekday are restricted, either will do (as in Vixie's cron).
   Summer time: a wall-clock time that is skipped counts right after the gap, once however many fall into it; one that comes twice counts the first time only. A line for every hour
   goes by the minutes that the wall really shows: it pauses in no repeated hour, and catches up with no skipped one. */
#ifndef MASTER_CONF_CRON_H
#define MASTER_CONF_CRON_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define CRON_TEXT_MAX 512
#define CRON_NEVER INT64_MIN
#define CRON_YEARS 50 /* a line that does not come in so many years never does (the 30th of February) */

struct cron {
  uint64_t minutes;
  uint32_t hours, days, months; /* bit n: n */
  uint8_t weekdays;             /* bit 0: Sunday */
  uint8_t last_weekdays;        /* 5L */
  uint8_t nth[7];               /* 5#2: bit 2 of nth[5] */
  bool last_day, any_day, any_weekday;
};

/* name: what H is picked by. ERR_SYNTAX: *why says what is wrong, *column (from 1) where. */
enum err cron_parse(const char *text, const char *name, struct cron *c, struct buf *why, int *column) must_check;
/* The first time after `after` (seconds since 1970); CRON_NEVER. */
int64_t cron_next(const struct cron *c, const char *zone, int64_t after) must_check;
#endif
