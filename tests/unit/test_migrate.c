/* Schema steps against a real PostgreSQL; and every statement of the program against the schema. */
#include "tests/lib/pgfix.h"

#include <postgresql/libpq-fe.h>
#include <sys/wait.h>

#include "common/log.h"
#include "common/str.h"
#include "master/db/db.h"
#include "master/db/migrate.h"

enum { AT_ONCE = 4 };

static struct pgfix f;
static int count;

static int setup(void **s)
{
  (void)s;
  log_set_level(LOG_ERROR);
  pgfix_folders(&f);
  pgfix_open(&f);
  return 0;
}

static int teardown(void **s)
{
  (void)s;
  pgfix_close(&f, true);
  pgfix_remove(&f);
  return 0;
}

static char *ask(const char *conninfo, const char *sql)
{
  PGconn *pg = PQconnectdb(conninfo);
  PGresult *r = PQexec(pg, sql);
  char *answer;

  if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
    fail_msg("%s: %s", sql, PQerrorMessage(pg));
  answer = xstrdup(PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
  PQclear(r);
  PQfinish(pg);
  return answer;
}

static void assert_answer(const char *conninfo, const char *sql, const char *want)
{
  char *got = ask(conninfo, sql);

  assert_string_equal(got, want);
  free(got);
}

/* A new, empty database. */
static char *fresh(void)
{
  char *sql = xasprintf("create database d%d", ++count), *conninfo;

  free(ask(ppg_conninfo(f.ppg), sql));
  free(sql);
  conninfo = xasprintf("%s dbname=d%d", ppg_conninfo(f.ppg), count);
  return conninfo;
}

static enum err migrate(const char *conninfo, char *text, size_t room)
{
  struct buf why;
  enum err e;

  buf_init(&why, 4096);
  e = migrate_run(conninfo, &why);
  snprintf(text, room, "%s", buf_str(&why));
  buf_free(&why);
  return e;
}

static void from_nothing(void **s)
{
  char *conninfo = fresh(), *latest = xasprintf("%d", migrate_latest()), why[500];

  (void)s;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(migrate(conninfo, why, sizeof why), ERR_OK);
    assert_string_equal(why, "");
    assert_answer(conninfo, "select max(version) from schema_version", latest);
    assert_answer(conninfo, "select count(*) from schema_version", latest);
    assert_answer(conninfo, "select last from event_cursor", "0");
  }
  free(latest);
  free(conninfo);
}

static void newer_is_refused(void **s)
{
  char *conninfo = fresh(), why[500];

  (void)s;
  assert_int_equal(migrate(conninfo, why, sizeof why), ERR_OK);
  free(ask(conninfo, "insert into schema_version (version) values (999)"));
  assert_int_equal(migrate(conninfo, why, sizeof why), ERR_DENIED);
  assert_non_null(strstr(why, "schema 999"));
  free(conninfo);
}

/* A step that fails leaves nothing behind, and can be done again. */
static void failed_step(void **s)
{
  char *conninfo = fresh(), why[500];

  (void)s;
  free(ask(conninfo, "create table log_chunk (n int)"));
  assert_int_equal(migrate(conninfo, why, sizeof why), ERR_FAILED);
  assert_true(str_starts(why, "schema step 1: "));
  assert_non_null(strstr(why, "\"log_chunk\" already exists"));
  assert_answer(conninfo, "select count(*) from pg_tables where schemaname = 'public'", "2");
  assert_answer(conninfo, "select count(*) from schema_version", "0");
  free(ask(conninfo, "drop table log_chunk"));
  assert_int_equal(migrate(conninfo, why, sizeof why), ERR_OK);
  free(conninfo);
}

static void no_server(void **s)
{
  char why[500];

  (void)s;
  assert_int_equal(migrate("host=/nonexistent", why, sizeof why), ERR_AWAY);
  assert_non_null(strstr(why, "/nonexistent"));
}

static void several_at_once(void **s)
{
  char *conninfo = fresh(), why[500];
  int status;

  (void)s;
  for (int i = 0; i < AT_ONCE; i++)
    if (!fork())
      _exit((int)migrate(conninfo, why, sizeof why));
  for (int i = 0; i < AT_ONCE; i++) {
    do
      assert_true(wait(&status) > 0);
    while (!WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ERR_OK);
  }
  assert_answer(conninfo, "select count(*) from schema_version where version = 1", "1");
  free(conninfo);
}

static void every_statement_is_accepted(void **s)
{
  char *conninfo = fresh(), why[500];
  PGconn *pg;
  int refused = 0;

  (void)s;
  assert_int_equal(migrate(conninfo, why, sizeof why), ERR_OK);
  pg = PQconnectdb(conninfo);
  for (int i = 0; i < SQL_COUNT; i++) {
    PGresult *r = PQprepare(pg, sql_name((enum sql)i), sql_text((enum sql)i), 0, NULL);

    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
      refused++;
      print_message("%s: %s\n", sql_name((enum sql)i), PQerrorMessage(pg));
    }
    PQclear(r);
  }
  PQfinish(pg);
  free(conninfo);
  print_message("%d statements\n", (int)SQL_COUNT);
  assert_int_equal(refused, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(from_nothing),
    cmocka_unit_test(newer_is_refused),
    cmocka_unit_test(failed_step),
    cmocka_unit_test(no_server),
    cmocka_unit_test(several_at_once),
    cmocka_unit_test(every_statement_is_accepted),
  };

  return cmocka_run_group_tests(tests, setup, teardown) ? 1 : 0;
}
