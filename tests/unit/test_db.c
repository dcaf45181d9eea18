/* The database module against a real PostgreSQL: order, pipelines, errors, values of all kinds. */
#include "tests/lib/dbfix.h"

#include "common/str.h"

/* ---- order and pipelines ---- */

static int64_t last_answer;

static void ordered_answer(struct db_res *r, void *arg)
{
  count_answer(r, NULL);
  assert_int_equal((int64_t)(intptr_t)arg, last_answer + 1);
  last_answer++;
}

static void order_by_key(void **s)
{
  (void)s;
  db_open(4, 1);
  must("create table seq (id bigint generated always as identity, k bigint, n bigint)");
  reset_counts();
  last_answer = -1;
  for (int64_t i = 0; i < 1000; i++) {
    struct db_tx *tx = db_tx(db, 77);

    db_q_text(tx, "insert into seq (k, n) values (77, $1::bigint)", "n", i);
    unanswered++;
    give(tx, ordered_answer, (void *)(intptr_t)i);
    tx = db_tx(db, (uint64_t)(i % 7)); /* others in between */
    db_q_text(tx, "insert into seq (k, n) values ($1::bigint, $2::bigint)", "nn", i % 7, i);
    send_counted(tx);
  }
  pgfix_until(&f, &answered, 2000, 30000);
  assert_int_equal(failed + away, 0);
  assert_int_equal(number("select count(*) from seq"), 2000);
  assert_int_equal(number("select count(*) from (select n, lag(n) over (partition by k order by id) as before from seq) t "
                          "where n <= before"), 0);
  db_shut();
}

static void ten_thousand(void **s)
{
  static const int works[] = { 4, 8 };

  (void)s;
  for (size_t w = 0; w < COUNT(works); w++) {
    int64_t from;

    db_open(works[w], 0);
    must("drop table if exists tiny");
    must("create table tiny as select g::bigint as id, 0::bigint as n from generate_series(0, 999) g");
    must("alter table tiny add primary key (id)");
    reset_counts();
    from = clock_mono_us();
    for (int64_t i = 0; i < 10000; i++) {
      struct db_tx *tx = db_tx(db, i % 2 ? DB_ANY : (uint64_t)(i % 100));

      db_q_text(tx, "update tiny set n = n + 1 where id = $1::bigint", "n", i % 1000);
      send_counted(tx);
    }
    pgfix_until(&f, &answered, 10000, 60000);
    fprintf(stderr, "%d work connections: %.0f durable transactions/s\n", works[w],
            10000 * 1e6 / (double)(clock_mono_us() - from));
    assert_int_equal(failed + away, 0);
    assert_int_equal(number("select sum(n)::bigint from tiny"), 10000);
    db_shut();
  }
}

/* What waits for a lock holds up only what was sent behind it before anybody could see that it waits. */
static void what_waits_is_left_alone(void **s)
{
  enum { MANY = 12 };
  struct db_tx *tx;

  (void)s;
  db_open(3, 0);
  reset_counts();
  tx = db_tx(db, DB_ANY);
  db_q_text(tx, "select pg_sleep(4)", "");
  send_counted(tx);
  must("select pg_sleep(0.2)");
  for (int i = 0; i < MANY; i++) {
    tx = db_tx(db, DB_ANY);
    db_q_text(tx, "select 1", "");
    send_counted(tx);
  }
  pgfix_until(&f, &answered, MANY, 2500);
  pgfix_until(&f, &answered, MANY + 1, 10000);
  assert_int_equal(failed + away, 0);
  db_shut();
}

static int backend_of(uint64_t key)
{
  struct db_tx *tx = db_tx(db, key);
  int64_t pid = 0;

  db_q_text(tx, "select pg_backend_pid()", "");
  assert_int_equal(run_tx(tx, take_num, &pid).err, ERR_OK);
  return (int)pid;
}

static int retries;
static void note_retries(enum log_level level, const char *line)
{
  (void)level;
  retries += strstr(line, "again: ") != NULL && strstr(line, "40P01") != NULL;
}

/* Each waits until the other has its first row too. */
static const char gate[] = "do $$ declare t timestamptz := clock_timestamp(); begin perform nextval('gate'); "
                           "while (select last_value from gate) < 3 and clock_timestamp() < t + interval '10 s' loop "
                           "perform pg_sleep(0.01); end loop; end $$";

static void deadlock_is_retried(void **s)
{
  uint64_t keys[2] = { 1, 2 };

  (void)s;
  db_open(4, 0);
  while (backend_of(keys[0]) == backend_of(keys[1]))
    keys[1]++;
  must("create sequence gate");
  must("select nextval('gate')");
  must("create table lock_order (id int primary key, n int)");
  must("insert into lock_order values (1, 0), (2, 0)");
  must("create table lock_seq (id bigint generated always as identity, k int, n int)");
  reset_counts();
  retries = 0;
  log_set_level(LOG_DEBUG);
  log_set_sink(note_retries);
  for (int i = 0; i < 2; i++) {
    static const char *const first[] = { "1", "2" };
    struct db_tx *tx = db_tx(db, keys[i]);

    db_q_text(tx, "update lock_order set n = n + 1 where id = $1::int", "s", first[i]);
    db_q_text(tx, gate, "");
    db_q_text(tx, "update lock_order set n = n + 1 where id = $1::int", "s", first[!i]);
    db_q_text(tx, "insert into lock_seq (k, n) values ($1::int, 0)", "n", (int64_t)i);
    send_counted(tx);
    for (int64_t n = 1; n < 5; n++) { /* what follows must stay behind the one that is sent again */
      tx = db_tx(db, keys[i]);
      db_q_text(tx, "insert into lock_seq (k, n) values ($1::int, $2::int)", "nn", (int64_t)i, n);
      send_counted(tx);
    }
  }
  pgfix_until(&f, &answered, 10, 20000);
  log_set_sink(NULL);
  log_set_level(LOG_ERROR);
  assert_int_equal(failed + away, 0);
  assert_true(retries > 0);
  assert_int_equal(number("select sum(n)::bigint from lock_order"), 4);
  assert_int_equal(number("select count(*) from (select n, lag(n) over (partition by k order by id) as before from lock_seq) t "
                          "where n <= before"), 0);
  db_shut();
}

/* ---- errors ---- */

static int error_lines;
static char error_line[400];
static void note_errors(enum log_level level, const char *line)
{
  if (level < LOG_ERROR)
    return;
  error_lines++;
  snprintf(error_line, sizeof error_line, "%s", line);
}

static void errors(void **s)
{
  struct db_tx *tx;
  struct answer a;

  (void)s;
  db_open(2, 1);
  must("create table err (id int primary key, other int references err deferrable initially deferred)");
  tx = db_tx(db, 3); /* all or nothing, and the statement that failed is named */
  db_q_text(tx, "insert into err values (1)", "");
  db_q_text(tx, "insert into err values (1)", "");
  db_q_text(tx, "insert into err values (2)", "");
  a = run_tx(tx, NULL, NULL);
  assert_int_equal(a.err, ERR_FAILED);
  assert_string_equal(a.state, "23505");
  assert_non_null(strstr(a.text, "insert into err values (1): 23505 duplicate key"));
  assert_int_equal(number("select count(*) from err"), 0);

  tx = db_tx(db, 3); /* an error that only the commit finds */
  db_q_text(tx, "insert into err values (3, 4)", "");
  a = run_tx(tx, NULL, NULL);
  assert_int_equal(a.err, ERR_FAILED);
  assert_string_equal(a.state, "23503");
  assert_true(str_starts(a.text, "commit: 23503"));
  assert_int_equal(number("select count(*) from err"), 0);

  tx = db_tx(db, 3); /* wrong number of parameters: SQLSTATE of class 08, but the connection stays */
  db_q_text(tx, "select $1::int, $2::int", "n", INT64_C(1));
  a = run_tx(tx, NULL, NULL);
  assert_string_equal(a.state, "08P01");
  a = run("select 'x'::text || E'\\xff'"); /* not UTF-8 */
  assert_int_equal(a.err, ERR_FAILED);

  error_lines = 0;
  log_set_sink(note_errors);
  a = run("selekt 1");
  assert_string_equal(a.state, "42601");
  assert_int_equal(error_lines, 1);
  assert_non_null(strstr(error_line, "selekt 1"));
  log_set_sink(NULL);
  tx = db_tx(db, 3); /* nothing at all is fine */
  a = run_tx(tx, NULL, NULL);
  assert_int_equal(a.err, ERR_OK);
  assert_int_equal(down, 0);
  db_shut();
}

/* A prepared statement whose table is missing: said once by name, and works when the table is back. */
static void prepared_refused(void **s)
{
  struct db_tx *tx;
  struct answer a;

  (void)s;
  db_open(1, 0);
  must("alter table project rename to project_away");
  error_lines = 0;
  log_set_sink(note_errors);
  for (int i = 0; i < 3; i++) {
    tx = db_tx(db, 1);
    db_q_text(tx, "select 1", "");
    db_q(tx, SQL_builder_add, "ss", "a name", "b");
    a = run_tx(tx, NULL, NULL);
    assert_int_equal(a.err, ERR_FAILED);
    assert_non_null(strstr(a.text, "builder_add: 42P01"));
  }
  assert_int_equal(error_lines, 1);
  assert_non_null(strstr(error_line, "builder_add: 42P01"));
  log_set_sink(NULL);
  must("alter table project_away rename to project");
  tx = db_tx(db, 1);
  db_q(tx, SQL_builder_add, "ss", "a name", "b");
  assert_int_equal(run_tx(tx, NULL, NULL).err, ERR_OK);
  db_shut();
}

/* An error before the first use of a statement must not leave it half prepared. */
static void prepared_after_error(void **s)
{
  struct db_tx *tx;

  (void)s;
  db_open(1, 0);
  reset_counts();
  must("insert into project (name) values ('a name') on conflict do nothing");
  tx = db_tx(db, DB_ANY);
  db_q_text(tx, "select 1 / 0", "");
  db_q(tx, SQL_builder_add, "ss", "a name", "b");
  send_counted(tx);
  for (int i = 0; i < 3; i++) {
    tx = db_tx(db, DB_ANY);
    db_q(tx, SQL_builder_add, "ss", "a name", "b");
    send_counted(tx);
  }
  pgfix_until(&f, &answered, 4, 10000);
  assert_int_equal(failed, 1);
  assert_int_equal(number("select count(*) from builder where name = 'b'"), 1);
  db_shut();
}

/* ---- values ---- */

enum { ALL = 256, BIG = 5 << 20 };

static void check_values(struct db_res *r, void *arg)
{
  const unsigned char *bytes;
  size_t n;

  (void)arg;
  assert_int_equal(db_rows(r, 0), 1);
  bytes = db_bytes(r, 0, 0, 0, &n);
  assert_int_equal(n, ALL);
  for (int i = 0; i < ALL; i++)
    assert_int_equal(bytes[i], i);
  assert_non_null(db_bytes(r, 0, 0, 1, &n));
  assert_int_equal(n, 0);
  assert_false(db_null(r, 0, 0, 1));
  assert_null(db_bytes(r, 0, 0, 2, &n));
  assert_true(db_null(r, 0, 0, 2));
  assert_true(db_num(r, 0, 0, 3) == INT64_MAX);
  assert_true(db_num(r, 0, 0, 4) == INT64_MIN + 1);
  assert_int_equal(db_num(r, 0, 0, 5), 0); /* null */
  assert_true(db_null(r, 0, 0, 5));
  assert_int_equal(db_num(r, 0, 0, 6), 1); /* bool */
  assert_int_equal(db_num(r, 0, 0, 7), 0);
  assert_int_equal(db_num(r, 0, 0, 8), -32768);
  assert_int_equal(db_num(r, 0, 0, 9), -2000000000);
  assert_string_equal(db_str(r, 0, 0, 10), "gr\xc3\xbc\xc3\x9f'\"\\ \n");
  assert_string_equal(db_str(r, 0, 0, 11), "");
  assert_null(db_dup(r, 0, 0, 11));
  assert_string_equal(db_str(r, 0, 0, 12), "{\"a\": 1}");
}

#define VALUES                                                                                           \
  "select $1::bytea, $2::bytea, $3::bytea, $4::bigint, $5::bigint, $6::bigint, $7::boolean, $8::boolean, " \
  "(-32768)::smallint, (-2000000000)::int, $9::text, $10::text, $11::jsonb"

static void values(void **s)
{
  static const char *const texts[] = { VALUES, "/*b*/ " VALUES };
  unsigned char all[ALL];

  (void)s;
  db_open(1, 1);
  for (int i = 0; i < ALL; i++)
    all[i] = (unsigned char)i;
  for (size_t i = 0; i < COUNT(texts); i++) {
    struct db_tx *tx = db_tx(db, DB_READ);

    db_q_text(tx, texts[i], "bbbnnNllsss", all, sizeof all, "", (size_t)0, NULL, (size_t)0, INT64_MAX, INT64_MIN + 1,
              INT64_MIN, 7, 0, "gr\xc3\xbc\xc3\x9f'\"\\ \n", NULL, "{\"a\":1}");
    assert_int_equal(run_tx(tx, check_values, NULL).err, ERR_OK);
  }
  db_shut();
}

static void check_times(struct db_res *r, void *arg)
{
  (void)arg;
  assert_true(db_ms(r, 0, 0, 0) == INT64_C(1715000889123));
  assert_true(db_ms(r, 0, 0, 1) == -1); /* 0.5 ms before 1970 */
  assert_true(db_ms(r, 0, 0, 2) == INT64_MIN);
  assert_true(db_ms(r, 0, 0, 3) == INT64_MAX);
  assert_true(db_ms(r, 0, 0, 4) == INT64_C(951782400000));
}

#define TIMES                                                                                     \
  "select '2024-05-06 13:08:09.123456+00'::timestamptz, '1969-12-31 23:59:59.9995+00'::timestamptz, " \
  "null::timestamptz, 'infinity'::timestamptz, '2000-02-29 01:00+01'::timestamptz"

static void times(void **s)
{
  static const char *const texts[] = { TIMES, "/*b*/ " TIMES };

  (void)s;
  db_open(1, 0);
  for (size_t i = 0; i < COUNT(texts); i++) {
    struct db_tx *tx = db_tx(db, DB_READ); /* there is no read connection: a work one serves */

    db_q_text(tx, texts[i], "");
    assert_int_equal(run_tx(tx, check_times, NULL).err, ERR_OK);
  }
  db_shut();
}

static const char *const words[] = { "plain", "", "a,b", "{x}", "\"q\"", "back\\slash", "NULL", "null", " blank ", "gr\xc3\xbc\xc3\x9f\n" };

static void check_texts(struct db_res *r, void *arg)
{
  int n;
  char **v;

  (void)arg;
  for (int col = 0; col < 3; col++) {
    v = db_texts(r, 0, 0, col, &n);
    assert_int_equal(n, col ? 0 : (int)COUNT(words));
    for (int i = 0; i < n; i++) {
      assert_string_equal(v[i], words[i]);
      free(v[i]);
    }
    assert_null(v[n]);
    free(v);
  }
}

static void arrays(void **s)
{
  static const char *const texts[] = { "select $1::text[], '{}'::text[], null::text[]",
    "/*b*/ select $1::text[], '{}'::text[], null::text[]" };
  char *param = db_text_array(words, COUNT(words)), *none = db_text_array(NULL, 0);

  (void)s;
  assert_string_equal(none, "{}");
  free(none);
  db_open(1, 0);
  for (size_t i = 0; i < COUNT(texts); i++) {
    struct db_tx *tx = db_tx(db, DB_ANY);

    db_q_text(tx, texts[i], "s", param);
    assert_int_equal(run_tx(tx, check_texts, NULL).err, ERR_OK);
  }
  free(param);
  db_shut();
}

static void check_big(struct db_res *r, void *arg)
{
  size_t n;
  const void *p = db_bytes(r, 1, 0, 0, &n);

  assert_int_equal(n, BIG);
  assert_memory_equal(p, arg, BIG);
}

/* More than sockets hold, in both directions at once, through prepared statements. */
static void big(void **s)
{
  char *bytes = xmalloc(BIG);
  struct answer a[8] = { 0 };
  int64_t id;

  (void)s;
  db_open(1, 0);
  str_random(bytes, BIG);
  must("create table big (id bigint generated always as identity, b bytea)");
  for (size_t i = 0; i < COUNT(a); i++) {
    struct db_tx *tx = db_tx(db, DB_ANY);

    a[i].fn = check_big;
    a[i].arg = bytes;
    db_q_text(tx, "insert into big (b) values ($1::bytea)", "b", bytes, (size_t)BIG);
    db_q_text(tx, i % 2 ? "select $1::bytea" : "/*b*/ select $1::bytea", "b", bytes, (size_t)BIG);
    give(tx, on_answer, &a[i]);
  }
  for (size_t i = 0; i < COUNT(a); i++) {
    pgfix_until(&f, &a[i].count, 1, 60000);
    assert_int_equal(a[i].err, ERR_OK);
  }
  for (int again = 0; again < 2; again++) {
    struct db_tx *tx = db_tx(db, DB_ANY);

    db_q(tx, SQL_pipeline_add, "b", bytes, (size_t)BIG);
    assert_int_equal(run_tx(tx, take_num, &id).err, ERR_OK);
    tx = db_tx(db, DB_ANY);
    db_q_text(tx, "select 1", "");
    db_q(tx, SQL_pipeline_get, "n", id);
    assert_int_equal(run_tx(tx, check_big, bytes).err, ERR_OK);
  }
  assert_int_equal(number("select count(*) from big where length(b) = 5242880"), (int)COUNT(a));
  free(bytes);
  db_shut();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(order_by_key),
    cmocka_unit_test(ten_thousand),
    cmocka_unit_test(what_waits_is_left_alone),
    cmocka_unit_test(deadlock_is_retried),
    cmocka_unit_test(errors),
    cmocka_unit_test(prepared_refused),
    cmocka_unit_test(prepared_after_error),
    cmocka_unit_test(values),
    cmocka_unit_test(times),
    cmocka_unit_test(arrays),
    cmocka_unit_test(big),
  };

  return cmocka_run_group_tests(tests, group_setup, group_teardown) ? 1 : 0;
}
