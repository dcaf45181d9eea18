/* Each operation in flight is an entry of session->ops by its number. What a worker sends for a number that nobody waits for is dropped. Bytes are held up to what was asked for, and are what their checksum says. */
#include "master/workers/ops.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/workers/session.h"
#include "proto/records.h"

struct op {
  enum verb verb;
  int64_t req, due; /* due: on clock_mono_ms(); 0: whoever asked looks after it */
  struct buf data;
  ops_done *done;
  void *arg;
};

/* What a worker must have said in its greeting before it is asked for. */
static const struct { enum verb verb; const char *feature; } features[] = { { VERB_list, "files" }, { VERB_get, "files" }, { VERB_tail, "admin" }, { VERB_facts, "admin" } };

static const char *feature_of(enum verb v)
{
  for (size_t i = 0; i < COUNT(features); i++)
    if (features[i].verb == v)
      return features[i].feature;
  return NULL;
}

char *ops_too_old(const struct session *s, enum verb v)
{
  return xasprintf("worker %s is too old: its drover-worker does not know `%s` (feature %s); install the one of this master there", s->name, wire_verbs[v].name, feature_of(v));
}

static size_t most(const struct ops_ask *ask)
{
  return ask->verb == VERB_list ? (size_t)ask->max * WIRE_ENTRY_MAX : ask->verb == VERB_get || ask->verb == VERB_tail ? (size_t)ask->max : 0;
}

static void put(struct session *s, const struct ops_ask *ask, int64_t req)
{
  struct buf *out = link_out(s->link), blob;

  if (ask->verb == VERB_tail) {
    wire_put(out, VERB_tail, "nn", req, ask->max);
    return;
  }
  buf_init(&blob, BUF_NO_MAX);
  if (ask->verb == VERB_facts) {
    for (int i = 0; i < ask->ntools; i++)
      records_put(&blob, "tool", ask->tools[i]);
    wire_put_blob(out, VERB_facts, blob.data, blob.len, "n", req);
    buf_free(&blob);
    return;
  }
  if (ask->verb != VERB_list && ask->verb != VERB_get) {
    wire_put_blob(out, ask->verb, ask->path, strlen(ask->path), "n", req);
    return;
  }
  records_put(&blob, "path", ask->path);
  if (ask->verb == VERB_list && ask->after)
    records_put(&blob, "after", ask->after);
  if (ask->verb == VERB_get && ask->version)
    records_put(&blob, "version", ask->version);
  if (ask->verb == VERB_list)
    wire_put_blob(out, VERB_list, blob.data, blob.len, "nn", req, ask->max);
  else
    wire_put_blob(out, VERB_get, blob.data, blob.len, "nnn", req, ask->off, ask->max);
  buf_free(&blob);
}

int64_t ops_ask(struct session *s, const struct ops_ask *ask, ops_done *done, void *arg)
{
  const char *feature = feature_of(ask->verb);
  struct op *op;
  int64_t req;

  if (feature && !session_has(s, feature))
    return 0;
  op = xcalloc(1, sizeof *op);
  op->verb = ask->verb;
  op->done = done;
  op->arg = arg;
  buf_init(&op->data, most(ask));
  req = op->req = ++s->next_req;
  op->due = ask->wait_ms > 0 ? clock_mono_ms() + ask->wait_ms : 0;
  map_set_n(s->ops, (uint64_t)req, op);
  put(s, ask, req);
  return req;
}

static void op_free(struct op *op)
{
  buf_free(&op->data);
  free(op);
}

void ops_forget(struct session *s, int64_t req)
{
  struct op *op = map_set_n(s->ops, (uint64_t)req, NULL);

  if (op)
    op_free(op);
}

/* The first that is due by then is over, without an answer. False: there is none. */
static bool give_up(struct session *s, int64_t by, const char *tag, const char *text)
{
  size_t at = 0;
  struct op *op;

  while ((op = map_next(s->ops, &at)))
    if (op->due && op->due <= by)
      break;
  if (!op)
    return false;
  map_set_n(s->ops, (uint64_t)op->req, NULL);
  op->done(op->arg, &(struct ops_answer){ .tag = tag, .text = text, .records = "", .data = "" });
  op_free(op);
  return true;
}

void ops_tick(struct session *s)
{
  int64_t now = clock_mono_ms();

  while (give_up(s, now, "timeout", "the worker has not answered in time"))
    ;
}

void ops_lost(struct session *s)
{
  while (give_up(s, INT64_MAX, "away", "the worker went away before it answered"))
    ;
}

void ops_free(struct session *s)
{
  size_t at = 0;
  struct op *op;

  while ((op = map_next(s->ops, &at)))
    op_free(op);
  map_free(s->ops);
}

void ops_data(struct session *s, struct wire_msg *m)
{
  int64_t req = wire_num(m, 0), off = wire_num(m, 1);
  struct op *op = m->bad ? NULL : map_get_n(s->ops, (uint64_t)req);

  if (!op)
    return;
  if (!m->blob || off < 0 || (size_t)off != op->data.len || m->blob_len > op->data.max - op->data.len) {
    log_warn("worker", "%s: the answer to `%s` is longer than asked for, or has a gap: the link is closed", s->name, wire_verbs[op->verb].name);
    session_close(s, "protocol");
    return;
  }
  buf_add(&op->data, m->blob, m->blob_len);
}

/* The answer's bytes are as many as it says and, of a file, have its checksum. */
static bool whole(const struct op *op, const struct ops_answer *a)
{
  const char *bytes = a->records ? records_get(a->records, a->nrecords, "bytes") : NULL, *sum = a->records ? records_get(a->records, a->nrecords, "sum") : NULL;
  unsigned char hash[SHA256_DIGEST_LENGTH];
  char hex[2 * SHA256_DIGEST_LENGTH + 1];
  int64_t n;

  if (op->verb != VERB_list && op->verb != VERB_get && op->verb != VERB_tail)
    return true;
  if (!bytes || str_number(bytes, strlen(bytes), &n) || (size_t)n != a->ndata)
    return false;
  if (op->verb != VERB_get)
    return true;
  SHA256((const unsigned char *)a->data, a->ndata, hash);
  str_hex(hash, sizeof hash, hex);
  return str_eq(sum, hex);
}

void ops_answered(struct session *s, struct wire_msg *m)
{
  int64_t req = wire_num(m, 0);
  struct op *op = m->bad ? NULL : map_set_n(s->ops, (uint64_t)req, NULL);
  struct ops_answer a = { .tag = wire_str(m, 1), .text = "", .data = "", .ndata = 0 };
  char *text = NULL;

  if (!op)
    return;
  if (strcmp(a.tag, "ok")) {
    a.text = text = utf8_text(m->blob, m->blob_len, SESSION_TEXT_MAX, false);
  } else {
    a.data = buf_str(&op->data);
    a.ndata = op->data.len;
    a.records = m->blob && records_valid(m->blob, m->blob_len) ? m->blob : "";
    a.nrecords = *a.records ? m->blob_len : 0;
    if (!whole(op, &a))
      a = (struct ops_answer){ .tag = "io", .text = "the answer does not match its length or checksum", .records = "", .data = "" };
  }
  op->done(op->arg, &a);
  free(text);
  op_free(op);
}
