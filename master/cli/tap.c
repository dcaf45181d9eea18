/* One step's log from the API into a sink.

   Happy path: GET …/logs/STEP, as gzip (not when followed), to its end. Failure: the connection breaks, or the answer ends short
   of X-Drover-Length, or the database is away: ask again from the raw byte that comes next (identity). */
#include "master/cli/tap.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/feed.h"
#include "master/cli/http.h"
#include "master/cli/js.h"
#include "master/cli/patience.h"

#define TAP_IDLE_MS 5000         /* between looks at the feed while nothing comes */
#define TAP_SILENCE_MS 60000     /* of an answer that is not followed */
#define TAP_ERROR_MAX (1u << 16)

void tap_open(struct tap *t, struct cli *c, struct feed *feed, struct sink *sink, const char *build, const char *step)
{
  memset(t, 0, sizeof *t);
  t->c = c;
  t->feed = feed;
  t->sink = sink;
  t->h = http_new(c->socket);
  t->path = id_path("builds/%p/logs/%s", build, step);
  t->log = xstrdup("");
}

void tap_log(struct tap *t, const char *name)
{
  struct buf query;

  buf_init(&query, BUF_NO_MAX);
  buf_adds(&query, "&log=");
  id_encode(&query, name);
  free(t->log);
  t->log = buf_take(&query);
}

void tap_close(struct tap *t)
{
  http_free(t->h);
  free(t->path);
  free(t->log);
}

/* Waits for bytes of the log, and meanwhile keeps the feed from filling up. */
static void wait_followed(struct tap *t)
{
  struct pollfd pfd[2] = { { .fd = http_fd(t->h), .events = POLLIN }, { .fd = -1, .events = POLLIN } };

  if (http_ready(t->h))
    return;
  out_flush(t->c);
  if (t->feed)
    pfd[1].fd = feed_fd(t->feed);
  poll(pfd, 2, TAP_IDLE_MS);
  if (t->feed)
    feed_drain(t->feed);
}

static enum err read_body(struct tap *t, bool follow, struct patience *p)
{
  const void *bytes;
  size_t n;
  enum err e;

  for (;;) {
    if (follow)
      wait_followed(t);
    e = http_read(t->h, &bytes, &n, follow ? 0 : TAP_SILENCE_MS);
    if (e == ERR_AGAIN && follow)
      continue;
    if (e)
      return e == ERR_AGAIN ? ERR_TIMEOUT : e;
    sink_add(t->sink, bytes, n);
    t->got += (int64_t)n;
    patience_progress(p);
  }
}

/* The master said no: its sentence into why. */
static enum err read_error(struct tap *t, char **why)
{
  const void *bytes;
  size_t n;
  struct buf b;
  cJSON *json;
  int status = http_status(t->h);

  buf_init(&b, TAP_ERROR_MAX);
  while (!http_read(t->h, &bytes, &n, CALL_TIMEOUT_MS))
    buf_add(&b, bytes, n);
  json = cJSON_ParseWithLength(buf_str(&b), b.len);
  free(*why);
  *why = *js_text(json, "error.message") ? xstrdup(js_text(json, "error.message")) : xasprintf("the master answered %d", status);
  cJSON_Delete(json);
  buf_free(&b);
  return status == 503 ? ERR_BUSY : status == 404 ? ERR_NOTFOUND : ERR_FAILED;
}

/* One request. ERR_OK: the end. ERR_NOTFOUND: no such log. Class RETRY: again. */
static enum err copy_once(struct tap *t, bool follow, struct patience *p, char **why)
{
  bool gzip = !follow && t->got == 0;
  char *path = gzip ? xasprintf("%s?%s", t->path, t->log + (*t->log == '&')) : xasprintf("%s?from=%" PRId64 "%s%s", t->path, t->got, follow ? "&follow=1" : "", t->log), length[32];
  int64_t total;
  enum err e;

  e = http_start(t->h, "GET", path, gzip ? "Accept-Encoding: gzip\r\n" : NULL, NULL, CALL_TIMEOUT_MS);
  free(path);
  if (!e && http_status(t->h) != 200)
    return read_error(t, why);
  if (!e)
    e = read_body(t, follow, p);
  if (e != ERR_NOTFOUND) {
    free(*why);
    *why = xstrdup(http_why(t->h));
    return e;
  }
  if (!follow && http_header(t->h, "x-drover-length", length, sizeof length) && !str_number(length, strlen(length), &total) &&
      t->got < total) {
    free(*why);
    *why = xstrdup("the log ended early");
    return ERR_IO;
  }
  return ERR_OK;
}

enum tap_end tap_copy(struct tap *t, bool follow)
{
  struct patience p = { 0 };
  char *why = NULL;
  enum tap_end end = TAP_FAILED;
  enum err e;

  for (;;) {
    e = copy_once(t, follow, &p, &why);
    if (err_class(e) != ERR_CLASS_RETRY)
      break;
    out_flush(t->c);
    if ((!follow && t->got == 0) || !patience_wait(&p, t->c, why))
      break;
  }
  if (!e)
    end = TAP_ENDED;
  else if (e == ERR_NOTFOUND)
    end = TAP_MISSING;
  else if (err_class(e) != ERR_CLASS_RETRY)
    cli_error(t->c, CLI_EXCEPTION, "%s", why);
  else if (!follow && t->got == 0)
    cli_error(t->c, CLI_AWAY, "%s", why);
  free(why);
  return end;
}
