/* The command line's words: ids of every kind, paths made of them, flags, and what was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "master/cli/args.h"
#include "master/cli/ids.h"

static void ids(void **state)
{
  static const struct { const char *s; enum id_kind kind; const char *project, *builder, *number, *step; } good[] = {
    { "libfoo/linux/42", ID_BUILD, "libfoo", "linux", "42", "" },
    { "linux/42", ID_BUILD, "", "linux", "42", "" },
    { "linux/last", ID_BUILD, "", "linux", "last", "" },
    { "libfoo/linux/42:test", ID_STEP, "libfoo", "linux", "42", "test" },
    { "linux[gcc]/last:make check", ID_STEP, "", "linux[gcc]", "last", "make check" },
    { "linux/1:a:b", ID_STEP, "", "linux", "1", "a:b" },
    { "libfoo/linux", ID_BUILDER, "libfoo", "linux", "", "" },
    { "r118", ID_REQUEST, "", "", "", "" },
    { "s77", ID_BUILDSET, "", "", "", "" },
    { "c991", ID_CHANGE, "", "", "", "" },
    { "build1", ID_NAME, "", "", "", "" },
    { "r2d2", ID_NAME, "", "", "", "" },
    { "r", ID_NAME, "", "", "", "" },
    { "x118", ID_NAME, "", "", "", "" },
  };
  static const char *const bad[] = { "", "/", "a/", "/1", "a//1", "a/b/c", "a/b/c/1", "a/b/1/", "a/1:", "a/b:c" };
  struct cli_id id;
  char big[ID_PART_MAX + 1];

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++) {
    assert_true(id_parse(good[i].s, &id));
    assert_int_equal(id.kind, good[i].kind);
    assert_string_equal(id.project, good[i].project);
    assert_string_equal(id.builder, good[i].builder);
    assert_string_equal(id.number, good[i].number);
    assert_string_equal(id.step, good[i].step);
    if (!strchr(good[i].s, ':'))
      assert_string_equal(id.text, good[i].s);
  }
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_false(id_parse(bad[i], &id));
  memset(big, 'a', ID_PART_MAX);
  big[ID_PART_MAX] = 0;
  assert_false(id_parse(big, &id));
  assert_true(id_parse("linux/1234567890123456789", &id));
  assert_int_equal(id.kind, ID_BUILD);
  assert_true(id_parse("linux/12345678901234567890", &id)); /* no number: too long */
  assert_int_equal(id.kind, ID_BUILDER);
}

static void paths(void **state)
{
  char *path = id_path("builds/%p/logs/%s", "a b/li?nux[gcc]/42", "x/y%z é");

  (void)state;
  assert_string_equal(path, "/api/v1/builds/a%20b/li%3Fnux%5Bgcc%5D/42/logs/x%2Fy%25z%20%C3%A9");
  free(path);
  path = id_path("workers/%s", "..\r\nX: y");
  assert_string_equal(path, "/api/v1/workers/..%0D%0AX%3A%20y");
  free(path);
}

static void flags(void **state)
{
  char *argv[] = { "-wfb", "main", "build", "--revision=a=b", "-p", "x=1", "libfoo/linux", "-py=2", "--", "--wait", "-" };
  struct args a;
  struct buf why;
  int at = 0;

  (void)state;
  buf_init(&why, BUF_NO_MAX);
  assert_true(args_parse(&a, COUNT(argv), argv, &why));
  assert_int_equal(a.nwords, 4);
  assert_string_equal(a.words[0], "build");
  assert_string_equal(a.words[1], "libfoo/linux");
  assert_string_equal(a.words[2], "--wait");
  assert_string_equal(a.words[3], "-");
  assert_true(args_has(&a, FLAG_WAIT));
  assert_true(args_has(&a, FLAG_FOLLOW));
  assert_false(args_has(&a, FLAG_JSON));
  assert_string_equal(args_value(&a, FLAG_BRANCH), "main");
  assert_string_equal(args_value(&a, FLAG_REVISION), "a=b");
  assert_string_equal(args_value(&a, FLAG_PROPERTY), "y=2");
  assert_string_equal(args_each(&a, FLAG_PROPERTY, &at), "x=1");
  assert_string_equal(args_each(&a, FLAG_PROPERTY, &at), "y=2");
  assert_null(args_each(&a, FLAG_PROPERTY, &at));
  assert_int_equal(args_stranger(&a, FLAG_BIT(WAIT) | FLAG_BIT(FOLLOW) | FLAG_BIT(BRANCH) | FLAG_BIT(REVISION)), FLAG_PROPERTY);
  assert_int_equal(args_stranger(&a, ~UINT64_C(0)), FLAG_COUNT);
  args_free(&a);
  buf_free(&why);
}

static void flags_that_are_wrong(void **state)
{
  static const struct { const char *word, *why; } cases[] = {
    { "--brnch", "there is no flag --brnch (did you mean --branch?)" }, { "--zzzzzz", "there is no flag --zzzzzz" }, { "-z", "there is no flag -z" },
    { "--branch", "--branch needs a value: --branch BRANCH" }, { "-b", "-b needs a value: -b BRANCH" }, { "--wait=1", "--wait takes no value" }, { "--=", "there is no flag --" } };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    char *word = xstrdup(cases[i].word);
    struct args a;
    struct buf why;
    buf_init(&why, BUF_NO_MAX);
    assert_false(args_parse(&a, 1, &word, &why));
    assert_string_equal(buf_str(&why), cases[i].why);
    args_free(&a);
    buf_free(&why);
    free(word);
  }
}

static void nearest(void **state)
{
  static const char *const names[] = { "status", "list", "show", "log" };

  (void)state;
  assert_string_equal(args_nearest("stauts", names, COUNT(names)), "status");
  assert_string_equal(args_nearest("lst", names, COUNT(names)), "list");
  assert_string_equal(args_nearest("logs", names, COUNT(names)), "log");
  assert_null(args_nearest("frobnicate", names, COUNT(names)));
  assert_null(args_nearest("x", names, COUNT(names)));
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(ids), cmocka_unit_test(paths), cmocka_unit_test(flags), cmocka_unit_test(flags_that_are_wrong), cmocka_unit_test(nearest) };

  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
