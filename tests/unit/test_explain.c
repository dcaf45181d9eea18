/* What counts for a builder and where it comes from, line by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "master/conf/pipe_explain.h"

static char *rows_of(const char *text, const char *builder)
{
  struct pipeline *p;
  struct explain x;
  struct diags d;
  struct buf b;

  diag_init(&d);
  p = pipeline_parse("f", text, strlen(text), "libfoo", &d);
  assert_non_null(p);
  diag_free(&d);
  assert_non_null(pipeline_builder(p, builder));
  x = explain_builder(p, pipeline_builder(p, builder));
  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < x.n; i++)
    buf_addf(&b, "%s %s = %s | %s:%d %s\n", x.v[i].step ? x.v[i].step : "-", x.v[i].key, x.v[i].value, x.v[i].file ? x.v[i].file : "-", x.v[i].line, x.v[i].from);
  explain_free(&x);
  pipeline_free(p);
  return buf_take(&b);
}

static void rows_are(const char *text, const char *builder, const char *want)
{
  char *is = rows_of(text, builder);

  assert_string_equal(is, want);
  free(is);
}

static void test_smallest(void **state)
{
  (void)state;
  rows_are("steps:\n  - |\n\n    # comment\n    make\n", "libfoo",
           "checkout checkout = git | -:0 default\n"
           "checkout timeout.total = 0 | -:0 default\n"
           "checkout timeout.idle = 20m | -:0 default\n"
           "make run = # comment … | f:2 step\n"
           "make timeout.total = 0 | -:0 default\n"
           "make timeout.idle = 20m | -:0 default\n");
}

static void test_ends(void **state)
{
  (void)state;
  rows_are("builders:\n"
           "  b:\n"
           "    checkout: none\n"
           "    steps:\n"
           "      - run: x\n"
           "        always: true\n"
           "        on_failure: warn\n"
           "        exit: {2: warnings, 77: skipped}\n"
           "        retry: {times: 2, exit: [75, 76]}\n",
           "b",
           "x run = x | f:5 step\n"
           "x always = true | f:6 step\n"
           "x on_failure = warn | f:7 step\n"
           "x exit = {2: warnings, 77: skipped} | f:8 step\n"
           "x retry = {times: 2, exit: [75, 76]} | f:9 step\n"
           "x timeout.total = 0 | -:0 default\n"
           "x timeout.idle = 20m | -:0 default\n");
}

static void test_from_changed(void **state)
{
  (void)state;
  rows_are("builders:\n  a: {checkout: core, steps: [x]}\n  b: {checkout: [core, ui], needs: a, steps: [{trigger: c}]}\n  c: {steps: [x]}\nschedulers:\n"
           "  s: {change: {}, from: changed}\n  t: {change: {}, from: changed, until: a}\n  u: {change: {}, builders: b}\n", "b",
           "- needs = a | f:3 builder\n"
           "- from = changed, for scheduler s: core, ui | f:6 scheduler\n"
           "checkout-core checkout = core, to core | -:0 default\n"
           "checkout-core timeout.total = 0 | -:0 default\n"
           "checkout-core timeout.idle = 20m | -:0 default\n"
           "checkout-ui checkout = ui, to ui | -:0 default\n"
           "checkout-ui timeout.total = 0 | -:0 default\n"
           "checkout-ui timeout.idle = 20m | -:0 default\n"
           "trigger trigger = c | f:3 step\n"
           "trigger wait = false | f:3 step\n");
}

static void test_all_places(void **state)
{
  (void)state;
  rows_are("defaults:\n"
           "  env: {A: 1, B: defaults, CC: no}\n"
           "  timeout: 1h\n"
           "  cwd: src\n"
           "  worker: {tags: old, os: Linux, memory: 8G}\n"
           "templates:\n"
           "  t:\n"
           "    parameters: {x: {type: string}}\n"
           "    steps:\n"
           "      - run: [echo, \"${{ x }}\", \"${{ branch }}\"]\n"
           "        cwd: \"${{ x }}/y\"\n"
           "        timeout: {idle: 1m}\n"
           "        env: {B: \"${{ x + '!' }}\"}\n"
           "builders:\n"
           "  a:\n"
           "    matrix: {CC: [gcc, clang]}\n"
           "    env: {A: \"${{ matrix.CC }} 2\"}\n"
           "    worker:\n"
           "      {tags: [deb, \"${{ matrix.CC }}\"], arch: [amd64, arm64], if: cores > 2}\n"
           "    checkout: none\n"
           "    steps:\n"
           "      - use: t\n"
           "        with: {x: \"${{ matrix.CC }}\"}\n"
           "      - {name: last, run: make, if: branch == 'x', timeout: 2h, stdin: [a, {secret: s}], pty: 100x40}\n",
           "a[clang]",
           "- matrix.CC = clang | f:16 matrix\n"
           "- worker.tags = deb, clang | f:19 builder\n"
           "- worker.os = linux | f:5 defaults\n"
           "- worker.arch = x86_64, arm64 | f:19 builder\n"
           "- worker.memory = 8 GiB | f:5 defaults\n"
           "- worker.if = cores > 2 | f:19 builder\n"
           "echo-x-branch run = [echo, clang, ${{ branch }}] | f:10 template \"t\", used at 22:14\n"
           "echo-x-branch cwd = clang/y | f:11 template \"t\", used at 22:14\n"
           "echo-x-branch timeout.total = 1h | f:3 defaults\n"
           "echo-x-branch timeout.idle = 1m | f:12 template \"t\", used at 22:14\n"
           "echo-x-branch env.A = clang 2 | f:17 builder\n"
           "echo-x-branch env.B = clang! | f:13 template \"t\", used at 22:14\n"
           "echo-x-branch env.CC = clang | f:16 matrix\n"
           "last run = make | f:24 step\n"
           "last if = branch == 'x' | f:24 step\n"
           "last stdin = [a, {secret: s}] | f:24 step\n"
           "last pty = 100x40 | f:24 step\n"
           "last cwd = src | f:4 defaults\n"
           "last timeout.total = 2h | f:24 step\n"
           "last timeout.idle = 20m | -:0 default\n"
           "last env.A = clang 2 | f:17 builder\n"
           "last env.B = defaults | f:2 defaults\n"
           "last env.CC = clang | f:16 matrix\n");
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_smallest), cmocka_unit_test(test_from_changed), cmocka_unit_test(test_all_places), cmocka_unit_test(test_ends) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
