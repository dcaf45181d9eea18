/* Input for commands, here and elsewhere. */
#include "master/dispatch/input.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/schema.h"
#include "master/core/envelope.h"
#include "master/core/master.h"
#include "master/core/refusal.h"
#include "master/workers/session.h"

/* ---- what is asked ---- */

static const char *text_of(const cJSON *args, const char *key)
{
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(args, key));
}

static bool is_true(const cJSON *args, const char *key)
{
  return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, key));
}

/* A number of bytes, where there is one. False: it is something else. */
static bool offset(const cJSON *args, const char *key, int64_t *out)
{
  const cJSON *it = cJSON_GetObjectItemCaseSensitive(args, key);

  if (it)
    *out = cJSON_IsNumber(it) && it->valuedouble >= 0 && it->valuedouble < 9e15 ? (int64_t)it->valuedouble : -1;
  return !it || *out >= 0;
}

const char *input_read(const cJSON *args, struct run_input_ask *ask, const char **help)
{
  int cols, rows;

  *help = NULL;
  *ask = (struct run_input_ask){ .bytes = "", .after = -1, .size = text_of(args, "size"), .way = text_of(args, "way"), .close = is_true(args, "close"),
    .by = { .sender = text_of(args, "sender"), .who = "", .take = is_true(args, "take"), .leave = is_true(args, "leave") } };
  if (!offset(args, "off", &ask->off))
    return "off wants a number of bytes";
  if (!offset(args, "after", &ask->after))
    return "after wants a number of bytes";
  if (ask->by.sender && !hold_is_sender(ask->by.sender))
    return "sender wants 1 to 32 letters and digits";
  if ((ask->by.take || ask->by.leave) && !ask->by.sender)
    return "take and leave want a sender";
  if (!ask->size || schema_pty(ask->size, &cols, &rows))
    return NULL;
  *help = "such as 80x24";
  return "size wants COLSxROWS, each 1 to 9999";
}

/* ---- at the master that has the worker ---- */

/* One that the run is asked for. */
struct given {
  char *build, *step;
  bool pty;
  question_told *told;
  void *arg;
};

static void given(void *arg, const struct run_input_told *t)
{
  struct given *g = arg;
  cJSON *json;

  if (t->state) {
    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "build", g->build);
    cJSON_AddStringToObject(json, "step", g->step);
    cJSON_AddBoolToObject(json, "pty", g->pty);
    cJSON_AddNumberToObject(json, "off", (double)t->off);
    cJSON_AddNumberToObject(json, "limit", (double)t->limit);
    cJSON_AddNumberToObject(json, "next", (double)t->next);
    cJSON_AddStringToObject(json, "state", t->state);
    cJSON_AddStringToObject(json, "way", t->way);
    cJSON_AddBoolToObject(json, "taken", t->taken);
    g->told(g->arg, 200, json);
  } else {
    g->told(g->arg, 503, refusal("worker_away", "ask again", "the command of %.200s has just ended, or its worker is away", g->build));
  }
  free(g->build);
  free(g->step);
  free(g);
}

void input_here(struct master *m, const char *build, const char *step, const struct run_input_ask *ask, question_told *told, void *arg)
{
  struct run *r = run_input_of(m, build);
  char *why = r ? run_input_not_now(r, step, ask) : NULL, *held = r && !why ? run_input_held(r, ask) : NULL;
  struct given *g;

  if (!r) {
    told(arg, 503, refusal("worker_away", "ask again", "no command of %.200s runs just now", build));
  } else if (why) {
    told(arg, 409, refusal("conflict", NULL, "%s", why));
  } else if (held) {
    told(arg, 409, refusal("input_held", "drover attach --take takes it over", "%s", held));
  } else {
    g = xcalloc(1, sizeof *g);
    *g = (struct given){ xstrdup(build), xstrdup(r->step.def->name), r->step.def->pty_cols != 0, told, arg };
    run_input_ask(r, ask, given, g);
  }
  free(why);
  free(held);
}

/* ---- from another master ---- */

static void add_text(cJSON *o, const char *key, const char *text)
{
  if (text)
    cJSON_AddStringToObject(o, key, text);
}

static void add_true(cJSON *o, const char *key, bool is)
{
  if (is)
    cJSON_AddTrueToObject(o, key);
}

cJSON *input_question(const char *address, const char *build, const char *step, const struct run_input_ask *ask)
{
  char *sealed = envelope_seal(address, build, ask->off, ask->bytes, ask->n);
  cJSON *o;

  if (!sealed)
    return NULL;
  o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "build", build);
  add_text(o, "step", step);
  add_text(o, "who", ask->by.who);
  add_text(o, "sender", ask->by.sender);
  add_true(o, "take", ask->by.take);
  add_true(o, "leave", ask->by.leave);
  add_true(o, "close", ask->close);
  add_text(o, "size", ask->size);
  add_text(o, "way", ask->way);
  cJSON_AddNumberToObject(o, "off", (double)ask->off);
  if (ask->after >= 0)
    cJSON_AddNumberToObject(o, "after", (double)ask->after);
  if (ask->n)
    cJSON_AddStringToObject(o, "sealed", sealed);
  free(sealed);
  return o;
}

struct asked {
  question_told *told;
  void *arg;
};

static void answered(void *arg, int status, cJSON *body)
{
  struct asked *a = arg;
  cJSON *o = cJSON_CreateObject();

  cJSON_AddNumberToObject(o, "status", status);
  cJSON_AddItemToObject(o, "body", body);
  a->told(a->arg, 200, o);
  free(a);
}

void input_answer(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg)
{
  const char *build = text_of(args, "build"), *sealed = text_of(args, "sealed"), *who = text_of(args, "who"), *help;
  struct run_input_ask ask;
  const char *wrong = input_read(args, &ask, &help);
  struct asked *a = xcalloc(1, sizeof *a);
  char *bytes = NULL;

  *a = (struct asked){ told, arg };
  if (wrong || !build) {
    answered(a, 400, refusal("bad_request", "upgrade all masters", "%s", wrong ? wrong : "a question about input without a build"));
    return;
  }
  ask.by.who = who ? who : "";
  ask.wait_ms = wait_ms;
  ask.far = true;
  if (sealed) {
    bytes = envelope_open(s->m->envelopes, sealed, build, ask.off, &ask.n);
    ask.bytes = bytes;
    if (!bytes || ask.n > RUN_INPUT_WINDOW) { /* for another one, which is gone: lost with it */
      ask.n = 0;
      ask.close = false;
      ask.way = "";
    }
  }
  input_here(s->m, build, text_of(args, "step"), &ask, answered, a);
  if (bytes)
    mem_wipe(bytes, ask.n);
  free(bytes);
}
