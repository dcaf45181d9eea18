/* drover queue: what waits for a worker, in which order, why, and until about when. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/show.h"
#include "master/cli/table.h"

#define NOW_MS 1000 /* what is nearer is now */
#define WIDE 120    /* columns in which a sentence has a place beside the rest */

char *show_eta(const cJSON *o)
{
  int64_t now = clock_wall_ms(), likely = js_num(o, "eta.likely") - now, low = js_num(o, "eta.low") - now, high = js_num(o, "eta.high") - now;
  char text[FMT_MAX], from[FMT_MAX], to[FMT_MAX];

  if (!js_has(o, "eta"))
    return NULL;
  if (high < NOW_MS)
    return xstrdup("now");
  fmt_duration(likely > 0 ? likely : 0, text);
  fmt_duration(low > 0 ? low : 0, from);
  fmt_duration(high, to);
  return str_eq(from, to) ? xasprintf("in about %s", text) : xasprintf("in about %s (%s to %s)", text, from, to);
}

char *show_waits(const cJSON *r, int width)
{
  static const struct { const char *kind, *words; } shorts[] = { { "slots", "full" }, { "no_worker", "no worker" }, { "lock", "lock" }, { "paused", "paused" }, { "disk", "disk" }, { "calendar", "closed" }, { "quarantine", "quarantine" }, { "needs", "needs" } };
  const char *kind = js_text(r, "waits.kind"), *object = js_text(r, "waits.object");

  for (size_t i = 0; i < COUNT(shorts) && width && width < WIDE && *object; i++)
    if (str_eq(shorts[i].kind, kind))
      return xasprintf("%s: %s", shorts[i].words, object);
  return xstrdup(js_text(r, "waits.text"));
}

static void show_queue(struct cli *c, const cJSON *answer, const char *name)
{
  static const struct column columns[] = { { "REQUEST", 0 }, { "BUILDER", TABLE_FLEX }, { "PRIO", TABLE_RIGHT }, { "ASKED", 0 }, { "BEGINS", 0 }, { "WAITS", TABLE_FLEX } };
  const cJSON *items = js_get(answer, "items"), *r;
  int64_t left = js_num(answer, "total") - cJSON_GetArraySize(items);
  struct table *t;

  (void)name;
  if (!cJSON_GetArraySize(items)) {
    out(c, STYLE_NONE, "nothing waits for a worker");
    out_end(c);
    return;
  }
  t = table_new(columns, COUNT(columns));
  cJSON_ArrayForEach(r, items) {
    char ago[FMT_MAX], *eta = show_eta(r), *waits = show_waits(r, c->width);
    table_cell(t, STYLE_BOLD, js_text(r, "id"));
    table_cellf(t, STYLE_NONE, "%s/%s", js_text(r, "project"), js_text(r, "builder"));
    table_cellf(t, STYLE_NONE, "%lld", (long long)js_num(r, "priority"));
    table_cell(t, STYLE_DIM, fmt_ago(js_num(r, "created"), clock_wall_ms(), ago));
    table_cell(t, STYLE_NONE, eta ? eta : "");
    table_cell(t, STYLE_NONE, waits);
    free(eta);
    free(waits);
  }
  lines_all_of(c, t);
  if (left > 0) {
    out(c, STYLE_DIM, "and %lld more: drover queue --limit %lld", (long long)left, (long long)js_num(answer, "total"));
    out_end(c);
  }
}

int cmd_queue(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *limit = args_value(a, FLAG_LIMIT);
  char *path = id_path("queue?limit=%s", limit ? limit : "50");
  cJSON *answer = call_get(c, path);

  (void)arg, (void)narg;
  free(path);
  return call_show(c, answer, show_queue, NULL);
}
