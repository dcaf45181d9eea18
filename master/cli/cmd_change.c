/* drover change list, show, approve, send: changes, also those that no poller sees. */
#include <stdlib.h>
#include <string.h>

#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/props.h"

int cmd_change_send(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const struct { enum flag_id flag; bool required; } fields[] = {
    { FLAG_PROJECT, true }, { FLAG_BRANCH, true },   { FLAG_REVISION, true },
    { FLAG_AUTHOR, false }, { FLAG_COMMITTER, false }, { FLAG_CATEGORY, false }, { FLAG_CODEBASE, false }, { FLAG_MESSAGE, false }, { FLAG_REPOSITORY, false } };
  cJSON *body, *answer, *files, *props;
  const char *file;
  int at = 0;

  (void)arg, (void)narg;
  for (size_t i = 0; i < COUNT(fields); i++)
    if (fields[i].required && !args_has(a, fields[i].flag))
      return cli_error(c, CLI_USAGE, "drover change send: --%s is missing", args_flags[fields[i].flag].name);
  if (!(props = props_object(c, a)))
    return c->code;
  body = cJSON_CreateObject();
  for (size_t i = 0; i < COUNT(fields); i++)
    props_add_text(body, args_flags[fields[i].flag].name, args_value(a, fields[i].flag));
  if (args_has(a, FLAG_FILE)) {
    files = cJSON_AddArrayToObject(body, "files");
    while ((file = args_each(a, FLAG_FILE, &at)))
      cJSON_AddItemToArray(files, cJSON_CreateString(file));
  }
  props_add(body, props);
  answer = call_send(c, "POST", "/api/v1/changes", body);
  cJSON_Delete(body);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    out_label(c, STYLE_NONE, "change");
    out(c, STYLE_BOLD, "%s", js_text(answer, "change"));
    out(c, STYLE_NONE, js_true(answer, "new") ? " is new; what it causes: drover why %s" : " was known already: drover why %s",
        js_text(answer, "change"));
    out_end(c);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

static void approved(struct cli *c, const cJSON *answer, const char *name)
{
  (void)name;
  out_label(c, STYLE_NONE, "approved");
  out(c, STYLE_BOLD, "%s", js_text(answer, "change"));
  if (js_true(answer, "was"))
    out(c, STYLE_NONE, " was before, by %s", js_text(answer, "by"));
  else
    out(c, STYLE_NONE, ": what it causes: drover why %s", js_text(answer, "change"));
  out_end(c);
}

int cmd_change_approve(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("changes/%s/approve", arg[0]);
  cJSON *body = cJSON_CreateObject(), *answer = call_send(c, "POST", path, body);

  (void)a, (void)narg;
  cJSON_Delete(body);
  free(path);
  return call_show(c, answer, approved, NULL);
}

int cmd_change_list(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const char *const changes[] = { "changes" };

  (void)arg, (void)narg;
  return cmd_list(c, a, changes, 1);
}

int cmd_change_show(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *id = arg[0];

  if (*id != 'c' || !id[1] || id[1 + strspn(id + 1, "0123456789")])
    return cli_error(c, CLI_USAGE, "this is no change: %.100s; a change is c and a number: drover change list", id);
  return cmd_show(c, a, arg, narg);
}
