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
static int copy_step(struct cli *c, enum sink_kind kind, const char *build, const char *step, bool follow)
{
  struct sink sink;
  struct tap tap;
  enum tap_end end;

  sink_begin(&sink, c, kind, build, step);
  tap_open(&tap, c, NULL, &sink, build, step);
  end = tap_copy(&tap, follow);
  sink_end(&sink);
  tap_close(&tap);
  if (end == TAP_MISSING)
    return cli_error(c, CLI_USAGE, "build %s has no log of a step \"%s\"; see: drover show %s", build, step, build);
  return end == TAP_ENDED ? CLI_OK : c->code;
}

static int log_all(struct cli *c, enum sink_kind kind, const cJSON *build)
{
  const cJSON *step;
  int code = CLI_OK;

  cJSON_ArrayForEach(step, js_get(build, "steps"))
  {
    if (kind == SINK_SAFE)
      show_log_header(c, step);
    if (show_step_bytes(step).length && !code)
      code = copy_step(c, kind, js_text(build, "id"), js_text(step, "name"), false);
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

static bool has_step(const cJSON *build, const char *name)
{
  const cJSON *step;

  cJSON_ArrayForEach(step, js_get(build, "steps"))
    if (str_eq(js_text(step, "name"), name))
      return true;
  return false;
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
  if (!(build = call_build(c, &id)))
    return c->code;
  if (id.kind == ID_STEP && !has_step(build, id.step) && (!follow || js_done(build))) {
    code = tell_steps(c, build, id.step);
  } else if (id.kind == ID_STEP) {
    code = copy_step(c, sink_kind(c, a), js_text(build, "id"), id.step, follow);
  } else if (follow) {
    struct follow *f = follow_new(c, args_has(a, FLAG_RAW) ? FOLLOW_RAW : FOLLOW_LOG);
    code = follow_one(f, js_text(build, "id"));
    follow_free(f);
  } else {
    code = log_all(c, sink_kind(c, a), build);
  }
  cJSON_Delete(build);
  return code;
}
