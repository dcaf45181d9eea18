/* drover worker show: what a worker does, and why it gets nothing; its state in a word for the lists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/list.h"
#include "master/cli/show.h"
#include "master/cli/table.h"
#include "master/cli/work.h"

#define WEIGHT_USUAL 50

/* ", until today 18:00", ", for another 12 min", or "" */
static const char *until_text(const cJSON *o, const char *field, char out[FMT_MAX + 16])
{
  char due[FMT_MAX];

  if (js_has(o, field))
    snprintf(out, FMT_MAX + 16, ", %s", fmt_until(js_num(o, field), clock_wall_ms(), due));
  else
    *out = 0;
  return out;
}

char *list_worker_state(const cJSON *w)
{
  const char *state = js_text(w, "state");
  char time[FMT_MAX], until[FMT_MAX + 16];

  if (str_eq(state, "new"))
    return xasprintf("never seen%s", js_has(w, "paused") ? ", paused" : "");
  if (str_eq(state, "away"))
    return xasprintf("away, %s%s", fmt_ago(js_num(w, "lost_at"), clock_wall_ms(), time), js_has(w, "paused") ? ", paused" : "");
  if (str_eq(state, "paused"))
    return xasprintf("paused%s", until_text(w, "paused.until", until));
  if (str_eq(state, "quarantine"))
    return xasprintf("quarantine, %s", fmt_until(js_num(w, "quarantine.until"), clock_wall_ms(), time));
  if (str_eq(state, "closed"))
    return js_has(w, "window.turns") ? xasprintf("closed, opens %s", fmt_due(js_num(w, "window.turns"), clock_wall_ms(), time)) : xstrdup("closed");
  if (str_eq(state, "ready") && js_true(w, "other_version"))
    return xasprintf("connected, version %s", js_text(w, "facts.version"));
  return xstrdup(str_eq(state, "ready") ? "connected" : state);
}

enum style list_worker_style(const cJSON *w)
{
  const char *state = js_text(w, "state");

  return str_eq(state, "ready") ? STYLE_GOOD : str_eq(state, "new") || str_eq(state, "removed") ? STYLE_DIM : STYLE_WARN;
}

/* ---- one ---- */

/* "5 requests: build1 has no tag big  (p/b, p/c and 2 more)" */
static void gets_line(struct cli *c, const cJSON *g, bool first)
{
  int64_t n = js_num(g, "requests"), more = js_num(g, "more");
  struct buf builders;

  buf_init(&builders, BUF_NO_MAX);
  js_join(g, "builders", ", ", &builders);
  out_label(c, STYLE_DIM, first ? "waiting" : "");
  if (n == 1)
    out(c, STYLE_NONE, "%s: %s", js_text(g, "first"), js_text(g, "text"));
  else
    out(c, STYLE_NONE, "%lld requests: %s", (long long)n, js_text(g, "text"));
  out(c, STYLE_DIM, "  (%s", buf_str(&builders));
  if (more)
    out(c, STYLE_DIM, " and %lld more", (long long)more);
  out(c, STYLE_DIM, ")");
  out_end(c);
  buf_free(&builders);
}

static void show_gets(struct cli *c, const cJSON *w)
{
  const cJSON *items = js_get(w, "gets.items"), *g;

  if (!js_true(w, "connected"))
    return;
  if (js_has(w, "gets.why"))
    lines_f(c, "waiting", "what waits for it can't be told: %s", js_text(w, "gets.why"));
  else if (cJSON_IsArray(items) && !cJSON_GetArraySize(items))
    lines_text(c, "waiting", "nothing waits for a worker");
  cJSON_ArrayForEach(g, items)
    gets_line(c, g, g == items->child);
}

/* What keeps it from builds as a whole. */
static void show_stops(struct cli *c, const cJSON *w)
{
  char text[FMT_MAX + 16], ago[FMT_MAX];
  const cJSON *p = js_get(w, "paused"), *q = js_get(w, "quarantine");

  if (js_has(w, "paused"))
    lines_f(c, "paused", "%s%sby %s %s%s%s%s", str_starts(js_text(p, "object"), "worker/") ? "" : js_text(p, "object"), str_starts(js_text(p, "object"), "worker/") ? "" : " ", js_text(p, "who"),
            fmt_ago(js_num(p, "since"), clock_wall_ms(), ago), until_text(p, "until", text), js_has(p, "reason") ? ": " : "", js_text(p, "reason"));
  if (js_has(w, "quarantine"))
    lines_f(c, "quarantine", "%s, it spoilt %lld build%s in a row%s%s: %s", fmt_until(js_num(q, "until"), clock_wall_ms(), ago), (long long)js_num(q, "count"), js_num(q, "count") == 1 ? "" : "s",
            js_has(q, "build") ? ", the last " : "", js_text(q, "build"), js_text(q, "why"));
  if (js_num(w, "weight") != WEIGHT_USUAL)
    lines_f(c, "weight", "%lld%s", (long long)js_num(w, "weight"), js_num(w, "weight") ? "" : ": only where nobody else can");
  if (js_has(w, "window"))
    lines_f(c, "calendar", "%s: %s%s%s", js_text(w, "calendar"), js_true(w, "window.open") ? "open" : "closed", js_has(w, "window.turns") ? js_true(w, "window.open") ? ", closes " : ", opens " : ", for good",
            js_has(w, "window.turns") ? fmt_due(js_num(w, "window.turns"), clock_wall_ms(), ago) : "");
}

static void show_held(struct cli *c, const cJSON *w)
{
  const cJSON *locks = js_get(w, "locks"), *l;
  char ago[FMT_MAX];

  cJSON_ArrayForEach(l, locks) {
    struct buf units;
    buf_init(&units, BUF_NO_MAX);
    js_join(l, "units", " ", &units);
    if (!units.len && js_has(l, "n"))
      buf_addf(&units, "%lld", (long long)js_num(l, "n"));
    lines_f(c, l == locks->child ? "locks" : "", "%s %s  %s%s%s  %s%s", js_text(l, "name"), units.len ? buf_str(&units) : "exclusive", js_text(l, "build"), js_has(l, "step") ? ":" : "", js_text(l, "step"),
            fmt_ago(js_num(l, "since"), clock_wall_ms(), ago), js_true(l, "ghost") ? "  cancelled" : "");
    buf_free(&units);
  }
}

static void show_facts(struct cli *c, const cJSON *w)
{
  const cJSON *fact;

  cJSON_ArrayForEach(fact, js_get(w, "facts")) {
    struct buf text;
    buf_init(&text, BUF_NO_MAX);
    js_add(js_get(w, "facts"), fact->string, &text);
    lines_f(c, "fact", "%s = %s", fact->string, buf_str(&text));
    buf_free(&text);
  }
}

void worker_show(struct cli *c, const cJSON *w)
{
  const cJSON *running = js_get(w, "running");
  char *state = list_worker_state(w);

  out(c, STYLE_BOLD, "%s  ", js_text(w, "name"));
  out(c, list_worker_style(w), "%s", state);
  out(c, STYLE_NONE, "  %lld of %lld slots used", (long long)js_num(w, "used"), (long long)js_num(w, "slots"));
  if (js_true(w, "other_version"))
    out(c, STYLE_WARN, "  another version than the master's: %s", js_text(w, "facts.version"));
  out_end(c);
  free(state);
  show_stops(c, w);
  order_show(c, js_get(w, "order"));
  show_gets(c, w);
  show_held(c, w);
  lines_text(c, "pool", js_text(w, "pool"));
  lines_join(c, "tags", w, "tags", " ");
  disk_show(c, js_get(w, "disk"));
  lines_text(c, "address", js_text(w, "peer"));
  lines_text(c, "master", js_text(w, "master"));
  lines_time(c, "since", js_num(w, "since"));
  lines_time(c, "lost", js_num(w, "lost_at"));
  ssh_show(c, w);
  lines_text(c, "instance", js_text(w, "instance"));
  show_facts(c, w);
  tools_show(c, js_get(w, "tools"));
  work_show(c, w);
  if (cJSON_GetArraySize(running))
    list_table(c, "builds", running);
}

static void shown(struct cli *c, const cJSON *worker, const char *name)
{
  (void)name;
  worker_show(c, worker);
}

int cmd_worker_show(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("workers/%s", arg[0]);
  cJSON *w = call_get(c, path);

  (void)a, (void)narg;
  free(path);
  return call_show(c, w, shown, arg[0]);
}
