/* The database module losing its connections in every way, and coming back; closing with work in flight. */
#include "tests/lib/dbfix.h"

#include <postgresql/libpq-fe.h>

static void while_away(void **s)
{
  struct answer a;

  (void)s;
  up = down = closed = 0;
  db = db_new(&f.loop, "host=/nonexistent user=x dbname=x", 2, 1, &ops, NULL);
  a = run("select 1"); /* not even started */
  assert_int_equal(a.err, ERR_AWAY);
  db_start(db);
  assert_false(db_is_up(db));
  a = run("select 1");
  assert_int_equal(a.err, ERR_AWAY);
  assert_int_equal(up + down, 0);
  db_shut();
  db = db_new(&f.loop, ppg_conninfo(f.ppg), 2, 1, &ops, NULL); /* closed while it connects */
  db_start(db);
  closed = 0;
  db_shut();
}

/* Sends n inserts on all connections, does harm, waits for all answers and for the return; every transaction is answered once, what was confirmed is there,
   what is there was confirmed or unknown. */
static void survive(int n, void (*harm)(void), const char *what)
{
  int64_t from, rows;

  must("drop table if exists survive");
  must("create table survive (n bigint primary key)");
  reset_counts();
  for (int64_t i = 0; i < n; i++) {
    struct db_tx *tx = db_tx(db, (uint64_t)i);

    db_q_text(tx, "insert into survive values ($1::bigint)", "n", i);
    send_counted(tx);
  }
  pgfix_until(&f, &answered, n / 10, 20000);
  up = down = 0;
  from = clock_mono_ms();
  harm();
  pgfix_until(&f, &down, 1, 10000);
  assert_int_equal(answered, n); /* before on_down */
  assert_int_equal(unanswered, 0);
  pgfix_until(&f, &up, 1, 15000);
  print_message("%s: up again after %lld ms, %d of %d unanswered\n", what, (long long)(clock_mono_ms() - from), away, n);
  assert_int_equal(failed, 0);
  assert_true(away > 0);
  rows = number("select count(*) from survive");
  assert_true(rows >= n - away && rows <= n);
  assert_int_equal(answered, n);
}

static pid_t backend(void) { return (pid_t)number("select pg_backend_pid()"); }

static pid_t victim;
static void kill_backend(void) { kill(victim, SIGKILL); }
static void kill_postmaster(void) { kill(ppg_pid(f.ppg), SIGKILL); }
static void kick(void) { db_kick(db, "told so"); }

static void terminate_backend(void)
{
  PGconn *pg = PQconnectdb(ppg_conninfo(f.ppg));
  char sql[80];

  snprintf(sql, sizeof sql, "select pg_terminate_backend(%d)", (int)victim);
  PQclear(PQexec(pg, sql));
  PQfinish(pg);
}

static void losses(void **s)
{
  (void)s;
  log_set_level(LOG_ERROR + 1);
  db_open(4, 1);
  victim = backend();
  survive(3000, kill_backend, "backend killed");
  survive(3000, kill_postmaster, "postmaster killed");
  victim = backend();
  survive(3000, terminate_backend, "pg_terminate_backend");
  survive(3000, kick, "kicked");
  db_shut();
  log_set_level(LOG_ERROR);
}

/* The postmaster dies while a backend computes: the query's transaction is answered, all is back within 10 s. */
static void postmaster_while_computing(void **s)
{
  struct answer a = { 0 };
  struct db_tx *tx;
  int64_t from;

  (void)s;
  db_open(2, 0);
  tx = db_tx(db, DB_ANY);
  db_q_text(tx, "do $$ declare t timestamptz := clock_timestamp(); begin "
                "while clock_timestamp() < t + interval '29 seconds' loop end loop; end $$", "");
  db_send(tx, on_answer, &a);
  while (!number("select count(*) from pg_stat_activity where query like 'do $$ declare%' and state = 'active'"))
    assert_int_equal(a.count, 0);
  from = clock_mono_ms();
  up = down = 0;
  kill_postmaster();
  pgfix_until(&f, &up, 1, 10000);
  print_message("computing: up again after %lld ms\n", (long long)(clock_mono_ms() - from));
  assert_int_equal(a.count, 1);
  assert_int_equal(a.err, ERR_AWAY);
  assert_int_equal(down, 1);
  assert_int_equal(number("select 1"), 1);
  db_shut();
}

static void resend(struct db_res *r, void *arg)
{
  int *left = arg;

  if (db_err(r) && (*left)-- > 0) {
    struct db_tx *tx = db_tx(db, DB_ANY);

    db_q_text(tx, "select 1", "");
    give(tx, resend, arg);
  }
}

static void close_with_work(void **s)
{
  int left = 20;

  (void)s;
  db_open(3, 2);
  must("drop table if exists survive");
  must("create table survive (n bigint primary key)");
  reset_counts();
  for (int64_t i = 0; i < 2000; i++) {
    struct db_tx *tx = db_tx(db, i % 3 ? (uint64_t)(i % 50) : i % 2 ? DB_ANY : DB_READ);

    db_q_text(tx, "insert into survive values ($1::bigint)", "n", i);
    send_counted(tx);
  }
  give(db_tx(db, DB_ANY), resend, &left); /* a callback that sends again while all is being closed */
  pgfix_until(&f, &answered, 100, 20000);
  db_close(db, on_closed, &closed);
  assert_int_equal(closed, 0);
  pgfix_until(&f, &closed, 1, 5000);
  assert_int_equal(answered, 2000);
  assert_int_equal(failed, 0);
  assert_true(away > 0);
  db_drop(NULL);
}

static void close_in_callback(struct db_res *r, void *arg)
{
  (void)r;
  (void)arg;
  if (!closed && answered++ == 0)
    db_close(db, on_closed, &closed);
}

static void closed_by_an_answer(void **s)
{
  (void)s;
  db_open(1, 0);
  answered = 0;
  for (int i = 0; i < 10; i++) {
    struct db_tx *tx = db_tx(db, DB_ANY);

    db_q_text(tx, "select 1", "");
    give(tx, close_in_callback, NULL);
  }
  pgfix_until(&f, &closed, 1, 5000);
  assert_int_equal(answered, 10);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(while_away),
    cmocka_unit_test(losses),
    cmocka_unit_test(postmaster_while_computing),
    cmocka_unit_test(close_with_work),
    cmocka_unit_test(closed_by_an_answer),
  };

  return cmocka_run_group_tests(tests, group_setup, group_teardown) ? 1 : 0;
}
