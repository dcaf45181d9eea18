/* drover worker log, facts: what a worker's agent tells when it is asked. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/work.h"

static void show_log(struct cli *c, const cJSON *answer, const char *name)
{
  const cJSON *line;

  (void)name;
  cJSON_ArrayForEach(line, js_get(answer, "lines"))
  {
    out(c, STYLE_NONE, "%s", cJSON_GetStringValue(line));
    out_end(c);
  }
}

int cmd_worker_log(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *lines = args_value(a, FLAG_LIMIT);
  char *path = lines ? id_path("workers/%s/log?lines=%s", arg[0], lines) : id_path("workers/%s/log", arg[0]);
  cJSON *answer = call_get(c, path);

  (void)narg;
  free(path);
  return call_show(c, answer, show_log, arg[0]);
}

void tools_show(struct cli *c, const cJSON *tools)
{
  const cJSON *tool;

  cJSON_ArrayForEach(tool, tools)
  {
    out_label(c, STYLE_DIM, "tool");
    out(c, cJSON_IsString(tool) ? STYLE_NONE : STYLE_WARN, "%s = %s", tool->string, cJSON_IsString(tool) ? tool->valuestring : "not there, or it tells no version");
    out_end(c);
  }
}

static void show_facts(struct cli *c, const cJSON *answer, const char *name)
{
  const cJSON *fact;

  (void)name;
  cJSON_ArrayForEach(fact, js_get(answer, "facts"))
  {
    out_label(c, STYLE_DIM, "fact");
    out(c, STYLE_NONE, "%s = %s", fact->string, cJSON_IsString(fact) ? fact->valuestring : "");
    out_end(c);
  }
  tools_show(c, js_get(answer, "tools"));
}

void order_show(struct cli *c, const cJSON *o)
{
  const char *state = js_text(o, "state");
  bool failed = str_eq(state, "failed");
  char ago[FMT_MAX];

  if (!*state)
    return;
  out_label(c, STYLE_DIM, "order");
  out(c, failed ? STYLE_BAD : STYLE_NONE, "%s%s by %s %s: %s", js_true(o, "drain") ? "drain, then " : "", js_text(o, "what"), js_text(o, "who"), fmt_ago(js_num(o, "at"), clock_wall_ms(), ago),
      str_eq(state, "wanted") ? js_true(o, "drain") ? "waits for its builds" : "waits for the worker" : str_eq(state, "sent") ? "it was told" : state);
  if (*js_text(o, "why"))
    out(c, failed ? STYLE_BAD : STYLE_NONE, ", %s", js_text(o, "why"));
  out_end(c);
}

int cmd_worker_facts(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("workers/%s/facts", arg[0]);
  cJSON *body = cJSON_CreateObject(), *tools = cJSON_AddArrayToObject(body, "tools"), *answer;

  (void)a;
  for (int i = 1; i < narg; i++)
    cJSON_AddItemToArray(tools, cJSON_CreateString(arg[i]));
  answer = call_send(c, "POST", path, body);
  free(path);
  cJSON_Delete(body);
  return call_show(c, answer, show_facts, arg[0]);
}
