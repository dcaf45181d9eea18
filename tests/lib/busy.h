/* For tests: a deadline says that something hangs, not how fast a machine is; one that is busy with other things as well has more time (as tests/lib/drover.py reckons). */
#ifndef TESTS_LIB_BUSY_H
#define TESTS_LIB_BUSY_H
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* So many times as much: ms on a machine that is not busy. */
static inline int64_t busy_ms(int64_t ms)
{
  double load = 0, times;

  if (getloadavg(&load, 1) != 1)
    load = 0;
  times = load / (double)sysconf(_SC_NPROCESSORS_ONLN) / 2;
  return (int64_t)((double)ms * (times < 1 ? 1 : times > 6 ? 6 : times));
}
#endif
