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

/* Each part of it by itself, from the nearest that says it; a checkout has it too. */
static void test_output(void **state)
{
  struct pipeline *p = must_parse("defaults: {output: {lines: 5000}}\n"
                                  "builders:\n"
                                  "  one: {output: 8M, steps: [make, {run: x, output: {bytes: 64K}}, {run: y, output: {bytes: 1G, lines: 100}}]}\n"
                                  "  two: {steps: [make]}\n");
  const struct pipe_step *one = pipeline_builder(p, "one")->steps, *two = pipeline_builder(p, "two")->steps;
  struct output_limit site = { INT64_C(1) << 30, 0 }, none = { 0, 0 }, low;

  (void)state;
  assert_true(one[0].kind == PIPE_CHECKOUT && one[0].output.bytes == 8 << 20 && one[0].output.lines == 5000);
  assert_true(one[1].output.bytes == 8 << 20 && one[1].output.lines == 5000);
  assert_true(one[2].output.bytes == 64 << 10 && one[2].output.lines == 5000);
  assert_true(one[3].output.bytes == 1 << 30 && one[3].output.lines == 100);
  assert_true(two[1].output.bytes == 0 && two[1].output.lines == 5000);
  low = output_lower(site, two[1].output);
  assert_true(low.bytes == 1 << 30 && low.lines == 5000);
  low = output_lower(one[2].output, site);
  assert_true(low.bytes == 64 << 10 && low.lines == 5000);
  low = output_lower((struct output_limit){ 100, 200 }, (struct output_limit){ 200, 100 });
  assert_true(low.bytes == 100 && low.lines == 100);
  low = output_lower(none, none);
  assert_true(!low.bytes && !low.lines);
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

static void expect_checkout(const struct pipe_step *s, const char *name, const char *codebase, const char *to)
{
  assert_int_equal(s->kind, PIPE_CHECKOUT);
  assert_string_equal(s->name, name);
  assert_true(codebase ? s->checkout.codebase && !strcmp(s->checkout.codebase, codebase) : !s->checkout.codebase);
  assert_true(to ? s->checkout.to && !strcmp(s->checkout.to, to) : !s->checkout.to);
}

static void test_codebases(void **state)
{
  struct pipeline *p = must_parse("builders:\n"
                                  "  one: {checkout: core, steps: [make]}\n"
                                  "  list: {checkout: [core, server, ui], steps: [make]}\n"
                                  "  within: {checkout: [{core: {to: ./firmware//lib/core/}}, {firmware: {submodules: true}}, {ui: }], steps: [make]}\n"
                                  "  map: {checkout: {core: {to: src, depth: 1, clean: false}}, steps: [make]}\n"
                                  "  options: {checkout: {depth: 3, to: .}, steps: [make]}\n"
                                  "  later: {checkout: [core, ui], steps: [make, checkout, {checkout: {docs: {to: docs}}, if: branch == \"main\"}]}\n"
                                  "  axis: {matrix: {A: [x, y]}, checkout: {to: \"src-${{ matrix.A }}\"}, steps: [make]}\n"
                                  "  plain: {steps: [make]}\n"
                                  "  none: {checkout: none, steps: [make]}\n");
  const struct pipe_builder *b = p->builders;

  (void)state;
  assert_int_equal(b[0].nsteps, 2);
  expect_checkout(&b[0].steps[0], "checkout", "core", NULL);
  assert_string_equal(b[0].steps[0].checkout.layout, ". of core");
  assert_int_equal(b[1].nsteps, 4);
  expect_checkout(&b[1].steps[0], "checkout-core", "core", "core");
  expect_checkout(&b[1].steps[1], "checkout-server", "server", "server");
  expect_checkout(&b[1].steps[2], "checkout-ui", "ui", "ui");
  assert_string_equal(b[1].steps[0].checkout.layout, "core of core\nserver of server\nui of ui");
  assert_null(b[1].steps[1].checkout.layout);
  assert_null(b[1].steps[0].checkout.inside);
  assert_int_equal(b[1].ncodebases, 3);
  assert_string_equal(b[1].codebases[2], "ui");
  /* parents first */
  expect_checkout(&b[2].steps[0], "checkout-firmware", "firmware", "firmware");
  expect_checkout(&b[2].steps[1], "checkout-ui", "ui", "ui");
  expect_checkout(&b[2].steps[2], "checkout-core", "core", "firmware/lib/core");
  assert_string_equal(b[2].steps[0].checkout.inside[0], "lib/core");
  assert_null(b[2].steps[0].checkout.inside[1]);
  assert_null(b[2].steps[1].checkout.inside);
  assert_true(b[2].steps[0].checkout.submodules && !b[2].steps[2].checkout.submodules);
  assert_string_equal(b[2].steps[0].checkout.layout, "firmware of firmware with submodules\nui of ui\nfirmware/lib/core of core");
  expect_checkout(&b[3].steps[0], "checkout", "core", "src");
  assert_true(b[3].steps[0].checkout.keep && b[3].steps[0].checkout.depth == 1);
  expect_checkout(&b[4].steps[0], "checkout", NULL, NULL);
  assert_true(b[4].steps[0].checkout.depth == 3 && !b[4].steps[0].checkout.keep);
  assert_string_equal(b[4].steps[0].checkout.layout, ". short");
  assert_int_equal(b[5].nsteps, 4);
  assert_int_equal(b[5].steps[0].kind, PIPE_RUN);
  expect_checkout(&b[5].steps[1], "checkout-core", "core", "core");
  expect_checkout(&b[5].steps[2], "checkout-ui", "ui", "ui");
  expect_checkout(&b[5].steps[3], "checkout", "docs", "docs");
  assert_non_null(b[5].steps[3].cond);
  assert_null(b[5].steps[1].cond);
  pipeline_free(p);
  p = must_parse("builders:\n"
                 "  both: {checkout: core, steps: [make, {checkout: {ui: {to: ui}}}]}\n"
                 "  axis: {matrix: {A: [x, y]}, checkout: {to: \"src-${{ matrix.A }}\"}, steps: [make]}\n"
                 "  plain: {steps: [make]}\n"
                 "  none: {checkout: none, steps: [make]}\n");
  b = p->builders;
  expect_checkout(&b[0].steps[0], "checkout", "core", NULL);
  expect_checkout(&b[0].steps[2], "checkout-2", "ui", "ui");
  assert_string_equal(b[0].steps[0].checkout.inside[0], "ui");
  expect_checkout(&b[1].steps[0], "checkout", NULL, "src-x");
  expect_checkout(&b[2].steps[0], "checkout", NULL, "src-y");
  assert_string_equal(b[3].steps[0].checkout.layout, "");
  assert_int_equal(b[3].ncodebases, 1);
  assert_string_equal(b[3].codebases[0], "");
  assert_int_equal(b[4].ncodebases, 0);
  pipeline_free(p);
}

/* What a file alone can't know: told when it is bound to its project. */
static void test_unknown_codebases(void **state)
{
  static const char text[] = "builders:\n"
                             "  a: {checkout: [core, {servr: {to: x}}], steps: [{run: [a, \"x ${{ stamps.uj.revision }}\"]}]}\n"
                             "  b:\n    checkout: core\n    steps:\n      - {run: a, if: 'stamps.core.branch == stamps[\"x-y\"].branch'}\n";
  static const char *const names[] = { "core", "server", "ui" }, *const one[] = { "" };
  struct pipeline *p = must_parse(text);
  struct diags d;
  struct buf b;

  (void)state;
  diag_init(&d);
  pipeline_check_codebases(p, NULL, 0, &d);
  assert_int_equal(diag_count(&d), 0);
  pipeline_check_codebases(p, names, COUNT(names), &d);
  diag_sort(&d);
  buf_init(&b, BUF_NO_MAX);
  diag_print(&d, &b);
  assert_string_equal(buf_str(&b), PIPELINE_FILE ":2:25: the project has no codebase \"servr\" (did you mean \"server\"?)\n"
                                   "  a: {checkout: [core, {servr: {to: x}}], steps: [{run: [a, \"x ${{ stamps.uj.revision }}\"]}]}\n"
                                   "                        ^\n"
                                   PIPELINE_FILE ":2:68: the project has no codebase \"uj\" (did you mean \"ui\"?)\n"
                                   "  a: {checkout: [core, {servr: {to: x}}], steps: [{run: [a, \"x ${{ stamps.uj.revision }}\"]}]}\n"
                                   "                                                                   ^\n"
                                   PIPELINE_FILE ":6:22: the project has no codebase \"x-y\"\n"
                                   "  - {run: a, if: 'stamps.core.branch == stamps[\"x-y\"].branch'}\n"
                                   "                 ^\n");
  buf_free(&b);
  diag_free(&d);
  diag_init(&d);
  pipeline_check_codebases(p, one, 1, &d);
  assert_int_equal(diag_count(&d), 6);
  assert_string_equal(d.v[0].message, "the project has one repository, and no codebase \"uj\"");
  diag_free(&d);
  pipeline_free(p);
}

static void test_checkouts_refused(void **state)
{
  static const struct { const char *text, *printed; } rows[] = {
    { "builders: {b: {checkout: core, steps: [a, {checkout: {ui: {to: ui}}}, checkout]}}\n",
      ":1:26: this is checked out into \".\", in which there is \"ui\" already, of line 1 (put it first: a checkout leaves alone only what comes after it)\n"
      "  builders: {b: {checkout: core, steps: [a, {checkout: {ui: {to: ui}}}, checkout]}}\n                           ^\n" },
    { "builders: {b: {checkout: [core, {core: {to: x}}], steps: [a]}}\n",
      ":1:34: a second checkout of \"core\", the first is in line 1\n  builders: {b: {checkout: [core, {core: {to: x}}], steps: [a]}}\n                                   ^\n" },
    { "builders: {b: {checkout: [core, {ui: {to: ./core}}], steps: [a]}}\n",
      ":1:34: two codebases are checked out into \"core\", the first in line 1 (give one of them another folder: {CODEBASE: {to: FOLDER}})\n"
      "  builders: {b: {checkout: [core, {ui: {to: ./core}}], steps: [a]}}\n                                   ^\n" },
    { "builders: {b: {checkout: {to: .git/x}, steps: [a]}}\n",
      ":1:31: nothing is checked out into .git\n  builders: {b: {checkout: {to: .git/x}, steps: [a]}}\n                                ^\n" },
    { "builders: {b: {checkout: {dept: 1}, steps: [a]}}\n",
      ":1:27: unknown key \"dept\" (did you mean \"depth\"?)\n  builders: {b: {checkout: {dept: 1}, steps: [a]}}\n                            ^\n" },
    { "builders: {b: {checkout: {core: {depth: 0}}, steps: [a]}}\n",
      ":1:41: \"depth\" wants a whole number from 1 to 1000000, got \"0\"\n  builders: {b: {checkout: {core: {depth: 0}}, steps: [a]}}\n                                          ^\n" },
    { "builders: {b: {checkout: [{depth: 1}], steps: [a]}}\n",
      ":1:27: in a list each of \"checkout\" is a codebase, with options or without (checkout: [{core: {to: lib/core}}, ui])\n"
      "  builders: {b: {checkout: [{depth: 1}], steps: [a]}}\n                            ^\n" },
    { "builders: {b: {checkout: [], steps: [a]}}\n",
      ":1:26: \"checkout\" wants \"git\" or \"none\" or a name or a map or list of codebases, got an empty list\n  builders: {b: {checkout: [], steps: [a]}}\n                           ^\n" },
    { "steps: [{checkout: none}]\n",
      ":1:20: \"checkout\" wants \"git\" or a name or a map or list of codebases, got \"none\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
      "  steps: [{checkout: none}]\n                     ^\n" },
    { "builders: {b: {checkout: core, steps: [a, {checkout: [ui, docs], name: x}]}}\n",
      ":1:72: a checkout of several codebases has no name of its own (leave it out: each of them is a step, called checkout-CODEBASE)\n"
      "  builders: {b: {checkout: core, steps: [a, {checkout: [ui, docs], name: x}]}}\n                                                                         ^\n" },
    { "steps: [{run: a, if: stamps.core.revison == \"x\"}]\n",
      ":1:22: there is no \"stamps.core.revison\" here\n  steps: [{run: a, if: stamps.core.revison == \"x\"}]\n                       ^\n" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++)
    expect_refused(rows[i].text, rows[i].printed);
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
  assert_string_equal(s[0].only_if_text, "changed");
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
    char *wants = schema_view_wants(&v), *line = xasprintf("- **`%s`**: %s", v.key, wants);
    assert_non_null(strstr(buf_str(&b), line));
    free(line);
    free(wants);
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
    cmocka_unit_test(test_smallest), cmocka_unit_test(test_inheritance), cmocka_unit_test(test_output), cmocka_unit_test(test_checkout), cmocka_unit_test(test_codebases), cmocka_unit_test(test_unknown_codebases), cmocka_unit_test(test_checkouts_refused), cmocka_unit_test(test_names),
    cmocka_unit_test(test_schedulers), cmocka_unit_test(test_filters), cmocka_unit_test(test_timed_schedulers), cmocka_unit_test(test_parameters), cmocka_unit_test(test_anchors),
    cmocka_unit_test(test_script_may_look_like_an_expression), cmocka_unit_test(test_limits), cmocka_unit_test(test_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
