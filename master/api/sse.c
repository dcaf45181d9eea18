/* Events for clients that stay (server-sent events): first those of the table behind the last one the client has, then those heard live, without gap or double.

   Numbers are dense, so one rule does it: an event goes out when its number is the last one's plus one; anything higher means that some were missed, and the table is read again.
   A client that takes nothing while 1 MiB waits for it is cut; it resumes by number. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/events/events.h"

enum {
  QUEUE_MAX = 1 << 20,
  PAGE_ROWS = 100,        /* as in api_events */
  BLOCK = 16 << 10,
  HEARTBEAT_MS = 15000,
};

struct sse {
  struct call *c;
  struct master *m;
  char *prefix;           /* of objects; NULL: all */
  int64_t seen;           /* the last event that went into the queue, or was passed over */
  int64_t heard;          /* the last one that any listener was told */
  bool live, asking, closed;
  struct buf out;
  size_t sent;            /* of out */
  int64_t wrote;          /* when something was last put into the queue */
  struct event_listener listener;
};

static void sse_free(struct sse *s)
{
  buf_free(&s->out);
  free(s->prefix);
  free(s);
}

static void add_string(struct buf *out, const char *text)
{
  cJSON *s = cJSON_CreateString(text);
  char *json = cJSON_PrintUnformatted(s);

  buf_adds(out, json);
  cJSON_free(json);
  cJSON_Delete(s);
}

static void put(struct sse *s, const struct event *e)
{
  s->seen = e->number;
  if (s->prefix && !str_starts(e->object, s->prefix))
    return;
  buf_addf(&s->out, "id: %lld\nevent: %s\ndata: {\"number\":%lld,\"at\":%lld,\"type\":", (long long)e->number, e->type, (long long)e->number, (long long)e->at_ms);
  add_string(&s->out, e->type);
  buf_adds(&s->out, ",\"object\":");
  add_string(&s->out, e->object);
  buf_adds(&s->out, ",\"body\":");
  for (const char *at = e->body; *at; at++) /* line feeds can only be blanks between JSON's parts */
    buf_addc(&s->out, *at == '\n' || *at == '\r' ? ' ' : *at);
  buf_adds(&s->out, "}\n\n");
  s->wrote = clock_mono_ms();
}

/* ---- from the table ---- */

static void ask(struct sse *s);

static void on_page(struct db_res *r, void *arg)
{
  struct sse *s = arg;

  s->asking = false;
  if (s->closed) {
    sse_free(s);
    return;
  }
  if (db_err(r)) /* asked again at the next tick */
    return;
  for (int i = 0; i < db_rows(r, 0); i++) {
    struct event e = { db_num(r, 0, i, 0), db_ms(r, 0, i, 1), db_str(r, 0, i, 2), db_str(r, 0, i, 3), db_str(r, 0, i, 4) };
    put(s, &e);
  }
  s->live = db_rows(r, 0) < PAGE_ROWS && s->heard <= s->seen;
  ask(s);
  call_wake(s->c);
}

/* The next page, once the client has taken what it was given. */
static void ask(struct sse *s)
{
  struct db_tx *tx;

  if (s->live || s->asking || s->out.len > s->sent)
    return;
  tx = db_tx(s->m->db, DB_READ);
  db_q(tx, SQL_api_events, "n", s->seen);
  db_send(tx, on_page, s);
  s->asking = true;
}

/* ---- live ---- */

static void on_event(const struct event *e, void *arg)
{
  struct sse *s = arg;

  s->heard = e->number;
  if (!s->live || e->number <= s->seen)
    return;
  if (e->number > s->seen + 1) {
    s->live = false;
    ask(s);
    return;
  }
  put(s, e);
  if (s->out.len - s->sent > QUEUE_MAX)
    call_abort(s->c, "a reader of events does not keep up");
  else
    call_wake(s->c);
}

/* ---- the stream ---- */

static ssize_t sse_read(void *stream, char *out, size_t n)
{
  struct sse *s = stream;
  size_t part = s->out.len - s->sent;

  if (!part)
    return STREAM_WAIT;
  if (part > n)
    part = n;
  memcpy(out, s->out.data + s->sent, part);
  s->sent += part;
  if (s->sent == s->out.len) {
    buf_reset(&s->out);
    s->sent = 0;
    ask(s);
  }
  return (ssize_t)part;
}

static void sse_tick(void *stream)
{
  struct sse *s = stream;
  int64_t now = clock_mono_ms();

  ask(s);
  if (now - s->wrote < HEARTBEAT_MS)
    return;
  s->wrote = now;
  buf_adds(&s->out, ":\n\n");
  call_wake(s->c);
}

static void sse_close(void *stream)
{
  struct sse *s = stream;

  events_unlisten(&s->listener);
  s->closed = true;
  if (!s->asking)
    sse_free(s);
}

static const struct stream_ops sse_ops = { sse_read, sse_tick, sse_close };

static void got_last(struct call *c, const struct db_res *r)
{
  int64_t *after = call_data(c, sizeof *after), last = db_rows(r, 0) ? db_num(r, 0, 0, 0) : 0;
  struct sse *s = xcalloc(1, sizeof *s);

  s->c = c;
  s->m = call_master(c);
  s->prefix = xstrdup(call_query(c, "object"));
  s->seen = *after >= 0 && *after < last ? *after : last;
  s->wrote = clock_mono_ms();
  buf_init(&s->out, BUF_NO_MAX);
  buf_adds(&s->out, "retry: 1000\n\n");
  s->listener.hear = on_event;
  s->listener.follows = true;
  s->listener.arg = s;
  events_listen(s->m->events, &s->listener);
  call_header_set(c, "X-Accel-Buffering", "no");
  call_stream(c, "text/event-stream", -1, BLOCK, &sse_ops, s);
}

/* Last-Event-ID is newer than what stands in the address: a browser that comes again sends both. */
void sse_get(struct call *c)
{
  const char *text = call_header(c, "Last-Event-ID");
  int64_t *after = call_data(c, sizeof *after);
  struct db_tx *tx;

  *after = -1;
  if (!text)
    text = call_query(c, "after");
  if (text && str_number(text, strlen(text), after)) {
    call_error(c, 400, "bad_request", NULL, "an event's number is wanted after which to go on");
    return;
  }
  tx = call_tx(c);
  db_q(tx, SQL_api_events_last, "");
  call_ask(c, tx, got_last);
}
