/* drover why ID: why something waits, ran, or ended so. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/show.h"
#include "master/cli/why_repo.h"

/* "r118 libfoo/linux is pending: build1 is full (since 2 min ago)" */
static int why_request(struct cli *c, const char *id)
{
  char *path = id_path("requests/%s/why", id), *eta, since[FMT_MAX];
  cJSON *why = call_get(c, path);

  free(path);
  if (!why)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    out_label(c, STYLE_BOLD, id);
    out(c, STYLE_NONE, "%s: %s", js_text(why, "state"), js_text(why, "reason.text"));
    if (js_has(why, "reason.since"))
      out(c, STYLE_DIM, "  (%s)", fmt_ago(js_num(why, "reason.since"), clock_wall_ms(), since));
    out_end(c);
    if ((eta = show_eta(why))) {
      out_label(c, STYLE_NONE, "begins");
      out(c, STYLE_NONE, "%s, by its turn and by how long such builds take", eta);
      out_end(c);
    }
    free(eta);
  }
  cJSON_Delete(why);
  return CLI_OK;
}

static int why_requests(struct cli *c, const cJSON *requests)
{
  const cJSON *r;
  int code = CLI_OK;

  cJSON_ArrayForEach(r, requests)
    if (!code)
      code = why_request(c, js_text(r, "id"));
  return code;
}

static int why_buildset(struct cli *c, const char *id)
{
  char *path = id_path("buildsets/%s", id);
  cJSON *set = call_get(c, path);
  int code = set ? why_requests(c, js_get(set, "requests")) : c->code;

  free(path);
  cJSON_Delete(set);
  return code;
}

/* "commits no: the message says [skip ci]" */
static void put_verdict(struct cli *c, const cJSON *v, size_t width)
{
  const char *verdict = js_text(v, "verdict"), *why = js_text(v, "why"), *set = js_text(v, "buildset");
  bool waits = !strcmp(verdict, "waits"), builds = !strcmp(verdict, "builds");
  char until[FMT_MAX];

  out(c, STYLE_NONE, "  %-*s  ", (int)width, js_text(v, "scheduler"));
  out(c, builds ? STYLE_GOOD : waits ? STYLE_BUSY : STYLE_DIM, "%s", verdict);
  if (*set)
    out(c, STYLE_NONE, ", as %s", set);
  else if (waits)
    out(c, STYLE_NONE, " until %s, longer if more changes come", fmt_date(js_num(v, "until"), until));
  if (*why)
    out(c, STYLE_NONE, ": %s", why);
  out_end(c);
}

static void put_verdicts(struct cli *c, const cJSON *list)
{
  const cJSON *v;
  size_t width = 0;

  cJSON_ArrayForEach(v, list)
    if (strlen(js_text(v, "scheduler")) > width)
      width = strlen(js_text(v, "scheduler"));
  cJSON_ArrayForEach(v, list)
    put_verdict(c, v, width);
}

static int why_change(struct cli *c, const char *id)
{
  char *path = id_path("changes/%s", id), *of, since[FMT_MAX];
  cJSON *change = call_get(c, path);
  const cJSON *s, *verdicts = js_get(change, "verdicts");
  int code = CLI_OK;

  free(path);
  if (!change)
    return c->code;
  if (c->json) {
    out_json(c);
    cJSON_Delete(change);
    return CLI_OK;
  }
  out_label(c, STYLE_BOLD, id);
  of = show_change_of(change);
  out(c, STYLE_NONE, "%s %s: %s", js_text(change, "project"), of, js_text(change, "state"));
  free(of);
  if (*js_text(change, "error") && !strcmp(js_text(change, "state"), "reading"))
    out(c, STYLE_NONE, " since %s; it can't be read yet: %s", fmt_ago(js_num(change, "created"), clock_wall_ms(), since), js_text(change, "error"));
  else if (*js_text(change, "error"))
    out(c, STYLE_NONE, ", %s", js_text(change, "error"));
  else if (*js_text(change, "why") && !cJSON_GetArraySize(verdicts))
    out(c, STYLE_NONE, ": %s", js_text(change, "why"));
  out_end(c);
  put_verdicts(c, verdicts);
  if (!strcmp(js_text(change, "state"), "reading") && !why_silent(c, js_text(change, "project"), js_has(change, "codebase") ? js_text(change, "codebase") : NULL))
    code = c->code;
  cJSON_ArrayForEach(s, js_get(change, "buildsets"))
    if (!code && cJSON_IsString(s))
      code = why_buildset(c, s->valuestring);
  cJSON_Delete(change);
  return code;
}

/* The newest request of a builder, and whether its repository is silent; a project or a scheduler of that name where there is no such builder. */
static int why_builder(struct cli *c, const char *name)
{
  const char *slash = strchr(name, '/');
  char *builder, *path, *project;
  bool found = false;
  cJSON *list, *there = call_find_builder(c, name);
  int code = c->code;

  if (!there && !code)
    code = slash ? why_scheduler(c, name, &found) : why_project(c, name, &found);
  cJSON_Delete(there);
  if (found || code)
    return code;
  builder = call_builder(c, name);
  if (!builder)
    return c->code;
  path = id_path("requests?limit=1&builder=%s", builder);
  list = call_get(c, path);
  free(path);
  if (!list) {
    code = c->code;
  } else if (cJSON_GetArraySize(js_get(list, "items"))) {
    code = why_requests(c, js_get(list, "items"));
  } else {
    out(c, STYLE_NONE, "%s was never asked for; to ask: drover build %s", builder, builder);
    out_end(c);
    code = CLI_OK;
  }
  cJSON_Delete(list);
  project = xstrndup(builder, strcspn(builder, "/"));
  if (!code && !why_silent(c, project, NULL))
    code = c->code;
  free(project);
  free(builder);
  return code;
}

int cmd_why(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct cli_id id;
  cJSON *build;
  int code;

  (void)a, (void)narg;
  if (!id_parse(arg[0], &id))
    return cli_error(c, CLI_USAGE, "\"%s\" is no id: libfoo/linux/42, r118, s77, c991, or a builder", arg[0]);
  switch (id.kind) {
  case ID_REQUEST:
    return why_request(c, id.text);
  case ID_BUILDSET:
    return why_buildset(c, id.text);
  case ID_CHANGE:
    return why_change(c, id.text);
  case ID_BUILDER:
  case ID_NAME:
    return why_builder(c, id.text);
  default:
    if (!(build = call_build(c, &id)))
      return c->code;
    if (!c->json) {
      out_label(c, STYLE_BOLD, "because");
      out(c, STYLE_NONE, "%s", js_text(build, "reason"));
      out_end(c);
    }
    code = why_request(c, js_text(build, "request"));
    cJSON_Delete(build);
    return code;
  }
}
