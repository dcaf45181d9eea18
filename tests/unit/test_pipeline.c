/* Pipelines: what a file becomes, and each message with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/conf/schema.h"
#include "tests/lib/pipefix.h"

static void test_smallest(void **state)
{
  struct pipeline *p = must_parse("steps:\n  - run: make -j\"$DROVER_CORES\"\n  - make check\n");
  const struct pipe_builder *b = p->builders;

  (void)state;
  assert_int_equal(p->nbuilders, 1);
  assert_string_equal(b->name, "libfoo");
  assert_int_equal(b->ntags, 0);
  assert_int_equal(b->nsteps, 3);
  assert_int_equal(b->steps[0].kind, PIPE_CHECKOUT);
  assert_string_equal(b->steps[0].name, "checkout");
  assert_int_equal(b->steps[1].kind, PIPE_RUN);
  assert_string_equal(b->steps[1].script, "make -j\"$DROVER_CORES\"");
  assert_string_equal(b->steps[1].name, "make-j-DROVER_CORES");
  assert_string_equal(b->steps[2].name, "make-check");
  assert_int_equal(b->steps[2].line, 3);
  assert_int_equal(b->steps[2].total_ms, 0);
  assert_int_equal(b->steps[2].idle_ms, 20 * 60000);
  assert_null(b->steps[2].cwd);
  assert_null(b->steps[2].argv);
  assert_int_equal(p->nschedulers, 1);
  assert_string_equal(p->schedulers[0].name, "commits");
  assert_int_equal(p->schedulers[0].nbranches, 0);
  assert_int_equal(p->schedulers[0].stable_ms, 0);
  assert_int_equal(p->schedulers[0].nbuilders, 1);
  assert_string_equal(p->schedulers[0].builders[0], "libfoo");
  pipeline_free(p);
}

static void test_inheritance(void **state)
{
  struct pipeline *p = must_parse(
    "defaults: {timeout: 30m, worker: {tags: [debian12]}, env: {A: 1, B: \"no\"}, cwd: src}\n"
    "builders:\n"
    "  one:\n"
    "    env: {B: 010, C: \"\"}\n"
    "    timeout: {idle: 0}\n"
    "    steps:\n"
    "      - make\n"
    "      - {run: [make, \"a b\", \"\"], timeout: 10m, env: {A: 1.10, D: true}, cwd: src/lib}\n"
    "      - {run: x, timeout: {idle: 5m, total: 0}}\n"
    "  two: {worker: {tags: [a, b]}, steps: [make]}\n"
    "  three: {worker: {tags: []}, steps: [make]}\n");
  const struct pipe_builder *one = pipeline_builder(p, "one"), *two = pipeline_builder(p, "two");

  (void)state;
  assert_null(pipeline_builder(p, "four"));
  assert_int_equal(one->ntags, 1);
  assert_string_equal(one->tags[0], "debian12");
  assert_int_equal(two->ntags, 2);
  assert_int_equal(pipeline_builder(p, "three")->ntags, 0);
  assert_string_equal(env_of(&one->steps[0], "B"), "010");
  assert_null(one->steps[0].cwd);
  assert_int_equal(one->steps[1].nenv, 3);
  assert_string_equal(one->steps[1].cwd, "src");
  assert_int_equal(one->steps[1].total_ms, 30 * 60000);
  assert_int_equal(one->steps[1].idle_ms, 0);
  assert_int_equal(one->steps[2].nenv, 4);
  assert_string_equal(env_of(&one->steps[2], "A"), "1.10");
  assert_string_equal(env_of(&one->steps[2], "B"), "010");
  assert_string_equal(env_of(&one->steps[2], "C"), "");
  assert_string_equal(env_of(&one->steps[2], "D"), "true");
  assert_string_equal(one->steps[2].argv[1], "a b");
  assert_string_equal(one->steps[2].argv[2], "");
  assert_null(one->steps[2].argv[3]);
  assert_null(one->steps[2].script);
  assert_string_equal(one->steps[2].cwd, "src/lib");
  assert_int_equal(one->steps[2].total_ms, 10 * 60000);
  assert_int_equal(one->steps[3].total_ms, 0);
  assert_int_equal(one->steps[3].idle_ms, 5 * 60000);
  assert_string_equal(env_of(&two->steps[1], "B"), "no");
  assert_int_equal(two->steps[1].idle_ms, 20 * 60000);
  assert_int_equal(p->schedulers[0].nbuilders, 3);
  pipeline_free(p);
}

static void test_checkout(void **state)
{
  struct pipeline *p = must_parse("builders:\n"
                                  "  none: {checkout: none, steps: [make]}\n"
                                  "  word: {checkout: git, steps: [make, checkout, make]}\n"
                                  "  map: {steps: [make, {checkout: {}, name: src, timeout: 5m}]}\n"
                                  "  null: {steps: [make, {checkout: }]}\n");
  const struct pipe_builder *b = p->builders;

  (void)state;
  assert_int_equal(b[0].nsteps, 1);
  assert_int_equal(b[0].steps[0].kind, PIPE_RUN);
  assert_int_equal(b[1].nsteps, 3);
  assert_int_equal(b[1].steps[0].kind, PIPE_RUN);
  assert_int_equal(b[1].steps[1].kind, PIPE_CHECKOUT);
  assert_null(b[1].steps[1].script);
  assert_string_equal(b[1].steps[2].name, "make-2");
  assert_int_equal(b[2].nsteps, 2);
  assert_string_equal(b[2].steps[1].name, "src");
  assert_int_equal(b[2].steps[1].total_ms, 5 * 60000);
  assert_int_equal(b[3].steps[1].kind, PIPE_CHECKOUT);
  pipeline_free(p);
}

static void test_names(void **state)
{
  static const char *const want[] = { "checkout", "make-check", "make-check-3", "make-check-2", "make-check-4",
                                      "configure-prefix-usr-local-with-a-very-l", "run", "run-2", "ctest-output-junit", "echo-caf-.x" };
  struct pipeline *p = must_parse("steps:\n"
                                  "  - make check\n"
                                  "  - make check\n"
                                  "  - {run: x, name: make-check-2}\n"
                                  "  - \"  make   check;\"\n"
                                  "  - |\n"
                                  "\n"
                                  "    # configure it\n"
                                  "    ./configure --prefix=/usr/local/with/a/very/long/name\n"
                                  "    make\n"
                                  "  - '\"$@\"; :'\n"
                                  "  - '#'\n"
                                  "  - {run: [ctest, --output-junit]}\n"
                                  "  - echo caf\xc3\xa9 .x!\n");

  (void)state;
  assert_int_equal(p->builders[0].nsteps, COUNT(want));
  for (size_t i = 0; i < COUNT(want); i++)
    assert_string_equal(p->builders[0].steps[i].name, want[i]);
  pipeline_free(p);
}

static void test_schedulers(void **state)
{
  struct pipeline *p = must_parse("builders: {a: {steps: [x]}, b: {steps: [x]}, c: {steps: [x]}}\n"
                                  "schedulers:\n"
                                  "  one: {change: {branches: [main, \"release/*\"]}, stable: 30s, builders: [c, a]}\n"
                                  "  two: {change: {branches: main}, builders: b}\n"
                                  "  three: {change: , builders: all}\n"
                                  "  four: {change: {}}\n");
  const struct pipe_scheduler *s = p->schedulers;

  (void)state;
  assert_int_equal(p->nschedulers, 4);
  assert_string_equal(s[0].name, "one");
  assert_int_equal(s[0].nbranches, 2);
  assert_string_equal(s[0].branches[1], "release/*");
  assert_int_equal(s[0].stable_ms, 30000);
  assert_int_equal(s[0].nbuilders, 2);
  assert_string_equal(s[0].builders[0], "c");
  assert_string_equal(s[0].builders[1], "a");
  assert_int_equal(s[1].nbranches, 1);
  assert_int_equal(s[1].nbuilders, 1);
  assert_int_equal(s[2].nbuilders, 3);
  assert_int_equal(s[2].nbranches, 0);
  assert_int_equal(s[3].nbuilders, 3);
  pipeline_free(p);
}

/* What a scheduler asks of a change. */
static void test_filters(void **state)
{
  static const char text[] = "steps: [make]\n"
                             "schedulers:\n"
                             "  plain: {change: {}}\n"
                             "  full: {change: {branches: [main, 'release/*'], only: ['src/**'], not_only: '*.md'}, if: branch == \"main\", skip: false, supersede: true, stable: 2m, priority: 90}\n"
                             "  tags: {tag: 'v*', priority: 0}\n"
                             "  review: {pull_request: {branches: main}, supersede: true}\n"
                             "  all: {pull_request: }\n";
  struct diags d;
  struct pipeline *p;
  const struct pipe_scheduler *s;

  (void)state;
  diag_init(&d);
  p = pipeline_parse(".drover.yml", text, sizeof text - 1, "libfoo", &d);
  assert_non_null(p);
  s = p->schedulers;
  assert_int_equal(p->nschedulers, 5);
  assert_true(s[0].trigger == PIPE_ON_CHANGE && s[0].skip && !s[0].supersede && !s[0].cond && s[0].priority == PIPELINE_PRIORITY && !s[0].nonly && !s[0].nnot_only);
  assert_true(s[1].trigger == PIPE_ON_CHANGE && !s[1].skip && s[1].supersede && s[1].cond && s[1].priority == 90 && s[1].stable_ms == 120000);
  assert_true(s[1].nbranches == 2 && s[1].nonly == 1 && s[1].nnot_only == 1);
  assert_string_equal(s[1].only[0], "src/**");
  assert_string_equal(s[1].not_only[0], "*.md");
  assert_string_equal(s[1].cond_text, "branch == \"main\"");
  assert_true(s[2].trigger == PIPE_ON_TAG && s[2].nbranches == 1 && s[2].priority == 0);
  assert_string_equal(s[2].branches[0], "v*");
  assert_true(s[3].trigger == PIPE_ON_PULL && s[3].nbranches == 1 && s[3].supersede);
  assert_true(s[4].trigger == PIPE_ON_PULL && s[4].nbranches == 0);
  pipeline_free(p);
  diag_free(&d);
}

static void test_timed_schedulers(void **state)
{
  struct pipeline *p = must_parse("steps: [a]\n"
                                  "schedulers:\n"
                                  "  one: {cron: \"30 2 * * Mon-Fri\", zone: Europe/Berlin, missed: all, only_if: changed, branch: stable/2}\n"
                                  "  two: {every: 4h, missed: skip}\n"
                                  "  three: {force: }\n"
                                  "  four: {force: {parameters: {version: {match: '^\\d+[.]\\d+$'}, n: {type: integer, default: 3}, how: {type: choice, choices: [a, b]}, note: {default: \"\"}}}}\n");
  const struct pipe_scheduler *s = p->schedulers;

  (void)state;
  assert_int_equal(s[0].trigger, PIPE_ON_CRON);
  assert_int_equal(s[0].cron.minutes, UINT64_C(1) << 30);
  assert_string_equal(s[0].zone, "Europe/Berlin");
  assert_int_equal(s[0].missed, PIPE_MISSED_ALL);
  assert_true(s[0].only_if_changed);
  assert_string_equal(s[0].branch, "stable/2");
  assert_int_equal(s[1].trigger, PIPE_ON_EVERY);
  assert_int_equal(s[1].every_ms, 4 * 3600 * 1000);
  assert_int_equal(s[1].missed, PIPE_MISSED_SKIP);
  assert_null(s[1].branch);
  assert_int_equal(s[2].trigger, PIPE_ON_FORCE);
  assert_int_equal(s[2].nparams, 0);
  assert_int_equal(s[3].nparams, 4);
  assert_string_equal(s[3].params[0].name, "version");
  assert_null(s[3].params[0].fallback);
  assert_int_equal(s[3].params[1].type, PARAM_INTEGER);
  assert_string_equal(s[3].params[1].fallback, "3");
  assert_int_equal(s[3].params[2].nchoices, 2);
  assert_string_equal(s[3].params[3].fallback, "");
  pipeline_free(p);
}

/* A value, its JSON; or what is said about it. */
static void test_parameters(void **state)
{
  static char *words[] = { "debug", "release" };
  static const struct { struct param p; const char *text, *json, *why; } table[] = {
    { { "v", PARAM_STRING, NULL, NULL, 0, NULL }, "a \"b\" \\", "\"a \\\"b\\\" \\\\\"", NULL },
    { { "v", PARAM_STRING, NULL, NULL, 0, NULL }, "a\nb", NULL, "parameter \"v\" is one line of text; one of type text may have several" },
    { { "v", PARAM_TEXT, NULL, NULL, 0, NULL }, "a\nb", "\"a\\u000ab\"", NULL },
    { { "v", PARAM_STRING, "^\\d+\\.\\d+$", NULL, 0, NULL }, "1.2", "\"1.2\"", NULL },
    { { "v", PARAM_STRING, "^\\d+\\.\\d+$", NULL, 0, NULL }, "1x2", NULL, "parameter \"v\" must match ^\\d+\\.\\d+$, and \"1x2\" does not" },
    { { "v", PARAM_STRING, "^[]\\d]*$", NULL, 0, NULL }, "]", NULL, "parameter \"v\" must match ^[]\\d]*$, and \"]\" does not" }, /* refused where the pipeline is read */
    { { "v", PARAM_INTEGER, NULL, NULL, 0, NULL }, "-12", "-12", NULL },
    { { "v", PARAM_INTEGER, NULL, NULL, 0, NULL }, "1.5", NULL, "parameter \"v\" is a whole number of at most 15 digits, not \"1.5\"" },
    { { "v", PARAM_INTEGER, NULL, NULL, 0, NULL }, "", NULL, "parameter \"v\" is a whole number of at most 15 digits, not \"\"" },
    { { "v", PARAM_INTEGER, NULL, NULL, 0, NULL }, "012", NULL, "parameter \"v\" is a whole number of at most 15 digits, not \"012\"" },
    { { "v", PARAM_INTEGER, NULL, NULL, 0, NULL }, "1234567890123456", NULL, "parameter \"v\" is a whole number of at most 15 digits, not \"1234567890123456\"" },
    { { "v", PARAM_NUMBER, NULL, NULL, 0, NULL }, "-0.25", "-0.25", NULL },
    { { "v", PARAM_NUMBER, NULL, NULL, 0, NULL }, "1e5", NULL, "parameter \"v\" is a number of at most 15 digits, not \"1e5\"" },
    { { "v", PARAM_NUMBER, NULL, NULL, 0, NULL }, "1.", NULL, "parameter \"v\" is a number of at most 15 digits, not \"1.\"" },
    { { "v", PARAM_BOOLEAN, NULL, NULL, 0, NULL }, "true", "true", NULL },
    { { "v", PARAM_BOOLEAN, NULL, NULL, 0, NULL }, "yes", NULL, "parameter \"v\" is true or false, not \"yes\"" },
    { { "v", PARAM_CHOICE, NULL, words, 2, NULL }, "release", "\"release\"", NULL },
    { { "v", PARAM_CHOICE, NULL, words, 2, NULL }, "Release", NULL, "parameter \"v\" is one of debug and release, not \"Release\"" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(table); i++) {
    struct buf json, why;
    buf_init(&json, BUF_NO_MAX);
    buf_init(&why, BUF_NO_MAX);
    assert_int_equal(param_read(&table[i].p, table[i].text, &json, &why), !table[i].why);
    assert_string_equal(buf_str(&json), table[i].json ? table[i].json : "");
    assert_string_equal(buf_str(&why), table[i].why ? table[i].why : "");
    buf_free(&json);
    buf_free(&why);
  }
}

static void test_anchors(void **state)
{
  struct pipeline *p = must_parse("builders:\n"
                                  "  gcc: &b {env: {CC: gcc}, steps: &s [make, make check]}\n"
                                  "  clang: {<<: *b, env: {CC: clang}}\n"
                                  "  asan: {steps: *s, env: {CC: gcc, CFLAGS: -fsanitize=address}}\n");

  (void)state;
  assert_int_equal(p->nbuilders, 3);
  assert_string_equal(env_of(&p->builders[1].steps[1], "CC"), "clang");
  assert_string_equal(p->builders[1].steps[2].script, "make check");
  assert_string_equal(p->builders[2].steps[2].name, "make-check");
  pipeline_free(p);
}

/* --- messages --- */

static const struct { const char *text, *printed; } refusals[] = {
  /* keys */
  { "stepz: [a]\n", ":1:1: unknown key \"stepz\" (did you mean \"steps\"?)\n  stepz: [a]\n  ^\n" },
  { "steps:\n  - {run: a, tiemout: 1m}\n",
    ":2:14: unknown key \"tiemout\" (did you mean \"timeout\"?)\n  - {run: a, tiemout: 1m}\n             ^\n" },
  { "steps: [a]\ntimeout: 1h\n", ":2:1: unknown key \"timeout\" (it is a key of `defaults`)\n  timeout: 1h\n  ^\n" },
  { "steps: [a]\nworkers: {}\n", ":2:1: unknown key \"workers\" (it is a key of the site's configuration)\n  workers: {}\n  ^\n" },
  { "steps: [a]\nxyzzy: 1\n", ":2:1: unknown key \"xyzzy\"\n  xyzzy: 1\n  ^\n" },
  { "steps: [a]\nneeds: b\n", ":2:1: unknown key \"needs\" (it is a key of a builder)\n  needs: b\n  ^\n" },
  { "steps: [a]\nmatrix: {CC: [gcc]}\n", ":2:1: unknown key \"matrix\" (it is a key of a builder)\n  matrix: {CC: [gcc]}\n  ^\n" },
  { "steps: [a]\ncron: H\n", ":2:1: unknown key \"cron\" (it is a key of a scheduler)\n  cron: H\n  ^\n" },
  /* the whole */
  { "", ":1:1: there are no \"steps\" and no \"builders\" (the smallest pipeline is one line: steps: [make])\n" },
  { "- make\n", ":1:1: a pipeline is a map, got a list\n  - make\n  ^\n" },
  { "make\n", ":1:1: a pipeline is a map, got \"make\"\n  make\n  ^\n" },
  { "defaults: {}\n", ":1:1: there are no \"steps\" and no \"builders\" (the smallest pipeline is one line: steps: [make])\n"
                      "  defaults: {}\n  ^\n" },
  { "builders: {a: {steps: [a]}}\nsteps: [b]\n",
    ":2:1: there are both \"steps\" and \"builders\" (move them into a builder)\n  steps: [b]\n  ^\n" },
  /* types */
  { "steps: a\n", ":1:8: \"steps\" wants a list of steps, got \"a\"\n  steps: a\n         ^\n" },
  { "steps: {run: a}\n", ":1:8: \"steps\" wants a list of steps, got a map\n  steps: {run: a}\n         ^\n" },
  { "steps:\n", ":1:7: \"steps\" wants a list of steps, got nothing\n  steps:\n        ^\n" },
  { "steps: []\n", ":1:8: \"steps\" has no step\n  steps: []\n         ^\n" },
  { "steps: [[a]]\n", ":1:9: \"steps\" wants a script or a map, got a list\n  steps: [[a]]\n          ^\n" },
  { "steps: [{run: }]\n", ":1:15: \"run\" wants a script or a list of strings, got nothing\n  steps: [{run: }]\n                ^\n" },
  { "steps: [{run: {a: b}}]\n", ":1:15: \"run\" wants a script or a list of strings, got a map\n  steps: [{run: {a: b}}]\n                ^\n" },
  { "steps: [{run: []}]\n", ":1:15: \"run\" wants a script or a list of strings, got an empty list\n  steps: [{run: []}]\n                ^\n" },
  { "steps: [{run: [a, {}]}]\n", ":1:19: \"run\" wants a string, got an empty map\n  steps: [{run: [a, {}]}]\n                    ^\n" },
  { "steps: [{run: [\"\"]}]\n", ":1:16: \"run\" wants a string, got \"\"\n  steps: [{run: [\"\"]}]\n                 ^\n" },
  { "defaults: {worker: {tags: {a: b}}}\nsteps: [a]\n",
    ":1:27: \"tags\" wants a list of strings, got a map\n  defaults: {worker: {tags: {a: b}}}\n                            ^\n" },
  { "defaults: {worker: {tags: [a b]}}\nsteps: [a]\n",
    ":1:28: \"tags\" wants a name, got \"a b\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  defaults: {worker: {tags: [a b]}}\n                             ^\n" },
  { "defaults: 1\nsteps: [a]\n", ":1:11: \"defaults\" wants a map, got \"1\"\n  defaults: 1\n            ^\n" },
  { "steps: [{run: a, timeout: 30}]\n", ":1:27: \"timeout\" wants a duration from 0 to 365d or a map, got \"30\" (a number and ms, s, m, h or d: "
                                        "90s, 30m, 1h)\n  steps: [{run: a, timeout: 30}]\n                            ^\n" },
  { "steps: [{run: a, timeout: {total: 400d}}]\n",
    ":1:35: \"total\" wants a duration from 0 to 365d, got \"400d\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n"
    "  steps: [{run: a, timeout: {total: 400d}}]\n                                    ^\n" },
  { "steps: [{run: a, name: a/b}]\n",
    ":1:24: \"name\" wants a name, got \"a/b\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  steps: [{run: a, name: a/b}]\n                         ^\n" },
  { "steps: [{run: a, cwd: /tmp}]\n", ":1:23: \"cwd\" wants a folder below the checkout, got \"/tmp\" (a relative path without ..)\n"
                                      "  steps: [{run: a, cwd: /tmp}]\n                        ^\n" },
  { "steps: [{run: a, cwd: a/../..}]\n", ":1:23: \"cwd\" wants a folder below the checkout, got \"a/../..\" (a relative path without ..)\n"
                                         "  steps: [{run: a, cwd: a/../..}]\n                        ^\n" },
  { "builders: {a: {checkout: svn, steps: [a]}}\n",
    ":1:26: \"checkout\" wants \"git\" or \"none\", got \"svn\"\n  builders: {a: {checkout: svn, steps: [a]}}\n                           ^\n" },
  { "steps: [{checkout: none}]\n", ":1:20: \"checkout\" wants \"git\" or a map, got \"none\"\n  steps: [{checkout: none}]\n                     ^\n" },
  /* environment and expressions */
  { "steps: [{run: a, env: {DROVER_X: 1}}]\n",
    ":1:24: variables that start with DROVER_ are set by drover only\n  steps: [{run: a, env: {DROVER_X: 1}}]\n                         ^\n" },
  { "steps: [{run: a, env: {1A: x}}]\n", ":1:24: \"1A\" can't be the name of a variable (letters, digits and underscores, first no digit)\n"
                                         "  steps: [{run: a, env: {1A: x}}]\n                         ^\n" },
  { "steps: [{run: a, env: {A: }}]\n", ":1:27: \"A\" wants a string, got nothing (write \"\" for an empty one)\n"
                                       "  steps: [{run: a, env: {A: }}]\n                            ^\n" },
  { "steps: [{run: a, env: {A: [x]}}]\n", ":1:27: \"A\" wants a string, got a list\n  steps: [{run: a, env: {A: [x]}}]\n                            ^\n" },
  { "steps: [{run: a, env: [A=1]}]\n", ":1:23: \"env\" wants a map of variables, got a list\n  steps: [{run: a, env: [A=1]}]\n                        ^\n" },
  { "steps: [{run: a, env: {A: \"${{ brunch }}\"}}]\n",
    ":1:32: there is no \"brunch\" here (did you mean \"branch\"?)\n"
    "  steps: [{run: a, env: {A: \"${{ brunch }}\"}}]\n                                 ^\n" },
  { "steps: [{run: [a, \"x${{ 1 / }}\"]}]\n",
    ":1:29: the expression ends where a value should stand\n"
    "  steps: [{run: [a, \"x${{ 1 / }}\"]}]\n                              ^\n" },
  { "steps: [{run: a, name: \"${{ x }}\"}]\n",
    ":1:29: there is no \"x\" here\n  steps: [{run: a, name: \"${{ x }}\"}]\n                              ^\n" },
  { "steps: [{run: a, name: \"x-${{ branch }}\"}]\n",
    ":1:24: what \"branch\" is will be known when the build runs (here it can be made of `matrix` and of a template's parameters)\n"
    "  steps: [{run: a, name: \"x-${{ branch }}\"}]\n                         ^\n" },
  { "steps: [{run: a, timeout: \"${{ x }}\"}]\n",
    ":1:27: an expression, ${{ … }}, can't stand here (they may stand in `env` and in a `run` that is a list)\n"
    "  steps: [{run: a, timeout: \"${{ x }}\"}]\n                            ^\n" },
  { "steps:\n  - {run: a, if: branch}\n",
    ":2:18: a condition is true or false, and this is a text (compare it: ==, !=, in, <, >)\n"
    "  - {run: a, if: branch}\n                 ^\n" },
  { "steps:\n  - run: a\n    if: cores >= 4 and brnch == 'x'\n",
    ":3:24: there is no \"brnch\" here (did you mean \"branch\"?)\n"
    "  if: cores >= 4 and brnch == 'x'\n                     ^\n" },
  { "steps: [{run: a, if: }]\n",
    ":1:22: \"if\" wants a condition, got nothing\n"
    "  steps: [{run: a, if: }]\n                       ^\n" },
  /* steps and builders */
  { "steps: [{name: a}]\n", ":1:9: a step wants \"run\", \"checkout\" or \"use\"\n  steps: [{name: a}]\n          ^\n" },
  { "steps: [{run: a, checkout: {}}]\n", ":1:10: a checkout has no \"run\" (make it a step of its own)\n  steps: [{run: a, checkout: {}}]\n           ^\n" },
  { "steps: [{checkout: {}, env: {A: b}}]\n", ":1:24: a checkout has no \"env\"\n  steps: [{checkout: {}, env: {A: b}}]\n                         ^\n" },
  { "steps: [checkout, a, checkout]\n", ":1:22: a second checkout, the first is in line 1\n  steps: [checkout, a, checkout]\n                       ^\n" },
  { "builders: {a: {checkout: none, steps: [checkout]}}\n",
    ":1:40: the builder says `checkout: none`, but this step is one\n  builders: {a: {checkout: none, steps: [checkout]}}\n"
    "                                         ^\n" },
  { "steps: [{run: a, name: x}, {run: b, name: x}]\n",
    ":1:43: two steps of builder \"libfoo\" have the name \"x\"\n  steps: [{run: a, name: x}, {run: b, name: x}]\n"
    "                                            ^\n" },
  { "builders: {a: }\n", ":1:12: builder \"a\" has no \"steps\"\n  builders: {a: }\n             ^\n" },
  { "builders: {a: 1}\n", ":1:12: builder \"a\" has no \"steps\"\n  builders: {a: 1}\n             ^\n"
                          ":1:15: \"a\" wants a map, got \"1\"\n  builders: {a: 1}\n                ^\n" },
  { "builders: {all: {steps: [a]}}\n",
    ":1:12: a builder can't be called \"all\", which means all of them\n  builders: {all: {steps: [a]}}\n             ^\n" },
  { "builders: {a/b: {steps: [a]}}\n",
    ":1:12: \"builders\" wants a name, got \"a/b\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  builders: {a/b: {steps: [a]}}\n             ^\n" },
  /* schedulers */
  { "steps: [a]\nschedulers: {s: {builders: libfoo}}\n",
    ":2:14: nothing sets scheduler \"s\" off (for each new revision: change: {})\n  schedulers: {s: {builders: libfoo}}\n               ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , builders: libfo}}\n",
    ":2:38: there is no builder \"libfo\" (did you mean \"libfoo\"?)\n  schedulers: {s: {change: , builders: libfo}}\n"
    "                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , builders: [libfoo, libfoo]}}\n",
    ":2:47: builder \"libfoo\" stands twice\n  schedulers: {s: {change: , builders: [libfoo, libfoo]}}\n"
    "                                                ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , builders: []}}\n",
    ":2:38: the scheduler has no builder\n  schedulers: {s: {change: , builders: []}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {branches: [\"a b\"]}}}\n",
    ":2:38: \"branches\" wants a branch or pattern, got \"a b\" (letters, digits and . _ + @ / -, with * and ? in patterns)\n"
    "  schedulers: {s: {change: {branches: [\"a b\"]}}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: \"0 25 * * *\"}}\n",
    ":2:27: the hour is 0 to 23\n  schedulers: {n: {cron: \"0 25 * * *\"}}\n                            ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: '0 3 * * Foo'}}\n",
    ":2:33: here a weekday should stand: a number, a name of three letters, *, or H\n  schedulers: {n: {cron: '0 3 * * Foo'}}\n                                  ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: 0 3 * * 8, builders: all}}\n",
    ":2:32: the weekday is 0 to 7\n  schedulers: {n: {cron: 0 3 * * 8, builders: all}}\n                                 ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: 0 0 30 2 *}}\n",
    ":2:24: there is no such day in any year\n  schedulers: {n: {cron: 0 0 30 2 *}}\n                         ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: \"@daily\", zone: Europe/Nowhere}}\n",
    ":2:40: there is no time zone \"Europe/Nowhere\" (such as Europe/Berlin, America/New_York or UTC)\n  schedulers: {n: {cron: \"@daily\", zone: Europe/Nowhere}}\n                                         ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: }}\n",
    ":2:24: \"cron\" wants a string, got nothing\n  schedulers: {n: {cron: }}\n                         ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 4x}}\n",
    ":2:25: \"every\" wants a duration from 1s to 365d, got \"4x\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n  schedulers: {n: {every: 4x}}\n                          ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 0}}\n",
    ":2:25: \"every\" wants a duration from 1s to 365d, got \"0\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n  schedulers: {n: {every: 0}}\n                          ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 4h, zone: UTC}}\n",
    ":2:29: \"zone\" can't stand beside \"every\" (it is for schedulers with `cron`)\n  schedulers: {n: {every: 4h, zone: UTC}}\n                              ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 4h, stable: 3s}}\n",
    ":2:29: \"stable\" can't stand beside \"every\" (it is for schedulers with `change`)\n  schedulers: {n: {every: 4h, stable: 3s}}\n                              ^\n" },
  { "steps: [a]\nschedulers: {n: {change: {}, missed: once}}\n",
    ":2:30: \"missed\" can't stand beside \"change\" (it is for schedulers with `cron` or `every`)\n  schedulers: {n: {change: {}, missed: once}}\n                               ^\n" },
  { "steps: [a]\nschedulers: {n: {change: {}, branch: main}}\n",
    ":2:30: \"branch\" can't stand beside \"change\" (a change says itself which branch: change: {branches: …})\n  schedulers: {n: {change: {}, branch: main}}\n                               ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {}, only_if: changed}}\n",
    ":2:29: \"only_if\" can't stand beside \"force\" (it is for schedulers with `cron` or `every`)\n  schedulers: {n: {force: {}, only_if: changed}}\n                              ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: H H * * *, every: 3h}}\n",
    ":2:35: a scheduler has only one thing that sets it off (make a second scheduler of it)\n  schedulers: {n: {cron: H H * * *, every: 3h}}\n                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 3h, missed: twice}}\n",
    ":2:37: \"missed\" wants \"once\" or \"skip\" or \"all\", got \"twice\"\n  schedulers: {n: {every: 3h, missed: twice}}\n                                      ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 3h, only_if: green}}\n",
    ":2:38: \"only_if\" wants \"changed\", got \"green\"\n  schedulers: {n: {every: 3h, only_if: green}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {n: {force: , branch: \"release/*\"}}\n",
    ":2:35: \"branch\" wants one branch, not a pattern\n  schedulers: {n: {force: , branch: \"release/*\"}}\n                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: integer, match: a}}}}}\n",
    ":2:65: \"match\" makes no sense for type integer (it is for strings and texts)\n  schedulers: {n: {force: {parameters: {v: {type: integer, match: a}}}}}\n                                                                  ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: integer, default: x}}}}}\n",
    ":2:67: the default: parameter \"v\" is a whole number of at most 15 digits, not \"x\"\n  schedulers: {n: {force: {parameters: {v: {type: integer, default: x}}}}}\n                                                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: choice}}}}}\n",
    ":2:39: \"v\" is a choice without \"choices\" (choices: [debug, release])\n  schedulers: {n: {force: {parameters: {v: {type: choice}}}}}\n                                        ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: choice, choices: [a, b], default: c}}}}}\n",
    ":2:83: the default: parameter \"v\" is one of a and b, not \"c\"\n  schedulers: {n: {force: {parameters: {v: {type: choice, choices: [a, b], default: c}}}}}\n                                                                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {choices: [a]}}}}}\n",
    ":2:52: \"choices\" makes no sense for type string (it is for type choice)\n  schedulers: {n: {force: {parameters: {v: {choices: [a]}}}}}\n                                                     ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {match: \"a{3}\"}}}}}\n",
    ":2:50: a regular expression has no \\ and no { here ([[:digit:]], [.] and the like say the same)\n  schedulers: {n: {force: {parameters: {v: {match: \"a{3}\"}}}}}\n                                                   ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {match: \"(a\"}}}}}\n",
    ":2:50: the regular expression is not well-formed: Unmatched ( or \\(\n  schedulers: {n: {force: {parameters: {v: {match: \"(a\"}}}}}\n                                                   ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: bool}}}}}\n",
    ":2:49: \"type\" wants \"string\" or \"text\" or \"integer\" or \"number\" or \"boolean\" or \"choice\", got \"bool\"\n  schedulers: {n: {force: {parameters: {v: {type: bool}}}}}\n                                                  ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {match: '^\\d+[.]\\d+$', default: '1'}}}}}\n",
    ":2:74: the default: parameter \"v\" must match ^\\d+[.]\\d+$, and \"1\" does not\n  schedulers: {n: {force: {parameters: {v: {match: '^\\d+[.]\\d+$', default: '1'}}}}}\n                                                                           ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {branches: -x}}}\n",
    ":2:37: \"branches\" wants a branch or pattern, got \"-x\" (letters, digits and . _ + @ / -, with * and ? in patterns)\n"
    "  schedulers: {s: {change: {branches: -x}}}\n                                      ^\n" },
  { "steps: [a]\nschedulers: {s: {tag: v*, stable: 3s}}\n",
    ":2:27: \"stable\" can't stand beside \"tag\" (it is for schedulers with `change`)\n"
    "  schedulers: {s: {tag: v*, stable: 3s}}\n                            ^\n" },
  { "steps: [a]\nschedulers: {s: {tag: v*, supersede: true}}\n",
    ":2:27: \"supersede\" can't stand beside \"tag\" (it is for schedulers with `change` or `pull_request`)\n"
    "  schedulers: {s: {tag: v*, supersede: true}}\n                            ^\n" },
  { "steps: [a]\nschedulers: {s: {tag: []}}\n",
    ":2:23: no tag matches an empty list (for every tag: tag: \"**\")\n"
    "  schedulers: {s: {tag: []}}\n                        ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {only: /docs}}}\n",
    ":2:33: a pattern of files begins at the repository's top, without \"/\" (write it as git lists files: docs/**)\n"
    "  schedulers: {s: {change: {only: /docs}}}\n                                  ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {not_only: [docs/]}}}\n",
    ":2:38: a pattern of files can't end in \"/\" (all that is in a folder: docs/**)\n"
    "  schedulers: {s: {change: {not_only: [docs/]}}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {only: ./a}}}\n",
    ":2:33: a pattern of files begins at the repository's top, without \"./\" (write it as git lists files: docs/**)\n"
    "  schedulers: {s: {change: {only: ./a}}}\n                                  ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , if: brnch == \"x\"}}\n",
    ":2:32: there is no \"brnch\" here (did you mean \"branch\"?)\n"
    "  schedulers: {s: {change: , if: brnch == \"x\"}}\n                                 ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , if: branch}}\n",
    ":2:32: a condition is true or false, and this is a text (compare it: ==, !=, in, <, >)\n"
    "  schedulers: {s: {change: , if: branch}}\n                                 ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , tag: v1}}\n",
    ":2:28: a scheduler has only one thing that sets it off (make a second scheduler of it)\n"
    "  schedulers: {s: {change: , tag: v1}}\n                             ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , priority: 101}}\n",
    ":2:38: \"priority\" wants a whole number from 0 to 100, got \"101\"\n"
    "  schedulers: {s: {change: , priority: 101}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {pull_request: {forks: build}}}\n",
    ":2:33: unknown key \"forks\" (it is a key of a project of the site)\n"
    "  schedulers: {s: {pull_request: {forks: build}}}\n                                  ^\n" },
  { "steps: [a]\nschedulers: {s: {pull_request: , skip: maybe}}\n",
    ":2:40: \"skip\" wants true or false, got \"maybe\"\n"
    "  schedulers: {s: {pull_request: , skip: maybe}}\n                                         ^\n" },
};

static void test_messages(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(refusals); i++)
    expect_refused(refusals[i].text, refusals[i].printed);
}

static void test_all_at_once(void **state)
{
  (void)state;
  expect_refused("steps:\n  - {run: a, nam: x}\n  - {run: 1, cwd: /}\nschedulers:\n  s: {change: {}, builders: b}\nlocks: {}\n",
                 ":2:14: unknown key \"nam\" (did you mean \"name\"?)\n  - {run: a, nam: x}\n             ^\n"
                 ":3:19: \"cwd\" wants a folder below the checkout, got \"/\" (a relative path without ..)\n"
                 "  - {run: 1, cwd: /}\n                  ^\n"
                 ":5:29: there is no builder \"b\"\n  s: {change: {}, builders: b}\n                            ^\n"
                 ":6:1: \"locks\" is not supported by this version yet\n  locks: {}\n  ^\n");
}

static void test_script_may_look_like_an_expression(void **state)
{
  struct pipeline *p = must_parse("steps: ['echo ${{ x }}', {run: 'echo ${{ y }}'}]\n");

  (void)state;
  assert_string_equal(p->builders[0].steps[1].script, "echo ${{ x }}");
  pipeline_free(p);
}

#ifdef __SANITIZE_ADDRESS__
enum { QUICK_MS = 8000 };
#else
enum { QUICK_MS = 1000 };
#endif

/* Processor time, so that a busy machine fails no test. */
static int64_t cpu_ms(void)
{
  struct timespec t;

  assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
  return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static char *many(const char *before, const char *item, int n, const char *after)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, before);
  for (int i = 0; i < n; i++)
    buf_adds(&b, item);
  buf_adds(&b, after);
  return buf_take(&b);
}

static void expect_message(char *text, const char *message)
{
  struct diags d;
  int64_t start = cpu_ms();

  diag_init(&d);
  assert_null(pipeline_parse("f", text, strlen(text), "p", &d));
  assert_true(cpu_ms() - start < QUICK_MS);
  assert_string_equal(d.v[0].message, message);
  diag_free(&d);
  free(text);
}

static void test_limits(void **state)
{
  struct pipeline *p;
  struct buf b;
  char *text = many("steps:\n", "- make check\n", PIPELINE_STEPS_MAX - 1, "");

  (void)state;
  p = must_parse(text);
  assert_string_equal(p->builders[0].steps[PIPELINE_STEPS_MAX - 1].name, "make-check-4095");
  pipeline_free(p);
  free(text);
  expect_message(many("steps:\n", "- a\n", PIPELINE_STEPS_MAX, ""), "more than 4096 steps in all builders");
  expect_message(many("steps: [\"", "x", SCHEMA_SCRIPT_MAX + 1, "\"]"), "a script of more than 120 KiB");
  expect_message(many("steps: [{run: [", "x,", PIPELINE_ARGV_MAX + 1, "]}]"), "more than 1024 arguments or 512 KiB");
  expect_message(many("steps: [{run: a, env: {A: \"", "x", SCHEMA_ENV_VALUE_MAX + 1, "\"}}]"), "longer than 32 KiB");
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "defaults: {env: {");
  for (int i = 0; i < PIPELINE_ENV_MAX; i++)
    buf_addf(&b, "V%d: x,", i);
  buf_adds(&b, "}}\nsteps: [a, {run: b, env: {W: y}}]\n");
  expect_message(buf_take(&b), "more than 256 variables or 256 KiB, those inherited counted");
}

/* What the values have in common with the reference. */
static void test_table(void **state)
{
  struct schema_view v = { 0 };
  size_t at = 0;
  int n = 0;
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  schema_reference(&b);
  while (schema_keys(&at, &v)) {
    char *line = xasprintf("- **`%s`**: %s", v.key, v.wants);
    assert_non_null(strstr(buf_str(&b), line));
    free(line);
    assert_non_null(v.doc);
    assert_int_equal(v.doc[strlen(v.doc) - 1], '.');
    assert_non_null(v.example);
    assert_true(str_starts(v.example, v.key));
    assert_true(v.site || v.repository);
    n++;
  }
  assert_true(n > 40);
  assert_int_equal(schema_ms(NULL, SCHEMA_PROJECT, "poll"), 60000);
  assert_int_equal(schema_int(NULL, SCHEMA_SITE, "helpers"), 4);
  assert_false(schema_bool(NULL, SCHEMA_SITE, "allow_local"));
  assert_null(schema_text(NULL, SCHEMA_SITE, "database"));
  buf_free(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_smallest), cmocka_unit_test(test_inheritance), cmocka_unit_test(test_checkout), cmocka_unit_test(test_names),
    cmocka_unit_test(test_schedulers), cmocka_unit_test(test_filters), cmocka_unit_test(test_timed_schedulers), cmocka_unit_test(test_parameters), cmocka_unit_test(test_anchors), cmocka_unit_test(test_messages), cmocka_unit_test(test_all_at_once),
    cmocka_unit_test(test_script_may_look_like_an_expression), cmocka_unit_test(test_limits), cmocka_unit_test(test_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
