/* drover show ID: all that is known about one thing, of whatever kind. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/list.h"
#include "master/cli/show.h"
#include "master/cli/work.h"
#include "master/cli/table.h"

#define SHOW_BUILDS 10 /* of a builder */

static void line(struct cli *c, const char *label, const char *text)
{
  if (!*text)
    return;
  out_label(c, STYLE_DIM, label);
  out(c, STYLE_NONE, "%s", text);
  out_end(c);
}

printf_like(3, 4) static void linef(struct cli *c, const char *label, const char *fmt, ...)
{
  va_list ap;
  char *text;

  va_start(ap, fmt);
  text = xvasprintf(fmt, ap);
  va_end(ap);
  line(c, label, text);
  free(text);
}

static void time_line(struct cli *c, const char *label, int64_t at)
{
  char date[FMT_MAX], ago[FMT_MAX];

  if (at > 0)
    linef(c, label, "%s (%s)", fmt_date(at, date), fmt_ago(at, clock_wall_ms(), ago));
}

static void join_line(struct cli *c, const char *label, const cJSON *o, const char *path, const char *between)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  js_join(o, path, between, &text);
  line(c, label, buf_str(&text));
  buf_free(&text);
}

static void head(struct cli *c, const cJSON *o, const char *id)
{
  int result = js_result(o);

  out(c, STYLE_BOLD, "%s  ", id);
  out(c, fmt_result_style(result), "%s", result == FMT_NO_RESULT ? js_text(o, "state") : fmt_result(result));
}

static void source_line(struct cli *c, const cJSON *o)
{
  const char *got = js_text(o, "got_revision"), *revision = *got ? got : js_text(o, "revision");

  linef(c, "source", "%s%s%s", js_text(o, "branch"), *js_text(o, "branch") ? " " : "", *revision ? revision : "(its tip)");
}

static void print_table(struct cli *c, struct table *t)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  if (table_rows(t))
    table_print(t, c->width, c->color, &text);
  out_bytes(c, buf_str(&text), text.len);
  buf_free(&text);
  table_free(t);
}

static void show_steps(struct cli *c, const cJSON *build)
{
  static const struct column columns[] = {
    { "STEP", 0 }, { "RESULT", 0 }, { "TIME", TABLE_RIGHT }, { "LOG", TABLE_RIGHT }, { "SUMMARY", TABLE_FLEX } };
  struct table *t = table_new(columns, COUNT(columns));
  const cJSON *step;
  char text[FMT_MAX];
  int hidden = 0;

  cJSON_ArrayForEach(step, js_get(build, "steps"))
  {
    int result = js_result(step);
    char *summary;
    if (js_true(step, "hidden") && !c->all) {
      hidden++;
      continue;
    }
    summary = show_step_summary(step);
    table_cell(t, STYLE_BOLD, js_text(step, "name"));
    table_cell(t, fmt_result_style(result), result == FMT_NO_RESULT ? js_text(step, "state") : fmt_result(result));
    table_cell(t, STYLE_NONE, fmt_duration(js_duration(step, clock_wall_ms()), text));
    table_cell(t, STYLE_NONE, fmt_size(show_step_bytes(step).length, text));
    table_cell(t, STYLE_NONE, summary);
    free(summary);
  }
  print_table(c, t);
  if (hidden) {
    out(c, STYLE_DIM, "%d hidden: drover show --all %s", hidden, js_text(build, "id"));
    out_end(c);
  }
}

/* Which build triggered it. */
static void parent_line(struct cli *c, const cJSON *o)
{
  if (js_has(o, "parent"))
    linef(c, "parent", "%s:%s%s", js_text(o, "parent.build"), js_text(o, "parent.step"), cJSON_IsTrue(js_get(o, "parent.waits")) ? ", which waits for it" : "");
}

/* "triggered  s12 nightly  success  libfoo/linux/41" */
static void triggered_lines(struct cli *c, const cJSON *step)
{
  const cJSON *s, *r;

  cJSON_ArrayForEach(s, js_get(step, "triggered")) {
    bool over = str_eq(js_text(s, "state"), "done");
    out_label(c, STYLE_DIM, s->prev && s->prev->next ? "" : "triggered");
    out(c, STYLE_NONE, "%s%s%s  ", js_text(s, "id"), *js_text(s, "scheduler") ? " " : "", js_text(s, "scheduler"));
    out(c, over ? fmt_result_style(js_result(s)) : STYLE_BUSY, "%s", over ? fmt_result(js_result(s)) : js_text(s, "state"));
    cJSON_ArrayForEach(r, js_get(s, "requests"))
      out(c, STYLE_NONE, "  %s", js_text(r, *js_text(r, "build") ? "build" : "builder"));
    out_end(c);
  }
  cJSON_ArrayForEach(s, js_get(step, "asking")) {
    struct buf names;
    buf_init(&names, BUF_NO_MAX);
    js_join(s, "builders", ", ", &names);
    out_label(c, STYLE_DIM, "triggers");
    out(c, STYLE_NONE, "%s of project %s%s%s  ", buf_str(&names), js_text(s, "project"), *js_text(s, "branch") ? ", branch " : "", js_text(s, "branch"));
    out(c, cJSON_IsTrue(js_get(s, "refused")) ? STYLE_BAD : STYLE_BUSY, "%s", cJSON_IsTrue(js_get(s, "refused")) ? "refused" : "about to be asked for");
    out(c, STYLE_NONE, "%s%s", *js_text(s, "why") ? ": " : "", js_text(s, "why"));
    out_end(c);
    buf_free(&names);
  }
}

/* Of several codebases what of each: as it was checked out, else as it was asked for. */
static void show_stamps(struct cli *c, const cJSON *b)
{
  static const struct column columns[] = { { "CODEBASE", 0 }, { "BRANCH", 0 }, { "REVISION", 0 }, { "WHY", TABLE_FLEX } };
  struct table *t = table_new(columns, COUNT(columns));
  const cJSON *it;
  char text[FMT_MAX];

  cJSON_ArrayForEach(it, js_get(b, "stamps"))
  {
    const char *got = js_text(it, "got_revision"), *revision = *got ? got : js_text(it, "revision");
    table_cell(t, STYLE_BOLD, js_text(it, "codebase"));
    table_cell(t, STYLE_NONE, js_text(it, "branch"));
    table_cell(t, STYLE_NONE, *revision ? fmt_revision(revision, text) : "(its tip)");
    table_cell(t, STYLE_NONE, js_text(it, "why"));
  }
  print_table(c, t);
}

/* What it reported: properties, links, or why nothing of it was taken. */
static void report_lines(struct cli *c, const cJSON *step)
{
  const cJSON *it, *first = js_get(step, "report.properties");
  const char *trouble = js_text(step, "report.trouble");
  struct buf text;

  cJSON_ArrayForEach(it, first) {
    buf_init(&text, BUF_NO_MAX);
    js_add(first, it->string, &text);
    linef(c, it == first->child ? "reported" : "", "%s = %s", it->string, buf_str(&text));
    buf_free(&text);
  }
  cJSON_ArrayForEach(it, js_get(step, "report.stamps"))
    linef(c, "made", "%s %s%s%s", js_text(it, "codebase"), js_text(it, "revision"), *js_text(it, "branch") ? " on " : "", js_text(it, "branch"));
  cJSON_ArrayForEach(it, js_get(step, "report.links"))
    linef(c, "link", "%s  %s", js_text(it, "name"), js_text(it, "url"));
  join_line(c, "builders", step, "report.nodes", " ");
  if (strchr(trouble, '\n')) { /* diagnostics */
    linef(c, "warning", "%s: its report was left out:", js_text(step, "name"));
    out_block(c, 2, trouble);
  } else if (*trouble) {
    linef(c, "warning", "%s: its report was left out: %s", js_text(step, "name"), trouble);
  }
}

/* Each with the first line of what it says; what the list is counted from behind them. */
static void changes_lines(struct cli *c, const cJSON *b)
{
  const cJSON *changes = js_get(b, "changes"), *h;
  long long more = (long long)js_num(b, "changes_count") - cJSON_GetArraySize(changes);

  cJSON_ArrayForEach(h, changes)
  {
    const char *message = js_text(h, "message");
    linef(c, h == changes->child ? "changes" : "", "%s %.*s (%s)", js_text(h, "id"), (int)strcspn(message, "\n"), message, js_text(h, "author"));
  }
  if (more > 0)
    linef(c, "", "… and %lld older ones since %s", more, js_text(b, "since"));
  else if (*js_text(b, "since"))
    linef(c, "", "all since %s", js_text(b, "since"));
}

static void left_line(struct cli *c, const cJSON *step)
{
  char *left = show_left_out(step);

  if (left)
    linef(c, "output", "%s: %s", js_text(step, "name"), left);
  free(left);
}

/* Logs of files that its command wrote. */
static void file_lines(struct cli *c, const cJSON *build, const cJSON *step)
{
  char length[FMT_MAX], left[FMT_MAX];
  const cJSON *log;

  cJSON_ArrayForEach(log, js_get(step, "logs"))
  {
    int64_t bytes = js_num(log, "left_bytes");
    if (!js_num(log, "stream") || !js_num(log, "length"))
      continue;
    linef(c, "log", "%s %s%s%s: drover log %s:%s --log %s", js_text(log, "name"), fmt_size(js_num(log, "length"), length), bytes ? ", left out " : "", bytes ? fmt_size(bytes, left) : "", js_text(build, "id"),
          js_text(step, "name"), js_text(log, "name"));
  }
}

static void show_build(struct cli *c, const cJSON *b)
{
  struct show_bytes bytes = show_build_bytes(b);
  const cJSON *step;
  char time[FMT_MAX], length[FMT_MAX], stored[FMT_MAX];

  head(c, b, js_text(b, "id"));
  out(c, STYLE_NONE, "  %s %s", js_done(b) ? "in" : "for", fmt_duration(js_duration(b, clock_wall_ms()), time));
  if (js_num(b, "attempt") > 1)
    out(c, STYLE_NONE, ", attempt %lld", (long long)js_num(b, "attempt"));
  out_end(c);
  line(c, "why", js_text(b, "why"));
  line(c, "because", js_text(b, "reason"));
  source_line(c, b);
  changes_lines(c, b);
  linef(c, "worker", "%s, slot %lld", js_text(b, "worker"), (long long)js_num(b, "slot"));
  linef(c, "request", "%s of buildset %s", js_text(b, "request"), js_text(b, "buildset"));
  time_line(c, "started", js_num(b, "started"));
  time_line(c, "ended", js_num(b, "finished"));
  linef(c, "log", "%s (%s stored): drover log %s", fmt_size(bytes.length, length), fmt_size(bytes.stored, stored), js_text(b, "id"));
  parent_line(c, b);
  show_stamps(c, b);
  show_steps(c, b);
  cJSON_ArrayForEach(step, js_get(b, "steps"))
  {
    triggered_lines(c, step);
    report_lines(c, step);
  }
}

static void show_commands(struct cli *c, const cJSON *step)
{
  static const struct column columns[] = { { "COMMAND", 0 },          { "STATE", 0 },          { "ENDED", 0 }, { "TIME", TABLE_RIGHT },
                                           { "CPU", TABLE_RIGHT }, { "MEMORY", TABLE_RIGHT }, { "ARGV", TABLE_FLEX } };
  struct table *t = table_new(columns, COUNT(columns));
  const cJSON *k;
  char text[FMT_MAX];

  cJSON_ArrayForEach(k, js_get(step, "commands"))
  {
    struct buf argv;
    const char *reason = js_text(k, "reason");
    bool ended = js_has(k, "how");
    buf_init(&argv, BUF_NO_MAX);
    js_join(k, "argv", " ", &argv);
    table_cell(t, STYLE_BOLD, js_text(k, "name"));
    table_cell(t, STYLE_NONE, js_text(k, "state"));
    if (ended)
      table_cellf(t, STYLE_NONE, "%s %lld%s%s", js_text(k, "how"), (long long)js_num(k, "code"), *reason && !str_eq(reason, "-") ? " " : "",
                  str_eq(reason, "-") ? "" : reason);
    else
      table_cell(t, STYLE_NONE, "");
    table_cell(t, STYLE_NONE, ended ? fmt_duration(js_num(k, "wall_ms"), text) : "");
    table_cell(t, STYLE_NONE, ended ? fmt_duration(js_num(k, "user_ms") + js_num(k, "sys_ms"), text) : "");
    table_cell(t, STYLE_NONE, ended ? fmt_size(js_num(k, "maxrss_kib") * 1024, text) : "");
    table_cell(t, STYLE_NONE, buf_str(&argv));
    buf_free(&argv);
  }
  print_table(c, t);
  cJSON_ArrayForEach(k, js_get(step, "commands"))
    if (*js_text(k, "detail"))
      linef(c, js_text(k, "name"), "%s", js_text(k, "detail"));
}

/* Names: of what its last command took. */
static void show_secrets(struct cli *c, const cJSON *step)
{
  const cJSON *all = js_get(step, "commands");
  struct buf names;

  buf_init(&names, BUF_NO_MAX);
  js_join(cJSON_GetArrayItem(all, cJSON_GetArraySize(all) - 1), "secrets", ", ", &names);
  line(c, "secrets", buf_str(&names));
  buf_free(&names);
}

static int show_step(struct cli *c, const cJSON *build, const char *name)
{
  const cJSON *step;
  char time[FMT_MAX], length[FMT_MAX];

  cJSON_ArrayForEach(step, js_get(build, "steps"))
    if (str_eq(js_text(step, "name"), name))
      break;
  if (!step)
    return cli_error(c, CLI_USAGE, "build %s has no step \"%s\"; see: drover show %s", js_text(build, "id"), name, js_text(build, "id"));
  if (c->json) {
    char *json = cJSON_PrintUnformatted(step);
    buf_reset(&c->text);
    buf_adds(&c->text, json ? json : "null");
    free(json);
    out_json(c);
    return CLI_OK;
  }
  out(c, STYLE_BOLD, "%s:", js_text(build, "id"));
  head(c, step, name);
  out(c, STYLE_NONE, "  %s", fmt_duration(js_duration(step, clock_wall_ms()), time));
  out_end(c);
  line(c, "kind", js_text(step, "kind"));
  line(c, "state", js_text(step, "state"));
  line(c, "summary", js_text(step, "summary"));
  time_line(c, "started", js_num(step, "started"));
  time_line(c, "ended", js_num(step, "finished"));
  linef(c, "log", "%s: drover log %s:%s", fmt_size(show_step_bytes(step).length, length), js_text(build, "id"), name);
  left_line(c, step);
  file_lines(c, build, step);
  show_secrets(c, step);
  triggered_lines(c, step);
  report_lines(c, step);
  show_commands(c, step);
  return CLI_OK;
}

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
  head(c, r, js_text(r, "id"));
  out(c, STYLE_NONE, "  %s/%s", js_text(r, "project"), js_text(r, "builder"));
  out_end(c);
  line(c, "why", js_text(r, "why"));
  line(c, "because", js_text(r, "reason"));
  source_line(c, r);
  line(c, "buildset", js_text(r, "buildset"));
  join_line(c, "tags", r, "tags", " ");
  join_line(c, "wants", r, "wants", " and ");
  line(c, "reported by", js_text(r, "reported_by"));
  needs_lines(c, r);
  linef(c, "priority", "%lld", (long long)js_num(r, "priority"));
  join_line(c, "builds", r, "builds", " ");
  time_line(c, "made", js_num(r, "created"));
  time_line(c, "claimed", js_num(r, "claimed"));
  time_line(c, "ended", js_num(r, "finished"));
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
  line(c, "set of", buf_str(&b));
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
  print_table(c, t);
}

static void show_buildset(struct cli *c, const cJSON *s)
{
  char size[FMT_MAX];

  head(c, s, js_text(s, "id"));
  out_end(c);
  line(c, "because", js_text(s, "reason"));
  line(c, "scheduler", js_text(s, "scheduler"));
  line(c, "who", js_text(s, "who"));
  parent_line(c, s);
  lineage_line(c, s);
  line(c, "project", js_text(s, "project"));
  if (!js_has(s, "stamps"))
    source_line(c, s);
  join_line(c, "changes", s, "changes", " ");
  if (js_has(s, "patch"))
    linef(c, "patch", "%s on top of it: /api/v1/buildsets/%s/patch", fmt_size(js_num(s, "patch.bytes"), size), js_text(s, "id"));
  time_line(c, "made", js_num(s, "created"));
  time_line(c, "ended", js_num(s, "finished"));
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
  line(c, "author", js_text(h, "author"));
  if (strcmp(js_text(h, "committer"), js_text(h, "author")))
    line(c, "committer", js_text(h, "committer"));
  line(c, "category", js_text(h, "category"));
  line(c, "told by", js_text(h, "told_by"));
  line(c, "before", js_text(h, "previous"));
  line(c, "state", js_text(h, "state"));
  line(c, "error", js_text(h, "error"));
  line(c, "why", js_text(h, "why"));
  time_line(c, "seen", js_num(h, "created"));
  join_line(c, "buildsets", h, "buildsets", " ");
  out_block(c, 4, js_text(h, "message"));
  join_line(c, "files", h, "files", ", ");
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

static void show_worker(struct cli *c, const cJSON *w)
{
  const cJSON *fact, *running = js_get(w, "running");
  char *state = list_worker_state(w);

  out(c, STYLE_BOLD, "%s  ", js_text(w, "name"));
  out(c, list_worker_style(w), "%s", state);
  out(c, STYLE_NONE, "  %lld of %lld slots used", (long long)js_num(w, "used"), (long long)js_num(w, "slots"));
  out_end(c);
  free(state);
  line(c, "pool", js_text(w, "pool"));
  join_line(c, "tags", w, "tags", " ");
  line(c, "quarantine", js_text(w, "quarantine.why"));
  if (js_num(w, "weight") != 50)
    linef(c, "weight", "%lld", (long long)js_num(w, "weight"));
  line(c, "calendar", js_text(w, "calendar"));
  line(c, "address", js_text(w, "peer"));
  time_line(c, "since", js_num(w, "since"));
  time_line(c, "lost", js_num(w, "lost_at"));
  line(c, "instance", js_text(w, "instance"));
  cJSON_ArrayForEach(fact, js_get(w, "facts"))
  {
    struct buf text;
    buf_init(&text, BUF_NO_MAX);
    js_add(js_get(w, "facts"), fact->string, &text);
    linef(c, "fact", "%s = %s", fact->string, buf_str(&text));
    buf_free(&text);
  }
  agent_show(c, w);
  work_show(c, w);
  if (!cJSON_IsArray(running))
    running = js_get(w, "builds");
  if (cJSON_GetArraySize(running))
    list_table(c, "builds", running);
}

static int tell_worker(struct cli *c, cJSON *w)
{
  if (c->json)
    out_json(c);
  else
    show_worker(c, w);
  cJSON_Delete(w);
  return CLI_OK;
}

int cmd_worker_show(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char *path = id_path("workers/%s", arg[0]);
  cJSON *w = call_get(c, path);

  (void)a, (void)narg;
  free(path);
  return w ? tell_worker(c, w) : c->code;
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
