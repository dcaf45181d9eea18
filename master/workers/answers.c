/* What a worker's agent tells when it is asked: its own log, its facts and the versions of its tools. It is the worker's word: bounded, made valid text, and never waited for longer than some seconds. */
#include "master/workers/questions.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/core/master.h"
#include "master/core/refusal.h"
#include "master/db/db.h"
#include "master/workers/ops.h"
#include "master/workers/session.h"
#include "proto/records.h"

enum { LINES_DEFAULT = 100, TOOL_LINE_MAX = 256 };

struct asked {
  struct master *m;
  char *worker;
  int64_t lines; /* log */
  cJSON *tools;  /* facts: that were asked for; then what they say */
  question_told *told;
  void *arg;
};

static struct asked *asked_new(struct session *s, question_told *told, void *arg)
{
  struct asked *a = xcalloc(1, sizeof *a);

  *a = (struct asked){ .m = s->m, .worker = xstrdup(s->name), .told = told, .arg = arg };
  return a;
}

/* body: taken over. */
static void tell(struct asked *a, int status, cJSON *body)
{
  a->told(a->arg, status, body);
  free(a->worker);
  cJSON_Delete(a->tools);
  free(a);
}

static void refuse(struct asked *a, const struct ops_answer *answer)
{
  bool late = !strcmp(answer->tag, "timeout");

  if (!strcmp(answer->tag, "away"))
    tell(a, 0, NULL);
  else
    tell(a, late ? 504 : 409, refusal(late ? "timeout" : "conflict", NULL, "worker %.100s: %.200s", a->worker, *answer->text ? answer->text : answer->tag));
}

static void ask_it(struct session *s, struct asked *a, const struct ops_ask *ask, ops_done *done)
{
  char *why;

  if (ops_ask(s, ask, done, a))
    return;
  why = ops_too_old(s, ask->verb);
  tell(a, 409, refusal("conflict", NULL, "%s", why));
  free(why);
}

/* ---- its log ---- */

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

static void log_told(void *arg, const struct ops_answer *answer)
{
  struct asked *a = arg;
  cJSON *body;

  if (strcmp(answer->tag, "ok")) {
    refuse(a, answer);
    return;
  }
  body = cJSON_CreateObject();
  cJSON_AddStringToObject(body, "worker", a->worker);
  cJSON_AddItemToObject(body, "lines", last_lines(answer->data, answer->ndata, a->lines));
  tell(a, 200, body);
}

void answer_log(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg)
{
  const cJSON *lines = cJSON_GetObjectItemCaseSensitive(args, "lines");
  struct asked *a = asked_new(s, told, arg);

  a->lines = cJSON_IsNumber(lines) && lines->valueint >= 1 && lines->valueint <= QUESTION_LINES_MAX ? lines->valueint : LINES_DEFAULT;
  ask_it(s, a, &(struct ops_ask){ .verb = VERB_tail, .max = WIRE_TAIL_MAX, .wait_ms = wait_ms }, log_told);
}

/* ---- its facts ---- */

bool answer_is_tool(const cJSON *name)
{
  const char *s = cJSON_GetStringValue(name);

  return s && *s && strlen(s) <= WIRE_TOOL_MAX && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-") == strlen(s) && !strchr("._+-", *s);
}

/* {name: line, or null}, of those that were asked for: "git git version 2.39.5". */
static cJSON *tools_said(const cJSON *asked, const char *records, size_t n)
{
  cJSON *json = cJSON_CreateObject();
  char key[RECORDS_KEY_MAX + 1], *text;
  const char *value;
  const cJSON *it;
  size_t at = 0;

  cJSON_ArrayForEach(it, asked)
    if (!cJSON_GetObjectItemCaseSensitive(json, it->valuestring))
      cJSON_AddNullToObject(json, it->valuestring);
  while (!records_next(records, n, &at, key, &value)) {
    const char *blank = strcmp(key, "tool") ? NULL : strchr(value, ' ');
    char *name = blank ? xstrndup(value, (size_t)(blank - value)) : NULL;
    if (name && blank[1] && cJSON_GetObjectItemCaseSensitive(json, name)) {
      text = utf8_text(blank + 1, strlen(blank + 1), TOOL_LINE_MAX, true);
      cJSON_ReplaceItemInObjectCaseSensitive(json, name, cJSON_CreateString(text));
      free(text);
    }
    free(name);
  }
  return json;
}

static void kept(struct db_res *res, void *arg)
{
  struct asked *a = arg;
  cJSON *body;

  if (db_err(res) == ERR_FAILED)
    log_error("worker", "%s", db_errtext(res));
  if (db_err(res)) {
    tell(a, 503, refusal("database_away", "try again in a moment; drover status tells more", "the database is away: the facts of %.100s can't be kept", a->worker));
    return;
  }
  if (!db_rows(res, 0)) { /* at another master by now */
    tell(a, 0, NULL);
    return;
  }
  body = cJSON_CreateObject();
  cJSON_AddStringToObject(body, "worker", a->worker);
  cJSON_AddItemToObject(body, "facts", cJSON_Parse(db_str(res, 0, 0, 0)));
  cJSON_AddItemToObject(body, "tools", cJSON_DetachItemFromArray(a->tools, 0));
  tell(a, 200, body);
}

static void facts_told(void *arg, const struct ops_answer *answer)
{
  struct asked *a = arg;
  struct session *s = session_named(a->m->sessions, a->worker);
  char *facts, *tools;
  struct db_tx *tx;
  cJSON *said;

  if (strcmp(answer->tag, "ok")) {
    refuse(a, answer);
    return;
  }
  if (!s) {
    tell(a, 0, NULL);
    return;
  }
  said = tools_said(a->tools, answer->records, answer->nrecords);
  cJSON_Delete(a->tools);
  a->tools = cJSON_CreateArray();
  tools = cJSON_PrintUnformatted(said);
  cJSON_AddItemToArray(a->tools, said);
  facts = told_json(answer->records, answer->nrecords, NULL);
  tx = db_tx(a->m->db, (uint64_t)s->worker);
  db_q(tx, SQL_worker_facts, "nnss", s->worker, s->number, facts, tools);
  free(facts);
  free(tools);
  db_send(tx, kept, a);
}

void answer_facts(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg)
{
  const cJSON *it;
  const char *names[WIRE_TOOLS_MAX];
  struct ops_ask ask = { .verb = VERB_facts, .tools = names, .wait_ms = wait_ms };
  struct asked *a = asked_new(s, told, arg);

  a->tools = cJSON_CreateArray();
  cJSON_ArrayForEach(it, cJSON_GetObjectItemCaseSensitive(args, "tools"))
    if (ask.ntools < WIRE_TOOLS_MAX && answer_is_tool(it)) {
      names[ask.ntools++] = it->valuestring;
      cJSON_AddItemToArray(a->tools, cJSON_CreateString(it->valuestring));
    }
  ask_it(s, a, &ask, facts_told);
}
