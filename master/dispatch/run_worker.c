/* What the worker says of a run: output is checked and appended, an exit or a file operation's end moves the step. */
#include "master/dispatch/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/utf8.h"
#include "master/core/master.h"
#include "master/dispatch/run_int.h"
#include "master/logs/watch.h"
#include "master/workers/session.h"

static char raw[CHUNK_RAW_MAX]; /* contents of the chunk at hand: one thread */

void run_keep_output(struct run *r, const void *spans, size_t nspans, const char *bytes)
{
  struct chunk_span span;
  size_t at = 0, off = 0;

  while (r->output_len < STEP_OUTPUT_MAX && !chunk_span_next(spans, nspans, &at, &span)) {
    size_t n = span.len < STEP_OUTPUT_MAX - r->output_len ? span.len : STEP_OUTPUT_MAX - r->output_len;
    if (span.channel == 0) {
      memcpy(r->output + r->output_len, bytes + off, n);
      r->output_len += n;
    }
    off += span.len;
  }
  r->output[r->output_len] = 0;
}

static void send_limit(struct run *r, int64_t ack)
{
  wire_put(link_out(r->session->link), VERB_ack, "isnn", &r->cmd, "0", ack, log_end_limit(&r->log, session_runs(r->session)));
}

static void appended(struct db_res *res, void *arg)
{
  struct pending *p = arg;
  struct run *r = p->run;
  enum err err = db_err(res);

  r->log.in_flight--;
  if (r->sm.state == RUN_GONE) {
    run_maybe_free(r);
  } else if (err) {
    run_told_failure(r, res);
    run_drop(r);
  } else {
    watch_tell(r->m->watches, r->id);
    /* the command may have ended meanwhile: then its last bytes are in the transaction of its end */
    if (r->cmd.n == p->done_cmd.n) {
      r->log.committed = p->length;
      log_end_grow(&r->log);
      if (r->sm.state == RUN_COMMAND)
        send_limit(r, r->log.committed);
    }
  }
  free(p);
}

static void append(struct run *r)
{
  struct pending *p;
  struct db_tx *tx;

  if (!r->log.queued || r->log.in_flight >= LOG_APPENDS_MAX)
    return;
  p = run_pending(r);
  p->done_cmd = r->cmd;
  tx = db_tx(r->m->db, (uint64_t)r->id);
  p->length = log_end_put(&r->log, tx);
  r->log.in_flight++;
  db_send(tx, appended, p);
}

static void ask_again(struct run *r)
{
  wire_put(link_out(r->session->link), VERB_resume, "iisnn", &r->cmd, &r->epoch, "0", r->log.length, log_end_limit(&r->log, session_runs(r->session)));
}

void run_out(struct run *r, struct wire_msg *m)
{
  struct chunk c = { .off = wire_num(m, 2), .raw = (uint32_t)wire_num(m, 3), .lines = (uint32_t)wire_num(m, 4), .crc = wire_crc(m, 5),
                     .spans = (uint32_t)wire_num(m, 6), .bcrc = wire_crc(m, 7), .blob = m->blob, .blob_len = m->blob_len };
  enum err err;

  if (r->sm.state != RUN_COMMAND || m->bad || strcmp(wire_str(m, 1), "0"))
    return;
  err = log_end_take(&r->log, &c, raw);
  if (err == ERR_NOTFOUND) {
    ask_again(r);
  } else if (err && err != ERR_EXISTS) {
    log_warn("worker", "%s: a chunk of %s at %" PRId64 " is bad: %s", r->session->name, r->name, c.off, err_text(err));
    session_close(r->session, "protocol"); /* drops this run */
  } else if (!err) {
    if (r->step.kind->needs_output)
      run_keep_output(r, c.blob, c.spans, raw);
    append(r);
  }
}

static enum reply_kind judge(const struct run *r, const char *how, int64_t code, const char *reason)
{
  if (!strcmp(how, "lost") || !strcmp(reason, "alone") || !strcmp(reason, "shutdown"))
    return r->cancelled ? REPLY_CANCELLED : REPLY_LOST;
  if (r->cancelled)
    return REPLY_CANCELLED;
  if (!strcmp(how, "failed"))
    return REPLY_BROKEN;
  if (!strcmp(reason, "idle") || !strcmp(reason, "total"))
    return REPLY_TIMEOUT;
  return !strcmp(how, "exited") && code == 0 ? REPLY_OK : REPLY_FAILED;
}

void run_exit(struct run *r, struct wire_msg *m)
{
  const char *how = wire_str(m, 2), *reason = wire_str(m, 4);
  int64_t code = wire_num(m, 3), len = wire_num(m, 5);
  uint32_t crc = wire_crc(m, 6);
  char *detail;

  if (r->sm.state != RUN_COMMAND || m->bad)
    return;
  if (r->log.length < len && strcmp(how, "lost")) {
    ask_again(r);
    return;
  }
  if ((r->log.length != len || r->log.crc != crc) && strcmp(how, "lost")) {
    log_error("log", "%s: the log has %" PRId64 " bytes, crc %08x, the worker says %" PRId64 ", %08x", r->name, r->log.length, r->log.crc, len, crc);
    run_lost(r, "log", "the log does not match its checksum");
    return;
  }
  detail = utf8_text(m->blob, m->blob_len, SESSION_TEXT_MAX, false);
  struct reply reply = { judge(r, how, code, reason), (int)code, !strcmp(how, "signaled"), reason, detail, r->output };
  run_got(r, &reply, m);
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

void run_op_done(struct run *r, const char *tag, const char *text)
{
  struct reply reply = { REPLY_FAILED, 0, false, tag, text, "" };

  map_set_n(r->session->by_req, (uint64_t)r->req, NULL);
  r->req = 0;
  if (r->cancelled)
    reply.kind = REPLY_CANCELLED;
  else if (!strcmp(tag, "ok"))
    reply.kind = REPLY_OK;
  else if (!strcmp(tag, "notfound"))
    reply.kind = REPLY_NOTFOUND;
  run_got(r, &reply, NULL);
}
