/* From what was read to the log's segments. */
#include "worker/output.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/notice.h"

enum {
  CLOSE_MS = 1000,         /* a chunk is closed so long after its first byte */
  CLOSE_FOLLOWED_MS = 100, /* the same while somebody looks */
  SYNC_MS = 1000,
  MARKER_CHANNEL = 1,
};
#define FULL_BYTES (INT64_C(512) << 20) /* of the log on the disk that the master does not have */
#define NEVER INT64_MAX

static int64_t full_bytes(void)
{
  const char *given = getenv("DROVER_TEST_SPOOL_FULL");
  int64_t n;

  return given && !str_number(given, strlen(given), &n) ? n : FULL_BYTES;
}

void output_init(struct output *o, struct spool *sp, int wake_fd)
{
  segment_writer_init(&o->log, sp);
  tail_init(&o->tail, sp);
  cut_init(&o->cut, 0, 0);
  o->veil.due[0] = o->veil.due[1] = NEVER;
  o->close_at = o->sync_at = NEVER;
  o->wake_fd = wake_fd;
  o->full_bytes = full_bytes();
}

void output_mask(struct output *o, const struct spec *s, const char *values, size_t n)
{
  veil_init(&o->veil, s, values, n);
}

void output_limit(struct output *o, int64_t bytes, int64_t lines)
{
  cut_init(&o->cut, bytes, lines);
}

static void spool_broken(struct output *o)
{
  o->broken = true;
  log_error("minder", "%s: the spool can't be written", o->log.sp->cmd);
}

static enum err append(struct output *o)
{
  enum err e;

  if (o->broken)
    return ERR_OK;
  if (o->closed_to == OUTPUT_LOG)
    return segment_append(&o->log, &o->closed);
  e = tail_append(&o->tail, &o->closed);
  if (!e && cut_over(&o->cut))
    tail_trim(&o->tail, cut_tail_bytes(&o->cut), cut_tail_lines(&o->cut));
  return e;
}

bool output_close(struct output *o, bool tell)
{
  enum err e;

  o->close_at = NEVER;
  if (!o->closed.raw) {
    if (!o->enc || !chunk_enc_len(o->enc))
      return true;
    chunk_enc_close(o->enc, &o->closed);
    o->closed_to = o->enc_to;
  }
  e = append(o);
  if (e == ERR_NOSPACE)
    return false;
  o->closed.raw = 0;
  if (e)
    spool_broken(o);
  if (o->sync_at == NEVER && o->log.dirty)
    o->sync_at = clock_mono_ms() + SYNC_MS;
  if (tell && o->closed_to == OUTPUT_LOG)
    notice_wake(o->wake_fd, o->log.sp->cmd, false);
  return true;
}

/* Too much that the master doesn't have yet? */
static bool over_limit(struct output *o)
{
  int64_t ack;

  if (segment_unacked(&o->log, o->acked) <= o->full_bytes)
    return false;
  ack = spool_read_ack(o->log.sp);
  o->acked = ack > o->acked ? ack : o->acked;
  return segment_unacked(&o->log, o->acked) > o->full_bytes;
}

/* Into a chunk for `to`. Returns how many; 0: the disk is full. */
static size_t add(struct output *o, enum output_to to, unsigned channel, int64_t ms, const char *p, size_t n)
{
  size_t took;

  if (!o->enc)
    o->enc = chunk_enc_new();
  if ((o->closed.raw || (o->enc_to != to && chunk_enc_len(o->enc))) && !output_close(o, true))
    return 0;
  o->enc_to = to;
  took = chunk_enc_add(o->enc, channel, ms, p, n);
  if (!took) {
    if (!output_close(o, true))
      return 0;
    took = chunk_enc_add(o->enc, channel, ms, p, n);
  }
  return took;
}

/* The marker's first part is told at once, so that whoever looks sees why nothing more comes. */
static bool push_marker(struct output *o, int64_t now)
{
  while (o->marker_at < o->marker_len) {
    size_t took = add(o, OUTPUT_LOG, MARKER_CHANNEL, now - o->start, o->marker + o->marker_at, o->marker_len - o->marker_at);
    if (!took)
      return false;
    o->marker_at += took;
  }
  return output_close(o, true);
}

bool output_push(struct output *o, int64_t now)
{
  if (o->closed.raw && !output_close(o, true))
    return false;
  for (;;) {
    const char *p = o->part + o->part_at;
    size_t left = o->part_len - o->part_at, head, took;
    if (o->marker_at < o->marker_len && !push_marker(o, now))
      return false;
    if (!left)
      return true;
    head = cut_head(&o->cut, p, left);
    took = add(o, head ? OUTPUT_LOG : OUTPUT_TAIL, o->part_channel, now - o->start, p, head ? head : left);
    if (!took)
      return false;
    cut_took(&o->cut, p, took);
    o->part_at += took;
    if (head && o->close_at == NEVER)
      o->close_at = now + (o->followed ? CLOSE_FOLLOWED_MS : CLOSE_MS);
    if (cut_over(&o->cut) && !o->marked) {
      o->marked = true;
      o->marker_at = 0;
      o->marker_len = cut_marker(&o->cut, o->marker);
    }
    if (chunk_enc_len(o->enc) == CHUNK_RAW_MAX && !output_close(o, true))
      return false;
  }
}

bool output_room(struct output *o, int64_t now)
{
  return output_push(o, now) && (cut_full(&o->cut) || !over_limit(o)); /* what is kept aside adds nothing to it */
}

bool output_held(const struct output *o)
{
  return o->part_at < o->part_len;
}

/* What is to be in the log next. All that came before is in chunks. */
static bool put(struct output *o, const char *p, size_t n, unsigned channel, int64_t now)
{
  if (!n)
    return true;
  o->part = p;
  o->part_at = 0;
  o->part_len = n;
  o->part_channel = channel;
  return output_room(o, now);
}

bool output_take(struct output *o, unsigned channel, const char *p, size_t n, int64_t now)
{
  if (o->veil.mask)
    n = veil_take(&o->veil, channel, p, n, now, &p);
  return put(o, p, n, channel, now);
}

bool output_let_go(struct output *o, unsigned channel, int64_t now)
{
  const char *p;
  size_t n = veil_flush(&o->veil, channel, &p);

  return put(o, p, n, channel, now);
}

bool output_warn(struct output *o, int64_t now)
{
  return put(o, buf_str(&o->veil.warning), o->veil.warning.len, 1, now);
}

/* ---- the end ---- */

static void add_all(struct output *o, unsigned channel, int64_t ms, const char *p, size_t n, void (*wait)(void))
{
  while (n) {
    size_t took = add(o, OUTPUT_LOG, channel, ms, p, n);
    if (!took)
      wait();
    p += took;
    n -= took;
  }
}

/* The marker's last n bytes, and the rest of a chunk of which `skip` bytes are left out, with its channels and times. */
static void add_rest(struct output *o, const struct chunk *c, const char *raw, size_t skip, size_t n, void (*wait)(void))
{
  struct chunk_span span;
  size_t at = 0, off = 0;

  while (!chunk_span_next(c->blob, c->spans, &at, &span)) {
    size_t gone = skip > off ? skip - off : 0;
    if (gone < span.len) {
      add_all(o, MARKER_CHANNEL, span.ms, o->marker, n, wait); /* with the time of what follows: times never go back */
      add_all(o, span.channel, span.ms, raw + off + gone, span.len - gone, wait);
      n = 0;
    }
    off += span.len;
  }
}

/* Finds where the tail begins, completes the marker, and puts the rest of that chunk behind it. */
static enum err begin_tail(struct output *o, void (*wait)(void))
{
  static char raw[CHUNK_RAW_MAX];
  int64_t bytes, lines, bytes_out = o->tail.w.off - cut_tail_bytes(&o->cut), lines_out = o->tail.w.lines - cut_tail_lines(&o->cut);
  bool line_begins = !o->cut.mid_line;
  size_t skip = 0, n;
  struct chunk c;
  enum err e;

  tail_first(&o->tail, &bytes, &lines);
  for (;;) {
    if ((e = tail_next(&o->tail, &c)))
      return e;
    if (bytes_out - bytes <= c.raw && lines_out - lines <= c.lines) {
      if ((e = chunk_check(&c, raw)))
        return e;
      skip = cut_skip(raw, c.raw, bytes_out - bytes, lines_out - lines, line_begins);
      if (skip < c.raw)
        break;
      line_begins = raw[c.raw - 1] == '\n';
    }
    bytes += c.raw;
    lines += c.lines;
  }
  o->left_bytes = bytes + (int64_t)skip;
  o->left_lines = lines + chunk_count_lf(raw, skip);
  n = cut_marker_end(o->left_bytes, o->left_lines, o->marker);
  add_rest(o, &c, raw, skip, n, wait);
  return ERR_OK;
}

static void close_all(struct output *o, bool tell, void (*wait)(void))
{
  while (!output_close(o, tell))
    wait();
}

void output_end(struct output *o, void (*wait)(void))
{
  struct chunk c;
  enum err e = ERR_OK;

  while (!output_push(o, clock_mono_ms()))
    wait();
  close_all(o, false, wait); /* the result that follows wakes it */
  if (o->marked)
    e = begin_tail(o, wait);
  close_all(o, false, wait);
  while (!e && !o->broken && !(e = tail_next(&o->tail, &c))) {
    o->closed = c;
    o->closed_to = OUTPUT_LOG;
    close_all(o, true, wait);
  }
  if (e && e != ERR_NOTFOUND)
    spool_broken(o);
  tail_remove(&o->tail);
}

void output_sync(struct output *o)
{
  o->sync_at = NEVER;
  if (segment_sync(&o->log))
    spool_broken(o);
}

void output_follow(struct output *o, bool on)
{
  int64_t soon = clock_mono_ms() + CLOSE_FOLLOWED_MS;

  o->followed = on;
  if (on && o->close_at != NEVER && soon < o->close_at)
    o->close_at = soon;
}
