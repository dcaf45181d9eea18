/* The connection of the model to a real PostgreSQL whose now() is the model's clock. What is sent there is done in the order of sending, one whole transaction after the other; so its results are settled when it is sent, and are
   read only when somebody needs them: the server works while the model goes on, and is not waited for after each transaction. */
#include <assert.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/db/db_int.h"
#include "tests/model/model.h"

enum { FLYING_MAX = 64 };

static PGconn *pg;
static bool prepared[SQL_COUNT];
static struct map *texts;    /* the check's own statements, and under which name they are prepared */
static int64_t told_ms = -1; /* what now() says there */
static struct flight {
  struct db_tx *tx;          /* NULL: the check's own, whose results nobody wants */
  const char *what;          /* of the check's own: for when it is refused */
} flying[FLYING_MAX];        /* sent, and not read yet; a ring */
static int first, nflying;
int64_t server_done;

static void must_send(int ok)
{
  if (!ok)
    model_bad("PostgreSQL: %s", PQerrorMessage(pg));
}

/* ---- results ---- */

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

static void fail_tx(struct db_tx *tx, const PGresult *error, int failed)
{
  const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);

  tx_reset(tx);
  tx->err = ERR_FAILED;
  tx->failed = failed;
  snprintf(tx->sqlstate, sizeof tx->sqlstate, "%s", state ? state : "");
  tx->errtext = xasprintf("%s: %s %s", failed < tx->count ? tx_stmt_name(tx, failed) : "commit", tx->sqlstate, PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
  if (!strcmp(tx->sqlstate, WATCH_STATE))
    model_bad("%s", PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
  else if (strcmp(tx->sqlstate, "22012") && strcmp(tx->sqlstate, "DR001") && strcmp(tx->sqlstate, "DR002"))
    model_bad("a statement is refused: %s", tx->errtext);
}

static void tell_tx(const struct db_tx *tx)
{
  struct buf names;

  buf_init(&names, BUF_NO_MAX);
  for (int i = 0; i < tx->count; i++)
    buf_addf(&names, " %s", tx_stmt_name(tx, i));
  model_tell("    tx%s%s%s", buf_str(&names), tx->err ? " : " : "", tx->err ? tx->errtext : "");
  buf_free(&names);
}

static void land_one(void)
{
  struct flight f = flying[first];
  PGresult *error;
  int failed = 0;

  first = (first + 1) % FLYING_MAX;
  nflying--;
  error = f.tx ? take(f.tx->results, f.tx->count, &failed) : take(NULL, 0, &failed);
  if (f.tx)
    server_done++;
  if (error && f.tx)
    fail_tx(f.tx, error, failed);
  else if (error)
    model_bad("the check's own statement is refused: %s: %s", f.what, PQresultErrorMessage(error));
  if (f.tx)
    tally_tx(f.tx);
  if (f.tx && model_verbose)
    tell_tx(f.tx);
  PQclear(error);
}

void server_land(const struct db_tx *tx)
{
  bool flies = !tx;

  for (int i = 0; i < nflying; i++)
    flies |= flying[(first + i) % FLYING_MAX].tx == tx;
  while (flies && nflying) {
    flies = !tx || flying[first].tx != tx;
    land_one();
  }
}

static void fly(struct db_tx *tx, const char *what)
{
  must_send(PQpipelineSync(pg));
  if (nflying == FLYING_MAX - 1)
    land_one();
  flying[(first + nflying++) % FLYING_MAX] = (struct flight){ tx, what };
  if (model_verbose)
    server_land(NULL);
}

/* ---- sending ---- */

static void prepare(const char *name, const char *text)
{
  PGresult *error;
  int failed;

  server_land(NULL);
  must_send(PQsendPrepare(pg, name, text, 0, NULL));
  must_send(PQpipelineSync(pg));
  error = take(NULL, 0, &failed);
  if (error)
    model_bad("%s: %s", name, PQresultErrorMessage(error));
  PQclear(error);
}

/* The name under which it is prepared. */
static const char *prepared_text(const char *sql)
{
  char *name = map_get(texts, sql);

  if (name)
    return name;
  name = xasprintf("check%zu", map_count(texts));
  prepare(name, sql);
  (void)map_set(texts, sql, name);
  return name;
}

/* now() of what follows. A transaction of its own: it holds whatever becomes of the next one. */
static void set_time(void)
{
  static const char sql[] = "select set_config('drover.now', $1, false)";
  char now[24];
  const char *values[] = { now };

  if (told_ms == model_now_ms)
    return;
  snprintf(now, sizeof now, "%" PRId64, model_now_ms + MODEL_WALL_MS);
  must_send(PQsendQueryPrepared(pg, prepared_text(sql), 1, values, NULL, NULL, 0));
  fly(NULL, sql);
  told_ms = model_now_ms;
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

void server_send(struct db_tx *tx)
{
  for (int i = 0; i < tx->count; i++)
    if (!tx->stmts[i].text && !prepared[tx->stmts[i].s]) {
      prepare(sql_name(tx->stmts[i].s), sql_text(tx->stmts[i].s));
      prepared[tx->stmts[i].s] = true;
    }
  set_time();
  tx->results = xcalloc((size_t)tx->count + 1, sizeof *tx->results);
  for (int i = 0; i < tx->count; i++)
    send_stmt(tx, &tx->stmts[i]);
  fly(tx, NULL);
}

/* ---- for the check ---- */

void server_tell(const char *sql, const char *const *values, int n)
{
  const char *name = prepared_text(sql);

  set_time();
  must_send(PQsendQueryPrepared(pg, name, n, values, NULL, NULL, 0));
  fly(NULL, sql);
}

PGresult *server_ask(const char *sql, const char *const *values, int n)
{
  PGresult *results[1] = { NULL }, *error;
  const char *name = prepared_text(sql);
  int failed;

  set_time();
  must_send(PQsendQueryPrepared(pg, name, n, values, NULL, NULL, 0));
  must_send(PQpipelineSync(pg));
  server_land(NULL);
  error = take(results, 1, &failed);
  if (!error)
    return results[0];
  model_bad("the check's own statement is refused: %s: %s", sql, PQresultErrorMessage(error));
  PQclear(results[0]);
  return error;
}

char *server_text(const char *sql)
{
  PGresult *res = server_ask(sql, NULL, 0);
  char *text = xstrdup(PQntuples(res) ? PQgetvalue(res, 0, 0) : "");

  PQclear(res);
  return text;
}

int64_t server_number(const char *sql)
{
  char *text = server_text(sql);
  int64_t n = strtoll(text, NULL, 10);

  free(text);
  return n;
}

/* ---- the connection ---- */

/* Mostly one of the two waits for the other: on one processor that costs less of both. */
static void stay_together(pid_t backend)
{
  int cpu = sched_getcpu();
  cpu_set_t one;

  if (cpu < 0)
    return;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (!sched_setaffinity(backend, sizeof one, &one)) /* else it is somebody else's, and all stays as it is */
    (void)!sched_setaffinity(0, sizeof one, &one);
}

void server_open(const char *conninfo)
{
  const char *const keys[] = { "dbname", "options", "client_encoding", NULL };
  const char *const values[] = { conninfo, "-c synchronous_commit=off -c TimeZone=UTC -c DateStyle=ISO -c bytea_output=hex -c plan_cache_mode=force_generic_plan -c jit=off -c client_min_messages=warning -c search_path=drover_model,pg_catalog -c drover.now=1700000000000 -c max_parallel_workers_per_gather=0 -c track_activities=off -c track_counts=off -c update_process_title=off", "UTF8", NULL };

  pg = PQconnectdbParams(keys, values, 1);
  if (PQstatus(pg) != CONNECTION_OK || !PQenterPipelineMode(pg)) {
    fprintf(stderr, "%s\n", PQerrorMessage(pg));
    abort();
  }
  stay_together(PQbackendPID(pg));
  memset(prepared, 0, sizeof prepared);
  texts = map_new();
  told_ms = -1;
}

/* Of the server's process for our connection; in ms. */
int64_t server_cpu_ms(void)
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

void server_close(void)
{
  size_t at = 0;
  char *name;

  server_land(NULL);
  PQfinish(pg);
  pg = NULL;
  while ((name = map_next(texts, &at)))
    free(name);
  map_free(texts);
}
