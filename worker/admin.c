/* Operations on the agent itself. Whether the program may be replaced is said by this host's own worker.conf, and by nobody else; where the new one goes too: the master names no place. */
#include "worker/admin.h"

#include <string.h>

#include "common/log.h"
#include "proto/records.h"
#include "worker/ownlog.h"

enum { HEAD_MAX = 4096 };

static void answer(struct agent *a, int64_t req, const char *tag, const char *text)
{
  wire_put_blob(&a->link.out, VERB_done, text, strlen(text), "ns", req, tag);
}

static void answer_have(struct agent *a, int64_t req, const char *have, bool running, const char *refused)
{
  struct buf out;

  buf_init(&out, HEAD_MAX);
  records_put(&out, "have", have);
  records_put(&out, "complete", running ? "1" : "0");
  if (running)
    records_put(&out, "running", "1");
  if (refused)
    records_put(&out, "refused", refused);
  wire_put_blob(&a->link.out, VERB_done, out.data, out.len, "ns", req, "ok");
  buf_free(&out);
}

static bool is_sum(const char *s)
{
  return s && strlen(s) == SHA256_HEX_LEN && strspn(s, "0123456789abcdef") == SHA256_HEX_LEN;
}

/* Can this agent be started anew as it was started? */
static bool can_again(struct agent *a, int64_t req)
{
  struct conf c;
  bool good;

  if (a->conf->token_spent) {
    answer(a, req, "denied", "its join token came by standard input, so it can't start itself anew: give it the token in a file");
    return false;
  }
  if (!a->upgrade.program) {
    answer(a, req, "denied", "the system does not tell which program this worker is");
    return false;
  }
  good = conf_load(&c, a->given) == ERR_OK;
  conf_free(&c);
  if (!good)
    answer(a, req, "badarg", "its worker.conf, or its join token, is no good any more, so it would not start anew: its log tells what is wrong");
  return good;
}

/* ---- upgrade ---- */

struct sent {
  const char *size, *sum;
  bool anew;
};

/* The records at the head of the blob. False: answered. */
static bool read_head(struct agent *a, int64_t req, const char *blob, size_t n, struct sent *s)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  int64_t size;
  size_t at = 0;
  enum err e;

  memset(s, 0, sizeof *s);
  while ((e = records_next(blob, n, &at, key, &value)) == ERR_OK)
    if (!strcmp(key, "size"))
      s->size = value;
    else if (!strcmp(key, "sum"))
      s->sum = value;
    else if (!strcmp(key, "anew"))
      s->anew = !strcmp(value, "1");
    else
      break;
  if (e == ERR_NOTFOUND && s->size && is_sum(s->sum) && !str_number(s->size, strlen(s->size), &size) && size > 0 && size <= UPGRADE_SIZE_MAX)
    return true;
  answer(a, req, "badarg", e == ERR_OK ? "a record that this operation does not know" : "size (at most 8 MiB) and sum are wanted");
  return false;
}

/* As a `put` of NAME.new beside the running program. */
static void take_part(struct agent *a, int64_t req, int64_t off, const struct sent *s, const char *bytes, size_t n)
{
  struct files_ask ask = { .verb = VERB_put, .req = req, .a = off, .below = a->upgrade.dir };
  struct buf blob;

  buf_init(&blob, HEAD_MAX + n);
  records_put(&blob, "path", a->upgrade.next_leaf);
  records_put(&blob, "size", s->size);
  records_put(&blob, "mode", "755");
  records_put(&blob, "sum", s->sum);
  ask.b = (int64_t)blob.len;
  buf_add(&blob, bytes, n);
  ask.blob = blob.data;
  ask.n = blob.len;
  files_take(&a->files, &ask, &a->link.out);
  buf_free(&blob);
}

void admin_upgrade(struct agent *a, struct wire_msg *m)
{
  int64_t req = wire_num(m, 0), off = wire_num(m, 1), head = wire_num(m, 2);
  const char *blob = m->blob ? m->blob : "", *why;
  size_t n = m->blob ? m->blob_len : 0;
  struct sent s;

  if (m->bad)
    return;
  if (!a->conf->upgrade) {
    answer(a, req, "denied", a->conf->stdio ? "by ssh the master brings it the program that it hands out whenever it connects: a restart does it"
                                            : "this host's worker.conf does not allow it: `upgrade = yes` in it, and a restart of the worker, would");
    return;
  }
  if ((uint64_t)head > n) {
    answer(a, req, "badarg", "that is not well-formed");
    return;
  }
  if (!read_head(a, req, blob, (size_t)head, &s))
    return;
  if (!strcmp(s.sum, upgrade_sum(&a->upgrade))) {
    answer_have(a, req, s.size, true, NULL);
    return;
  }
  if (s.anew)
    upgrade_anew(&a->upgrade);
  if (!strcmp(s.sum, a->upgrade.refused)) {
    answer_have(a, req, "0", false, a->upgrade.why);
    return;
  }
  if (!upgrade_may_write(&a->upgrade, &why))
    answer(a, req, "denied", why);
  else
    take_part(a, req, off, &s, blob + head, n - (size_t)head);
}

/* ---- restart, stop ---- */

/* With the checksum of a program that was sent: becomes that one. */
static bool take_next(struct agent *a, int64_t req, const char *sum)
{
  enum err e;

  if (!is_sum(sum)) {
    answer(a, req, "badarg", "that is no checksum");
    return false;
  }
  if (!a->conf->upgrade) {
    answer(a, req, "denied", "this host's worker.conf does not allow it");
    return false;
  }
  e = upgrade_ready(&a->upgrade, sum);
  if (e) {
    answer(a, req, e == ERR_NOTFOUND ? "notfound" : e == ERR_IO ? "io" : "changed", "there is no program with that checksum beside the running one");
    return false;
  }
  memcpy(a->next_sum, sum, sizeof a->next_sum);
  return true;
}

void admin_restart(struct agent *a, struct wire_msg *m)
{
  int64_t req = wire_num(m, 0);
  const char *sum = wire_str(m, 1);
  bool again = !strcmp(sum, "-");

  if (m->bad || !can_again(a, req) || (!again && !take_next(a, req, sum)))
    return;
  answer(a, req, "ok", "");
  a->next = again ? AGENT_AGAIN : AGENT_BECOMES;
}

void admin_stop(struct agent *a, struct wire_msg *m)
{
  int64_t req = wire_num(m, 0);

  if (m->bad)
    return;
  answer(a, req, "ok", "");
  a->next = AGENT_STOPS;
}

/* ---- its log ---- */

void admin_tail(struct agent *a, struct wire_msg *m)
{
  int64_t req = wire_num(m, 0), max = wire_num(m, 1);
  const char *text;
  struct buf told;
  size_t n;

  if (m->bad)
    return;
  if (max < 1 || max > WIRE_TAIL_MAX) {
    answer(a, req, "badarg", "max is 1 to 65536");
    return;
  }
  text = ownlog_tail((size_t)max, &n);
  if (n)
    wire_put_blob(&a->link.out, VERB_data, text, n, "nn", req, INT64_C(0));
  buf_init(&told, HEAD_MAX);
  records_putf(&told, "bytes", "%zu", n);
  wire_put_blob(&a->link.out, VERB_done, told.data, told.len, "ns", req, "ok");
  buf_free(&told);
}

/* ---- facts ---- */

static bool is_tool(const char *name)
{
  size_t n = strlen(name);

  return n >= 1 && n <= WIRE_TOOL_MAX && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-") == n && !strchr("._+-", name[0]);
}

/* A child does it, as the operations on files: a tool may take its time. */
void admin_facts(struct agent *a, struct wire_msg *m)
{
  struct files_ask ask = { .verb = VERB_facts, .req = wire_num(m, 0) };
  char key[RECORDS_KEY_MAX + 1];
  const char *blob = m->blob ? m->blob : "", *value;
  size_t n = m->blob ? m->blob_len : 0, at = 0;
  struct buf out;
  enum err e;
  int tools = 0;

  if (m->bad)
    return;
  buf_init(&out, BUF_NO_MAX);
  records_put(&out, "search", a->conf->path);
  confine_facts(&a->conf->confine, &out);
  while ((e = records_next(blob, n, &at, key, &value)) == ERR_OK && !strcmp(key, "tool") && is_tool(value) && ++tools <= WIRE_TOOLS_MAX)
    records_put(&out, "tool", value);
  ask.blob = out.data;
  ask.n = out.len;
  if (e == ERR_NOTFOUND)
    files_take(&a->files, &ask, &a->link.out);
  else
    answer(a, ask.req, "badarg", "at most 16 records `tool` are taken, names of programs without a path");
  buf_free(&out);
}
