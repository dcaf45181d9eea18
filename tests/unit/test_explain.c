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
  x = explain_builder(pipeline_builder(p, builder));
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

static void test_all_places(void **state)
{
  (void)state;
  rows_are("defaults:\n"
           "  env: {A: 1, B: defaults, CC: no}\n"
           "  timeout: 1h\n"
           "  cwd: src\n"
           "  worker: {tags: old}\n"
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
           "      tags: [deb, \"${{ matrix.CC }}\"]\n"
           "    checkout: none\n"
           "    steps:\n"
           "      - use: t\n"
           "        with: {x: \"${{ matrix.CC }}\"}\n"
           "      - {name: last, run: make, if: branch == 'x', timeout: 2h}\n",
           "a[clang]",
           "- matrix.CC = clang | f:16 matrix\n"
           "- worker.tags = deb, clang | f:19 builder\n"
           "echo-x-branch run = [echo, clang, ${{ branch }}] | f:10 template \"t\", used at 22:14\n"
           "echo-x-branch cwd = clang/y | f:11 template \"t\", used at 22:14\n"
           "echo-x-branch timeout.total = 1h | f:3 defaults\n"
           "echo-x-branch timeout.idle = 1m | f:12 template \"t\", used at 22:14\n"
           "echo-x-branch env.A = clang 2 | f:17 builder\n"
           "echo-x-branch env.B = clang! | f:13 template \"t\", used at 22:14\n"
           "echo-x-branch env.CC = clang | f:16 matrix\n"
           "last run = make | f:24 step\n"
           "last if = branch == 'x' | f:24 step\n"
           "last cwd = src | f:4 defaults\n"
           "last timeout.total = 2h | f:24 step\n"
           "last timeout.idle = 20m | -:0 default\n"
           "last env.A = clang 2 | f:17 builder\n"
           "last env.B = defaults | f:2 defaults\n"
           "last env.CC = clang | f:16 matrix\n");
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_smallest), cmocka_unit_test(test_all_places) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
