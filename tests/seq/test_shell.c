/* One command: every reply × exit status × cancel, taken over or not, for a script and for an argv. */
#include "tests/lib/stepfix.h"

static long cases;

static char *argv_words[] = { (char *)"./run", (char *)"--fast", (char *)"two words", (char *)"", NULL };
static struct env_var env[] = { { (char *)"CC", (char *)"gcc -m32" }, { (char *)"EMPTY", (char *)"" } };
static const struct pipe_step defs[] = {
  { .name = "build", .kind = PIPE_RUN, .script = (char *)"make\nmake install", .env = env, .nenv = 2, .idle_ms = 1200000 },
  { .name = "test", .kind = PIPE_RUN, .argv = argv_words, .cwd = (char *)"sub/folder", .total_ms = 60000 },
};

static enum result expected(const struct reply *r)
{
  switch (r->kind) {
  case REPLY_OK: return RESULT_SUCCESS;
  case REPLY_LOST: return RESULT_RETRY;
  case REPLY_CANCELLED: return RESULT_CANCELLED;
  default: return RESULT_FAILURE;
  }
}

static void one(const struct pipe_step *def, const struct reply *r, bool adopt, char summary[400])
{
  struct build_ctx ctx = stepfix_ctx("https://git.example.org/x.git", "main", "");
  struct intent in, in2;
  struct step s, s2;

  snprintf(stepfix_case, sizeof stepfix_case, "shell: %s, reply %d code %d\n", def->name, r->kind, r->code);
  assert_int_equal(step_init(&s, def, &ctx, NULL, NULL, NULL), ERR_OK);
  assert_ptr_equal(s.kind, &step_shell);
  assert_false(s.kind->needs_output);
  step_enter(&s, &in);
  assert_int_equal(in.want, WANT_RUN);
  assert_string_equal(sm_name(&s.sm), "run");
  if (adopt) {
    struct buf vars;
    buf_init(&vars, BUF_NO_MAX);
    step_vars(&s, &vars);
    assert_int_equal(step_init(&s2, def, &ctx, "shell", sm_name(&s.sm), buf_str(&vars)), ERR_OK);
    step_enter(&s2, &in2);
    assert_true(stepfix_same(&in, &in2));
    intent_free(&in2);
    buf_free(&vars);
    s = s2;
  }
  intent_free(&in);
  step_got(&s, r, &in);
  assert_int_equal(in.want, WANT_END);
  assert_int_equal(in.result, expected(r));
  assert_int_equal(s.result, in.result);
  assert_string_equal(s.summary, in.summary);
  assert_true(in.result == RESULT_SUCCESS || *in.summary);
  assert_null(ctx.got_revision);
  snprintf(summary, 400, "%s", in.summary);
  intent_free(&in);
  cases++;
}

static void every_reply(void **state)
{
  static const int codes[] = { 0, 1, 2, 9, 15, 125, 126, 127, 128, 255 };
  static const char *const reasons[] = { "-", "idle", "total", "cancel", "minder", "boot" }, *const details[] = { "", "no such file" };
  char plain[400], adopted[400];

  (void)state;
  for (size_t d = 0; d < COUNT(defs); d++)
    for (int kind = REPLY_OK; kind <= REPLY_BROKEN; kind++)
      for (size_t c = 0; c < COUNT(codes); c++)
        for (size_t x = 0; x < COUNT(reasons) * COUNT(details) * 2; x++) {
          struct reply r = { (enum reply_kind)kind, codes[c], x & 1, reasons[x / 4], details[x / 2 % 2], "looks like output" };
          one(&defs[d], &r, false, plain);
          one(&defs[d], &r, true, adopted);
          assert_string_equal(plain, adopted);
        }
  print_message("shell: %ld cases\n", cases);
}

static void says(struct reply r, const char *sentence)
{
  char summary[400];

  one(&defs[0], &r, false, summary);
  assert_string_equal(summary, sentence);
}

static void sentences(void **state)
{
  (void)state;
  says((struct reply){ REPLY_OK, 0, false, "-", "", "" }, "");
  says((struct reply){ REPLY_FAILED, 2, false, "-", "", "" }, "exit 2");
  says((struct reply){ REPLY_FAILED, 9, true, "-", "", "" }, "ended by signal 9 (Killed)");
  says((struct reply){ REPLY_TIMEOUT, 15, true, "idle", "", "" }, "no output for too long, ended");
  says((struct reply){ REPLY_TIMEOUT, 15, true, "total", "", "" }, "took too long, ended");
  says((struct reply){ REPLY_BROKEN, 2, false, "start", "", "" }, "could not start: No such file or directory");
  says((struct reply){ REPLY_BROKEN, 2, false, "start", "make: no such program", "" }, "could not start: make: no such program");
  says((struct reply){ REPLY_CANCELLED, 15, true, "cancel", "", "" }, "cancelled in run");
  says((struct reply){ REPLY_LOST, 0, false, "boot", "", "" }, "lost in run: boot");
}

static void too_large_a_command_ends(void **state)
{
  struct build_ctx ctx = stepfix_ctx("https://git.example.org/x.git", "main", "");
  size_t n = (size_t)wire_verbs[VERB_run].blob_max;
  char *script = xmalloc(n + 1);
  struct pipe_step def = { .name = "big", .kind = PIPE_RUN, .script = script };
  struct intent in;
  struct step s;

  (void)state;
  memset(script, 'x', n);
  script[n] = 0;
  assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
  step_enter(&s, &in);
  assert_int_equal(in.want, WANT_END);
  assert_int_equal(in.result, RESULT_EXCEPTION);
  assert_int_equal(in.spec.len, 0);
  intent_free(&in);
  free(script);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(every_reply), cmocka_unit_test(sentences), cmocka_unit_test(too_large_a_command_ends) };

  stepfix_watch_aborts();
  return cmocka_run_group_tests_name("shell", tests, NULL, NULL) ? 1 : 0;
}
