/* drover attach: input for a step that runs, and its terminal's size. Bytes may be secrets: they are in no log and no row, and the body is wiped (api/act.c). */
#include "master/dispatch/actions_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "master/core/base64.h"
#include "master/core/master.h"
#include "master/dispatch/input.h"

enum { ELSEWHERE_MAX = 64 /* that wait for other masters: what they have in the database is bounded with that */ };

/* One whose command is at no worker of this master. */
struct far {
  struct acting *a;
  cJSON *args;  /* but for data: what ask borrows */
  char *bytes;
  struct run_input_ask ask;
};

static int elsewhere;

static void told_here(void *arg, int status, cJSON *body)
{
  acting_done(arg, status, body);
}

static void free_far(struct far *f)
{
  mem_wipe(f->bytes, f->ask.n);
  free(f->bytes);
  cJSON_Delete(f->args);
  free(f);
}

/* What is wrong with the question itself is the way's trouble, not the input's: the sender asks again. */
static void told_elsewhere(int status, const char *text, void *arg)
{
  struct acting *a = arg;
  cJSON *answer = cJSON_Parse(text), *body = cJSON_DetachItemFromObjectCaseSensitive(answer, "body");
  const cJSON *of = cJSON_GetObjectItemCaseSensitive(answer, "status"), *why = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(answer, "error"), "message");

  elsewhere--;
  if (status == 200 && body && cJSON_IsNumber(of) && of->valueint >= 200 && of->valueint < 600) {
    acting_done(a, of->valueint, body);
  } else {
    acting_fail(a, 503, "worker_away", "ask again", "no command of %.200s can be reached now: %.300s", a->id, why && cJSON_IsString(why) ? why->valuestring : "its master's answer is not understood");
    cJSON_Delete(body);
  }
  cJSON_Delete(answer);
}

/* There is no command of it here: is it over, or at another master's worker? */
static void looked(struct db_res *res, void *arg)
{
  enum { STATE, WORKER, CONNECTED, ADDRESS };
  struct far *f = arg;
  struct acting *a = f->a;
  cJSON *question = NULL;

  if (acting_db_failed(a, res))
    ;
  else if (!db_rows(res, 0))
    acting_fail(a, 404, "not_found", NULL, "there is no build %.200s", a->id);
  else if (!strcmp(db_str(res, 0, 0, STATE), "done"))
    acting_fail(a, 409, "conflict", "drover log shows what it said", "build %.200s is over", a->id);
  else if (!db_num(res, 0, 0, CONNECTED))
    acting_fail(a, 503, "worker_away", "ask again", "no command of %.200s can be reached now: its worker is away", a->id);
  else if (elsewhere >= ELSEWHERE_MAX)
    acting_fail(a, 503, "busy", "ask again", "too many send input to workers of other masters");
  else if (!(question = input_question(db_str(res, 0, 0, ADDRESS), a->id, act_string(f->args, "step"), &f->ask)))
    acting_fail(a, 409, "conflict", "upgrade all masters", "the master that has the worker of %.200s has another version, and can't be sent input", a->id);
  else {
    elsewhere++;
    question_ask(a->m, QUESTION_INPUT, db_str(res, 0, 0, WORKER), question, told_elsewhere, a);
  }
  cJSON_Delete(question);
  free_far(f);
}

/* bytes: taken over. */
static void look(struct acting *a, const cJSON *args, char *bytes, size_t n)
{
  static const char *const words[] = { "step", "size", "way", "sender", "off", "after", "close", "take", "leave" };
  struct far *f = xcalloc(1, sizeof *f);
  char *project, *builder;
  const char *help, *wrong;
  int64_t number;
  struct db_tx *tx;

  *f = (struct far){ .a = a, .args = cJSON_CreateObject(), .bytes = bytes };
  for (size_t i = 0; i < COUNT(words); i++) {
    const cJSON *it = cJSON_GetObjectItemCaseSensitive(args, words[i]);
    if (it)
      cJSON_AddItemToObject(f->args, words[i], cJSON_Duplicate(it, true));
  }
  wrong = input_read(f->args, &f->ask, &help);
  assert(!wrong); /* nor was there with what it is a copy of */
  (void)wrong;
  f->ask.bytes = bytes;
  f->ask.n = n; /* and so much is wiped, whatever comes */
  f->ask.by.who = a->who;
  if (!act_build_id(a, &project, &builder, &number)) {
    free_far(f);
    return;
  }
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_input_place, "ssn", project, builder, number);
  free(project);
  free(builder);
  db_send(tx, looked, f);
}

/* Of the bytes that are sent. NULL: answered. */
static char *read_bytes(struct acting *a, const cJSON *args, size_t *n)
{
  char *bytes = base64_read(act_string(args, "data"), n);

  if (!bytes)
    acting_fail(a, 400, "bad_request", NULL, "data wants base64");
  else if (*n <= RUN_INPUT_WINDOW)
    return bytes;
  else
    acting_fail(a, 413, "too_large", "send it in parts", "more than %d bytes at once", RUN_INPUT_WINDOW);
  if (bytes)
    mem_wipe(bytes, *n);
  free(bytes);
  return NULL;
}

void act_input(struct acting *a, const cJSON *args)
{
  struct run_input_ask ask;
  const char *help, *wrong = input_read(args, &ask, &help);
  char *bytes;
  size_t n;

  if (wrong) {
    acting_fail(a, 400, "bad_request", help, "%s", wrong);
  } else if (!(bytes = read_bytes(a, args, &n))) {
    return;
  } else if (!run_input_of(a->m, a->id)) {
    look(a, args, bytes, n);
  } else {
    ask.bytes = bytes;
    ask.n = n;
    ask.by.who = a->who;
    input_here(a->m, a->id, act_string(args, "step"), &ask, told_here, a);
    mem_wipe(bytes, n);
    free(bytes);
  }
}
