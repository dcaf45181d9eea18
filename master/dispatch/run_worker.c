/* What the worker says of a run: output is checked and appended, an exit or a file operation's end moves the step. */
#include "master/dispatch/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/utf8.h"
#include "master/core/master.h"
#include "master/dispatch/run_input.h"
#include "master/dispatch/run_int.h"
#include "master/logs/warn.h"
#include "master/logs/watch.h"
#include "master/workers/ops.h"
#include "master/workers/session.h"
#include "proto/records.h"

static char raw[CHUNK_RAW_MAX]; /* contents of the chunk at hand: one thread */

/* A NUL in it would hide what comes behind it. */
static void keep_errors(struct run *r, const char *p, size_t n)
{
  size_t drop;

  if (n > STEP_ERRORS_MAX) {
    p += n - STEP_ERRORS_MAX;
    n = STEP_ERRORS_MAX;
  }
  drop = r->errors_len + n > STEP_ERRORS_MAX ? r->errors_len + n - STEP_ERRORS_MAX : 0;
  memmove(r->errors, r->errors + drop, r->errors_len - drop);
  r->errors_len -= drop;
  for (size_t i = 0; i < n; i++)
    r->errors[r->errors_len++] = p[i] ? p[i] : ' ';
  r->errors[r->errors_len] = 0;
}

void run_keep_output(struct run *r, const void *spans, size_t nspans, const char *bytes)
{
  struct chunk_span span;
  size_t at = 0, off = 0;

  while (!chunk_span_next(spans, nspans, &at, &span)) {
    size_t n = span.len < STEP_OUTPUT_MAX - r->output_len ? span.len : STEP_OUTPUT_MAX - r->output_len;
    if (span.channel == 0) {
      memcpy(r->output + r->output_len, bytes + off, n);
      r->output_len += n;
    } else {
      keep_errors(r, bytes + off, span.len);
    }
    off += span.len;
  }
  r->output[r->output_len] = 0;
}

static struct log_end *end_of(struct run *r, int stream)
{
  return stream ? &r->more[stream - 1] : &r->log;
}

static void send_limit(struct run *r, int stream)
{
  struct log_end *e = end_of(r, stream);

  wire_put(link_out(r->session->link), VERB_ack, "innn", &r->cmd, (int64_t)stream, e->committed, log_end_grant(e, session_runs(r->session)));
}

static void append(struct run *r, int stream);

static void appended(struct db_res *res, void *arg)
{
  struct pending *p = arg;
  struct run *r = p->run;
  struct log_end *e = p->stream <= r->nmore ? end_of(r, p->stream) : &r->log;
  enum err err = db_err(res);

  e->in_flight--;
  if (r->sm.state == RUN_GONE) {
    run_maybe_free(r);
  } else if (err) {
    if (run_told_failure(r, res))
      session_close(r->session, "database"); /* drops this run; the worker comes again, and is asked for what is not committed */
    else
      run_drop(r);
  } else {
    run_log_grew(r);
    /* the command may have ended meanwhile: then its last bytes are in the transaction of its end */
    if (r->cmd.n == p->done_cmd.n) {
      e->committed = p->length;
      log_end_grow(e);
      if (r->sm.state == RUN_COMMAND)
        send_limit(r, p->stream);
      append(r, p->stream); /* what was gathered meanwhile: perhaps nothing more comes for long */
    }
  }
  free(p);
}

/* What was gathered of one log. At the command's end also whether all before it is there: a transaction before this one may be refused, and this one not. */
static int64_t put(struct log_end *e, struct db_tx *tx, bool at_end)
{
  bool more = e->queued > 0;
  int64_t length = log_end_put(e, tx);

  if (at_end && !more)
    db_q(tx, SQL_log_whole, "nn", e->log, length);
  return length;
}

int64_t run_put_log(struct run *r, struct db_tx *tx, bool at_end)
{
  bool more = r->log.queued > 0;
  int64_t length = put(&r->log, tx, at_end);
  struct buf kept;

  for (int i = 0; i < r->nmore && at_end; i++)
    put(&r->more[i], tx, true);
  if (!r->warn || !(more || at_end))
    return length;
  if (at_end)
    r->ctx.warnings = warn_count_at_end(r->warn);
  buf_init(&kept, BUF_NO_MAX);
  warn_keep(r->warn, &kept);
  db_q(tx, SQL_log_warned, "nnb", r->log.log, warn_count(r->warn), kept.data, kept.len);
  buf_free(&kept);
  return length;
}

static void append(struct run *r, int stream)
{
  struct log_end *e = end_of(r, stream);
  struct pending *p;
  struct db_tx *tx;

  if (!e->queued || e->in_flight >= LOG_APPENDS_MAX)
    return;
  p = run_pending(r);
  p->done_cmd = r->cmd;
  p->stream = stream;
  tx = db_tx(r->m->db, (uint64_t)r->id);
  p->length = stream ? put(e, tx, false) : run_put_log(r, tx, false);
  e->in_flight++;
  db_send(tx, appended, p);
}

void run_ask_again(struct run *r, int stream)
{
  struct log_end *e = end_of(r, stream);

  wire_put(link_out(r->session->link), VERB_resume, "iinnn", &r->cmd, &r->epoch, (int64_t)stream, e->length, log_end_grant(e, session_runs(r->session)));
}

void run_take_up(struct run *r, int stream)
{
  run_ask_again(r, stream);
  send_limit(r, stream); /* the last acks may be lost with the link, and its spool waits for them */
}

/* A size of a chunk: what is too large for its type is too large for a chunk. */
static uint32_t size(struct wire_msg *m, int i)
{
  int64_t n = wire_num(m, i);

  return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

void run_out(struct run *r, struct wire_msg *m)
{
  struct chunk c = { .off = wire_num(m, 2), .raw = size(m, 3), .lines = size(m, 4), .crc = wire_crc(m, 5),
                     .spans = size(m, 6), .bcrc = wire_crc(m, 7), .blob = m->blob, .blob_len = m->blob_len };
  int64_t stream = wire_num(m, 1);
  enum err err;

  if (r->sm.state != RUN_COMMAND || m->bad || stream > r->nmore)
    return;
  err = log_end_take(end_of(r, (int)stream), &c, raw);
  if (err == ERR_NOTFOUND || err == ERR_BUSY) {
    run_ask_again(r, (int)stream); /* a gap, or more than it was allowed: what a slow database can't take stays at the worker */
  } else if (err && err != ERR_EXISTS) {
    log_warn("worker", "%s: a chunk of %s at %" PRId64 " is bad: %s", r->session->name, r->name, c.off, err_text(err));
    session_close(r->session, "protocol"); /* drops this run */
  } else if (!err) {
    if (r->step.kind->needs_output && !stream)
      run_keep_output(r, c.blob, c.spans, raw);
    if (r->warn && !stream)
      warn_take(r->warn, c.blob, c.spans, raw);
    append(r, (int)stream);
  }
}

static bool is_lost(const char *how, const char *reason)
{
  return !strcmp(how, "lost") || !strcmp(reason, "alone") || !strcmp(reason, "shutdown");
}

static enum reply_kind judge(const struct run *r, const char *how, int64_t code, const char *reason)
{
  if (is_lost(how, reason))
    return run_stops(r) ? REPLY_CANCELLED : REPLY_LOST;
  if (run_stops(r))
    return REPLY_CANCELLED;
  if (!strcmp(how, "failed"))
    return REPLY_BROKEN;
  if (!strcmp(reason, "idle") || !strcmp(reason, "total"))
    return REPLY_TIMEOUT;
  return !strcmp(how, "exited") && code == 0 ? REPLY_OK : REPLY_FAILED;
}

/* What the exit says of a log is what came of it. False: it is asked for again, or the command is lost. */
static bool log_whole(struct run *r, int stream, int64_t len, uint32_t crc)
{
  const struct log_end *e = end_of(r, stream);

  if (e->length < len) {
    run_ask_again(r, stream); /* the exit comes once more behind it */
    return false;
  }
  if (e->length == len && e->crc == crc)
    return true;
  log_error("log", "%s: log %d has %" PRId64 " bytes, crc %08x, the worker says %" PRId64 ", %08x", r->name, stream, e->length, e->crc, len, crc);
  run_lost(r, "log", "the log does not match its checksum");
  return false;
}

static bool logs_whole(struct run *r, struct wire_msg *m)
{
  struct run_told told;

  if (!log_whole(r, 0, wire_num(m, 5), wire_crc(m, 6)))
    return false;
  for (int i = 1; i <= r->nmore && strcmp(wire_str(m, 2), "failed"); i++) {
    if (!run_told(m, i, &told))
      told = (struct run_told){ .len = 0 };
    if (!log_whole(r, i, told.len, told.crc))
      return false;
  }
  return true;
}

/* The worker's sentence about the end, or "". The caller frees it. */
static char *told_text(const struct wire_msg *m, const char *how)
{
  const char *note = m->blob && strcmp(how, "failed") ? records_get(m->blob, m->blob_len, "note") : NULL;

  if (!strcmp(how, "failed"))
    return utf8_text(m->blob, m->blob_len, SESSION_TEXT_MAX, false);
  return note ? utf8_text(note, strlen(note), SESSION_TEXT_MAX, false) : xstrdup("");
}

void run_exit(struct run *r, struct wire_msg *m)
{
  const char *how = wire_str(m, 2), *reason = wire_str(m, 4);
  int64_t code = wire_num(m, 3);
  char *detail;

  if (r->sm.state != RUN_COMMAND || m->bad || (strcmp(how, "lost") && !logs_whole(r, m)))
    return;
  detail = told_text(m, how);
  r->lost = is_lost(how, reason);
  struct reply reply = { judge(r, how, code, reason), (int)code, !strcmp(how, "signaled"), reason, detail, r->output };
  r->step.errors = r->errors_len ? r->errors : NULL;
  run_got(r, &reply, m);
  r->step.errors = NULL;
  free(detail);
}

void run_refused(struct run *r, const char *tag, const char *text)
{
  struct reply reply = { REPLY_BROKEN, 0, false, tag, text, "" };

  if (r->sm.state != RUN_COMMAND)
    return;
  if (!strcmp(tag, "notfound") || !strcmp(tag, "fenced")) {
    run_lost(r, tag, text);
    return;
  }
  run_got(r, &reply, NULL);
}

void run_op_done(void *arg, const struct ops_answer *a)
{
  struct run *r = arg;
  struct reply reply = { REPLY_FAILED, 0, false, a->tag, a->text, "" };

  r->req = 0;
  if (run_stops(r))
    reply.kind = REPLY_CANCELLED;
  else if (!strcmp(a->tag, "ok"))
    reply.kind = REPLY_OK;
  else if (!strcmp(a->tag, "notfound"))
    reply.kind = REPLY_NOTFOUND;
  r->step.answer = a;
  run_got(r, &reply, NULL);
  r->step.answer = NULL;
}
