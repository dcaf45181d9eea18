/* How a build, its steps and its result look. */
#include "master/cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/js.h"
#include "master/conf/vcs.h"

#define SUMMARY_WIDTH 60
#define WHAT_WIDTH 60
#define NAME_WIDTH 8 /* longer names push the rest to the right */

struct show_bytes show_step_bytes(const cJSON *step)
{
  struct show_bytes sum = { 0, 0 };
  const cJSON *log;

  cJSON_ArrayForEach(log, js_get(step, "logs"))
  {
    if (js_num(log, "stream")) /* a file that was followed */
      continue;
    sum.length += js_num(log, "length");
    sum.stored += js_num(log, "stored");
  }
  return sum;
}

struct show_bytes show_build_bytes(const cJSON *build)
{
  struct show_bytes sum = { 0, 0 };
  const cJSON *step;

  cJSON_ArrayForEach(step, js_get(build, "steps"))
  {
    struct show_bytes one = show_step_bytes(step);
    sum.length += one.length;
    sum.stored += one.stored;
  }
  return sum;
}

char *show_left_out(const cJSON *step)
{
  int64_t bytes = 0, lines = 0;
  const cJSON *log, *of = NULL;
  char size[FMT_MAX], limit[FMT_MAX + 32];

  cJSON_ArrayForEach(log, js_get(step, "logs"))
  {
    if (js_num(log, "stream"))
      continue;
    bytes += js_num(log, "left_bytes");
    lines += js_num(log, "left_lines");
    if (js_num(log, "left_bytes") || js_true(log, "held"))
      of = log;
  }
  if (!of)
    return NULL;
  if (js_has(of, "limit_lines"))
    snprintf(limit, sizeof limit, "%s or %lld lines", fmt_size(js_num(of, "limit_bytes"), size), (long long)js_num(of, "limit_lines"));
  else
    fmt_size(js_num(of, "limit_bytes"), limit);
  if (!bytes)
    return xasprintf("more than half of the limit of %s: what comes now follows when the command has ended", limit);
  return xasprintf("%s (%lld lines) left out, over the limit of %s", fmt_size(bytes, size), (long long)lines, limit);
}

/* The first line that says something, cut to width columns. */
static char *first_line(const char *text, int width)
{
  size_t n, fit;
  char *line, *cut;

  text += strspn(text, " \t\n");
  n = strcspn(text, "\n");
  line = xstrndup(text, n);
  fit = fmt_fit(line, width - 2);
  if (fmt_width(line) <= width && !text[n + (text[n] == '\n')])
    return line;
  cut = xasprintf("%.*s …", (int)fit, line);
  free(line);
  return cut;
}

static bool is_shell(const char *program)
{
  const char *slash = strrchr(program, '/');

  return str_eq(slash ? slash + 1 : program, "sh");
}

static bool is_checkout(const cJSON *step)
{
  enum vcs v;

  return js_text(step, "kind") && vcs_of(js_text(step, "kind"), &v);
}

/* What a step is about, in a few words: its script's first line, its argv; "" where nothing is known. */
static char *step_what(const cJSON *step)
{
  const cJSON *command = cJSON_GetArrayItem(js_get(step, "commands"), 0), *argv = js_get(command, "argv");
  const cJSON *script = cJSON_GetArrayItem(argv, cJSON_GetArraySize(argv) - 1);
  const char *program = cJSON_GetStringValue(cJSON_GetArrayItem(argv, 0));
  struct buf words;
  char *what;

  if (!program || cJSON_GetArraySize(js_get(step, "commands")) > 1 || is_checkout(step))
    return xstrdup(""); /* its first command says little about it */
  if (is_shell(program) && cJSON_GetArraySize(argv) > 1 && cJSON_IsString(script))
    return first_line(script->valuestring, WHAT_WIDTH);
  buf_init(&words, BUF_NO_MAX);
  js_join(command, "argv", " ", &words);
  what = first_line(buf_str(&words), WHAT_WIDTH);
  buf_free(&words);
  return what;
}

char *show_step_summary(const cJSON *step)
{
  const cJSON *command;
  struct buf names;

  if (*js_text(step, "waits"))
    return first_line(js_text(step, "waits"), SUMMARY_WIDTH * 4);
  if (*js_text(step, "summary"))
    return first_line(js_text(step, "summary"), SUMMARY_WIDTH * 4);
  buf_init(&names, BUF_NO_MAX);
  if (cJSON_GetArraySize(js_get(step, "commands")) > 1)
    cJSON_ArrayForEach(command, js_get(step, "commands"))
      buf_addf(&names, "%s%s", names.len ? " · " : "", js_text(command, "name"));
  return buf_take(&names);
}

char *show_change_of(const cJSON *change)
{
  const char *kind = js_text(change, "kind"), *branch = js_text(change, "branch");

  if (str_eq(kind, "pull_request"))
    return xasprintf("pull request %lld into %s", (long long)js_num(change, "number"), branch);
  return xasprintf("%s%s", str_eq(kind, "tag") ? "tag " : "", branch);
}

void show_log_header(struct cli *c, const cJSON *step)
{
  char *what = step_what(step), *left = show_left_out(step);

  out_fresh_line(c);
  out(c, STYLE_DIM, "── ");
  out(c, STYLE_BOLD, "%s", js_text(step, "name"));
  out(c, STYLE_DIM, "%s%s%s%s ──", *what ? ": " : "", what, left ? "; " : "", left ? left : "");
  out_end(c);
  free(left);
  free(what);
}

void show_step_line(struct cli *c, const cJSON *build, const cJSON *step)
{
  int result = js_result(step), used = fmt_width(js_text(step, "name"));
  bool plain = result == RESULT_SUCCESS || result == FMT_NO_RESULT;
  char *summary = show_step_summary(step), text[FMT_MAX];
  const char *got = js_text(build, "got_revision");

  out_fresh_line(c);
  out(c, STYLE_NONE, "  ");
  out_label(c, STYLE_BOLD, js_text(step, "name"));
  if (!plain)
    out(c, fmt_result_style(result), "%s%s", fmt_result(result), *summary ? " " : "");
  out(c, STYLE_NONE, "%s", summary);
  used = fmt_width(summary) + (plain ? 0 : (int)strlen(fmt_result(result)) + (*summary != 0)) + (used > NAME_WIDTH ? used - NAME_WIDTH : 0);
  out(c, STYLE_NONE, "%*s%9s", used < SUMMARY_WIDTH ? SUMMARY_WIDTH - used : 0, "", fmt_duration(js_duration(step, clock_wall_ms()), text));
  fmt_revision(got, text);
  if (is_checkout(step) && *got && !js_get(build, "stamps") && !str_starts(summary, text))
    out(c, STYLE_NONE, "   %s", text);
  out_end(c);
  free(summary);
}

void show_build_head(struct cli *c, const cJSON *build)
{
  out_fresh_line(c);
  out_label(c, STYLE_NONE, "build");
  out(c, STYLE_BOLD, "%s", js_text(build, "id"));
  if (*js_text(build, "worker"))
    out(c, STYLE_NONE, " on %s", js_text(build, "worker"));
  if (js_num(build, "attempt") > 1)
    out(c, STYLE_NONE, ", attempt %d", (int)js_num(build, "attempt"));
  if (*js_text(build, "reason"))
    out(c, STYLE_NONE, ", because %s", js_text(build, "reason"));
  out_end(c);
}

void show_result(struct cli *c, int result)
{
  out_label(c, fmt_result_style(result), fmt_result(result));
}

void show_build_end(struct cli *c, const cJSON *build, int result)
{
  struct show_bytes bytes = show_build_bytes(build);
  char time[FMT_MAX], length[FMT_MAX], stored[FMT_MAX];

  out_fresh_line(c);
  show_result(c, result);
  out(c, STYLE_NONE, "%s in %s, log %s (%s stored)", js_text(build, "id"), fmt_duration(js_duration(build, clock_wall_ms()), time),
      fmt_size(bytes.length, length), fmt_size(bytes.stored, stored));
  if (*js_text(build, "why"))
    out(c, STYLE_NONE, ": %s", js_text(build, "why"));
  out_end(c);
}
