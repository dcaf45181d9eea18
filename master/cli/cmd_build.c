/* drover build, rerun, cancel, watch: what makes builds, ends them, and waits for them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/follow.h"
#include "master/cli/js.h"
#include "master/cli/made.h"
#include "master/cli/props.h"

/* A builder without its project is found by the master, which also knows those that were never built. */
int cmd_build(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *props = props_object(c, a), *body, *answer;
  int code;

  (void)narg;
  if (!props)
    return c->code;
  body = cJSON_CreateObject();
  props_add_text(body, "builder", arg[0]);
  props_add_text(body, "branch", args_value(a, FLAG_BRANCH));
  props_add_text(body, "revision", args_value(a, FLAG_REVISION));
  props_add_text(body, "codebase", args_value(a, FLAG_CODEBASE));
  props_add_text(body, "reason", args_value(a, FLAG_REASON));
  props_add(body, props);
  if (!props_add_at(c, a, body)) {
    cJSON_Delete(body);
    return c->code;
  }
  answer = call_send(c, "POST", "/api/v1/builds", body);
  code = answer ? made_go_on(c, a, answer) : c->code;
  cJSON_Delete(answer);
  cJSON_Delete(body);
  return code;
}

/* The build an id means, in full: short ids and "last" are asked for once. NULL: told. */
static char *full_id(struct cli *c, const struct cli_id *id)
{
  cJSON *build = call_build(c, id);
  char *full = build ? xstrdup(js_text(build, "id")) : NULL;

  cJSON_Delete(build);
  return full;
}

static int no_build(struct cli *c, const char *word, const char *what)
{
  return cli_error(c, CLI_USAGE, "\"%s\" is no id of %s", word, what);
}

int cmd_rerun(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct cli_id id;
  char *build, *path;
  cJSON *body, *answer;
  int code;

  (void)narg;
  if (!id_parse(arg[0], &id) || (id.kind != ID_BUILD && id.kind != ID_REQUEST))
    return no_build(c, arg[0], "a build (libfoo/linux/42, linux/last)");
  if (!(build = full_id(c, &id)))
    return c->code;
  path = id_path("builds/%p/rerun", build);
  body = cJSON_CreateObject();
  props_add_text(body, "reason", args_value(a, FLAG_REASON));
  if (args_has(a, FLAG_ONLY))
    cJSON_AddTrueToObject(body, "only");
  answer = call_send(c, "POST", path, body);
  code = answer ? made_go_on(c, a, answer) : c->code;
  cJSON_Delete(answer);
  cJSON_Delete(body);
  free(path);
  free(build);
  return code;
}

static char *cancel_path(struct cli *c, const struct cli_id *id)
{
  char *build, *path;

  if (id->kind == ID_REQUEST)
    return id_path("requests/%s/cancel", id->text);
  if (id->kind == ID_BUILDSET)
    return id_path("buildsets/%s/cancel", id->text);
  if (!(build = full_id(c, id)))
    return NULL;
  path = id_path("builds/%p/cancel", build);
  free(build);
  return path;
}

/* state: cancelled; cancelling (its processes are being ended); done (it was over before). */
static void show_cancelled(struct cli *c, const cJSON *answer, const char *id)
{
  const char *state = js_text(answer, "state"), *request = js_text(answer, "request");
  bool over = str_eq(state, "done");
  struct buf all;

  out_label(c, STYLE_NONE, over ? "done" : *state ? state : "cancelled");
  out(c, STYLE_NONE, "%s", id);
  if (cJSON_GetArraySize(js_get(answer, "requests")) > 1) {
    buf_init(&all, BUF_NO_MAX);
    js_join(answer, "requests", " ", &all);
    out(c, STYLE_NONE, ": %s", buf_str(&all));
    buf_free(&all);
  } else if (*request && !str_eq(request, id)) {
    out(c, STYLE_NONE, ", request %s", request);
  }
  if (over)
    out(c, STYLE_NONE, " had ended before");
  out_end(c);
}

/* What was refused because others would go with it, when a person is there to say so. */
static bool asked_others(struct cli *c)
{
  char line[16];

  if (c->json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || !str_eq(call_code(c), "stands_for_others"))
    return false;
  fprintf(stderr, "%s.\nCancel these too? [y/N] ", call_why(c));
  return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static cJSON *send_cancel(struct cli *c, const char *path, cJSON *body, bool others)
{
  cJSON *answer = NULL;

  if (others)
    cJSON_AddTrueToObject(body, "others");
  if (call_try(c, "POST", path, body, &answer) == CALL_OK)
    return answer;
  if (!others && asked_others(c))
    return send_cancel(c, path, body, true);
  call_report(c);
  return NULL;
}

int cmd_cancel(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct cli_id id;
  cJSON *body, *answer;
  char *path;

  (void)narg;
  if (!id_parse(arg[0], &id) || (id.kind != ID_BUILD && id.kind != ID_REQUEST && id.kind != ID_BUILDSET))
    return no_build(c, arg[0], "a build (libfoo/linux/42), a request (r118) or a buildset (s77)");
  if (!(path = cancel_path(c, &id)))
    return c->code;
  body = cJSON_CreateObject();
  props_add_text(body, "reason", args_value(a, FLAG_REASON));
  answer = send_cancel(c, path, body, args_has(a, FLAG_OTHERS));
  if (answer && c->json) {
    out_json(c);
  } else if (answer) {
    show_cancelled(c, answer, id.text);
  }
  free(path);
  cJSON_Delete(body);
  if (!answer)
    return c->code;
  cJSON_Delete(answer);
  return CLI_OK;
}

/* Adds what the id means to f. False: told. */
static bool add_watched(struct cli *c, struct follow *f, const struct cli_id *id)
{
  char *path = id->kind == ID_BUILDSET ? id_path("buildsets/%s", id->text) : id_path("requests/%s", id->text);
  const cJSON *r;
  cJSON *o;

  if (id->kind == ID_BUILD) {
    o = call_build(c, id);
    if (o)
      follow_add(f, js_text(o, "request"), js_num(o, "number") - 1);
  } else {
    o = call_get(c, path);
    if (id->kind == ID_REQUEST && o)
      follow_add(f, id->text, 0);
    cJSON_ArrayForEach(r, js_get(o, "requests"))
      follow_add(f, js_text(r, "id"), 0);
  }
  free(path);
  if (!o)
    return false;
  cJSON_Delete(o);
  return true;
}

int cmd_watch(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct cli_id id;
  struct follow *f;
  int code;

  (void)a, (void)narg;
  if (!id_parse(arg[0], &id) || (id.kind != ID_BUILD && id.kind != ID_REQUEST && id.kind != ID_BUILDSET))
    return no_build(c, arg[0], "a build (libfoo/linux/42), a request (r118) or a buildset (s77)");
  f = follow_new(c, FOLLOW_SHOW);
  code = add_watched(c, f, &id) ? follow_run(f) : c->code;
  follow_free(f);
  return code;
}
