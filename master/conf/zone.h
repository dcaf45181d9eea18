/* Time zones by IANA name: from an instant to what the clock on the wall shows, and back. By the C library's own tables; seconds since 1970 throughout.

   The library has one zone at a time: these calls switch it (TZ), except for UTC, so they are for the master's one thread. Who formats local time beside them calls zone_own() first. */
#ifndef MASTER_CONF_ZONE_H
#define MASTER_CONF_ZONE_H
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"

#define ZONE_NAME_MAX 64

/* "Europe/Berlin", "UTC": letters, digits, "_+-/", no "..", not first a "/"; and there is such a file in the system's tables. */
bool zone_exists(const char *name) must_check;
/* Seconds east of UTC at that instant. */
int64_t zone_offset(const char *name, int64_t utc);
/* The instant at which the wall shows local (seconds since 1970 as if it were UTC). A time that is shown twice: the first. A time that is skipped: the instant right after the gap. */
int64_t zone_instant(const char *name, int64_t local);
/* Back to the zone that the process was started in. */
void zone_own(void);
#endif
