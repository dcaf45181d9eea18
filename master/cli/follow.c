/* Following builds to their end.

   Happy path: look at each request; say why it waits; when it has a build, show that build's steps one after the other, each log
   live; say the results; look again until all requests are done. Between looks, wait for an event (feed.h). Nothing is concluded
   from an event or a log's end alone: what counts is what the API says of the object then.
   Failure: every request to the master is tried again for --retry; logs go on at the next raw byte. A lost attempt is followed by
   the request's next build. */
#include "master/cli/follow.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/feed.h"
#include "master/cli/js.h"
#include "master/cli/patience.h"
#include "master/cli/show.h"
#include "master/cli/sink.h"
#include "master/cli/tap.h"

#define FOLLOW_PATIENT_MS 300 /* a request that waits for less needs no reason */

struct watched {
  char *id;        /* r118 */
  char *reason;    /* said last */
  int64_t after;   /* number of its last build that was followed */
  int result;
  bool done;
};
struct follow {
  struct cli *c;
  enum follow_mode mode;
  struct feed *feed;
  struct watched *v;
  int n;
  int64_t begun_ms;
};

/* What the handler of SIGINT writes; replaced as a whole. */
static char *volatile interrupted_text;

static void on_interrupt(int sig)
{
  const char *text = interrupted_text;

  (void)sig;
  if (text)
    (void)!write(STDERR_FILENO, text, strlen(text));
  _exit(CLI_INTERRUPTED);
}

static void set_interrupt(struct follow *f, const char *id)
{
  char *old = interrupted_text, *head = f->c->color ? FMT_STYLE_OFF : "";

  interrupted_text = xasprintf("%s\ndrover: %s goes on; to stop it: drover cancel %s; to see it again: drover watch %s\n", head, id, id, id);
  free(old);
  signal(SIGINT, on_interrupt);
}

struct follow *follow_new(struct cli *c, enum follow_mode mode)
{
  struct follow *f = xcalloc(1, sizeof *f);

  f->c = c;
  f->mode = mode;
  f->feed = feed_new(c);
  f->begun_ms = clock_mono_ms();
  return f;
}

void follow_free(struct follow *f)
{
  signal(SIGINT, SIG_DFL);
  free(interrupted_text);
  interrupted_text = NULL;
  for (int i = 0; i < f->n; i++) {
    free(f->v[i].id);
    free(f->v[i].reason);
  }
  free(f->v);
  feed_free(f->feed);
  free(f);
}

void follow_add(struct follow *f, const char *request, int64_t after)
{
  f->v = xrealloc(f->v, (size_t)(f->n + 1) * sizeof *f->v);
  f->v[f->n++] = (struct watched){ .id = xstrdup(request), .after = after };
  feed_want(f->feed, request);
}

static cJSON *get(struct follow *f, char *path)
{
  cJSON *answer = patience_get(f->c, path);

  free(path);
  return answer;
}

static cJSON *get_build(struct follow *f, const char *id)
{
  return get(f, id_path("builds/%p", id));
}

static bool show_steps(const struct follow *f)
{
  return f->mode == FOLLOW_SHOW && !f->c->json;
}

/* The step's log until it has ended, and the step with it. *build is read anew. False: given up. */
static bool follow_log(struct follow *f, cJSON **build, int index, struct tap *tap, bool *headed)
{
  char *id = xstrdup(js_text(*build, "id"));
  bool ok = true, stale = false;

  while (ok) {
    const cJSON *step = cJSON_GetArrayItem(js_get(*build, "steps"), index);
    bool over = js_result(step) != FMT_NO_RESULT || js_done(*build);
    int64_t had = tap->got;

    if (over && (stale || tap->got >= show_step_bytes(step).length))
      break;
    if (!*headed && f->mode != FOLLOW_RAW && !f->c->json)
      show_log_header(f->c, step);
    *headed = true;
    out_flush(f->c);
    ok = tap_copy(tap, !over) != TAP_FAILED;
    stale = over && tap->got == had; /* the log has less than its row says, and that for good */
    if (ok && !over && tap->got == had)
      ok = feed_wait(f->feed, FEED_LOOK_MS);
    if (!ok)
      break;
    cJSON_Delete(*build);
    *build = get_build(f, id);
    ok = *build != NULL;
  }
  free(id);
  return ok;
}

/* One step to its end. *build is read anew. False: given up. */
static bool follow_step(struct follow *f, cJSON **build, int index)
{
  char *id = xstrdup(js_text(*build, "id"));
  char *name = xstrdup(js_text(cJSON_GetArrayItem(js_get(*build, "steps"), index), "name"));
  struct sink sink;
  struct tap tap;
  bool headed = false, ok;

  sink_begin(&sink, f->c, f->c->json ? SINK_JSON : f->mode == FOLLOW_RAW ? SINK_RAW : SINK_SAFE, id, name);
  tap_open(&tap, f->c, f->feed, &sink, id, name);
  ok = follow_log(f, build, index, &tap, &headed);
  sink_end(&sink);
  tap_close(&tap);
  if (ok && f->c->json)
    out_json_line(f->c, "step", cJSON_GetArrayItem(js_get(*build, "steps"), index));
  else if (ok && show_steps(f) && !js_true(cJSON_GetArrayItem(js_get(*build, "steps"), index), "hidden"))
    show_step_line(f->c, *build, cJSON_GetArrayItem(js_get(*build, "steps"), index));
  out_flush(f->c);
  free(name);
  free(id);
  return ok;
}

/* A cancelled request has its result at once, its build only when the worker has told that all processes are gone: nobody needs
   to wait for that. */
static bool is_over(struct follow *f, const cJSON *build, int *result)
{
  cJSON *request;
  bool over;

  *result = js_result(build);
  if (js_done(build) || !str_eq(js_text(build, "state"), "cancelling"))
    return js_done(build);
  request = get(f, id_path("requests/%s", js_text(build, "request")));
  over = request && js_done(request);
  if (over)
    *result = js_result(request);
  cJSON_Delete(request);
  return over;
}

static void begin_build(struct follow *f, const cJSON *build)
{
  set_interrupt(f, js_text(build, "id"));
  if (f->c->json)
    out_json_line(f->c, "build", build);
  else if (f->mode == FOLLOW_SHOW)
    show_build_head(f->c, build);
}

static void end_build(struct follow *f, const cJSON *build, int result)
{
  if (f->c->json)
    out_json_line(f->c, "build", build);
  else if (f->mode == FOLLOW_SHOW || f->mode == FOLLOW_WAIT)
    show_build_end(f->c, build, result);
  out_flush(f->c);
}

/* To the build's end. False: given up. */
static bool follow_build(struct follow *f, const char *id)
{
  cJSON *build = get_build(f, id);
  int next = 0, result;

  if (build)
    begin_build(f, build);
  while (build) {
    if (f->mode != FOLLOW_WAIT && next < cJSON_GetArraySize(js_get(build, "steps"))) {
      if (!follow_step(f, &build, next++))
        break;
    } else if (is_over(f, build, &result)) {
      end_build(f, build, result);
      cJSON_Delete(build);
      return true;
    } else {
      out_flush(f->c);
      cJSON_Delete(build);
      build = feed_wait(f->feed, FEED_LOOK_MS) ? get_build(f, id) : NULL;
    }
  }
  cJSON_Delete(build);
  return false;
}

int follow_one(struct follow *f, const char *id)
{
  char *slash, *builder = xstrdup(id);
  bool ok;

  if ((slash = strrchr(builder, '/')))
    slash[1] = 0;
  feed_want(f->feed, builder);
  free(builder);
  ok = follow_build(f, id);
  return ok ? CLI_OK : f->c->code;
}

/* It began just now: most requests have a build before anybody could read why they wait. */
static bool is_patient(const struct follow *f)
{
  return clock_mono_ms() - f->begun_ms < FOLLOW_PATIENT_MS;
}

static bool is_waiting(const cJSON *request)
{
  return str_eq(js_text(request, "state"), "pending") || str_eq(js_text(request, "state"), "waiting");
}

/* Why it waits, when that is new. False: given up. */
static bool say_why(struct follow *f, struct watched *w)
{
  cJSON *why = get(f, id_path("requests/%s/why", w->id));
  const char *text;

  if (!why)
    return false;
  text = js_text(why, "reason.text");
  if (*text && is_waiting(why) && !str_eq(text, w->reason)) {
    free(w->reason);
    w->reason = xstrdup(text);
    if (f->c->json) {
      out_json_line(f->c, "why", why);
    } else {
      out_label(f->c, STYLE_DIM, "waiting");
      out(f->c, STYLE_NONE, "%s: %s", w->id, text);
      out_end(f->c);
    }
    out_flush(f->c);
  }
  cJSON_Delete(why);
  return true;
}

/* The request's oldest build that was not followed yet; NULL: none. */
static const char *next_build(const cJSON *request, int64_t after, int64_t *number)
{
  const char *best = NULL;
  const cJSON *b;

  *number = 0;
  cJSON_ArrayForEach(b, js_get(request, "builds"))
  {
    const char *slash = cJSON_IsString(b) ? strrchr(b->valuestring, '/') : NULL;
    int64_t n;
    if (!slash || str_number(slash + 1, strlen(slash + 1), &n) || n <= after || (best && n >= *number))
      continue;
    best = b->valuestring;
    *number = n;
  }
  return best;
}

static void end_request(struct follow *f, struct watched *w, const cJSON *request)
{
  w->done = true;
  w->result = js_result(request);
  if (f->c->json) {
    out_json_line(f->c, "request", request);
  } else if (w->after == 0) { /* it never became a build */
    show_result(f->c, w->result);
    out(f->c, STYLE_NONE, "%s of %s/%s never started%s%s", w->id, js_text(request, "project"), js_text(request, "builder"),
        *js_text(request, "why") ? ": " : "", js_text(request, "why"));
    out_end(f->c);
  }
  out_flush(f->c);
}

/* One look at a request, and at its next build where it has one. Sets *moved where something was followed or ended. False: given up. */
static bool look(struct follow *f, struct watched *w, bool *moved)
{
  cJSON *request = get(f, id_path("requests/%s", w->id));
  const char *id;
  int64_t number;
  bool ok = true;

  if (!request)
    return false;
  if (!*js_text(request, "builder")) {
    cJSON_Delete(request);
    cli_error(f->c, CLI_EXCEPTION, "the master's answer about %s makes no sense", w->id);
    return false;
  }
  if ((id = next_build(request, w->after, &number))) {
    char *builder = xasprintf("%s/%s/", js_text(request, "project"), js_text(request, "builder"));
    feed_want(f->feed, builder);
    free(builder);
    *moved = true;
    w->after = number;
    ok = follow_build(f, id);
    set_interrupt(f, w->id);
  } else if (js_done(request)) {
    *moved = true;
    end_request(f, w, request);
  } else if (is_waiting(request) && !is_patient(f)) {
    ok = say_why(f, w);
  }
  cJSON_Delete(request);
  return ok;
}

/* Of two results the one that counts, in the master's own order. What is no result counts as an exception. */
static int worse(int a, int b)
{
  static const int rank[] = { [RESULT_SKIPPED] = 0, [RESULT_SUCCESS] = 1, [RESULT_WARNINGS] = 2, [RESULT_FAILURE] = 3,
                              [RESULT_EXCEPTION] = 4, [RESULT_RETRY] = 5, [RESULT_CANCELLED] = 6 };
  int known_a = a >= 0 && a < (int)COUNT(rank) ? a : RESULT_EXCEPTION;
  int known_b = b >= 0 && b < (int)COUNT(rank) ? b : RESULT_EXCEPTION;

  return rank[known_a] >= rank[known_b] ? known_a : known_b;
}

int follow_run(struct follow *f)
{
  int result = RESULT_SUCCESS;

  if (f->n)
    set_interrupt(f, f->v[0].id);
  for (;;) {
    int open = 0;
    bool moved = false;
    for (int i = 0; i < f->n; i++) {
      if (f->v[i].done)
        continue;
      open++;
      if (!look(f, &f->v[i], &moved))
        return f->c->code;
    }
    if (!open)
      break;
    out_flush(f->c);
    if (!moved && !feed_wait(f->feed, is_patient(f) ? FOLLOW_PATIENT_MS : FEED_LOOK_MS))
      return f->c->code;
  }
  for (int i = 0; i < f->n; i++)
    result = i ? worse(result, f->v[i].result) : f->v[i].result;
  return cli_exit_of(result);
}
