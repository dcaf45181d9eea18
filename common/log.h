/* Own log: stderr, one line an event, "level area: what key=value", or as JSON {"time", "level", "area", "message"}. Never a secret. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H
#include <stdbool.h>

#include "common/mem.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below the level are dropped; default LOG_INFO. */
void log_set_level(enum log_level level);
/* "text" (the default) or "json"; false: neither. */
bool log_set_format(const char *name) must_check;
/* Where lines go; default writes them to fd 2. The line has no line feed and is valid during the call only. */
void log_set_sink(void (*sink)(enum log_level level, const char *line));

/* Control bytes in the result are shown as \xNN, so no one outside can forge a line. */
void log_debug(const char *area, const char *fmt, ...) printf_like(2, 3);
void log_info(const char *area, const char *fmt, ...) printf_like(2, 3);
void log_warn(const char *area, const char *fmt, ...) printf_like(2, 3);
void log_error(const char *area, const char *fmt, ...) printf_like(2, 3);
#endif
