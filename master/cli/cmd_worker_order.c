/* drover worker restart, upgrade, drain: what a worker's agent is to do, and what came of it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/patience.h"

enum { LOOK_MS = 200 };

/* What came of it, in a line; the exit code. */
static int tell_end(struct cli *c, const char *name, const cJSON *w)
{
  static const char *const done[][2] = { { "upgrade", "upgraded" }, { "restart", "restarted" }, { "stop", "stopped" } };
  const char *what = js_text(w, "order.what"), *why = js_text(w, "order.why"), *from = js_text(w, "order.from");

  if (str_eq(js_text(w, "order.state"), "failed"))
    return cli_error(c, CLI_EXCEPTION, "%s: %s failed: %s", name, what, why);
  for (size_t i = 0; i < COUNT(done); i++)
    if (str_eq(done[i][0], what))
      out_label(c, STYLE_GOOD, done[i][1]);
  out(c, STYLE_BOLD, "%s", name);
  if (str_eq(what, "upgrade") && *from)
    out(c, STYLE_NONE, "  %s to %s", from, js_text(w, "facts.version"));
  if (*why)
    out(c, STYLE_NONE, "  %s", why);
  out_end(c);
  return CLI_OK;
}

/* Looks at the worker until that order is over, or another one is in its place. */
static int wait_end(struct cli *c, const char *name, int64_t number)
{
  char *path = id_path("workers/%s", name);
  cJSON *w = NULL;
  const char *state;
  int code;

  for (;;) {
    cJSON_Delete(w);
    w = patience_get(c, path);
    state = w ? js_text(w, "order.state") : "";
    if (!w || js_num(w, "order.number") != number || str_eq(state, "done") || str_eq(state, "failed"))
      break;
    nanosleep(&(struct timespec){ 0, LOOK_MS * 1000000L }, NULL);
  }
  free(path);
  if (!w)
    return c->code;
  code = js_num(w, "order.number") != number ? cli_error(c, CLI_EXCEPTION, "%s is told to do something else by now: drover worker show %s", name, name) : tell_end(c, name, w);
  cJSON_Delete(w);
  return code;
}

static void tell_later(struct cli *c, const char *name, const cJSON *answer, bool drain)
{
  out_label(c, STYLE_NONE, drain ? "draining" : "later");
  out(c, STYLE_BOLD, "%s", name);
  if (!js_true(answer, "connected"))
    out(c, STYLE_NONE, "  is away: %s when it is back", js_text(answer, "what"));
  else
    out(c, STYLE_NONE, "  %s when its builds are over; drover worker show %s tells", js_text(answer, "what"), name);
  out_end(c);
}

/* body: taken over. */
static int order(struct cli *c, const char *name, const char *verb, cJSON *body, bool wait)
{
  char *format = xasprintf("workers/%%s/%s", verb), *path = id_path(format, name);
  cJSON *answer = call_send(c, "POST", path, body);
  bool drain = str_eq(verb, "drain");
  int code = CLI_OK;

  free(format);
  free(path);
  cJSON_Delete(body);
  if (!answer)
    return c->code;
  if (c->json)
    out_json(c);
  else if (wait && js_true(answer, "connected"))
    code = wait_end(c, name, js_num(answer, "number"));
  else
    tell_later(c, name, answer, drain);
  cJSON_Delete(answer);
  return code;
}

static cJSON *body_of(const struct args *a, const char *then)
{
  cJSON *body = cJSON_CreateObject();

  if (then)
    cJSON_AddStringToObject(body, "then", then);
  if (args_has(a, FLAG_DOWNGRADE))
    cJSON_AddTrueToObject(body, "downgrade");
  return body;
}

int cmd_worker_restart(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  (void)narg;
  return order(c, arg[0], "restart", body_of(a, NULL), true);
}

int cmd_worker_drain(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  (void)narg;
  return order(c, arg[0], "drain", body_of(a, args_value(a, FLAG_THEN)), args_has(a, FLAG_WAIT));
}

/* One after the other: a program that is no good spoils one worker's connection for a moment, not all of them. */
static int upgrade_all(struct cli *c, const struct args *a)
{
  cJSON *list = call_get(c, "/api/v1/workers");
  const cJSON *w;
  int code = CLI_OK, one;

  if (!list)
    return c->code;
  cJSON_ArrayForEach(w, js_get(list, "items"))
    if (js_true(w, "connected")) {
      one = order(c, js_text(w, "name"), "upgrade", body_of(a, NULL), true);
      code = one ? one : code;
    }
  cJSON_Delete(list);
  return code;
}

int cmd_worker_upgrade(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  int code = CLI_OK, one;

  if (args_has(a, FLAG_ALL) == (narg > 0))
    return cli_error(c, CLI_USAGE, "name the workers, or --all for all that are connected");
  if (!narg)
    return upgrade_all(c, a);
  for (int i = 0; i < narg; i++) {
    one = order(c, arg[i], "upgrade", body_of(a, NULL), true);
    code = one ? one : code;
  }
  return code;
}
