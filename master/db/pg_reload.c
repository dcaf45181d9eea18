/* A dump put back: psql gets "begin", the scripts that pg_restore makes of the dumps, what makes the past safe, and "commit" only when all of it was written.

   Happy path: psql started, each pg_restore writes into its standard input, the last words, commit, exit 0.
   Failures: a script that is cut short (no commit follows, so nothing has happened), an object that is there already, a full disk: psql's words are told first, because a pg_restore whose
   reader has gone only says so. */
#include "master/db/pg_reload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "master/db/pg_client_int.h"

/* Whoever puts the same backup back twice gets the same incarnation twice, so numbers of commands begin above all that may have been given: at the seconds since 1970, 2^20 for each. */
enum { NUMBERS_BITS = 20 };

/* ---- what is there ---- */

enum err pg_reload_look(const struct client *c, struct pg_reload_there *t, struct buf *why)
{
  PGconn *pg = client_connect(c, why);
  PGresult *r = pg ? client_ask(pg, "select 1 from pg_tables where schemaname = current_schema() and tablename = 'cluster'", why) : NULL;
  bool ok = r != NULL, there = ok && PQntuples(r);

  *t = (struct pg_reload_there){ 0 };
  PQclear(r);
  if (there) {
    r = client_ask(pg, "select uuid, incarnation, (select count(*) from build), (select coalesce(max(id), 0) from build),"
                       " (select count(*) from worker where secret_hash is not null and removed is null), (select count(*) from build where state <> 'done') from cluster", why);
    ok = r != NULL;
    if (r && PQntuples(r)) {
      t->cluster = xstrdup(PQgetvalue(r, 0, 0));
      t->incarnation = strtoll(PQgetvalue(r, 0, 1), NULL, 10);
      t->builds = strtoll(PQgetvalue(r, 0, 2), NULL, 10);
      t->newest = strtoll(PQgetvalue(r, 0, 3), NULL, 10);
      t->workers = strtoll(PQgetvalue(r, 0, 4), NULL, 10);
      t->open = strtoll(PQgetvalue(r, 0, 5), NULL, 10);
    }
    PQclear(r);
  }
  PQfinish(pg);
  return ok ? ERR_OK : ERR_FAILED;
}

void pg_reload_there_free(struct pg_reload_there *t)
{
  free(t->cluster);
  t->cluster = NULL;
}

/* ---- putting it back ---- */

/* A text as SQL: with standard_conforming_strings, which pg_restore's script sets, only ' is special. */
static void add_text(struct buf *b, const char *s)
{
  buf_addc(b, '\'');
  for (; *s; s++)
    buf_addf(b, "%s%c", *s == '\'' ? "'" : "", *s);
  buf_addc(b, '\'');
}

static void first_words(const struct pg_reload *r, struct buf *sql)
{
  buf_adds(sql, "begin;\nset client_min_messages = warning;\n");
  if (r->replace)
    buf_adds(sql, "drop schema public cascade;\ncreate schema public;\n");
}

static void last_words(const struct pg_reload *r, struct buf *sql)
{
  buf_addf(sql, "set search_path = public;\nset standard_conforming_strings = on;\n"
                "update cluster set incarnation = greatest(incarnation, %" PRId64 ") + 1, restored = now(),"
                " system_id = (select system_identifier::text from pg_control_system());\n"
                "do $$ begin perform setval('command_number', greatest((select last_value from command_number), %" PRId64 ")); end $$;\n"
                "update master set stopped = now() where stopped is null;\n",
           r->least, (int64_t)time(NULL) << NUMBERS_BITS);
  if (r->logs < 0) {
    buf_adds(sql, "update log set gone = ");
    add_text(sql, r->gone);
    buf_adds(sql, " where length > 0 and gone is null;\n");
  }
  buf_addf(sql, "insert into backup (made, host, place, bytes, logs) values (to_timestamp(%" PRId64 " / 1000.0), ", r->made_ms);
  add_text(sql, r->host);
  buf_adds(sql, ", ");
  add_text(sql, r->place);
  buf_addf(sql, ", %" PRId64 ", %s);\ncommit;\n", r->bytes, r->logs < 0 ? "false" : "true");
}

/* Small pieces: a pipe takes them, or psql is reading. */
static bool write_all(int fd, const struct buf *text)
{
  const char *at = buf_str(text);
  size_t left = text->len;

  while (left) {
    ssize_t n = write(fd, at, left);
    if (n < 0 && errno == EINTR && !client_interrupted())
      continue;
    if (n < 0)
      return false;
    at += n;
    left -= (size_t)n;
  }
  return true;
}

static bool feed(const struct client *c, const char *programs, int dump, int to, struct buf *why)
{
  char *program = xasprintf("%s/pg_restore", programs);
  const char *argv[] = { program, "-O", "-x", "-f", "-", NULL };
  enum err e = client_run(c, argv, false, dump, to, why);

  free(program);
  return !e;
}

static bool feed_all(const struct client *c, const char *programs, const struct pg_reload *r, int to, struct buf *why)
{
  struct buf sql;
  bool ok;

  buf_init(&sql, BUF_NO_MAX);
  first_words(r, &sql);
  ok = write_all(to, &sql) && feed(c, programs, r->database, to, why) && (r->logs < 0 || feed(c, programs, r->logs, to, why));
  buf_reset(&sql);
  last_words(r, &sql);
  ok = ok && write_all(to, &sql);
  buf_free(&sql);
  return ok;
}

static void analyze(const struct client *c)
{
  struct buf why;
  PGconn *pg;

  buf_init(&why, 1024);
  pg = client_connect(c, &why); /* without statistics the first hour is slow, nothing worse */
  if (pg)
    PQclear(PQexec(pg, "analyze"));
  PQfinish(pg);
  buf_free(&why);
}

enum err pg_reload_run(const struct client *c, const char *programs, const struct pg_reload *r, struct buf *why)
{
  char *program = xasprintf("%s/psql", programs);
  const char *argv[] = { program, "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-", NULL };
  struct client_job job;
  struct buf feeder, reader;
  int fds[2];
  bool fed;
  enum err e;

  buf_init(&feeder, BUF_NO_MAX);
  buf_init(&reader, BUF_NO_MAX);
  signal(SIGPIPE, SIG_IGN); /* psql's end is seen by its exit code */
  e = pipe2(fds, O_CLOEXEC) ? ERR_IO : client_start(c, argv, true, fds[0], -1, &job, why);
  free(program);
  if (e)
    return e;
  close(fds[0]);
  fed = feed_all(c, programs, r, fds[1], &feeder);
  close(fds[1]);
  if (!fed && client_interrupted()) {
    client_kill(&job);
    e = ERR_TIMEOUT;
  } else {
    e = client_wait(&job, &reader);
  }
  if (e || !fed) {
    client_tell(why, reader.len ? buf_str(&reader) : feeder.len ? buf_str(&feeder) : "psql has gone");
    e = e ? e : ERR_FAILED;
  } else {
    analyze(c);
  }
  buf_free(&feeder);
  buf_free(&reader);
  return e;
}
