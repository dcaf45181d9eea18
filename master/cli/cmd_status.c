/* drover status: the master, and per builder what was last, what runs, what waits and why. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/table.h"

#define STATUS_REASONS_MAX 20 /* requests whose reason is asked for */
#define PIN_SHOWN 8           /* digits of the key */

static void show_master(struct cli *c, const cJSON *s)
{
  char up[FMT_MAX];

  out(c, STYLE_BOLD, "drover %s", js_text(s, "version"));
  out(c, STYLE_NONE, ", up %s · ", fmt_duration(js_num(s, "up_ms"), up));
  if (js_true(s, "database.up")) {
    out(c, STYLE_NONE, "PostgreSQL %s%s", js_text(s, "database.version"), js_true(s, "database.private") ? " private" : "");
  } else {
    out(c, STYLE_BAD, "the database is away");
    out(c, STYLE_NONE, "%s%s", *js_text(s, "database.why") ? ": " : "", js_text(s, "database.why"));
  }
  out(c, STYLE_NONE, " · configuration %lld (%s: %lld projects, %lld workers)", (long long)js_num(s, "config.version"),
      js_text(s, "config.file"), (long long)js_num(s, "config.projects"), (long long)js_num(s, "config.workers"));
  out_end(c);
}

static void show_listening(struct cli *c, const cJSON *s)
{
  const char *pin = js_text(s, "listen.pin");
  struct buf api, workers;

  buf_init(&api, BUF_NO_MAX);
  buf_init(&workers, BUF_NO_MAX);
  js_add(s, "listen.api", &api);
  js_add(s, "listen.workers", &workers);
  out_label(c, STYLE_NONE, "listening");
  if (strcmp(buf_str(&api), "0"))
    out(c, STYLE_NONE, "page %s · ", buf_str(&api));
  out(c, STYLE_NONE, "workers %s", strcmp(buf_str(&workers), "0") ? buf_str(&workers) : "nowhere");
  if (strlen(pin) >= PIN_SHOWN)
    out(c, STYLE_NONE, " (TLS, key %.4s %.4s …)", pin, pin + 4);
  out_end(c);
  buf_free(&api);
  buf_free(&workers);
}

static void show_counts(struct cli *c, const cJSON *s)
{
  out_label(c, STYLE_NONE, "now");
  out(c, STYLE_NONE, "%lld running · %lld waiting · %lld workers connected", (long long)js_num(s, "counts.running"),
      (long long)js_num(s, "counts.pending"), (long long)js_num(s, "counts.workers_connected"));
  out_end(c);
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

/* "43 test 0:31 min on build1" */
static char *now_text(const cJSON *running)
{
  const cJSON *b;
  struct buf text;
  char time[FMT_MAX];

  buf_init(&text, BUF_NO_MAX);
  cJSON_ArrayForEach(b, running)
    buf_addf(&text, "%s%lld %s on %s", text.len ? ", " : "", (long long)js_num(b, "number"),
             fmt_duration(js_duration(b, clock_wall_ms()), time), js_text(b, "worker"));
  return buf_take(&text);
}

/* "r118: build1 is full (+2)"; asked: how many reasons were asked for in all. */
static char *waiting_text(struct cli *c, const cJSON *builder, const cJSON *waiting, int *asked)
{
  const cJSON *r, *first = NULL;
  int64_t pending = js_num(builder, "pending");
  char *path, *text;
  cJSON *why;

  cJSON_ArrayForEach(r, waiting)
    if (!first && is_of(r, builder))
      first = r; /* the one that is next: the list is in the order of dispatch */
  if (!first || (*asked)++ >= STATUS_REASONS_MAX)
    return pending ? xasprintf("%lld", (long long)pending) : xstrdup("");
  path = id_path("requests/%s/why", js_text(first, "id"));
  if (call_try(c, "GET", path, NULL, &why) != CALL_OK)
    why = NULL; /* it may have started in the meantime */
  text = xasprintf("%s: %s", js_text(first, "id"), js_text(why, "reason.text"));
  if (pending > 1) {
    char *more = xasprintf("%s (+%lld)", text, (long long)pending - 1);
    free(text);
    text = more;
  }
  cJSON_Delete(why);
  free(path);
  return text;
}

static void add_row(struct cli *c, struct table *t, const cJSON *builder, const cJSON *status, int *asked)
{
  const cJSON *last = js_get(builder, "last");
  char *name = xasprintf("%s/%s", js_text(builder, "project"), js_text(builder, "name")), *text = last_text(last);

  table_cell(t, STYLE_BOLD, name);
  table_cell(t, js_result(last) != FMT_NO_RESULT ? fmt_result_style(js_result(last)) : STYLE_NONE, text);
  free(text);
  table_cell(t, STYLE_BUSY, text = now_text(js_get(builder, "running")));
  free(text);
  table_cell(t, STYLE_NONE, text = waiting_text(c, builder, js_get(status, "waiting"), asked));
  free(text);
  free(name);
}

static void show_builders(struct cli *c, const cJSON *status, const cJSON *builders)
{
  static const struct column columns[] = {
    { "BUILDER", TABLE_FLEX }, { "LAST", TABLE_FLEX }, { "NOW", TABLE_FLEX }, { "WAITING", TABLE_FLEX } };
  struct table *t = table_new(columns, COUNT(columns));
  const cJSON *b;
  struct buf text;
  int asked = 0;

  cJSON_ArrayForEach(b, js_get(builders, "items"))
    add_row(c, t, b, status, &asked);
  buf_init(&text, BUF_NO_MAX);
  if (table_rows(t))
    table_print(t, c->width, c->color, &text);
  out_bytes(c, buf_str(&text), text.len);
  buf_free(&text);
  table_free(t);
}

static void show_next(struct cli *c, const cJSON *s)
{
  if (js_num(s, "config.projects") && js_num(s, "config.workers") + js_num(s, "counts.workers_connected"))
    return;
  out_label(c, STYLE_NONE, "next");
  out(c, STYLE_NONE, "%s", js_num(s, "config.projects") ? "drover worker add NAME" : "a project in the configuration, then: drover worker add NAME");
  out_end(c);
}

int cmd_status(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *status = call_get(c, "/api/v1/status"), *builders = NULL;
  int code = CLI_OK;

  (void)a, (void)arg, (void)narg;
  if (!status)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    show_master(c, status);
    show_listening(c, status);
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
