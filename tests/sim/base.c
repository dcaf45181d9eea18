/* The database as the masters see it: a transaction is done as a whole when the simulation says so, its guards before its changes; or not at all, or without an answer. What its statements do is in store.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/db/db_int.h"
#include "tests/sim/sim.h"

enum { BASE_SENT_MAX = 256 };

int64_t base_done;
int base_fails;

void __wrap_db_send(struct db_tx *tx, db_cb *cb, void *arg);
bool __wrap_db_is_up(const struct db *db);
void __wrap_db_hear(struct db *db, const char *channel, void (*heard)(void *arg, const char *text), void *arg);

struct base *base_of(const struct db *db) { return list_of((uintptr_t)db, struct base, as_db); }
struct db *base_db(struct base *b) { return (struct db *)(void *)&b->as_db; }

void base_begin(struct base *b)
{
  memset(b, 0, sizeof *b);
  list_init(&b->sent);
  list_init(&b->answered);
  b->up = true;
}

static void away(struct db_tx *tx)
{
  tx_reset(tx);
  tx->err = ERR_AWAY;
  tx->errtext = xstrdup("away");
}

void __wrap_db_send(struct db_tx *tx, db_cb *cb, void *arg)
{
  struct base *b = base_of(tx->db);

  tx->cb = cb;
  tx->arg = arg;
  if (!b->up)
    away(tx);
  list_push(b->up ? &b->sent : &b->answered, &tx->link);
}

bool __wrap_db_is_up(const struct db *db) { return base_of(db)->up; }
void __wrap_db_hear(struct db *db, const char *channel, void (*heard)(void *arg, const char *text), void *arg) { (void)db, (void)channel, (void)heard, (void)arg; }

static void failed(struct db_tx *tx, int stmt, const char *state, const char *why)
{
  tx_reset(tx);
  tx->err = ERR_FAILED;
  tx->failed = stmt;
  snprintf(tx->sqlstate, sizeof tx->sqlstate, "%s", state);
  tx->errtext = xasprintf("%s: %s", sql_name(tx->stmts[stmt].s), why);
}

static void do_tx(struct db_tx *tx)
{
  bool refused;

  base_done++;
  if (base_fails && !chance((uint64_t)base_fails)) {
    trace("a transaction fails", tx->count, (int64_t)tx->stmts[0].s);
    store_failed(tx);
    failed(tx, 0, "57014", "canceling statement due to statement timeout");
    return;
  }
  tx->results = xcalloc((size_t)tx->count + 1, sizeof *tx->results);
  for (int i = 0; i < tx->count; i++) {
    tx->results[i] = store_do(tx, i, &refused);
    if (!refused)
      continue;
    trace("refused", (int64_t)tx->stmts[i].s, i);
    failed(tx, i, "22012", "division by zero");
    return;
  }
}

/* Of transactions with one key the first, which the master's database keeps in order; those without one in any order. */
static int eligible(struct list *of, struct db_tx **found)
{
  int n = 0;

  list_each(it, of) {
    struct db_tx *tx = list_of(it, struct db_tx, link);
    bool first = true;
    if (n == BASE_SENT_MAX)
      break;
    if (tx->key < DB_READ)
      list_each(jt, of) {
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

  return list_empty(&b->sent) ? 0 : eligible(&b->sent, found);
}

void base_do(struct base *b, int n)
{
  struct db_tx *found[BASE_SENT_MAX];

  (void)eligible(&b->sent, found);
  list_remove(&found[n]->link);
  do_tx(found[n]);
  list_push(&b->answered, &found[n]->link);
}

int base_answers(struct base *b)
{
  struct db_tx *found[BASE_SENT_MAX];

  return list_empty(&b->answered) ? 0 : eligible(&b->answered, found);
}

void base_tell(struct base *b, int n)
{
  struct db_tx *found[BASE_SENT_MAX], *tx;
  struct db_res res;

  (void)eligible(&b->answered, found);
  tx = found[n];
  list_remove(&tx->link);
  res.tx = tx;
  if (tx->cb)
    tx->cb(&res, tx->arg);
  tx_free(tx);
}

void base_lose(struct base *b, bool some)
{
  struct db_tx *found[BASE_SENT_MAX];
  int n;

  while (some && (n = eligible(&b->sent, found)) && chance_of(60)) {
    struct db_tx *tx = found[chance((uint64_t)n)];
    list_remove(&tx->link);
    do_tx(tx);
    list_push(&b->answered, &tx->link); /* the answer doesn't come */
  }
  b->up = false;
  while (!list_empty(&b->sent)) {
    struct list *it = b->sent.next;
    list_remove(it);
    list_push(&b->answered, it);
  }
  list_each(it, &b->answered)
    away(list_of(it, struct db_tx, link));
}
