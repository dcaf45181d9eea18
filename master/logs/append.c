/* The growing end of a log: check, queue, append. */
#include "master/logs/append.h"

#include <stdlib.h>
#include <string.h>

#include "master/db/db.h"

struct queued {
  struct list node;
  struct chunk c;
  int64_t line_no;  /* lines before it */
  char blob[];
};

void log_end_init(struct log_end *e, int64_t log, struct id epoch, int64_t length, uint32_t crc, int64_t lines)
{
  memset(e, 0, sizeof *e);
  e->log = log;
  e->epoch = epoch;
  e->length = e->given = e->committed = length;
  e->crc = crc;
  e->lines = lines;
  e->window = LOG_WINDOW_FIRST;
  list_init(&e->queue);
}

void log_end_free(struct log_end *e)
{
  if (!e->queue.next)
    return;
  list_each(it, &e->queue) {
    list_remove(it);
    free(list_of(it, struct queued, node));
  }
}

enum err log_end_take(struct log_end *e, const struct chunk *c, void *raw)
{
  struct queued *q;
  enum err err;

  if (c->off < e->length)
    return ERR_EXISTS;
  if (c->off > e->length)
    return ERR_NOTFOUND;
  if (e->most && c->off + c->raw > e->most)
    return ERR_TOOBIG;
  if (c->off + c->raw > e->granted)
    return ERR_BUSY;
  err = chunk_check(c, raw);
  if (err)
    return err;
  q = xmalloc(sizeof *q + c->blob_len);
  q->c = *c;
  memcpy(q->blob, c->blob, c->blob_len);
  q->c.blob = q->blob;
  q->line_no = e->lines;
  e->crc = chunk_crc_join(e->crc, c->crc, c->raw);
  e->length += c->raw;
  e->lines += c->lines;
  e->queued++;
  list_push(&e->queue, &q->node);
  return ERR_OK;
}

int64_t log_end_put(struct log_end *e, struct db_tx *tx)
{
  int64_t stored = 0;

  if (!e->queued)
    return e->length;
  list_each(it, &e->queue) {
    const struct queued *q = list_of(it, struct queued, node);
    stored += (int64_t)(q->c.blob_len - q->c.spans);
  }
  db_q(tx, SQL_log_grow, "nnnnnnnn", e->log, e->epoch.inc, e->epoch.n, e->given, e->length, stored, e->lines, (int64_t)e->crc);
  list_each(it, &e->queue) {
    struct queued *q = list_of(it, struct queued, node);
    db_q(tx, SQL_log_chunk, "nnnnnnbb", e->log, q->c.off, (int64_t)q->c.raw, (int64_t)q->c.lines, q->line_no, (int64_t)q->c.crc,
         q->blob, (size_t)q->c.spans, q->blob + q->c.spans, q->c.blob_len - q->c.spans);
    list_remove(it);
    free(q);
  }
  e->queued = 0;
  return e->given = e->length;
}

int64_t log_end_grant(struct log_end *e, int active)
{
  int64_t share = LOG_WINDOW_LINK / (active > 0 ? active : 1), limit;

  if (share < CHUNK_RAW_MAX)
    share = CHUNK_RAW_MAX; /* with less a full chunk would never be sent, and nothing behind it */
  limit = e->committed + (e->window < share ? e->window : share);
  e->granted = limit > e->granted ? limit : e->granted;
  return limit;
}

void log_end_grow(struct log_end *e)
{
  e->window = e->window * 2 < LOG_WINDOW_MAX ? e->window * 2 : LOG_WINDOW_MAX;
}
