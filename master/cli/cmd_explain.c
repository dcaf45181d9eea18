/* drover config explain: what counts for a builder, and from which line of which file; of a file, or through the master. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/cmd_config.h"
#include "master/cli/commands.h"
#include "master/cli/ids.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/table.h"
#include "master/conf/conf.h"
#include "master/conf/pipe_explain.h"

/* {builder, keys} */
static void print_keys(struct cli *c, const cJSON *o)
{
  static const struct column columns[] = { { "STEP", 0 }, { "KEY", 0 }, { "VALUE", TABLE_FLEX }, { "WHERE", 0 }, { "FROM", 0 } };
  struct table *t = table_new(columns, COUNT(columns));
  const char *before = "";
  const cJSON *r;

  cJSON_ArrayForEach(r, js_get(o, "keys")) {
    const char *step = js_text(r, "step");
    table_cell(t, STYLE_BOLD, strcmp(step, before) ? step : " ");
    table_cell(t, STYLE_NONE, js_text(r, "key"));
    table_cell(t, STYLE_NONE, js_text(r, "value"));
    if (js_has(r, "file"))
      table_cellf(t, STYLE_NONE, "%s:%lld", js_text(r, "file"), (long long)js_num(r, "line"));
    else
      table_cell(t, STYLE_NONE, "");
    table_cell(t, STYLE_DIM, js_text(r, "from"));
    before = step;
  }
  lines_all_of(c, t);
}

/* name: NULL where the pipeline has only one. */
static int explain(struct cli *c, const struct pipeline *p, const char *name, const char *where)
{
  const struct pipe_builder *b = p->builders;
  int n = p->nbuilders;
  cJSON *o;

  if (name)
    b = pipeline_named(p, name, &n);
  if (!n)
    return cli_error(c, CLI_USAGE, "%s has no builder \"%s\"", where, name);
  if (n > 1) {
    cli_error(c, CLI_USAGE, "%s \"%s\" stands for %d builders: say which, such as \"%s\"", name ? "the name" : "the file", name ? name : where, n, b->name);
    return CLI_USAGE;
  }
  o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "builder", b->name);
  cJSON_AddItemToObject(o, "keys", explain_json(p, b));
  if (c->json) {
    out_json_line(c, "explain", o);
  } else {
    out(c, STYLE_BOLD, "%s", b->name);
    out_end(c);
    print_keys(c, o);
  }
  cJSON_Delete(o);
  return CLI_OK;
}

/* ---- through the master ---- */

/* "  configuration 7, .drover.yml of main at a1b2c3d" */
static void print_source(struct cli *c, const cJSON *o)
{
  char revision[FMT_MAX];

  out(c, STYLE_BOLD, "%s", js_text(o, "builder"));
  out(c, STYLE_NONE, "  configuration %lld", (long long)js_num(o, "version"));
  if (js_has(o, "revision"))
    out(c, STYLE_NONE, ", .drover.yml of %s at %s", *js_text(o, "branch") ? js_text(o, "branch") : "the revision", fmt_revision(js_text(o, "revision"), revision));
  out_end(c);
}

/* name: PROJECT/BUILDER, BUILDER, or a build of it. */
static int explain_running(struct cli *c, const char *name, const char *branch)
{
  struct cli_id id;
  char *builder, *path;
  cJSON *answer;

  if (!id_parse(name, &id) || (id.kind != ID_BUILD && id.kind != ID_BUILDER && id.kind != ID_NAME))
    return cli_error(c, CLI_USAGE, "\"%s\" is no file, and can't be a builder or a build", name);
  builder = id.kind == ID_BUILD && *id.project ? xasprintf("%s/%s", id.project, id.builder) : call_builder(c, id.kind == ID_BUILD ? id.builder : name);
  if (!builder)
    return c->code;
  if (id.kind == ID_BUILD)
    path = id_path("config/explain/%p?number=%s", builder, id.number);
  else
    path = branch ? id_path("config/explain/%p?branch=%s", builder, branch) : id_path("config/explain/%p", builder);
  answer = call_get(c, path);
  free(path);
  free(builder);
  if (!answer)
    return c->code;
  if (c->json) {
    out_json(c);
  } else {
    print_source(c, answer);
    print_keys(c, answer);
  }
  cJSON_Delete(answer);
  return CLI_OK;
}

/* ---- from the site's files ---- */

/* name: PROJECT/BUILDER. */
static int explain_site(struct cli *c, const char *file, const char *name)
{
  const char *slash = name ? strchr(name, '/') : NULL;
  const struct conf_project *project = NULL;
  int code = CLI_USAGE;
  struct conf *conf;
  struct diags d;

  if (!slash)
    return cli_error(c, CLI_USAGE, "which builder of the site? PROJECT/BUILDER");
  diag_init(&d);
  conf = conf_load(file, &d);
  config_print_diags(&d);
  if (conf) {
    char *of = xstrndup(name, (size_t)(slash - name));
    project = conf_project(conf, of);
    if (!project)
      code = cli_error(c, CLI_USAGE, "%s has no project \"%s\"", file, of);
    else if (!project->pipeline)
      code = cli_error(c, CLI_USAGE, "the pipeline of project %s is in its repository: drover config explain " PIPELINE_FILE " there, or without a file through the master", of);
    else
      code = explain(c, project->pipeline, slash + 1, name);
    free(of);
  }
  conf_free(conf);
  diag_free(&d);
  return code;
}

int cmd_config_explain(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *builder = narg > 1 ? arg[1] : NULL;
  struct pipeline *p;
  char *site;
  int code;

  if (narg == 1 && access(arg[0], F_OK))
    return args_has(a, FLAG_SITE) ? explain_site(c, CONFIG_SITE, arg[0]) : explain_running(c, arg[0], args_value(a, FLAG_BRANCH));
  site = config_site_of(arg[0], args_has(a, FLAG_SITE));
  if (site) {
    code = explain_site(c, site, builder);
    free(site);
    return code;
  }
  p = config_read_pipeline(c, arg[0], args_value(a, FLAG_PROJECT));
  code = p ? explain(c, p, builder, arg[0]) : CLI_USAGE;
  pipeline_free(p);
  return code;
}
