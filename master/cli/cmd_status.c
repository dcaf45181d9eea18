/* drover status: the master, and per builder what was last, what runs, what waits and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/show.h"
#include "master/cli/table.h"

#define WATCH_EVERY_S 2
#define PIN_SHOWN 8           /* digits of the key */

/* The folder of the configuration's files. */
static void add_folder(const cJSON *s, struct buf *text)
{
  const char *file = js_text(s, "config.file"), *slash = strrchr(file, '/');

  buf_addf(text, "%.*s", slash && slash > file ? (int)(slash - file) : (int)strlen(file), file);
}

static void show_master(struct cli *c, const cJSON *s)
{
  char up[FMT_MAX], size[FMT_MAX];
  long long projects = (long long)js_num(s, "config.projects"), workers = (long long)js_num(s, "config.workers");
  struct buf folder;

  out(c, STYLE_BOLD, "drover %s", js_text(s, "version"));
  if (*js_text(s, "host"))
    out(c, STYLE_NONE, " on %s", js_text(s, "host"));
  out(c, STYLE_NONE, ", up %s · ", fmt_duration(js_num(s, "up_ms"), up));
  if (js_true(s, "database.up")) {
    out(c, STYLE_NONE, "PostgreSQL %s%s", js_text(s, "database.version"), js_true(s, "database.private") ? " private" : "");
    if (js_has(s, "database.size"))
      out(c, STYLE_NONE, ", %s", fmt_size(js_num(s, "database.size"), size));
  } else {
    out(c, STYLE_BAD, "the database is away");
    out(c, STYLE_NONE, "%s%s", *js_text(s, "database.why") ? ": " : "", js_text(s, "database.why"));
  }
  buf_init(&folder, BUF_NO_MAX);
  add_folder(s, &folder);
  out(c, STYLE_NONE, " · configuration %lld (%s: %lld project%s, %lld worker%s)", (long long)js_num(s, "config.version"), buf_str(&folder), projects, projects == 1 ? "" : "s", workers,
      workers == 1 ? "" : "s");
  if (js_has(s, "config.origin"))
    out(c, STYLE_WARN, ", rolled back to %lld: the files are not used", (long long)js_num(s, "config.origin"));
  out_end(c);
  buf_free(&folder);
}

/* The last reload that failed: how often and what first. */
static void show_refused(struct cli *c, const cJSON *s)
{
  const char *text = js_text(s, "config.refused.text");
  int64_t count = js_num(s, "config.refused.count");
  char ago[FMT_MAX];

  if (!js_has(s, "config.refused"))
    return;
  out_label(c, STYLE_BAD, "refused");
  out(c, STYLE_BAD, "the changed configuration, %s; version %lld stays", fmt_ago(js_num(s, "config.refused.at"), clock_wall_ms(), ago), (long long)js_num(s, "config.version"));
  if (*text)
    out(c, STYLE_NONE, ": %.*s", (int)strcspn(text, "\n"), text);
  if (count > 1)
    out(c, STYLE_NONE, " (and %lld more: drover config diff)", (long long)count - 1);
  out_end(c);
}

static void show_listening(struct cli *c, const cJSON *s)
{
  const char *pin = js_text(s, "listen.pin"), *page = js_text(s, "listen.page"), *join = js_text(s, "listen.join");

  out_label(c, STYLE_NONE, "listening");
  if (*page)
    out(c, STYLE_NONE, "page %s · ", page);
  out(c, STYLE_NONE, "workers %s", *join ? join : "nowhere");
  if (*join && strlen(pin) >= PIN_SHOWN)
    out(c, STYLE_NONE, " (TLS, key %.4s %.4s …)", pin, pin + 4);
  if (js_get(s, "backup") && !js_has(s, "backup")) /* null: none was ever made; an older master doesn't tell */
    out(c, STYLE_WARN, "      keys not backed up yet: drover-master backup DIR");
  out_end(c);
}

static void show_counts(struct cli *c, const cJSON *s)
{
  const cJSON *p;

  out_label(c, STYLE_NONE, "now");
  out(c, STYLE_NONE, "%lld running · %lld waiting · %lld workers connected", (long long)js_num(s, "counts.running"),
      (long long)(js_num(s, "counts.pending") + js_num(s, "counts.waiting")), (long long)js_num(s, "counts.workers_connected"));
  out_end(c);
  cJSON_ArrayForEach(p, js_get(s, "pauses"))
    pause_line(c, p);
}

static bool is_of(const cJSON *request, const cJSON *builder)
{
  return str_eq(js_text(request, "project"), js_text(builder, "project")) && str_eq(js_text(request, "builder"), js_text(builder, "name"));
}

static char *last_text(const cJSON *last)
{
  char time[FMT_MAX];

  if (js_result(last) == FMT_NO_RESULT) /* none, or one that is shown as running */
    return xstrdup("-");
  return xasprintf("%lld %s %s", (long long)js_num(last, "number"), fmt_result(js_result(last)),
                   fmt_ago(js_num(last, "finished"), clock_wall_ms(), time));
}

/* " of ~4:10 min", as long as its last good builds; " (no history)" where there are none yet. */
static void add_expected(const cJSON *build, struct buf *text)
{
  char time[FMT_MAX];

  if (js_num(build, "expected") > 0)
    buf_addf(text, " of ~%s", fmt_duration(js_num(build, "expected"), time));
  else
    buf_adds(text, " (no history)");
}

/* "43 test 0:31 min of ~4:10 min on build1" */
static char *now_text(const cJSON *running)
{
  const cJSON *b;
  struct buf text;
  char time[FMT_MAX];

  buf_init(&text, BUF_NO_MAX);
  cJSON_ArrayForEach(b, running) {
    buf_addf(&text, "%s%lld %s%s%s", text.len ? ", " : "", (long long)js_num(b, "number"), js_text(b, "now.name"), *js_text(b, "now.name") ? " " : "",
             fmt_duration(js_duration(b, clock_wall_ms()), time));
    add_expected(b, &text);
    buf_addf(&text, " on %s", js_text(b, "worker"));
  }
  return buf_take(&text);
}

/* "r118: build1 is full (+2)" */
static char *waiting_text(const cJSON *builder, const cJSON *waiting, int width)
{
  const cJSON *r, *first = NULL;
  int64_t pending = js_num(builder, "pending");
  char *why, *text;

  cJSON_ArrayForEach(r, waiting)
    if (!first && is_of(r, builder))
      first = r; /* the one that is next: the list is in the order of dispatch */
  if (!first)
    return pending ? xasprintf("%lld", (long long)pending) : xstrdup("");
  why = show_waits(first, width);
  text = pending > 1 ? xasprintf("%s: %s (+%lld)", js_text(first, "id"), why, (long long)pending - 1) : xasprintf("%s: %s", js_text(first, "id"), why);
  free(why);
  return text;
}

static void add_row(struct table *t, const cJSON *builder, const cJSON *status, int width)
{
  const cJSON *last = js_get(builder, "last");
  char *name = xasprintf("%s/%s", js_text(builder, "project"), js_text(builder, "name")), *text = last_text(last);

  table_cell(t, STYLE_BOLD, name);
  table_cell(t, js_result(last) != FMT_NO_RESULT ? fmt_result_style(js_result(last)) : STYLE_NONE, text);
  free(text);
  table_cell(t, STYLE_BUSY, text = now_text(js_get(builder, "running")));
  free(text);
  table_cell(t, STYLE_NONE, text = waiting_text(builder, js_get(status, "waiting"), width));
  free(text);
  free(name);
}

static void show_builders(struct cli *c, const cJSON *status, const cJSON *builders)
{
  static const struct column columns[] = {
    { "BUILDER", TABLE_FLEX }, { "LAST", TABLE_FLEX }, { "NOW", TABLE_FLEX }, { "WAITING", TABLE_FLEX } };
  struct table *t = table_new(columns, COUNT(columns));
  const cJSON *b;

  cJSON_ArrayForEach(b, js_get(builders, "items"))
    add_row(t, b, status, c->width);
  lines_table(c, t);
}

static void show_next(struct cli *c, const cJSON *s)
{
  bool projects = js_num(s, "config.projects"), workers = js_num(s, "config.workers") + js_num(s, "counts.workers_connected");

  if (projects && workers)
    return;
  out_label(c, STYLE_NONE, "next");
  out(c, STYLE_NONE, "%s%s%s", workers ? "" : "drover worker add NAME", workers || projects ? "" : " · ", projects ? "" : "drover config new URL");
  out_end(c);
}

static int show_all(struct cli *c)
{
  cJSON *status = call_get(c, "/api/v1/status"), *builders = NULL;
  int code = CLI_OK;

  if (!status)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    show_master(c, status);
    show_listening(c, status);
    show_refused(c, status);
    if (js_true(status, "database.up")) {
      show_counts(c, status);
      show_next(c, status);
      builders = call_get(c, "/api/v1/builders");
      code = builders ? CLI_OK : c->code;
    }
    if (builders)
      show_builders(c, status, builders);
  }
  cJSON_Delete(builders);
  cJSON_Delete(status);
  return code;
}

/* Until Ctrl-C. A master that is away is told where the table was, and asked again. */
static int watch(struct cli *c)
{
  const struct timespec pause = { .tv_sec = WATCH_EVERY_S };

  if (!c->tty || c->json)
    return cli_error(c, CLI_USAGE, "--watch needs a terminal%s", c->json ? ", and goes without --json" : "");
  for (;;) {
    int code;
    fputs("\033[H\033[2J", stdout);
    code = show_all(c);
    out_flush(c);
    if ((code && code != CLI_AWAY) || c->write_errno)
      return code;
    nanosleep(&pause, NULL);
  }
}

int cmd_status(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  (void)arg, (void)narg;
  return args_has(a, FLAG_WATCH) ? watch(c) : show_all(c);
}
