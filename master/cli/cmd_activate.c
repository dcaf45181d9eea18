/* drover config diff, activate, show, history, new: the running master's configuration. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/cmd_config.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/table.h"

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

int cmd_config_diff(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *answer = call_get(c, "/api/v1/config/diff");
  int code = CLI_OK, count;

  (void)a, (void)arg, (void)narg;
  if (!answer)
    return c->code;
  count = (int)js_num(answer, "count");
  if (!js_true(answer, "valid"))
    code = CLI_USAGE;
  if (c->json) {
    out_json(c);
  } else if (code) {
    config_print_safe(js_text(answer, "diagnostics"));
    cli_error(c, code, "the files have %d error%s: configuration %lld would stay", count, plural(count), (long long)js_num(answer, "version"));
  } else if (!cJSON_GetArraySize(js_get(answer, "changes"))) {
    out(c, STYLE_NONE, "the files say what is active: configuration %lld", (long long)js_num(answer, "version"));
    out_end(c);
  } else {
    show_changes(c, answer);
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

int cmd_config_activate(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  cJSON *answer;

  (void)a, (void)arg, (void)narg;
  if (call_try(c, "POST", "/api/v1/config/activate", NULL, &answer) != CALL_OK) {
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
    if (!cJSON_GetArraySize(js_get(answer, "changes")))
      out(c, STYLE_NONE, ", nothing is different");
    out_end(c);
    out_flush(c);
    show_polled(c, answer);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

/* ---- versions ---- */

int cmd_config_show(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = narg ? id_path("config?version=%s", arg[0]) : xstrdup("/api/v1/config");
  cJSON *answer = call_get(c, path);

  (void)a;
  free(path);
  if (!answer)
    return c->code;
  if (c->json)
    out_json(c);
  else
    out_block(c, 0, js_text(answer, "text"));
  cJSON_Delete(answer);
  return CLI_OK;
}

int cmd_config_history(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  static const struct column columns[] = { { "VERSION", TABLE_RIGHT }, { "", 0 }, { "MADE", 0 }, { "LAST ACTIVATED", 0 }, { "SIZE", TABLE_RIGHT } };
  const char *limit = args_value(a, FLAG_LIMIT);
  char *path = limit ? id_path("config/history?limit=%s", limit) : xstrdup("/api/v1/config/history"), time[FMT_MAX];
  cJSON *answer = call_get(c, path);
  const cJSON *v;
  struct table *t;
  struct buf text;

  (void)arg, (void)narg;
  free(path);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
    cJSON_Delete(answer);
    return CLI_OK;
  }
  t = table_new(columns, COUNT(columns));
  cJSON_ArrayForEach(v, js_get(answer, "items")) {
    table_cellf(t, STYLE_BOLD, "%lld", (long long)js_num(v, "version"));
    table_cell(t, STYLE_GOOD, js_true(v, "active") ? "active" : "");
    table_cell(t, STYLE_NONE, fmt_date(js_num(v, "created"), time));
    table_cell(t, STYLE_NONE, fmt_date(js_num(v, "activated"), time));
    table_cell(t, STYLE_NONE, fmt_size(js_num(v, "size"), time));
  }
  buf_init(&text, BUF_NO_MAX);
  table_print(t, c->width, c->color, &text);
  out_bytes(c, buf_str(&text), text.len);
  buf_free(&text);
  table_free(t);
  cJSON_Delete(answer);
  return CLI_OK;
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
