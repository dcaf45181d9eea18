/* The step `trigger`: every state × reply × outcome × wait, taken over or not; and what is asked for, from pipelines. */
#include "tests/lib/stepfix.h"

#include "common/str.h"

static long cases;

struct site {
  struct pipeline *p;
  struct build_ctx ctx;
  struct step s;
};

static void open_site(struct site *t, const char *step, const char *more, const char *properties)
{
  char *text = xasprintf("builders:\n  top: {checkout: none, steps: [{name: go, %s}]}\n  a: {steps: [make]}\n  b: {needs: a, steps: [make]}\n  c: {needs: a, steps: [make], matrix: {N: [1, 2]}}\n"
                         "schedulers:\n  s: {triggered: {parameters: {n: {type: integer, default: 1}}}, builders: b}\n  t: {triggered: {}, builders: [a]}\n%s", step, more);
  struct diags d;

  diag_init(&d);
  t->p = pipeline_parse("x", text, strlen(text), "p", &d);
  if (!t->p) {
    struct buf b;
    buf_init(&b, BUF_NO_MAX);
    diag_print(&d, &b);
    fail_msg("%s\n%s", text, buf_str(&b));
  }
  diag_free(&d);
  free(text);
  t->ctx = stepfix_ctx("https://git.example.org/x.git", "main", "0123456789");
  t->ctx.properties = properties;
  assert_int_equal(step_init(&t->s, &t->p->builders[0].steps[0], &t->ctx, NULL, NULL, NULL), ERR_OK);
  assert_ptr_equal(t->s.kind, &step_trigger);
}

/* What it asks for. */
static void asks(const char *step, const char *properties, const char *json)
{
  struct site t;
  struct intent in;

  open_site(&t, step, "", properties);
  step_enter(&t.s, &in);
  if (in.want == WANT_ASK)
    assert_string_equal(buf_str(&in.spec), json);
  else
    assert_string_equal(in.summary, json);
  assert_int_equal(in.want == WANT_END ? in.result : RESULT_EXCEPTION, RESULT_EXCEPTION);
  intent_free(&in);
  pipeline_free(t.p);
}

#define A "{\"name\":\"a\",\"tags\":[]}"
#define A_NEEDED "{\"name\":\"a\",\"tags\":[],\"needed\":true}"
#define B "{\"name\":\"b\",\"tags\":[],\"needs\":[{\"name\":\"a\"}]}"
#define SAYS "\"reason\":\"triggered by libfoo/linux/42:go\""

static void what_is_asked_for(void **state)
{
  (void)state;
  asks("trigger: a", "{}", "{\"wait\":false," SAYS ",\"sets\":[{\"builders\":[" A "],\"properties\":{}}]}");
  asks("trigger: b", "{}", "{\"wait\":false," SAYS ",\"sets\":[{\"builders\":[" A_NEEDED "," B "],\"properties\":{}}]}");
  asks("trigger: {builders: [b], wait: true, reason: \"of ${{ builder }}\"}", "{}", "{\"wait\":true,\"reason\":\"of linux\",\"sets\":[{\"builders\":[" A_NEEDED "," B "],\"properties\":{}}]}");
  asks("trigger: {builders: a, with: {x: \"${{ 6 * 7 }}\", y: \"n ${{ 6 * 7 }}\", z: 42, l: \"${{ [1, 'b', true] }}\"}}", "{}",
       "{\"wait\":false," SAYS ",\"sets\":[{\"builders\":[" A "],\"properties\":{\"x\":42,\"y\":\"n 42\",\"z\":\"42\",\"l\":[1,\"b\",true]}}]}");
  asks("trigger: {builders: a, with: {x: new}, copy: [x, y, none]}", "{\"x\":\"old\",\"y\":[1],\"secret\":1}",
       "{\"wait\":false," SAYS ",\"sets\":[{\"builders\":[" A "],\"properties\":{\"y\":[1],\"x\":\"new\"}}]}");
  asks("trigger: {builders: a, revision: \"${{ properties.r }}\"}", "{\"r\":\"abcdef0\"}", "{\"wait\":false," SAYS ",\"revision\":\"abcdef0\",\"sets\":[{\"builders\":[" A "],\"properties\":{}}]}");
  asks("trigger: {builders: a, revision: \"${{ properties.r }}\"}", "{\"r\":\"HEAD\"}", "revision: this is no revision: HEAD");
  asks("trigger: {builders: a, with: {x: \"${{ properties.none }}\"}}", "{}", "x: ${{ properties.none }}: this has no value");
  asks("trigger: {schedulers: s, copy: n}", "{\"n\":\"many\"}", "parameter \"n\" is a whole number of at most 15 digits, not \"many\"");
}

#define HEX40 "0123456789abcdef0123456789abcdef01234567"

/* What a trigger says of codebases; of: how many the build has. json: the member of what is asked for, or the sentence with which the step ends. */
static void stamped(const char *step, int of, bool fork, const char *json)
{
  struct build_stamp stamps[] = { { .vcs = VCS_GIT, .codebase = "core", .branch = "main", .revision = HEX40, .set_off = true }, { .vcs = VCS_SVN, .codebase = "manual", .branch = "branches/1.x", .revision = "41" },
                                  { .vcs = VCS_GIT, .codebase = "ui", .branch = "main", .revision = HEX40, .derived = (char *)(uintptr_t)HEX40, .derived_branch = (char *)(uintptr_t)"rel", .derived_by = (char *)(uintptr_t)"push" } };
  struct site t;
  struct intent in;

  open_site(&t, step, "", "{\"r\":\"" HEX40 "\",\"word\":\"tip\"}");
  t.ctx.stamps = stamps;
  t.ctx.nstamps = of;
  t.ctx.fork = fork;
  step_enter(&t.s, &in);
  if (in.want == WANT_ASK && !*json)
    assert_null(strstr(buf_str(&in.spec), "\"stamps\""));
  else if (in.want == WANT_ASK && !strstr(buf_str(&in.spec), json))
    fail_msg("%s: %s", step, buf_str(&in.spec));
  else if (in.want == WANT_END)
    assert_string_equal(in.summary, json);
  intent_free(&in);
  pipeline_free(t.p);
}

static void stamps_of_codebases(void **state)
{
  (void)state;
  stamped("trigger: {builders: a, stamps: {core: same}}", 3, false, "");
  stamped("trigger: {builders: a, stamps: {core: tip, manual: last_good}}", 3, false, "\"stamps\":{\"core\":{\"rule\":\"tip\"},\"manual\":{\"rule\":\"last_good\"}}");
  stamped("trigger: {builders: a, stamps: {core: \"${{ properties.r }}\", ui: \"${{ properties.word }}\"}}", 3, false,
          "\"stamps\":{\"core\":{\"revision\":\"" HEX40 "\",\"branch\":\"\",\"why\":\"asked for by libfoo/linux/42:go\"},\"ui\":{\"rule\":\"tip\"}}");
  stamped("trigger: {builders: a, stamps: {manual: 42}}", 3, false, "\"stamps\":{\"manual\":{\"revision\":\"42\",\"branch\":\"branches/1.x\",\"why\":\"asked for by libfoo/linux/42:go\"}}");
  stamped("trigger: {builders: a, stamps: {ui: derived}}", 3, false, "\"stamps\":{\"ui\":{\"revision\":\"" HEX40 "\",\"branch\":\"rel\",\"why\":\"derived by libfoo/linux/42:push\"}}");
  stamped("trigger: {builders: a, stamps: {ui: \"${{ stamps.ui.derived }}\"}}", 3, false, "\"stamps\":{\"ui\":{\"revision\":\"" HEX40 "\",\"branch\":\"\",\"why\":\"asked for by libfoo/linux/42:go\"}}");
  stamped("trigger: {builders: a, stamps: {core: derived}}", 3, false, "stamps: no step before has reported a stamp of core");
  stamped("trigger: {builders: a, stamps: {docs: tip}}", 3, false, "stamps: the build has no codebase \"docs\"");
  stamped("trigger: {builders: a, stamps: {core: 0123456}}", 3, false, "stamps: core: this is no whole revision: 0123456");
  stamped("trigger: {builders: a, stamps: {core: \"--${{ properties.r }}\"}}", 3, false, "stamps: core: this is no whole revision: --" HEX40);
  stamped("trigger: {builders: a, stamps: {manual: \"${{ properties.r }}\"}}", 3, false, "stamps: manual: this is no whole revision: " HEX40);
  stamped("trigger: {builders: a, stamps: {core: tip}}", 0, false, "stamps: the project has one repository; say `revision`");
  stamped("trigger: {builders: a, stamps: {core: tip}}", 3, true, "stamps: builds of pull requests from forks trigger others of their own set only");
  stamped("trigger: {builders: a, stamps: {core: same}}", 3, true, "");
}

static void unimportant(void **state)
{
  struct site t;
  struct intent in;

  (void)state;
  open_site(&t, "trigger: {schedulers: [s, t], builders: [a, b, c], wait: true, unimportant: [s, b, \"c[2]\"]}", "", "{}");
  step_enter(&t.s, &in);
  assert_int_equal(in.want, WANT_ASK);
  assert_non_null(strstr(buf_str(&in.spec), "\"scheduler\":\"s\""));
  assert_non_null(strstr(buf_str(&in.spec), "\"unimportant\":[\"a\",\"b\"]},{\"scheduler\":\"t\"")); /* all that s asks for */
  assert_non_null(strstr(buf_str(&in.spec), "\"unimportant\":[]},{\"builders\""));                 /* nothing of t */
  assert_non_null(strstr(buf_str(&in.spec), "\"unimportant\":[\"b\",\"c[2]\"]}]}"));
  intent_free(&in);
  pipeline_free(t.p);
}

static void own_revision_only(void **state)
{
  (void)state;
  for (int i = 0; i < 2; i++) {
    struct site t;
    struct intent in;
    open_site(&t, "trigger: {builders: a, revision: abcdef0}", "", "{}");
    t.ctx.fork = i == 0;
    t.ctx.patch = i == 1 ? "x" : NULL;
    step_enter(&t.s, &in);
    assert_int_equal(in.want, WANT_END);
    assert_string_equal(in.summary, i ? "revision: builds of patches that are tried trigger others at their own revision only"
                                      : "revision: builds of pull requests from forks trigger others at their own revision only");
    intent_free(&in);
    pipeline_free(t.p);
  }
}

/* Other projects and branches. */
static void elsewhere(void **state)
{
  static const char *const steps[] = { "trigger: other/dist", "trigger: {builders: a, branch: side}" };

  (void)state;
  asks("trigger: other/dist", "{}", "{\"abroad\":[{\"project\":\"other\",\"builders\":[\"dist\"],\"properties\":{},\"unimportant\":false}],\"wait\":false," SAYS ",\"sets\":[]}");
  asks("trigger: {builders: [a, other/dist, third/x, \"other/m[1]\", other/docs], wait: true, unimportant: other/docs, with: {v: 1}}", "{}",
       "{\"abroad\":[{\"project\":\"other\",\"builders\":[\"dist\",\"m[1]\"],\"properties\":{\"v\":\"1\"},\"unimportant\":false},{\"project\":\"third\",\"builders\":[\"x\"],\"properties\":{\"v\":\"1\"},\"unimportant\":false},"
       "{\"project\":\"other\",\"builders\":[\"docs\"],\"properties\":{\"v\":\"1\"},\"unimportant\":true}],\"wait\":true," SAYS ",\"sets\":[{\"builders\":[" A "],\"properties\":{\"v\":\"1\"}}]}");
  asks("trigger: {builders: [b, other/dist], branch: \"v/${{ properties.line }}\"}", "{\"line\":\"2\"}",
       "{\"abroad\":[{\"project\":\"libfoo\",\"builders\":[\"b\"],\"branch\":\"v/2\",\"properties\":{},\"unimportant\":false},{\"project\":\"other\",\"builders\":[\"dist\"],\"branch\":\"v/2\",\"properties\":{},\"unimportant\":false}],"
       "\"wait\":false," SAYS ",\"sets\":[]}");
  asks("trigger: {builders: other/dist, branch: \"${{ properties.line }}\"}", "{\"line\":\"--upload-pack=x\"}", "branch: this is no branch: --upload-pack=x");
  asks("trigger: {builders: other/dist, branch: \"${{ properties.line }}\"}", "{}", "branch: ${{ properties.line }}: this has no value");
  for (int i = 0; i < 4; i++) {
    struct site t;
    struct intent in;
    open_site(&t, steps[i / 2], "", "{}");
    t.ctx.fork = i % 2 == 0;
    t.ctx.patch = i % 2 == 1 ? "x" : NULL;
    step_enter(&t.s, &in);
    assert_int_equal(in.want, WANT_END);
    assert_string_equal(in.summary, i % 2 ? "builds of patches that are tried trigger no others of other projects or branches" : "builds of pull requests from forks trigger no others of other projects or branches");
    intent_free(&in);
    pipeline_free(t.p);
  }
}

/* By hand, from docs/rules.md 4.8.4 and 4.8.5. */
static enum result expected(bool wait, int state, const struct reply *r)
{
  static const enum result of[RESULT_COUNT] = { RESULT_SUCCESS, RESULT_WARNINGS, RESULT_FAILURE, RESULT_FAILURE, RESULT_EXCEPTION, RESULT_EXCEPTION, RESULT_CANCELLED };

  if (r->kind == REPLY_CANCELLED)
    return RESULT_CANCELLED;
  if (r->kind == REPLY_LOST)
    return RESULT_RETRY;
  if (r->kind != REPLY_OK)
    return RESULT_EXCEPTION;
  if (state == 0)
    return wait ? RESULT_COUNT : RESULT_SUCCESS;
  return r->code < 0 ? RESULT_SKIPPED : of[r->code];
}

static void one(bool wait, int state, const struct reply *r, bool adopt)
{
  static const char *const names[] = { "ask", "wait" };
  struct site t;
  struct intent in;
  enum result want = expected(wait, state, r);

  open_site(&t, wait ? "trigger: {builders: a, wait: true}" : "trigger: a", "", "{}");
  snprintf(stepfix_case, sizeof stepfix_case, "trigger: %s, wait %d, reply %d, worst %d\n", names[state], wait, r->kind, r->code);
  if (adopt || state)
    assert_int_equal(step_init(&t.s, &t.p->builders[0].steps[0], &t.ctx, "trigger", names[state], "{}"), ERR_OK);
  step_enter(&t.s, &in);
  assert_int_equal(in.want, state ? WANT_OTHERS : WANT_ASK);
  intent_free(&in);
  step_got(&t.s, r, &in);
  if (want == RESULT_COUNT) {
    assert_int_equal(in.want, WANT_OTHERS);
    assert_string_equal(sm_name(&t.s.sm), "wait");
  } else {
    assert_int_equal(in.want, WANT_END);
    assert_int_equal(in.result, want);
    assert_int_equal(t.s.result, want);
  }
  intent_free(&in);
  pipeline_free(t.p);
  cases++;
}

static void every_outcome(void **state)
{
  (void)state;
  for (int wait = 0; wait < 2; wait++)
    for (int at = 0; at <= wait; at++)
      for (int kind = REPLY_OK; kind <= REPLY_REFUSED; kind++)
        for (int code = -1; code < RESULT_COUNT; code++)
          for (int adopt = 0; adopt < 2; adopt++) {
            struct reply r = { (enum reply_kind)kind, code, false, "-", "b: failure (r7)", "" };
            one(wait, at, &r, adopt);
          }
  print_message("%ld cases\n", cases);
}

/* ---- pipelines that are refused ---- */

static void refused(const char *step, const char *more, const char *says)
{
  char *text = xasprintf("builders:\n  top: {steps: [{%s}]}\n  a: {steps: [make]}\nschedulers:\n  c: {change: {}}\n  s: {triggered: {parameters: {n: {}}}, builders: a}\n%s", step, more);
  struct diags d;
  struct buf b;
  struct pipeline *p;

  diag_init(&d);
  buf_init(&b, BUF_NO_MAX);
  p = pipeline_parse("x", text, strlen(text), "p", &d);
  assert_null(p);
  diag_print(&d, &b);
  if (!strstr(buf_str(&b), says))
    fail_msg("%s: wanted \"%s\", got %s", step, says, buf_str(&b));
  buf_free(&b);
  diag_free(&d);
  free(text);
}

static void refusals(void **state)
{
  (void)state;
  refused("trigger: b", "", "there is no builder \"b\"");
  refused("trigger: top", "", "would trigger itself, for ever: \"top\" ▸ \"top\"");
  refused("trigger: {schedulers: c}", "", "scheduler \"c\" is set off by `change`");
  refused("trigger: {schedulers: sx}", "", "there is no scheduler \"sx\"");
  refused("trigger: {schedulers: s}", "", "scheduler \"s\" wants the parameter \"n\"");
  refused("trigger: {schedulers: s, with: {n: 1, m: 2}}", "", "scheduler \"s\" has no parameter \"m\"");
  refused("trigger: {schedulers: [s, s], with: {n: 1}}", "", "scheduler \"s\" stands twice");
  refused("trigger: {builders: [a, a]}", "", "builder \"a\" stands twice");
  refused("trigger: {wait: true}", "", "\"trigger\" wants builders or schedulers");
  refused("trigger: {builders: a, unimportant: a}", "", "the step does not wait, so no result counts for it");
  refused("trigger: {builders: a, wait: true, unimportant: top}", "", "\"top\" is none of the schedulers and builders that the step triggers");
  refused("trigger: a, run: make", "", "a trigger has no \"run\"");
  refused("trigger: a, secrets: {X: y}", "", "a trigger has no \"secrets\"");
  refused("trigger: {builders: a, with: {\"1x\": 2}}", "", "\"1x\" is no name of a property");
  refused("trigger: {builders: a, stamps: {core: main}}", "", "this is no revision: main");
  refused("trigger: {builders: a, stamps: {core: [x]}}", "", "\"core\" wants a text");
  refused("trigger: {builders: a, stamps: {core: tip}, revision: abcdef0}", "", "\"stamps\" can't stand beside \"revision\"");
  refused("trigger: {builders: [a, other/b], stamps: {core: tip}}", "", "\"stamps\" are of this project, and this is a builder of another one");
  refused("trigger: {builders: a, with: {x: [1]}}", "", "\"x\" wants a text, a number, true or false");
  refused("trigger: {builders: a, with: {x: \"${{ nothing }}\"}}", "", "nothing");
  refused("trigger: {schedulers: s, with: {n: 1}}", "  z: {after: s, builders: top}\n", "\"top\" ▸ \"s\" ▸ \"z\" ▸ \"top\"");
  refused("trigger: {builders: a}", "  z: {triggered: {}, priority: 3}\n", "\"priority\" can't stand beside \"triggered\"");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_asked_for), cmocka_unit_test(stamps_of_codebases), cmocka_unit_test(unimportant), cmocka_unit_test(own_revision_only), cmocka_unit_test(elsewhere), cmocka_unit_test(every_outcome), cmocka_unit_test(refusals),
  };

  stepfix_watch_aborts();
  return cmocka_run_group_tests_name("trigger", tests, NULL, NULL) ? 1 : 0;
}
