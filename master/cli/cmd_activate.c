/* drover config diff, activate, rollback, new: the running master's configuration. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/cmd_config.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"

enum { LOOK_WAIT_MS = 5000, LOOK_EVERY_MS = 100, HEADS_SHOWN = 4 };

static const char *plural(int n)
{
  return n == 1 ? "" : "s";
}

/* ---- differences ---- */

/* ", 3 builders, schedulers commits nightly" */
static void add_pipeline(const cJSON *change, struct buf *text)
{
  const cJSON *builders = js_get(change, "builders");
  int n = cJSON_GetArraySize(builders);

  if (cJSON_IsNull(builders))
    buf_adds(text, ", the pipeline is in the repository");
  if (!cJSON_IsArray(builders))
    return;
  buf_addf(text, ", %d builder%s", n, plural(n));
  buf_addf(text, ", scheduler%s ", plural(cJSON_GetArraySize(js_get(change, "schedulers"))));
  js_join(change, "schedulers", " ", text);
}

static void show_change(struct cli *c, const cJSON *change)
{
  const char *what = js_text(change, "what");
  bool added = str_eq(what, "added"), removed = str_eq(what, "removed");
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  buf_addf(&text, "%s %s %s", added ? "+" : removed ? "-" : "~", js_text(change, "kind"), js_text(change, "name"));
  if (cJSON_GetArraySize(js_get(change, "keys"))) {
    buf_adds(&text, ": ");
    js_join(change, "keys", ", ", &text);
  }
  if (added)
    add_pipeline(change, &text);
  if (removed && str_eq(js_text(change, "kind"), "worker"))
    buf_addf(&text, ", whose token stays good until: drover worker remove %s", js_text(change, "name"));
  out(c, added ? STYLE_GOOD : removed ? STYLE_BAD : STYLE_WARN, "%s", buf_str(&text));
  out_end(c);
  buf_free(&text);
}

static void show_changes(struct cli *c, const cJSON *answer)
{
  const cJSON *change;

  cJSON_ArrayForEach(change, js_get(answer, "changes"))
    show_change(c, change);
}

static void tell_errors(struct cli *c, const cJSON *answer, bool files)
{
  int count = (int)js_num(answer, "count");

  config_print_safe(js_text(answer, "diagnostics"));
  if (files)
    cli_error(c, CLI_USAGE, "the files have %d error%s: configuration %lld would stay", count, plural(count), (long long)js_num(answer, "version"));
  else
    cli_error(c, CLI_USAGE, "these can't be compared by this version of drover");
}

int cmd_config_diff(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = narg > 1 ? id_path("config/diff?from=%s&to=%s", arg[0], arg[1]) : narg ? id_path("config/diff?from=%s", arg[0]) : xstrdup("/api/v1/config/diff");
  cJSON *answer = call_get(c, path);
  int code = CLI_OK;

  (void)a;
  free(path);
  if (!answer)
    return c->code;
  if (!js_true(answer, "valid"))
    code = CLI_USAGE;
  if (c->json) {
    out_json(c);
  } else if (code) {
    tell_errors(c, answer, !narg);
  } else if (cJSON_GetArraySize(js_get(answer, "changes"))) {
    show_changes(c, answer);
  } else {
    out(c, STYLE_NONE, narg ? "they say the same" : "the files say what is active: configuration %lld", (long long)js_num(answer, "version"));
    out_end(c);
  }
  cJSON_Delete(answer);
  return code;
}

/* ---- activating ---- */

/* Is the project one whose repository is looked at anew? */
static bool is_looked_at(const cJSON *change)
{
  return str_eq(js_text(change, "kind"), "project") && !str_eq(js_text(change, "what"), "removed");
}

static const cJSON *project_of(const cJSON *projects, const char *name)
{
  const cJSON *p;

  cJSON_ArrayForEach(p, js_get(projects, "items"))
    if (str_eq(js_text(p, "name"), name))
      return p;
  return NULL;
}

static bool all_looked_at(const cJSON *answer, const cJSON *projects)
{
  const cJSON *change;

  cJSON_ArrayForEach(change, js_get(answer, "changes")) {
    const cJSON *p = is_looked_at(change) ? project_of(projects, js_text(change, "name")) : NULL;
    if (p && !js_has(p, "looked") && !js_has(p, "trouble"))
      return false;
  }
  return true;
}

/* "libfoo polled: main 77aa01e, release/1 09bc3de" */
static void show_project(struct cli *c, const cJSON *p)
{
  const cJSON *head;
  char revision[FMT_MAX];
  int n = 0;

  out(c, STYLE_BOLD, "%s", js_text(p, "name"));
  if (js_has(p, "trouble")) {
    out(c, STYLE_BAD, " can't be polled: %s", js_text(p, "trouble"));
  } else if (!js_has(p, "looked")) {
    out(c, STYLE_NONE, " is being polled: drover list projects");
  } else {
    out(c, STYLE_NONE, " polled:");
    cJSON_ArrayForEach(head, js_get(p, "heads"))
      if (n++ < HEADS_SHOWN)
        out(c, STYLE_NONE, "%s %s %s", n > 1 ? "," : "", js_text(head, "branch"), fmt_revision(js_text(head, "revision"), revision));
    if (n > HEADS_SHOWN)
      out(c, STYLE_NONE, ", and %d more branches", n - HEADS_SHOWN);
    if (!n)
      out(c, STYLE_NONE, " it has no branch that is watched");
  }
  out_end(c);
}

static void show_polled(struct cli *c, const cJSON *answer)
{
  const struct timespec pause = { .tv_nsec = LOOK_EVERY_MS * 1000000L };
  int64_t end = clock_mono_ms() + LOOK_WAIT_MS;
  cJSON *projects = NULL;
  const cJSON *change;

  do {
    cJSON_Delete(projects);
    if (call_try(c, "GET", "/api/v1/projects", NULL, &projects) != CALL_OK)
      return; /* it is active; this was only to see more */
  } while (!all_looked_at(answer, projects) && clock_mono_ms() < end && !nanosleep(&pause, NULL));
  cJSON_ArrayForEach(change, js_get(answer, "changes")) {
    const cJSON *p = is_looked_at(change) ? project_of(projects, js_text(change, "name")) : NULL;
    if (p)
      show_project(c, p);
  }
  cJSON_Delete(projects);
}

/* body: NULL or taken over. */
static int take_over(struct cli *c, const char *path, cJSON *body)
{
  cJSON *answer;
  bool ok = call_try(c, "POST", path, body, &answer) == CALL_OK;

  cJSON_Delete(body);
  if (!ok) {
    if (call_status(c) != 400)
      return call_report(c);
    config_print_safe(call_help(c));
    return cli_error(c, CLI_USAGE, "%s", call_why(c));
  }
  if (c->json) {
    out_json(c);
  } else {
    show_changes(c, answer);
    out(c, STYLE_GOOD, "configuration %lld active", (long long)js_num(answer, "version"));
    if (js_has(answer, "origin"))
      out(c, STYLE_NONE, ", as %lld was, until the files change: drover config activate takes them over", (long long)js_num(answer, "origin"));
    if (!cJSON_GetArraySize(js_get(answer, "changes")))
      out(c, STYLE_NONE, ", nothing is different");
    out_end(c);
    out_flush(c);
    show_polled(c, answer);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

int cmd_config_activate(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  (void)a, (void)arg, (void)narg;
  return take_over(c, "/api/v1/config/activate", NULL);
}

int cmd_config_rollback(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *body;
  int64_t version;

  (void)a, (void)narg;
  if (str_number(arg[0], strlen(arg[0]), &version) || !version)
    return cli_error(c, CLI_USAGE, "\"%s\" is not the number of a version (drover config history)", arg[0]);
  body = cJSON_CreateObject();
  cJSON_AddNumberToObject(body, "version", (double)version);
  return take_over(c, "/api/v1/config/rollback", body);
}

/* ---- a stub ---- */

/* The last part of a URL without .git, as a project's name. The caller frees it. */
static char *name_of(const char *url)
{
  size_t n = strlen(url);
  const char *start;
  char *name;

  while (n && url[n - 1] == '/')
    n--;
  if (n > 4 && !strncmp(url + n - 4, ".git", 4))
    n -= 4;
  for (start = url + n; start > url && start[-1] != '/' && start[-1] != ':'; start--)
    ;
  name = xstrndup(start, (size_t)(url + n - start));
  if (str_is_name(name, strlen(name)))
    return name;
  free(name);
  return xstrdup("project");
}

int cmd_config_new(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *url = arg[0], *project = args_value(a, FLAG_PROJECT);
  char *name;

  (void)narg;
  for (const char *s = url; *s; s++)
    if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr("\"'`\\<>|$;", *s))
      return cli_error(c, CLI_USAGE, "a repository's URL has no blanks, quotes, backslashes or other characters of the shell");
  if (*url == '-' || !*url)
    return cli_error(c, CLI_USAGE, "\"%s\" is not a repository's URL", url);
  if (project && !str_is_name(project, strlen(project)))
    return cli_error(c, CLI_USAGE, "a project's name has 1 to 64 letters, digits, dots, underscores and hyphens");
  name = project ? xstrdup(project) : name_of(url);
  out(c, STYLE_NONE, "projects:");
  out_end(c);
  out(c, STYLE_NONE, "  \"%s\": {git: \"%s\"}   # builds what the repository's .drover.yml says; more keys: docs/config.md", name, url);
  out_end(c);
  free(name);
  return CLI_OK;
}
