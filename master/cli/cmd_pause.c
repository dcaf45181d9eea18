/* drover pause, resume, priority: what starts when, or not at all. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/fmt.h"
#include "master/cli/js.h"
#include "master/cli/made.h"
#include "master/cli/props.h"

void pause_line(struct cli *c, const cJSON *p)
{
  char ago[FMT_MAX], due[FMT_MAX];

  out_label(c, STYLE_WARN, "paused");
  out(c, STYLE_BOLD, "%s", js_text(p, "object"));
  out(c, STYLE_NONE, " by %s %s", js_text(p, "who"), fmt_ago(js_num(p, "since"), clock_wall_ms(), ago));
  if (js_has(p, "until"))
    out(c, STYLE_NONE, ", %s", fmt_until(js_num(p, "until"), clock_wall_ms(), due));
  if (js_has(p, "reason"))
    out(c, STYLE_NONE, ": %s", js_text(p, "reason"));
  out_end(c);
}

static void show_pauses(struct cli *c, const cJSON *answer, const char *name)
{
  const cJSON *p;

  (void)name;
  if (!cJSON_GetArraySize(js_get(answer, "items"))) {
    out(c, STYLE_NONE, "nothing is paused");
    out_end(c);
  }
  cJSON_ArrayForEach(p, js_get(answer, "items"))
    pause_line(c, p);
}

static int list_pauses(struct cli *c)
{
  cJSON *answer = call_get(c, "/api/v1/pauses");

  return call_show(c, answer, show_pauses, NULL);
}

static int send(struct cli *c, const char *path, cJSON *body)
{
  cJSON *answer = call_send(c, "POST", path, body);

  cJSON_Delete(body);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    out_label(c, STYLE_NONE, js_text(answer, "state"));
    out(c, STYLE_NONE, "%s", js_text(answer, "object"));
    out_end(c);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

int cmd_pause(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *time = args_value(a, FLAG_FOR);
  cJSON *body;
  int64_t ms = 0;

  if (!narg)
    return list_pauses(c);
  if (time && (str_duration(time, &ms) || !ms))
    return cli_error(c, CLI_USAGE, "--for wants a time such as 30m, 2h or 1d, got %s", time);
  body = cJSON_CreateObject();
  props_add_text(body, "object", arg[0]);
  props_add_text(body, "reason", args_value(a, FLAG_REASON));
  if (time)
    cJSON_AddNumberToObject(body, "for", (double)ms);
  return send(c, "/api/v1/pause", body);
}

int cmd_resume(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *body = cJSON_CreateObject();

  (void)a, (void)narg;
  props_add_text(body, "object", arg[0]);
  return send(c, "/api/v1/resume", body);
}

int cmd_worker_resume(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *body = cJSON_CreateObject();
  char *object = xasprintf("worker/%s", arg[0]);

  (void)a, (void)narg;
  props_add_text(body, "object", object);
  free(object);
  return send(c, "/api/v1/resume", body);
}

int cmd_priority(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct cli_id id;
  cJSON *body, *answer;
  int64_t n;
  char *path;

  (void)a, (void)narg;
  if (!id_parse(arg[0], &id) || (id.kind != ID_REQUEST && id.kind != ID_BUILDSET))
    return cli_error(c, CLI_USAGE, "\"%s\" is neither a request (r118) nor a buildset (s77)", arg[0]);
  if (str_number(arg[1], strlen(arg[1]), &n))
    return cli_error(c, CLI_USAGE, "the priority is a whole number from 0 to 100, got %s", arg[1]);
  path = id_path(id.kind == ID_REQUEST ? "requests/%s/priority" : "buildsets/%s/priority", id.text);
  body = cJSON_CreateObject();
  cJSON_AddNumberToObject(body, "priority", (double)n);
  answer = call_send(c, "POST", path, body);
  free(path);
  cJSON_Delete(body);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    struct buf b;
    buf_init(&b, BUF_NO_MAX);
    js_join(answer, "requests", " ", &b);
    out_label(c, STYLE_NONE, "priority");
    out(c, STYLE_NONE, "%lld: %s", (long long)n, buf_str(&b));
    out_end(c);
    buf_free(&b);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}
