/* drover config explain: what counts for a builder, and from which line of which file. Needs no master. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/cmd_config.h"
#include "master/cli/commands.h"
#include "master/cli/table.h"
#include "master/conf/conf.h"
#include "master/conf/pipe_explain.h"

static void print_table(struct cli *c, const struct explain *x)
{
  static const struct column columns[] = { { "STEP", 0 }, { "KEY", 0 }, { "VALUE", TABLE_FLEX }, { "WHERE", 0 }, { "FROM", 0 } };
  struct table *t = table_new(columns, COUNT(columns));
  const char *before = NULL;
  struct buf text;

  for (int i = 0; i < x->n; i++) {
    const struct explain_row *r = &x->v[i];
    table_cell(t, STYLE_BOLD, r->step && r->step != before ? r->step : " ");
    table_cell(t, STYLE_NONE, r->key);
    table_cell(t, STYLE_NONE, r->value);
    if (r->file)
      table_cellf(t, STYLE_NONE, "%s:%d", r->file, r->line);
    else
      table_cell(t, STYLE_NONE, "");
    table_cell(t, STYLE_DIM, r->from);
    before = r->step;
  }
  buf_init(&text, BUF_NO_MAX);
  table_print(t, c->width, c->color, &text);
  out_bytes(c, buf_str(&text), text.len);
  buf_free(&text);
  table_free(t);
}

static void print_json(struct cli *c, const struct pipe_builder *b, const struct explain *x)
{
  cJSON *o = cJSON_CreateObject(), *list;

  cJSON_AddStringToObject(o, "builder", b->name);
  list = cJSON_AddArrayToObject(o, "keys");
  for (int i = 0; i < x->n; i++) {
    const struct explain_row *r = &x->v[i];
    cJSON *it = cJSON_CreateObject();
    cJSON_AddItemToObject(it, "step", r->step ? cJSON_CreateString(r->step) : cJSON_CreateNull());
    cJSON_AddStringToObject(it, "key", r->key);
    cJSON_AddStringToObject(it, "value", r->value);
    cJSON_AddItemToObject(it, "file", r->file ? cJSON_CreateString(r->file) : cJSON_CreateNull());
    cJSON_AddItemToObject(it, "line", r->file ? cJSON_CreateNumber(r->line) : cJSON_CreateNull());
    cJSON_AddStringToObject(it, "from", r->from);
    cJSON_AddItemToArray(list, it);
  }
  out_json_line(c, "explain", o);
  cJSON_Delete(o);
}

/* name: NULL where the pipeline has only one. */
static int explain(struct cli *c, const struct pipeline *p, const char *name, const char *where)
{
  const struct pipe_builder *b = p->builders;
  struct explain x;
  int n = p->nbuilders;

  if (name)
    b = pipeline_named(p, name, &n);
  if (!n)
    return cli_error(c, CLI_USAGE, "%s has no builder \"%s\"", where, name);
  if (n > 1) {
    cli_error(c, CLI_USAGE, "%s \"%s\" stands for %d builders: say which, such as \"%s\"", name ? "the name" : "the file", name ? name : where, n, b->name);
    return CLI_USAGE;
  }
  x = explain_builder(b);
  if (c->json) {
    print_json(c, b, &x);
  } else {
    out(c, STYLE_BOLD, "%s", b->name);
    out_end(c);
    print_table(c, &x);
  }
  explain_free(&x);
  return CLI_OK;
}

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
      code = cli_error(c, CLI_USAGE, "the pipeline of project %s is in its repository: drover config explain " PIPELINE_FILE " there", of);
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

  if (narg == 1 && strchr(arg[0], '/') && access(arg[0], F_OK))
    return explain_site(c, CONFIG_SITE, arg[0]);
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
