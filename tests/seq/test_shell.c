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
  says((struct reply){ REPLY_FAILED, 9, true, "-", "out of memory", "" }, "ended by signal 9 (Killed): out of memory");
  says((struct reply){ REPLY_FAILED, 2, false, "-", "out of memory", "" }, "exit 2: out of memory");
  says((struct reply){ REPLY_OK, 0, false, "-", "out of memory", "" }, "out of memory");
  says((struct reply){ REPLY_TIMEOUT, 15, true, "idle", "", "" }, "no output for too long, ended");
  says((struct reply){ REPLY_TIMEOUT, 15, true, "total", "", "" }, "took too long, ended");
  says((struct reply){ REPLY_BROKEN, 2, false, "start", "", "" }, "could not start: No such file or directory");
  says((struct reply){ REPLY_BROKEN, 2, false, "start", "make: no such program", "" }, "could not start: make: no such program");
  says((struct reply){ REPLY_CANCELLED, 15, true, "cancel", "", "" }, "cancelled in run");
  says((struct reply){ REPLY_LOST, 0, false, "boot", "", "" }, "lost in run: boot");
  says((struct reply){ REPLY_REFUSED, 0, false, "secret", "there is no secret \"x\"", "" }, "there is no secret \"x\"");
}

/* A script of exit statuses with all that can come between; taken over by another master in each state or not. The tries are commands of their own, and a wait is never longer than it was said. */
static void tried_again(void **state)
{
  enum { WAIT = 30000 };
  int code[] = { 75 };
  const struct pipe_step def = { .name = "test", .kind = PIPE_RUN, .script = (char *)"x", .retry = { .times = 2, .codes = code, .ncodes = 1, .wait_ms = WAIT } };
  static const char *const names[] = { "run", "run (2)", "run (3)" };
  static const int64_t clocks[] = { 0, 1, 10000, WAIT, WAIT + 1, 100000000, -100000000 }; /* how the clock goes on until the wait is looked at again */
  static const struct { int codes[3], runs; enum result result; const char *summary; } scripts[] = {
    { { 0 }, 1, RESULT_SUCCESS, "" }, { { 1 }, 1, RESULT_FAILURE, "exit 1" }, { { 75, 0 }, 2, RESULT_SUCCESS, "after 2 tries" },
    { { 75, 1 }, 2, RESULT_FAILURE, "exit 1, after 2 tries" }, { { 75, 75, 0 }, 3, RESULT_SUCCESS, "after 3 tries" }, { { 75, 75, 75 }, 3, RESULT_FAILURE, "exit 75, after 3 tries" } };

  (void)state;
  for (size_t i = 0; i < COUNT(scripts); i++)
    for (size_t c = 0; c < COUNT(clocks); c++)
      for (int adopt = 0; adopt < 2; adopt++) {
        struct build_ctx ctx = stepfix_ctx("https://git.example.org/x.git", "main", "");
        char command[STEP_COMMAND_MAX];
        struct intent in;
        struct step s;
        int runs = 0;
        snprintf(stepfix_case, sizeof stepfix_case, "shell: again, script %zu clock %zu adopt %d\n", i, c, adopt);
        ctx.now_ms = INT64_C(1700000000000);
        assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
        step_enter(&s, &in);
        while (in.want != WANT_END) {
          struct reply r = { REPLY_OK, 0, false, "-", "", "" };
          if (in.want == WANT_RUN) {
            step_command(&s, command);
            assert_string_equal(command, names[runs]);
            r.code = scripts[i].codes[runs++];
            r.kind = r.code ? REPLY_FAILED : REPLY_OK;
          } else {
            assert_int_equal(in.want, WANT_WAIT);
            assert_int_equal(in.wait_ms, WAIT);
            ctx.now_ms += clocks[c];
          }
          if (adopt) {
            struct buf vars;
            struct intent again;
            buf_init(&vars, BUF_NO_MAX);
            step_vars(&s, &vars);
            assert_int_equal(step_init(&s, &def, &ctx, "shell", sm_name(&s.sm), buf_str(&vars)), ERR_OK);
            buf_free(&vars);
            step_enter(&s, &again);
            assert_int_equal(again.want, in.want);
            if (in.want == WANT_WAIT)
              assert_int_equal(again.wait_ms, clocks[c] < 0 ? WAIT : clocks[c] > WAIT ? 0 : WAIT - clocks[c]);
            intent_free(&again);
          }
          intent_free(&in);
          step_got(&s, &r, &in);
          cases++;
        }
        assert_int_equal(runs, scripts[i].runs);
        assert_int_equal(in.result, scripts[i].result);
        assert_string_equal(in.summary, scripts[i].summary);
      }
}

/* Cancelled or lost in either state it ends as that; a step that began after its build was cancelled is not tried again, and may not take long. */
static void tries_end(void **state)
{
  static const struct { enum reply_kind kind; enum result result; } ends[] = { { REPLY_CANCELLED, RESULT_CANCELLED }, { REPLY_LOST, RESULT_RETRY } };
  struct pipe_step def = { .name = "test", .kind = PIPE_RUN, .script = (char *)"x", .retry = { .times = 1, .wait_ms = 1000 }, .total_ms = 3600000 };
  struct build_ctx ctx = stepfix_ctx("https://git.example.org/x.git", "main", "");
  const char *found[STEPFIX_WORDS_MAX + 1];
  struct reply failed = { REPLY_FAILED, 1, false, "-", "", "" };
  struct intent in;
  struct step s;

  (void)state;
  for (size_t i = 0; i < COUNT(ends); i++)
    for (int wait = 0; wait < 2; wait++) {
      struct reply r = { ends[i].kind, 0, false, "cancel", "", "" };
      assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
      if (wait)
        step_got(&s, &failed, &in);
      step_got(&s, &r, &in);
      assert_int_equal(in.want, WANT_END);
      assert_int_equal(in.result, ends[i].result);
    }
  for (int late = 0; late < 2; late++) {
    assert_int_equal(step_init(&s, &def, &ctx, "shell", "run", late ? "{\"late\":true}" : "{}"), ERR_OK);
    assert_int_equal(s.late, late);
    step_enter(&s, &in);
    assert_int_equal(stepfix_all(&in.spec, "total", found), 1);
    assert_string_equal(found[0], late ? "300000" : "3600000");
    intent_free(&in);
    step_got(&s, &failed, &in);
    assert_int_equal(in.want, late ? WANT_END : WANT_WAIT);
  }
  def.total_ms = 0;
  assert_int_equal(step_init(&s, &def, &ctx, "shell", "run", "{\"late\":true}"), ERR_OK);
  step_enter(&s, &in);
  assert_int_equal(stepfix_all(&in.spec, "total", found), 1);
  intent_free(&in);
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

static const char *env_of(const struct intent *in, const char *name)
{
  size_t at = 0, n = strlen(name);
  char key[RECORDS_KEY_MAX + 1];
  const char *value;

  while (!records_next((const char *)in->spec.data, in->spec.len, &at, key, &value))
    if (!strcmp(key, "env") && !strncmp(value, name, n) && value[n] == '=')
      return value + n + 1;
  return NULL;
}

/* With locks nothing is sent before they are there; then the names of units are among the variables, the builder's and its own. Whatever else comes ends it, taken over or not. */
static void locks_first(void **state)
{
  static const struct pipe_lock own[] = { { .name = "boards", .take = 2, .as = "UNITS" }, { .name = "license", .take = 1 } }, builders[] = { { .name = "port", .take = 0, .as = "PORT" } };
  static const struct pipe_step def = { .name = "test", .kind = PIPE_RUN, .script = (char *)"make", .locks = (struct pipe_lock *)own, .nlocks = 2 };
  struct held_lock held[] = { { (char *)"port", (char *)"usb0", 0 }, { (char *)"boards", (char *)"a1 b2", 1 }, { (char *)"license", (char *)"", 1 } };

  (void)state;
  for (int adopt = 0; adopt < 2; adopt++)
    for (int kind = REPLY_OK; kind <= REPLY_REFUSED; kind++) {
      struct build_ctx ctx = stepfix_ctx("https://git.example.org/x.git", "main", "");
      struct reply r = { (enum reply_kind)kind, 0, false, "", "", "" };
      struct intent in;
      struct step s;
      if (kind != REPLY_OK && kind != REPLY_LOST && kind != REPLY_CANCELLED && kind != REPLY_REFUSED)
        continue; /* no command is open */
      ctx.held = held;
      ctx.nheld = 1;
      ctx.locks = builders;
      ctx.nlocks = 1;
      assert_int_equal(step_init(&s, &def, &ctx, adopt ? "shell" : NULL, adopt ? "locks" : NULL, NULL), ERR_OK);
      step_enter(&s, &in);
      assert_int_equal(in.want, WANT_LOCKS);
      intent_free(&in);
      ctx.nheld = 3;
      step_got(&s, &r, &in);
      if (kind == REPLY_OK) {
        assert_int_equal(in.want, WANT_RUN);
        assert_string_equal(env_of(&in, "UNITS"), "a1 b2");
        assert_string_equal(env_of(&in, "PORT"), "usb0");
        intent_free(&in);
        step_got(&s, &r, &in);
      }
      assert_int_equal(in.want, WANT_END);
      assert_int_equal(in.result, expected(&r));
      intent_free(&in);
      cases++;
    }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(every_reply), cmocka_unit_test(locks_first), cmocka_unit_test(sentences), cmocka_unit_test(tried_again), cmocka_unit_test(tries_end), cmocka_unit_test(too_large_a_command_ends), cmocka_unit_test(expressions) };

  stepfix_watch_aborts();
  return cmocka_run_group_tests_name("shell", tests, NULL, NULL) ? 1 : 0;
}
