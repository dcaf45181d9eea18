#include "master/cli/lines.h"

#include <stdarg.h>
#include <stdlib.h>

#include "common/clock.h"
#include "master/cli/js.h"
#include "master/cli/table.h"

void lines_text(struct cli *c, const char *label, const char *text)
{
  if (!*text)
    return;
  out_label(c, STYLE_DIM, label);
  out(c, STYLE_NONE, "%s", text);
  out_end(c);
}

void lines_f(struct cli *c, const char *label, const char *fmt, ...)
{
  va_list ap;
  char *text;

  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  lines_text(c, label, text);
  free(text);
}

void lines_time(struct cli *c, const char *label, int64_t at)
{
  char date[FMT_MAX], ago[FMT_MAX];

  if (at > 0)
    lines_f(c, label, "%s (%s)", fmt_date(at, date), fmt_ago(at, clock_wall_ms(), ago));
}

void lines_join(struct cli *c, const char *label, const cJSON *o, const char *path, const char *between)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  js_join(o, path, between, &text);
  lines_text(c, label, buf_str(&text));
  buf_free(&text);
}

void lines_head(struct cli *c, const cJSON *o, const char *id)
{
  int result = js_result(o);

  out(c, STYLE_BOLD, "%s  ", id);
  out(c, fmt_result_style(result), "%s", result == FMT_NO_RESULT ? js_text(o, "state") : fmt_result(result));
}

void lines_source(struct cli *c, const cJSON *o)
{
  const char *got = js_text(o, "got_revision"), *revision = *got ? got : js_text(o, "revision");

  lines_f(c, "source", "%s%s%s", js_text(o, "branch"), *js_text(o, "branch") ? " " : "", *revision ? revision : "(its tip)");
}

void lines_all_of(struct cli *c, struct table *t)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  table_print(t, c->width, c->color, &text);
  out_bytes(c, buf_str(&text), text.len);
  buf_free(&text);
  table_free(t);
}

void lines_table(struct cli *c, struct table *t)
{
  if (table_rows(t))
    lines_all_of(c, t);
  else
    table_free(t);
}

/* Which build triggered it. */
void lines_parent(struct cli *c, const cJSON *o)
{
  if (js_has(o, "parent"))
    lines_f(c, "parent", "%s:%s%s", js_text(o, "parent.build"), js_text(o, "parent.step"), cJSON_IsTrue(js_get(o, "parent.waits")) ? ", which waits for it" : "");
}
