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
  o->veil.due[0] = o->veil.due[1] = NEVER;
  o->close_at = o->sync_at = NEVER;
  o->wake_fd = wake_fd;
  o->full_bytes = full_bytes();
}

void output_mask(struct output *o, const struct spec *s, const char *values, size_t n)
{
  veil_init(&o->veil, s, values, n);
}

static void spool_broken(struct output *o)
{
  o->broken = true;
  log_error("minder", "%s: the spool can't be written", o->log.sp->cmd);
}

bool output_close(struct output *o, bool tell)
{
  enum err e;

  o->close_at = NEVER;
  if (!o->closed.raw) {
    if (!o->enc || !chunk_enc_len(o->enc))
      return true;
    chunk_enc_close(o->enc, &o->closed);
  }
  e = o->broken ? ERR_OK : segment_append(&o->log, &o->closed);
  if (e == ERR_NOSPACE)
    return false;
  o->closed.raw = 0;
  if (e)
    spool_broken(o);
  if (o->sync_at == NEVER && o->log.dirty)
    o->sync_at = clock_mono_ms() + SYNC_MS;
  if (tell)
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

bool output_push(struct output *o, int64_t now)
{
  if (o->closed.raw && !output_close(o, true))
    return false;
  while (o->part_at < o->part_len) {
    size_t took = chunk_enc_add(o->enc, o->part_channel, now - o->start, o->part + o->part_at, o->part_len - o->part_at);
    o->part_at += took;
    if (took && o->close_at == NEVER)
      o->close_at = now + (o->followed ? CLOSE_FOLLOWED_MS : CLOSE_MS);
    if ((!took || chunk_enc_len(o->enc) == CHUNK_RAW_MAX) && !output_close(o, true))
      return false;
  }
  return true;
}

bool output_room(struct output *o, int64_t now)
{
  return output_push(o, now) && !over_limit(o);
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
  if (!o->enc)
    o->enc = chunk_enc_new();
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
