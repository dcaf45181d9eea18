/* Why a request waits, runs, or ended so: a pending one from what dispatch knows now, the others from their rows and those of what they need. */
#include "master/api/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/dispatch/why.h"
#include "master/steps/step.h"

/* Columns of api_why. */
enum {
  STATE, RESULT, WHY, TAGS, ATTEMPTS, CREATED, CLAIMED, FINISHED, SCHEDULER, WHO, REASON, CHANGES, RERUN_OF, BUILD, BUILD_STATE, SLOT, STARTED, WORKER, CONNECTED, LOST_AT, BUILD_WHY, PROJECT, BUILDER, NEEDS,
};

enum { REQUEST_PROJECT = 2, REQUEST_BUILDER = 3, REQUEST_STATE = 4, REQUEST_TAGS = 12, REQUEST_NEEDS = 17 }; /* of request_cols */

struct reason {
  const char *kind, *object;
  int64_t since;
  struct buf text;
};

static const char *col(const struct db_res *r, int c)
{
  return db_str(r, 0, 0, c);
}

/* Who or what wanted it. */
static void add_origin(struct buf *text, const struct db_res *r)
{
  if (*col(r, SCHEDULER))
    buf_addf(text, "Scheduler %s asked for it", col(r, SCHEDULER));
  else
    buf_addf(text, "%s asked for it", *col(r, WHO) ? col(r, WHO) : "Somebody");
  if (*col(r, CHANGES))
    buf_addf(text, " because of %s", col(r, CHANGES));
  if (*col(r, REASON))
    buf_addf(text, " (%s)", col(r, REASON));
  buf_adds(text, ".");
}

static void why_waiting(struct call *c, const struct db_res *r, struct reason *out, struct why *w)
{
  int n;
  char **tags = db_texts(r, 0, 0, TAGS, &n);

  memset(w, 0, sizeof *w);
  why_pending(call_master(c), col(r, PROJECT), col(r, BUILDER), (const char *const *)tags, n, w);
  for (int i = 0; i < n; i++)
    free(tags[i]);
  free(tags);
  out->kind = w->kind && *w->kind ? w->kind : "starting";
  out->object = w->object;
  out->since = db_ms(r, 0, 0, CREATED);
  buf_addf(&out->text, "%s.", w->text[0] ? w->text : "it is about to start");
  if (db_num(r, 0, 0, ATTEMPTS))
    buf_addf(&out->text, " It was tried before (%s).", *col(r, WHY) ? col(r, WHY) : "without a result");
}

static const char *of(const cJSON *o, const char *key)
{
  const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

  return s ? s : "";
}

/* needs: as the database wrote them (API_NEEDS). The first that is not over, and how many there are. */
static void why_needs(const char *needs, struct why *w)
{
  cJSON *list = cJSON_Parse(needs), *it;
  const cJSON *first = NULL;
  int open = 0, n;

  memset(w, 0, sizeof *w);
  w->kind = "needs";
  cJSON_ArrayForEach(it, list)
    if (strcmp(of(it, "state"), "done") && !open++)
      first = it;
  if (first) {
    bool runs = !strcmp(of(first, "state"), "claimed") && *of(first, "build");
    snprintf(w->object, sizeof w->object, "%s", of(first, "request"));
    n = snprintf(w->text, sizeof w->text, "it needs %.80s, which %s (%.110s)", of(first, "builder"), runs ? "runs" : "waits too", of(first, runs ? "build" : "request"));
    if (open > 1)
      snprintf(w->text + n, sizeof w->text - (size_t)n, ", and %d more", open - 1);
  } else {
    snprintf(w->text, sizeof w->text, "what it needs has just ended");
  }
  cJSON_Delete(list);
}

static void why_needing(const struct db_res *r, struct reason *out, struct why *w)
{
  why_needs(col(r, NEEDS), w);
  out->kind = w->kind;
  out->object = w->object;
  out->since = db_ms(r, 0, 0, CREATED);
  buf_addf(&out->text, "%c%s.", w->text[0] - 'a' + 'A', w->text + 1);
}

static void why_running(const struct db_res *r, struct reason *out)
{
  out->kind = strcmp(col(r, BUILD_STATE), "cancelling") ? "running" : "cancelling";
  out->object = col(r, BUILD);
  out->since = db_ms(r, 0, 0, STARTED);
  buf_addf(&out->text, "%s runs it on %s, slot %lld.", col(r, BUILD), col(r, WORKER), (long long)db_num(r, 0, 0, SLOT));
  if (!db_num(r, 0, 0, CONNECTED)) {
    out->kind = "worker_away";
    out->object = col(r, WORKER);
    out->since = db_ms(r, 0, 0, LOST_AT);
    buf_adds(&out->text, " That worker is away; it goes on when it is back.");
  }
}

static void why_ended(const struct db_res *r, struct reason *out)
{
  out->kind = result_text((int)db_num(r, 0, 0, RESULT));
  out->object = col(r, BUILD);
  out->since = db_ms(r, 0, 0, FINISHED);
  if (*col(r, BUILD))
    buf_addf(&out->text, "%s ended it on %s: %s", col(r, BUILD), col(r, WORKER), out->kind);
  else
    buf_addf(&out->text, "It ended before it was started: %s", out->kind);
  if (*col(r, WHY))
    buf_addf(&out->text, " (%s)", col(r, WHY));
  else if (*col(r, BUILD_WHY))
    buf_addf(&out->text, " (%s)", col(r, BUILD_WHY));
  buf_adds(&out->text, ".");
  if (*col(r, BUILD) && strcmp(col(r, BUILD_STATE), "done"))
    buf_addf(&out->text, " The slot is held until %s has told that all processes are gone.", col(r, WORKER));
}

/* tags: a JSON array of strings, as the database wrote it. */
static void why_of_tags(struct call *c, const char *project, const char *builder, const char *tags, struct why *w)
{
  cJSON *list = cJSON_Parse(tags), *tag;
  int n = 0, all = cJSON_GetArraySize(list);
  const char **v = xcalloc((size_t)all + 1, sizeof *v);

  cJSON_ArrayForEach(tag, list)
    if (cJSON_IsString(tag))
      v[n++] = tag->valuestring;
  memset(w, 0, sizeof *w);
  why_pending(call_master(c), project, builder, v, n, w);
  free(v);
  cJSON_Delete(list);
}

static void got_why(struct call *c, const struct db_res *r)
{
  struct reason out = { .since = INT64_MIN };
  struct why w;
  cJSON *o, *reason;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", NULL, "there is no request %s", call_arg(c, 0));
    return;
  }
  buf_init(&out.text, BUF_NO_MAX);
  if (!strcmp(col(r, STATE), "waiting"))
    why_needing(r, &out, &w);
  else if (!strcmp(col(r, STATE), "pending"))
    why_waiting(c, r, &out, &w);
  else if (!strcmp(col(r, STATE), "claimed"))
    why_running(r, &out);
  else
    why_ended(r, &out);
  buf_adds(&out.text, " ");
  add_origin(&out.text, r);
  o = cJSON_CreateObject();
  json_text(o, "state", col(r, STATE));
  reason = cJSON_AddObjectToObject(o, "reason");
  json_text(reason, "kind", out.kind);
  json_text(reason, "text", buf_str(&out.text));
  json_text(reason, "object", out.object && *out.object ? out.object : NULL);
  json_ms(reason, "since", out.since);
  buf_free(&out.text);
  call_json(c, 200, o);
}

/* Rows of one builder with the same tags, which stand together more often than not, wait for the same; so do those with the same needs. */
cJSON *request_rows(struct call *c, const struct db_res *r, int stmt)
{
  cJSON *list = json_rows(r, stmt, request_cols, REQUEST_COLS), *o;
  char *last = NULL;
  struct why w;
  int i = 0;

  cJSON_ArrayForEach(o, list) {
    const char *tags = db_str(r, stmt, i, REQUEST_TAGS), *project = db_str(r, stmt, i, REQUEST_PROJECT), *builder = db_str(r, stmt, i, REQUEST_BUILDER);
    const char *state = db_str(r, stmt, i, REQUEST_STATE), *needs = db_str(r, stmt, i++, REQUEST_NEEDS);
    cJSON *waits;
    char *mine;
    if (strcmp(state, "pending") && strcmp(state, "waiting")) {
      cJSON_AddNullToObject(o, "waits");
      continue;
    }
    mine = !strcmp(state, "waiting") ? xstrdup(needs) : xasprintf("%s/%s %s", project, builder, tags);
    if (!str_eq(last, mine)) {
      if (!strcmp(state, "waiting"))
        why_needs(needs, &w);
      else
        why_of_tags(c, project, builder, tags, &w);
    }
    free(last);
    last = mine;
    waits = cJSON_AddObjectToObject(o, "waits");
    json_text(waits, "kind", w.kind && *w.kind ? w.kind : "starting");
    json_text(waits, "text", w.text[0] ? w.text : "about to start");
    json_text(waits, "object", w.object[0] ? w.object : NULL);
  }
  free(last);
  return list;
}

void read_why(struct call *c)
{
  struct db_tx *tx;
  int64_t id;

  if (!id_get(c, call_arg(c, 0), 'r', &id))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_why, "n", id);
  call_ask(c, tx, got_why);
}
