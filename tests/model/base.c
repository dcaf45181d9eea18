/* The database of the model, as masters have it: each transaction is done as a whole when the model says so (server.c), and its answer told when the model says so. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/db/db_int.h"
#include "tests/model/model.h"

enum { BASE_SENT_MAX = 256 };

void __wrap_db_send(struct db_tx *tx, db_cb *cb, void *arg);
bool __wrap_db_is_up(const struct db *db);
void __wrap_db_hear(struct db *db, const char *channel, void (*heard)(void *arg, const char *text), void *arg);

struct base *base_of(const struct db *db)
{
  return list_of((uintptr_t)db, struct base, as_db);
}

struct db *base_db(struct base *b)
{
  return (struct db *)(void *)&b->as_db;
}

void base_begin(struct base *b)
{
  memset(b, 0, sizeof *b);
  list_init(&b->sent);
  list_init(&b->answered);
  b->up = true;
}

void __wrap_db_send(struct db_tx *tx, db_cb *cb, void *arg)
{
  struct base *b = base_of(tx->db);

  tx->cb = cb;
  tx->arg = arg;
  if (b->up) {
    list_push(&b->sent, &tx->link);
    return;
  }
  tx->err = ERR_AWAY;
  tx->errtext = xstrdup("away");
  list_push(&b->answered, &tx->link);
}

bool __wrap_db_is_up(const struct db *db)
{
  return base_of(db)->up;
}

void __wrap_db_hear(struct db *db, const char *channel, void (*heard)(void *arg, const char *text), void *arg)
{
  struct base *b = base_of(db);

  (void)channel;
  b->heard = heard;
  b->heard_arg = arg;
}

/* ---- what the model may choose of ---- */

/* Of transactions with one key the first; those without one in any order. */
static int eligible(struct base *b, struct db_tx **found)
{
  int n = 0;

  list_each(it, &b->sent) {
    struct db_tx *tx = list_of(it, struct db_tx, link);
    bool first = true;
    if (n == BASE_SENT_MAX)
      break;
    if (tx->key < DB_READ)
      list_each(jt, &b->sent) {
        if (jt == it)
          break;
        first &= list_of(jt, struct db_tx, link)->key != tx->key;
      }
    if (first)
      found[n++] = tx;
  }
  return n;
}

int base_ready(struct base *b)
{
  struct db_tx *found[BASE_SENT_MAX];

  return eligible(b, found);
}

/* What one master says on the channel all others may hear, or not. */
static void hint(const struct base *from, const struct db_tx *tx)
{
  for (int i = 0; i < tx->count; i++)
    if (!tx->stmts[i].text && tx->stmts[i].s == SQL_hint)
      for (int k = 0; k < MODEL_MASTERS; k++) {
        struct sim_master *m = &sim.masters[k];
        if (m->alive && !m->frozen && m->base.up && &m->base != from && m->base.heard && tally_of(chance_of(70), "fault: none, a hint is heard", "fault: a hint is lost"))
          m->base.heard(m->base.heard_arg, tx->data.data + tx->params[tx->stmts[i].first + 1].off);
      }
}

void base_do(struct base *b, int n)
{
  struct db_tx *found[BASE_SENT_MAX], *tx;

  (void)eligible(b, found);
  tx = found[n];
  list_remove(&tx->link);
  server_send(tx);
  hint(b, tx);
  list_push(&b->answered, &tx->link);
}

void base_tell(struct base *b, int n)
{
  struct db_tx *tx = NULL;
  struct db_res res;

  list_each(it, &b->answered)
    if (n-- == 0)
      tx = list_of(it, struct db_tx, link);
  assert(tx);
  list_remove(&tx->link);
  server_land(tx);
  res.tx = tx;
  if (tx->cb)
    tx->cb(&res, tx->arg);
  tx_free(tx);
}

void base_lose(struct base *b, bool some)
{
  struct db_tx *found[BASE_SENT_MAX];
  int n;

  while (some && (n = eligible(b, found)) && chance_of(60)) {
    struct db_tx *tx = found[chance((uint64_t)n)];
    list_remove(&tx->link);
    server_send(tx);
    hint(b, tx);
    list_push(&b->answered, &tx->link); /* the answer doesn't come */
  }
  server_land(NULL);
  b->up = false;
  while (!list_empty(&b->sent)) {
    struct list *it = b->sent.next;
    list_remove(it);
    list_push(&b->answered, it);
  }
  list_each(it, &b->answered) {
    struct db_tx *tx = list_of(it, struct db_tx, link);
    tx_reset(tx);
    tx->err = ERR_AWAY;
    tx->errtext = xstrdup("away");
  }
}

void base_tick(void)
{
  static const char sql[] = "update master set heartbeat = now() where id = any($1::bigint[])";
  struct buf ids;
  const char *values[1];

  buf_init(&ids, BUF_NO_MAX);
  for (int i = 0; i < MODEL_MASTERS; i++)
    if (sim.masters[i].alive && !sim.masters[i].frozen && sim.masters[i].base.up && sim.masters[i].m.id)
      buf_addf(&ids, "%s%" PRId64, ids.len ? "," : "{", sim.masters[i].m.id);
  if (ids.len) {
    buf_addc(&ids, '}');
    values[0] = buf_str(&ids);
    server_tell(sql, values, 1);
  }
  buf_free(&ids);
}
