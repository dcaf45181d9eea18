/* Templates: what a use becomes, each message with its place and from where the template was used, made ones against a second reckoning, bombs. */
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

/* What is run, expressions evaluated without a build: "name: arg|arg|". */
static char *said(const struct pipe_step *s)
{
  struct expr_memory *m = expr_memory_new();
  struct expr_error e;
  struct expr_value v;
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_addf(&b, "%s:", s->name);
  for (int i = 0; s->argv && s->argv[i]; i++) {
    buf_addc(&b, ' ');
    if (s->args && s->args[i]) {
      assert_true(interp_eval(s->args[i], nothing, NULL, m, &v, &e));
      expr_show(&v, &b);
    } else {
      buf_adds(&b, s->argv[i]);
    }
  }
  if (s->script)
    buf_addf(&b, " %s", s->script);
  if (s->cond) {
    assert_true(expr_eval(s->cond, nothing, NULL, m, &v, &e));
    buf_adds(&b, expr_true(&v) ? " (yes)" : " (no)");
  }
  expr_memory_free(m);
  return buf_take(&b);
}

static void step_is(const struct pipe_builder *b, int i, const char *want)
{
  char *is;

  assert_true(i < b->nsteps);
  is = said(&b->steps[i]);
  assert_string_equal(is, want);
  free(is);
}

static void test_a_use(void **state)
{
  struct pipeline *p = must_parse("templates:\n"
                                  "  cmake:\n"
                                  "    parameters: {preset: {type: string}, tests: {type: boolean, default: true}, jobs: {type: integer, default: 2}, kind: {type: choice, choices: [debug, 1], default: debug}}\n"
                                  "    steps:\n"
                                  "      - {name: \"configure-${{ preset }}\", run: [cmake, --preset, \"${{ preset }}\", \"-j${{ jobs * 2 }}\", \"$${{ preset }}\", \"${{ kind }}\"], cwd: \"src/${{ preset }}\"}\n"
                                  "      - {name: test, if: tests, run: [ctest, \"${{ tests ? 'all' : 'none' }}\"], env: {P: \"${{ preset }}\"}, timeout: 20m}\n"
                                  "      - make install\n"
                                  "builders:\n"
                                  "  asan: {env: {Q: 1}, steps: [make, {use: cmake, with: {preset: asan}}, make]}\n"
                                  "  mingw: {steps: [{use: cmake, with: {preset: \"no\", tests: false, jobs: -1, kind: 1}}]}\n"
                                  "  expr: {steps: [{use: cmake, with: {preset: \"${{ 'a' + text(1 + 1) }}\", tests: \"${{ 1 > 2 }}\", jobs: \"${{ 3 * 3 }}\", kind: \"${{ 1 }}\"}}]}\n");
  const struct pipe_builder *b = p->builders;

  (void)state;
  assert_int_equal(b[0].nsteps, 6);
  step_is(&b[0], 1, "make: make");
  step_is(&b[0], 2, "configure-asan: cmake --preset asan -j4 ${{ preset }} debug");
  assert_string_equal(b[0].steps[2].cwd, "src/asan");
  assert_string_equal(b[0].steps[2].use->said, "in template \"cmake\", used at 9:43");
  step_is(&b[0], 3, "test: ctest all (yes)");
  assert_int_equal(b[0].steps[3].total_ms, 20 * 60000);
  assert_int_equal(b[0].steps[3].nenv, 2);
  step_is(&b[0], 4, "make-install: make install");
  step_is(&b[0], 5, "make-2: make");
  step_is(&b[1], 1, "configure-no: cmake --preset no -j-2 ${{ preset }} 1");
  step_is(&b[1], 2, "test: ctest none (no)");
  step_is(&b[2], 1, "configure-a2: cmake --preset a2 -j18 ${{ preset }} 1");
  step_is(&b[2], 2, "test: ctest none (no)");
  pipeline_free(p);
}

/* Checkouts, templates in templates, a file with nothing but steps, a name that is a text where a boolean would be. */
static void test_inside_each_other(void **state)
{
  struct pipeline *p = must_parse("templates:\n"
                                  "  a: {parameters: {x: {type: string, default: \"true\"}}, steps: [checkout, {use: b, with: {y: \"<${{ x }}>\"}}, {use: b}]}\n"
                                  "  b: {parameters: {y: {type: string, default: \"\"}}, steps: [{run: [echo, \"${{ y }}\"]}]}\n"
                                  "  unused: {parameters: {y: {type: string}, n: {type: integer}}, steps: [{use: b, with: {y: \"${{ y }}\"}}, {run: x, if: n > 3, name: \"${{ y }}\", cwd: \"${{ y }}\"}]}\n"
                                  "steps: [make, {use: a}]\n");

  (void)state;
  assert_int_equal(p->builders[0].nsteps, 4);
  step_is(&p->builders[0], 0, "make: make");
  assert_int_equal(p->builders[0].steps[1].kind, PIPE_CHECKOUT);
  step_is(&p->builders[0], 2, "echo-y: echo <true>");
  step_is(&p->builders[0], 3, "echo-y-2: echo ");
  assert_string_equal(p->builders[0].steps[2].use->said, "in template \"b\", used at 2:81 in template \"a\", used at 5:21");
  pipeline_free(p);
}

#define T "templates: {t: {parameters: {s: {type: string}, b: {type: boolean, default: true}, i: {type: integer, default: 1}, c: {type: choice, choices: [x, y], default: x}}, steps: [a]}}\n"
#define REFUSED(line, at, message) { T line "\n", ":2:" #at ": " message "\n  " line "\n%*s^\n", at + 1 }

static const struct { const char *text, *printed; int width; } in_with[] = {
  REFUSED("steps: [{use: t}]", 15, "template \"t\" wants the parameter \"s\""),
  REFUSED("steps: [{use: t, with: {b: true}}]", 18, "template \"t\" wants the parameter \"s\""),
  REFUSED("steps: [{use: t, with: {s: x, ss: y}}]", 31, "template \"t\" has no parameter \"ss\" (did you mean \"s\"?)"),
  REFUSED("steps: [{use: t, with: {s: [x]}}]", 28, "\"s\" wants a string, got a list"),
  REFUSED("steps: [{use: t, with: {s: ~}}]", 28, "\"s\" wants a string, got ~"),
  REFUSED("steps: [{use: t, with: {s: x, b: maybe}}]", 34, "\"b\" wants true or false, got \"maybe\""),
  REFUSED("steps: [{use: t, with: {s: x, b: 'true'}}]", 34, "\"b\" wants true or false, got \"true\""),
  REFUSED("steps: [{use: t, with: {s: x, i: 1.5}}]", 34, "\"i\" wants a whole number, got \"1.5\""),
  REFUSED("steps: [{use: t, with: {s: x, i: '3'}}]", 34, "\"i\" wants a whole number, got \"3\""),
  REFUSED("steps: [{use: t, with: {s: x, c: z}}]", 34, "\"c\" wants \"x\" or \"y\", got \"z\""),
  REFUSED("steps: [{use: t, with: {s: x, i: \"${{ 'a' }}\"}}]", 34, "\"i\" wants a whole number, got \"a\""),
  REFUSED("steps: [{use: t, with: {s: x, b: \"${{ 'true' }}\"}}]", 34, "\"b\" wants true or false, got \"true\""),
  REFUSED("steps: [{use: t, with: {s: \"${{ [1, 2] }}\"}}]", 28, "\"s\" wants a string, got \"1 2\""),
  REFUSED("steps: [{use: t, with: {s: \"${{ branch }}\"}}]", 28, "what \"branch\" is will be known when the build runs (here it can be made of `matrix` and of a template's parameters)"),
  REFUSED("steps: [{use: t, with: {s: \"${{ properties.x ?? 1 }}\"}}]", 28,
          "what \"properties.x\" is will be known when the build runs (here it can be made of `matrix` and of a template's parameters)"),
  REFUSED("steps: [{use: t, with: {s: \"${{ matrix.CC }}\"}}]", 33, "there is no \"matrix.CC\" here"),
  REFUSED("steps: [{use: t, with: {s: \"${{ 1 / 0 }}\"}}]", 35, "a division by zero"),
  REFUSED("steps: [{use: t, with: 1}]", 24, "\"with\" wants a map of parameters, got \"1\""),
  REFUSED("steps: [{use: tt, with: {s: x}}]", 15, "there is no template \"tt\" (did you mean \"t\"?)"),
  REFUSED("steps: [{use: 'a b', with: {s: x}}]", 15, "\"use\" wants a name, got \"a b\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)"),
  REFUSED("steps: [{use: t, with: {s: x}, name: n}]", 32, "a step that uses a template has no \"name\" (it can be a parameter of the template)"),
  REFUSED("steps: [{run: x, with: {s: x}}]", 18, "\"with\" says what a template is given, and there is no \"use\" (use: NAME)"),
};

static void test_messages_of_uses(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(in_with); i++) {
    struct diags d;
    struct buf b;
    char *want;
    diag_init(&d);
    assert_null(pipeline_parse("", in_with[i].text, strlen(in_with[i].text), "libfoo", &d));
    buf_init(&b, BUF_NO_MAX);
    diag_print(&d, &b);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    want = xasprintf(in_with[i].printed, in_with[i].width, "");
#pragma GCC diagnostic pop
    if (!strstr(buf_str(&b), want)) /* some are told for the schema too */
      assert_string_equal(buf_str(&b), want);
    free(want);
    buf_free(&b);
    diag_free(&d);
  }
}

static const struct { const char *text, *printed; } refusals[] = {
  /* the declaration */
  { "templates: {t: {parameters: {}}}\nsteps: [a]\n", ":1:13: template \"t\" has no \"steps\"\n  templates: {t: {parameters: {}}}\n              ^\n" },
  { "templates: {t: {steps: []}}\nsteps: [a]\n", ":1:24: \"steps\" has no step\n  templates: {t: {steps: []}}\n                         ^\n" },
  { "templates: {t: {parameters: {p: {}}, steps: [a]}}\nsteps: [a]\n",
    ":1:30: \"p\" wants the key \"type\"\n  templates: {t: {parameters: {p: {}}, steps: [a]}}\n                               ^\n" },
  { "templates: {t: {parameters: {p: {type: text}}, steps: [a]}}\nsteps: [a]\n",
    ":1:40: \"type\" wants \"string\" or \"integer\" or \"boolean\" or \"choice\", got \"text\"\n  templates: {t: {parameters: {p: {type: text}}, steps: [a]}}\n"
    "                                         ^\n" },
  { "templates: {t: {parameters: {branch: {type: string}}, steps: [a]}}\nsteps: [a]\n",
    ":1:30: \"branch\" has a meaning of its own in expressions (take another name)\n  templates: {t: {parameters: {branch: {type: string}}, steps: [a]}}\n"
    "                               ^\n" },
  { "templates: {t: {parameters: {a-b: {type: string}}, steps: [a]}}\nsteps: [a]\n",
    ":1:30: \"a-b\" can't be the name of a parameter, which is a name in expressions (letters, digits and underscores, first no digit)\n"
    "  templates: {t: {parameters: {a-b: {type: string}}, steps: [a]}}\n                               ^\n" },
  { "templates: {t: {parameters: {p: {type: integer, default: many}}, steps: [a]}}\nsteps: [a]\n",
    ":1:58: \"p\" wants a whole number, got \"many\"\n  templates: {t: {parameters: {p: {type: integer, default: many}}, steps: [a]}}\n"
    "                                                           ^\n" },
  { "templates: {t: {parameters: {p: {type: string, default: \"${{ 1 }}\"}}, steps: [a]}}\nsteps: [a]\n",
    ":1:57: an expression, ${{ … }}, can't stand here (they may stand in `env` and in a `run` that is a list)\n"
    "  templates: {t: {parameters: {p: {type: string, default: \"${{ 1 }}\"}}, steps: [a]}}\n"
    "                                                          ^\n" },
  { "templates: {t: {parameters: {p: {type: choice}}, steps: [a]}}\nsteps: [a]\n",
    ":1:30: the choice \"p\" has no \"choices\" (choices: [debug, release])\n  templates: {t: {parameters: {p: {type: choice}}, steps: [a]}}\n"
    "                               ^\n" },
  { "templates: {t: {parameters: {p: {type: string, choices: [a]}}, steps: [a]}}\nsteps: [a]\n",
    ":1:48: only a choice has \"choices\" (type: choice)\n  templates: {t: {parameters: {p: {type: string, choices: [a]}}, steps: [a]}}\n"
    "                                                 ^\n" },
  { "steps: [{use: t}]\n", ":1:15: there is no template \"t\" (there are no `templates`)\n  steps: [{use: t}]\n                ^\n" },
  /* inside: the template's place, and who used it; once, for however many uses */
  { "templates: {t: {steps: [{run: a, if: branch}]}}\nbuilders: {a: {steps: [{use: t}]}, b: {steps: [{use: t}, {use: t}]}}\n",
    ":1:38: a condition is true or false, and this is a text, in template \"t\", used at 2:30 (compare it: ==, !=, in, <, >)\n"
    "  templates: {t: {steps: [{run: a, if: branch}]}}\n                                       ^\n" },
  { "templates:\n  a: {steps: [{use: b, with: {p: 1}}]}\n  b: {parameters: {p: {type: integer}}, steps: [{run: [\"${{ q }}\"]}]}\nsteps: [{use: a}]\n",
    ":3:61: there is no \"q\" here, in template \"b\", used at 2:21 in template \"a\", used at 4:15 (did you mean \"p\"?)\n"
    "  b: {parameters: {p: {type: integer}}, steps: [{run: [\"${{ q }}\"]}]}\n                                                            ^\n" },
  { "templates:\n  a: {steps: [{use: b, with: {p: x}}]}\n  b: {parameters: {p: {type: integer}}, steps: [a]}\nsteps: [{use: a}]\n",
    ":2:34: \"p\" wants a whole number, got \"x\", in template \"a\", used at 4:15\n  a: {steps: [{use: b, with: {p: x}}]}\n                                 ^\n" },
  { "templates: {t: {parameters: {n: {type: string}}, steps: [{run: a, name: \"${{ n }}\"}]}}\nsteps: [{use: t, with: {n: a b}}]\n",
    ":1:73: \"name\" wants a name, got \"a b\", in template \"t\", used at 2:15 (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  templates: {t: {parameters: {n: {type: string}}, steps: [{run: a, name: \"${{ n }}\"}]}}\n"
    "                                                                          ^\n" },
  { "templates: {t: {steps: [{run: a, name: x}]}}\nsteps: [{use: t}, {use: t}]\n",
    ":1:40: two steps of builder \"libfoo\" have the name \"x\", in template \"t\", used at 2:25\n  templates: {t: {steps: [{run: a, name: x}]}}\n"
    "                                         ^\n" },
  { "templates: {t: {steps: [checkout]}}\nsteps: [{use: t}, {use: t}]\n",
    ":1:25: a second checkout, the first is in line 1, in template \"t\", used at 2:25\n  templates: {t: {steps: [checkout]}}\n                          ^\n" },
  { "templates: {t: {steps: [{run: a, if: matrix.CC == 'x'}]}}\nbuilders: {b: {matrix: {CC: [x, y]}, steps: [{use: t}]}}\n",
    ":1:38: there is no \"matrix.CC\" here, in template \"t\", used at 2:52\n  templates: {t: {steps: [{run: a, if: matrix.CC == 'x'}]}}\n"
    "                                       ^\n" },
  /* that nobody uses */
  { "templates: {t: {parameters: {b: {type: boolean}}, steps: [{run: a, if: b and i}]}}\nsteps: [a]\n",
    ":1:78: there is no \"i\" here (did you mean \"b\"?)\n  templates: {t: {parameters: {b: {type: boolean}}, steps: [{run: a, if: b and i}]}}\n"
    "                                                                               ^\n" },
  { "templates: {t: {parameters: {s: {type: string}}, steps: [{run: [\"${{ s * 2 }}\"]}]}}\nsteps: [a]\n",
    ":1:70: this is a text, and a number is wanted\n  templates: {t: {parameters: {s: {type: string}}, steps: [{run: [\"${{ s * 2 }}\"]}]}}\n"
    "                                                                       ^\n" },
  /* cycles */
  { "templates: {a: {steps: [{use: a}]}}\nsteps: [{use: a}]\n",
    ":1:31: template \"a\" uses itself: a → a, in template \"a\", used at 2:15\n  templates: {a: {steps: [{use: a}]}}\n                                ^\n" },
  { "templates:\n  a: {steps: [x, {use: b}]}\n  b: {steps: [{use: c}]}\n  c: {steps: [{use: b}]}\nbuilders: {x: {steps: [{use: a}]}, y: {steps: [{use: c}]}}\n",
    ":4:21: template \"b\" uses itself: b → c → b, in template \"c\", used at 3:21 in template \"b\", used at 2:24 in template \"a\", used at 5:30\n"
    "  c: {steps: [{use: b}]}\n                    ^\n" },
  { "templates:\n  a: {steps: [{use: b}]}\n  b: {steps: [{use: a}]}\nsteps: [x]\n",
    ":3:21: template \"a\" uses itself: b → a, in template \"b\", used at 2:21\n  b: {steps: [{use: a}]}\n                    ^\n" },
};

static void test_messages(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(refusals); i++)
    expect_refused(refusals[i].text, refusals[i].printed);
}

/* A template is wrong once; what each use gives it is told for each. */
static void test_each_use_is_told(void **state)
{
  (void)state;
  expect_refused("templates: {t: {parameters: {n: {type: integer}}, steps: [{run: [\"${{ m }}\"]}]}}\n"
                 "steps: [{use: t, with: {n: x}}, {use: t, with: {n: 1}}, {use: t, with: {n: y}}]\n",
                 ":1:71: there is no \"m\" here, in template \"t\", used at 2:39 (did you mean \"n\"?)\n"
                 "  templates: {t: {parameters: {n: {type: integer}}, steps: [{run: [\"${{ m }}\"]}]}}\n"
                 "                                                                        ^\n"
                 ":2:28: \"n\" wants a whole number, got \"x\"\n"
                 "  steps: [{use: t, with: {n: x}}, {use: t, with: {n: 1}}, {use: t, with: {n: y}}]\n"
                 "                             ^\n"
                 ":2:76: \"n\" wants a whole number, got \"y\"\n"
                 "  steps: [{use: t, with: {n: x}}, {use: t, with: {n: 1}}, {use: t, with: {n: y}}]\n"
                 "                                                                             ^\n");
}

/* ---- made ones: a template may use those with a higher number ---- */

static uint64_t seed = 362436069362436069u;

static int below(int n)
{
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (int)(seed % (unsigned)n);
}

enum { TEMPLATES = 5, STEPS = 3 };

/* use: -1: a step of its own. add: what is handed over is the parameter and this. */
struct made_step { int use, add; bool given; };
struct made { int n[TEMPLATES + 1], start[TEMPLATES]; struct made_step step[TEMPLATES + 1][STEPS]; };

static void make_made(struct made *x)
{
  for (int t = 0; t <= TEMPLATES; t++) {
    x->n[t] = 1 + below(STEPS);
    for (int i = 0; i < x->n[t]; i++) {
      int first = t == TEMPLATES ? 0 : t + 1;
      x->step[t][i] = (struct made_step){ .use = first < TEMPLATES && below(2) ? first + below(TEMPLATES - first) : -1, .add = below(10), .given = below(3) > 0 };
    }
  }
  for (int t = 0; t < TEMPLATES; t++)
    x->start[t] = below(100);
}

static void write_steps(struct buf *b, const struct made *x, int t)
{
  for (int i = 0; i < x->n[t]; i++) {
    const struct made_step *s = &x->step[t][i];
    buf_adds(b, i ? ", " : "[");
    if (s->use < 0 && t == TEMPLATES)
      buf_addf(b, "{run: [t%d, s%d, \"-\"]}", t, i);
    else if (s->use < 0)
      buf_addf(b, "{run: [t%d, s%d, \"${{ p }}\"]}", t, i);
    else if (!s->given)
      buf_addf(b, "{use: t%d}", s->use);
    else if (t == TEMPLATES)
      buf_addf(b, "{use: t%d, with: {p: %d}}", s->use, s->add);
    else
      buf_addf(b, "{use: t%d, with: {p: \"${{ p + %d }}\"}}", s->use, s->add);
  }
  buf_addc(b, ']');
}

static char *text_of(const struct made *x)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "templates:\n");
  for (int t = 0; t < TEMPLATES; t++) {
    buf_addf(&b, "  t%d: {parameters: {p: {type: integer, default: %d}}, steps: ", t, x->start[t]);
    write_steps(&b, x, t);
    buf_adds(&b, "}\n");
  }
  buf_adds(&b, "steps: ");
  write_steps(&b, x, TEMPLATES);
  buf_addc(&b, '\n');
  return buf_take(&b);
}

static void reckon(const struct made *x, int t, int p, struct buf *out)
{
  for (int i = 0; i < x->n[t]; i++) {
    const struct made_step *s = &x->step[t][i];
    if (s->use >= 0)
      reckon(x, s->use, s->given ? (t == TEMPLATES ? 0 : p) + s->add : x->start[s->use], out);
    else if (t == TEMPLATES)
      buf_addf(out, "t%d s%d -\n", t, i);
    else
      buf_addf(out, "t%d s%d %d\n", t, i, p);
  }
}

static void test_made(void **state)
{
  enum { ROUNDS = 4000 };
  int steps = 0;

  (void)state;
  for (int round = 0; round < ROUNDS; round++) {
    struct made x;
    struct buf want, is;
    struct pipeline *p;
    char *text;
    make_made(&x);
    text = text_of(&x);
    p = must_parse(text);
    buf_init(&want, BUF_NO_MAX);
    buf_init(&is, BUF_NO_MAX);
    reckon(&x, TEMPLATES, 0, &want);
    for (int i = 1; i < p->builders[0].nsteps; i++) {
      char *s = said(&p->builders[0].steps[i]);
      buf_addf(&is, "%s\n", strchr(s, ' ') + 1);
      free(s);
    }
    if (strcmp(buf_str(&is), buf_str(&want)))
      fail_msg("%s\n%s\nnot\n%s", text, buf_str(&is), buf_str(&want));
    steps += p->builders[0].nsteps;
    pipeline_free(p);
    buf_free(&want);
    buf_free(&is);
    free(text);
  }
  assert_true(steps > ROUNDS * 3);
}

/* ---- bombs ---- */

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
  int at = 0;

  diag_init(&d);
  assert_null(pipeline_parse("f", text, strlen(text), "p", &d));
  assert_true(cpu_ms() - start < QUICK_MS);
  while (at < d.n - 1 && strcmp(d.v[at].message, message))
    at++;
  assert_string_equal(d.v[at].message, message);
  diag_free(&d);
  free(text);
}

/* t0 uses t1 `wide` times, that t2, … depth templates; the last has `last`. */
static char *bomb(int depth, int wide, const char *last, const char *end)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "templates:\n");
  for (int t = 0; t < depth; t++) {
    buf_addf(&b, "  t%d: {steps: [", t);
    for (int i = 0; i < wide && t < depth - 1; i++)
      buf_addf(&b, "{use: t%d},", t + 1);
    buf_addf(&b, "%s]}\n", t == depth - 1 ? last : "");
  }
  buf_adds(&b, end);
  return buf_take(&b);
}

static void test_bombs(void **state)
{
  char *text = bomb(8, 1, "a", "steps: [{use: t0}]\n"), *big;
  struct pipeline *p = must_parse(text);
  struct buf b;

  (void)state;
  assert_int_equal(p->builders[0].nsteps, 2);
  pipeline_free(p);
  free(text);
  expect_message(bomb(9, 1, "a", "steps: [{use: t0}]\n"), "more than 8 templates inside each other, in template \"t7\", used at 8:22 in template \"t6\", used at 7:22 in template \"t5\", used at 6:22 "
                 "in template \"t4\", used at 5:22 in template \"t3\", used at 4:22 in template \"t2\", used at 3:22 in template \"t1\", used at 2:22 in template \"t0\", used at 11:15");
  expect_message(bomb(8, 10, "a", "steps: [{use: t0}]\n"), "more than 4096 steps in all builders");
  expect_message(bomb(8, 10, "a", "steps: [a]\n"), "more than 4096 steps in all builders"); /* nobody uses it */
  /* no step at its end: told, and not waited for */
  expect_message(bomb(8, 10, "", "steps: [{use: t0}]\n"), "\"steps\" has no step");
  /* by alias and by matrix */
  expect_message(bomb(8, 2, "a", "builders: {b: {matrix: {A: &v [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15], B: *v}, steps: &s [{use: t0}]}, c: {steps: *s}}\n"), "more than 4096 steps in all builders");
  /* a parameter that doubles */
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "templates:\n");
  for (int t = 0; t < 8; t++)
    buf_addf(&b, "  t%d: {parameters: {p: {type: string}}, steps: [{use: t%d, with: {p: \"${{ p + p + p + p }}\"}}]}\n", t, t + 1);
  buf_adds(&b, "  t8: {parameters: {p: {type: string}}, steps: [a]}\nsteps: [{use: t1, with: {p: 0123456789}}]\n");
  text = buf_take(&b);
  {
    struct diags d;
    diag_init(&d);
    assert_null(pipeline_parse("f", text, strlen(text), "p", &d));
    assert_true(str_starts(d.v[0].message, "a parameter's value has at most 1024 bytes, in template \"t4\""));
    diag_free(&d);
  }
  free(text);
  /* large templates, used often */
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "templates:\n  t:\n    parameters: {");
  for (int i = 0; i < 2000; i++)
    buf_addf(&b, "p%d: {type: string, default: x},", i);
  buf_adds(&b, "}\n    steps: [a]\nsteps: [");
  for (int i = 0; i < 3000; i++)
    buf_adds(&b, "{use: t},");
  buf_adds(&b, "]\n");
  big = buf_take(&b);
  expect_message(big, "more than 400000 values or 32 MiB, with matrices and templates written out");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_use), cmocka_unit_test(test_inside_each_other), cmocka_unit_test(test_messages_of_uses), cmocka_unit_test(test_messages),
    cmocka_unit_test(test_each_use_is_told), cmocka_unit_test(test_made), cmocka_unit_test(test_bombs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
