/* drover approve: what waits for a person's word goes on. */
#include <stdlib.h>

#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"

static void approved(struct cli *c, const cJSON *answer, const char *name)
{
  (void)name;
  out_label(c, STYLE_NONE, "approved");
  out(c, STYLE_BOLD, "%s", js_text(answer, "request"));
  out(c, STYLE_NONE, " is made again: drover watch %s", js_text(answer, "request"));
  out_end(c);
}

int cmd_approve(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct cli_id id;
  cJSON *body, *answer;
  char *path;

  (void)a, (void)narg;
  if (!id_parse(arg[0], &id) || id.kind != ID_REQUEST)
    return cli_error(c, CLI_USAGE, "\"%s\" is no request: r118", arg[0]);
  path = id_path("requests/%s/approve", id.text);
  body = cJSON_CreateObject();
  answer = call_send(c, "POST", path, body);
  cJSON_Delete(body);
  free(path);
  return call_show(c, answer, approved, NULL);
}
