#include "master/dispatch/want.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"
#include "master/conf/expr.h"
#include "master/conf/pipe_expr.h"

enum { SAID_MAX = 4 }; /* values that are named where none is the right one */

/* ---- those that were read ---- */

struct wants {
  struct map *by_text; /* text → struct want_term */
};

struct wants *wants_new(void)
{
  struct wants *ws = xcalloc(1, sizeof *ws);

  ws->by_text = map_new();
  return ws;
}

static void clear(struct wants *ws)
{
  struct want_term *t;
  size_t at = 0;

  while ((t = map_next(ws->by_text, &at))) {
    expr_free(t->x);
    free(t->text);
    free(t);
  }
  map_free(ws->by_text);
}

void wants_free(struct wants *ws)
{
  clear(ws);
  free(ws);
}

void wants_trim(struct wants *ws)
{
  if (map_count(ws->by_text) <= WANTS_KNOWN_MAX)
    return;
  clear(ws);
  ws->by_text = map_new();
}

const struct want_term *wants_get(struct wants *ws, const char *text)
{
  struct want_term *t = map_get(ws->by_text, text);
  struct expr_error e;

  if (t)
    return t;
  t = xcalloc(1, sizeof *t);
  t->text = xstrdup(text);
  t->x = expr_parse(text, strlen(text), worker_names, EXPR_BOOL, &e);
  expr_error_free(&e);
  (void)map_set(ws->by_text, text, t);
  return t;
}

size_t wants_count(const struct wants *ws)
{
  return map_count(ws->by_text);
}

const struct want_term *wants_next(const struct wants *ws, size_t *at)
{
  return map_next(ws->by_text, at);
}

/* ---- a worker's values ---- */

static const char *text_of(const struct worker_is *w, const char *name)
{
  const struct { const char *name, *text; } texts[] = { { "name", w->name }, { "pool", w->pool }, { "os", w->os }, { "arch", w->arch }, { "release", w->release }, { "host", w->host },
                                                       { "isolation", w->isolation }, { "cgroup", w->cgroup } };

  for (size_t i = 0; i < COUNT(texts); i++)
    if (!strcmp(name, texts[i].name))
      return texts[i].text && *texts[i].text ? texts[i].text : NULL;
  return NULL;
}

static int64_t number_of(const struct worker_is *w, const char *name)
{
  const struct { const char *name; int64_t n; } numbers[] = { { "slots", w->slots }, { "cores", w->cores }, { "memory", w->memory }, { "disk", w->disk }, { "disk_free", w->disk_free } };

  for (size_t i = 0; i < COUNT(numbers); i++)
    if (!strcmp(name, numbers[i].name))
      return numbers[i].n < 0 ? WANT_UNKNOWN : numbers[i].n;
  return WANT_UNKNOWN;
}

static struct expr_value value_of_text(const char *s)
{
  return (struct expr_value){ .type = EXPR_TEXT, .text = { s, strlen(s) } };
}

static bool value(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  const struct worker_is *w = ctx;
  const char *text = n == 1 ? text_of(w, path[0]) : NULL;
  int64_t number = n == 1 ? number_of(w, path[0]) : WANT_UNKNOWN;
  struct expr_value *items;

  if (text)
    return *out = value_of_text(text), true;
  if (number >= 0)
    return *out = (struct expr_value){ .type = EXPR_NUMBER, .number = number }, true;
  if (n != 1 || strcmp(path[0], "tags"))
    return false;
  items = expr_take(m, (size_t)(w->ntags + 1) * sizeof *items);
  for (int i = 0; i < w->ntags; i++)
    items[i] = value_of_text(w->tags[i]);
  *out = (struct expr_value){ .type = EXPR_LIST, .list = { items, w->ntags } };
  return true;
}

bool want_met(const struct want_term *t, const struct worker_is *w)
{
  struct expr_memory *m;
  struct expr_value v;
  struct expr_error e;
  bool yes;

  if (!t->x)
    return false;
  m = expr_memory_new();
  yes = expr_eval(t->x, value, (void *)(uintptr_t)w, m, &v, &e);
  if (!yes)
    expr_error_free(&e);
  yes = yes && expr_true(&v);
  expr_memory_free(m);
  return yes;
}

bool want_all_met(const struct want_term *const *t, int n, const struct worker_is *w)
{
  for (int i = 0; i < n; i++)
    if (!want_met(t[i], w))
      return false;
  return true;
}

/* ---- in words ---- */

static bool is_size(const char *name)
{
  return !strcmp(name, "memory") || !strcmp(name, "disk") || !strcmp(name, "disk_free");
}

static void say_number(const struct expr_limit *l, const struct worker_is *const *w, int n, char *out, size_t size)
{
  const struct worker_is *best = NULL;
  char text[STR_SIZE_MAX];
  int64_t v, most = WANT_UNKNOWN;

  for (int i = 0; i < n; i++) {
    v = number_of(w[i], l->name);
    if (v >= 0 && (!best || (l->least ? v > most : v < most))) {
      best = w[i];
      most = v;
    }
  }
  if (!best) {
    snprintf(out, size, " (none tells it)");
    return;
  }
  if (is_size(l->name))
    str_size_text(most, text);
  else
    snprintf(text, sizeof text, "%" PRId64, most);
  snprintf(out, size, " (the %s is %s on %.64s)", l->least ? "most" : "least", text, best->name);
}

static void say_texts(const struct expr_limit *l, const struct worker_is *const *w, int n, char *out, size_t size)
{
  const char *seen[SAID_MAX];
  int k = 0, more = 0;
  size_t at;

  for (int i = 0; i < n; i++) {
    const char *v = text_of(w[i], l->name);
    bool was = !v;
    for (int j = 0; j < k && !was; j++)
      was = !strcmp(seen[j], v);
    if (!was && k < SAID_MAX)
      seen[k++] = v;
    else if (!was)
      more++;
  }
  at = (size_t)snprintf(out, size, k ? " (there %s " : " (none tells it", k == 1 ? "is" : "are");
  for (int i = 0; i < k && at < size; i++)
    at += (size_t)snprintf(out + at, size - at, "%s%.40s", !i ? "" : i == k - 1 && !more ? " and " : ", ", seen[i]);
  if (at < size)
    snprintf(out + at, size - at, more ? ", …)" : ")");
}

void want_say(const struct want_term *t, const struct worker_is *const *w, int n, char *out, size_t size)
{
  struct expr_limit l;

  *out = 0;
  if (!t->x)
    snprintf(out, size, ", which this version of the master can't read");
  else if (!n || !expr_limit(t->x, &l))
    return;
  else if (l.least || l.most)
    say_number(&l, w, n, out, size);
  else if (!l.number)
    say_texts(&l, w, n, out, size);
}

void want_say_own(const struct want_term *t, const struct worker_is *w, char *out, size_t size)
{
  char text[STR_SIZE_MAX];
  struct expr_limit l;
  const char *own;
  int64_t v;

  *out = 0;
  if (!t->x)
    snprintf(out, size, ", which this version of the master can't read");
  if (!t->x || !expr_limit(t->x, &l))
    return;
  own = l.number ? NULL : text_of(w, l.name);
  v = l.number ? number_of(w, l.name) : WANT_UNKNOWN;
  if (own)
    snprintf(out, size, " (%.64s)", own);
  else if (v < 0)
    snprintf(out, size, " (it does not tell)");
  else if (is_size(l.name))
    snprintf(out, size, " (%s)", str_size_text(v, text));
  else
    snprintf(out, size, " (%" PRId64 ")", v);
}
