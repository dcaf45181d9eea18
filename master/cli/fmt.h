/* How values look to people: durations, sizes, times, results, revisions. Pure. */
#ifndef MASTER_CLI_FMT_H
#define MASTER_CLI_FMT_H
#include <stddef.h>
#include <stdint.h>

#define FMT_MAX 48
#define FMT_NO_RESULT (-1)

enum style { STYLE_NONE, STYLE_BOLD, STYLE_DIM, STYLE_GOOD, STYLE_WARN, STYLE_BAD, STYLE_BUSY };

/* Results as the API numbers them. */
enum fmt_result { RESULT_SUCCESS, RESULT_WARNINGS, RESULT_FAILURE, RESULT_SKIPPED, RESULT_EXCEPTION, RESULT_RETRY, RESULT_CANCELLED };

/* All write at most FMT_MAX bytes to out and return it. */
char *fmt_duration(int64_t ms, char out[FMT_MAX]);              /* "40 ms", "1.2 s", "3:07 min", "1:02:03 h", "2 d 3:04 h"; "-" below 0 */
char *fmt_size(int64_t bytes, char out[FMT_MAX]);               /* "812 B", "1.3 MB", "412 KB" */
char *fmt_ago(int64_t at_ms, int64_t now_ms, char out[FMT_MAX]); /* "just now", "2 min ago", "2025-11-03"; "-" for 0 */
char *fmt_due(int64_t at_ms, int64_t now_ms, char out[FMT_MAX]); /* "now", "in 12 s", "in 12 min", "today 15:04", "tomorrow 03:00", "Sat 03:00", "2025-11-03 03:00", local time */
char *fmt_until(int64_t at_ms, int64_t now_ms, char out[FMT_MAX]); /* "for another 12 min", "until today 15:04", "about to end" */
char *fmt_date(int64_t at_ms, char out[FMT_MAX]);               /* "2025-11-03 14:05:09", local time */
char *fmt_revision(const char *revision, char out[FMT_MAX]);    /* full hashes cut to 7 digits, others to what fits */

const char *fmt_result(int result);      /* "SUCCESS"; "RUNNING" for FMT_NO_RESULT */
enum style fmt_result_style(int result);
const char *fmt_style_on(enum style s);  /* the escape sequence; "" for STYLE_NONE */
#define FMT_STYLE_OFF "\033[0m"

/* Columns that UTF-8 text takes on a terminal (wide characters 2, combining ones 0). */
int fmt_width(const char *s);
/* Bytes of s that fit into width columns. */
size_t fmt_fit(const char *s, int width);
#endif
