/* Clocks in milliseconds. Durations only ever come from the first two; the wall clock is for people. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H
#include <stdint.h>

int64_t clock_mono_ms(void);  /* does not run while the host sleeps */
int64_t clock_boot_ms(void);  /* since boot, sleep counted; equal in all processes of a host */
int64_t clock_wall_ms(void);  /* since 1970 */
int64_t clock_mono_us(void);

/* For tests: added to what the first two return. */
void clock_shift_ms(int64_t ms);
#endif
