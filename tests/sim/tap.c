/* What is said on a link, looked at where it passes: a master acks what is committed and has nothing forgotten that is not over, a worker never sends more than it was allowed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

struct allowed {
  int64_t number, limit;
};

struct tap {
  struct wire_reader *r;
  struct allowed of[SIM_COMMANDS];
  int n;
};

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

static struct allowed *allowed(struct tap *t, int64_t number)
{
  for (int i = 0; i < t->n; i++)
    if (t->of[i].number == number)
      return &t->of[i];
  if (t->n == SIM_COMMANDS)
    abort();
  t->of[t->n] = (struct allowed){ .number = number };
  return &t->of[t->n++];
}

static void allow(struct tap *t, int64_t number, int64_t limit)
{
  struct allowed *a = allowed(t, number);

  a->limit = limit > a->limit ? limit : a->limit;
}

void tap_to_worker(struct tap *t, const char *p, size_t n)
{
  struct wire_msg m;

  wire_feed(t->r, p, n);
  while (!wire_next(t->r, &m)) {
    int64_t id = m.verb == VERB_run || m.verb == VERB_resume || m.verb == VERB_ack || m.verb == VERB_forget ? wire_id(&m, 0).n : 0;
    if (id)
      trace(wire_verbs[m.verb].name, id, m.verb == VERB_forget ? 0 : wire_num(&m, m.verb == VERB_ack ? 2 : 3));
    switch (m.verb) {
    case VERB_run:
      allow(t, id, wire_num(&m, 3));
      break;
    case VERB_resume:
      allow(t, id, wire_num(&m, 4));
      break;
    case VERB_ack:
      allow(t, id, wire_num(&m, 3));
      store_acked(id, wire_num(&m, 2));
      break;
    case VERB_forget:
      store_forgotten(id);
      break;
    default:
      break;
    }
  }
}

void tap_to_master(struct tap *t, struct wire_msg *m)
{
  int64_t id, end;

  if (m->verb != VERB_out)
    return;
  id = wire_id(m, 0).n;
  end = wire_num(m, 2) + wire_num(m, 3);
  if (end > allowed(t, id)->limit)
    model_bad("a worker sends command %" PRId64 " up to %" PRId64 ", and may up to %" PRId64, id, end, allowed(t, id)->limit);
}
