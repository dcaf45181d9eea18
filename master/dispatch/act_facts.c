/* drover worker facts: what a worker is like now, and which versions its tools have. Asked of the worker, kept in its row, where its word is bounded and made valid text. */
#include "master/dispatch/actions_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "common/utf8.h"
#include "master/core/master.h"
#include "master/workers/ops.h"
#include "master/workers/session.h"
#include "proto/records.h"

enum { WAIT_MS = 25000, LINE_BYTES_MAX = 256 }; /* a worker gives all tools 20 s */

static void kept(struct db_res *res, void *arg)
{
  struct acting *a = arg;
  cJSON *json;

  if (acting_db_failed(a, res))
    return;
  if (!db_rows(res, 0)) {
    acting_fail(a, 409, "conflict", "try again", "worker %.100s is at another master by now", a->id);
    return;
  }
  json = cJSON_CreateObject();
  cJSON_AddStringToObject(json, "worker", a->id);
  cJSON_AddItemToObject(json, "facts", cJSON_Parse(db_str(res, 0, 0, 0)));
  cJSON_AddItemToObject(json, "tools", cJSON_Parse(a->text));
  acting_done(a, 200, json);
}

/* {name: line, or null}, of those that were asked for: "git git version 2.39.5". */
static char *tools_of(const cJSON *asked, const char *records, size_t n)
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
      text = utf8_text(blank + 1, strlen(blank + 1), LINE_BYTES_MAX, true);
      cJSON_ReplaceItemInObjectCaseSensitive(json, name, cJSON_CreateString(text));
      free(text);
    }
    free(name);
  }
  text = cJSON_PrintUnformatted(json);
  cJSON_Delete(json);
  return text;
}

static void told(void *arg, const struct ops_answer *answer)
{
  struct acting *a = arg;
  struct session *s = session_named(a->m->sessions, a->id);
  cJSON *asked;
  struct db_tx *tx;
  char *facts;

  if (strcmp(answer->tag, "ok") || !s) {
    bool late = !strcmp(answer->tag, "timeout");
    acting_fail(a, late ? 504 : 409, late ? "timeout" : "conflict", NULL, "worker %.100s: %.200s", a->id, *answer->text ? answer->text : answer->tag);
    return;
  }
  asked = cJSON_Parse(a->text);
  free(a->text);
  a->text = tools_of(asked, answer->records, answer->nrecords);
  cJSON_Delete(asked);
  facts = told_json(answer->records, answer->nrecords, NULL);
  tx = db_tx(a->m->db, (uint64_t)s->worker);
  db_q(tx, SQL_worker_facts, "nnss", s->worker, s->number, facts, a->text);
  free(facts);
  db_send(tx, kept, a);
}

static bool is_tool(const cJSON *it)
{
  const char *s = cJSON_GetStringValue(it);

  return s && *s && strlen(s) <= WIRE_TOOL_MAX && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-") == strlen(s) && !strchr("._+-", *s);
}

void act_worker_facts(struct acting *a, const cJSON *args)
{
  const cJSON *tools = cJSON_GetObjectItemCaseSensitive(args, "tools"), *it;
  const char *names[WIRE_TOOLS_MAX];
  struct ops_ask ask = { .verb = VERB_facts, .tools = names, .wait_ms = WAIT_MS };
  struct session *s = session_named(a->m->sessions, a->id);
  char *why;

  cJSON_ArrayForEach(it, tools) {
    if (ask.ntools == WIRE_TOOLS_MAX || !is_tool(it)) {
      acting_fail(a, 400, "bad_request", "git, gcc, make", "tools want at most %d names of programs, without a path", WIRE_TOOLS_MAX);
      return;
    }
    names[ask.ntools++] = it->valuestring;
  }
  if (!s) {
    acting_fail(a, 409, "conflict", "drover worker show tells where it is", "no worker %.100s is connected to this master", a->id);
    return;
  }
  a->text = cJSON_IsArray(tools) ? cJSON_PrintUnformatted(tools) : xstrdup("[]");
  if (ops_ask(s, &ask, told, a))
    return;
  why = ops_too_old(s, VERB_facts);
  acting_fail(a, 409, "conflict", NULL, "%s", why);
  free(why);
}
