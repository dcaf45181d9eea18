/* drover config check: reads a pipeline, or the site's files, as the master would; needs no master. */
#include "master/cli/cmd_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/commands.h"
#include "master/cli/safe.h"
#include "master/conf/conf.h"
#include "master/conf/schema.h"

static bool read_file(struct cli *c, const char *path, struct buf *text)
{
  FILE *f = str_eq(path, "-") ? stdin : fopen(path, "r");
  size_t n;

  if (!f) {
    cli_error(c, CLI_USAGE, "%s: %s", path, strerror(errno));
    return false;
  }
  do { /* not much more than the parser takes, which says that it is too large */
    if (!buf_reserve(text, BUFSIZ))
      break;
    n = fread(text->data + text->len, 1, BUFSIZ, f);
    buf_grown(text, n);
  } while (n && text->len <= PIPELINE_TEXT_MAX);
  if (ferror(f))
    cli_error(c, CLI_USAGE, "%s: %s", path, strerror(errno));
  n = (size_t)ferror(f);
  if (f != stdin)
    fclose(f);
  return n == 0;
}

/* The name that the one builder of a file with only steps would get: the folder's, where nobody says better. */
static char *project_name(const char *file)
{
  char *full = str_eq(file, "-") ? NULL : realpath(file, NULL), *name, *slash;

  slash = full ? strrchr(full, '/') : NULL;
  if (slash)
    *slash = 0;
  slash = full ? strrchr(full, '/') : NULL;
  name = slash && str_is_name(slash + 1, strlen(slash + 1)) ? xstrdup(slash + 1) : xstrdup("project");
  free(full);
  return name;
}

void config_print_safe(const char *text)
{
  struct buf safe;
  struct safe s;

  buf_init(&safe, BUF_NO_MAX);
  safe_init(&s, false);
  safe_add(&s, text, strlen(text), &safe);
  safe_end(&s, &safe);
  fwrite(buf_str(&safe), 1, safe.len, stderr);
  buf_free(&safe);
}

void config_print_diags(const struct diags *d)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  diag_print(d, &text);
  config_print_safe(buf_str(&text));
  buf_free(&text);
}

static void summarize(struct cli *c, const char *file, const struct pipeline *p)
{
  out(c, STYLE_GOOD, "ok");
  out(c, STYLE_NONE, "  %s:", file);
  for (int i = 0, n; i < p->nbuilders; i += n) {
    const struct pipe_builder *b = pipeline_named(p, p->builders[i].base, &n);
    if (b->naxes)
      out(c, STYLE_NONE, "%s %d builder%s %s[…]", i ? "," : "", n, n == 1 ? "" : "s", b->base);
    else
      out(c, STYLE_NONE, "%s builder %s", i ? "," : "", b->name);
    out(c, STYLE_NONE, " with %d step%s", b->nsteps, b->nsteps == 1 ? "" : "s");
  }
  for (int i = 0; i < p->nschedulers; i++)
    out(c, STYLE_NONE, ", scheduler %s", p->schedulers[i].name);
  out_end(c);
}

struct pipeline *config_read_pipeline(struct cli *c, const char *file, const char *project)
{
  struct pipeline *p = NULL;
  struct diags d;
  struct buf text;
  char *name;

  buf_init(&text, BUF_NO_MAX);
  if (read_file(c, file, &text)) {
    name = project ? xstrdup(project) : project_name(file);
    diag_init(&d);
    p = pipeline_parse(file, buf_str(&text), text.len, name, &d);
    config_print_diags(&d);
    diag_free(&d);
    free(name);
  }
  buf_free(&text);
  return p;
}

char *config_read_text(struct cli *c, const char *file)
{
  struct buf text;
  bool good;

  buf_init(&text, BUF_NO_MAX);
  good = read_file(c, file, &text);
  if (good && text.len > PIPELINE_TEXT_MAX) {
    cli_error(c, CLI_USAGE, "%s is larger than %u KiB, the most that is read", file, PIPELINE_TEXT_MAX >> 10);
    good = false;
  }
  if (good)
    return buf_take(&text);
  buf_free(&text);
  return NULL;
}

static int check_pipeline(struct cli *c, const char *file, const char *project)
{
  struct pipeline *p = config_read_pipeline(c, file, project);

  if (p && !c->json)
    summarize(c, file, p);
  if (!p)
    return CLI_USAGE;
  pipeline_free(p);
  return CLI_OK;
}

/* ---- the site's files ---- */

char *config_site_of(const char *file, bool sure)
{
  const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
  char *folder, *up, *top;

  if (str_eq(name, "master.yaml"))
    return xstrdup(file);
  folder = slash ? xstrndup(file, (size_t)(slash - file)) : xstrdup(".");
  up = strrchr(folder, '/');
  if (str_eq(up ? up + 1 : folder, "conf.d")) {
    if (up)
      up[1] = 0;
    top = xasprintf("%smaster.yaml", up ? folder : "");
  } else {
    top = sure ? xstrdup(file) : NULL;
  }
  free(folder);
  return top;
}

static int check_site(struct cli *c, const char *file)
{
  struct diags d;
  struct conf *conf;
  int code = CLI_USAGE;

  diag_init(&d);
  conf = conf_load(file, &d);
  config_print_diags(&d);
  if (conf && !c->json) {
    out(c, STYLE_GOOD, "ok");
    out(c, STYLE_NONE, "  %s: %d project%s, %d worker%s", file, conf->nprojects, conf->nprojects == 1 ? "" : "s", conf->nworkers, conf->nworkers == 1 ? "" : "s");
    out_end(c);
  }
  if (conf)
    code = CLI_OK;
  conf_free(conf);
  diag_free(&d);
  return code;
}

int cmd_config_schema(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *text;

  (void)a;
  if (narg && !str_eq(arg[0], "pipeline") && !str_eq(arg[0], "site"))
    return cli_error(c, CLI_USAGE, "there is a schema of a \"pipeline\" and one of the \"site\", but none of \"%s\"", arg[0]);
  text = schema_json(narg && str_eq(arg[0], "site") ? SCHEMA_SITE : SCHEMA_PIPELINE);
  out_bytes(c, text, strlen(text));
  out_bytes(c, "\n", 1);
  free(text);
  return CLI_OK;
}

int cmd_config_check(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *file = narg ? arg[0] : args_has(a, FLAG_SITE) ? CONFIG_SITE : PIPELINE_FILE;
  char *site = config_site_of(file, args_has(a, FLAG_SITE));
  int code = site ? check_site(c, site) : check_pipeline(c, file, args_value(a, FLAG_PROJECT));

  free(site);
  return code;
}
