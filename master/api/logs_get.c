/* A step's log: the rows of log_chunk in pages, one page sent while the next one comes, put end to end as they are stored (gzip) or inflated (identity).

   Happy path: the step's logs with their lengths (one statement) → pages of each log in turn → (gzip: tail). With follow: look again after each change of the build until the step has ended.
   Failures: the database goes away in between (asked again each second for a minute: positions are kept, so no byte comes twice); a hole or a broken chunk (the connection is cut, so that
   nobody takes the part for the whole). Held for a reader: two pages of at most 1 MiB (64 KiB for followers) and a chunk, and one chunk inflated. */
#include "master/api/handlers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/api/accept.h"
#include "master/core/master.h"
#include "master/logs/watch.h"
#include "proto/chunk.h"

enum {
  PAGE_ROWS = 256,         /* as in api_log_chunks */
  PAGE = 1000000,          /* bytes as stored, */
  FOLLOWED_PAGE = 65536,   /* and for who follows: there may be many, who read slowly or not at all */
  BLOCK = 256 << 10,       /* handed to the socket at a time, */
  FOLLOWED_BLOCK = 32 << 10, /* and for them */
  RETRIES = 60,            /* each a second apart */
  LOOK_TICKS = 3,          /* followers look after so many seconds even if nobody told them */
};

/* Columns of api_log_find and api_log_look. */
enum { BUILD, BUILD_DONE, STEP, STEP_ENDED, LOG, COMMAND, LENGTH, STORED, CLOSED, LINES, STREAM, NAME, GONE }; /* GONE: of api_log_find only */

struct one_log {
  int64_t id, length, stored, lines;
  bool closed;             /* it will not get longer */
};

struct log_page {
  int log;                 /* index in logs */
  int n, at;
  struct {
    int64_t off;
    uint32_t raw, crc;
    size_t start, len;     /* in data */
  } row[PAGE_ROWS];
  struct buf data;
};

struct reader {
  struct call *c;
  struct master *m;
  int64_t build;
  char *step, *command;    /* command: NULL for all */
  char *log;               /* of a file that was followed; NULL: what the commands wrote */
  bool gzip, follow, ended;
  struct one_log *logs;
  int nlogs;
  int fetch_log;           /* what is asked for next */
  int64_t fetch_off;
  int send_log;            /* what is sent next */
  int64_t send_off;
  struct log_page *cur, *next;
  const char *span;        /* bytes to be sent */
  size_t span_len;
  char *raw;               /* a chunk inflated; identity only */
  unsigned char edge[CHUNK_GZIP_TAIL > CHUNK_GZIP_HEAD ? CHUNK_GZIP_TAIL : CHUNK_GZIP_HEAD];
  uint32_t crc;
  int64_t total;           /* raw bytes that crc is of */
  enum { AT_HEAD, AT_BODY, AT_END, AT_BREAK } stage;
  bool asking, retry, look, closed;
  int tries, ticks;
  struct log_watch watch;
};

static void page_free(struct log_page *p)
{
  if (p)
    buf_free(&p->data);
  free(p);
}

static void reader_free(struct reader *rd)
{
  page_free(rd->cur);
  page_free(rd->next);
  free(rd->logs);
  free(rd->step);
  free(rd->command);
  free(rd->log);
  free(rd->raw);
  free(rd);
}

/* ---- what there is ---- */

static bool is_asked(const struct db_res *r, int row, const char *command, const char *log)
{
  if (!db_num(r, 0, row, LOG) || (command && strcmp(command, db_str(r, 0, row, COMMAND))))
    return false;
  return log ? db_num(r, 0, row, STREAM) > 0 && !strcmp(log, db_str(r, 0, row, NAME)) : !db_num(r, 0, row, STREAM);
}

/* Known logs get longer, new ones come behind them: no order of rows can make a byte come twice. */
static void take_logs(struct reader *rd, const struct db_res *r)
{
  bool all_closed = true;

  for (int i = 0; i < db_rows(r, 0); i++) {
    int64_t id = db_num(r, 0, i, LOG);
    int k = 0;
    if (!is_asked(r, i, rd->command, rd->log))
      continue;
    while (k < rd->nlogs && rd->logs[k].id != id)
      k++;
    if (k == rd->nlogs) {
      rd->logs = xrealloc(rd->logs, (size_t)(k + 1) * sizeof *rd->logs);
      rd->nlogs++;
    }
    rd->logs[k] = (struct one_log){ id, db_num(r, 0, i, LENGTH), db_num(r, 0, i, STORED), db_num(r, 0, i, LINES), db_num(r, 0, i, CLOSED) != 0 };
    all_closed = all_closed && rd->logs[k].closed;
  }
  rd->ended = db_num(r, 0, 0, STEP_ENDED) || db_num(r, 0, 0, BUILD_DONE) || (rd->command && rd->nlogs && all_closed);
}

static int64_t length_of(const struct reader *rd, bool stored)
{
  int64_t n = 0;

  for (int i = 0; i < rd->nlogs; i++)
    n += stored ? rd->logs[i].stored : rd->logs[i].length;
  return n;
}

/* ---- asking ---- */

static void ask(struct reader *rd);

static void break_off(struct reader *rd, const char *why)
{
  log_warn("api", "log of %s: %s", rd->step, why);
  rd->stage = AT_BREAK;
  rd->span_len = 0;
}

/* After each answer; false: the reader is gone, or has to wait. */
static bool answered(struct reader *rd, struct db_res *r)
{
  rd->asking = false;
  if (rd->closed) {
    reader_free(rd);
    return false;
  }
  if (db_err(r) == ERR_AWAY && ++rd->tries <= RETRIES) {
    rd->retry = true;
    return false;
  }
  if (db_err(r)) {
    break_off(rd, db_errtext(r));
    call_wake(rd->c);
    return false;
  }
  rd->tries = 0;
  return true;
}

static void on_look(struct db_res *r, void *arg)
{
  struct reader *rd = arg;

  if (!answered(rd, r))
    return;
  if (db_rows(r, 0))
    take_logs(rd, r);
  else
    break_off(rd, "its build was removed");
  ask(rd);
  call_wake(rd->c);
}

static struct log_page *page_of(const struct db_res *r, int log)
{
  struct log_page *p = xcalloc(1, sizeof *p);

  p->log = log;
  p->n = db_rows(r, 0);
  assert(p->n <= PAGE_ROWS);
  buf_init(&p->data, BUF_NO_MAX);
  for (int i = 0; i < p->n; i++) {
    const void *z = db_bytes(r, 0, i, 3, &p->row[i].len);
    p->row[i].off = db_num(r, 0, i, 0);
    p->row[i].raw = (uint32_t)db_num(r, 0, i, 1);
    p->row[i].crc = (uint32_t)db_num(r, 0, i, 2);
    p->row[i].start = p->data.len;
    buf_add(&p->data, z, p->row[i].len);
  }
  return p;
}

static void on_page(struct db_res *r, void *arg)
{
  struct reader *rd = arg;
  struct log_page *p;

  if (!answered(rd, r))
    return;
  p = page_of(r, rd->fetch_log);
  if (p->n) {
    rd->fetch_off = p->row[p->n - 1].off + p->row[p->n - 1].raw;
    assert(!rd->next);
    rd->next = p;
    if (!rd->cur) {
      rd->cur = p;
      rd->next = NULL;
    }
  } else {
    page_free(p);
    break_off(rd, "chunks are missing");
  }
  ask(rd);
  call_wake(rd->c);
}

/* Past logs that are fetched to their end and will not get longer. True: there is more to fetch. */
static bool more(struct reader *rd)
{
  while (rd->fetch_log < rd->nlogs && rd->fetch_off >= rd->logs[rd->fetch_log].length) {
    if (rd->follow && !rd->ended && !rd->logs[rd->fetch_log].closed)
      return false;
    rd->fetch_off -= rd->logs[rd->fetch_log++].length;
  }
  return rd->fetch_log < rd->nlogs;
}

static bool all_fetched(struct reader *rd)
{
  return !more(rd) && !rd->asking && (!rd->follow || rd->ended);
}

/* The next question, where there is one and room for its answer. */
static void ask(struct reader *rd)
{
  struct db_tx *tx;

  if (rd->asking || rd->retry || rd->next || rd->stage >= AT_END)
    return;
  if (more(rd)) {
    tx = db_tx(rd->m->db, DB_READ);
    db_q(tx, SQL_api_log_chunks, "nnnn", rd->logs[rd->fetch_log].id, rd->fetch_off, rd->logs[rd->fetch_log].length, (int64_t)(rd->follow ? FOLLOWED_PAGE : PAGE));
    db_send(tx, on_page, rd);
    rd->asking = true;
  } else if (rd->look && rd->follow && !rd->ended) {
    rd->look = false;
    tx = db_tx(rd->m->db, DB_READ);
    db_q(tx, SQL_api_log_look, "ns", rd->build, rd->step);
    db_send(tx, on_look, rd);
    rd->asking = true;
  }
}

static void on_changed(void *arg)
{
  struct reader *rd = arg;

  rd->look = true;
  ask(rd);
}

/* ---- sending ---- */

static bool send_edge(struct reader *rd, size_t n)
{
  rd->span = (const char *)rd->edge;
  rd->span_len = n;
  return true;
}

/* The next chunk of the current page becomes the span. */
static bool send_chunk(struct reader *rd)
{
  struct log_page *p = rd->cur;
  int i = p->at++;
  const char *z = p->data.data + p->row[i].start;
  int64_t skip, over;
  size_t got;

  while (rd->send_log < p->log) {
    rd->send_log++;
    rd->send_off = 0;
  }
  skip = rd->send_off - p->row[i].off;
  if (skip < 0 || skip >= p->row[i].raw || (rd->gzip && skip)) {
    break_off(rd, "chunks do not follow on each other");
    return false;
  }
  rd->send_off = p->row[i].off + p->row[i].raw;
  over = rd->send_off - rd->logs[p->log].length; /* behind `to` */
  if (rd->gzip) {
    rd->crc = chunk_crc_join(rd->crc, p->row[i].crc, p->row[i].raw);
    rd->total += p->row[i].raw;
    rd->span = z;
    rd->span_len = p->row[i].len;
    return true;
  }
  if (chunk_inflate(z, p->row[i].len, rd->raw, CHUNK_RAW_MAX, &got) || got != p->row[i].raw) {
    break_off(rd, "a chunk is broken");
    return false;
  }
  rd->span = rd->raw + skip;
  rd->span_len = got - (size_t)skip - (over > 0 ? (size_t)over : 0);
  return true;
}

static bool next_span(struct reader *rd)
{
  if (rd->stage == AT_HEAD) {
    rd->stage = AT_BODY;
    if (rd->gzip) {
      chunk_gzip_head(rd->edge);
      return send_edge(rd, CHUNK_GZIP_HEAD);
    }
  }
  if (rd->stage != AT_BODY)
    return false;
  if (!rd->cur || rd->cur->at == rd->cur->n) {
    page_free(rd->cur);
    rd->cur = rd->next;
    rd->next = NULL;
    ask(rd);
  }
  if (rd->cur)
    return send_chunk(rd);
  if (!all_fetched(rd))
    return false;
  rd->stage = AT_END;
  if (!rd->gzip)
    return false;
  chunk_gzip_tail(rd->edge, rd->crc, rd->total);
  return send_edge(rd, CHUNK_GZIP_TAIL);
}

static ssize_t log_read(void *s, char *out, size_t n)
{
  struct reader *rd = s;
  size_t done = 0;

  while (done < n && (rd->span_len || next_span(rd))) {
    size_t part = rd->span_len < n - done ? rd->span_len : n - done;
    memcpy(out + done, rd->span, part);
    rd->span += part;
    rd->span_len -= part;
    done += part;
  }
  if (done)
    return (ssize_t)done;
  return rd->stage == AT_END ? STREAM_END : rd->stage == AT_BREAK ? STREAM_BROKEN : STREAM_WAIT;
}

static void log_tick(void *s)
{
  struct reader *rd = s;

  if (++rd->ticks % LOOK_TICKS == 0)
    rd->look = true;
  rd->retry = false;
  ask(rd);
}

static void log_close(void *s)
{
  struct reader *rd = s;

  if (rd->follow)
    watch_remove(rd->m->watches, &rd->watch);
  rd->closed = true;
  if (!rd->asking)
    reader_free(rd);
}

static const struct stream_ops log_ops = { log_read, log_tick, log_close };

/* ---- the request ---- */

static void add_headers(struct call *c, const struct reader *rd)
{
  char text[24];
  bool complete = rd->ended;
  int64_t lines = 0;

  for (int i = 0; i < rd->nlogs; i++) {
    complete = complete && rd->logs[i].closed;
    lines += rd->logs[i].lines;
  }
  snprintf(text, sizeof text, "%lld", (long long)length_of(rd, false));
  call_header_set(c, "X-Drover-Length", text);
  snprintf(text, sizeof text, "%lld", (long long)lines);
  call_header_set(c, "X-Drover-Lines", text);
  call_header_set(c, "X-Drover-Complete", complete ? "1" : "0");
  call_header_set(c, "Vary", "Accept-Encoding");
  if (rd->gzip)
    call_header_set(c, "Content-Encoding", "gzip");
  if (rd->follow) /* a proxy must not wait for more before it passes on what there is */
    call_header_set(c, "X-Accel-Buffering", "no");
}

/* What was said in the request; kept until the logs are known. */
struct wish {
  int64_t from, to; /* to: INT64_MAX: to the end */
  bool follow;
};

/* The logs end at byte `to` of all of them, as far as this reader is concerned. */
static void cut_at(struct reader *rd, int64_t to)
{
  for (int i = 0; i < rd->nlogs; i++) {
    if (rd->logs[i].length > to)
      rd->logs[i].length = to;
    to -= rd->logs[i].length;
  }
}

static int64_t skip_to(struct reader *rd, int64_t from)
{
  int64_t total = length_of(rd, false);

  rd->fetch_off = from;
  if (from >= total && !rd->follow)
    rd->fetch_log = rd->nlogs;
  else
    (void)more(rd);
  rd->send_log = rd->fetch_log;
  rd->send_off = rd->fetch_off;
  return from >= total ? 0 : total - from;
}

/* A log that a restored backup does not have. */
static bool is_gone(struct call *c, const struct db_res *r)
{
  for (int i = 0; i < db_rows(r, 0); i++)
    if (!db_null(r, 0, i, GONE) && is_asked(r, i, call_query(c, "command"), call_query(c, "log"))) {
      call_error(c, 410, "gone", NULL, "this log is %s", db_str(r, 0, i, GONE));
      return true;
    }
  return false;
}

static bool has_log(struct call *c, const struct db_res *r, const char *log)
{
  for (int i = 0; i < db_rows(r, 0); i++)
    if (is_asked(r, i, NULL, log))
      return true;
  call_error(c, 404, "not_found", "`drover show` lists them", "step %s has no log %s", call_arg(c, 3), log);
  return false;
}

static void got_logs(struct call *c, const struct db_res *r)
{
  struct wish *wish = call_data(c, sizeof *wish);
  struct reader *rd;
  int64_t length;

  if (!db_rows(r, 0)) {
    call_error(c, 404, "not_found", NULL, "there is no build %s/%s/%s", call_arg(c, 0), call_arg(c, 1), call_arg(c, 2));
    return;
  }
  if (db_null(r, 0, 0, STEP) && (!wish->follow || db_num(r, 0, 0, BUILD_DONE))) {
    call_error(c, 404, "not_found", "`drover show` lists the steps", "this build has no step %s", call_arg(c, 3));
    return;
  }
  if (is_gone(c, r) || (call_query(c, "log") && (!wish->follow || db_num(r, 0, 0, STEP_ENDED)) && !has_log(c, r, call_query(c, "log"))))
    return;
  rd = xcalloc(1, sizeof *rd);
  rd->c = c;
  rd->m = call_master(c);
  rd->build = db_num(r, 0, 0, BUILD);
  rd->step = xstrdup(call_arg(c, 3));
  rd->command = xstrdup(call_query(c, "command"));
  rd->log = xstrdup(call_query(c, "log"));
  rd->follow = wish->follow;
  rd->gzip = !rd->follow && !call_query(c, "from") && !call_query(c, "to") && accept_gzip(call_header(c, "Accept-Encoding"));
  take_logs(rd, r);
  if (!rd->gzip)
    rd->raw = xmalloc(CHUNK_RAW_MAX);
  add_headers(c, rd);
  cut_at(rd, wish->to);
  length = skip_to(rd, wish->from);
  if (rd->gzip)
    length = CHUNK_GZIP_HEAD + length_of(rd, true) + CHUNK_GZIP_TAIL;
  if (rd->follow) {
    rd->watch.changed = on_changed;
    rd->watch.arg = rd;
    rd->look = true; /* what came between the answer and the watch */
    watch_add(rd->m->watches, &rd->watch, rd->build);
  }
  if (!call_is_head(c))
    ask(rd);
  call_stream(c, "text/plain; charset=utf-8", rd->follow ? -1 : length, rd->follow ? FOLLOWED_BLOCK : BLOCK, &log_ops, rd);
}

void logs_get(struct call *c)
{
  const char *from = call_query(c, "from"), *to = call_query(c, "to"), *follow = call_query(c, "follow");
  struct wish *wish = call_data(c, sizeof *wish);
  int64_t number;
  struct db_tx *tx;

  wish->to = INT64_MAX;
  if ((from && str_number(from, strlen(from), &wish->from)) || (to && str_number(to, strlen(to), &wish->to))) {
    call_error(c, 400, "bad_request", NULL, "from and to are numbers of bytes");
    return;
  }
  if (follow && strcmp(follow, "0") && strcmp(follow, "1")) {
    call_error(c, 400, "bad_request", NULL, "follow is 0 or 1");
    return;
  }
  wish->follow = follow && *follow == '1';
  if (wish->follow && to) {
    call_error(c, 400, "bad_request", NULL, "what is followed has no `to`");
    return;
  }
  if (!build_number(c, call_arg(c, 2), &number))
    return;
  tx = call_tx(c);
  db_q(tx, SQL_api_log_find, "ssNs", call_arg(c, 0), call_arg(c, 1), number, call_arg(c, 3));
  call_ask(c, tx, got_logs);
}
