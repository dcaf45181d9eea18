/* The expression language: what it makes of good texts, what it says of bad ones, and that neither takes long. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "master/conf/expr.h"

static const struct expr_name names[] = {
  { "branch", EXPR_TEXT, "", NULL }, { "memory", EXPR_NUMBER, "", NULL }, { "tests", EXPR_BOOL, "", NULL }, { "files", EXPR_LIST, "", NULL }, { "unset", EXPR_TEXT, "", NULL },
  { "lie", EXPR_NUMBER, "says that it is a number", NULL }, { "previous.result", EXPR_TEXT, "", NULL }, { "matrix.*", EXPR_TEXT, "", NULL }, { "properties.*", EXPR_ANY, "", NULL },
  { NULL, EXPR_NONE, NULL, NULL },
};

static const struct expr_value files[] = { { .type = EXPR_TEXT, .text = { "src/a.c", 7 } }, { .type = EXPR_TEXT, .text = { "docs/x.md", 9 } } };

static bool get(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  (void)ctx, (void)m;
  if (!strcmp(path[0], "branch"))
    *out = (struct expr_value){ .type = EXPR_TEXT, .text = { "main", 4 } };
  else if (!strcmp(path[0], "memory"))
    *out = (struct expr_value){ .type = EXPR_NUMBER, .number = INT64_C(16) << 30 };
  else if (!strcmp(path[0], "tests"))
    *out = (struct expr_value){ .type = EXPR_BOOL, .yes = true };
  else if (!strcmp(path[0], "files"))
    *out = (struct expr_value){ .type = EXPR_LIST, .list = { files, 2 } };
  else if (!strcmp(path[0], "lie"))
    *out = (struct expr_value){ .type = EXPR_TEXT, .text = { "x", 1 } };
  else if (!strcmp(path[0], "matrix") && n == 2 && !strcmp(path[1], "CC"))
    *out = (struct expr_value){ .type = EXPR_TEXT, .text = { "gcc", 3 } };
  else if (!strcmp(path[0], "properties") && n == 2 && !strcmp(path[1], "a b"))
    *out = (struct expr_value){ .type = EXPR_NUMBER, .number = 7 };
  else
    return false;
  return true;
}

static void evaluates(const char *text, const char *want)
{
  struct expr_memory *m = expr_memory_new();
  struct expr_error e;
  struct expr *x = expr_parse(text, strlen(text), names, EXPR_ANY, &e);
  struct expr_value v;
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  if (!x)
    fail_msg("%s: at %d: %s", text, e.at, e.text);
  if (!expr_eval(x, get, NULL, m, &v, &e))
    fail_msg("%s: at %d: %s", text, e.at, e.text);
  if (v.type == EXPR_TEXT)
    buf_addf(&b, "'%.*s'", (int)v.text.len, v.text.s);
  else if (v.type == EXPR_NONE)
    buf_adds(&b, "none");
  else
    expr_show(&v, &b);
  if (strcmp(buf_str(&b), want))
    fail_msg("%s: %s, not %s", text, buf_str(&b), want);
  buf_free(&b);
  expr_free(x);
  expr_memory_free(m);
}

static void fails(const char *text, int at, const char *words)
{
  struct expr_memory *m = expr_memory_new();
  struct expr_error e;
  struct expr *x = expr_parse(text, strlen(text), names, EXPR_ANY, &e);
  struct expr_value v;

  if (x && expr_eval(x, get, NULL, m, &v, &e))
    fail_msg("%s: no error", text);
  if (e.at != at || !strstr(e.text, words))
    fail_msg("%s: at %d: %s", text, e.at, e.text);
  expr_error_free(&e);
  expr_free(x);
  expr_memory_free(m);
}

static void values(void **state)
{
  static const char *const good[][2] = {
    { "1 + 2 * 3", "7" }, { "(1 + 2) * 3", "9" }, { "-2 - -3", "1" }, { "7 / 2", "3" }, { "-7 % 3", "-1" }, { "8G", "8589934592" }, { "30m", "1800000" }, { "250ms", "250" },
    { "\"a\" + 'b'", "'ab'" }, { "'it\\'s' + \"\\n\"", "'it's\n'" }, { "[1, 2] == [1, 2]", "true" }, { "[]", "" }, { "[1, 'a', true]", "1 a true" },
    { "branch == \"main\"", "true" }, { "branch != 'main' or memory >= 8G", "true" }, { "memory >= 8G and not (branch == 'x')", "true" }, { "not tests", "false" },
    { "'ai' in branch", "true" }, { "'x' in branch", "false" }, { "branch in ['main', 'next']", "true" }, { "branch not in ['main']", "false" }, { "'docs/x.md' in files", "true" },
    { "'a' < 'b'", "true" }, { "'a' < 'aa'", "true" }, { "'b' <= 'a'", "false" }, { "2 > 1", "true" },
    { "unset ?? 'nothing'", "'nothing'" }, { "unset ?? previous.result ?? 'x'", "'x'" }, { "unset == none", "true" }, { "branch == none", "false" }, { "unset", "none" }, { "not unset ?? true", "false" },
    { "tests ? 'yes' : 'no'", "'yes'" }, { "false ? 1 : true ? 2 : 3", "2" }, { "unset == 'x' ? 1 : 2", "2" },
    { "matrix.CC", "'gcc'" }, { "matrix[\"CC\"]", "'gcc'" }, { "properties['a b'] + 1", "8" }, { "properties.full", "none" }, { "properties.full and true", "false" }, { "properties.x in files", "false" },
    { "true or 1 / 0 == 1", "true" }, { "false and properties.x > 1", "false" },
    { "starts(branch, 'ma') and ends(branch, 'in')", "true" }, { "glob(files, 'docs/**')", "true" }, { "all_glob(files, 'docs/**')", "false" }, { "glob(branch, 'release/*')", "false" },
    { "matches(branch, '^m[a-z]+$')", "true" }, { "matches(files, '[.]md$')", "true" }, { "lower('AbC') + upper('x')", "'abcX'" }, { "text(12) + text(none)", "'12'" },
    { "number('-5') + 1", "-4" }, { "version('1.10') > version('v1.9.3')", "true" }, { "version('2.39.5-rc1') == version('2.39.5')", "true" }, { "len(files) + len('abc')", "5" },
    { "join(files, ',')", "'src/a.c,docs/x.md'" }, { "min(3, 2) + max(3, 2)", "5" }, { "  1\n+\t1 ", "2" }, { "9223372036854775807", "9223372036854775807" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++)
    evaluates(good[i][0], good[i][1]);
}

static void errors(void **state)
{
  static const struct { const char *text; int at; const char *words; } bad[] = {
    { "", 0, "ends where a value" }, { "1 +", 3, "ends where a value" }, { "1 1", 2, "should end here" }, { "(1", 2, "not closed" }, { "[1 2]", 3, "a comma or ]" }, { "'abc", 0, "no end" },
    { "'a\\x'", 2, "no escape" }, { "01", 0, "no number" }, { "99999999999999999999", 0, "no number" }, { "9000000T", 0, "too large" }, { "5x", 1, "no unit" }, { "a && b", 2, "makes no sense" },
    { "true && true", 5, "makes no sense" }, { "branch = 'x'", 7, "single =" }, { "brnch == 'x'", 0, "there is no \"brnch\"" }, { "previous.reslt == 'x'", 0, "previous.reslt" }, { "matrix", 0, "there is no" },
    { "a.b.c.d.e", 8, "too many parts" }, { "1 < 2 < 3", 6, "in a row" }, { "1 == 'a'", 5, "can't be compared" }, { "[1] < [2]", 6, "can't be compared" }, { "branch and true", 0, "a condition is true or false" },
    { "not memory", 4, "a condition" }, { "1 ? 2 : 3", 0, "a condition" }, { "true ? 1", 8, "stands `: b`" }, { "-branch", 1, "a number is wanted" }, { "branch + 1", 9, "a text is wanted" }, { "branch * 2", 0, "a number is wanted" },
    { "1 in 2", 5, "a list or a text" }, { "1 in 'a'", 0, "a text is wanted" }, { "nosuch(1)", 0, "no such function" }, { "lower()", 0, "takes 1 argument" }, { "lower(1)", 6, "a text is wanted" }, { "min(1, 2, 3)", 0, "takes 2 arguments" },
    { "1 / 0", 2, "by zero" }, { "9223372036854775807 + 1", 20, "too large" }, { "- (0 - 9223372036854775807 - 1)", 0, "too large" }, { "(0 - 9223372036854775807 - 1) / -1", 30, "too large" },
    { "unset + 'x'", 0, "unset has no value" }, { "lie + 1", 0, "a number is wanted" }, { "properties.x > 1", 0, "properties.x has no value" }, { "properties['a b'] == 'x'", 18, "compared with" },
    { "properties['a b'] and true", 0, "true or false is wanted" }, { "matches('a', '(')", 0, "not well-formed" }, { "matches('a', 'a{1,9}')", 0, "no \\ and no {" }, { "number('x')", 0, "no number" }, { "len(1)", 0, "length" },
    { "version('9999999')", 0, "at most" }, { "glob([1], '*')", 0, "list of texts" }, { "or true", 0, "before this" }, { "#", 0, "makes no sense" }, { "\x80", 0, "makes no sense" }, { "properties[1]", 11, "in the brackets" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++)
    fails(bad[i].text, bad[i].at, bad[i].words);
}

static void help_is_near(void **state)
{
  struct expr_error e;

  (void)state;
  assert_null(expr_parse("memry > 1", 9, names, EXPR_BOOL, &e));
  assert_string_equal(e.help, "did you mean \"memory\"?");
  expr_error_free(&e);
  assert_null(expr_parse("branch", 6, names, EXPR_BOOL, &e));
  assert_non_null(strstr(e.text, "a condition"));
  expr_error_free(&e);
  assert_null(expr_parse("branch", 6, names, EXPR_NUMBER, &e));
  assert_non_null(strstr(e.text, "a number is wanted"));
  expr_error_free(&e);
}

/* One sign a thousand times: refused, and at once. */
static void depth_and_size_are_bounded(void **state)
{
  static const char *const pieces[] = { "(", "[", "-", "not ", "1+", "1 ?? ", "true ? ", "true ? 1 : ", "lower(", "properties[", "1,", "a.", "1 in ", "true and ", "'a'+" };
  char text[EXPR_TEXT_MAX + 64];

  (void)state;
  for (size_t i = 0; i < COUNT(pieces); i++) {
    struct expr_error e;
    struct expr *x;
    size_t n = 0, len = strlen(pieces[i]);
    while (n + len < EXPR_TEXT_MAX) {
      memcpy(text + n, pieces[i], len);
      n += len;
    }
    text[n++] = '1';
    x = expr_parse(text, n, names, EXPR_ANY, &e);
    assert_null(x);
    assert_non_null(e.text);
    expr_error_free(&e);
  }
  struct expr_error e;
  assert_null(expr_parse(text, EXPR_TEXT_MAX + 1, names, EXPR_ANY, &e));
  assert_non_null(strstr(e.text, "at most"));
  expr_error_free(&e);
}

static bool counted(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  ++*(int *)ctx;
  return get(NULL, m, path, n, out);
}

/* A name is asked for once for each time that it stands there, however deep: operators within each other don't multiply. */
static void each_operand_is_looked_at_once(void **state)
{
  static const struct { const char *before, *inside, *after; } pieces[] = {
    { "memory / memory + ", "memory", "" }, { "1 + (", "memory", ")" }, { "memory - ", "memory", "" }, { "-", "memory", "" }, { "branch + ", "branch", "" }, { "unset ?? ", "branch", "" },
    { "tests and ", "tests", "" }, { "tests ? ", "branch", " : branch" }, { "[", "branch", "]" }, { "lower(", "branch", ")" } };
  enum { TIMES = 20 };

  (void)state;
  for (size_t i = 0; i < COUNT(pieces); i++) {
    struct expr_memory *m = expr_memory_new();
    struct expr_error e;
    struct expr_value v;
    struct expr *x;
    struct buf text;
    int asked = 0;
    buf_init(&text, BUF_NO_MAX);
    for (int k = 0; k < TIMES; k++)
      buf_adds(&text, pieces[i].before);
    buf_adds(&text, pieces[i].inside);
    for (int k = 0; k < TIMES; k++)
      buf_adds(&text, pieces[i].after);
    x = expr_parse(buf_str(&text), text.len, names, EXPR_ANY, &e);
    if (!x)
      fail_msg("%s: %s", buf_str(&text), e.text);
    if (!expr_eval(x, counted, &asked, m, &v, &e))
      fail_msg("%s: %s", buf_str(&text), e.text);
    if (asked > 2 * TIMES + 1)
      fail_msg("%d names in %s", asked, buf_str(&text));
    expr_error_free(&e);
    expr_free(x);
    expr_memory_free(m);
    buf_free(&text);
  }
}

static void texts_are_bounded(void **state)
{
  char text[EXPR_TEXT_MAX];
  size_t n = 0;
  struct expr_memory *m = expr_memory_new();
  struct expr_value v;
  struct expr_error e;
  struct interp *t;

  (void)state;
  n += (size_t)sprintf(text + n, "${{ '%0*d' }}", 1000, 0);
  for (int i = 0; i < 100; i++)
    n += (size_t)sprintf(text + n, "${{branch}}");
  t = interp_parse(text, n, names, &e);
  assert_non_null(t);
  assert_true(interp_eval(t, get, NULL, m, &v, &e));
  assert_int_equal(v.text.len, 1400);
  interp_free(t);
  expr_memory_free(m);
}

static void puts_together(const char *text, const char *want, enum expr_type type)
{
  struct expr_memory *m = expr_memory_new();
  struct expr_error e;
  struct expr_value v;
  struct interp *t = interp_parse(text, strlen(text), names, &e);
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  if (!t || !interp_eval(t, get, NULL, m, &v, &e))
    fail_msg("%s: at %d: %s", text, e.at, e.text);
  expr_show(&v, &b);
  assert_string_equal(buf_str(&b), want);
  assert_int_equal(v.type, type);
  buf_free(&b);
  interp_free(t);
  expr_memory_free(m);
}

static void interpolation(void **state)
{
  static const struct { const char *text; int at; const char *words; } bad[] = {
    { "a ${{ branch", 2, "has no }}" }, { "a ${{ brnch }}", 6, "there is no" }, { "a ${{ unset }}", 5, "no value" }, { "${{ }}", 4, "ends where" }, { "x${{ 1 / 0 }}", 7, "by zero" }, { "${{ '}}' ", 0, "has no }}" },
  };

  (void)state;
  puts_together("", "", EXPR_TEXT);
  puts_together("plain $HOME ${X} {{}}", "plain $HOME ${X} {{}}", EXPR_TEXT);
  puts_together("-j${{ 2 + 2 }} ${{branch}}!", "-j4 main!", EXPR_TEXT);
  puts_together("${{ memory }}", "17179869184", EXPR_NUMBER);
  puts_together("${{ '}}' + \"}}\" }}", "}}}}", EXPR_TEXT);
  puts_together("$${{ branch }} ${{ branch }}", "${{ branch }} main", EXPR_TEXT);
  puts_together("${{ unset ?? '' }}x", "x", EXPR_TEXT);
  for (size_t i = 0; i < COUNT(bad); i++) {
    struct expr_memory *m = expr_memory_new();
    struct expr_error e;
    struct expr_value v;
    struct interp *t = interp_parse(bad[i].text, strlen(bad[i].text), names, &e);
    if (t && interp_eval(t, get, NULL, m, &v, &e))
      fail_msg("%s: no error", bad[i].text);
    if (e.at != bad[i].at || !strstr(e.text, bad[i].words))
      fail_msg("%s: at %d: %s", bad[i].text, e.at, e.text);
    expr_error_free(&e);
    interp_free(t);
    expr_memory_free(m);
  }
}

/* A tree as text, and that text again; known values are written out. */
static void as_text(void **state)
{
  static const struct expr_value arm = { .type = EXPR_TEXT, .text = { "arm\"64", 6 } }, big = { .type = EXPR_NUMBER, .number = INT64_C(3) << 30 }, minus = { .type = EXPR_NUMBER, .number = -7 };
  static const struct expr_name known[] = { { "memory", EXPR_NUMBER, "", NULL }, { "cores", EXPR_NUMBER, "", NULL }, { "os", EXPR_TEXT, "", NULL }, { "a", EXPR_BOOL, "", NULL }, { "b", EXPR_BOOL, "", NULL },
                                            { "c", EXPR_BOOL, "", NULL }, { "p.*", EXPR_ANY, "", NULL }, { "matrix.arch", EXPR_TEXT, "", &arm }, { "matrix.n", EXPR_NUMBER, "", &big },
                                            { "matrix.m", EXPR_NUMBER, "", &minus }, { NULL, EXPR_NONE, NULL, NULL } };
  static const struct { const char *text, *out; int terms; } cases[] = {
    { "memory>=8G and os=='linux'", "memory >= 8G and os == \"linux\"", 2 }, { "a or b and c", "a or b and c", 1 }, { "(a or b) and c", "(a or b) and c", 2 }, { "a and (b and c)", "a and (b and c)", 3 },
    { "((a and b)) and c", "a and b and c", 3 }, { "not (a or b)", "not (a or b)", 1 }, { "not a == b", "not a == b", 1 }, { "(not a) == b", "(not a) == b", 1 },
    { "memory - (1 - 2) > 3 * (4 + 5)", "memory - (1 - 2) > 3 * (4 + 5)", 1 }, { "memory - 1 - 2 == 0", "memory - 1 - 2 == 0", 1 }, { "-(memory + 1) < - -3", "-(memory + 1) < --3", 1 },
    { "(p.x ?? p.y) ?? 3 == 3", "(p.x ?? p.y) ?? 3 == 3", 1 }, { "p.x ?? p.y ?? 3 == 3", "p.x ?? p.y ?? 3 == 3", 1 }, { "a ? b : c", "a ? b : c", 1 }, { "(a ? b : c) and a", "(a ? b : c) and a", 2 },
    { "a ? (b ? a : c) : c", "a ? (b ? a : c) : c", 1 }, { "os in ['x', \"y\\n\\\\\"]", "os in [\"x\", \"y\\n\\\\\"]", 1 }, { "os not in []", "os not in []", 1 }, { "p['x y'] == none", "p[\"x y\"] == none", 1 },
    { "os == matrix.arch", "os == \"arm\\\"64\"", 1 }, { "memory > matrix.n", "memory > 3G", 1 }, { "memory > 2 - matrix.m", "memory > 2 - -7", 1 }, { "memory > 1024", "memory > 1024", 1 },
    { "memory >= 3M and memory < 2T", "memory >= 3M and memory < 2T", 2 }, { "true", "true", 1 }, { "true and a", "true and a", 2 },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct expr_error e;
    struct expr *x = expr_parse(cases[i].text, strlen(cases[i].text), known, EXPR_BOOL, &e), *y;
    struct buf one, two, all;
    if (!x)
      fail_msg("%s: at %d: %s", cases[i].text, e.at, e.text);
    buf_init(&one, BUF_NO_MAX);
    buf_init(&two, BUF_NO_MAX);
    buf_init(&all, BUF_NO_MAX);
    expr_text(x, &one);
    assert_string_equal(buf_str(&one), cases[i].out);
    y = expr_parse(buf_str(&one), one.len, known, EXPR_BOOL, &e);
    assert_non_null(y);
    expr_text(y, &two);
    assert_string_equal(buf_str(&two), cases[i].out);
    assert_int_equal(expr_terms(x), cases[i].terms);
    for (int t = 0; t < cases[i].terms; t++) {
      struct expr *z;
      buf_free(&all);
      buf_init(&all, BUF_NO_MAX);
      expr_term_text(x, t, &all);
      z = expr_parse(buf_str(&all), all.len, known, EXPR_BOOL, &e); /* each stands by itself */
      assert_non_null(z);
      expr_free(z);
    }
    expr_free(x);
    expr_free(y);
    buf_free(&one);
    buf_free(&two);
    buf_free(&all);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(as_text), cmocka_unit_test(values), cmocka_unit_test(errors), cmocka_unit_test(help_is_near), cmocka_unit_test(depth_and_size_are_bounded), cmocka_unit_test(each_operand_is_looked_at_once), cmocka_unit_test(texts_are_bounded),
    cmocka_unit_test(interpolation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
