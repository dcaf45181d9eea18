/* drover worker add, list, remove (show is in cmd_show.c). */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/list.h"
#include "master/cli/worker.h"

#define SLOTS_MAX 1000

cJSON *worker_body(struct cli *c, const struct args *a, const char *name)
{
  const char *slots = args_value(a, FLAG_SLOTS), *tag;
  cJSON *body, *tags;
  int64_t n = 1;
  int at = 0;

  if (slots && (str_number(slots, strlen(slots), &n) || n < 1 || n > SLOTS_MAX)) {
    cli_error(c, CLI_USAGE, "--slots wants a number from 1 to %d, not \"%s\"", SLOTS_MAX, slots);
    return NULL;
  }
  if (!str_is_name(name, strlen(name))) {
    cli_error(c, CLI_USAGE, "\"%s\" is no name for a worker: letters, digits, '.', '_', '-', at most 64, a letter or digit first", name);
    return NULL;
  }
  body = cJSON_CreateObject();
  cJSON_AddStringToObject(body, "name", name);
  if (slots)
    cJSON_AddNumberToObject(body, "slots", (double)n);
  if (args_has(a, FLAG_TAG)) {
    tags = cJSON_AddArrayToObject(body, "tags");
    while ((tag = args_each(a, FLAG_TAG, &at)))
      cJSON_AddItemToArray(tags, cJSON_CreateString(tag));
  }
  return body;
}

void token_show(struct cli *c, const struct args *a, const cJSON *answer, bool pool)
{
  const char *name = js_text(answer, "name"), *token = js_text(answer, "token");
  char host[HOST_NAME_MAX + 1] = "", *kind, *program, *real;

  if (!c->tty || args_has(a, FLAG_QUIET)) {
    out(c, STYLE_NONE, "%s", token);
    out_end(c);
    return;
  }
  out(c, STYLE_NONE, "token, good until the next one of %s is made (give it on a terminal or stdin, never as an argument):", name);
  out_end(c);
  out(c, STYLE_BOLD, "  %s", token);
  out_end(c);
  gethostname(host, sizeof host - 1);
  kind = worker_kind_here();
  program = worker_program(kind);
  real = program ? realpath(program, NULL) : NULL;
  if (pool) {
    out(c, STYLE_NONE, "on each host, or in the image of all of them before the worker has run there:  drover-worker install");
    out_end(c);
    return;
  }
  out(c, STYLE_NONE, "on %s:  scp %s:%s /tmp/drover-worker && sudo /tmp/drover-worker install", name, host, real ? real : "drover-worker");
  out_end(c);
  out(c, STYLE_NONE, "or here:  drover worker install root@%s", name);
  out_end(c);
  free(kind);
  free(program);
  free(real);
}

int cmd_worker_add(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *body = worker_body(c, a, arg[0]), *answer;

  (void)narg;
  if (!body)
    return c->code;
  answer = call_send(c, "POST", "/api/v1/workers", body);
  cJSON_Delete(body);
  if (!answer)
    return c->code;
  if (c->json)
    out_json(c);
  else
    token_show(c, a, answer, false);
  cJSON_Delete(answer);
  return CLI_OK;
}

int cmd_worker_list(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const char *const workers[] = { "workers" };

  (void)arg, (void)narg;
  return cmd_list(c, a, workers, 1);
}

static void removed(struct cli *c, const cJSON *answer, const char *name)
{
  (void)answer;
  out_label(c, STYLE_NONE, "removed");
  out(c, STYLE_NONE, "%s gets no new builds; drover worker add %s brings it back", name, name);
  out_end(c);
}

int cmd_worker_remove(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("workers/%s", arg[0]);
  cJSON *answer = call_send(c, "DELETE", path, NULL);

  (void)a, (void)narg;
  free(path);
  return call_show(c, answer, removed, arg[0]);
}
