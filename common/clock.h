/* Clocks in milliseconds. Durations only ever come from the first two; the wall clock is for people. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H
#include <stdint.h>

int64_t clock_mono_ms(void);  /* does not run while the host sleeps */
int64_t clock_boot_ms(void);  /* since boot, sleep counted; equal in all processes of a host */
int64_t clock_wall_ms(void);  /* since 1970 */
int64_t clock_mono_us(void);

/* Now, UTC, for people and logs: "2026-11-28T09:15:00.042Z"; returns out. */
#define CLOCK_TEXT_MAX 80 /* 25; the compiler counts what numbers could take */
char *clock_text(char out[CLOCK_TEXT_MAX]);

/* For tests: added to what the first two return. */
void clock_shift_ms(int64_t ms);
#endif
