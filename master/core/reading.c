/* One reading is one piece of work of libuv's pool; nothing of the master is touched from it. */
#include "master/core/reading.h"

#include <stdlib.h>

#include "common/mem.h"
#include "master/conf/generate.h"
#include "master/conf/parts.h"

struct reading {
  uv_work_t work;
  char *file;
  struct parts *parts;
  reading_cb *cb;
  void *arg;
};

static void in_thread(uv_work_t *w)
{
  struct reading *r = w->data;

  r->parts = parts_gather(r->file, PARTS_RUN, NULL);
}

static void on_done(uv_work_t *w, int status)
{
  struct reading *r = w->data;

  (void)status; /* nobody cancels it */
  r->cb(r->parts, r->arg);
  free(r->file);
  free(r);
}

void reading_start(uv_loop_t *loop, const char *file, reading_cb *cb, void *arg)
{
  struct reading *r = xcalloc(1, sizeof *r);

  *r = (struct reading){ .work.data = r, .file = xstrdup(file), .cb = cb, .arg = arg };
  uv_queue_work(loop, &r->work, in_thread, on_done);
}

void reading_stop(void)
{
  generate_stop();
}
