/* What a worker's agent tells when it is asked: its own log. It is the worker's word: bounded, made valid text, and never waited for longer than some seconds. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "common/utf8.h"
#include "master/core/master.h"
#include "master/workers/ops.h"
#include "master/workers/session.h"

enum { WAIT_MS = 10000, LINES_DEFAULT = 100, LINES_MAX = 1000 };

/* False: answered. */
static bool lines_get(struct call *c, int64_t *lines)
{
  const char *text = call_query(c, "lines");

  *lines = LINES_DEFAULT;
  if (!text || (!str_number(text, strlen(text), lines) && *lines >= 1 && *lines <= LINES_MAX))
    return true;
  call_error(c, 400, "bad_request", NULL, "\"lines\" wants a number from 1 to %d", LINES_MAX);
  return false;
}

/* The last `lines` of the n bytes at p, each made valid text of one line. */
static cJSON *last_lines(const char *p, size_t n, int64_t lines)
{
  cJSON *list = cJSON_CreateArray();
  size_t from = n && p[n - 1] == '\n' ? n - 1 : n;

  n = from;
  while (from && (p[from - 1] != '\n' || --lines > 0))
    from--;
  while (from < n) {
    const char *lf = memchr(p + from, '\n', n - from);
    size_t len = lf ? (size_t)(lf - p) - from : n - from;
    char *text = utf8_text(p + from, len, SESSION_TEXT_MAX, true);
    cJSON_AddItemToArray(list, cJSON_CreateString(text));
    free(text);
    from += len + 1;
  }
  return list;
}

static void log_told(void *arg, const struct ops_answer *a)
{
  struct call *c = arg;
  cJSON *json;
  int64_t lines;

  if (!call_release(c) || !lines_get(c, &lines))
    return;
  if (strcmp(a->tag, "ok")) {
    call_error(c, strcmp(a->tag, "timeout") ? 409 : 504, strcmp(a->tag, "timeout") ? "conflict" : "timeout", NULL, "worker %.100s: %.200s", call_arg(c, 0), *a->text ? a->text : a->tag);
    return;
  }
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "worker", call_arg(c, 0));
  cJSON_AddItemToObject(json, "lines", last_lines(a->data, a->ndata, lines));
  call_json(c, 200, json);
}

void read_agent_log(struct call *c)
{
  struct ops_ask ask = { .verb = VERB_tail, .max = WIRE_TAIL_MAX, .wait_ms = WAIT_MS };
  struct session *s;
  int64_t lines;
  char *why;

  if (!lines_get(c, &lines))
    return;
  s = session_named(call_master(c)->sessions, call_arg(c, 0));
  if (!s) {
    call_error(c, 409, "conflict", "drover worker show tells where it is", "no worker %.100s is connected to this master", call_arg(c, 0));
    return;
  }
  call_hold(c);
  if (ops_ask(s, &ask, log_told, c))
    return;
  why = ops_too_old(s, VERB_tail);
  if (call_release(c))
    call_error(c, 409, "conflict", NULL, "%s", why);
  free(why);
}
