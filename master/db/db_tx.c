/* Transactions as values: building, copying of parameters, freeing. */
#include "master/db/db_int.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct db_tx *db_tx(struct db *db, uint64_t key)
{
  struct db_tx *tx = xcalloc(1, sizeof *tx);

  list_init(&tx->link);
  list_init(&tx->followers);
  list_init(&tx->seg.link);
  tx->seg.tx = tx;
  tx->db = db;
  tx->key = key;
  buf_init(&tx->data, BUF_NO_MAX);
  return tx;
}

static struct param *add_param(struct db_tx *tx)
{
  if (tx->params_count == tx->params_cap) {
    tx->params_cap = tx->params_cap ? tx->params_cap * 2 : 8;
    tx->params = xrealloc(tx->params, (size_t)tx->params_cap * sizeof *tx->params);
  }
  tx->params[tx->params_count] = (struct param){ .off = tx->data.len };
  return &tx->params[tx->params_count++];
}

static void add_value(struct db_tx *tx, const void *p, size_t n, bool binary)
{
  struct param *v = add_param(tx);

  if (!p) {
    v->null = true;
    return;
  }
  assert(n <= INT_MAX);
  v->len = (int)n;
  v->binary = binary;
  buf_add(&tx->data, p, n);
  buf_addc(&tx->data, 0);
}

static void add_number(struct db_tx *tx, int64_t n)
{
  char text[24];
  int len = snprintf(text, sizeof text, "%" PRId64, n);

  add_value(tx, text, (size_t)len, false);
}

static void add_params(struct db_tx *tx, const char *kinds, va_list ap)
{
  for (const char *k = kinds; *k; k++) {
    const void *p;
    int64_t n;

    switch (*k) {
    case 'n': add_number(tx, va_arg(ap, int64_t)); break;
    case 'N':
      n = va_arg(ap, int64_t);
      if (n == INT64_MIN)
        add_value(tx, NULL, 0, false);
      else
        add_number(tx, n);
      break;
    case 'l': add_value(tx, va_arg(ap, int) ? "t" : "f", 1, false); break;
    case 's':
      p = va_arg(ap, const char *);
      add_value(tx, p, p ? strlen(p) : 0, false);
      break;
    case 'b':
      p = va_arg(ap, const void *);
      add_value(tx, p, va_arg(ap, size_t), true);
      break;
    default: assert(!"kind of parameter");
    }
  }
}

static void add_stmt(struct db_tx *tx, enum sql s, const char *text, const char *kinds, va_list ap)
{
  struct stmt *q;

  if (tx->count == tx->cap) {
    tx->cap = tx->cap ? tx->cap * 2 : 4;
    tx->stmts = xrealloc(tx->stmts, (size_t)tx->cap * sizeof *tx->stmts);
  }
  q = &tx->stmts[tx->count++];
  *q = (struct stmt){ .s = s, .text = xstrdup(text), .first = tx->params_count };
  add_params(tx, kinds, ap);
  q->count = tx->params_count - q->first;
  assert(q->count <= DB_PARAMS_MAX);
}

void db_q(struct db_tx *tx, enum sql s, const char *kinds, ...)
{
  va_list ap;

  assert((unsigned)s < SQL_COUNT);
  va_start(ap, kinds);
  add_stmt(tx, s, NULL, kinds, ap);
  va_end(ap);
}

void db_q_text(struct db_tx *tx, const char *text, const char *kinds, ...)
{
  va_list ap;

  va_start(ap, kinds);
  add_stmt(tx, SQL_COUNT, text, kinds, ap);
  va_end(ap);
}

int db_count(const struct db_tx *tx) { return tx->count; }

const char *tx_stmt_name(const struct db_tx *tx, int stmt)
{
  if (stmt >= tx->count)
    return "commit";
  return tx->stmts[stmt].text ? tx->stmts[stmt].text : sql_name(tx->stmts[stmt].s);
}

void tx_reset(struct db_tx *tx)
{
  if (tx->results)
    for (int i = 0; i < tx->count; i++)
      PQclear(tx->results[i]);
  free(tx->results);
  free(tx->errtext);
  tx->results = NULL;
  tx->errtext = NULL;
  tx->err = ERR_OK;
  tx->sqlstate[0] = 0;
}

void tx_free(struct db_tx *tx)
{
  tx_reset(tx);
  for (int i = 0; i < tx->count; i++)
    free(tx->stmts[i].text);
  for (int i = 0; i < tx->decoded_count; i++)
    free(tx->decoded[i]);
  free(tx->decoded);
  free(tx->stmts);
  free(tx->params);
  buf_free(&tx->data);
  free(tx);
}

void tx_answer(struct db_tx *tx, enum err err, const char *text)
{
  if (err) {
    char *copy = xstrdup(text), state[sizeof tx->sqlstate]; /* text may be the old errtext */

    memcpy(state, tx->sqlstate, sizeof state);
    tx_reset(tx);
    memcpy(tx->sqlstate, state, sizeof state);
    tx->err = err;
    tx->errtext = copy;
  }
  list_push(&tx->db->answered, &tx->link);
  db_wake(tx->db);
}

void db_drop(struct db_tx *tx)
{
  if (tx)
    tx_free(tx);
}
