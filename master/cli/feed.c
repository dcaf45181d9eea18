/* The event stream, as a hint when to look again.

   Happy path: one connection held for as long as something is followed; an event about one of the wanted ids ends feed_wait() at
   once, any other within a second (a worker that came may be why a request no longer waits). Failure: the connection breaks, or
   nothing (not even the heartbeat each 15 s) is heard for FEED_SILENCE_MS: connect again, after the last event seen. Without any
   event feed_wait() still ends. */
#include "master/cli/feed.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/http.h"
#include "master/cli/js.h"
#include "master/cli/patience.h"

#define FEED_OTHER_MS 1000     /* after an event about something else */
#define FEED_LEAST_MS 20       /* not more often than this, whatever happens */
#define FEED_SILENCE_MS 45000  /* three heartbeats */
#define FEED_LINE_MAX (1u << 20)

struct feed {
  struct cli *c;
  struct http *h;
  bool open;
  int64_t last;        /* number of the last event seen; 0: none yet */
  int64_t heard_ms;    /* when bytes came last */
  int64_t looked_ms;   /* when feed_wait() ended last */
  struct buf line;
  int64_t number;      /* id: of the event that is being read */
  bool ours, any;      /* since feed_wait() ended last: an event that is wanted; any event */
  char **wants;
  int nwants;
  bool begun;          /* last is where it begins, 0 too */
  char *data;          /* of the event that is being read */
  void (*told)(void *arg, const cJSON *event);
  void *arg;
};

struct feed *feed_new(struct cli *c)
{
  struct feed *f = xcalloc(1, sizeof *f);

  f->c = c;
  f->h = http_new(c->socket);
  buf_init(&f->line, FEED_LINE_MAX);
  return f;
}

void feed_free(struct feed *f)
{
  for (int i = 0; i < f->nwants; i++)
    free(f->wants[i]);
  free(f->wants);
  http_free(f->h);
  free(f->data);
  buf_free(&f->line);
  free(f);
}

void feed_want(struct feed *f, const char *id)
{
  char *quoted = xasprintf(strchr(id, '/') ? "\"%s" : "\"%s\"", id);

  for (int i = 0; i < f->nwants; i++)
    if (str_eq(f->wants[i], quoted)) {
      free(quoted);
      return;
    }
  f->wants = xrealloc(f->wants, (size_t)(f->nwants + 1) * sizeof *f->wants);
  f->wants[f->nwants++] = quoted;
}

void feed_tell(struct feed *f, int64_t after, void (*told)(void *arg, const cJSON *event), void *arg)
{
  f->last = after;
  f->begun = true;
  f->told = told;
  f->arg = arg;
}

static void tell(struct feed *f)
{
  cJSON *event = f->data ? cJSON_Parse(f->data) : NULL;

  if (event)
    f->told(f->arg, event);
  f->ours = true;
  cJSON_Delete(event);
  free(f->data);
  f->data = NULL;
}

static void take_line(struct feed *f, const char *line)
{
  if (str_starts(line, "id:")) {
    line += 3 + (line[3] == ' ');
    if (str_number(line, strlen(line), &f->number))
      f->number = 0;
  } else if (str_starts(line, "data:")) {
    for (int i = 0; i < f->nwants; i++)
      if (strstr(line, f->wants[i]))
        f->ours = true;
    if (f->told) {
      free(f->data);
      f->data = xstrdup(line + 5);
    }
  } else if (!*line && f->number) {
    f->last = f->number;
    f->number = 0;
    f->any = true;
    if (f->told)
      tell(f);
  }
}

static void take_bytes(struct feed *f, const char *p, size_t n)
{
  while (n) {
    const char *lf = memchr(p, '\n', n);
    size_t len = lf ? (size_t)(lf - p) : n;
    buf_add(&f->line, p, len);
    if (!lf)
      return;
    if (f->line.len && f->line.data[f->line.len - 1] == '\r')
      f->line.data[f->line.len - 1] = 0;
    if (!f->line.failed)
      take_line(f, buf_str(&f->line));
    buf_reset(&f->line);
    p += len + 1;
    n -= len + 1;
  }
}

void feed_drain(struct feed *f)
{
  const void *p;
  size_t n;
  enum err e;

  if (!f->open)
    return;
  while (!(e = http_read(f->h, &p, &n, 0))) {
    f->heard_ms = clock_mono_ms();
    take_bytes(f, p, n);
  }
  if (e != ERR_AGAIN || clock_mono_ms() - f->heard_ms > FEED_SILENCE_MS) {
    http_close(f->h);
    f->open = false;
  }
}

int feed_fd(const struct feed *f)
{
  return f->open ? http_fd(f->h) : -1;
}

/* One try. */
static enum err connect_once(struct feed *f)
{
  char header[64] = "";
  enum err e;

  if (f->last || f->begun)
    snprintf(header, sizeof header, "Last-Event-ID: %" PRId64 "\r\n", f->last);
  buf_reset(&f->line);
  f->number = 0;
  e = http_start(f->h, "GET", "/api/v1/events", header, NULL, CALL_TIMEOUT_MS);
  if (!e && http_status(f->h) != 200) {
    e = http_status(f->h) == 503 ? ERR_BUSY : ERR_DENIED;
    http_close(f->h);
  }
  f->open = !e;
  f->heard_ms = clock_mono_ms();
  return e;
}

/* From which number on, so that nothing between now and the first look is missed. */
static bool ask_last(struct feed *f)
{
  cJSON *status = patience_get(f->c, "/api/v1/status");

  if (!status)
    return false;
  f->last = js_num(status, "event");
  cJSON_Delete(status);
  return true;
}

static bool connect_feed(struct feed *f)
{
  struct patience p = { 0 };
  enum err e;

  if (!f->last && !f->begun && !ask_last(f))
    return false;
  while ((e = connect_once(f))) {
    const char *why = e == ERR_BUSY ? "the database is away" : http_why(f->h);
    if (e == ERR_DENIED) {
      cli_error(f->c, CLI_EXCEPTION, "the master gives no events (%d)", http_status(f->h));
      return false;
    }
    if (!patience_wait(&p, f->c, why))
      return false;
  }
  return true;
}

bool feed_wait(struct feed *f, int64_t most_ms)
{
  bool again = !f->open;

  if (again && !connect_feed(f))
    return false;
  for (;;) {
    struct pollfd pfd = { .fd = feed_fd(f), .events = POLLIN };
    int64_t now = clock_mono_ms(), end;
    feed_drain(f);
    end = f->looked_ms + (f->ours || again ? FEED_LEAST_MS : f->any ? FEED_OTHER_MS : most_ms);
    if (now >= end || !f->open)
      break;
    poll(&pfd, 1, (int)(end - now));
  }
  f->ours = f->any = false;
  f->looked_ms = clock_mono_ms();
  return true;
}
