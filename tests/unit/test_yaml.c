/* Diagnostics and the YAML tree: positions, messages, budgets, hostile texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "master/conf/yaml.h"

static struct yml_doc *parse(const char *text, size_t len, struct diags *d)
{
  diag_init(d);
  return yml_parse("f", text, len, d);
}

static struct yml_doc *must_parse(const char *text)
{
  struct diags d;
  struct yml_doc *doc = parse(text, strlen(text), &d);

  assert_int_equal(diag_count(&d), 0);
  assert_non_null(doc);
  return doc;
}

static void expect_printed(const struct diags *d, const char *printed)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  diag_print(d, &b);
  assert_string_equal(buf_str(&b), printed);
  buf_free(&b);
}

static void expect_refused_n(const char *text, size_t len, const char *printed)
{
  struct diags d;

  assert_null(parse(text, len, &d));
  expect_printed(&d, printed);
  diag_free(&d);
}

static void expect_refused(const char *text, const char *printed)
{
  expect_refused_n(text, strlen(text), printed);
}

/* --- diag --- */

static void test_diag_print(void **state)
{
  struct diags d;

  (void)state;
  diag_init(&d);
  diag_add(&d, "a.yml", "x: 1\n  stepz:\n", 2, 3, "did you mean \"steps\"?", "unknown key \"%s\"", "stepz");
  diag_add(&d, "a.yml", "x: 1\n  stepz:\n", 2, 3, NULL, "unknown key \"%s\"", "stepz"); /* said before */
  diag_add(&d, "a.yml", NULL, 0, 0, NULL, "can't be read");
  diag_add(&d, "a.yml", "x\n", 7, 1, NULL, "beyond the text");
  assert_int_equal(diag_count(&d), 3);
  expect_printed(&d, "a.yml:2:3: unknown key \"stepz\" (did you mean \"steps\"?)\n  stepz:\n  ^\n"
                     "a.yml: can't be read\na.yml:7:1: beyond the text\n");
  diag_free(&d);
}

static void test_diag_is_harmless(void **state)
{
  struct diags d;
  const char *text = "\xef\xbb\xbf\xc3\xa9\t\x1b[31m\xff\xc2\x9b" "2J \xe2\x80\xae x";

  (void)state;
  diag_init(&d);
  diag_add(&d, "a\nb", text, 1, 3, NULL, "m\x1b[0m \xff");
  assert_string_equal(d.v[0].source, "\xc3\xa9 ?[31m??2J ? x");
  assert_int_equal(d.v[0].caret, 3);
  assert_string_equal(d.v[0].file, "a b");
  assert_string_equal(d.v[0].message, "m?[0m ?");
  diag_free(&d);
}

static void test_diag_long_line(void **state)
{
  struct diags d;
  char line[2001], *p;

  (void)state;
  for (int i = 0; i < 2000; i++)
    line[i] = (char)('a' + i % 26);
  line[2000] = 0;
  diag_init(&d);
  diag_add(&d, "f", line, 1, 1501, NULL, "far right");
  p = d.v[0].source;
  assert_true(strlen(p) <= DIAG_SOURCE_MAX);
  assert_int_equal(p[d.v[0].caret - 1], line[1500]);
  assert_int_equal(p[d.v[0].caret], line[1501]);
  diag_free(&d);
}

static void test_diag_limit(void **state)
{
  struct diags d;
  struct buf b;

  (void)state;
  diag_init(&d);
  for (int i = 0; i < DIAG_MAX + 7; i++)
    diag_add(&d, "f", NULL, i + 1, 1, NULL, "n %d", i);
  assert_int_equal(d.n, DIAG_MAX);
  assert_int_equal(d.dropped, 7);
  buf_init(&b, BUF_NO_MAX);
  diag_print(&d, &b);
  assert_non_null(strstr(buf_str(&b), "\nand 7 more\n"));
  buf_free(&b);
  diag_free(&d);
}

static void test_diag_sort(void **state)
{
  static const int want[] = { 1, 3, 9, 2 };
  struct diags d;

  (void)state;
  diag_init(&d);
  diag_add(&d, "b", NULL, 9, 1, NULL, "m");
  diag_add(&d, "a", NULL, 2, 1, NULL, "m");
  diag_add(&d, "b", NULL, 1, 1, NULL, "m");
  diag_add(&d, "b", NULL, 3, 1, NULL, "m");
  diag_sort(&d);
  for (int i = 0; i < 4; i++)
    assert_int_equal(d.v[i].line, want[i]);
  diag_free(&d);
}

/* --- the tree --- */

static void test_positions(void **state)
{
  struct yml_doc *doc = must_parse("\xef\xbb\xbf# c\r\na: 1\r\n\xc3\xa9:\n  - 'no'\n  - {k: 010}\nz: |\n  x\n  y\n");
  const struct yml_node *list = yml_get(doc->root, "\xc3\xa9"), *map;

  (void)state;
  assert_int_equal(doc->root->kind, YML_MAP);
  assert_int_equal(doc->root->n, 3);
  assert_int_equal(yml_get_key(doc->root, "a")->line, 2);
  assert_int_equal(yml_get_key(doc->root, "a")->column, 1);
  assert_int_equal(yml_get(doc->root, "a")->column, 4);
  assert_int_equal(list->kind, YML_LIST);
  assert_int_equal(list->line, 4);
  assert_int_equal(list->column, 3);
  assert_string_equal(list->items[0]->text, "no");
  assert_false(list->items[0]->plain);
  map = list->items[1];
  assert_int_equal(map->column, 5);
  assert_string_equal(yml_get(map, "k")->text, "010");
  assert_true(yml_get(map, "k")->plain);
  assert_string_equal(yml_get(doc->root, "z")->text, "x\ny\n");
  assert_null(yml_get(doc->root, "q"));
  assert_null(yml_get(list, "q"));
  assert_null(yml_get(NULL, "q"));
  yml_drop(doc);
}

static void test_null_and_empty(void **state)
{
  static const char *const texts[] = { "", "# only\n", "---\n", "~", "null", "\n\n" };

  (void)state;
  for (size_t i = 0; i < COUNT(texts); i++) {
    struct yml_doc *doc = must_parse(texts[i]);
    assert_true(yml_is_null(doc->root));
    yml_drop(doc);
  }
  yml_drop(NULL);
}

static void test_merge(void **state)
{
  struct yml_doc *doc = must_parse("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\n"
                                   "c: {y: 9, <<: *a, w: 5}\nd: {<<: [*a, *b]}\ne: {'<<': 1}\nf: {<<: {<<: *b, y: 0}}\n");
  const struct yml_node *c = yml_get(doc->root, "c"), *dd = yml_get(doc->root, "d");

  (void)state;
  assert_int_equal(c->n, 3);
  assert_string_equal(yml_get(c, "y")->text, "9");
  assert_string_equal(yml_get(c, "x")->text, "1");
  assert_string_equal(c->keys[2]->text, "w");
  assert_int_equal(dd->n, 3);
  assert_string_equal(yml_get(dd, "y")->text, "2");
  assert_string_equal(yml_get(dd, "z")->text, "4");
  assert_non_null(yml_get(yml_get(doc->root, "e"), "<<"));
  assert_string_equal(yml_get(yml_get(doc->root, "f"), "y")->text, "0");
  assert_string_equal(yml_get(yml_get(doc->root, "f"), "z")->text, "4");
  yml_drop(doc);
}

static void test_anchor_used_again(void **state)
{
  struct yml_doc *doc = must_parse("- &a 1\n- *a\n- &a 2\n- *a\n");

  (void)state;
  assert_string_equal(doc->root->items[1]->text, "1");
  assert_string_equal(doc->root->items[3]->text, "2");
  assert_int_equal(doc->root->size, 5);
  yml_drop(doc);
}

static void test_refs(void **state)
{
  struct yml_doc *doc = must_parse("a: 1"), *same = yml_hold(doc);

  (void)state;
  yml_drop(doc);
  assert_string_equal(yml_get(same->root, "a")->text, "1");
  yml_drop(same);
}

static bool skip_b(const char *key)
{
  return !strcmp(key, "b");
}

static void test_write(void **state)
{
  struct yml_doc *doc = must_parse("a: [x, 'true', \"q\\\"\\n\\t\\x1b\\\\\\u2028\xc3\xa9\", [], {}, ~]\nb: 1\nc: {d: {e: 1h}}\n"), *again;
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  yml_write(doc->root, skip_b, &b);
  assert_string_equal(buf_str(&b), "a:\n  - x\n  - \"true\"\n  - \"q\\\"\\n\\u0009\\u001b\\\\\\u2028\xc3\xa9\"\n  - []\n  - {}\n  - null\n"
                                   "c:\n  d:\n    e: 1h\n");
  again = must_parse(buf_str(&b));
  assert_string_equal(yml_get(again->root, "a")->items[2]->text, yml_get(doc->root, "a")->items[2]->text);
  assert_false(yml_get(again->root, "a")->items[1]->plain);
  yml_drop(again);
  yml_drop(doc);
  doc = must_parse("?\n: 1\n~: 2\nnull: 3\n"); /* three keys, of which none may become another */
  buf_reset(&b);
  yml_write(doc->root, NULL, &b);
  assert_string_equal(buf_str(&b), "\"\": 1\n\"~\": 2\nnull: 3\n");
  yml_drop(doc);
  buf_free(&b);
}

/* --- refused --- */

static void test_syntax_errors(void **state)
{
  (void)state;
  expect_refused("a:\n\t- b\n", "f:2:1: found character that cannot start any token (indent with blanks, not tabs; put a value that "
                                "starts with @, ` or % in quotes)\n   - b\n  ^\n");
  expect_refused("a: b: c\n", "f:1:5: mapping values are not allowed in this context (put a value with a colon and a blank in it in "
                              "quotes)\n  a: b: c\n      ^\n");
  expect_refused("a:\n  - b\n c: d\n", "f:3:2: did not find expected key, while parsing a block mapping at 1:1 (check the indentation "
                                       "here and of the lines above)\n  c: d\n  ^\n");
  expect_refused("x: 1\na: [b\n", "f:2:4: the text ends while parsing a flow sequence that begins here\n  a: [b\n     ^\n");
  expect_refused("x: 1\na: {\n", "f:2:4: the text ends inside the map that begins here\n  a: {\n     ^\n");
  expect_refused("a: 'x\n\n", "f:1:4: the text ends while scanning a quoted scalar that begins here\n  a: 'x\n     ^\n");
  expect_refused("a: [b\nc: d\n", "f:2:2: did not find expected ',' or ']', while parsing a flow sequence at 1:4\n  c: d\n   ^\n");
  expect_refused("a: \"\\q\"\n", "f:1:5: found unknown escape character, while parsing a quoted scalar at 1:4\n  a: \"\\q\"\n      ^\n");
  expect_refused("*\n", "f:1:2: did not find expected alphabetic or numeric character, while scanning an alias at 1:1 (put a value that "
                        "starts with * or & in quotes)\n  *\n   ^\n");
}

static void test_refused_trees(void **state)
{
  (void)state;
  expect_refused("a: 1\nb: 2\na: 3\nb: 4\n", "f:3:1: key \"a\" stands twice, first at 1:1\n  a: 3\n  ^\n"
                                             "f:4:1: key \"b\" stands twice, first at 2:1\n  b: 4\n  ^\n");
  expect_refused("b: *nope\n", "f:1:4: there is no anchor &nope above (an anchor, &name, comes before its alias, *name)\n  b: *nope\n     ^\n");
  expect_refused("a: &x [*x]\n", "f:1:8: *x stands inside what it names\n  a: &x [*x]\n         ^\n");
  expect_refused("a: &x {<<: *x}\n", "f:1:12: *x stands inside what it names\n  a: &x {<<: *x}\n             ^\n");
  expect_refused("[a]: b\n", "f:1:1: a key must be a plain word or string, this is a list\n  [a]: b\n  ^\n");
  expect_refused("? {a: b}\n", "f:1:3: a key must be a plain word or string, this is a map\n  ? {a: b}\n    ^\n");
  expect_refused("a: !!str x\n", "f:1:4: tags are not supported: tag:yaml.org,2002:str (put the value in quotes to make it a string)\n"
                                 "  a: !!str x\n     ^\n");
  expect_refused("a\n---\nb\n", "f:2:1: only one document can be in a file\n  ---\n  ^\n");
  expect_refused("<<: 1\n", "f:1:5: << wants a map or a list of maps\n  <<: 1\n      ^\n");
  expect_refused("<<: [{a: b}, c]\n", "f:1:14: << wants a map or a list of maps\n  <<: [{a: b}, c]\n               ^\n");
}

static void test_refused_characters(void **state)
{
  (void)state;
  expect_refused("a:\n  - caf\xe9\n", "f:2:8: byte 0xe9 is not UTF-8 (save the file as UTF-8)\n  - caf?\n       ^\n");
  expect_refused("\xff\xfe" "a", "f:1:1: byte 0xff is not UTF-8 (save the file as UTF-8)\n  ??a\n  ^\n");
  expect_refused("a: \xed\xa0\x80", "f:1:4: byte 0xed is not UTF-8 (save the file as UTF-8)\n  a: ???\n     ^\n");
  expect_refused("\xc3\xa9: \xc0\x80", "f:1:4: byte 0xc0 is not UTF-8 (save the file as UTF-8)\n  \xc3\xa9: ??\n     ^\n");
  expect_refused_n("a: b\0c", 6, "f:1:5: character U+0000 can't be in a YAML text\n  a: b\n      ^\n");
  expect_refused("a: \"\\0\"", "f:1:4: a string can't have a NUL in it\n  a: \"\\0\"\n     ^\n");
  expect_refused("a\r\nb\x07", "f:2:2: character U+0007 can't be in a YAML text (in a string in double quotes it can be written as an "
                               "escape)\n  b?\n   ^\n");
  expect_refused("a: \xe2\x80\xa8", "f:1:4: character U+2028 can't be in a YAML text (in a string in double quotes it can be written as an "
                                    "escape)\n  a: ?\n     ^\n");
}

/* --- hostile --- */

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

static char *repeat(const char *s, int times, const char *before)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, before);
  for (int i = 0; i < times; i++)
    buf_adds(&b, s);
  return buf_take(&b);
}

static char *join(char *a, char *b)
{
  char *both = xasprintf("%s%s", a, b);

  free(a);
  free(b);
  return both;
}

/* Refused with this one message, in under a second. */
static void expect_quick(char *text, const char *message)
{
  struct diags d;
  int64_t start = cpu_ms();

  assert_null(parse(text, strlen(text), &d));
  assert_true(cpu_ms() - start < QUICK_MS);
  assert_int_equal(d.n, 1);
  assert_true(d.v[0].line > 0 && d.v[0].column > 0);
  assert_string_equal(d.v[0].message, message);
  diag_free(&d);
  free(text);
}

static void test_nesting(void **state)
{
  static const char deep[] = "more than 64 levels inside each other";
  char *ok = repeat("[", YML_DEPTH_MAX, ""), *text = repeat("]", YML_DEPTH_MAX, ok);

  (void)state;
  yml_drop(must_parse(text));
  free(ok);
  free(text);
  expect_quick(repeat("[", 100000, ""), deep);
  expect_quick(repeat("- ", 100000, ""), deep);
  expect_quick(repeat("{a: ", 100000, ""), deep);
  expect_quick(repeat("? ", 100000, ""), "a key must be a plain word or string, this is a map");
  text = repeat("[", 40, "a: &a ");
  text = join(text, repeat("]", 40, ""));
  text = join(text, repeat("[", 30, "\nb: "));
  text = join(text, xstrdup("*a"));
  expect_quick(text, deep);
}

static void test_alias_bombs(void **state)
{
  struct buf b;
  char *text;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "a: &a [x,x,x,x,x,x,x,x,x]\n");
  for (char c = 'b'; c < 'z'; c++)
    buf_addf(&b, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
  expect_quick(buf_take(&b), "more than 100000 values, aliases written out");
  text = join(repeat("z", 100000, "a: &a "), repeat("- *a\n", 1000, "\nb:\n"));
  expect_quick(text, "more than 16 MiB, aliases written out");
}

static void test_budgets(void **state)
{
  (void)state;
  expect_quick(repeat("k: 1\n", 100000, ""), "more than 100000 values, aliases written out");
  expect_quick(repeat("[],", 300000, "["), "more than 100000 values, aliases written out");
  expect_quick(repeat(" ", 2 << 20, ""), "the text is larger than 1024 KiB, the most that is read");
}

static long peak_kib(void)
{
  struct rusage u;
  assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
  return u.ru_maxrss;
}

/* 100 MB of one byte, mapped over and over so that only what is read of it counts. */
static void test_huge_scalar(void **state)
{
  enum { PIECE = 1 << 20, PIECES = 100 };
  int fd = memfd_create("huge", 0);
  char *at = mmap(NULL, (size_t)PIECE * PIECES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *text = at;
  long before = peak_kib();
  int64_t start;
  struct diags d;

  (void)state;
  assert_int_equal(ftruncate(fd, PIECE), 0);
  for (int i = 0; i < PIECES; i++)
    assert_ptr_not_equal(mmap(at + (size_t)i * PIECE, PIECE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), MAP_FAILED);
  memset(text, 'x', PIECE);
  start = cpu_ms();
  assert_null(parse(text, (size_t)PIECE * PIECES, &d));
  assert_true(cpu_ms() - start < QUICK_MS);
  assert_true(peak_kib() - before < 50 * 1024);
  assert_int_equal(d.v[0].column, PIECE + 1);
  assert_true(strlen(d.v[0].source) <= DIAG_SOURCE_MAX);
  diag_free(&d);
  munmap(at, (size_t)PIECE * PIECES);
  close(fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_diag_print), cmocka_unit_test(test_diag_is_harmless), cmocka_unit_test(test_diag_long_line),
    cmocka_unit_test(test_diag_limit), cmocka_unit_test(test_diag_sort), cmocka_unit_test(test_positions),
    cmocka_unit_test(test_null_and_empty), cmocka_unit_test(test_merge), cmocka_unit_test(test_anchor_used_again),
    cmocka_unit_test(test_refs), cmocka_unit_test(test_write), cmocka_unit_test(test_syntax_errors),
    cmocka_unit_test(test_refused_trees), cmocka_unit_test(test_refused_characters), cmocka_unit_test(test_nesting),
    cmocka_unit_test(test_alias_bombs), cmocka_unit_test(test_budgets), cmocka_unit_test(test_huge_scalar),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
