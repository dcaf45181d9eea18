/* The database's tables, and of the master's statements those that worker links, runs and logs need, each as its SQL in master/db has it. Answers are real results of libpq, so all of db_res.c reads them.

   What is committed of a log is compared at once with what its command really wrote. */
#include <assert.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/db/db_int.h"
#include "proto/chunk.h"
#include "proto/records.h"
#include "tests/sim/sim.h"

enum { INT8 = 20, TEXT = 25, BYTEA = 17, TEXTS = 1009, BOOL = 16, READ_COLUMNS = 52, FILES = 35 /* percent of first commands that have a second log */,
  ALONE_SHORT_MS = 60000 /* those given to first commands (store_build); what a master gives is longer than a seed */ };

struct row_worker {
  int64_t number, conn, master;
  char instance[33], boot[33];
  bool connected;
};
struct row_build {
  int64_t worker, epoch;
  int step, steps, result;
  char step_state[16];
  bool done, cancelling;
  bool refused;          /* a transaction about it failed */
};
/* Of a command's output, or of a file that it writes: then its number is SIM_COMMANDS higher than the command's. */
struct row_log {
  int64_t length, lines;
  uint32_t crc;
  int64_t of[SIM_CHANNELS]; /* bytes of each channel */
  bool cut;              /* a line says that the rest of the file is not read */
  int64_t *borders;      /* where its chunks begin */
  int nborders;
};
struct row_command {
  int64_t build, epoch;
  int step;
  bool file;             /* it has a second log */
  struct row_log log[SIM_STREAMS];
  char *spec;
  size_t nspec;
  char instance[33], boot[33], how[16], reason[16], state[8];
  int64_t code;
  bool complete;
  char *spans, *z;       /* of its first chunk */
  size_t nspans, nz;
  int64_t raw;
};

static struct row_worker workers[SIM_HOSTS];
static struct row_build builds[SIM_HOSTS * SIM_BUILDS];
static struct row_command commands[SIM_COMMANDS];
static int nbuilds, ncommands;
static int64_t masters;

/* ---- tables ---- */

static struct row_command *command(int64_t id)
{
  return id >= 1 && id <= ncommands ? &commands[id - 1] : NULL;
}

static int64_t log_number(const struct row_command *x, int stream) { return x - commands + 1 + (stream ? SIM_COMMANDS : 0); }
static int stream_of(int64_t log) { return log > SIM_COMMANDS; }
static int64_t command_of(int64_t log) { return stream_of(log) ? log - SIM_COMMANDS : log; }

static struct row_command *command_add(int64_t build, int64_t epoch, const void *spec, size_t n, const char *instance, const char *boot, bool file)
{
  struct row_command *c = &commands[ncommands];

  if (ncommands == SIM_COMMANDS) {
    model_bad("too many commands");
    return c - 1;
  }
  ncommands++;
  *c = (struct row_command){ .build = build, .epoch = epoch, .step = builds[build - 1].step, .file = file, .spec = xmemdup(spec, n), .nspec = n };
  snprintf(c->instance, sizeof c->instance, "%s", instance);
  snprintf(c->boot, sizeof c->boot, "%s", boot);
  snprintf(c->state, sizeof c->state, "open");
  return c;
}

void store_begin(void)
{
  memset(workers, 0, sizeof workers);
  nbuilds = ncommands = 0;
  masters = 0;
}

void store_end(void)
{
  for (int i = 0; i < ncommands; i++) {
    free(commands[i].spec);
    free(commands[i].spans);
    free(commands[i].z);
    for (int k = 0; k < SIM_STREAMS; k++)
      free(commands[i].log[k].borders);
  }
}

/* A build whose first command is to be run. */
void store_build(int64_t worker, int steps)
{
  static const char *const limits[] = { "idle", "total", "alone" };
  bool file = chance_of(FILES);
  struct buf spec;

  builds[nbuilds++] = (struct row_build){ .worker = worker, .epoch = 1, .step = 1, .steps = steps, .result = -1, .step_state = "run" };
  buf_init(&spec, BUF_NO_MAX);
  records_put(&spec, "arg", "it");
  records_put(&spec, "grace", "2000");
  for (size_t i = 0; i < COUNT(limits); i++)
    if (chance_of(12))
      records_putf(&spec, limits[i], "%d", 500 + (int)chance(i ? 30000 : 5000));
  if (file)
    records_putf(&spec, "log", "f=f%d", nbuilds);
  (void)command_add(nbuilds, 1, spec.data, spec.len, "", "", file); /* never sent */
  buf_free(&spec);
}

bool store_over(void)
{
  for (int i = 0; i < nbuilds; i++)
    if (!builds[i].done)
      return false;
  return true;
}

int store_builds(void) { return nbuilds; }

/* As builds_overdue has it: the worker was away for too long. */
bool store_give_up(int n)
{
  struct row_build *b = &builds[n];

  if (b->done || workers[b->worker - 1].connected)
    return false;
  b->done = true;
  for (int i = 0; i < ncommands; i++)
    if (commands[i].build == n + 1 && !strcmp(commands[i].state, "open")) {
      snprintf(commands[i].state, sizeof commands[i].state, "lost");
      commands[i].complete = true;
    }
  return true;
}

bool store_cancel(int n, int64_t *build)
{
  if (builds[n].done || builds[n].cancelling)
    return false;
  builds[n].cancelling = true;
  *build = n + 1;
  return true;
}

/* ---- answers ---- */

struct cell {
  int type;
  const void *p; /* NULL: null; of a number not used */
  int64_t n;
  size_t len;
};
#define NUM(x) { INT8, "", (x), 0 }
#define STR(x) { TEXT, (x), 0, 0 }
#define BYTES(x, l) { BYTEA, (x), 0, (l) }

static PGresult *row(const struct cell *cells, int n)
{
  PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
  PGresAttDesc a[READ_COLUMNS];

  memset(a, 0, sizeof a);
  for (int i = 0; i < n; i++) {
    a[i].name = "x";
    a[i].typid = (Oid)cells[i].type;
    a[i].format = cells[i].type == BYTEA;
  }
  if (!PQsetResultAttrs(res, n, a))
    abort();
  return res;
}

static void put_row(PGresult *res, int at, const struct cell *cells, int n)
{
  char text[24];

  for (int i = 0; i < n; i++) {
    const struct cell *c = &cells[i];
    const char *v = c->p;
    int len = v ? (int)(c->type == BYTEA ? c->len : strlen(v)) : -1;
    if (v && c->type == INT8) {
      len = snprintf(text, sizeof text, "%" PRId64, c->n);
      v = text;
    }
    if (!PQsetvalue(res, at, i, (char *)(uintptr_t)v, len))
      abort();
  }
}

static PGresult *one(const struct cell *cells, int n)
{
  PGresult *res = row(cells, n);

  put_row(res, 0, cells, n);
  return res;
}

static PGresult *nothing(void) { return PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK); }

/* ---- statements ---- */

struct call {
  const struct db_tx *tx;
  const struct stmt *q;
  bool refused; /* a guard did not hold */
};

static const struct param *param(const struct call *c, int i) { return &c->tx->params[c->q->first + i]; }
static const char *str(const struct call *c, int i) { return param(c, i)->null ? NULL : c->tx->data.data + param(c, i)->off; }
static int64_t num(const struct call *c, int i) { return str(c, i) ? strtoll(str(c, i), NULL, 10) : 0; }

static PGresult *refuse(struct call *c)
{
  c->refused = true;
  return NULL;
}

static PGresult *worker_get(struct call *c)
{
  static unsigned char hash[SHA256_DIGEST_LENGTH];
  const char *name = str(c, 0);
  int n = name[1] - '1';

  SHA256((const unsigned char *)hosts[n].token.secret, strlen(hosts[n].token.secret), hash);
  const struct cell cells[] = { NUM(n + 1), BYTES(hash, sizeof hash), NUM(0), STR(NULL), STR(""), STR(""), NUM(SIM_BUILDS), { TEXTS, "{}", 0, 0 }, NUM(1), STR("") };
  return one(cells, (int)COUNT(cells));
}

static PGresult *session_take(struct call *c)
{
  struct row_worker *w = &workers[num(c, 0) - 1];

  w->number++;
  snprintf(w->instance, sizeof w->instance, "%s", str(c, 1));
  snprintf(w->boot, sizeof w->boot, "%s", str(c, 2));
  w->conn = num(c, 3);
  w->master = num(c, 4);
  w->connected = true;
  for (int i = 0; i < ncommands; i++)
    if (builds[commands[i].build - 1].worker == num(c, 0) && !*commands[i].instance) { /* for the one that comes first */
      memcpy(commands[i].instance, w->instance, sizeof w->instance);
      memcpy(commands[i].boot, w->boot, sizeof w->boot);
    }
  trace("taken over", num(c, 0), w->number);
  const struct cell cells[] = { NUM(w->number) };
  return one(cells, 1);
}

static PGresult *session_builds(struct call *c)
{
  for (int i = 0; i < nbuilds; i++)
    if (builds[i].worker == num(c, 0) && !builds[i].done)
      builds[i].epoch++;
  return nothing();
}

static PGresult *session_logs(struct call *c)
{
  for (int i = 0; i < ncommands; i++) {
    const struct row_build *b = &builds[commands[i].build - 1];
    if (b->worker == num(c, 0) && !b->done && !commands[i].complete)
      commands[i].epoch = b->epoch;
  }
  return nothing();
}

static void read_build(PGresult *res, int at, int n)
{
  const struct row_build *b = &builds[n];
  struct row_command *c = NULL;
  char name[8], builder[8];
  int64_t id = 0;

  snprintf(name, sizeof name, "s%d", b->step);
  snprintf(builder, sizeof builder, "b%d", b->steps);
  for (int i = 0; i < ncommands; i++)
    if (commands[i].build == n + 1 && !strcmp(commands[i].state, "open")) {
      c = &commands[i];
      id = i + 1;
    }
#define IF(x) { INT8, c ? "" : NULL, (c ? (x) : 0), 0 }
  const struct cell cells[READ_COLUMNS] = {
    NUM(n + 1), NUM(n + 1), NUM(1), STR(SITE_PROJECT), STR(builder), NUM(n + 1), NUM(1), NUM(1), NUM(b->epoch), NUM(n % SIM_BUILDS), STR(b->cancelling ? "cancelling" : "running"), STR("claimed"), STR("/nowhere"), STR("main"),
    STR("0000000000000000000000000000000000000000"), NUM(1), STR("{}"), STR("{}"), STR(""), NUM(n * 8 + b->step), NUM(b->step), STR(name), STR("shell"), STR(b->step_state), STR("{}"),
    IF(id), IF(1), STR("run"), STR(c ? c->instance : NULL), STR(c ? c->boot : NULL), IF(id), IF(c->log[0].length), IF(c->log[0].crc), IF(c->log[0].lines), STR(""), NUM(1), NUM(1), STR(NULL), { INT8, NULL, 0, 0 }, STR(NULL), BYTES(NULL, 0), { INT8, NULL, 0, 0 },
    NUM(0), STR(NULL), STR("git"), NUM(0), BYTES(NULL, 0), STR(NULL), STR(NULL), STR(NULL), STR(NULL), NUM(0),
  };
#undef IF
  put_row(res, at, cells, READ_COLUMNS);
}

static PGresult *session_read(struct call *c)
{
  struct cell types[READ_COLUMNS];
  PGresult *res;
  int rows = 0;

  for (int i = 0; i < READ_COLUMNS; i++) {
    static const int numbers[] = { 0, 1, 2, 5, 6, 7, 8, 9, 15, 19, 20, 25, 26, 30, 31, 32, 33, 35, 36, 38, 41, 42, 45, 51 };
    types[i].type = i == 40 || i == 46 ? BYTEA : TEXT;
    for (size_t k = 0; k < COUNT(numbers); k++)
      if (numbers[k] == i)
        types[i].type = INT8;
  }
  res = row(types, READ_COLUMNS);
  for (int i = 0; i < nbuilds; i++)
    if (builds[i].worker == num(c, 0) && !builds[i].done)
      read_build(res, rows++, i);
  return res;
}

static PGresult *command_spec(struct call *c)
{
  const struct row_command *x = command(num(c, 0));
  const struct cell cells[] = { BYTES(x->spec, x->nspec), BYTES(x->spans, x->nspans), BYTES(x->z, x->nz), NUM(x->raw) };

  return one(cells, 4);
}

static PGresult *command_logs(struct call *c)
{
  const struct row_command *x = command(num(c, 0));
  const struct cell cells[] = { NUM(log_number(x, 1)), NUM(x->log[1].length), NUM(x->log[1].crc), NUM(x->log[1].lines) };

  return x->file ? one(cells, (int)COUNT(cells)) : row(cells, (int)COUNT(cells));
}

static PGresult *fence(struct call *c)
{
  const struct row_build *b = &builds[num(c, 0) - 1];

  return b->done || b->epoch != num(c, 2) ? refuse(c) : nothing();
}

static PGresult *log_grow(struct call *c)
{
  struct row_command *x = command(command_of(num(c, 0)));
  struct row_log *l = &x->log[stream_of(num(c, 0))];

  if (x->complete || x->epoch != num(c, 2) || l->length != num(c, 3))
    return refuse(c);
  l->length = num(c, 4);
  l->lines = num(c, 6);
  l->crc = (uint32_t)num(c, 7);
  trace("committed", num(c, 0), l->length);
  return nothing();
}

static PGresult *log_whole(struct call *c)
{
  return command(command_of(num(c, 0)))->log[stream_of(num(c, 0))].length != num(c, 1) ? refuse(c) : nothing();
}

/* What a log gets is what its command wrote, each byte once and in its order. */
static void compare(int64_t log, struct row_log *l, const char *spans, size_t nspans, const char *raw)
{
  int64_t id = command_of(log);
  struct truth *t = truth_of(id);
  char mine[CHUNK_RAW_MAX];
  struct chunk_span s;
  size_t at = 0;

  while (!chunk_span_next(spans, nspans, &at, &s)) {
    int channel = stream_of(log) ? SIM_FILE : (int)s.channel & 1;
    int64_t from = l->of[channel];
    const char *told = channel == SIM_FILE ? memmem(raw, s.len, "\ndrover: ", 9) : NULL; /* no file has a colon in it */
    if (told || l->cut) {
      l->cut = true;
      l->of[channel] += s.len;
      raw += s.len;
      continue;
    }
    if (from + s.len > t->wrote[channel])
      model_bad("the log of command %" PRId64 " has more of channel %d than it wrote", id, channel);
    program_bytes(id, channel, from, mine, s.len);
    if (memcmp(mine, raw, s.len))
      model_bad("the log of command %" PRId64 " is not what it wrote, of channel %d from %" PRId64 " on", id, channel, from);
    l->of[channel] += s.len;
    raw += s.len;
  }
}

static PGresult *log_chunk(struct call *c)
{
  static char raw[CHUNK_RAW_MAX];
  int64_t id = num(c, 0), off = num(c, 1);
  struct row_command *x = command(command_of(id));
  struct row_log *l = &x->log[stream_of(id)];
  const struct param *spans = param(c, 6), *z = param(c, 7);
  size_t n;

  if (off != l->of[0] + l->of[1] + l->of[SIM_FILE])
    model_bad("log %" PRId64 " has %" PRId64 " bytes, and a chunk at %" PRId64 " is put behind them", id, l->of[0] + l->of[1] + l->of[SIM_FILE], off);
  if (chunk_inflate(str(c, 7), (size_t)z->len, raw, sizeof raw, &n) || (int64_t)n != num(c, 2))
    model_bad("a chunk in the database can't be read");
  else
    compare(id, l, str(c, 6), (size_t)spans->len, raw);
  l->borders = xrealloc(l->borders, (size_t)(l->nborders + 1) * sizeof *l->borders);
  l->borders[l->nborders++] = off;
  if (off || stream_of(id))
    return nothing();
  x->spans = xmemdup(str(c, 6), x->nspans = (size_t)spans->len);
  x->z = xmemdup(str(c, 7), x->nz = (size_t)z->len);
  x->raw = num(c, 2);
  return nothing();
}

/* May it be lost, for all that befell it? */
static bool excused(int64_t id, const struct row_command *x)
{
  const struct row_build *b = &builds[x->build - 1];

  if (truth_of(id)->excused || b->cancelling || !strcmp(x->reason, "alone") || !strcmp(x->reason, "busy") || !strcmp(x->reason, "nospace"))
    return true;
  return !strcmp(x->reason, "boot") && strcmp(x->boot, hosts[b->worker - 1].boot); /* meant for the host as it was before its power went */
}

/* May the reading of its file have taken too long, or it been without a master? */
static bool hurried(const struct row_command *x)
{
  const char *alone = records_get(x->spec, x->nspec, "alone");

  return records_get(x->spec, x->nspec, "total") || (alone && atoll(alone) < ALONE_SHORT_MS) || hosts[builds[x->build - 1].worker - 1].slept;
}

/* An end that counts comes behind all output, once, and says what the command did. */
static void check_end(int64_t id, const struct row_command *x)
{
  const struct truth *t = truth_of(id);
  int64_t wrote = t->wrote[0] + t->wrote[1];

  trace("ended", id, x->code);
  if (!strcmp(x->state, "lost") && !excused(id, x))
    model_bad("command %" PRId64 " is lost (%s %s), and nothing had befallen it", id, x->how, x->reason);
  if (strcmp(x->how, "exited") && strcmp(x->how, "signaled"))
    return;
  if (!t->starts)
    model_bad("command %" PRId64 " has ended (%s) and was never started", id, x->how);
  if (x->log[0].length != wrote)
    model_bad("command %" PRId64 " has ended, its log has %" PRId64 " of %" PRId64 " bytes", id, x->log[0].length, wrote);
  if (x->file && !x->log[1].cut && x->log[1].length != t->wrote[SIM_FILE])
    model_bad("command %" PRId64 " has ended, the log of its file has %" PRId64 " of %" PRId64 " bytes", id, x->log[1].length, t->wrote[SIM_FILE]);
  if (x->log[1].cut && !t->killed && !excused(id, x) && !hurried(x))
    model_bad("command %" PRId64 " has ended by itself, and not all of its file is in the log", id);
  if (!strcmp(x->how, "exited") && (!t->ended || x->code != t->code))
    model_bad("command %" PRId64 " is said to have ended with %" PRId64 ", in truth %d", id, x->code, t->code);
  if (!strcmp(x->how, "signaled") && !t->killed)
    model_bad("command %" PRId64 " is said to have ended by a signal", id);
}

/* A worker that tells an end has ended all of it. */
static void check_gone(int64_t id, const char *what)
{
  list_each(it, &procs) {
    const struct proc *p = list_of(it, struct proc, node);
    struct id of;
    if (p->kind == PROC_CHILD && !p->zombie && !str_id(p->cmd, strlen(p->cmd), &of) && of.n == id)
      model_bad("command %" PRId64 " %s, and its process runs on", id, what);
  }
}

static PGresult *command_end(struct call *c)
{
  struct row_command *x = command(num(c, 0));

  if (!param(c, 6)->null)
    check_gone(num(c, 0), "has ended");
  if (strcmp(x->state, "open"))
    return nothing();
  snprintf(x->state, sizeof x->state, "%s", str(c, 1));
  snprintf(x->how, sizeof x->how, "%s", str(c, 2));
  snprintf(x->reason, sizeof x->reason, "%s", str(c, 4) ? str(c, 4) : "");
  x->code = num(c, 3);
  x->complete = true;
  check_end(num(c, 0), x);
  return nothing();
}

static PGresult *command_start(struct call *c)
{
  bool file = strcmp(str(c, 12), "{}") != 0;
  struct row_command *x = command_add(num(c, 1), num(c, 8), str(c, 4), (size_t)param(c, 4)->len, str(c, 5), str(c, 6), file);
  char more[24] = "";

  if (file)
    snprintf(more, sizeof more, "%" PRId64, log_number(x, 1));
  const struct cell cells[] = { NUM(x - commands + 1), NUM(log_number(x, 0)), STR(more) };

  return one(cells, (int)COUNT(cells));
}

static PGresult *step_start(struct call *c)
{
  struct row_build *b = &builds[num(c, 0) - 1];

  b->step = (int)num(c, 1);
  snprintf(b->step_state, sizeof b->step_state, "%s", str(c, 4));
  return nothing();
}

static PGresult *build_over(struct call *c)
{
  struct row_build *b = &builds[num(c, 0) - 1];

  if (b->done)
    model_bad("build %" PRId64 " ends twice", num(c, 0));
  b->done = true;
  b->result = (int)num(c, 1);
  trace("a build is over", num(c, 0), b->result);
  return nothing();
}

/* What a build's command led to could not be written: it ends. */
void store_failed(const struct db_tx *tx)
{
  struct call c = { .tx = tx, .q = &tx->stmts[0] };

  if (c.q->s == SQL_fence)
    builds[num(&c, 0) - 1].refused = true;
}

static PGresult *steps_lost(struct call *c)
{
  for (int i = 0; i < ncommands; i++)
    if (commands[i].build == num(c, 0) && !strcmp(commands[i].state, "open")) {
      snprintf(commands[i].state, sizeof commands[i].state, "lost");
      commands[i].complete = true;
      if (!builds[num(c, 0) - 1].refused)
        model_bad("build %" PRId64 " is given up (%s), and command %d with it", num(c, 0), str(c, 3), i + 1);
    }
  return nothing();
}

static PGresult *session_guard(struct call *c)
{
  const struct row_worker *w = &workers[num(c, 0) - 1];

  return !strcmp(w->instance, str(c, 1)) && w->conn >= num(c, 2) ? refuse(c) : nothing();
}

static PGresult *session_still(struct call *c)
{
  const struct row_worker *w = &workers[num(c, 0) - 1];

  return strcmp(w->instance, str(c, 1)) || w->conn != num(c, 2) ? refuse(c) : nothing();
}

static PGresult *session_lost(struct call *c)
{
  struct row_worker *w = &workers[num(c, 0) - 1];

  if (w->number == num(c, 1))
    w->connected = false;
  return nothing();
}

static PGresult *master_add(struct call *c)
{
  (void)c;
  const struct cell cells[] = { NUM(++masters) };
  return one(cells, 1);
}

static PGresult *pipeline_get(struct call *c)
{
  (void)c;
  const struct cell cells[] = { BYTES(sim.site.text, strlen(sim.site.text)) };
  return one(cells, 1);
}

static PGresult *(*const statements[SQL_COUNT])(struct call *c) = {
  [SQL_worker_get] = worker_get, [SQL_session_guard] = session_guard, [SQL_session_still] = session_still, [SQL_session_take] = session_take, [SQL_session_builds] = session_builds, [SQL_session_logs] = session_logs, [SQL_session_read] = session_read,
  [SQL_session_lost] = session_lost, [SQL_command_spec] = command_spec, [SQL_command_logs] = command_logs, [SQL_fence] = fence, [SQL_log_grow] = log_grow, [SQL_log_whole] = log_whole, [SQL_log_chunk] = log_chunk, [SQL_command_end] = command_end, [SQL_command_start] = command_start,
  [SQL_step_start] = step_start, [SQL_build_finish] = build_over, [SQL_build_asks] = build_over, [SQL_steps_lost] = steps_lost, [SQL_master_add] = master_add, [SQL_pipeline_get] = pipeline_get,
};

PGresult *store_do(const struct db_tx *tx, int stmt, bool *refused)
{
  struct call c = { .tx = tx, .q = &tx->stmts[stmt] };
  PGresult *res = statements[c.q->s] ? statements[c.q->s](&c) : nothing();

  *refused = c.refused;
  return res;
}

/* ---- what must hold ---- */

void store_forgotten(int64_t number)
{
  const struct row_command *x = command(number);

  if (x && !strcmp(x->state, "open") && !builds[x->build - 1].done)
    model_bad("a worker is told to forget command %" PRId64 ", whose end is not in the database", number);
}

void store_check(void)
{
  for (int i = 0; i < nbuilds; i++)
    if (!builds[i].done)
      model_bad("at the end build %d runs on", i + 1);
  for (int i = 0; i < ncommands; i++)
    if (!strcmp(commands[i].state, "open"))
      model_bad("at the end command %d is open", i + 1);
}

int64_t store_border(int64_t number, int stream, int64_t from)
{
  const struct row_log *l = &command(number)->log[stream];
  int first = 0;

  while (first < l->nborders && l->borders[first] < from)
    first++;
  return first < l->nborders ? l->borders[first + (int)chance((uint64_t)(l->nborders - first))] : -1;
}

bool store_has_file(int64_t number, int64_t n)
{
  const struct row_command *x = command(number);

  return x->complete || x->log[1].length >= n;
}

void store_acked(int64_t number, int stream, int64_t off)
{
  const struct row_command *x = command(number);

  if (!x || (stream && !x->file) || off > x->log[stream].length)
    model_bad("a master acks stream %d of command %" PRId64 " up to %" PRId64 ", and has %" PRId64, stream, number, off, x ? x->log[stream].length : 0);
}

void store_removed(int64_t number)
{
  const struct row_command *x = command(number);

  if (x && !strcmp(x->state, "open") && truth_of(number)->starts && !truth_of(number)->power)
    model_bad("a worker forgets command %" PRId64 ", whose end is not in the database", number);
  if (x)
    check_gone(number, "is forgotten");
}

void excuse(struct proc *minder)
{
  struct id id;

  if (*minder->cmd && !str_id(minder->cmd, strlen(minder->cmd), &id))
    truth_of(id.n)->excused = true;
}

void excuse_host(struct host *h)
{
  for (int i = 0; i < ncommands; i++)
    if (builds[commands[i].build - 1].worker == h->n + 1)
      truth_of(i + 1)->excused = truth_of(i + 1)->power = true;
}

uint64_t store_sum(void)
{
  uint64_t sum = 0;

  for (int i = 0; i < ncommands; i++)
    sum = sum * 31 + commands[i].log[0].crc + commands[i].log[1].crc + (uint64_t)commands[i].code + (uint64_t)commands[i].log[0].of[0];
  return sum;
}
