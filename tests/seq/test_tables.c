/* The tables of the step kinds as graphs: every state can be reached, from every state there is a way to an end, names are what database and protocol can hold. */
#include "tests/lib/stepfix.h"

#include "common/str.h"

static const struct step_kind *const kinds[] = { &step_git, &step_svn, &step_hg, &step_shell, &step_trigger };

static uint64_t closure(const struct step_kind *k, uint64_t from)
{
  for (;;) {
    uint64_t more = from;
    for (int i = 0; i < k->count; i++)
      if (from & SM_TO(i))
        more |= k->rows[i].next;
    if (more == from)
      return from;
    from = more;
  }
}

static void every_state_is_reached_and_left(void **state)
{
  (void)state;
  for (size_t n = 0; n < COUNT(kinds); n++) {
    const struct step_kind *k = kinds[n];
    uint64_t all = SM_TO(k->count) - 1, ends = 0;
    int moves = 0;
    for (int i = 0; i < k->count; i++) {
      moves += __builtin_popcountll(k->rows[i].next);
      if (!k->rows[i].next)
        ends |= SM_TO(i);
      assert_false(k->rows[i].next & ~all);          /* no move to nowhere */
      assert_false(k->rows[i].next & SM_TO(i));      /* none to itself: a command is not asked twice */
    }
    if (closure(k, SM_TO(0)) != all)
      fail_msg("%s: not all states are reached from the first", k->name);
    assert_true(ends != 0);
    for (int i = 0; i < k->count; i++)
      if (!(closure(k, SM_TO(i)) & ends))
        fail_msg("%s: no end after %s", k->name, k->rows[i].name);
    print_message("%s: %d states, %d moves\n", k->name, k->count, moves);
  }
}

static void names_are_good_and_unique(void **state)
{
  (void)state;
  for (size_t n = 0; n < COUNT(kinds); n++) {
    const struct step_kind *k = kinds[n];
    assert_true(str_is_name(k->name, strlen(k->name)));
    assert_ptr_equal(step_kind_named(k->name), k);
    assert_true(k->count > 0 && k->count <= 64);
    for (int i = 0; i < k->count; i++) {
      assert_non_null(k->rows[i].name);
      assert_true(str_is_name(k->rows[i].name, strlen(k->rows[i].name)));
      assert_int_equal(sm_find(k->rows, k->count, k->rows[i].name), i);
    }
    assert_int_equal(sm_find(k->rows, k->count, "nowhere"), -1);
  }
  assert_null(step_kind_named("cvs"));
}

/* In every state but the ends something is asked of the worker; what is asked never depends on anything but state, variables and context. */
static void every_state_wants_something(void **state)
{
  static struct pipeline empty;
  static struct pipe_asks asks = { .in = &empty, .wait = true };
  static const struct pipe_step checkout = { .name = "checkout", .kind = PIPE_CHECKOUT };
  static const struct pipe_step others[] = { { .name = "run", .kind = PIPE_RUN, .script = (char *)"true" }, { .name = "go", .kind = PIPE_TRIGGER, .asks = &asks } };

  (void)state;
  for (size_t n = 0; n < COUNT(kinds); n++)
    for (int i = 0; i < kinds[n]->count; i++) {
      struct build_ctx ctx = stepfix_ctx("https://git.example.org/x.git", "main", "");
      struct intent a, b;
      struct step s;
      assert_int_equal(step_init(&s, step_is_checkout(kinds[n]) ? &checkout : &others[kinds[n] == &step_trigger], &ctx, kinds[n]->name, kinds[n]->rows[i].name, "{}"), ERR_OK);
      step_enter(&s, &a);
      assert_true((a.want == WANT_END) == !kinds[n]->rows[i].next);
      step_enter(&s, &b);
      assert_true(stepfix_same(&a, &b));
      intent_free(&a);
      intent_free(&b);
    }
}

static void results_are_ordered(void **state)
{
  static const enum result mild_to_bad[] = { RESULT_SKIPPED, RESULT_SUCCESS, RESULT_WARNINGS, RESULT_FAILURE, RESULT_EXCEPTION, RESULT_RETRY, RESULT_CANCELLED };

  (void)state;
  assert_int_equal(COUNT(mild_to_bad), RESULT_COUNT);
  for (int a = 0; a < RESULT_COUNT; a++)
    for (int b = 0; b < RESULT_COUNT; b++)
      assert_int_equal(result_worse(mild_to_bad[a], mild_to_bad[b]), mild_to_bad[a > b ? a : b]);
  for (int a = 0; a < RESULT_COUNT; a++)
    for (int b = 0; b < a; b++)
      assert_string_not_equal(result_text(a), result_text(b));
  assert_string_equal(result_text(RESULT_COUNT), "unknown");
  assert_string_equal(result_text(-1), "unknown");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_state_is_reached_and_left), cmocka_unit_test(names_are_good_and_unique), cmocka_unit_test(every_state_wants_something),
    cmocka_unit_test(results_are_ordered),
  };

  return cmocka_run_group_tests_name("tables", tests, NULL, NULL) ? 1 : 0;
}
