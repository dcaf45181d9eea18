/* drover log ID[:STEP]: a build's log, made harmless for the terminal, or byte for byte. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/follow.h"
#include "master/cli/js.h"
#include "master/cli/show.h"
#include "master/cli/sink.h"
#include "master/cli/tap.h"

static enum sink_kind sink_kind(const struct cli *c, const struct args *a)
{
  return c->json ? SINK_JSON : args_has(a, FLAG_RAW) ? SINK_RAW : SINK_SAFE;
}

/* One step, to what there is now or (follow) to its end. */
static int copy_step(struct cli *c, const struct args *a, enum sink_kind kind, const char *build, const char *step, bool follow)
{
  const char *log = args_value(a, FLAG_LOG);
  struct sink sink;
  struct tap tap;
  enum tap_end end;

  sink_begin(&sink, c, kind, build, step);
  tap_open(&tap, c, NULL, &sink, build, step);
  if (log)
    tap_log(&tap, log);
  end = tap_copy(&tap, follow);
  sink_end(&sink);
  tap_close(&tap);
  if (end == TAP_MISSING && log)
    return cli_error(c, CLI_USAGE, "step %s:%s has no log \"%s\"; see: drover show %s:%s", build, step, log, build, step);
  if (end == TAP_MISSING)
    return cli_error(c, CLI_USAGE, "build %s has no log of a step \"%s\"; see: drover show %s", build, step, build);
  return end == TAP_ENDED ? CLI_OK : c->code;
}

int log_follow_step(struct cli *c, const struct args *a, bool raw, const char *build, const char *step)
{
  return copy_step(c, a, c->json ? SINK_JSON : raw ? SINK_RAW : SINK_SAFE, build, step, true);
}

/* The same of a step as the build has it: what is missing is told beside the log, not in it. */
static int copy_told(struct cli *c, const struct args *a, enum sink_kind kind, const cJSON *build, const cJSON *step, bool follow)
{
  int code = copy_step(c, a, kind, js_text(build, "id"), js_text(step, "name"), follow);
  char *left = show_left_out(step);

  if (left && kind == SINK_SAFE && !follow && !args_has(a, FLAG_LOG))
    cli_hint("%s: %s", js_text(step, "name"), left);
  free(left);
  return code;
}

static int log_all(struct cli *c, const struct args *a, enum sink_kind kind, const cJSON *build)
{
  const cJSON *step;
  int code = CLI_OK;

  cJSON_ArrayForEach(step, js_get(build, "steps"))
  {
    if (kind == SINK_SAFE)
      show_log_header(c, step);
    if (show_step_bytes(step).length && !code)
      code = copy_step(c, a, kind, js_text(build, "id"), js_text(step, "name"), false);
  }
  return code;
}

/* The names of the steps, where one was asked for that is not there. */
static int tell_steps(struct cli *c, const cJSON *build, const char *name)
{
  const cJSON *step;
  struct buf names;

  buf_init(&names, BUF_NO_MAX);
  cJSON_ArrayForEach(step, js_get(build, "steps"))
    buf_addf(&names, "%s%s", names.len ? ", " : "", js_text(step, "name"));
  cli_error(c, CLI_USAGE, "build %s has no step \"%s\"; it has: %s", js_text(build, "id"), name, names.len ? buf_str(&names) : "none yet");
  buf_free(&names);
  return c->code;
}

static const cJSON *step_of(const cJSON *build, const char *name)
{
  const cJSON *step;

  cJSON_ArrayForEach(step, js_get(build, "steps"))
    if (str_eq(js_text(step, "name"), name))
      return step;
  return NULL;
}

/* ---- --failed ---- */

static bool is_bad(const cJSON *o)
{
  return js_result(o) == RESULT_FAILURE || js_result(o) == RESULT_EXCEPTION;
}

/* The builder's builds that are over, newest first. */
static cJSON *builds_of(struct cli *c, const char *builder)
{
  char *path = id_path("builds?state=done&limit=200&builder=%s", builder);
  cJSON *list = call_get(c, path);

  free(path);
  return list;
}

/* ", since c7 77aa01e bob: Faster parser": of the first build that failed in the row that ends with this number. */
static void show_since(struct cli *c, const cJSON *builds, int64_t number)
{
  const cJSON *b, *first = NULL, *s;
  char *path, revision[FMT_MAX];
  cJSON *set, *change;
  bool whole = false;

  cJSON_ArrayForEach(b, builds) {
    if (js_num(b, "number") > number || js_result(b) == RESULT_CANCELLED || js_result(b) == RESULT_RETRY)
      continue;
    if (!is_bad(b)) {
      whole = true;
      break;
    }
    first = b;
  }
  if (!first)
    return;
  path = id_path("buildsets/%s", js_text(first, "buildset"));
  if (call_try(c, "GET", path, NULL, &set) != CALL_OK)
    set = NULL;
  free(path);
  out(c, STYLE_NONE, "      %s %s", whole ? "since" : "at least since", js_text(first, "id"));
  s = cJSON_GetArrayItem(js_get(set, "changes"), 0);
  path = cJSON_IsString(s) ? id_path("changes/%s", s->valuestring) : NULL;
  if (path && call_try(c, "GET", path, NULL, &change) == CALL_OK) {
    const char *message = js_text(change, "message"), *author = js_text(change, "author");
    out(c, STYLE_NONE, ", %s %s %.*s \"%.*s\"", js_text(change, "id"), fmt_revision(js_text(change, "revision"), revision), (int)strcspn(author, " <"), author,
        (int)strcspn(message, "\n"), message);
    cJSON_Delete(change);
  } else if (first) {
    out(c, STYLE_NONE, ", %s %s", js_text(first, "branch"), fmt_revision(*js_text(first, "got_revision") ? js_text(first, "got_revision") : js_text(first, "revision"), revision));
  }
  free(path);
  cJSON_Delete(set);
}

/* The exit code of the step's last command; -1: it has none. */
static int64_t exit_of(const cJSON *step)
{
  const cJSON *all = js_get(step, "commands"), *last = cJSON_GetArrayItem(all, cJSON_GetArraySize(all) - 1);

  return js_has(last, "code") ? js_num(last, "code") : -1;
}

static void show_failed_head(struct cli *c, const cJSON *build, const cJSON *step, const cJSON *builds)
{
  char time[FMT_MAX];

  out(c, STYLE_BOLD, "%s%s%s", js_text(build, "id"), step ? ":" : "", js_text(step, "name"));
  out(c, fmt_result_style(js_result(build)), "  %s", fmt_result(js_result(build)));
  if (step && exit_of(step) >= 0)
    out(c, STYLE_NONE, " exit %lld", (long long)exit_of(step));
  out(c, STYLE_NONE, " after %s", fmt_duration(js_duration(step ? step : build, 0), time));
  show_since(c, builds, js_num(build, "number"));
  out_end(c);
  if (!step && *js_text(build, "why")) {
    out(c, STYLE_NONE, "%s", js_text(build, "why"));
    out_end(c);
  }
}

static int log_failed_step(struct cli *c, const struct args *a, const cJSON *build, const cJSON *builds)
{
  const cJSON *step, *failed = NULL;

  cJSON_ArrayForEach(step, js_get(build, "steps"))
    if (!failed && is_bad(step))
      failed = step;
  if (sink_kind(c, a) == SINK_SAFE)
    show_failed_head(c, build, failed, builds);
  if (!failed || !show_step_bytes(failed).length)
    return CLI_OK;
  return copy_told(c, a, sink_kind(c, a), build, failed, false);
}

/* given: NULL, or the build that was named. */
static int log_failed_of(struct cli *c, const struct args *a, const char *builder, const cJSON *given)
{
  cJSON *list = builds_of(c, builder), *build = NULL;
  const cJSON *b, *bad = NULL;
  char *path;
  int code;

  if (!list)
    return c->code;
  cJSON_ArrayForEach(b, js_get(list, "items"))
    if (!bad && is_bad(b))
      bad = b;
  if (!given && bad) {
    path = id_path("builds/%p", js_text(bad, "id"));
    build = call_get(c, path);
    free(path);
  }
  if (given && !is_bad(given))
    code = cli_error(c, CLI_USAGE, "build %s did not fail", js_text(given, "id"));
  else if (!given && !bad)
    code = cli_error(c, CLI_USAGE, "no build of %s has failed (of the last %d)", builder, cJSON_GetArraySize(js_get(list, "items")));
  else
    code = given || build ? log_failed_step(c, a, given ? given : build, js_get(list, "items")) : c->code;
  cJSON_Delete(build);
  cJSON_Delete(list);
  return code;
}

static int log_failed(struct cli *c, const struct args *a, const struct cli_id *id)
{
  char *builder;
  cJSON *build;
  int code;

  if (args_has(a, FLAG_FOLLOW))
    return cli_error(c, CLI_USAGE, "what failed is over: --failed goes without --follow");
  if (id->kind == ID_NAME || id->kind == ID_BUILDER) {
    if (!(builder = call_builder(c, id->text)))
      return c->code;
    code = log_failed_of(c, a, builder, NULL);
  } else {
    if (!(build = call_build(c, id)))
      return c->code;
    builder = xasprintf("%s/%s", js_text(build, "project"), js_text(build, "builder"));
    code = log_failed_of(c, a, builder, build);
    cJSON_Delete(build);
  }
  free(builder);
  return code;
}

int cmd_log(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  bool follow = args_has(a, FLAG_FOLLOW);
  struct cli_id id;
  cJSON *build;
  int code;

  (void)narg;
  if (!id_parse(arg[0], &id))
    return cli_error(c, CLI_USAGE, "\"%s\" is no id of a build or step: libfoo/linux/42, linux/last:test, r118", arg[0]);
  if (args_has(a, FLAG_LOG) && id.kind != ID_STEP)
    return cli_error(c, CLI_USAGE, "--log is a log of a step: drover log %s:STEP --log %s", arg[0], args_value(a, FLAG_LOG));
  if (args_has(a, FLAG_FAILED))
    return log_failed(c, a, &id);
  if (!(build = call_build(c, &id)))
    return c->code;
  if (id.kind == ID_STEP && !step_of(build, id.step) && (!follow || js_done(build))) {
    code = tell_steps(c, build, id.step);
  } else if (id.kind == ID_STEP && step_of(build, id.step)) {
    code = copy_told(c, a, sink_kind(c, a), build, step_of(build, id.step), follow);
  } else if (id.kind == ID_STEP) {
    code = copy_step(c, a, sink_kind(c, a), js_text(build, "id"), id.step, follow);
  } else if (follow) {
    struct follow *f = follow_new(c, args_has(a, FLAG_RAW) ? FOLLOW_RAW : FOLLOW_LOG);
    code = follow_one(f, js_text(build, "id"));
    follow_free(f);
  } else {
    code = log_all(c, a, sink_kind(c, a), build);
  }
  cJSON_Delete(build);
  return code;
}
