/* What is kept aside of an output. */
#include "worker/tail.h"

#include <string.h>

void tail_init(struct tail *t, struct spool *sp)
{
  segment_writer_init(&t->w, sp);
  segment_reader_init(&t->r);
  t->w.kind = t->r.kind = SEGMENT_TAIL;
  buf_init(&t->records, SEGMENT_RECORD_MAX * 2);
  t->at = 0;
}

enum err tail_append(struct tail *t, struct chunk *c)
{
  enum err e = segment_append(&t->w, c);

  t->w.dirty = false; /* never synced: it counts for nobody before it was given back */
  return e;
}

void tail_trim(struct tail *t, int64_t bytes, int64_t lines)
{
  const struct segment_writer *w = &t->w;

  for (size_t was = 0; w->nmarks > 1 && w->nmarks != was && (w->off - w->marks[1].start >= bytes || w->lines - w->marks[1].lines >= lines);) {
    was = w->nmarks;
    segment_writer_drop(&t->w);
  }
}

void tail_first(const struct tail *t, int64_t *bytes, int64_t *lines)
{
  *bytes = t->w.nmarks ? t->w.marks[0].start : 0;
  *lines = t->w.nmarks ? t->w.marks[0].lines : 0;
}

/* Some more of the records, from where the reader is. */
static enum err more(struct tail *t)
{
  bool turned;
  enum err e;

  if (t->r.fd < 0)
    t->r.off = t->w.nmarks ? t->w.marks[0].start : 0;
  if (t->r.off == t->w.off)
    return ERR_NOTFOUND;
  buf_reset(&t->records);
  t->at = 0;
  e = segment_read(t->w.sp, &t->r, INT64_MAX, SEGMENT_RECORD_MAX, &t->records, &turned);
  if (!e && turned && t->r.start > t->w.marks[0].start)
    segment_writer_drop(&t->w); /* the one before it */
  return e == ERR_AGAIN ? ERR_CORRUPT : e; /* all of it was written */
}

enum err tail_next(struct tail *t, struct chunk *c)
{
  struct segment_head h;
  enum err e = t->at < t->records.len ? ERR_OK : more(t);

  if (!e)
    e = segment_parse(t->records.data + t->at, t->records.len - t->at, &h);
  if (e)
    return e;
  *c = h.chunk;
  c->blob = t->records.data + t->at + h.line;
  t->at += h.line + h.chunk.blob_len + 1;
  return ERR_OK;
}

void tail_remove(struct tail *t)
{
  segment_reader_close(&t->r);
  segment_writer_remove(&t->w);
}
