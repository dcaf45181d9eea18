/* Own log: one line an event to stderr, written with one write(2) so that lines of several processes don't mix. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"

enum { LOG_LINE_MAX = 2048 };

static enum log_level least = LOG_INFO;
static bool as_json;
static void (*sink)(enum log_level, const char *);

void log_set_level(enum log_level level) { least = level; }

bool log_set_format(const char *name)
{
  as_json = str_eq(name, "json");
  return as_json || str_eq(name, "text");
}

void log_set_sink(void (*s)(enum log_level, const char *)) { sink = s; }

static size_t put_safe(char *out, size_t room, const char *s)
{
  static const char digits[] = "0123456789abcdef";
  size_t n = 0;

  for (; *s && n + 5 < room; s++) {
    unsigned char c = (unsigned char)*s;
    if (c < 0x20 || c == 0x7f) {
      out[n++] = '\\';
      out[n++] = 'x';
      out[n++] = digits[c >> 4];
      out[n++] = digits[c & 15];
    } else {
      out[n++] = (char)c;
    }
  }
  out[n] = 0;
  return n;
}

/* As the inside of a JSON string: what is not UTF-8 becomes U+FFFD. */
static size_t put_json(char *out, size_t room, const char *s)
{
  size_t n = 0, len = strlen(s), step;

  for (size_t i = 0; i < len && n + 8 < room; i += step) {
    unsigned char c = (unsigned char)s[i];
    step = str_utf8(s + i, len - i, NULL);
    if (!step || c < 0x20 || c == 0x7f) {
      n += (size_t)snprintf(out + n, room - n, "\\u%04x", step ? (unsigned)c : 0xfffdu);
      step = 1;
    } else {
      if (c == '"' || c == '\\')
        out[n++] = '\\';
      memcpy(out + n, s + i, step);
      n += step;
    }
  }
  out[n] = 0;
  return n;
}

static size_t line_json(char *line, size_t room, const char *level, const char *area, const char *text)
{
  char when[CLOCK_TEXT_MAX];
  size_t n;

  n = (size_t)snprintf(line, room, "{\"time\":\"%s\",\"level\":\"%s\",\"area\":\"%s\",\"message\":\"", clock_text(when), level, area);
  n += put_json(line + n, room - n - 2, text);
  line[n++] = '"';
  line[n++] = '}';
  line[n] = 0;
  return n;
}

printf_like(3, 0) static void put(enum log_level level, const char *area, const char *fmt, va_list ap)
{
  static const char *const names[] = { "debug", "info", "warn", "error" };
  char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
  size_t n;
  ssize_t w;

  if (level < least)
    return;
  vsnprintf(text, sizeof text, fmt, ap);
  if (as_json) {
    n = line_json(line, sizeof line - 1, names[level], area, text);
  } else {
    n = (size_t)snprintf(line, sizeof line - 1, "%s %s: ", names[level], area);
    n += put_safe(line + n, sizeof line - 1 - n, text);
  }
  if (sink) {
    sink(level, line);
    return;
  }
  line[n++] = '\n';
  w = write(2, line, n);
  (void)w; /* nobody is left to tell */
}

#define LOG_FN(name, level)                                                    \
  void name(const char *area, const char *fmt, ...)                            \
  {                                                                            \
    va_list ap;                                                                \
    va_start(ap, fmt);                                                         \
    put(level, area, fmt, ap);                                                 \
    va_end(ap);                                                                \
  }
LOG_FN(log_debug, LOG_DEBUG)
LOG_FN(log_info, LOG_INFO)
LOG_FN(log_warn, LOG_WARN)
LOG_FN(log_error, LOG_ERROR)
