/* Hints between masters: what they say and what of it is taken, whoever says it; and the connection that hears, also after a loss. */
#include "tests/lib/dbfix.h"

#include "master/events/hints.h"

/* ---- pure ---- */

static void kinds_of_events(void **state)
{
  static const struct { const char *type; enum hint kind; } rows[] = {
    { "request.new", HINT_requests }, { "request.ready", HINT_requests }, { "request.done", HINT_requests }, { "build.done", HINT_ends }, { "build.cancelling", HINT_cancels }, { "buildset.done", HINT_sets },
    { "lock.taken", HINT_locks }, { "change.new", HINT_changes }, { "change.decided", HINT_changes }, { "paused", HINT_pauses }, { "resumed", HINT_resumes }, { "poll.taken", HINT_leases },
    { "step.moved", HINT_others }, { "build.started", HINT_others }, { "", HINT_others }, { "later.version", HINT_others },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++)
    if (hint_of(rows[i].type) != rows[i].kind)
      fail_msg("%s: %d", rows[i].type, (int)hint_of(rows[i].type));
}

static void what_is_taken(void **state)
{
  static const char *const nothing[] = { "", "7", "7 ", "7r", " r", "x r", "-7 r", "7  ", "7 ZYX", "5 rech", "99999999999999999999 r", "7\nr", "\xff\xfe r" };
  char large[200] = "7 ";

  (void)state;
  assert_int_equal(hints_read("7 r", 5), 1u << HINT_requests);
  assert_int_equal(hints_read("7 rh", 5), 1u << HINT_requests | 1u << HINT_changes);
  assert_int_equal(hints_read("7 p", 5), 1u << HINT_pauses | 1u << HINT_resumes);
  assert_int_equal(hints_read("7 rZ", 5), 1u << HINT_requests); /* of a later version */
  assert_int_equal(hints_read("5 r", 5), 0);                    /* its own */
  for (size_t i = 0; i < COUNT(nothing); i++)
    if (hints_read(nothing[i], 5))
      fail_msg("taken: %s", nothing[i]);
  memset(large + 2, 'r', sizeof large - 3);
  assert_int_equal(hints_read(large, 5), 0);
}

/* ---- the connection ---- */

static int heard;

static void on_heard(void *arg, const char *text)
{
  assert_int_equal(in_send, 0); /* from the loop */
  assert_string_equal(text, "7 rh");
  ++*(int *)arg;
}

/* Until one is heard: what is said before the connection listens is lost. */
static void say(void)
{
  int64_t end = clock_mono_ms() + 20000;

  for (int before = heard; heard == before;) {
    must("select pg_notify('another', 'nothing for us')");
    must("select pg_notify('drover', '7 rh')");
    if (clock_mono_ms() > end)
      fail_msg("nothing is heard");
  }
}

static void hearing_also_after_a_loss(void **state)
{
  (void)state;
  up = down = closed = unanswered = heard = 0;
  db = db_new(&f.loop, ppg_conninfo(f.ppg), 2, 1, &ops, NULL);
  db_hear(db, "drover", on_heard, &heard);
  db_start(db);
  pgfix_until(&f, &up, 1, 10000);
  say();
  for (int i = 0; i < 3; i++) {
    up = 0;
    db_kick(db, "test");
    pgfix_until(&f, &up, 1, 10000);
    say();
  }
  db_shut();
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(kinds_of_events), cmocka_unit_test(what_is_taken), cmocka_unit_test(hearing_also_after_a_loss) };

  return cmocka_run_group_tests_name("hints", tests, group_setup, group_teardown) ? 1 : 0;
}
