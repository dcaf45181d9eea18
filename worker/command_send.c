/* What the agent copies from the spool onto the link: chunks as far as credit goes, each command in its turn, and behind them what it reported and its exit. */
#include <string.h>

#include "common/log.h"
#include "proto/records.h"
#include "worker/command_int.h"

enum { TURN_BYTES = 65536 }; /* copied for one command before the next has its turn */

void command_close_logs(struct command *c)
{
  for (int i = 0; i < c->nstreams; i++)
    segment_reader_close(&c->stream[i].log);
}

void command_stop_sending(struct command *c)
{
  for (int i = 0; i < c->nstreams; i++)
    c->stream[i].sending = false;
}

void command_note_sent(struct command_stream *s)
{
  s->sent = s->log.off > s->sent ? s->log.off : s->sent;
}

/* As the result tells. */
int64_t command_stream_len(const struct spool_exit *x, int stream)
{
  return !stream ? x->len : stream <= x->nlogs ? x->log[stream - 1].len : 0;
}

static void put_exit(struct agent *a, struct command *c)
{
  const struct spool_exit *x = c->exit;
  struct buf report, more;

  buf_init(&report, SPOOL_REPORT_MAX);
  if (c->report && spool_read_report(&c->sp, &report))
    wire_put_blob(&a->link.out, VERB_report, report.data, report.len, "ii", &c->id, &c->epoch);
  buf_free(&report);
  buf_init(&more, SPOOL_TEXT_MAX * 2);
  if (*x->text && strcmp(x->how, "failed"))
    records_put(&more, "note", x->text);
  else
    buf_add(&more, x->text, strlen(x->text));
  if (x->left_bytes) { /* then it was started, and there is no sentence */
    records_putf(&more, "left_bytes", "%lld", (long long)x->left_bytes);
    records_putf(&more, "left_lines", "%lld", (long long)x->left_lines);
  }
  for (int i = 0; i < x->nlogs; i++) {
    const struct spool_log *l = &x->log[i];
    records_putf(&more, "log", "%d %lld %08x %lld %lld %lld", i + 1, (long long)l->len, (unsigned)l->crc, (long long)l->lines, (long long)l->left_bytes, (long long)l->left_lines);
  }
  wire_put_blob(&a->link.out, VERB_exit, more.data, more.len, "iisnsncnnnnn", &c->id, &c->epoch, x->how, x->code,
                x->reason, x->len, x->crc, x->lines, x->wall_ms, x->user_ms, x->sys_ms, x->maxrss_kib);
  buf_free(&more);
  c->exit_sent = true;
  command_close_logs(c);
}

static void give_up(struct agent *a, struct command *c, enum err e)
{
  const char *text = err_text(e), *tag = e == ERR_NOTFOUND ? "notfound" : e == ERR_BADARG ? "badarg" : "io";

  log_error("command", "%s: its log can't be read: %s", c->sp.cmd, text);
  wire_put_blob(&a->link.out, VERB_error, text, strlen(text), "ss", tag, c->sp.cmd);
  command_stop_sending(c);
}

/* Takes up what was asked for while it was being settled. */
static bool take_up(struct agent *a, struct command *c, struct command_stream *s)
{
  enum err e = segment_seek(&s->sp, &s->log, s->resume_at, &s->lo);

  s->resume_at = -1;
  if (e)
    give_up(a, c, e);
  else
    command_note_sent(s);
  return !e;
}

static bool at_end(const struct command *c, const struct command_stream *s)
{
  return s->log.off >= command_stream_len(c->exit, s->sp.stream);
}

/* One turn of a stream. True: something was copied. */
static bool send_stream(struct agent *a, struct command *c, struct command_stream *s)
{
  bool turned = false;
  enum err e = ERR_AGAIN;

  if (!s->sending || !s->woken || s->stalled || (s->resume_at >= 0 && !take_up(a, c, s)))
    return false;
  if (!c->exit || !at_end(c, s))
    e = segment_read(&s->sp, &s->log, s->limit, TURN_BYTES, &a->link.out, &turned);
  s->many = s->many || (turned && s->log.start > 0);
  command_note_sent(s);
  switch (e) {
  case ERR_OK:
    return true;
  case ERR_BUSY:
    s->stalled = true;
    return false;
  case ERR_AGAIN:
    s->woken = false;
    if (c->exit && !at_end(c, s))
      give_up(a, c, ERR_CORRUPT);
    return false;
  default:
    give_up(a, c, e);
    return false;
  }
}

/* The exit comes behind the last chunk of each stream that was asked for on this link; stream 0 is asked for last. */
static bool all_sent(const struct command *c)
{
  if (!c->exit || !c->stream->sending)
    return false;
  for (int i = 0; i < c->nstreams; i++)
    if (c->stream[i].sending && (c->stream[i].resume_at >= 0 || !at_end(c, &c->stream[i])))
      return false;
  return true;
}

/* One turn. True: something was copied. */
static bool send_some(struct agent *a, struct command *c)
{
  bool sent = false;

  if (c->exit_sent || c->settling)
    return false;
  for (int i = 0; i < c->nstreams; i++)
    sent |= send_stream(a, c, &c->stream[i]);
  if (!sent && all_sent(c)) {
    put_exit(a, c);
    return true;
  }
  return sent;
}

void command_send_all(struct agent *a)
{
  bool more = true;

  while (more && link_queued(&a->link) < LINK_OUT_FULL) {
    more = false;
    list_each(it, &a->commands) {
      if (link_queued(&a->link) >= LINK_OUT_FULL)
        break;
      if (!send_some(a, list_of(it, struct command, node)))
        continue;
      more = true;
      link_flush(&a->link);
    }
    if (more && !list_empty(&a->commands)) { /* who was first is last the next time */
      struct list *first = a->commands.next;
      list_remove(first);
      list_push(&a->commands, first);
    }
  }
}

void command_detach_all(struct agent *a)
{
  list_each(it, &a->commands) {
    struct command *c = list_of(it, struct command, node);
    for (int i = 0; i < c->nstreams; i++) {
      c->stream[i].sending = c->stream[i].stalled = false;
      c->stream[i].resume_at = -1;
      c->stream[i].sent = 0;
    }
    if (c->feed)
      feed_detach(c->feed);
    command_close_logs(c);
  }
}
