#include "master/cli/show_build.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/js.h"
#include "master/cli/lines.h"
#include "master/cli/show.h"
#include "master/cli/table.h"

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
  lines_table(c, t);
  if (hidden) {
    out(c, STYLE_DIM, "%d hidden: drover show --all %s", hidden, js_text(build, "id"));
    out_end(c);
  }
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
  lines_table(c, t);
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
    lines_f(c, it == first->child ? "reported" : "", "%s = %s", it->string, buf_str(&text));
    buf_free(&text);
  }
  cJSON_ArrayForEach(it, js_get(step, "report.stamps"))
    lines_f(c, "made", "%s %s%s%s", js_text(it, "codebase"), js_text(it, "revision"), *js_text(it, "branch") ? " on " : "", js_text(it, "branch"));
  cJSON_ArrayForEach(it, js_get(step, "report.links"))
    lines_f(c, "link", "%s  %s", js_text(it, "name"), js_text(it, "url"));
  lines_join(c, "builders", step, "report.nodes", " ");
  if (strchr(trouble, '\n')) { /* diagnostics */
    lines_f(c, "warning", "%s: its report was left out:", js_text(step, "name"));
    out_block(c, 2, trouble);
  } else if (*trouble) {
    lines_f(c, "warning", "%s: its report was left out: %s", js_text(step, "name"), trouble);
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
    lines_f(c, h == changes->child ? "changes" : "", "%s %.*s (%s)", js_text(h, "id"), (int)strcspn(message, "\n"), message, js_text(h, "author"));
  }
  if (more > 0)
    lines_f(c, "", "… and %lld older ones since %s", more, js_text(b, "since"));
  else if (*js_text(b, "since"))
    lines_f(c, "", "all since %s", js_text(b, "since"));
}

static void left_line(struct cli *c, const cJSON *step)
{
  char *left = show_left_out(step);

  if (left)
    lines_f(c, "output", "%s: %s", js_text(step, "name"), left);
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
    lines_f(c, "log", "%s %s%s%s: drover log %s:%s --log %s", js_text(log, "name"), fmt_size(js_num(log, "length"), length), bytes ? ", left out " : "", bytes ? fmt_size(bytes, left) : "", js_text(build, "id"),
          js_text(step, "name"), js_text(log, "name"));
  }
}

void show_build(struct cli *c, const cJSON *b)
{
  struct show_bytes bytes = show_build_bytes(b);
  const cJSON *step;
  char time[FMT_MAX], length[FMT_MAX], stored[FMT_MAX];

  lines_head(c, b, js_text(b, "id"));
  out(c, STYLE_NONE, "  %s %s", js_done(b) ? "in" : "for", fmt_duration(js_duration(b, clock_wall_ms()), time));
  if (js_num(b, "attempt") > 1)
    out(c, STYLE_NONE, ", attempt %lld", (long long)js_num(b, "attempt"));
  out_end(c);
  lines_text(c, "why", js_text(b, "why"));
  lines_text(c, "because", js_text(b, "reason"));
  lines_source(c, b);
  changes_lines(c, b);
  lines_f(c, "worker", "%s, slot %lld", js_text(b, "worker"), (long long)js_num(b, "slot"));
  lines_f(c, "request", "%s of buildset %s", js_text(b, "request"), js_text(b, "buildset"));
  lines_time(c, "started", js_num(b, "started"));
  lines_time(c, "ended", js_num(b, "finished"));
  lines_f(c, "log", "%s (%s stored): drover log %s", fmt_size(bytes.length, length), fmt_size(bytes.stored, stored), js_text(b, "id"));
  lines_parent(c, b);
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
  lines_table(c, t);
  cJSON_ArrayForEach(k, js_get(step, "commands"))
    if (*js_text(k, "detail"))
      lines_f(c, js_text(k, "name"), "%s", js_text(k, "detail"));
}

/* Names: of what its last command took. */
static void show_secrets(struct cli *c, const cJSON *step)
{
  const cJSON *all = js_get(step, "commands");
  struct buf names;

  buf_init(&names, BUF_NO_MAX);
  js_join(cJSON_GetArrayItem(all, cJSON_GetArraySize(all) - 1), "secrets", ", ", &names);
  lines_text(c, "secrets", buf_str(&names));
  buf_free(&names);
}

int show_step(struct cli *c, const cJSON *build, const char *name)
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
  lines_head(c, step, name);
  out(c, STYLE_NONE, "  %s", fmt_duration(js_duration(step, clock_wall_ms()), time));
  out_end(c);
  lines_text(c, "kind", js_text(step, "kind"));
  lines_text(c, "state", js_text(step, "state"));
  lines_text(c, "summary", js_text(step, "summary"));
  lines_time(c, "started", js_num(step, "started"));
  lines_time(c, "ended", js_num(step, "finished"));
  lines_f(c, "log", "%s: drover log %s:%s", fmt_size(show_step_bytes(step).length, length), js_text(build, "id"), name);
  left_line(c, step);
  file_lines(c, build, step);
  show_secrets(c, step);
  triggered_lines(c, step);
  report_lines(c, step);
  show_commands(c, step);
  return CLI_OK;
}
