/* One consistent view of the database: a transaction that is held open, its exported snapshot, and pg_dump of exactly that.

   Happy path: begin, facts and counts, pg_dump twice (all but output; output), end. Nothing is locked against the master: reading takes ACCESS SHARE, and log_roll's new partitions are attached,
   which waits for nobody who reads.
   Failures: another schema than this program's steps can be put back into, a connection that ends (the dump then ends too). */
#include "master/db/pg_snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/db/migrate.h"
#include "master/db/pg_client_int.h"

enum { SCHEMA_OLDEST = 2 }; /* that knows about backups */

/* Output is deflated already; written as hexadecimal digits it is twice as long, which the lightest compression undoes. */
#define ZIP_OUTPUT "-Z1"

static bool number(PGconn *pg, const char *text, int64_t *out, struct buf *why)
{
  char *value = client_value(pg, text, why);
  bool ok = value != NULL;

  if (ok)
    *out = strtoll(value, NULL, 10);
  free(value);
  return ok;
}

static bool check_schema(PGconn *pg, struct snapshot *s, struct buf *why)
{
  int64_t schema = 0, there = 0;

  if (!number(pg, "select count(*) from pg_tables where schemaname = current_schema() and tablename in ('cluster', 'schema_version')", &there, why))
    return false;
  if (there != 2) {
    buf_adds(why, "there is no drover in that database");
    return false;
  }
  if (!number(pg, "select coalesce(max(version), 0) from schema_version", &schema, why))
    return false;
  s->schema = (int)schema;
  if (schema < SCHEMA_OLDEST)
    buf_addf(why, "the database has schema %d, which knows no backups: start this version's master once, it brings it up to %d", (int)schema, migrate_latest());
  else if (schema > migrate_latest())
    buf_addf(why, "the database has schema %d, this program knows up to %d: use the newer drover-master", (int)schema, migrate_latest());
  else
    return true;
  return false;
}

static bool read_facts(PGconn *pg, struct snapshot *s, struct buf *why)
{
  PGresult *r = client_ask(pg, "select uuid, incarnation, link_key is not null, coalesce((select id from config_version order by activated desc nulls last, id desc limit 1), 0),"
                               " (extract(epoch from now()) * 1000)::bigint from cluster", why);
  bool ok = r && PQntuples(r) == 1;

  if (ok) {
    s->cluster = xstrdup(PQgetvalue(r, 0, 0));
    s->incarnation = strtoll(PQgetvalue(r, 0, 1), NULL, 10);
    s->key = PQgetvalue(r, 0, 2)[0] == 't';
    s->config = strtoll(PQgetvalue(r, 0, 3), NULL, 10);
    s->made_ms = strtoll(PQgetvalue(r, 0, 4), NULL, 10);
  } else if (r) {
    buf_adds(why, "that database has no cluster yet: no master was ever ready on it");
  }
  PQclear(r);
  return ok;
}

static bool count_one(PGconn *pg, const char *name, int64_t *rows, struct buf *why)
{
  char *quoted = PQescapeIdentifier(pg, name, strlen(name)), *text = xasprintf("select count(*) from %s", quoted);
  bool ok = number(pg, text, rows, why);

  PQfreemem(quoted);
  free(text);
  return ok;
}

static bool count_tables(PGconn *pg, struct snapshot *s, struct buf *why)
{
  PGresult *r = client_ask(pg, "select relname from pg_class where relkind = 'r' and relnamespace = current_schema()::regnamespace order by relname collate \"C\"", why);
  bool ok = r != NULL;

  s->tables = xcalloc(ok ? (size_t)PQntuples(r) + 1 : 1, sizeof *s->tables);
  for (int i = 0; ok && i < PQntuples(r); i++) {
    const char *name = PQgetvalue(r, i, 0);
    if (!s->logs && str_starts(name, "log_chunk"))
      continue;
    s->tables[s->ntables].name = xstrdup(name);
    ok = count_one(pg, name, &s->tables[s->ntables++].rows, why);
  }
  PQclear(r);
  return ok;
}

enum err snapshot_begin(const struct client *c, bool logs, struct snapshot **out, struct buf *why)
{
  struct snapshot *s = xcalloc(1, sizeof *s);
  PGresult *r = NULL;
  enum err e = ERR_AWAY;

  s->client = c;
  s->logs = logs;
  s->pg = client_connect(c, why);
  if (s->pg && (r = client_ask(s->pg, "begin isolation level repeatable read read only", why)))
    e = check_schema(s->pg, s, why) && read_facts(s->pg, s, why) && (s->id = client_value(s->pg, "select pg_export_snapshot()", why)) &&
                count_tables(s->pg, s, why)
            ? ERR_OK : ERR_FAILED;
  PQclear(r);
  if (e) {
    snapshot_end(s);
    s = NULL;
  }
  *out = s;
  return e;
}

enum err snapshot_dump(const struct snapshot *s, const char *programs, bool rows, int out, struct buf *why)
{
  char *program = xasprintf("%s/pg_dump", programs), *snapshot = xasprintf("--snapshot=%s", s->id);
  const char *without[] = { program, "-Fc", "-O", "-x", "-w", snapshot, "--exclude-table-data=log_chunk*", NULL };
  const char *only[] = { program, "-Fc", "-O", "-x", "-w", snapshot, ZIP_OUTPUT, "--data-only", "-t", "log_chunk*", NULL };
  enum err e = client_run(s->client, rows ? only : without, true, -1, out, why);

  free(program);
  free(snapshot);
  return e;
}

void snapshot_end(struct snapshot *s)
{
  if (!s)
    return;
  PQfinish(s->pg);
  for (int i = 0; i < s->ntables; i++)
    free(s->tables[i].name);
  free(s->tables);
  free(s->id);
  free(s->cluster);
  free(s);
}

enum err snapshot_note(const struct client *c, int64_t made_ms, const char *host, const char *place, int64_t bytes, bool logs, struct buf *why)
{
  PGconn *pg = client_connect(c, why);
  char made[32], size[32];
  const char *values[] = { made, host, place, size, logs ? "t" : "f" };
  PGresult *r;
  enum err e = ERR_OK;

  if (!pg)
    return ERR_AWAY;
  snprintf(made, sizeof made, "%" PRId64, made_ms);
  snprintf(size, sizeof size, "%" PRId64, bytes);
  r = PQexecParams(pg, "insert into backup (made, host, place, bytes, logs) values (to_timestamp($1::float8 / 1000), $2, $3, $4::bigint, $5::boolean)",
                   (int)COUNT(values), NULL, values, NULL, NULL, 0);
  if (PQresultStatus(r) != PGRES_COMMAND_OK) {
    client_tell(why, PQerrorMessage(pg));
    e = ERR_FAILED;
  }
  PQclear(r);
  PQfinish(pg);
  return e;
}
