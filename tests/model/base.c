/* The database of the model: each transaction is done as a whole when the model says so, on a real PostgreSQL whose now() is the model's clock. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/db/db_int.h"
#include "tests/model/model.h"

enum { BASE_SENT_MAX = 256 };

static PGconn *pg;
static bool prepared[SQL_COUNT];
static struct map *texts;    /* the check's own statements, and under which name they are prepared */
static int64_t told_ms = -1; /* what now() says there */
int64_t base_done;

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

/* ---- one transaction ---- */

static void must_send(int ok)
{
  if (!ok)
    model_bad("PostgreSQL: %s", PQerrorMessage(pg));
}

/* Through the sync that ends it; what is not wanted is dropped. results: NULL or room for n. Returns the error's result, or NULL. */
static PGresult *take(PGresult **results, int n, int *failed)
{
  PGresult *res, *error = NULL;
  int at = 0;

  for (;;) {
    res = PQgetResult(pg);
    if (!res) { /* between two statements */
      if (PQstatus(pg) != CONNECTION_OK) {
        model_bad("PostgreSQL is gone: %s", PQerrorMessage(pg));
        return error;
      }
      continue;
    }
    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
      PQclear(res);
      return error;
    }
    if (PQresultStatus(res) == PGRES_FATAL_ERROR && !error) {
      error = res;
      *failed = at++;
      continue;
    }
    if (results && at < n && (PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_COMMAND_OK))
      results[at] = res;
    else
      PQclear(res);
    at++;
  }
}

static void prepare(enum sql s)
{
  PGresult *error;
  int failed;

  if (prepared[s])
    return;
  must_send(PQsendPrepare(pg, sql_name(s), sql_text(s), 0, NULL));
  must_send(PQpipelineSync(pg));
  error = take(NULL, 0, &failed);
  if (error)
    model_bad("%s: %s", sql_name(s), PQresultErrorMessage(error));
  PQclear(error);
  prepared[s] = true;
}

/* now() of what follows. */
static int set_time(void)
{
  char sql[80];

  if (told_ms == model_now_ms)
    return 0;
  told_ms = model_now_ms;
  snprintf(sql, sizeof sql, "select set_config('drover.now', '%" PRId64 "', false)", model_now_ms + 1700000000000);
  must_send(PQsendQueryParams(pg, sql, 0, NULL, NULL, NULL, NULL, 0));
  return 1;
}

static void send_stmt(const struct db_tx *tx, const struct stmt *q)
{
  const char *values[DB_PARAMS_MAX];
  int lengths[DB_PARAMS_MAX], formats[DB_PARAMS_MAX];

  for (int i = 0; i < q->count; i++) {
    const struct param *p = &tx->params[q->first + i];
    values[i] = p->null ? NULL : tx->data.data + p->off;
    lengths[i] = p->len;
    formats[i] = p->binary;
  }
  if (q->text)
    must_send(PQsendQueryParams(pg, q->text, q->count, NULL, values, lengths, formats, 0));
  else
    must_send(PQsendQueryPrepared(pg, sql_name(q->s), q->count, values, lengths, formats, !strncmp(sql_text(q->s), "/*b*/", 5)));
}

static void fail_tx(struct db_tx *tx, const PGresult *error, int failed)
{
  const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);

  tx_reset(tx);
  tx->err = ERR_FAILED;
  tx->failed = failed;
  snprintf(tx->sqlstate, sizeof tx->sqlstate, "%s", state ? state : "");
  tx->errtext = xasprintf("%s: %s %s", failed < tx->count ? tx_stmt_name(tx, failed) : "commit", tx->sqlstate, PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
  if (strcmp(tx->sqlstate, "22012") && strcmp(tx->sqlstate, "DR001") && strcmp(tx->sqlstate, "DR002"))
    model_bad("a statement is refused: %s", tx->errtext);
}

static void do_tx(struct db_tx *tx)
{
  PGresult *error, **results;
  int before, failed = 0;

  for (int i = 0; i < tx->count; i++)
    if (!tx->stmts[i].text)
      prepare(tx->stmts[i].s);
  tx->results = xcalloc((size_t)tx->count + 1, sizeof *tx->results);
  results = xcalloc((size_t)tx->count + 2, sizeof *results);
  before = set_time();
  for (int i = 0; i < tx->count; i++)
    send_stmt(tx, &tx->stmts[i]);
  must_send(PQpipelineSync(pg));
  error = take(results, tx->count + before, &failed);
  for (int i = 0; i < tx->count + before; i++)
    if (i < before)
      PQclear(results[i]);
    else
      tx->results[i - before] = results[i];
  free(results);
  base_done++;
  if (error) {
    fail_tx(tx, error, failed - before);
    if (before)
      told_ms = -1;
  }
  PQclear(error);
  if (model_verbose) {
    struct buf names;
    buf_init(&names, BUF_NO_MAX);
    for (int i = 0; i < tx->count; i++)
      buf_addf(&names, " %s", tx_stmt_name(tx, i));
    model_tell("    tx%s%s%s", buf_str(&names), tx->err ? " : " : "", tx->err ? tx->errtext : "");
    buf_free(&names);
  }
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
    if (!tx->err && !tx->stmts[i].text && tx->stmts[i].s == SQL_hint)
      for (int k = 0; k < MODEL_MASTERS; k++) {
        struct sim_master *m = &sim.masters[k];
        if (m->alive && !m->frozen && m->base.up && &m->base != from && m->base.heard && chance_of(70))
          m->base.heard(m->base.heard_arg, tx->data.data + tx->params[tx->stmts[i].first + 1].off);
      }
}

void base_do(struct base *b, int n)
{
  struct db_tx *found[BASE_SENT_MAX], *tx;

  (void)eligible(b, found);
  tx = found[n];
  list_remove(&tx->link);
  do_tx(tx);
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
    do_tx(tx);
    hint(b, tx);
    list_push(&b->answered, &tx->link); /* the answer doesn't come */
  }
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

/* ---- for the check ---- */

/* The name under which it is prepared. */
static const char *prepared_text(const char *sql)
{
  char *name = map_get(texts, sql);
  PGresult *error;
  int failed;

  if (name)
    return name;
  name = xasprintf("check%zu", map_count(texts));
  must_send(PQsendPrepare(pg, name, sql, 0, NULL));
  must_send(PQpipelineSync(pg));
  error = take(NULL, 0, &failed);
  if (error)
    model_bad("the check's own statement: %s: %s", sql, PQresultErrorMessage(error));
  PQclear(error);
  (void)map_set(texts, sql, name);
  return name;
}

PGresult *base_ask(const char *sql, const char *const *values, int n)
{
  PGresult *results[2] = { NULL, NULL }, *error;
  const char *name = prepared_text(sql);
  int failed, before = set_time();

  must_send(PQsendQueryPrepared(pg, name, n, values, NULL, NULL, 0));
  must_send(PQpipelineSync(pg));
  error = take(results, 1 + before, &failed);
  if (before)
    PQclear(results[0]);
  if (!error)
    return results[before];
  model_bad("the check's own statement is refused: %s", PQresultErrorMessage(error));
  PQclear(results[before]);
  return error;
}

char *base_text(const char *sql)
{
  PGresult *res = base_ask(sql, NULL, 0);
  char *text = xstrdup(PQntuples(res) ? PQgetvalue(res, 0, 0) : "");

  PQclear(res);
  return text;
}

int64_t base_number(const char *sql)
{
  char *text = base_text(sql);
  int64_t n = strtoll(text, NULL, 10);

  free(text);
  return n;
}

void base_must(const char *sql)
{
  PQclear(base_ask(sql, NULL, 0));
}

void base_tick(void)
{
  for (int i = 0; i < MODEL_MASTERS; i++)
    if (sim.masters[i].alive && !sim.masters[i].frozen && sim.masters[i].base.up && sim.masters[i].m.id) {
      char id[24];
      const char *values[] = { id };
      snprintf(id, sizeof id, "%" PRId64, sim.masters[i].m.id);
      PQclear(base_ask("update master set heartbeat = now() where id = $1::bigint", values, 1));
    }
}

void base_open(const char *conninfo)
{
  const char *const keys[] = { "dbname", "options", "client_encoding", NULL };
  const char *const values[] = { conninfo, "-c synchronous_commit=off -c TimeZone=UTC -c DateStyle=ISO -c bytea_output=hex -c plan_cache_mode=force_generic_plan -c jit=off -c client_min_messages=warning -c search_path=drover_model,pg_catalog -c drover.now=1700000000000 -c max_parallel_workers_per_gather=0", "UTF8", NULL };

  pg = PQconnectdbParams(keys, values, 1);
  if (PQstatus(pg) != CONNECTION_OK || !PQenterPipelineMode(pg)) {
    fprintf(stderr, "%s\n", PQerrorMessage(pg));
    abort();
  }
  memset(prepared, 0, sizeof prepared);
  texts = map_new();
  told_ms = -1;
}

/* Of the server's process for our connection; in ms. */
int64_t base_cpu_ms(void)
{
  char path[64], line[1024] = "", *p;
  unsigned long long user = 0, sys = 0;
  FILE *in;

  snprintf(path, sizeof path, "/proc/%d/stat", PQbackendPID(pg));
  in = fopen(path, "r");
  if (in) {
    p = fgets(line, sizeof line, in) ? strrchr(line, ')') : NULL;
    if (p)
      sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys);
    fclose(in);
  }
  return (int64_t)(user + sys) * 1000 / sysconf(_SC_CLK_TCK);
}

void base_close(void)
{
  size_t at = 0;
  char *name;

  PQfinish(pg);
  pg = NULL;
  while ((name = map_next(texts, &at)))
    free(name);
  map_free(texts);
}
