/* Clocks in milliseconds. */
#include "common/clock.h"

#include <stdio.h>
#include <time.h>

#ifndef CLOCK_BOOTTIME
#define CLOCK_BOOTTIME CLOCK_MONOTONIC /* systems without it: sleep is not counted */
#endif

static int64_t shift;

static int64_t read_us(clockid_t id)
{
  struct timespec t;
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_ms(void) { return read_us(CLOCK_MONOTONIC) / 1000 + shift; }
int64_t clock_mono_us(void) { return read_us(CLOCK_MONOTONIC) + shift * 1000; }
int64_t clock_boot_ms(void) { return read_us(CLOCK_BOOTTIME) / 1000 + shift; }
int64_t clock_wall_ms(void) { return read_us(CLOCK_REALTIME) / 1000; }
void clock_shift_ms(int64_t ms) { shift = ms; }

/* Not strftime: it would bring locales and time zones into the static worker. */
char *clock_text(char out[CLOCK_TEXT_MAX])
{
  struct tm tm = { 0 };
  struct timespec t;

  clock_gettime(CLOCK_REALTIME, &t);
  gmtime_r(&t.tv_sec, &tm);
  snprintf(out, CLOCK_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(t.tv_nsec / 1000000));
  return out;
}
