/* Schema steps: the texts of schema_*.sql, built into the program, applied in order, each in one
   transaction.

   Happy path: connect, take the advisory lock, read schema_version, apply what is missing, disconnect
   (which frees the lock).
   Failure: no connection (ERR_AWAY), a newer schema (ERR_DENIED), a step refused (ERR_FAILED: its
   transaction is rolled back, the sentence names step and line). */
#include "master/db/migrate.h"

#include <assert.h>
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

/* Depends on the .sql files, which the compiler's dependency files don't tell: the Makefile has
   $(B)/m/master/db/migrate.o: $(wildcard master/db/schema_*.sql) */
#define EMBED(n)                                                                                   \
  __asm__(".section .rodata\n.global schema_" #n "\nschema_" #n ":\n"                              \
          ".incbin \"master/db/schema_" #n ".sql\"\n.byte 0\n.previous\n");                        \
  extern const char schema_##n[];

EMBED(0001)
EMBED(0002)
EMBED(0003)
EMBED(0004)
EMBED(0005)
EMBED(0006)
EMBED(0007)
EMBED(0008)
EMBED(0009)
EMBED(0010)
EMBED(0011)
EMBED(0012)
EMBED(0013)
EMBED(0014)
EMBED(0015)
EMBED(0016)
EMBED(0017)
EMBED(0018)
EMBED(0019)
EMBED(0020)
EMBED(0021)
EMBED(0022)
EMBED(0023)
EMBED(0024)
EMBED(0025)
EMBED(0026)
EMBED(0027)
EMBED(0028)
EMBED(0029)
EMBED(0030)
EMBED(0031)
EMBED(0032)
EMBED(0033)
EMBED(0034)
EMBED(0035)
EMBED(0036)
EMBED(0037)
EMBED(0038)
EMBED(0039)
EMBED(0040)
EMBED(0041)
EMBED(0042)

static const char *const steps[] = { schema_0001, schema_0002, schema_0003, schema_0004, schema_0005, schema_0006, schema_0007, schema_0008, schema_0009, schema_0010, schema_0011, schema_0012, schema_0013, schema_0014, schema_0015, schema_0016, schema_0017, schema_0018, schema_0019, schema_0020, schema_0021, schema_0022, schema_0023, schema_0024, schema_0025, schema_0026, schema_0027, schema_0028, schema_0029, schema_0030, schema_0031, schema_0032, schema_0033, schema_0034, schema_0035, schema_0036, schema_0037, schema_0038, schema_0039, schema_0040, schema_0041, schema_0042 }; /* step i + 1 */

#define LOCK_NUMBER "7420001" /* advisory lock; nobody else in this database takes that number */

int migrate_latest(void) { return COUNT(steps); }

static PGconn *open_conn(const char *conninfo)
{
  const char *const keys[] = { "dbname", "options", "application_name", "client_encoding",
    "connect_timeout", NULL };
  const char *const values[] = { conninfo,
    "-c statement_timeout=0 -c lock_timeout=0 -c TimeZone=UTC -c client_min_messages=warning",
    "drover migrate", "UTF8", "10", NULL };

  return PQconnectdbParams(keys, values, 1);
}

static void add_message(struct buf *why, const char *text)
{
  size_t n = strlen(text);

  while (n && text[n - 1] == '\n')
    n--;
  for (size_t i = 0; i < n; i++)
    buf_addc(why, text[i] == '\n' ? ' ' : text[i]);
}

/* The line of the step's text at which the server stopped, 0: it did not say. */
static int error_line(const PGresult *res, const char *text)
{
  const char *position = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
  int at = position ? atoi(position) : 0, line = 1;

  if (at <= 0)
    return 0;
  for (const char *p = text; *p && at > 1; p++) /* the position counts characters, from 1 */
    if (((unsigned char)*p & 0xc0) != 0x80) {
      at--;
      line += *p == '\n';
    }
  return line;
}

static enum err run(PGconn *pg, const char *text, struct buf *why)
{
  PGresult *res = PQexec(pg, text);
  ExecStatusType status = PQresultStatus(res);
  const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  enum err e = ERR_OK;
  int line;

  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    e = PQstatus(pg) == CONNECTION_OK ? ERR_FAILED : ERR_AWAY;
    line = error_line(res, text);
    if (line)
      buf_addf(why, "line %d: ", line);
    add_message(why, primary ? primary : PQerrorMessage(pg));
  }
  PQclear(res);
  return e;
}

static enum err read_version(PGconn *pg, int *version, struct buf *why)
{
  PGresult *res;
  enum err e = run(pg, "create table if not exists schema_version (version int primary key,"
                       " applied timestamptz not null default now())", why);

  if (e)
    return e;
  res = PQexec(pg, "select coalesce(max(version), 0) from schema_version");
  if (PQresultStatus(res) == PGRES_TUPLES_OK) {
    *version = atoi(PQgetvalue(res, 0, 0));
  } else {
    e = ERR_FAILED;
    add_message(why, PQerrorMessage(pg));
  }
  PQclear(res);
  return e;
}

static enum err apply(PGconn *pg, int number, struct buf *why)
{
  int64_t from = clock_mono_ms();
  char note[96];
  const char *const texts[] = { "begin", steps[number - 1], note, "commit" };
  enum err e = ERR_OK;

  snprintf(note, sizeof note, "insert into schema_version (version) values (%d)", number);
  buf_addf(why, "schema step %d: ", number);
  for (size_t i = 0; i < COUNT(texts) && !e; i++)
    e = run(pg, texts[i], why);
  if (e)
    return e; /* the connection is closed now, which rolls back */
  buf_reset(why);
  log_debug("db", "schema step %d took %.1f s", number, (double)(clock_mono_ms() - from) / 1000);
  return ERR_OK;
}

static enum err migrate(PGconn *pg, struct buf *why)
{
  int version = 0;
  int64_t from = clock_mono_ms();
  enum err e = run(pg, "select pg_advisory_lock(" LOCK_NUMBER ")", why);

  if (e || (e = read_version(pg, &version, why)))
    return e;
  if (version > migrate_latest()) {
    buf_addf(why, "the database has schema %d, this program knows up to %d: start the newer "
                  "drover-master that made it, or restore a backup made before", version, migrate_latest());
    return ERR_DENIED;
  }
  for (int n = version + 1; n <= migrate_latest() && !e; n++)
    e = apply(pg, n, why);
  if (!e && version < migrate_latest())
    log_info("db", "schema %d -> %d (%.1f s)", version, migrate_latest(), (double)(clock_mono_ms() - from) / 1000);
  return e;
}

enum err migrate_run(const char *conninfo, struct buf *why)
{
  PGconn *pg = open_conn(conninfo);
  enum err e;

  if (!pg || PQstatus(pg) != CONNECTION_OK) {
    add_message(why, pg ? PQerrorMessage(pg) : "no memory");
    e = ERR_AWAY;
  } else {
    e = migrate(pg, why);
  }
  PQfinish(pg);
  return e;
}
