/* drover master stop. */
#include "master/cli/call.h"
#include "master/cli/commands.h"

int cmd_master_stop(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *answer = call_send(c, "POST", "/api/v1/master/stop", NULL);

  (void)a, (void)arg, (void)narg;
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    out_label(c, STYLE_NONE, "stopping");
    out(c, STYLE_NONE, "the master finishes its writes and leaves; running builds go on at their workers");
    out_end(c);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}
