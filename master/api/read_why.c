/* Why a request waits, runs, or ended so: a pending one from what dispatch knows now, the others from their rows and those of what they need. */
#include "master/api/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/core/master.h"
#include "master/dispatch/eta_now.h"
#include "master/dispatch/reasons.h"
#include "master/dispatch/row_worker.h"
#include "master/dispatch/wanted.h"
#include "master/steps/step.h"

enum { BEFORE = 1, AWAY, ETA }; /* statements behind api_why */

/* Columns of api_why. */
enum {
  STATE, RESULT, WHY, TAGS, ATTEMPTS, CREATED, CLAIMED, FINISHED, SCHEDULER, WHO, REASON, CHANGES, RERUN_OF, BUILD, BUILD_STATE, SLOT, STARTED, WORKER, CONNECTED, LOST_AT, BUILD_WHY, PROJECT, BUILDER, NEEDS, WANTS, ENDED, ASKING, REPORTER, CLASS, INTO, INTO_BUILD, INTO_AT,
};

enum { REQUEST_ID = 0, REQUEST_PROJECT = 2, REQUEST_BUILDER = 3, REQUEST_STATE = 4, REQUEST_WHY = 6, REQUEST_TAGS = 12, REQUEST_CREATED = 13, REQUEST_BUILDS = 16, REQUEST_NEEDS = 17, REQUEST_WANTS = 18, REQUEST_INTO = 20, REQUEST_ROW = 22 }; /* of request_cols */

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
  if (*col(r, REPORTER))
    buf_addf(text, "%s reported it. ", col(r, REPORTER));
  if (*col(r, SCHEDULER))
    buf_addf(text, "Scheduler %s asked for it", col(r, SCHEDULER));
  else
    buf_addf(text, "%s asked for it", *col(r, WHO) ? col(r, WHO) : "Somebody");
  if (*col(r, CHANGES))
    buf_addf(text, " because of %s", col(r, CHANGES));
  if (*col(r, REASON) && !(str_starts(col(r, REASON), "asked for by ") && str_eq(col(r, REASON) + sizeof "asked for by " - 1, col(r, WHO))))
    buf_addf(text, " (%s)", col(r, REASON));
  buf_adds(text, ".");
}

/* " build1, which could take it, is away.": of those that are away, the one that went last. stmt: away_workers. */
static void add_away(struct call *c, const struct db_res *r, int stmt, const struct why_of *of, struct buf *text)
{
  const char *first = NULL;
  int more = 0;

  for (int i = 0; i < db_rows(r, stmt); i++) {
    struct row_worker w;
    row_worker_read(&w, call_master(c), r, stmt, i);
    if (row_worker_fits(&w, call_master(c), of)) {
      more += first != NULL;
      first = first ? first : w.is.name;
    }
    row_worker_free(&w);
  }
  if (first && more)
    buf_addf(text, " %s and %d more, which could take it, are away.", first, more);
  else if (first)
    buf_addf(text, " %s, which could take it, is away.", first);
}

static void why_waiting(struct call *c, int64_t id, const struct db_res *r, struct reason *out, struct why *w)
{
  struct wanted wanted;

  wanted_row(&wanted, r, 0, 0, (struct wanted_cols){ PROJECT, BUILDER, TAGS, WANTS });
  why_pending(call_master(c), &wanted.of, w);
  reasons_add(call_master(c)->reasons, col(r, CLASS), w);
  if (str_eq(w->kind, "starting"))
    why_locks(call_master(c), id, false, w);
  out->kind = w->kind && *w->kind ? w->kind : "starting";
  out->object = w->object;
  out->since = w->since > db_ms(r, 0, 0, CREATED) ? w->since : db_ms(r, 0, 0, CREATED); /* those before it may have waited for the same */
  buf_addf(&out->text, "%s.", w->text[0] ? w->text : "it is about to start");
  if (str_eq(w->kind, "no_worker"))
    add_away(c, r, AWAY, &wanted.of, &out->text);
  wanted_free(&wanted);
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
  if (first && !strcmp(of(first, "state"), "asking")) {
    snprintf(w->object, sizeof w->object, "%.79s", of(first, "builder"));
    n = snprintf(w->text, sizeof w->text, "it needs %.80s, which is about to be asked for%s%.100s", of(first, "builder"), *of(first, "why") ? "; not yet: " : "", of(first, "why"));
  } else if (first) {
    bool runs = !strcmp(of(first, "state"), "claimed") && *of(first, "build");
    snprintf(w->object, sizeof w->object, "%s", of(first, "request"));
    n = snprintf(w->text, sizeof w->text, "it needs %.80s, which %s (%.110s)", of(first, "builder"), runs ? "runs" : "waits too", of(first, runs ? "build" : "request"));
  } else {
    n = INT_MAX;
    snprintf(w->text, sizeof w->text, "what it needs has just ended");
  }
  if (open > 1 && n < (int)sizeof w->text)
    snprintf(w->text + n, sizeof w->text - (size_t)n, ", and %d more", open - 1);
  cJSON_Delete(list);
}

/* A request that waits and says why was lost, and waits for a person: those that wait for others have no reason yet. */
static void why_asks(const char *id, const char *why, struct why *w)
{
  memset(w, 0, sizeof *w);
  w->kind = "approval";
  snprintf(w->object, sizeof w->object, "%.79s", id);
  snprintf(w->text, sizeof w->text, "it was lost (%.90s), and a person must say what to do: drover approve %.20s, or drover cancel %.20s", why, id, id);
}

/* into: the request of a newer change that stands for it; build: that one's, "": it has none yet. */
static void why_collapsed(const char *into, const char *build, struct why *w)
{
  memset(w, 0, sizeof *w);
  w->kind = "collapsed";
  snprintf(w->object, sizeof w->object, "%s", into);
  snprintf(w->text, sizeof w->text, "it ends as %s does, which a newer change has made and into which it was collapsed; %s%.100s", into, *build ? "that is built as " : "that waits too", build);
}

/* The same of a row, which has a list of builds. */
static void why_collapsed_row(const char *into, const char *builds, struct why *w)
{
  cJSON *list = cJSON_Parse(builds);
  const char *last = cJSON_GetStringValue(cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1));

  why_collapsed(into, last ? last : "", w);
  cJSON_Delete(list);
}

static void why_needing(struct call *c, const struct db_res *r, struct reason *out, struct why *w)
{
  if (*col(r, INTO)) {
    why_collapsed(col(r, INTO), col(r, INTO_BUILD), w);
    out->kind = w->kind;
    out->object = w->object;
    out->since = db_ms(r, 0, 0, INTO_AT);
    buf_addf(&out->text, "%c%s.", w->text[0] - 'a' + 'A', w->text + 1);
    return;
  }
  if (*col(r, WHY)) {
    why_asks(call_arg(c, 0), col(r, WHY), w);
    out->kind = w->kind;
    out->object = w->object;
    out->since = db_ms(r, 0, 0, ENDED);
    buf_addf(&out->text, "%c%s.", w->text[0] - 'a' + 'A', w->text + 1);
    return;
  }
  why_needs(col(r, NEEDS), w);
  out->kind = w->kind;
  out->object = w->object;
  out->since = db_ms(r, 0, 0, CREATED);
  buf_addf(&out->text, "%c%s.", w->text[0] - 'a' + 'A', w->text + 1);
}

/* What its step triggers elsewhere and that is not asked for yet: the first of it. */
static void add_asking(struct buf *text, const char *asking)
{
  cJSON *list = cJSON_Parse(asking);
  const cJSON *first = cJSON_GetArrayItem(list, 0);

  if (first)
    buf_addf(text, " What it waits for, %s, is about to be asked for%s%s.", of(first, "builder"), *of(first, "why") ? "; not yet: " : "", of(first, "why"));
  cJSON_Delete(list);
}

static void why_running(struct call *c, int64_t id, const struct db_res *r, struct reason *out, struct why *w)
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
  } else if (why_locks(call_master(c), id, true, w)) {
    out->kind = w->kind;
    out->object = w->object;
    out->since = w->since ? w->since : out->since;
    buf_addf(&out->text, " Its step %s.", w->text);
  } else if (!db_null(r, 0, 0, ASKING)) {
    add_asking(&out->text, col(r, ASKING));
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
    buf_addf(&out->text, " Its slot and locks are held until %s has told that all processes are gone.", col(r, WORKER));
}

static void why_of_row(struct call *c, const char *project, const char *builder, const char *tags, const char *wants, struct why *w)
{
  struct wanted wanted;

  wanted_json(&wanted, project, builder, tags, wants);
  memset(w, 0, sizeof *w);
  why_pending(call_master(c), &wanted.of, w);
  wanted_free(&wanted);
}

static void got_why(struct call *c, const struct db_res *r)
{
  struct reason out = { .since = INT64_MIN };
  struct eta_begin begin;
  struct why w;
  int64_t id;
  cJSON *o, *reason;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", NULL, "there is no request %s", call_arg(c, 0));
    return;
  }
  if (!id_get(c, call_arg(c, 0), 'r', &id))
    return;
  buf_init(&out.text, BUF_NO_MAX);
  if (!strcmp(col(r, STATE), "waiting"))
    why_needing(c, r, &out, &w);
  else if (!strcmp(col(r, STATE), "pending"))
    why_waiting(c, id, r, &out, &w);
  else if (!strcmp(col(r, STATE), "claimed"))
    why_running(c, id, r, &out, &w);
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
  eta_json(o, !strcmp(col(r, STATE), "pending") && eta_tells(out.kind) && eta_of(c, r, BEFORE, ETA, &begin) ? &begin : NULL);
  buf_free(&out.text);
  call_json(c, 200, o);
}

static void put_waits(cJSON *waits, const struct why *w, int64_t created)
{
  json_text(waits, "kind", w->kind && *w->kind ? w->kind : "starting");
  json_text(waits, "text", w->text[0] ? w->text : "about to start");
  json_text(waits, "object", w->object[0] ? w->object : NULL);
  json_ms(waits, "since", w->since > created ? w->since : created);
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
    const char *state = db_str(r, stmt, i, REQUEST_STATE), *wants = db_str(r, stmt, i, REQUEST_WANTS), *needs = db_str(r, stmt, i, REQUEST_NEEDS);
    const char *why = db_str(r, stmt, i, REQUEST_WHY), *id = db_str(r, stmt, i, REQUEST_ID), *into = db_str(r, stmt, i, REQUEST_INTO);
    int64_t row = db_num(r, stmt, i++, REQUEST_ROW);
    struct why lock;
    bool locked;
    char *mine;
    if (strcmp(state, "pending") && strcmp(state, "waiting")) {
      cJSON_AddNullToObject(o, "waits");
      continue;
    }
    mine = !strcmp(state, "waiting") ? xasprintf("%s%s%s", *why ? id : "", into, needs) : xasprintf("%s/%s %s %s", project, builder, tags, wants);
    if (!str_eq(last, mine)) {
      if (!strcmp(state, "waiting") && *why)
        why_asks(id, why, &w);
      else if (*into)
        why_collapsed_row(into, db_str(r, stmt, i - 1, REQUEST_BUILDS), &w);
      else if (!strcmp(state, "waiting"))
        why_needs(needs, &w);
      else
        why_of_row(c, project, builder, tags, wants, &w);
      if (!strcmp(state, "pending"))
        reasons_add(call_master(c)->reasons, mine, &w);
    }
    free(last);
    last = mine;
    locked = str_eq(w.kind, "starting") && why_locks(call_master(c), row, false, &lock); /* each has its own place in the line */
    put_waits(cJSON_AddObjectToObject(o, "waits"), locked ? &lock : &w, db_ms(r, stmt, i - 1, REQUEST_CREATED));
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
  db_q(tx, SQL_api_before, "nn", id, (int64_t)ETA_QUEUE_MAX);
  db_q(tx, SQL_away_workers, "");
  eta_now_ask(tx, call_master(c), id);
  call_ask(c, tx, got_why);
}
