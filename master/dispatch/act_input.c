/* drover attach: input for a step that runs, and its terminal's size. Bytes may be secrets: they are in no log and no row, and the body is wiped (api/act.c). */
#include "master/dispatch/actions_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/conf/schema.h"
#include "master/core/master.h"
#include "master/dispatch/run_input.h"

static void told(void *arg, const struct run_input_told *t)
{
  struct acting *a = arg;
  cJSON *json;

  if (!t->state) {
    acting_fail(a, 503, "worker_away", "ask again", "the command of %.200s has just ended, or its worker is away", a->id);
    return;
  }
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "build", a->id);
  cJSON_AddStringToObject(json, "step", a->text);
  cJSON_AddBoolToObject(json, "pty", a->number != 0);
  cJSON_AddNumberToObject(json, "off", (double)t->off);
  cJSON_AddNumberToObject(json, "limit", (double)t->limit);
  cJSON_AddStringToObject(json, "state", t->state);
  cJSON_AddStringToObject(json, "way", t->way);
  cJSON_AddBoolToObject(json, "taken", t->taken);
  acting_done(a, 200, json);
}

/* There is no command of it here: is it over, or only somewhere else now? */
static void looked(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  bool there;

  if (acting_db_failed(a, res))
    return;
  there = db_rows(res, 0) > 0;
  if (!there)
    acting_fail(a, 404, "not_found", NULL, "there is no build %.200s", a->id);
  else if (!strcmp(db_str(res, 0, 0, 0), "done"))
    acting_fail(a, 409, "conflict", "drover log shows what it said", "build %.200s is over", a->id);
  else
    acting_fail(a, 503, "worker_away", "ask again", "no command of %.200s runs at a worker of this master now", a->id);
}

static void look(struct acting *a)
{
  char *project, *builder;
  int64_t number;
  struct db_tx *tx;

  if (act_build_id(a->id, &project, &builder, &number)) {
    acting_fail(a, 400, "bad_request", "PROJECT/BUILDER/NUMBER", "this is no build: %.200s", a->id);
    return;
  }
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_build_state, "ssn", project, builder, number);
  free(project);
  free(builder);
  db_send(tx, looked, a);
}

/* A number of bytes, where there is one. False: it is something else (answered). */
static bool offset(struct acting *a, const cJSON *args, const char *key, int64_t *out)
{
  const cJSON *it = cJSON_GetObjectItemCaseSensitive(args, key);

  if (!it)
    return true;
  *out = cJSON_IsNumber(it) && it->valuedouble >= 0 && it->valuedouble < 9e15 ? (int64_t)it->valuedouble : -1;
  if (*out >= 0)
    return true;
  acting_fail(a, 400, "bad_request", NULL, "%s wants a number of bytes", key);
  return false;
}

/* False: answered. */
static bool read_ask(struct acting *a, const cJSON *args, struct run_input_ask *ask, char **bytes)
{
  int cols, rows;

  *ask = (struct run_input_ask){ .after = -1, .size = act_string(args, "size"), .way = act_string(args, "way"), .close = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "close")) };
  if (!offset(a, args, "off", &ask->off) || !offset(a, args, "after", &ask->after))
    return false;
  *bytes = acting_base64(act_string(args, "data"), &ask->n);
  ask->bytes = *bytes;
  if (!*bytes)
    acting_fail(a, 400, "bad_request", NULL, "data wants base64");
  else if (ask->n > RUN_INPUT_WINDOW)
    acting_fail(a, 413, "too_large", "send it in parts", "more than %d bytes at once", RUN_INPUT_WINDOW);
  else if (ask->size && !schema_pty(ask->size, &cols, &rows))
    acting_fail(a, 400, "bad_request", "such as 80x24", "size wants COLSxROWS, each 1 to %d", SCHEMA_PTY_SIDE_MAX);
  else
    return true;
  return false;
}

void act_input(struct acting *a, const cJSON *args)
{
  struct run *r = run_input_of(a->m, a->id);
  struct run_input_ask ask;
  char *bytes = NULL, *why;

  if (read_ask(a, args, &ask, &bytes)) {
    why = r ? run_input_not_now(r, act_string(args, "step"), &ask) : NULL;
    if (why) {
      acting_fail(a, 409, "conflict", NULL, "%s", why);
    } else if (r) {
      if (!r->input)
        log_info("input", "%s: %s sends input to step %s", a->id, a->who, r->step.def->name);
      a->text = xstrdup(r->step.def->name);
      a->number = r->step.def->pty_cols;
      run_input_ask(r, &ask, told, a);
    } else {
      look(a);
    }
    free(why);
  }
  if (bytes)
    mem_wipe(bytes, ask.n);
  free(bytes);
}
