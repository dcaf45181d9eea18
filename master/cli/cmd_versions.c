/* drover config show, history: the versions of the configuration. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/table.h"

int cmd_config_show(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = narg ? id_path("config?version=%s", arg[0]) : xstrdup("/api/v1/config");
  cJSON *answer = call_get(c, path);

  (void)a;
  free(path);
  if (!answer)
    return c->code;
  if (c->json)
    out_json(c);
  else
    out_block(c, 0, js_text(answer, "text"));
  cJSON_Delete(answer);
  return CLI_OK;
}

/* "activated by anna", "rolled back to 3 by anna", "SIGHUP", "start". */
static char *made_by(const cJSON *v)
{
  const char *how = js_text(v, "how"), *who = js_text(v, "who");

  if (str_eq(how, "rollback"))
    return xasprintf("rolled back to %lld by %s", (long long)js_num(v, "origin"), who);
  if (str_eq(how, "activate"))
    return xasprintf("activated by %s", who);
  if (str_eq(how, "kept"))
    return xasprintf("%lld stayed", (long long)js_num(v, "origin"));
  return xstrdup(str_eq(how, "reload") ? who : how);
}

/* "refused, 2 errors: FIRST ONE", "active", "" */
static char *state_of(const cJSON *v)
{
  const char *text = js_text(v, "refused.text");
  long long count = (long long)js_num(v, "refused.count"), times = (long long)js_num(v, "refused.times");
  struct buf b;

  if (!js_has(v, "refused"))
    return xstrdup(js_true(v, "active") ? "active" : "");
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "refused");
  if (times > 1)
    buf_addf(&b, " %lld times", times);
  if (count)
    buf_addf(&b, ", %lld error%s", count, count == 1 ? "" : "s");
  if (*text)
    buf_addf(&b, ": %.*s", (int)strcspn(text, "\n"), text);
  return buf_take(&b);
}

static void version_row(struct table *t, const cJSON *v)
{
  char *by = made_by(v), *state = state_of(v), text[FMT_MAX];
  bool refused = js_has(v, "refused");

  table_cellf(t, STYLE_BOLD, "%lld", (long long)js_num(v, "version"));
  table_cell(t, STYLE_NONE, fmt_date(js_num(v, "created"), text));
  table_cell(t, STYLE_NONE, by);
  table_cell(t, STYLE_NONE, js_text(v, "host"));
  if (js_has(v, "projects"))
    table_cellf(t, STYLE_NONE, "%lld", (long long)js_num(v, "projects"));
  else
    table_cell(t, STYLE_NONE, "");
  table_cell(t, STYLE_NONE, refused ? "" : fmt_size(js_num(v, "size"), text));
  table_cell(t, refused ? STYLE_BAD : STYLE_GOOD, state);
  free(by);
  free(state);
}

int cmd_config_history(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const struct column columns[] = { { "VERSION", TABLE_RIGHT }, { "MADE", 0 }, { "BY", 0 }, { "ON", 0 }, { "PROJECTS", TABLE_RIGHT }, { "SIZE", TABLE_RIGHT }, { "", TABLE_FLEX } };
  const char *limit = args_value(a, FLAG_LIMIT);
  char *path = limit ? id_path("config/history?limit=%s", limit) : xstrdup("/api/v1/config/history");
  cJSON *answer = call_get(c, path);
  const cJSON *v;
  struct table *t;

  (void)arg, (void)narg;
  free(path);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
    cJSON_Delete(answer);
    return CLI_OK;
  }
  t = table_new(columns, COUNT(columns));
  cJSON_ArrayForEach(v, js_get(answer, "items"))
    version_row(t, v);
  lines_all_of(c, t);
  cJSON_Delete(answer);
  return CLI_OK;
}
