/* For tests of and through the database module: one private PostgreSQL for the program, a db opened by each test. */
#ifndef TESTS_LIB_DBFIX_H
#define TESTS_LIB_DBFIX_H
#include "tests/lib/pgfix.h"

#include "common/log.h"
#include "master/db/db.h"
#include "master/db/migrate.h"

static struct pgfix f;
static struct db *db;
static int up, down, closed, in_send;

static void on_up(void *ctx)
{
  (void)ctx;
  assert_int_equal(in_send, 0);
  up++;
}

static int answered, failed, away;
static int unanswered; /* of the counters below, when on_down comes: must be 0 */
static void on_down(void *ctx, const char *why)
{
  (void)ctx;
  assert_non_null(why);
  assert_int_equal(in_send, 0);
  assert_int_equal(unanswered, 0);
  down++;
}

static const struct db_ops ops = { on_up, on_down };
static void on_closed(void *arg) { ++*(int *)arg; }

static inline void db_open(int work, int read)
{
  up = down = closed = unanswered = 0;
  db = db_new(&f.loop, ppg_conninfo(f.ppg), work, read, &ops, NULL);
  db_start(db);
  pgfix_until(&f, &up, 1, 10000);
}

static inline void db_shut(void)
{
  db_close(db, on_closed, &closed);
  pgfix_until(&f, &closed, 1, 5000);
}

/* An answer kept for the test to look at: the callback copies what it needs by fn. */
struct answer {
  int count;
  enum err err;
  char text[400], state[8];
  void (*fn)(struct db_res *r, void *arg);
  void *arg;
};

static inline void on_answer(struct db_res *r, void *arg)
{
  struct answer *a = arg;

  assert_int_equal(in_send, 0);
  a->count++;
  a->err = db_err(r);
  snprintf(a->text, sizeof a->text, "%s", db_errtext(r));
  snprintf(a->state, sizeof a->state, "%s", db_sqlstate(r));
  if (a->fn && !db_err(r))
    a->fn(r, a->arg);
}

static inline void give(struct db_tx *tx, db_cb *cb, void *arg)
{
  in_send++;
  db_send(tx, cb, arg);
  in_send--;
}

static inline struct answer run_tx(struct db_tx *tx, void (*fn)(struct db_res *, void *), void *arg)
{
  struct answer a = { .fn = fn, .arg = arg };

  give(tx, on_answer, &a);
  assert_int_equal(a.count, 0);
  pgfix_until(&f, &a.count, 1, 40000);
  assert_int_equal(a.count, 1);
  return a;
}

static inline struct answer run(const char *sql)
{
  struct db_tx *tx = db_tx(db, DB_ANY);

  db_q_text(tx, sql, "");
  return run_tx(tx, NULL, NULL);
}

static inline void must(const char *sql)
{
  struct answer a = run(sql);

  if (a.err)
    fail_msg("%s: %s", sql, a.text);
}

static inline void take_num(struct db_res *r, void *arg) { *(int64_t *)arg = db_num(r, 0, 0, 0); }

static inline int64_t number(const char *sql)
{
  struct db_tx *tx = db_tx(db, DB_ANY);
  int64_t n = -1;
  struct answer a;

  db_q_text(tx, sql, "");
  a = run_tx(tx, take_num, &n);
  if (a.err)
    fail_msg("%s: %s", sql, a.text);
  return n;
}

static inline int group_setup(void **s)
{
  struct buf why;

  (void)s;
  log_set_level(LOG_ERROR);
  pgfix_folders(&f);
  pgfix_open(&f);
  pgfix_until(&f, &f.ready, 1, 10000);
  buf_init(&why, 4096);
  if (migrate_run(ppg_conninfo(f.ppg), &why))
    fail_msg("%s", buf_str(&why));
  buf_free(&why);
  return 0;
}

static inline int group_teardown(void **s)
{
  (void)s;
  pgfix_close(&f, true);
  pgfix_remove(&f);
  return 0;
}

static inline void count_answer(struct db_res *r, void *arg)
{
  (void)arg;
  assert_int_equal(in_send, 0);
  answered++;
  unanswered--;
  failed += db_err(r) == ERR_FAILED;
  away += db_err(r) == ERR_AWAY;
}

static inline void send_counted(struct db_tx *tx)
{
  unanswered++;
  give(tx, count_answer, NULL);
}

static inline void reset_counts(void)
{
  answered = failed = away = unanswered = 0;
}
#endif
