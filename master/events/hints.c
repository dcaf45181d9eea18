#include "master/events/hints.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/waits.h"
#include "master/events/events.h"
#include "master/logs/watch.h"
#include "master/schedulers/worlds.h"
#include "master/workers/questions.h"

#define HINTS_CHANNEL "drover"

enum {
  HINTS_PAUSE_MS = 10,  /* at most one is sent in that time */
  HINTS_REST_MS = 20,   /* and what came is acted upon at most once in this */
  HINTS_TEXT_MAX = 64,
};

static const struct { char letter; const char *type; } kinds[HINT_COUNT] = {
#define HINT(name, letter, type) [HINT_##name] = { letter, type },
#include "master/events/hints.def"
#undef HINT
};

struct hints {
  struct master *m;
  uv_timer_t pause, rest;
  int handles, others;
  unsigned to_say, to_do; /* bits of kinds */
  uint64_t said, did;     /* loop time */
};

/* ---- pure ---- */

enum hint hint_of(const char *type)
{
  enum hint h = 0;

  while (h < HINT_others && !str_starts(type, kinds[h].type))
    h++;
  return h;
}

unsigned hints_read(const char *text, int64_t me)
{
  size_t n = strspn(text, "0123456789");
  unsigned bits = 0;
  int64_t from;

  if (str_number(text, n, &from) || from == me || text[n] != ' ' || strlen(text) > HINTS_TEXT_MAX)
    return 0;
  for (const char *p = text + n + 1; *p; p++)
    for (int h = 0; h < HINT_COUNT; h++)
      if (kinds[h].letter == *p)
        bits |= 1u << h;
  return bits;
}

/* ---- what others said ---- */

static bool any(unsigned bits, unsigned of)
{
  return (bits & of) != 0;
}

static void act(struct hints *h)
{
  struct master *m = h->m;
  unsigned bits = h->to_do;

  h->to_do = 0;
  h->did = uv_now(m->loop);
  if (m->stopping || !db_is_up(m->db))
    return;
  log_debug("hints", "looks: %#x", bits);
  if (any(bits, 1u << HINT_pauses | 1u << HINT_resumes))
    dispatch_pauses_changed(m->dispatch);
  if (any(bits, 1u << HINT_requests | 1u << HINT_ends | 1u << HINT_locks))
    dispatch_kick(m->dispatch);
  if (any(bits, 1u << HINT_cancels))
    dispatch_cancelled(m->dispatch);
  if (any(bits, 1u << HINT_sets))
    waits_kick(m->waits);
  if (any(bits, 1u << HINT_changes))
    worlds_kick(m->worlds);
  if (any(bits, 1u << HINT_looks | 1u << HINT_leases | 1u << HINT_removed | 1u << HINT_forgotten | 1u << HINT_ordered | 1u << HINT_dials))
    master_beat_soon(m);
  if (any(bits, 1u << HINT_asked))
    questions_look(m->questions);
  if (any(bits, 1u << HINT_logs))
    watch_tell_all(m->watches);
  events_elsewhere(m->events);
}

static void on_rest(uv_timer_t *t)
{
  act(t->data);
}

static void look_soon(struct hints *h, unsigned bits)
{
  uint64_t since = uv_now(h->m->loop) - h->did;

  h->to_do |= bits;
  if (h->to_do && !uv_is_active((uv_handle_t *)&h->rest))
    uv_timer_start(&h->rest, on_rest, since < HINTS_REST_MS ? HINTS_REST_MS - since : 0, 0);
}

static void heard(void *arg, const char *text)
{
  struct hints *h = arg;

  look_soon(h, hints_read(text, h->m->id));
}

/* ---- what is said ---- */

static void said(struct db_res *res, void *arg)
{
  (void)arg;
  if (db_err(res) == ERR_FAILED)
    log_warn("hints", "%s", db_errtext(res)); /* the others look by themselves */
}

static void put(struct db_tx *tx, int64_t from, unsigned bits)
{
  char text[HINTS_TEXT_MAX], *to = text;

  to += snprintf(text, sizeof text - HINT_COUNT - 1, "%" PRId64 " ", from);
  for (int i = 0; i < HINT_COUNT; i++)
    if (bits & 1u << i)
      *to++ = kinds[i].letter;
  *to = 0;
  db_q(tx, SQL_hint, "ss", HINTS_CHANNEL, text);
}

void hints_put(struct hints *h, struct db_tx *tx, enum hint what)
{
  if (h->others)
    put(tx, h->m->id, 1u << what);
}

static void say(struct hints *h)
{
  unsigned bits = h->to_say;
  struct db_tx *tx;

  h->to_say = 0;
  h->said = uv_now(h->m->loop);
  if (!db_is_up(h->m->db))
    return;
  tx = db_tx(h->m->db, DB_ANY);
  put(tx, h->m->id, bits);
  db_send(tx, said, NULL);
}

static void on_pause(uv_timer_t *t)
{
  say(t->data);
}

void hints_say(struct hints *h, enum hint what)
{
  uint64_t since;

  if (!h || !h->others || !h->m->id)
    return;
  since = uv_now(h->m->loop) - h->said;
  h->to_say |= 1u << what;
  if (what != HINT_looks)
    look_soon(h, 1u << what); /* it may be what another master did and this one only numbered */
  if (!uv_is_active((uv_handle_t *)&h->pause))
    uv_timer_start(&h->pause, on_pause, since < HINTS_PAUSE_MS ? HINTS_PAUSE_MS - since : 0, 0);
}

void hints_others(struct hints *h, int n)
{
  if (h && h->others != n)
    log_info("hints", "%d other masters are alive", n);
  if (h)
    h->others = n;
}

/* ---- beginning and end ---- */

struct hints *hints_new(struct master *m)
{
  struct hints *h = xcalloc(1, sizeof *h);

  h->m = m;
  uv_timer_init(m->loop, &h->pause);
  uv_timer_init(m->loop, &h->rest);
  h->pause.data = h->rest.data = h;
  h->handles = 2;
  db_hear(m->db, HINTS_CHANNEL, heard, h);
  return h;
}

static void closed(uv_handle_t *t)
{
  struct hints *h = t->data;

  if (--h->handles == 0)
    free(h);
}

void hints_free(struct hints *h)
{
  h->m->hints = NULL;
  uv_close((uv_handle_t *)&h->pause, closed);
  uv_close((uv_handle_t *)&h->rest, closed);
}
