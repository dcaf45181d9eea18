/* One command: every reply × exit status × cancel, taken over or not, for a script and for an argv. */
#include "tests/lib/stepfix.h"

static long cases;

static char *argv_words[] = { (char *)"./run", (char *)"--fast", (char *)"two words", (char *)"", NULL };
static struct env_var env[] = { { (char *)"CC", (char *)"gcc -m32", NULL, { 0 } }, { (char *)"EMPTY", (char *)"", NULL, { 0 } } };
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
  case REPLY_REFUSED: return RESULT_EXCEPTION;
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
  says((struct reply){ REPLY_REFUSED, 0, false, "secret", "there is no secret \"x\"", "" }, "there is no secret \"x\"");
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

/* A pipeline's one step with what it says, in a build with these properties. */
static void with(const char *step, const char *properties, enum want want, enum result result, const char *words)
{
  struct build_ctx ctx = stepfix_ctx("https://git.example.org/x.git", "main", "");
  char *text = xasprintf("builders: {b: {checkout: none, steps: [%s]}}\n", step);
  struct diags d;
  struct pipeline *p;
  struct intent in;
  struct step s;
  const char *found[STEPFIX_WORDS_MAX + 1];

  diag_init(&d);
  p = pipeline_parse("x", text, strlen(text), "p", &d);
  assert_non_null(p);
  ctx.properties = properties;
  snprintf(stepfix_case, sizeof stepfix_case, "shell: %s\n", step);
  assert_int_equal(step_init(&s, &p->builders[0].steps[0], &ctx, NULL, NULL, NULL), ERR_OK);
  if (step_wanted(&s, &in))
    step_enter(&s, &in);
  assert_int_equal(in.want, want);
  if (want == WANT_END) {
    assert_int_equal(in.result, result);
    assert_string_equal(in.summary, words);
  } else {
    int n = stepfix_all(&in.spec, "arg", found);
    char args[400] = "";
    for (int i = 0; i < n; i++)
      snprintf(args + strlen(args), sizeof args - strlen(args), "%s[%s]", i ? " " : "", found[i]);
    n = stepfix_all(&in.spec, "env", found);
    for (int i = 0; i < n; i++)
      if (!strncmp(found[i], "X=", 2))
        snprintf(args + strlen(args), sizeof args - strlen(args), " %s", found[i]);
    assert_string_equal(args, words);
  }
  intent_free(&in);
  pipeline_free(p);
  diag_free(&d);
  free(text);
}

static void expressions(void **state)
{
  (void)state;
  with("{run: [make, \"-j${{ cores * 2 }}\", \"${{ branch }}\"]}", "{}", WANT_RUN, 0, "[make] [-j16] [main]");
  with("{run: [a], env: {X: \"${{ properties.x ?? 'none given' }}\"}}", "{}", WANT_RUN, 0, "[a] X=none given");
  with("{run: [a], env: {X: \"${{ properties.x ?? '' }}!\"}}", "{\"x\":\"$(rm -rf /); `id`\"}", WANT_RUN, 0, "[a] X=$(rm -rf /); `id`!");
  with("{run: [a], env: {X: \"${{ properties.x }}\"}}", "{\"x\":[1,true,\"y\"]}", WANT_RUN, 0, "[a] X=1 true y");
  with("{run: \"echo ${{ branch }}\"}", "{}", WANT_RUN, 0, "[sh] [-euc] [echo ${{ branch }}]");
  with("{run: [a], env: {X: \"${{ properties.x }}\"}}", "{}", WANT_END, RESULT_EXCEPTION, "X: ${{ properties.x }}: this has no value");
  with("{run: [a, \"${{ 1 / (cores - 8) }}\"]}", "{}", WANT_END, RESULT_EXCEPTION, "${{ 1 / (cores - 8) }}: a division by zero");
  with("{run: a, if: branch == 'main' and properties.full}", "{\"full\":true}", WANT_RUN, 0, "[sh] [-euc] [a]");
  with("{run: a, if: branch == 'main' and properties.full}", "{}", WANT_END, RESULT_SKIPPED, "not so: branch == 'main' and properties.full");
  with("{run: a, if: properties.full}", "{\"full\":\"yes\"}", WANT_END, RESULT_EXCEPTION, "if: properties.full: this is neither true nor false");
  with("{run: a, if: properties.n > 1}", "{\"n\":\"2\"}", WANT_END, RESULT_EXCEPTION, "if: properties.n > 1: this is a number, and a text is wanted");
  with("{run: a, if: properties.n > 1}", "{\"n\":2}", WANT_RUN, 0, "[sh] [-euc] [a]");
  with("{run: a, if: result == success}", "not json", WANT_RUN, 0, "[sh] [-euc] [a]");
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(every_reply), cmocka_unit_test(sentences), cmocka_unit_test(too_large_a_command_ends), cmocka_unit_test(expressions) };

  stepfix_watch_aborts();
  return cmocka_run_group_tests_name("shell", tests, NULL, NULL) ? 1 : 0;
}
