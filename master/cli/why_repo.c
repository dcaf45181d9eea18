/* Repositories and schedulers, for `drover why`: why nothing new is seen. */
#include "master/cli/why_repo.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/js.h"

/* looks: a project of one repository, or one of its codebases. */
static void put_silent(struct cli *c, const char *name, const cJSON *looks)
{
  int64_t now = clock_wall_ms(), left = js_num(looks, "next_look") - now;
  char text[FMT_MAX];

  out_label(c, STYLE_BAD, "repository");
  if (js_has(looks, "trouble_since"))
    out(c, STYLE_NONE, "%s has not answered since %s: %s", name, fmt_ago(js_num(looks, "trouble_since"), now, text), js_text(looks, "trouble"));
  else
    out(c, STYLE_NONE, "%s does not answer: %s", name, js_text(looks, "trouble"));
  if (js_has(looks, "looked"))
    out(c, STYLE_DIM, "  (seen last %s)", fmt_ago(js_num(looks, "looked"), now, text));
  else
    out(c, STYLE_DIM, "  (never seen so far)");
  if (js_num(looks, "failures") > 1)
    out(c, STYLE_DIM, " %d looks failed,", (int)js_num(looks, "failures"));
  if (js_has(looks, "next_look"))
    out(c, STYLE_DIM, " the next one is in %s", fmt_duration(left > 0 ? left : 0, text));
  out_end(c);
}

static void put_seen(struct cli *c, const char *name, const cJSON *looks)
{
  char text[FMT_MAX];

  if (js_has(looks, "trouble")) {
    put_silent(c, name, looks);
    return;
  }
  out_label(c, STYLE_BOLD, "repository");
  if (js_has(looks, "looked"))
    out(c, STYLE_NONE, "%s was seen %s", name, fmt_ago(js_num(looks, "looked"), clock_wall_ms(), text));
  else
    out(c, STYLE_NONE, "%s was not looked at yet", name);
  out_end(c);
}

/* codebase NULL: all. */
static void each_repository(struct cli *c, const cJSON *project, const char *codebase, bool only_silent)
{
  const cJSON *list = js_get(project, "codebases"), *it;
  const char *name = js_text(project, "name");

  if (!cJSON_GetArraySize(list)) {
    if (!only_silent || js_has(project, "trouble"))
      put_seen(c, name, project);
    return;
  }
  cJSON_ArrayForEach(it, list) {
    char *full = xasprintf("%s/%s", name, js_text(it, "name"));
    if ((!codebase || str_eq(codebase, js_text(it, "name"))) && (!only_silent || js_has(it, "trouble")))
      put_seen(c, full, it);
    free(full);
  }
}

static const cJSON *named(const cJSON *answer, const char *key, const char *name)
{
  const cJSON *it;

  cJSON_ArrayForEach(it, js_get(answer, "items"))
    if (str_eq(js_text(it, key), name))
      return it;
  return NULL;
}

bool why_silent(struct cli *c, const char *project, const char *codebase)
{
  const cJSON *p;
  cJSON *answer;

  if (c->json)
    return true;
  answer = call_get(c, "/api/v1/projects");
  p = named(answer, "name", project);
  if (p)
    each_repository(c, p, codebase, true);
  cJSON_Delete(answer);
  return answer != NULL;
}

/* "commits built s7 2 min ago", "nightly missed 3 h ago: …" */
static void put_scheduler(struct cli *c, const cJSON *s)
{
  const char *what = js_text(s, "last.what"), *why = js_text(s, "last.why");
  int64_t now = clock_wall_ms();
  char text[FMT_MAX];

  out_label(c, STYLE_BOLD, js_text(s, "name"));
  if (js_has(s, "disabled"))
    out(c, STYLE_WARN, "disabled by %s: %s; ", js_text(s, "disabled.by"), js_text(s, "disabled.reason"));
  if (js_has(s, "last")) {
    out(c, STYLE_NONE, "%s %s", js_has(s, "last.buildset") ? js_text(s, "last.buildset") : what, fmt_ago(js_num(s, "last.at"), now, text));
    if (*why)
      out(c, STYLE_NONE, ": %s", why);
  } else {
    out(c, STYLE_NONE, "nothing has set it off yet");
  }
  if (js_has(s, "due_at"))
    out(c, STYLE_DIM, "  (next in %s)", fmt_duration(js_num(s, "due_at") > now ? js_num(s, "due_at") - now : 0, text));
  out_end(c);
}

/* only NULL: all of the project's. */
static int schedulers(struct cli *c, const char *project, const char *only)
{
  cJSON *answer;
  const cJSON *s;
  struct buf path;

  buf_init(&path, BUF_NO_MAX);
  buf_adds(&path, "/api/v1/schedulers?project=");
  id_encode(&path, project);
  answer = call_get(c, buf_str(&path));
  buf_free(&path);
  cJSON_ArrayForEach(s, js_get(answer, "items"))
    if (!only || str_eq(js_text(s, "name"), only))
      put_scheduler(c, s);
  cJSON_Delete(answer);
  return answer ? CLI_OK : c->code;
}

int why_project(struct cli *c, const char *name, bool *found)
{
  cJSON *answer = call_get(c, "/api/v1/projects");
  const cJSON *p = named(answer, "name", name);
  int code = answer ? CLI_OK : c->code;

  *found = p != NULL;
  if (p && c->json) {
    out_json(c);
  } else if (p) {
    each_repository(c, p, NULL, false);
    code = schedulers(c, name, NULL);
  }
  cJSON_Delete(answer);
  return code;
}

int why_scheduler(struct cli *c, const char *name, bool *found)
{
  cJSON *answer = call_get(c, "/api/v1/schedulers");
  const cJSON *s = named(answer, "id", name);
  int code = answer ? CLI_OK : c->code;

  *found = s != NULL;
  if (s && c->json) {
    out_json(c);
  } else if (s) {
    put_scheduler(c, s);
    code = why_silent(c, js_text(s, "project"), NULL) ? CLI_OK : c->code;
  }
  cJSON_Delete(answer);
  return code;
}
