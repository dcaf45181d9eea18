/* What is said on a link, looked at where it passes: a master acks what is committed and has nothing forgotten that is not over, a worker never sends more than it was allowed. And some of it is said twice, or a worker is
   asked once more for what it has sent. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/chunk.h"
#include "tests/sim/sim.h"

enum { SEEN_MAX = 256, TWICE = 5, AGAIN = 3 /* percent */, BACK_MAX = 4096 /* bytes before what is committed: a worker surely has them still */ };

struct allowed {
  int64_t number, limit, from; /* from: where it was asked to go on last */
  int stream;
  char epoch[STR_ID_MAX];
  struct id first; /* the first epoch under which it was asked for on this link */
};

struct tap {
  struct wire_reader *r;
  bool lost;
  struct allowed of[SIM_COMMANDS * SIM_STREAMS];
  int n;
};

bool tap_says_twice;
int tap_loses_acks;
static struct {
  char instance[33];
  int64_t conn;
} seen[SEEN_MAX];
static int nseen;

struct tap *tap_new(void)
{
  struct tap *t = xcalloc(1, sizeof *t);

  t->r = wire_reader_new(WIRE_MASTER);
  wire_reader_trust(t->r);
  return t;
}

void tap_free(struct tap *t)
{
  wire_reader_free(t->r);
  free(t);
}

static struct allowed *allowed(struct tap *t, int64_t number, int stream)
{
  for (int i = 0; i < t->n; i++)
    if (t->of[i].number == number && t->of[i].stream == stream)
      return &t->of[i];
  if (t->n == COUNT(t->of))
    abort();
  t->of[t->n] = (struct allowed){ .number = number, .stream = stream };
  return &t->of[t->n++];
}

static void copy(struct buf *out, const struct wire_msg *m)
{
  for (int i = -1; i < m->ntok; i++)
    buf_addf(out, i < 0 ? "%s" : " %s", i < 0 ? wire_verbs[m->verb].name : m->tok[i]);
  if (m->blob)
    buf_addf(out, " +%zu", m->blob_len);
  buf_addc(out, '\n');
  if (!m->blob)
    return;
  buf_add(out, m->blob, m->blob_len);
  buf_addc(out, '\n');
}

/* From some border before what is committed. */
static void ask_again(struct buf *out, const struct allowed *a, int64_t committed)
{
  struct id id = { 1, a->number }, epoch;
  int64_t off = store_border(a->number, a->stream, committed - BACK_MAX);

  if (off < 0 || str_id(a->epoch, strlen(a->epoch), &epoch))
    return;
  trace("asked again", a->number, off);
  wire_put(out, VERB_resume, "iinnn", &id, &epoch, (int64_t)a->stream, off, a->limit);
}

/* Numbers of the tokens. */
static void look(struct tap *t, struct wire_msg *m, int stream, struct buf *out)
{
  int limit = m->verb == VERB_resume ? 4 : 3, epoch = m->verb == VERB_run ? 2 : m->verb == VERB_resume ? 1 : -1;
  struct allowed *a = allowed(t, wire_id(m, 0).n, stream);

  trace(wire_verbs[m->verb].name, a->number, m->verb == VERB_forget || m->verb == VERB_kill ? 0 : wire_num(m, m->verb == VERB_ack ? 2 : 3));
  if (epoch >= 0 && !a->first.n)
    a->first = wire_id(m, epoch);
  if (epoch >= 0)
    snprintf(a->epoch, sizeof a->epoch, "%s", wire_str(m, epoch));
  if (m->verb == VERB_forget) {
    store_forgotten(a->number);
    *a->epoch = 0;
  } else if (m->verb != VERB_kill && wire_num(m, limit) > a->limit) {
    a->limit = wire_num(m, limit);
  }
  if (m->verb == VERB_resume)
    a->from = wire_num(m, 3);
  if (m->verb != VERB_ack)
    return;
  store_acked(a->number, stream, wire_num(m, 2));
  if (tap_says_twice && chance_of(AGAIN))
    ask_again(out, a, wire_num(m, 2));
}

/* The link breaks before this ack, but for one that comes behind a resume. */
static bool loses(struct tap *t, struct wire_msg *m)
{
  return tap_loses_acks && wire_num(m, 2) > allowed(t, wire_id(m, 0).n, (int)wire_num(m, 1))->from && chance_of(tap_loses_acks);
}

bool tap_lost(const struct tap *t) { return t->lost; }

void tap_to_worker(struct tap *t, const char *p, size_t n, struct buf *out)
{
  struct wire_msg m;

  wire_feed(t->r, p, n);
  while (!t->lost && !wire_next(t->r, &m)) {
    bool about = m.verb == VERB_run || m.verb == VERB_resume || m.verb == VERB_ack || m.verb == VERB_forget || m.verb == VERB_kill;
    if (m.verb == VERB_ack && loses(t, &m)) {
      t->lost = true;
      return;
    }
    copy(out, &m);
    if (about && tap_says_twice && chance_of(TWICE))
      copy(out, &m);
    if (!about)
      continue;
    if (m.verb == VERB_ack || m.verb == VERB_resume)
      look(t, &m, (int)wire_num(&m, m.verb == VERB_ack ? 1 : 2), out);
    else
      for (int i = 0; i < SIM_STREAMS; i++)
        look(t, &m, i, out);
  }
}

/* An instance counts its connections, and never says a number twice. */
static void greeted(struct wire_msg *m)
{
  int64_t conn = wire_num(m, 4);

  for (int i = 0; i < nseen; i++)
    if (seen[i].conn == conn && !strcmp(seen[i].instance, wire_str(m, 2)))
      model_bad("a worker greets as connection %" PRId64 " a second time", conn);
  if (nseen == SEEN_MAX)
    return;
  seen[nseen].conn = conn;
  snprintf(seen[nseen++].instance, sizeof seen->instance, "%s", wire_str(m, 2));
}

/* An end carries an epoch under which it was asked for on this link. */
static void told(struct tap *t, struct wire_msg *m)
{
  const struct allowed *a = allowed(t, wire_id(m, 0).n, 0);

  if (str_id_cmp(wire_id(m, 1), a->first) < 0)
    model_bad("a worker tells the end of command %" PRId64 " under epoch %s, which is older than what it was asked under", a->number, wire_str(m, 1));
}

void tap_reset(void) { nseen = 0; }

void tap_to_master(struct tap *t, struct wire_msg *m)
{
  int64_t id, end;
  int stream;

  if (m->verb == VERB_hello)
    greeted(m);
  if (m->verb == VERB_exit)
    told(t, m);
  if (m->verb != VERB_out)
    return;
  id = wire_id(m, 0).n;
  stream = (int)wire_num(m, 1);
  if (chunk_crc(0, m->blob, m->blob_len) != wire_crc(m, 7))
    model_bad("a worker sends a chunk of command %" PRId64 " that is torn", id);
  end = wire_num(m, 2) + wire_num(m, 3);
  if (end > allowed(t, id, stream)->limit)
    model_bad("a worker sends stream %d of command %" PRId64 " up to %" PRId64 ", and may up to %" PRId64, stream, id, end, allowed(t, id, stream)->limit);
}
