/* drover show ID: all that is known about one thing, of whatever kind. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/list.h"
#include "master/cli/show.h"
#include "master/cli/show_build.h"
#include "master/cli/table.h"
#include "master/cli/work.h"

#define SHOW_BUILDS 10 /* of a builder */

/* "needs     r3 libfoo/linux[gcc]  success" */
static void needs_lines(struct cli *c, const cJSON *r)
{
  const cJSON *n;

  cJSON_ArrayForEach(n, js_get(r, "needs")) {
    bool done = str_eq(js_text(n, "state"), "done");
    out_label(c, STYLE_DIM, n->prev && n->prev->next ? "" : "needs");
    out(c, STYLE_NONE, "%s  %s%s  ", js_text(n, *js_text(n, "build") ? "build" : "builder"), js_text(n, "request"), cJSON_IsTrue(js_get(n, "soft")) ? ", however it ends" : "");
    out(c, done ? fmt_result_style(js_result(n)) : STYLE_BUSY, "%s", done ? fmt_result(js_result(n)) : js_text(n, "state"));
    out_end(c);
  }
}

static void show_request(struct cli *c, const cJSON *r)
{
  lines_head(c, r, js_text(r, "id"));
  out(c, STYLE_NONE, "  %s/%s", js_text(r, "project"), js_text(r, "builder"));
  out_end(c);
  lines_text(c, "why", js_text(r, "why"));
  lines_text(c, "because", js_text(r, "reason"));
  lines_source(c, r);
  lines_text(c, "buildset", js_text(r, "buildset"));
  lines_join(c, "tags", r, "tags", " ");
  lines_join(c, "wants", r, "wants", " and ");
  lines_text(c, "reported by", js_text(r, "reported_by"));
  needs_lines(c, r);
  lines_text(c, "part of", js_text(r, "collapsed_into"));
  lines_join(c, "stands for", r, "stands_for", " ");
  lines_f(c, "priority", "%lld", (long long)js_num(r, "priority"));
  lines_join(c, "builds", r, "builds", " ");
  lines_time(c, "made", js_num(r, "created"));
  lines_time(c, "claimed", js_num(r, "claimed"));
  lines_time(c, "ended", js_num(r, "finished"));
}

/* "s12, triggered by p/b/3:go; s7, built again" */
static void lineage_line(struct cli *c, const cJSON *s)
{
  const cJSON *it;
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  cJSON_ArrayForEach(it, js_get(s, "lineage")) {
    const char *how = js_text(it, "how");
    buf_addf(&b, "%s%s, %s", b.len ? "; " : "", js_text(it, "buildset"), str_eq(how, "rerun") ? "built again" : how);
    if (js_has(it, "build"))
      buf_addf(&b, " by %s:%s", js_text(it, "build"), js_text(it, "step"));
  }
  lines_text(c, "set of", buf_str(&b));
  buf_free(&b);
}

/* The revisions of several codebases, and why each is there. */
static void show_set(struct cli *c, const cJSON *o)
{
  static const struct column columns[] = { { "CODEBASE", 0 }, { "BRANCH", TABLE_FLEX }, { "REVISION", TABLE_FLEX }, { "WHY", TABLE_FLEX } };
  struct table *t = table_new(columns, COUNT(columns));
  const cJSON *it;

  cJSON_ArrayForEach(it, js_get(o, "stamps")) {
    table_cell(t, STYLE_BOLD, js_text(it, "codebase"));
    table_cell(t, STYLE_NONE, js_text(it, "branch"));
    table_cell(t, STYLE_NONE, js_text(it, "revision"));
    table_cell(t, STYLE_NONE, js_text(it, "why"));
  }
  lines_table(c, t);
}

static void show_buildset(struct cli *c, const cJSON *s)
{
  char size[FMT_MAX];

  lines_head(c, s, js_text(s, "id"));
  out_end(c);
  lines_text(c, "because", js_text(s, "reason"));
  lines_text(c, "scheduler", js_text(s, "scheduler"));
  lines_text(c, "who", js_text(s, "who"));
  lines_parent(c, s);
  lineage_line(c, s);
  lines_text(c, "project", js_text(s, "project"));
  if (!js_has(s, "stamps"))
    lines_source(c, s);
  lines_join(c, "changes", s, "changes", " ");
  if (js_has(s, "patch"))
    lines_f(c, "patch", "%s on top of it: /api/v1/buildsets/%s/patch", fmt_size(js_num(s, "patch.bytes"), size), js_text(s, "id"));
  lines_time(c, "made", js_num(s, "created"));
  lines_time(c, "ended", js_num(s, "finished"));
  show_set(c, s);
  list_table(c, "requests", js_get(s, "requests"));
}

static void show_change(struct cli *c, const cJSON *h)
{
  char *of = show_change_of(h);

  out(c, STYLE_BOLD, "%s  ", js_text(h, "id"));
  out(c, STYLE_NONE, "%s%s%s %s %s", js_text(h, "project"), js_has(h, "codebase") ? "/" : "", js_text(h, "codebase"), of, js_text(h, "revision"));
  out_end(c);
  free(of);
  lines_text(c, "author", js_text(h, "author"));
  if (strcmp(js_text(h, "committer"), js_text(h, "author")))
    lines_text(c, "committer", js_text(h, "committer"));
  lines_text(c, "category", js_text(h, "category"));
  lines_text(c, "told by", js_text(h, "told_by"));
  lines_text(c, "before", js_text(h, "previous"));
  lines_text(c, "state", js_text(h, "state"));
  lines_text(c, "error", js_text(h, "error"));
  lines_text(c, "why", js_text(h, "why"));
  lines_time(c, "seen", js_num(h, "created"));
  lines_join(c, "buildsets", h, "buildsets", " ");
  out_block(c, 4, js_text(h, "message"));
  lines_join(c, "files", h, "files", ", ");
  show_set(c, h);
}

static int show_builder(struct cli *c, cJSON *builder)
{
  char *id = xasprintf("%s/%s", js_text(builder, "project"), js_text(builder, "name"));
  char *path = xasprintf("/api/v1/builds?limit=%d&builder=", SHOW_BUILDS), *full;
  struct buf encoded;
  cJSON *builds;

  buf_init(&encoded, BUF_NO_MAX);
  id_encode(&encoded, id);
  full = xasprintf("%s%s", path, buf_str(&encoded));
  buf_free(&encoded);
  builds = c->json ? NULL : call_get(c, full);
  if (c->json) {
    char *json = cJSON_PrintUnformatted(builder);
    buf_reset(&c->text);
    buf_adds(&c->text, json ? json : "null");
    free(json);
    out_json(c);
  } else if (builds) {
    out(c, STYLE_BOLD, "%s", id);
    out(c, STYLE_NONE, "  %d running, %lld waiting", cJSON_GetArraySize(js_get(builder, "running")), (long long)js_num(builder, "pending"));
    out_end(c);
    if (cJSON_GetArraySize(js_get(builds, "items")))
      list_table(c, "builds", js_get(builds, "items"));
  }
  free(full);
  free(path);
  free(id);
  if (!builds && !c->json)
    return c->code;
  cJSON_Delete(builds);
  return CLI_OK;
}

static int tell_worker(struct cli *c, cJSON *w)
{
  if (c->json)
    out_json(c);
  else
    worker_show(c, w);
  cJSON_Delete(w);
  return CLI_OK;
}

/* A worker of that name, else a builder. */
static int show_name(struct cli *c, const char *name)
{
  char *path = id_path("workers/%s", name);
  cJSON *answer, *builder;
  enum call_result r = call_try(c, "GET", path, NULL, &answer);
  int code;

  free(path);
  if (r == CALL_OK)
    return tell_worker(c, answer);
  if (call_status(c) != 404)
    return call_report(c);
  builder = call_find_builder(c, name);
  if (!builder && !c->code)
    return cli_error(c, CLI_USAGE, "there is no worker and no builder \"%s\"", name);
  code = builder ? show_builder(c, builder) : c->code;
  cJSON_Delete(builder);
  return code;
}

static int show_found(struct cli *c, char *path, void (*show)(struct cli *c, const cJSON *o))
{
  cJSON *o = call_get(c, path);

  free(path);
  if (!o)
    return c->code;
  if (c->json)
    out_json(c);
  else
    show(c, o);
  cJSON_Delete(o);
  return CLI_OK;
}

int cmd_show(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct cli_id id;
  cJSON *o;
  int code;

  (void)narg;
  c->all = args_has(a, FLAG_ALL);
  if (!id_parse(arg[0], &id))
    return cli_error(c, CLI_USAGE, "\"%s\" is no id: libfoo/linux/42, linux/last:test, r118, s77, c991, a builder or a worker", arg[0]);
  switch (id.kind) {
  case ID_BUILD:
    return show_found(c, id_path("builds/%p", id.text), show_build);
  case ID_REQUEST:
    return show_found(c, id_path("requests/%s", id.text), show_request);
  case ID_BUILDSET:
    return show_found(c, id_path("buildsets/%s", id.text), show_buildset);
  case ID_CHANGE:
    return show_found(c, id_path("changes/%s", id.text), show_change);
  case ID_NAME:
    return show_name(c, id.text);
  case ID_STEP:
    if (!(o = call_build(c, &id)))
      return c->code;
    code = show_step(c, o, id.step);
    break;
  default:
    o = call_find_builder(c, id.text);
    if (!o)
      return c->code ? c->code : cli_error(c, CLI_USAGE, "there is no builder \"%s\"; see: drover list builders", id.text);
    code = show_builder(c, o);
    break;
  }
  cJSON_Delete(o);
  return code;
}

int cmd_last(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *id = xasprintf("%s/last", arg[0]);
  const char *ids[] = { id };
  int code = cmd_show(c, a, ids, narg);

  free(id);
  return code;
}
