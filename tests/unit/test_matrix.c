/* Matrices: what they become, each message with its place, and thousands of made ones against a second, simpler reckoning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/str.h"
#include "master/conf/expr.h"
#include "master/conf/pipeline.h"
#include "tests/lib/pipefix.h"

/* The names of all builders, or of a scheduler's, by blanks. */
static char *names_of(const struct pipeline *p, int scheduler)
{
  struct buf b;
  int n = scheduler < 0 ? p->nbuilders : p->schedulers[scheduler].nbuilders;

  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < n; i++)
    buf_addf(&b, "%s%s", i ? " " : "", scheduler < 0 ? p->builders[i].name : p->schedulers[scheduler].builders[i]);
  return buf_take(&b);
}

static void names_are(const struct pipeline *p, int scheduler, const char *want)
{
  char *is = names_of(p, scheduler);

  assert_string_equal(is, want);
  free(is);
}

static void test_names_and_order(void **state)
{
  struct pipeline *p = must_parse("builders:\n"
                                  "  core:\n"
                                  "    matrix: {arch: [x86_64, arm64], CC: [gcc, clang], exclude: [{arch: arm64, CC: clang}], include: [{CC: g++, arch: riscv}]}\n"
                                  "    steps: [make]\n"
                                  "  dist: {steps: [make]}\n"
                                  "  one: {matrix: {V: 1.10}, steps: [make]}\n"
                                  "  free: {matrix: {include: [{A: 1, B: x}, {B: y, A: 2}]}, steps: [make]}\n");
  int n;

  (void)state;
  names_are(p, -1, "core[x86_64,gcc] core[x86_64,clang] core[arm64,gcc] core[riscv,g++] dist one[1.10] free[1,x] free[2,y]");
  assert_string_equal(p->builders[3].base, "core");
  assert_int_equal(p->builders[3].naxes, 2);
  assert_string_equal(p->builders[3].axes[0].name, "arch");
  assert_string_equal(p->builders[3].axes[1].value, "g++");
  assert_ptr_equal(pipeline_named(p, "core", &n), &p->builders[0]);
  assert_int_equal(n, 4);
  assert_ptr_equal(pipeline_named(p, "core[arm64,gcc]", &n), &p->builders[2]);
  assert_int_equal(n, 1);
  assert_ptr_equal(pipeline_named(p, "dist", &n), &p->builders[4]);
  assert_int_equal(n, 1);
  assert_null(pipeline_named(p, "core[arm64,clang]", &n));
  assert_int_equal(n, 0);
  for (int i = 0; i < p->nbuilders; i++)
    assert_true(pipeline_is_builder(p->builders[i].name, strlen(p->builders[i].name)));
  pipeline_free(p);
}

static void test_schedulers(void **state)
{
  struct pipeline *p = must_parse("builders: {a: {matrix: {X: [1, 2, 3]}, steps: [x]}, b: {steps: [x]}}\n"
                                  "schedulers:\n"
                                  "  one: {change: {}, builders: a}\n"
                                  "  two: {change: {}, builders: [b, \"a[3]\", \"a[1]\"]}\n"
                                  "  three: {change: {}, builders: \"a[2]\"}\n"
                                  "  four: {change: {}}\n");

  (void)state;
  names_are(p, 0, "a[1] a[2] a[3]");
  names_are(p, 1, "b a[3] a[1]");
  names_are(p, 2, "a[2]");
  names_are(p, 3, "a[1] a[2] a[3] b");
  pipeline_free(p);
}

static void interp_is(const struct interp *t, const char *want)
{
  struct expr_memory *m = expr_memory_new();
  struct expr_error e;
  struct expr_value v;
  struct buf b;

  assert_non_null(t);
  assert_true(interp_eval(t, nothing, NULL, m, &v, &e));
  buf_init(&b, BUF_NO_MAX);
  expr_show(&v, &b);
  assert_string_equal(buf_str(&b), want);
  buf_free(&b);
  expr_memory_free(m);
}

static bool is_true(const struct expr *x)
{
  struct expr_memory *m = expr_memory_new();
  struct expr_error e;
  struct expr_value v;
  bool yes;

  assert_true(expr_eval(x, nothing, NULL, m, &v, &e));
  yes = expr_true(&v);
  expr_memory_free(m);
  return yes;
}

/* Axes are variables, and constants in every expression. */
static void test_values(void **state)
{
  struct pipeline *p = must_parse("defaults: {env: {CC: cc, LANG: C}}\n"
                                  "builders:\n"
                                  "  a:\n"
                                  "    matrix: {CC: [gcc, clang], N: [-1, 20], fast: [true], old: [3, \"4\"]}\n"
                                  "    worker: {tags: [all, \"has-${{ matrix.CC }}\"]}\n"
                                  "    env: {CXX: \"${{ matrix.CC }}++\", fast: \"${{ matrix.fast ? 'yes' : 'no' }}\"}\n"
                                  "    cwd: \"src/${{ matrix.N }}\"\n"
                                  "    steps:\n"
                                  "      - {name: \"on-${{ matrix.CC }}\", run: [echo, \"${{ matrix.N + 1 }}\"], if: matrix.CC == \"gcc\" and matrix.N > 5 and matrix.old == '3'}\n"
                                  "      - {run: x, env: {CC: fixed}}\n");
  const struct pipe_builder *b = pipeline_builder(p, "a[gcc,20,true,3]");

  (void)state;
  assert_non_null(b);
  assert_int_equal(p->nbuilders, 8);
  assert_int_equal(b->ntags, 2);
  assert_string_equal(b->tags[1], "has-gcc");
  assert_string_equal(b->steps[1].name, "on-gcc");
  assert_string_equal(b->steps[1].cwd, "src/20");
  assert_string_equal(env_of(&b->steps[1], "CC"), "gcc"); /* over the defaults' */
  assert_string_equal(env_of(&b->steps[1], "N"), "20");
  assert_string_equal(env_of(&b->steps[1], "LANG"), "C");
  assert_string_equal(env_of(&b->steps[2], "CC"), "fixed");
  assert_string_equal(env_of(&b->steps[0], "old"), "3"); /* the checkout has them too */
  interp_is(b->steps[1].args[1], "21");
  for (int i = 0; i < b->steps[1].nenv; i++)
    if (!strcmp(b->steps[1].env[i].name, "CXX"))
      interp_is(b->steps[1].env[i].text, "gcc++");
    else if (!strcmp(b->steps[1].env[i].name, "fast"))
      interp_is(b->steps[1].env[i].text, "yes");
  for (int i = 0; i < p->nbuilders; i++)
    assert_int_equal(is_true(p->builders[i].steps[1].cond), p->builders + i == b);
  pipeline_free(p);
}

static const struct { const char *text, *printed; } refusals[] = {
  { "builders: {a: {matrix: [gcc], steps: [a]}}\n", ":1:24: \"matrix\" wants a map of axes, got a list\n  builders: {a: {matrix: [gcc], steps: [a]}}\n                         ^\n" },
  { "builders: {a: {matrix: , steps: [a]}}\n", ":1:24: \"matrix\" wants a map of axes, got nothing\n  builders: {a: {matrix: , steps: [a]}}\n                         ^\n" },
  { "builders: {a: {matrix: {}, steps: [a]}}\n", ":1:24: the matrix has no axis (an axis is a name and a list: CC: [gcc, clang])\n"
                                                "  builders: {a: {matrix: {}, steps: [a]}}\n                         ^\n" },
  { "builders: {a: {matrix: {CC: []}, steps: [a]}}\n",
    ":1:29: the axis \"CC\" wants a list of values, got an empty list\n  builders: {a: {matrix: {CC: []}, steps: [a]}}\n                              ^\n" },
  { "builders: {a: {matrix: {CC: {a: b}}, steps: [a]}}\n",
    ":1:29: the axis \"CC\" wants a list of values, got a map\n  builders: {a: {matrix: {CC: {a: b}}, steps: [a]}}\n                              ^\n" },
  { "builders: {a: {matrix: {CC: [gcc, a/b]}, steps: [a]}}\n",
    ":1:35: \"a/b\" can't be a value of the axis \"CC\" (1 to 32 letters, digits and . _ + -, because it becomes part of the builder's name)\n"
    "  builders: {a: {matrix: {CC: [gcc, a/b]}, steps: [a]}}\n                                    ^\n" },
  { "builders: {a: {matrix: {CC: [~, \"\"]}, steps: [a]}}\n",
    ":1:30: ~ can't be a value of the axis \"CC\" (1 to 32 letters, digits and . _ + -, because it becomes part of the builder's name)\n"
    "  builders: {a: {matrix: {CC: [~, \"\"]}, steps: [a]}}\n                               ^\n"
    ":1:33: \"\" can't be a value of the axis \"CC\" (1 to 32 letters, digits and . _ + -, because it becomes part of the builder's name)\n"
    "  builders: {a: {matrix: {CC: [~, \"\"]}, steps: [a]}}\n                                  ^\n" },
  { "builders: {a: {matrix: {CC: [1, \"1\"]}, steps: [a]}}\n",
    ":1:33: the value \"1\" stands twice\n  builders: {a: {matrix: {CC: [1, \"1\"]}, steps: [a]}}\n                                  ^\n" },
  { "builders: {a: {matrix: {C-C: [gcc]}, steps: [a]}}\n",
    ":1:25: \"C-C\" can't be the name of an axis, which is a variable too (letters, digits and underscores, first no digit)\n"
    "  builders: {a: {matrix: {C-C: [gcc]}, steps: [a]}}\n                          ^\n" },
  { "builders: {a: {matrix: {DROVER_X: [gcc]}, steps: [a]}}\n",
    ":1:25: variables that start with DROVER_ are set by drover only\n  builders: {a: {matrix: {DROVER_X: [gcc]}, steps: [a]}}\n                          ^\n" },
  { "builders: {a: {matrix: {A: [1, 2], exclude: [{A: 3}]}, steps: [a]}}\n",
    ":1:46: this excludes nothing: no combination has these values\n  builders: {a: {matrix: {A: [1, 2], exclude: [{A: 3}]}, steps: [a]}}\n"
    "                                               ^\n" },
  { "builders: {a: {matrix: {ARCH: [1, 2], exclude: [{ARHC: 1}]}, steps: [a]}}\n",
    ":1:50: the matrix has no axis \"ARHC\" (did you mean \"ARCH\"?)\n  builders: {a: {matrix: {ARCH: [1, 2], exclude: [{ARHC: 1}]}, steps: [a]}}\n"
    "                                                   ^\n" },
  { "builders: {a: {matrix: {A: [1, 2], exclude: [{}, 1]}, steps: [a]}}\n",
    ":1:46: \"exclude\" wants maps of axes and values, got an empty map\n  builders: {a: {matrix: {A: [1, 2], exclude: [{}, 1]}, steps: [a]}}\n"
    "                                               ^\n"
    ":1:50: \"exclude\" wants maps of axes and values, got \"1\"\n  builders: {a: {matrix: {A: [1, 2], exclude: [{}, 1]}, steps: [a]}}\n"
    "                                                   ^\n" },
  { "builders: {a: {matrix: {A: [1, 2], exclude: [{A: 1}, {A: 2}]}, steps: [a]}}\n",
    ":1:24: `exclude` leaves no combination\n  builders: {a: {matrix: {A: [1, 2], exclude: [{A: 1}, {A: 2}]}, steps: [a]}}\n                         ^\n" },
  { "builders: {a: {matrix: {A: [1, 2], include: [{A: 2}]}, steps: [a]}}\n",
    ":1:46: the matrix has this combination already\n  builders: {a: {matrix: {A: [1, 2], include: [{A: 2}]}, steps: [a]}}\n"
    "                                               ^\n" },
  { "builders: {a: {matrix: {A: [1], B: [1], include: [{A: 2}]}, steps: [a]}}\n",
    ":1:51: this has no value of the axis \"B\"\n  builders: {a: {matrix: {A: [1], B: [1], include: [{A: 2}]}, steps: [a]}}\n"
    "                                                    ^\n" },
  { "builders: {a: {matrix: {A: [1], include: [{A: 2, X: 3}]}, steps: [a]}}\n",
    ":1:50: the matrix has no axis \"X\" (did you mean \"A\"?)\n  builders: {a: {matrix: {A: [1], include: [{A: 2, X: 3}]}, steps: [a]}}\n"
    "                                                   ^\n" },
  { "builders: {a: {matrix: {A: [1]}, env: {A: 2}, steps: [a]}}\n",
    ":1:40: \"A\" is an axis of the matrix, and this hides it (leave it out here, or make its value of ${{ matrix.… }})\n"
    "  builders: {a: {matrix: {A: [1]}, env: {A: 2}, steps: [a]}}\n                                         ^\n" },
  { "builders: {a: {matrix: {CC: [gcc]}, steps: [{run: [\"${{ matrix.CXX }}\"]}]}}\n",
    ":1:57: there is no \"matrix.CXX\" here (did you mean \"matrix.CC\"?)\n  builders: {a: {matrix: {CC: [gcc]}, steps: [{run: [\"${{ matrix.CXX }}\"]}]}}\n"
    "                                                          ^\n" },
  { "builders: {a: {steps: [{run: a, if: matrix.CC == 'x'}]}}\n",
    ":1:37: there is no \"matrix.CC\" here\n  builders: {a: {steps: [{run: a, if: matrix.CC == 'x'}]}}\n                                      ^\n" },
  { "builders: {a: {matrix: {CC: [gcc, c+]}, steps: [{run: a, name: \"${{ matrix.CC }}\"}]}}\n",
    ":1:64: \"name\" wants a name, got \"c+\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  builders: {a: {matrix: {CC: [gcc, c+]}, steps: [{run: a, name: \"${{ matrix.CC }}\"}]}}\n"
    "                                                                 ^\n" },
  { "defaults: {env: {X: \"${{ matrix.CC }}\"}}\nbuilders: {a: {matrix: {CC: [gcc]}, steps: [a]}}\n",
    ":1:26: there is no \"matrix.CC\" here\n  defaults: {env: {X: \"${{ matrix.CC }}\"}}\n                           ^\n" },
  { "builders: {a: {matrix: {A: [1, 2], B: [x]}, steps: [a]}}\nschedulers: {s: {change: {}, builders: [\"a[1,z]\", \"a[1]\", \"b[1,x]\", \"a[3,longer]\"]}}\n",
    ":2:41: there is no builder \"a[1,z]\" (did you mean \"a[1,x]\"?)\n  schedulers: {s: {change: {}, builders: [\"a[1,z]\", \"a[1]\", \"b[1,x]\", \"a[3,longer]\"]}}\n"
    "                                          ^\n"
    ":2:51: there is no builder \"a[1]\" (did you mean \"a[1,x]\"?)\n  schedulers: {s: {change: {}, builders: [\"a[1,z]\", \"a[1]\", \"b[1,x]\", \"a[3,longer]\"]}}\n"
    "                                                    ^\n"
    ":2:59: there is no builder \"b[1,x]\" (did you mean \"a[1,x]\"?)\n  schedulers: {s: {change: {}, builders: [\"a[1,z]\", \"a[1]\", \"b[1,x]\", \"a[3,longer]\"]}}\n"
    "                                                            ^\n"
    ":2:69: there is no builder \"a[3,longer]\" (there is \"a[1,x]\", \"a[2,x]\")\n"
    "  schedulers: {s: {change: {}, builders: [\"a[1,z]\", \"a[1]\", \"b[1,x]\", \"a[3,longer]\"]}}\n"
    "                                                                      ^\n" },
  { "builders: {linux: {steps: [a]}}\nschedulers: {s: {change: {}, builders: \"linux[gcc]\"}}\n",
    ":2:40: there is no builder \"linux[gcc]\" (builder \"linux\" has no matrix)\n  schedulers: {s: {change: {}, builders: \"linux[gcc]\"}}\n"
    "                                         ^\n" },
  { "builders: {a: {matrix: {A: [1, 2]}, steps: [a]}}\nschedulers: {s: {change: {}, builders: [\"a[2]\", a]}}\n",
    ":2:49: builder \"a[2]\" stands twice\n  schedulers: {s: {change: {}, builders: [\"a[2]\", a]}}\n"
    "                                                  ^\n" },
  { "builders: {a: {steps: [a]}}\nschedulers: {s: {change: {}, builders: \"a[1,]\"}}\n",
    ":2:40: \"builders\" wants \"all\" or a builder, got \"a[1,]\" (its name, or one combination of its matrix: linux, \"linux[gcc]\")\n  schedulers: {s: {change: {}, builders: \"a[1,]\"}}\n"
    "                                         ^\n" },
};

static void test_messages(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(refusals); i++)
    expect_refused(refusals[i].text, refusals[i].printed);
}

/* Texts of up to 6 characters of a small alphabet, all of them, against the grammar written as a walk. */
static bool is_builder_simply(const char *s)
{
  int values = 0;

  if (!strchr("a1", *s) || !*s)
    return false;
  while (*s && strchr("a1-", *s))
    s++;
  if (!*s)
    return true;
  if (*s != '[')
    return false;
  do {
    s++;
    if (!*s || !strchr("a1-+", *s))
      return false;
    while (*s && strchr("a1-+", *s))
      s++;
    values++;
  } while (*s == ',');
  return values && !strcmp(s, "]");
}

static void test_all_short_names(void **state)
{
  static const char alphabet[] = "a1-+[,]/";
  int n = 0, good = 0;

  (void)state;
  for (int len = 1; len <= 6; len++) {
    int total = 1;
    for (int i = 0; i < len; i++)
      total *= (int)sizeof alphabet - 1;
    for (int k = 0; k < total; k++, n++) {
      char s[8] = { 0 };
      for (int i = 0, rest = k; i < len; i++, rest /= (int)sizeof alphabet - 1)
        s[i] = alphabet[rest % ((int)sizeof alphabet - 1)];
      if (pipeline_is_builder(s, strlen(s)) != is_builder_simply(s))
        fail_msg("%s", s);
      good += is_builder_simply(s);
    }
  }
  assert_true(n > 290000 && good > 500);
  assert_false(pipeline_is_builder("", 0));
}

/* ---- made ones ---- */

static uint64_t seed = 88172645463325252u;

static int below(int n)
{
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (int)(seed % (unsigned)n);
}

enum { AXES = 3, VALUES = 4, ITEMS = 3 };

/* item: for each axis a value from 0, or -1: not said. */
struct made {
  int naxes, nvalues[AXES], nexclude, ninclude;
  int exclude[ITEMS][AXES], include[ITEMS][AXES];
};

static void make_item(int item[AXES], int naxes, bool whole)
{
  for (int a = 0; a < AXES; a++)
    item[a] = a < naxes && (whole || below(2)) ? below(VALUES + 1) : -1;
}

static void make_made(struct made *x)
{
  *x = (struct made){ .naxes = 1 + below(AXES), .nexclude = below(ITEMS + 1), .ninclude = below(ITEMS + 1) };
  for (int a = 0; a < x->naxes; a++)
    x->nvalues[a] = 1 + below(VALUES);
  for (int i = 0; i < ITEMS; i++) {
    make_item(x->exclude[i], x->naxes, false);
    make_item(x->include[i], x->naxes, below(8) > 0);
  }
}

static void write_items(struct buf *b, const char *key, int n, const int (*item)[AXES])
{
  if (!n)
    return;
  buf_addf(b, ", %s: [", key);
  for (int i = 0; i < n; i++) {
    bool first = true;
    buf_adds(b, i ? ", {" : "{");
    for (int a = 0; a < AXES; a++)
      if (item[i][a] >= 0) {
        buf_addf(b, "%sA%d: v%d", first ? "" : ", ", a, item[i][a]);
        first = false;
      }
    buf_addc(b, '}');
  }
  buf_addc(b, ']');
}

static char *text_of(const struct made *x)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders: {b: {steps: [x], matrix: {");
  for (int a = 0; a < x->naxes; a++) {
    buf_addf(&b, "%sA%d: [", a ? ", " : "", a);
    for (int v = 0; v < x->nvalues[a]; v++)
      buf_addf(&b, "%sv%d", v ? ", " : "", v);
    buf_addc(&b, ']');
  }
  write_items(&b, "exclude", x->nexclude, (const int(*)[AXES])x->exclude);
  write_items(&b, "include", x->ninclude, (const int(*)[AXES])x->include);
  buf_adds(&b, "}}}\n");
  return buf_take(&b);
}

static bool hits(const int *item, const int *c)
{
  for (int a = 0; a < AXES; a++)
    if (item[a] >= 0 && item[a] != c[a])
      return false;
  return true;
}

static bool empty(const int *item)
{
  return item[0] < 0 && item[1] < 0 && item[2] < 0;
}

static void add_name(struct buf *b, const int *c, int naxes)
{
  buf_addf(b, "%sb", b->len ? " " : "");
  for (int a = 0; a < naxes; a++)
    buf_addf(b, "%cv%d", a ? ',' : '[', c[a]);
  buf_addc(b, ']');
}

/* All numbers of the odometer, one by one. NULL: the matrix is wrong. */
static char *reckon(const struct made *x)
{
  bool hit[ITEMS] = { 0 }, bad = false;
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (int c0 = 0; c0 < x->nvalues[0]; c0++)
    for (int c1 = 0; c1 < (x->naxes > 1 ? x->nvalues[1] : 1); c1++)
      for (int c2 = 0; c2 < (x->naxes > 2 ? x->nvalues[2] : 1); c2++) {
        int c[AXES] = { c0, x->naxes > 1 ? c1 : -1, x->naxes > 2 ? c2 : -1 };
        bool out = false;
        for (int i = 0; i < x->nexclude; i++)
          if (hits(x->exclude[i], c))
            out = hit[i] = true;
        if (!out)
          add_name(&b, c, x->naxes);
      }
  for (int i = 0; i < x->nexclude; i++)
    bad |= empty(x->exclude[i]) || !hit[i];
  for (int i = 0; i < x->ninclude; i++) {
    struct buf name;
    char *all, *one;
    for (int a = 0; a < x->naxes; a++)
      bad |= x->include[i][a] < 0;
    buf_init(&name, BUF_NO_MAX);
    add_name(&name, x->include[i], x->naxes);
    all = xasprintf(" %s ", buf_str(&b));
    one = xasprintf(" %s ", buf_str(&name));
    bad |= strstr(all, one) != NULL;
    add_name(&b, x->include[i], x->naxes);
    free(all);
    free(one);
    buf_free(&name);
  }
  if (!bad && b.len)
    return buf_take(&b);
  buf_free(&b);
  return NULL;
}

static void test_made(void **state)
{
  enum { ROUNDS = 20000 };
  int good = 0, with_exclude = 0;

  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    struct made x;
    char *text, *want, *is;
    struct pipeline *p;
    struct diags d;
    make_made(&x);
    text = text_of(&x);
    want = reckon(&x);
    diag_init(&d);
    p = pipeline_parse("f", text, strlen(text), "p", &d);
    is = p ? names_of(p, -1) : NULL;
    if (!str_eq(is, want))
      fail_msg("%s%s, not %s", text, is ? is : d.v[0].message, want ? want : "refused");
    for (int i = 0; p && i < p->nbuilders; i++)
      for (int a = 0; a < p->builders[i].naxes; a++)
        assert_string_equal(env_of(&p->builders[i].steps[1], p->builders[i].axes[a].name), p->builders[i].axes[a].value);
    good += p != NULL;
    with_exclude += p && x.nexclude;
    pipeline_free(p);
    diag_free(&d);
    free(text);
    free(want);
    free(is);
  }
  assert_true(good > ROUNDS / 10 && good < ROUNDS * 9 / 10 && with_exclude > ROUNDS / 50);
}

/* ---- hostile sizes ---- */

#ifdef __SANITIZE_ADDRESS__
enum { QUICK_MS = 8000 };
#else
enum { QUICK_MS = 1000 };
#endif

static int64_t cpu_ms(void)
{
  struct timespec t;

  assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
  return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* Frees text. */
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

/* "A0: &v [0, 1, …], A1: *v, …" */
static void add_axes(struct buf *b, int naxes, int nvalues)
{
  buf_adds(b, "builders: {b: {steps: [x], matrix: {A0: &v [0");
  for (int v = 1; v < nvalues; v++)
    buf_addf(b, ", %d", v);
  buf_addc(b, ']');
  for (int a = 1; a < naxes; a++)
    buf_addf(b, ", A%d: *v", a);
  buf_adds(b, "}}}\n");
}

static char *axes(int naxes, int nvalues)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  add_axes(&b, naxes, nvalues);
  return buf_take(&b);
}

static void test_limits(void **state)
{
  struct buf b;
  struct pipeline *p;
  char *text = axes(8, 2);

  (void)state;
  p = must_parse(text);
  assert_int_equal(p->nbuilders, PIPELINE_COMBINATIONS_MAX);
  pipeline_free(p);
  free(text);
  text = axes(1, PIPELINE_COMBINATIONS_MAX);
  p = must_parse(text);
  assert_int_equal(p->nbuilders, PIPELINE_COMBINATIONS_MAX);
  pipeline_free(p);
  free(text);
  expect_message(axes(9, 1), "more than 8 axes");
  expect_message(axes(1, 257), "the matrix has 257 combinations, 256 are the most");
  expect_message(axes(6, 10), "the matrix has 1000000 combinations, 256 are the most");
  expect_message(axes(8, 10000), "the matrix has more combinations than can be counted, 256 are the most");
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders: {b: {steps: [x], matrix: {A: &v [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15], B: *v, include: [{A: x, B: 1}]}}}\n");
  expect_message(buf_take(&b), "the matrix has more than 256 combinations");
  /* many builders of many combinations, all by alias */
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders:\n  b0: &b {matrix: {A: [");
  for (int i = 0; i < 250; i++)
    buf_addf(&b, "%d,", i);
  buf_adds(&b, "]}, steps: [x]}\n");
  for (int i = 1; i < 300; i++)
    buf_addf(&b, "  b%d: *b\n", i);
  expect_message(buf_take(&b), "more than 1000 builders, those of matrices counted");
  /* and few whose steps are many */
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders: {b: {matrix: {A: &v [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15], B: *v}, steps: [");
  for (int i = 0; i < 20; i++)
    buf_adds(&b, "x,");
  buf_adds(&b, "]}}\n");
  expect_message(buf_take(&b), "more than 4096 steps in all builders");
  /* a large environment for each of them */
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders: {b: {matrix: {A: &v [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15], B: *v}, env: {");
  for (int i = 0; i < 200; i++)
    buf_addf(&b, "V%d: \"${{ branch }} %0900d\",", i, 0);
  buf_adds(&b, "}, steps: [x]}}\n");
  expect_message(buf_take(&b), "more than 400000 values or 32 MiB, with matrices and templates written out");
  /* a name that is too long, told once for each */
  buf_init(&b, BUF_NO_MAX);
  buf_addf(&b, "builders: {b: {matrix: {A: [%032d], B: [%032d], C: [%027d]}, steps: [x]}}\n", 0, 0, 0);
  text = buf_take(&b);
  p = must_parse(text);
  assert_int_equal(strlen(p->builders[0].name), PIPELINE_BUILDER_MAX);
  pipeline_free(p);
  free(text);
  buf_init(&b, BUF_NO_MAX);
  buf_addf(&b, "builders: {b: {matrix: {A: [%032d], B: [%032d], C: [%028d]}, steps: [x]}}\n", 1, 1, 1);
  expect_message(buf_take(&b), "the name of a combination has at most 96 bytes: b[00000000000000000000000000000001,00000000000000000000000000000001,0000000000000000000000000001]");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_names_and_order), cmocka_unit_test(test_schedulers), cmocka_unit_test(test_values), cmocka_unit_test(test_messages),
    cmocka_unit_test(test_all_short_names), cmocka_unit_test(test_made), cmocka_unit_test(test_limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
