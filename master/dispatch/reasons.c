#include "master/dispatch/reasons.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/log.h"
#include "common/map.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/wanted.h"

enum { REASONS_PAUSE_MS = 1000 };
enum { CLASSES, OTHERS, MINE }; /* statements of a look */

/* Kinds of reasons, those that are nearest to a begin first. */
static const char *const near[] = { "starting", "slots", "disk", "calendar", "quarantine", "paused", "no_worker" };

/* Of one class: what was said last, and since when. */
struct said {
  char *class, *kind, *object, *text;
  int64_t since; /* ms since 1970; 0: not answered yet */
  unsigned look; /* the last one that found somebody waiting */
};

struct reasons {
  struct master *m;
  uv_timer_t pause;
  uint64_t last;              /* loop time of the last look */
  unsigned look;
  bool busy, again;           /* between a look and the answer to what it wrote; something changed meanwhile */
  struct map *mine, *others;  /* class → struct said */
};

/* ---- pure ---- */

int reasons_rank(const char *kind)
{
  int i = 0;

  while (i < (int)COUNT(near) && !str_eq(near[i], kind))
    i++;
  return i;
}

static struct said *said_new(struct map *all, const char *class)
{
  struct said *s = xcalloc(1, sizeof *s);

  s->class = xstrdup(class);
  map_set(all, class, s);
  return s;
}

static void said_free(struct said *s)
{
  free(s->class);
  free(s->kind);
  free(s->object);
  free(s->text);
  free(s);
}

static void forget(struct map *all)
{
  size_t at = 0;
  struct said *s;

  while ((s = map_next(all, &at)))
    said_free(s);
  map_free(all);
}

static void say(struct said *s, const char *kind, const char *object, const char *text, int64_t since)
{
  free(s->kind);
  free(s->object);
  free(s->text);
  s->kind = xstrdup(kind);
  s->object = xstrdup(object);
  s->text = xstrdup(text);
  s->since = since;
}

void reasons_add(const struct reasons *r, const char *class, struct why *w)
{
  const struct said *mine = r ? map_get(r->mine, class) : NULL, *other = r ? map_get(r->others, class) : NULL;

  if (other && reasons_rank(other->kind) < reasons_rank(w->kind)) {
    w->kind = near[reasons_rank(other->kind)];
    snprintf(w->object, sizeof w->object, "%s", other->object);
    snprintf(w->text, sizeof w->text, "%s", other->text);
    w->since = other->since;
  } else if (mine && str_eq(mine->kind, w->kind) && str_eq(mine->object, w->object)) {
    w->since = mine->since;
  }
}

/* ---- looking ---- */

static void look(struct reasons *r);

static void on_pause(uv_timer_t *t)
{
  look(t->data);
}

static void rest(struct reasons *r)
{
  r->busy = false;
  if (r->again)
    reasons_kick(r);
}

void reasons_kick(struct reasons *r)
{
  uint64_t since;

  if (!r)
    return;
  r->again = r->busy;
  if (r->busy || uv_is_active((uv_handle_t *)&r->pause))
    return;
  since = uv_now(r->m->loop) - r->last;
  uv_timer_start(&r->pause, on_pause, since < REASONS_PAUSE_MS ? REASONS_PAUSE_MS - since : 0, 0);
}

bool reasons_rest(const struct reasons *r)
{
  return !r->busy && !uv_is_active((const uv_handle_t *)&r->pause);
}

static void written(struct db_res *res, void *arg)
{
  struct reasons *r = arg;

  if (db_err(res)) { /* all is told anew with the next look */
    if (db_err(res) == ERR_FAILED)
      log_error("reasons", "%s", db_errtext(res));
    forget(r->mine);
    r->mine = map_new();
  } else {
    for (int i = 0; i < db_rows(res, 0); i++) {
      struct said *s = map_get(r->mine, db_str(res, 0, i, 0));
      if (s)
        s->since = db_ms(res, 0, i, 1);
    }
  }
  rest(r);
}

/* What would be said now of a row's requests. */
static void why_of_class(struct reasons *r, const struct db_res *res, int row, struct why *w)
{
  enum { CLASS, PROJECT, BUILDER, TAGS, WANTS };
  struct wanted wanted;

  wanted_row(&wanted, res, CLASSES, row, (struct wanted_cols){ PROJECT, BUILDER, TAGS, WANTS });
  why_pending(r->m, &wanted.of, w);
  wanted_free(&wanted);
}

static void class_looked(struct reasons *r, const char *class, const struct why *w, cJSON *told)
{
  struct said *s = map_get(r->mine, class);
  cJSON *o;

  if (!s)
    s = said_new(r->mine, class);
  s->look = r->look;
  if (str_eq(s->kind, w->kind) && str_eq(s->object, w->object) && str_eq(s->text, w->text))
    return;
  say(s, w->kind, w->object, w->text, str_eq(s->kind, w->kind) && str_eq(s->object, w->object) ? s->since : 0);
  o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "class", class);
  cJSON_AddStringToObject(o, "kind", w->kind);
  cJSON_AddStringToObject(o, "object", w->object);
  cJSON_AddStringToObject(o, "text", w->text);
  cJSON_AddItemToArray(told, o);
}

/* Classes that are known and were not found this time. */
static void take_gone(struct reasons *r, cJSON *gone)
{
  struct map *kept = map_new();
  size_t at = 0;
  struct said *s;

  while ((s = map_next(r->mine, &at))) {
    if (s->look == r->look) {
      map_set(kept, s->class, s);
      continue;
    }
    cJSON_AddItemToArray(gone, cJSON_CreateString(s->class));
    said_free(s);
  }
  map_free(r->mine);
  r->mine = kept;
}

static void take_others(struct reasons *r, const struct db_res *res)
{
  forget(r->others);
  r->others = map_new();
  for (int i = 0; i < db_rows(res, OTHERS); i++) {
    const char *class = db_str(res, OTHERS, i, 0), *kind = db_str(res, OTHERS, i, 1);
    struct said *s = map_get(r->others, class);
    if (s && reasons_rank(s->kind) <= reasons_rank(kind))
      continue;
    if (!s)
      s = said_new(r->others, class);
    say(s, kind, db_str(res, OTHERS, i, 2), db_str(res, OTHERS, i, 3), db_ms(res, OTHERS, i, 4));
  }
}

static void looked(struct db_res *res, void *arg)
{
  struct reasons *r = arg;
  cJSON *told, *gone;
  struct why w;

  if (db_err(res) || r->m->stopping) {
    if (db_err(res) == ERR_FAILED)
      log_error("reasons", "%s", db_errtext(res));
    rest(r);
    return;
  }
  if (db_num(res, MINE, 0, 0) != (int64_t)map_count(r->mine)) { /* this master was silent for so long that others took it for dead */
    forget(r->mine);
    r->mine = map_new();
  }
  told = cJSON_CreateArray();
  gone = cJSON_CreateArray();
  for (int i = 0; i < db_rows(res, CLASSES); i++) {
    why_of_class(r, res, i, &w);
    class_looked(r, db_str(res, CLASSES, i, 0), &w, told);
  }
  take_gone(r, gone);
  take_others(r, res);
  if (cJSON_GetArraySize(told) || cJSON_GetArraySize(gone)) {
    struct db_tx *tx = db_tx(r->m->db, DB_ANY);
    char *t = cJSON_PrintUnformatted(told), *g = cJSON_PrintUnformatted(gone);
    db_q(tx, SQL_reasons_put, "nss", r->m->id, t, g);
    free(t);
    free(g);
    db_send(tx, written, r);
  } else {
    rest(r);
  }
  cJSON_Delete(told);
  cJSON_Delete(gone);
}

static void look(struct reasons *r)
{
  struct db_tx *tx;

  r->last = uv_now(r->m->loop);
  if (r->m->stopping || !r->m->id || !db_is_up(r->m->db))
    return; /* who comes back looks */
  r->busy = true;
  r->again = false;
  r->look++;
  tx = db_tx(r->m->db, DB_ANY);
  db_q(tx, SQL_wait_classes, "n", (int64_t)REASONS_MAX);
  db_q(tx, SQL_wait_others, "n", r->m->id);
  db_q(tx, SQL_wait_mine, "n", r->m->id);
  if (r->look > 1)
    db_q(tx, SQL_wait_dead, "n", r->m->id);
  db_send(tx, looked, r);
}

/* ---- life ---- */

struct reasons *reasons_new(struct master *m)
{
  struct reasons *r = xcalloc(1, sizeof *r);

  r->m = m;
  r->mine = map_new();
  r->others = map_new();
  uv_timer_init(m->loop, &r->pause);
  r->pause.data = r;
  return r;
}

static void closed(uv_handle_t *h)
{
  struct reasons *r = h->data;

  forget(r->mine);
  forget(r->others);
  free(r);
}

void reasons_free(struct reasons *r)
{
  r->m->reasons = NULL;
  uv_close((uv_handle_t *)&r->pause, closed);
}
