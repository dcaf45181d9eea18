/* Reading answers: values of a result in text or binary form, whichever the statement asked for. */
#include "master/db/db_int.h"

#include <assert.h>
#include <endian.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/str.h"

/* Numbers of built-in types, fixed since PostgreSQL began (pg_type.dat). */
enum {
  OID_BOOL = 16, OID_BYTEA = 17, OID_NAME = 19, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23,
  OID_TEXT = 25, OID_JSON = 114, OID_UNKNOWN = 705, OID_TEXT_ARRAY = 1009, OID_BPCHAR = 1042,
  OID_VARCHAR = 1043, OID_TIMESTAMPTZ = 1184, OID_JSONB = 3802,
};

#define PG_EPOCH_MS INT64_C(946684800000) /* 2000-01-01, from which binary timestamps count */

enum err db_err(const struct db_res *r) { return r->tx->err; }

const char *db_errtext(const struct db_res *r)
{
  return r->tx->errtext ? r->tx->errtext : "";
}

const char *db_sqlstate(const struct db_res *r)
{
  return r->tx->err == ERR_FAILED ? r->tx->sqlstate : "";
}

int db_err_stmt(const struct db_res *r)
{
  return r->tx->err == ERR_FAILED ? r->tx->failed : -1;
}

static PGresult *result(const struct db_res *r, int stmt)
{
  assert(stmt >= 0 && stmt < r->tx->count);
  return r->tx->results ? r->tx->results[stmt] : NULL;
}

static PGresult *cell(const struct db_res *r, int stmt, int row, int col)
{
  PGresult *res = result(r, stmt);

  assert(res && row >= 0 && row < PQntuples(res) && col >= 0 && col < PQnfields(res));
  return res;
}

/* A statement that gives another type than its reader wants is our bug; say where before stopping. */
static void wrong_type(const struct db_res *r, int stmt, int col, const char *want)
{
  log_error("db", "%s: column %d (%s) has type %u, read as %s", tx_stmt_name(r->tx, stmt), col,
            PQfname(result(r, stmt), col), PQftype(result(r, stmt), col), want);
  abort();
}

static void *keep(struct db_tx *tx, void *p)
{
  tx->decoded = xrealloc(tx->decoded, (size_t)(tx->decoded_count + 1) * sizeof *tx->decoded);
  tx->decoded[tx->decoded_count++] = p;
  return p;
}

int db_rows(const struct db_res *r, int stmt)
{
  PGresult *res = result(r, stmt);

  if (!res)
    return 0;
  if (PQresultStatus(res) == PGRES_TUPLES_OK)
    return PQntuples(res);
  return atoi(PQcmdTuples(res));
}

bool db_null(const struct db_res *r, int stmt, int row, int col)
{
  return PQgetisnull(cell(r, stmt, row, col), row, col);
}

static int64_t big_endian(const void *p, int len)
{
  const unsigned char *b = p;
  uint64_t v = len && (b[0] & 0x80) ? UINT64_MAX : 0;

  for (int i = 0; i < len; i++)
    v = v << 8 | b[i];
  return (int64_t)v;
}

int64_t db_num(const struct db_res *r, int stmt, int row, int col)
{
  PGresult *res = cell(r, stmt, row, col);
  const char *v = PQgetvalue(res, row, col);

  if (PQgetisnull(res, row, col))
    return 0;
  switch (PQftype(res, col)) {
  case OID_BOOL: return PQfformat(res, col) ? v[0] != 0 : v[0] == 't';
  case OID_INT2: case OID_INT4: case OID_INT8:
    return PQfformat(res, col) ? big_endian(v, PQgetlength(res, row, col)) : strtoll(v, NULL, 10);
  default: wrong_type(r, stmt, col, "a number");
  }
  return 0;
}

const char *db_str(const struct db_res *r, int stmt, int row, int col)
{
  PGresult *res = cell(r, stmt, row, col);
  const char *v = PQgetvalue(res, row, col);

  if (PQgetisnull(res, row, col))
    return "";
  if (!PQfformat(res, col))
    return v;
  switch (PQftype(res, col)) {
  case OID_TEXT: case OID_VARCHAR: case OID_BPCHAR: case OID_NAME: case OID_JSON: case OID_UNKNOWN:
    return v;
  case OID_JSONB: return v + 1; /* behind a version byte */
  default: wrong_type(r, stmt, col, "text");
  }
  return "";
}

char *db_dup(const struct db_res *r, int stmt, int row, int col)
{
  return db_null(r, stmt, row, col) ? NULL : xstrdup(db_str(r, stmt, row, col));
}

const void *db_bytes(const struct db_res *r, int stmt, int row, int col, size_t *len)
{
  PGresult *res = cell(r, stmt, row, col);
  const char *v = PQgetvalue(res, row, col);
  size_t n = (size_t)PQgetlength(res, row, col);
  void *out;

  *len = 0;
  if (PQgetisnull(res, row, col))
    return NULL;
  if (PQftype(res, col) != OID_BYTEA)
    wrong_type(r, stmt, col, "bytea");
  if (PQfformat(res, col)) {
    *len = n;
    return v;
  }
  assert(n >= 2 && v[0] == '\\' && v[1] == 'x');
  *len = (n - 2) / 2;
  out = keep(r->tx, xmalloc(*len + 1));
  if (str_unhex(v + 2, n - 2, out, *len))
    wrong_type(r, stmt, col, "hex bytea");
  return out;
}

/* "2024-05-06 07:08:09.123456+00": the sessions are in UTC with ISO dates. */
static bool parse_time(const char *v, int64_t *ms)
{
  struct tm t = { 0 };
  const char *p = strptime(v, "%Y-%m-%d %H:%M:%S", &t);
  int64_t frac = 0;
  int scale = 100;

  if (!p)
    return false;
  if (*p == '.')
    for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
      frac += (*p - '0') * scale;
  *ms = (int64_t)timegm(&t) * 1000 + frac;
  return !strcmp(p, "+00");
}

int64_t db_ms(const struct db_res *r, int stmt, int row, int col)
{
  PGresult *res = cell(r, stmt, row, col);
  const char *v = PQgetvalue(res, row, col);
  int64_t n;

  if (PQgetisnull(res, row, col))
    return INT64_MIN;
  if (PQftype(res, col) != OID_TIMESTAMPTZ)
    wrong_type(r, stmt, col, "timestamptz");
  if (PQfformat(res, col)) {
    n = big_endian(v, 8);
    if (n == INT64_MAX || n == INT64_MIN) /* infinity, -infinity */
      return n;
    return n / 1000 - (n % 1000 < 0) + PG_EPOCH_MS;
  }
  if (!strcmp(v, "infinity"))
    return INT64_MAX;
  if (!strcmp(v, "-infinity"))
    return INT64_MIN;
  if (!parse_time(v, &n))
    wrong_type(r, stmt, col, "a time");
  return n;
}

struct texts {
  char **v;
  int n;
};

static void add_text(struct texts *t, char *s)
{
  t->v = xrealloc(t->v, (size_t)(t->n + 2) * sizeof *t->v);
  t->v[t->n++] = s;
  t->v[t->n] = NULL;
}

/* One element of array text, quoted or not; returns what follows it. */
static const char *text_item(const char *p, struct texts *t)
{
  struct buf b;
  bool quoted = *p == '"';

  buf_init(&b, BUF_NO_MAX);
  for (p += quoted; *p && (quoted ? *p != '"' : *p != ',' && *p != '}'); p++) {
    if (*p == '\\' && p[1])
      p++;
    buf_addc(&b, *p);
  }
  if (!quoted && !strcmp(buf_str(&b), "NULL"))
    buf_reset(&b);
  add_text(t, buf_take(&b));
  return p + (quoted && *p == '"');
}

static void texts_of_text(const char *p, struct texts *t)
{
  if (*p++ != '{')
    return;
  while (*p && *p != '}') {
    p = text_item(p, t);
    if (*p == ',')
      p++;
  }
}

static void texts_of_binary(const char *p, int len, struct texts *t)
{
  const char *end = p + len;
  int64_t n;

  if (len < 20 || big_endian(p, 4) != 1) /* dimensions, flags, type, length, lower bound */
    return;
  n = big_endian(p + 12, 4);
  p += 20;
  for (int64_t i = 0; i < n && end - p >= 4; i++) {
    int64_t k = big_endian(p, 4);

    p += 4;
    if (k > end - p)
      return;
    add_text(t, k < 0 ? xstrdup("") : xstrndup(p, (size_t)k));
    p += k < 0 ? 0 : k;
  }
}

char **db_texts(const struct db_res *r, int stmt, int row, int col, int *n)
{
  PGresult *res = cell(r, stmt, row, col);
  struct texts t = { xcalloc(1, sizeof(char *)), 0 };

  if (!PQgetisnull(res, row, col)) {
    if (PQftype(res, col) != OID_TEXT_ARRAY)
      wrong_type(r, stmt, col, "text[]");
    if (PQfformat(res, col))
      texts_of_binary(PQgetvalue(res, row, col), PQgetlength(res, row, col), &t);
    else
      texts_of_text(PQgetvalue(res, row, col), &t);
  }
  *n = t.n;
  return t.v;
}

char *db_text_array(const char *const *v, int n)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_addc(&b, '{');
  for (int i = 0; i < n; i++) {
    buf_adds(&b, i ? ",\"" : "\"");
    for (const char *p = v[i]; *p; p++) {
      if (*p == '"' || *p == '\\')
        buf_addc(&b, '\\');
      buf_addc(&b, *p);
    }
    buf_addc(&b, '"');
  }
  buf_addc(&b, '}');
  return buf_take(&b);
}
