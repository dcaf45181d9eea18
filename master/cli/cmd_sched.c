/* drover scheduler list, show, enable, disable, run. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/made.h"
#include "master/cli/props.h"
#include "master/cli/table.h"

/* What sets it off: "change of main, quiet for 30s", "tag v*", "pull request into main", "0 3 * * * Europe/Berlin, if changed", "every 4h", "by hand", "after commits". */
static char *set_off(const cJSON *s)
{
  const char *kind = js_text(s, "kind");
  char time[STR_DURATION_MAX];
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  if (str_eq(kind, "tag")) {
    buf_adds(&b, "tag ");
    js_join(s, "spec.tags", ", ", &b);
  } else if (str_eq(kind, "change") || str_eq(kind, "pull_request")) {
    buf_adds(&b, str_eq(kind, "change") ? "change of " : "pull request into ");
    if (cJSON_GetArraySize(js_get(s, "spec.branches")))
      js_join(s, "spec.branches", ", ", &b);
    else
      buf_adds(&b, "any branch");
    if (js_num(s, "spec.stable"))
      buf_addf(&b, ", quiet for %s", str_duration_text(js_num(s, "spec.stable"), time));
  } else if (str_eq(kind, "cron")) {
    buf_addf(&b, "%s %s", js_text(s, "spec.cron"), js_text(s, "spec.zone"));
  } else if (str_eq(kind, "after")) {
    buf_addf(&b, "after %s", js_text(s, "spec.after"));
  } else if (str_eq(kind, "every")) {
    buf_addf(&b, "every %s", str_duration_text(js_num(s, "spec.every"), time));
  } else {
    buf_adds(&b, str_eq(kind, "force") ? "by hand" : kind);
  }
  if (js_has(s, "spec.from"))
    buf_adds(&b, ", from what has changed");
  if (js_has(s, "spec.until")) {
    buf_adds(&b, " until ");
    js_join(s, "spec.until", ", ", &b);
  }
  if (js_has(s, "spec.only_if"))
    buf_addf(&b, ", if %s", js_text(s, "spec.only_if"));
  if (js_has(s, "spec.missed") && !str_eq(js_text(s, "spec.missed"), "once"))
    buf_addf(&b, ", missed: %s", js_text(s, "spec.missed"));
  return buf_take(&b);
}

static void scheduler_row(struct table *t, const cJSON *s, int64_t now)
{
  const cJSON *last = js_get(s, "last");
  bool off = js_has(s, "disabled");
  char *by = set_off(s), text[FMT_MAX];

  table_cell(t, STYLE_BOLD, js_text(s, "id"));
  table_cell(t, STYLE_NONE, by);
  table_cell(t, off ? STYLE_WARN : STYLE_NONE, off ? "disabled" : js_has(s, "due_at") ? fmt_due(js_num(s, "due_at"), now, text) : "");
  table_cell(t, STYLE_NONE, js_has(s, "last") ? fmt_ago(js_num(last, "at"), now, text) : "");
  table_cell(t, STYLE_NONE, js_has(s, "last.buildset") ? js_text(last, "buildset") : js_text(last, "what"));
  table_cell(t, STYLE_NONE, js_text(last, "why"));
  free(by);
}

int cmd_scheduler_list(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const struct column columns[] = { { "SCHEDULER", TABLE_FLEX }, { "SET OFF BY", TABLE_FLEX }, { "NEXT", 0 }, { "LAST", 0 }, { "DID", 0 }, { "WHY", TABLE_FLEX } };
  struct buf path;
  struct table *t;
  const cJSON *s;
  cJSON *answer;

  (void)a;
  buf_init(&path, BUF_NO_MAX);
  buf_adds(&path, "/api/v1/schedulers");
  if (narg) {
    buf_adds(&path, "?project=");
    id_encode(&path, arg[0]);
  }
  answer = call_get(c, buf_str(&path));
  buf_free(&path);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else if (!cJSON_GetArraySize(js_get(answer, "items"))) {
    out(c, STYLE_NONE, "no schedulers%s%s", narg ? " of project " : "", narg ? arg[0] : "");
    out_end(c);
  } else {
    t = table_new(columns, COUNT(columns));
    cJSON_ArrayForEach(s, js_get(answer, "items"))
      scheduler_row(t, s, clock_wall_ms());
    lines_all_of(c, t);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

/* "project/name" for a name with a project (as it is) or without, where only one project has such a scheduler. NULL: told. */
static char *full_name(struct cli *c, const char *name)
{
  cJSON *answer;
  const cJSON *s;
  char *full = NULL;
  int n = 0;

  if (strchr(name, '/'))
    return xstrdup(name);
  answer = call_get(c, "/api/v1/schedulers");
  cJSON_ArrayForEach(s, js_get(answer, "items"))
    if (str_eq(js_text(s, "name"), name) && !n++)
      full = xstrdup(js_text(s, "id"));
  if (answer && n != 1) {
    free(full);
    full = NULL;
    if (n)
      cli_error(c, CLI_USAGE, "%d projects have a scheduler %s: name it PROJECT/NAME", n, name);
    else
      cli_error(c, CLI_USAGE, "there is no scheduler %s; drover scheduler list shows them all", name);
  }
  cJSON_Delete(answer);
  return full;
}

/* ---- show ---- */

static void show_params(struct cli *c, const cJSON *s)
{
  const cJSON *p;

  cJSON_ArrayForEach(p, js_get(s, "spec.parameters"))
  {
    struct buf b;
    buf_init(&b, BUF_NO_MAX);
    buf_addf(&b, "%s: %s", js_text(p, "name"), js_text(p, "type"));
    if (js_has(p, "choices")) {
      buf_adds(&b, " of ");
      js_join(p, "choices", ", ", &b);
    }
    if (js_has(p, "match"))
      buf_addf(&b, " that matches %s", js_text(p, "match"));
    if (js_has(p, "default"))
      buf_addf(&b, ", default \"%s\"", js_text(p, "default"));
    out_label(c, STYLE_DIM, "takes");
    out(c, STYLE_NONE, "%s", buf_str(&b));
    out_end(c);
    buf_free(&b);
  }
}

static void show_next(struct cli *c, const cJSON *s, int64_t now)
{
  const cJSON *t;
  char text[FMT_MAX];
  bool first = true;

  if (!cJSON_GetArraySize(js_get(s, "next")))
    return;
  out_label(c, STYLE_DIM, "next");
  cJSON_ArrayForEach(t, js_get(s, "next"))
  {
    out(c, first ? STYLE_BOLD : STYLE_NONE, "%s", fmt_due((int64_t)t->valuedouble, now, text));
    out(c, STYLE_NONE, "%s", t->next ? ", " : "");
    first = false;
  }
  out_end(c);
}

static void show_state(struct cli *c, const cJSON *s, int64_t now)
{
  const cJSON *p;
  char text[FMT_MAX];
  struct buf changes;

  if (js_has(s, "disabled")) {
    out_label(c, STYLE_WARN, "disabled");
    out(c, STYLE_NONE, "by %s %s%s%s", js_text(s, "disabled.by"), fmt_ago(js_num(s, "disabled.at"), now, text), js_has(s, "disabled.reason") ? ": " : "", js_text(s, "disabled.reason"));
    out_end(c);
  }
  if (js_has(s, "trouble")) {
    out_label(c, STYLE_BAD, "trouble");
    out(c, STYLE_NONE, "the pipeline at the tip can't be taken over, this is an older one:");
    out_end(c);
    out_block(c, 2, js_text(s, "trouble"));
  }
  cJSON_ArrayForEach(p, js_get(s, "pending"))
  {
    buf_init(&changes, BUF_NO_MAX);
    js_join(p, "changes", ", ", &changes);
    out_label(c, STYLE_DIM, "waits");
    out(c, STYLE_NONE, "%s of %s, until it is quiet: %s", buf_str(&changes), js_text(p, "branch"), fmt_due(js_num(p, "due_at"), now, text));
    out_end(c);
    buf_free(&changes);
  }
}

static void show_decisions(struct cli *c, const cJSON *s, int64_t now)
{
  static const struct column columns[] = { { "WHEN", 0 }, { "DID", 0 }, { "BUILDSET", 0 }, { "WHY", TABLE_FLEX } };
  const cJSON *d;
  char text[FMT_MAX];
  struct table *t;

  if (!cJSON_GetArraySize(js_get(s, "decisions")))
    return;
  t = table_new(columns, COUNT(columns));
  cJSON_ArrayForEach(d, js_get(s, "decisions"))
  {
    table_cell(t, STYLE_NONE, fmt_ago(js_num(d, "at"), now, text));
    table_cell(t, str_eq(js_text(d, "what"), "missed") ? STYLE_WARN : STYLE_NONE, js_text(d, "what"));
    table_cell(t, STYLE_BOLD, js_text(d, "buildset"));
    table_cell(t, STYLE_NONE, js_text(d, "why"));
  }
  lines_all_of(c, t);
}

static void show(struct cli *c, const cJSON *s)
{
  int64_t now = clock_wall_ms();
  char *by = set_off(s);
  struct buf builders;

  buf_init(&builders, BUF_NO_MAX);
  js_join(s, "spec.builders", ", ", &builders);
  out_label(c, STYLE_DIM, "name");
  out(c, STYLE_BOLD, "%s", js_text(s, "id"));
  out_end(c);
  out_label(c, STYLE_DIM, "set off");
  out(c, STYLE_NONE, "%s", by);
  out_end(c);
  out_label(c, STYLE_DIM, "builds");
  out(c, STYLE_NONE, "%s%s%s", buf_str(&builders), js_has(s, "spec.branch") ? " of " : "", js_text(s, "spec.branch"));
  out_end(c);
  show_params(c, s);
  show_state(c, s, now);
  show_next(c, s, now);
  show_decisions(c, s, now);
  buf_free(&builders);
  free(by);
}

int cmd_scheduler_show(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *name = full_name(c, arg[0]), *path;
  cJSON *answer;

  (void)a, (void)narg;
  if (!name)
    return c->code;
  path = id_path("schedulers/%p", name);
  answer = call_get(c, path);
  free(path);
  free(name);
  if (!answer)
    return c->code;
  if (c->json)
    out_json(c);
  else
    show(c, answer);
  cJSON_Delete(answer);
  return CLI_OK;
}

/* ---- enable, disable, run ---- */

/* POST …/verb; the answer, or NULL: told. */
static cJSON *post(struct cli *c, const struct args *a, const char *name, const char *verb, cJSON *parameters)
{
  char *path = xasprintf("schedulers/%%p/%s", verb), *full = id_path(path, name);
  cJSON *body = cJSON_CreateObject(), *answer;

  props_add_text(body, "reason", args_value(a, FLAG_REASON));
  if (parameters)
    cJSON_AddItemToObject(body, "parameters", parameters);
  answer = props_add_at(c, a, body) ? call_send(c, "POST", full, body) : NULL;
  cJSON_Delete(body);
  free(path);
  free(full);
  return answer;
}

static int turn(struct cli *c, const struct args *a, const char *given, bool off)
{
  char *name = full_name(c, given);
  cJSON *answer = name ? post(c, a, name, off ? "disable" : "enable", NULL) : NULL;

  if (answer && c->json) {
    out_json(c);
  } else if (answer) {
    out_label(c, STYLE_NONE, off ? "disabled" : "enabled");
    out(c, STYLE_NONE, "%s%s", name, js_true(answer, "was") ? ", as it was before" : "");
    if (off && !js_true(answer, "was"))
      out(c, STYLE_NONE, ": its times and changes pass; drover scheduler enable %s brings it back", name);
    out_end(c);
  }
  free(name);
  if (!answer)
    return c->code;
  cJSON_Delete(answer);
  return CLI_OK;
}

int cmd_scheduler_enable(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  (void)narg;
  return turn(c, a, arg[0], false);
}

int cmd_scheduler_disable(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  (void)narg;
  return turn(c, a, arg[0], true);
}

int cmd_scheduler_run(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *parameters = props_object(c, a), *answer;
  char *name = parameters ? full_name(c, arg[0]) : NULL;
  int code;

  (void)narg;
  if (!name) {
    cJSON_Delete(parameters);
    return c->code;
  }
  answer = post(c, a, name, "run", parameters);
  code = answer ? made_go_on(c, a, answer) : c->code;
  cJSON_Delete(answer);
  free(name);
  return code;
}
