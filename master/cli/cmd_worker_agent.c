/* drover worker log: what a worker's agent tells when it is asked. */
#include <stdlib.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"

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
