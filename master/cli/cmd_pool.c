/* drover pool list, show, token, remove. */
#include <stdlib.h>

#include "common/clock.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/fmt.h"
#include "master/cli/js.h"
#include "master/cli/list.h"
#include "master/cli/worker.h"

int cmd_pool_list(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const char *const pools[] = { "pools" };

  (void)arg, (void)narg;
  return cmd_list(c, a, pools, 1);
}

static void label_join(struct cli *c, const char *label, const cJSON *o, const char *path)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  js_join(o, path, " ", &text);
  if (text.len) {
    out_label(c, STYLE_NONE, label);
    out(c, STYLE_NONE, "%s", buf_str(&text));
    out_end(c);
  }
  buf_free(&text);
}

static void show_pool(struct cli *c, const cJSON *p, const char *name)
{
  char time[FMT_MAX];

  (void)name;
  out(c, STYLE_BOLD, "%s", js_text(p, "name"));
  out(c, STYLE_NONE, "  %lld members", (long long)js_num(p, "count"));
  if (js_has(p, "max"))
    out(c, STYLE_NONE, " of %lld", (long long)js_num(p, "max"));
  out(c, STYLE_NONE, ", %lld connected, %lld slot%s each", (long long)js_num(p, "connected"), (long long)js_num(p, "slots"), js_num(p, "slots") == 1 ? "" : "s");
  if (!js_true(p, "configured"))
    out(c, STYLE_WARN, "  not in the configuration any more: it takes in nobody");
  out_end(c);
  label_join(c, "tags", p, "tags");
  if (js_has(p, "calendar")) {
    out_label(c, STYLE_NONE, "calendar");
    out(c, STYLE_NONE, "%s", js_text(p, "calendar"));
    out_end(c);
  }
  out_label(c, STYLE_NONE, "forgets");
  out(c, STYLE_NONE, "who is away for %s", fmt_duration(js_num(p, "forget"), time));
  out_end(c);
  out_label(c, js_has(p, "token_at") ? STYLE_NONE : STYLE_WARN, "token");
  if (js_has(p, "token_at"))
    out(c, STYLE_NONE, "made by %s %s", js_text(p, "token_by"), fmt_ago(js_num(p, "token_at"), clock_wall_ms(), time));
  else
    out(c, STYLE_NONE, "none yet: drover pool token %s", js_text(p, "name"));
  out_end(c);
  if (cJSON_GetArraySize(js_get(p, "members")))
    list_table(c, "workers", js_get(p, "members"));
}

int cmd_pool_show(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("pools/%s", arg[0]);
  cJSON *answer = call_get(c, path);

  (void)a, (void)narg;
  free(path);
  return call_show(c, answer, show_pool, NULL);
}

int cmd_pool_token(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("pools/%s/token", arg[0]);
  cJSON *answer = call_send(c, "POST", path, NULL);

  (void)narg;
  free(path);
  if (!answer)
    return c->code;
  if (c->json)
    out_json(c);
  else
    token_show(c, a, answer, true);
  cJSON_Delete(answer);
  return CLI_OK;
}

static void removed(struct cli *c, const cJSON *answer, const char *name)
{
  out_label(c, STYLE_NONE, "removed");
  out(c, STYLE_NONE, "%s, with %d members", name, cJSON_GetArraySize(js_get(answer, "members")));
  out_end(c);
}

int cmd_pool_remove(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("pools/%s", arg[0]);
  cJSON *answer = call_send(c, "DELETE", path, NULL);

  (void)a, (void)narg;
  free(path);
  return call_show(c, answer, removed, arg[0]);
}
