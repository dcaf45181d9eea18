/* drover events: what has happened, a line each; with -f also what happens. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/feed.h"
#include "master/cli/js.h"

enum { EVENTS_DEFAULT = 50, EVENTS_MAX = 1000, BODY_MAX = 200 };

struct events {
  struct cli *c;
  const char *object; /* of which, with all that is below it; NULL: all */
  int64_t last;       /* number of the last one that was seen */
};

/* "libfoo" is libfoo, libfoo/linux and libfoo/linux/42, but not libfoo2; "worker" all workers. */
static bool is_of(const char *object, const char *wanted)
{
  size_t n = strlen(wanted);

  return !strncmp(object, wanted, n) && (!object[n] || object[n] == '/' || object[n] == ':' || (n && wanted[n - 1] == '/'));
}

/* "who=root reason=\"new disk\"": what is plain in it. */
static void add_body(const cJSON *body, struct buf *out)
{
  const cJSON *it;

  cJSON_ArrayForEach(it, body) {
    char *text;
    if (cJSON_IsNull(it) || (cJSON_IsNumber(it) && str_eq(it->string, "build"))) /* a row's number */
      continue;
    text = cJSON_IsNumber(it) && str_eq(it->string, "result") ? xstrdup(fmt_result(it->valueint)) : cJSON_IsString(it) && !strpbrk(it->valuestring, " =\"") ? xstrdup(it->valuestring) : cJSON_PrintUnformatted(it);
    buf_addf(out, "%s%s=%.*s", out->len ? " " : "", it->string, BODY_MAX, text ? text : "");
    free(text);
  }
}

static void told(void *arg, const cJSON *event)
{
  struct events *e = arg;
  time_t at = (time_t)(js_num(event, "at") / 1000);
  char when[32] = "";
  struct buf body;
  struct tm tm;

  e->last = js_num(event, "number");
  if (e->object && !is_of(js_text(event, "object"), e->object))
    return;
  if (e->c->json) {
    out_json_line(e->c, "event", event);
    return;
  }
  if (localtime_r(&at, &tm))
    strftime(when, sizeof when, "%m-%d %H:%M:%S", &tm);
  buf_init(&body, BUF_NO_MAX);
  add_body(js_get(event, "body"), &body);
  out(e->c, STYLE_DIM, "%s  ", when);
  out(e->c, STYLE_NONE, "%-18s  ", js_text(event, "type"));
  out(e->c, STYLE_BOLD, "%s", js_text(event, "object"));
  out(e->c, STYLE_NONE, "%s%s", body.len ? "  " : "", buf_str(&body));
  out_end(e->c);
  buf_free(&body);
}

/* limit: how many of the past are looked at. */
static int tell(struct cli *c, const char *object, int64_t limit, bool follow)
{
  struct events e = { .c = c, .object = object };
  cJSON *status = call_get(c, "/api/v1/status");
  int64_t until = js_num(status, "event");
  struct feed *f;

  if (!status)
    return c->code;
  cJSON_Delete(status);
  e.last = until > limit ? until - limit : 0;
  f = feed_new(c);
  feed_tell(f, e.last, told, &e);
  while (follow || e.last < until) {
    out_flush(c);
    if (!feed_wait(f, FEED_LOOK_MS) || c->write_errno)
      break;
  }
  feed_free(f);
  return c->code;
}

int cmd_events(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *limit = args_value(a, FLAG_LIMIT);
  int64_t n = EVENTS_DEFAULT;

  if (limit && (str_number(limit, strlen(limit), &n) || n > EVENTS_MAX))
    return cli_error(c, CLI_USAGE, "--limit wants a number from 0 to %d, not \"%s\"", EVENTS_MAX, limit);
  return tell(c, narg ? arg[0] : NULL, n, args_has(a, FLAG_FOLLOW));
}
