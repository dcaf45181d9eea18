/* drover locks, and what is forgotten of a worker that is away. */
#include <stdlib.h>

#include "common/clock.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/fmt.h"
#include "master/cli/js.h"

/* " 2", " exclusive"; of named ones which: " alpha1 beta2". */
static void show_amount(struct cli *c, const cJSON *o)
{
  struct buf units;

  buf_init(&units, BUF_NO_MAX);
  js_join(o, "units", " ", &units);
  if (!js_has(o, "n"))
    out(c, STYLE_WARN, "  exclusive");
  else if (units.len)
    out(c, STYLE_NONE, "  %s", buf_str(&units));
  else
    out(c, STYLE_NONE, "  %lld", (long long)js_num(o, "n"));
  buf_free(&units);
}

static void show_one(struct cli *c, const cJSON *o, bool holds)
{
  char ago[FMT_MAX];

  out_label(c, holds ? STYLE_GOOD : STYLE_WARN, holds ? "  held by" : "  waits");
  out(c, STYLE_NONE, "%s", js_has(o, "build") ? js_text(o, "build") : js_text(o, "request"));
  if (js_has(o, "step"))
    out(c, STYLE_NONE, ":%s", js_text(o, "step"));
  if (!js_has(o, "build"))
    out(c, STYLE_NONE, " (%s)", js_text(o, "builder"));
  show_amount(c, o);
  if (js_has(o, "worker"))
    out(c, STYLE_NONE, "  on %s", js_text(o, "worker"));
  out(c, STYLE_DIM, "  %s", fmt_ago(js_num(o, "since"), clock_wall_ms(), ago));
  if (js_true(o, "ghost"))
    out(c, STYLE_WARN, "  cancelled, and its worker is away (drover worker forget-ghosts %s)", js_text(o, "worker"));
  out_end(c);
}

static void show_lock(struct cli *c, const cJSON *l)
{
  const cJSON *o;

  out(c, STYLE_BOLD, "%s", js_text(l, "name"));
  if (js_true(l, "gone"))
    out(c, STYLE_WARN, "  not in the configuration any more");
  else if (js_has(l, "per"))
    out(c, STYLE_NONE, "  %lld on each worker", (long long)js_num(l, "count"));
  else
    out(c, STYLE_NONE, "  %lld of %lld free", (long long)js_num(l, "free"), (long long)js_num(l, "count"));
  out_end(c);
  cJSON_ArrayForEach(o, js_get(l, "holders"))
    show_one(c, o, true);
  cJSON_ArrayForEach(o, js_get(l, "waiting"))
    show_one(c, o, false);
}

static void show_locks(struct cli *c, const cJSON *answer, const char *name)
{
  const cJSON *l;

  (void)name;
  if (!cJSON_GetArraySize(js_get(answer, "items"))) {
    out(c, STYLE_NONE, "the site has no locks");
    out_end(c);
  }
  cJSON_ArrayForEach(l, js_get(answer, "items"))
    show_lock(c, l);
}

int cmd_locks(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *answer = call_get(c, "/api/v1/locks");

  (void)a, (void)arg, (void)narg;
  return call_show(c, answer, show_locks, NULL);
}

static void forgotten(struct cli *c, const cJSON *answer, const char *name)
{
  const cJSON *b;

  if (!cJSON_GetArraySize(js_get(answer, "builds"))) {
    out(c, STYLE_NONE, "nothing that was cancelled on %s is held any more", name);
    out_end(c);
  }
  cJSON_ArrayForEach(b, js_get(answer, "builds")) {
    out_label(c, STYLE_NONE, "forgotten");
    out(c, STYLE_NONE, "%s", cJSON_GetStringValue(b));
    out_end(c);
  }
}

int cmd_worker_forget(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("workers/%s/forget-ghosts", arg[0]);
  cJSON *answer = call_send(c, "POST", path, NULL);

  (void)a, (void)narg;
  free(path);
  return call_show(c, answer, forgotten, arg[0]);
}
