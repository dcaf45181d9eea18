/* drover config check FILE: reads a pipeline as the master would; needs no master. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/commands.h"
#include "master/cli/safe.h"
#include "master/core/pipeline.h"

static bool read_file(struct cli *c, const char *path, struct buf *text)
{
  FILE *f = str_eq(path, "-") ? stdin : fopen(path, "r");
  size_t n;

  if (!f) {
    cli_error(c, CLI_USAGE, "%s: %s", path, strerror(errno));
    return false;
  }
  do {
    if (!buf_reserve(text, BUFSIZ))
      break;
    n = fread(text->data + text->len, 1, BUFSIZ, f);
    buf_grown(text, n);
  } while (n);
  if (ferror(f))
    cli_error(c, CLI_USAGE, "%s: %s", path, strerror(errno));
  else if (text->failed)
    cli_error(c, CLI_USAGE, "%s is larger than %u KB", path, PIPELINE_TEXT_MAX / 1000);
  n = (size_t)(ferror(f) || text->failed);
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

static void print_diags(const struct diags *d)
{
  struct buf text, safe;
  struct safe s;

  buf_init(&text, BUF_NO_MAX);
  buf_init(&safe, BUF_NO_MAX);
  diag_print(d, &text);
  safe_init(&s, false);
  safe_add(&s, buf_str(&text), text.len, &safe);
  safe_end(&s, &safe);
  fwrite(buf_str(&safe), 1, safe.len, stderr);
  buf_free(&safe);
  buf_free(&text);
}

static void summarize(struct cli *c, const char *file, const struct pipeline *p)
{
  out(c, STYLE_GOOD, "ok");
  out(c, STYLE_NONE, "  %s:", file);
  for (int i = 0; i < p->nbuilders; i++)
    out(c, STYLE_NONE, "%s builder %s with %d step%s", i ? "," : "", p->builders[i].name, p->builders[i].nsteps,
        p->builders[i].nsteps == 1 ? "" : "s");
  for (int i = 0; i < p->nschedulers; i++)
    out(c, STYLE_NONE, ", scheduler %s", p->schedulers[i].name);
  out_end(c);
}

int cmd_config_check(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  const char *file = arg[0], *project = args_value(a, FLAG_PROJECT);
  struct pipeline *p = NULL;
  struct diags d;
  struct buf text;
  char *name;
  int code = CLI_USAGE;

  (void)narg;
  buf_init(&text, PIPELINE_TEXT_MAX + BUFSIZ);
  if (read_file(c, file, &text)) {
    name = project ? xstrdup(project) : project_name(file);
    diag_init(&d);
    p = pipeline_parse(file, buf_str(&text), text.len, name, &d);
    print_diags(&d);
    if (p && !c->json)
      summarize(c, file, p);
    code = p ? CLI_OK : CLI_USAGE;
    pipeline_free(p);
    diag_free(&d);
    free(name);
  }
  buf_free(&text);
  return code;
}
