/* drover try: builds what is here and in no repository yet, as a patch on top of a revision that the repository has. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/gitwork.h"
#include "master/cli/js.h"
#include "master/cli/made.h"
#include "master/cli/props.h"
#include "master/conf/pipeline.h"

struct attempt {
  char *project, *branch, *base;
  struct buf patch;
};

static char *given(const struct args *a, enum flag_id flag)
{
  const char *value = args_value(a, flag);

  return value ? xstrdup(value) : NULL;
}

/* "origin/main" → "main": the branch at the remote that the one here follows. */
static char *upstream_branch(void)
{
  char *name = gitwork_line((const char *[]){ "rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}", NULL });
  char *slash = name ? strchr(name, '/') : NULL, *branch = slash ? xstrdup(slash + 1) : NULL;

  free(name);
  return branch;
}

static bool find_base(struct cli *c, struct attempt *t)
{
  if (!t->base)
    t->base = gitwork_line((const char *[]){ "merge-base", "HEAD", "@{upstream}", NULL });
  if (!t->branch)
    t->branch = upstream_branch();
  if (t->base && t->branch)
    return true;
  cli_error(c, CLI_USAGE, t->base ? "which branch shall it go into? Say --branch" : "the branch here follows none at a remote: say --revision, one that the repository has, and --branch");
  return false;
}

/* What differs here from the base: commits that are not pushed, and what is not committed. */
static bool diff_here(struct cli *c, struct attempt *t)
{
  struct buf others;
  int code = gitwork((const char *[]){ "diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", t->base, "--", NULL }, false, &t->patch);
  int n = 0;

  if (code) {
    cli_error(c, CLI_USAGE, code < 0 ? "git can't be run here: give the patch by --patch" : "git does not tell what differs from %.80s", t->base);
    return false;
  }
  buf_init(&others, 1u << 20);
  if (!gitwork((const char *[]){ "ls-files", "--others", "--exclude-standard", "--full-name", ":/", NULL }, true, &others))
    for (const char *s = buf_str(&others); *s; s++)
      n += *s == '\n';
  buf_free(&others);
  if (n && !c->json) {
    out_label(c, STYLE_WARN, "left out");
    out(c, STYLE_NONE, "%d file%s that git does not know: git add --intent-to-add takes %s along", n, n == 1 ? "" : "s", n == 1 ? "it" : "them");
    out_end(c);
  }
  return true;
}

static bool read_patch_file(struct cli *c, struct attempt *t, const char *path)
{
  int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(0);
  static char part[65536];
  ssize_t n = -1;

  while (fd >= 0 && (n = read(fd, part, sizeof part)) > 0 && !t->patch.failed)
    buf_add(&t->patch, part, (size_t)n);
  if (n < 0)
    cli_error(c, CLI_USAGE, "%s: %s", path, strerror(errno));
  if (fd >= 0)
    close(fd);
  return n >= 0;
}

static bool make_patch(struct cli *c, const struct args *a, struct attempt *t)
{
  const char *file = args_value(a, FLAG_PATCH);

  if (!find_base(c, t) || !(file ? read_patch_file(c, t, file) : diff_here(c, t)))
    return false;
  if (t->patch.failed)
    cli_error(c, CLI_USAGE, "the patch is larger than %u KiB: push it to a branch instead", PIPELINE_PATCH_MAX >> 10);
  else if (!t->patch.len)
    cli_error(c, CLI_USAGE, "nothing differs from %.12s: drover build builds that", t->base);
  else if (memchr(t->patch.data, 0, t->patch.len))
    cli_error(c, CLI_USAGE, "there is a NUL byte in the patch: git diff --binary writes none");
  else
    return true;
  return false;
}

/* Whether there may be a password in the address: then it is told to nobody. */
static bool has_password(const char *url)
{
  const char *host = strstr(url, "://"), *at = host ? strchr(host, '@') : NULL;

  return at && memchr(host + 3, ':', (size_t)(at - host - 3));
}

static int send(struct cli *c, const struct args *a, struct attempt *t, const char *const *builder, int n, cJSON *props)
{
  cJSON *body = cJSON_CreateObject(), *answer, *list = NULL;
  char *patch = str_base64(t->patch.data, t->patch.len), *url = NULL;
  int code;

  props_add_text(body, "project", t->project);
  props_add_text(body, "codebase", args_value(a, FLAG_CODEBASE));
  if (!args_has(a, FLAG_CODEBASE) && (url = gitwork_line((const char *[]){ "config", "remote.origin.url", NULL })) && !has_password(url))
    props_add_text(body, "repository", url); /* where the project has several, it is found by that */
  free(url);
  props_add_text(body, "branch", t->branch);
  props_add_text(body, "revision", t->base);
  props_add_text(body, "reason", args_value(a, FLAG_REASON));
  props_add_text(body, "patch", patch);
  if (n)
    list = cJSON_AddArrayToObject(body, "builders");
  for (int i = 0; i < n; i++) /* the project was taken off before */
    cJSON_AddItemToArray(list, cJSON_CreateString(strchr(builder[i], '/') ? strchr(builder[i], '/') + 1 : builder[i]));
  props_add(body, props);
  answer = props_add_at(c, a, body) ? call_send(c, "POST", "/api/v1/try", body) : NULL;
  code = answer ? made_go_on(c, a, answer) : c->code;
  cJSON_Delete(answer);
  cJSON_Delete(body);
  free(patch);
  return code;
}

/* PROJECT/BUILDER says the project too. False: told. */
static bool one_project(struct cli *c, struct attempt *t, const char *const *builder, int n)
{
  for (int i = 0; i < n; i++) {
    size_t len = strcspn(builder[i], "/");
    if (!builder[i][len])
      continue;
    if (!t->project)
      t->project = xstrndup(builder[i], len);
    if (strncmp(t->project, builder[i], len) || t->project[len]) {
      cli_error(c, CLI_USAGE, "%s is not of project %s", builder[i], t->project);
      return false;
    }
  }
  return true;
}

int cmd_try(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct attempt t = { given(a, FLAG_PROJECT), given(a, FLAG_BRANCH), given(a, FLAG_REVISION), { 0 } };
  cJSON *props = props_object(c, a);
  int code = CLI_USAGE;

  buf_init(&t.patch, PIPELINE_PATCH_MAX);
  if (props && one_project(c, &t, arg, narg)) {
    if (!t.project)
      t.project = gitwork_line((const char *[]){ "config", "drover.project", NULL });
    if (make_patch(c, a, &t)) {
      code = send(c, a, &t, arg, narg, props);
      props = NULL;
    } else {
      code = c->code;
    }
  }
  cJSON_Delete(props);
  buf_free(&t.patch);
  free(t.project);
  free(t.branch);
  free(t.base);
  return code;
}
