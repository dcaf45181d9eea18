/* `needs` of builders, and schedulers after each other: whom it means, each message with its place, and what of a pipeline belongs to what is asked for, against a simpler reckoning of made pipelines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/graph.h"
#include "tests/lib/pipefix.h"

static void needs_are(const struct pipeline *p, const char *builder, const char *want)
{
  const struct pipe_builder *b = pipeline_builder(p, builder);
  struct buf is;

  buf_init(&is, BUF_NO_MAX);
  for (int i = 0; i < b->nneeds; i++) {
    assert_string_equal(b->needs[i].name, b->needs[i].builder->name);
    buf_addf(&is, "%s%s%s", i ? " " : "", b->needs[i].name, b->needs[i].soft ? "~" : "");
  }
  assert_string_equal(buf_str(&is), want);
  buf_free(&is);
}

static void test_whom_it_means(void **state)
{
  struct pipeline *p = must_parse("builders:\n"
                                  "  dist: {needs: [linux, {docs: soft, \"arm[1]\": good}], steps: [a]}\n"
                                  "  linux: {matrix: {CC: [gcc, clang]}, needs: \"pre[${{ matrix.CC }}]\", steps: [a]}\n"
                                  "  pre: {matrix: {CC: [gcc, clang]}, steps: [a]}\n"
                                  "  arm: {matrix: {N: [1, 2]}, needs: docs, steps: [a]}\n"
                                  "  docs: {needs: [], steps: [a]}\n"
                                  "  all-of-it: {needs: {dist: soft}, steps: [a]}\n");

  (void)state;
  needs_are(p, "dist", "linux[gcc] linux[clang] docs~ arm[1]");
  needs_are(p, "linux[clang]", "pre[clang]");
  needs_are(p, "arm[2]", "docs");
  needs_are(p, "docs", "");
  needs_are(p, "all-of-it", "dist~");
  pipeline_free(p);
}

static void test_other_projects(void **state)
{
  struct pipeline *p = must_parse("builders:\n"
                                  "  dist: {needs: [linux, {lib/dist: soft}, \"lib/arm[1]\"], steps: [a]}\n"
                                  "  linux: {matrix: {CC: [gcc, clang]}, needs: \"lib/pre[${{ matrix.CC }}]\", steps: [a]}\n");
  const struct pipe_builder *dist = pipeline_builder(p, "dist"), *clang = pipeline_builder(p, "linux[clang]");
  struct buf json;

  (void)state;
  needs_are(p, "dist", "linux[gcc] linux[clang]");
  assert_int_equal(dist->noutside, 2);
  assert_string_equal(dist->outside[0].project, "lib");
  assert_string_equal(dist->outside[0].builder, "dist");
  assert_true(dist->outside[0].soft);
  assert_string_equal(dist->outside[1].builder, "arm[1]");
  assert_false(dist->outside[1].soft);
  assert_int_equal(clang->noutside, 1);
  assert_string_equal(clang->outside[0].name, "lib/pre[clang]");
  buf_init(&json, BUF_NO_MAX);
  decide_builders(p, (char *[]){ "linux[gcc]" }, 1, &json);
  assert_string_equal(buf_str(&json), "[{\"name\":\"linux[gcc]\",\"tags\":[],\"needs\":[{\"name\":\"lib/pre[gcc]\",\"outside\":true}]}]");
  buf_free(&json);
  pipeline_free(p);
}

static void test_messages(void **state)
{
  static const struct { const char *text, *printed; } refusals[] = {
    { "builders:\n  a: {needs: b, steps: [x]}\n", ":2:14: there is no builder \"b\" (did you mean \"a\"?)\n  a: {needs: b, steps: [x]}\n             ^\n" },
    { "builders:\n  a: {needs: a, steps: [x]}\n", ":2:14: builder \"a\" needs itself\n  a: {needs: a, steps: [x]}\n             ^\n" },
    { "builders:\n  a: {matrix: {N: [1, 2]}, needs: a, steps: [x]}\n",
      ":2:35: builder \"a[1]\" needs itself\n  a: {matrix: {N: [1, 2]}, needs: a, steps: [x]}\n                                  ^\n"
      ":2:35: builder \"a[2]\" needs itself\n  a: {matrix: {N: [1, 2]}, needs: a, steps: [x]}\n                                  ^\n" },
    { "builders:\n  a: {needs: [b, b], steps: [x]}\n  b: {steps: [x]}\n", ":2:18: builder \"b\" stands twice\n  a: {needs: [b, b], steps: [x]}\n                 ^\n" },
    { "builders:\n  a: {needs: {b: hard}, steps: [x]}\n  b: {steps: [x]}\n",
      ":2:18: \"b\" wants \"good\" or \"soft\", got \"hard\" (good: it must end well (which is so without a word, too); soft: it must end)\n  a: {needs: {b: hard}, steps: [x]}\n                 ^\n" },
    { "builders:\n  a: {needs: libfoo/b, steps: [x]}\n",
      ":2:14: \"libfoo/b\" is of this project: its name alone says that (needs: b)\n  a: {needs: libfoo/b, steps: [x]}\n             ^\n" },
    { "builders:\n  a: {needs: [lib/b, lib/b], steps: [x]}\n", ":2:22: builder \"lib/b\" stands twice\n  a: {needs: [lib/b, lib/b], steps: [x]}\n                     ^\n" },
    { "builders:\n  a: {needs: lib/b/c, steps: [x]}\n",
      ":2:14: \"needs\" wants a builder or a list of builders, got \"lib/b/c\" (its name, or one combination of its matrix: linux, \"linux[gcc]\")\n  a: {needs: lib/b/c, steps: [x]}\n             ^\n" },
    { "builders:\n  a: {needs: [[b]], steps: [x]}\n", ":2:15: \"needs\" wants builders, got a list (needs: [linux, {docs: soft}])\n  a: {needs: [[b]], steps: [x]}\n              ^\n" },
    { "builders:\n  a: {needs: \"b c\", steps: [x]}\n",
      ":2:14: \"needs\" wants a builder or a list of builders, got \"b c\" (its name, or one combination of its matrix: linux, \"linux[gcc]\")\n  a: {needs: \"b c\", steps: [x]}\n             ^\n" },
    { "builders:\n  a: {needs: b, steps: [x]}\n  b: {needs: {c: soft}, steps: [x]}\n  c: {needs: [a], steps: [x]}\n",
      ":4:15: builders wait for each other: \"a\" needs \"b\" needs \"c\" needs \"a\" (something must come first)\n  c: {needs: [a], steps: [x]}\n              ^\n" },
    { "builders: {a: {steps: [x]}}\nschedulers:\n  x: {after: y}\n  y: {after: x}\n  z: {after: x}\n",
      ":3:14: scheduler \"x\" would wait for itself (something else must set one of them off)\n  x: {after: y}\n             ^\n"
      ":4:14: scheduler \"y\" would wait for itself (something else must set one of them off)\n  y: {after: x}\n             ^\n"
      ":5:14: scheduler \"z\" would wait for itself (something else must set one of them off)\n  z: {after: x}\n             ^\n" },
    { "builders: {a: {steps: [x]}}\nschedulers:\n  commits: {change: {}}\n  z: {after: comits}\n",
      ":4:14: there is no scheduler \"comits\" (did you mean \"commits\"?)\n  z: {after: comits}\n             ^\n" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(refusals); i++)
    expect_refused(refusals[i].text, refusals[i].printed);
}

/* A pipeline whose builder i needs some of those before it; in a file that lists them in any order. which: of each builder, the one of `more` that it says too. */
static struct pipeline *made(unsigned *seed, int n, bool (*edge)[64], const char *const *more, size_t nmore, int *which)
{
  int order[64];
  struct buf b;
  struct pipeline *p;

  for (int i = 0; i < n; i++)
    order[i] = i;
  for (int i = n - 1; i > 0; i--) {
    int k = rand_r(seed) % (i + 1), t = order[i];
    order[i] = order[k];
    order[k] = t;
  }
  memset(edge, 0, 64 * sizeof *edge);
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders:\n");
  for (int x = 0; x < n; x++) {
    int i = order[x];
    which[i] = (int)(rand_r(seed) % nmore);
    buf_addf(&b, "  b%d: {%ssteps: [x], needs: [", i, more[which[i]]);
    for (int k = 0, some = 0; k < i; k++)
      if (rand_r(seed) % (unsigned)i < 3) {
        edge[i][k] = true;
        buf_addf(&b, rand_r(seed) % 4 ? "%sb%d" : "%s{b%d: soft}", some++ ? ", " : "", k);
      }
    buf_adds(&b, "]}\n");
  }
  p = must_parse(buf_str(&b));
  buf_free(&b);
  return p;
}

static void test_closure(void **state)
{
  static bool edge[64][64];
  unsigned seed = 1;

  (void)state;
  for (int round = 0; round < 500; round++) {
    int n = 1 + (int)(rand_r(&seed) % 40), asked = 1 + (int)(rand_r(&seed) % 3), all, place[64];
    struct pipeline *p = made(&seed, n, edge, (const char *const[]){ "" }, 1, place);
    bool in[64] = { 0 }, by_name[64] = { 0 };
    char names[3][8], *list[3];
    struct graph_node *nodes;
    for (int i = 0; i < asked; i++) {
      int k = (int)(rand_r(&seed) % (unsigned)n);
      snprintf(names[i], sizeof names[i], "b%d", k);
      list[i] = names[i];
      in[k] = by_name[k] = true;
    }
    for (int i = n - 1; i >= 0; i--) /* what is needed has lower numbers */
      for (int k = 0; in[i] && k < i; k++)
        in[k] |= edge[i][k];
    all = graph_closure(p, list, asked, &nodes);
    memset(place, -1, sizeof place);
    for (int i = 0; i < all; i++) {
      int k = atoi(nodes[i].builder->name + 1);
      assert_true(in[k] && place[k] < 0); /* each once */
      place[k] = i;
      assert_int_equal(nodes[i].asked, by_name[k]);
      for (int m = 0; m < k; m++)
        assert_true(!edge[k][m] || place[m] >= 0); /* behind what it needs */
    }
    for (int i = 0; i < n; i++)
      assert_int_equal(place[i] >= 0, in[i]);
    free(nodes);
    pipeline_free(p);
  }
}

/* ---- from: changed ---- */

/* "a b": what changes in these codebases set off. */
static void follows_are(const struct pipeline *p, const char *scheduler, const char *main, const char *changed, const char *want)
{
  char **names = xcalloc((size_t)p->nbuilders + 1, sizeof *names), *copy = xstrdup(changed), *save = NULL;
  const struct pipe_scheduler *s = pipeline_scheduler(p, scheduler);
  const char *codebases[8];
  struct buf is;
  int n = 0, all;

  assert_true(s->from_changed);
  for (char *it = *copy ? strtok_r(copy, " ", &save) : copy; it; it = *copy ? strtok_r(NULL, " ", &save) : NULL)
    codebases[n++] = it;
  all = pipeline_follow(p, s->until, s->nuntil, codebases, n, main, names);
  buf_init(&is, BUF_NO_MAX);
  for (int i = 0; i < all; i++)
    buf_addf(&is, "%s%s", i ? " " : "", names[i]);
  assert_string_equal(buf_str(&is), want);
  buf_free(&is);
  free(names);
  free(copy);
}

static void test_what_follows(void **state)
{
  struct pipeline *p = must_parse("builders:\n"
                                  "  style: {checkout: [core, ui], steps: [a]}\n"
                                  "  core: {checkout: core, matrix: {CC: [gcc, clang]}, steps: [a]}\n"
                                  "  server: {checkout: server, needs: \"core[gcc]\", steps: [a]}\n"
                                  "  ui: {checkout: ui, needs: {core: soft}, steps: [a]}\n"
                                  "  system: {checkout: none, needs: [server, ui], steps: [a]}\n"
                                  "  manual: {steps: [a]}\n"
                                  "  sign: {checkout: none, needs: [system, lib/dist], steps: [a]}\n"
                                  "  alone: {checkout: none, steps: [a]}\n"
                                  "schedulers:\n"
                                  "  all: {change: {}, from: changed}\n"
                                  "  some: {tag: v*, from: changed, until: [system, manual]}\n"
                                  "  combinations: {pull_request: {}, from: changed, until: core}\n"
                                  "  one: {change: {}, from: changed, until: \"core[clang]\"}\n"
                                  "  ours: {change: {}, codebases: [server, ui], from: changed, until: [system, manual]}\n");
  const struct pipe_scheduler *ours = pipeline_scheduler(p, "ours");

  (void)state;
  follows_are(p, "all", "manual", "server", "server system sign");
  follows_are(p, "all", "manual", "core", "style core[gcc] core[clang] server ui system sign");
  follows_are(p, "all", "manual", "manual", "manual");
  follows_are(p, "all", "core", "core", "style core[gcc] core[clang] server ui system manual sign");
  follows_are(p, "some", "manual", "ui", "ui system");
  follows_are(p, "some", "manual", "ui server", "server ui system");
  follows_are(p, "some", "manual", "core manual", "core[gcc] core[clang] server ui system manual");
  follows_are(p, "some", "manual", "tools", "");
  follows_are(p, "combinations", "manual", "core", "core[gcc] core[clang]");
  follows_are(p, "combinations", "manual", "ui", "");
  follows_are(p, "one", "manual", "core", "core[clang]");
  assert_int_equal(ours->nbuilders, 4); /* server, ui, system, and manual, of which nobody knows here whether it is another codebase's */
  assert_string_equal(ours->builders[3], "manual");
  assert_int_equal(pipeline_scheduler(p, "some")->nbuilders, 6);
  pipeline_free(p);
  p = must_parse("builders:\n  a: {steps: [x]}\n  b: {checkout: none, needs: a, steps: [x]}\n  c: {checkout: none, steps: [x]}\nschedulers: {s: {change: {}, from: changed}}\n");
  follows_are(p, "s", "", "", "a b");
  pipeline_free(p);
}

/* By the words of the rule: somebody on the way from it has changed, and it is on the way to one of those. */
static bool reckoned(bool (*edge)[64], const bool *goal, const bool *root, int n, int i, bool down)
{
  bool yes = down ? root[i] : goal[i];

  for (int k = 0; k < n && !yes; k++)
    yes = (down ? edge[i][k] : edge[k][i]) && reckoned(edge, goal, root, n, k, down);
  return yes;
}

static void test_follow(void **state)
{
  static const char *const checkouts[] = { "", "checkout: none, ", "checkout: core, ", "checkout: [core, ui], ", "checkout: ui, " }, *const codebases[] = { "core", "ui", "other" };
  static bool edge[64][64];
  unsigned seed = 3;
  int some = 0, none = 0;

  (void)state;
  for (int round = 0; round < 500; round++) {
    int n = 1 + (int)(rand_r(&seed) % 12), checkout[64], all, nuntil = 0, nchanged = 0, m = 0;
    bool root[64] = { 0 }, goal[64] = { 0 };
    const char *changed[3], *main = codebases[rand_r(&seed) % 3];
    struct pipeline *p = made(&seed, n, edge, checkouts, COUNT(checkouts), checkout);
    char *until[64], *names[64];
    for (int i = 0; i < 3; i++)
      if (rand_r(&seed) % 2)
        changed[nchanged++] = codebases[i];
    for (int i = 0; i < n; i++) {
      int k = atoi(p->builders[i].name + 1);
      if (rand_r(&seed) % 4 == 0)
        goal[k] = true, until[nuntil++] = p->builders[i].name;
      for (int c = 0; c < nchanged; c++)
        root[k] |= checkout[k] ? strstr(checkouts[checkout[k]], changed[c]) != NULL : !strcmp(changed[c], main);
    }
    for (int i = 0; i < n && !nuntil; i++)
      goal[i] = true;
    all = pipeline_follow(p, until, nuntil, changed, nchanged, main, names);
    for (int i = 0; i < n; i++) {
      int k = atoi(p->builders[i].name + 1);
      bool want = reckoned(edge, goal, root, n, k, true) && reckoned(edge, goal, root, n, k, false);
      assert_int_equal(m < all && !strcmp(names[m], p->builders[i].name), want);
      m += want;
    }
    assert_int_equal(m, all);
    some += all > 0, none += all == 0;
    pipeline_free(p);
  }
  assert_true(some > 100 && none > 50);
}

/* Its words, and what is asked for. */
static void test_from_changed(void **state)
{
  struct pipeline *p = must_parse("builders:\n"
                                  "  core: {checkout: core, steps: [a]}\n"
                                  "  ui: {checkout: ui, needs: core, steps: [a]}\n"
                                  "  system: {checkout: none, needs: ui, steps: [a]}\n"
                                  "schedulers:\n"
                                  "  s: {change: {}, from: changed, until: ui}\n");
  static const struct { const char *codebase, *want; } rows[] = {
    { "ui", "[{\"scheduler\":\"s\",\"verdict\":\"builds\",\"why\":\"codebase ui sets off ui\",\"builders\":["
            "{\"name\":\"core\",\"tags\":[],\"priority\":50,\"codebases\":[\"core\"],\"needed\":true},"
            "{\"name\":\"ui\",\"tags\":[],\"priority\":50,\"needs\":[{\"name\":\"core\"}],\"codebases\":[\"core\",\"ui\"]}]}]" },
    { "other", "[{\"scheduler\":\"s\",\"verdict\":\"no\",\"rule\":\"from\",\"why\":\"codebase other sets nothing off on the way to ui\"}]" },
  };
  const char *const waited[] = { "core", "other" };
  struct buf json;

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    const struct decide_change c = { .kind = CHANGE_BRANCH, .project = "p", .codebase = rows[i].codebase, .main = "other", .branch = "main", .revision = "r", .message = "" };
    buf_init(&json, BUF_NO_MAX);
    assert_false(decide_plan(p, &c, &json));
    assert_string_equal(buf_str(&json), rows[i].want);
    buf_free(&json);
  }
  buf_init(&json, BUF_NO_MAX);
  decide_waited(p, p->schedulers, waited, 2, "other", &json);
  assert_non_null(strstr(buf_str(&json), "{\"name\":\"core\",\"tags\":[],\"priority\":50,\"codebases\":[\"core\"]},"));
  assert_null(strstr(buf_str(&json), "needed"));
  buf_free(&json);
  pipeline_free(p);
}

/* A chain as long as there may be builders: nothing of this is done by the stack. */
static void test_a_long_chain(void **state)
{
  char last[] = "b999", **names;
  struct graph_node *nodes;
  struct pipeline *p;
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders:\n  b0: {steps: [x]}\n");
  for (int i = 1; i < PIPELINE_BUILDERS_MAX; i++)
    buf_addf(&b, "  b%d: {steps: [x], needs: b%d}\n", i, i - 1);
  p = must_parse(buf_str(&b));
  assert_int_equal(graph_closure(p, (char *[]){ last }, 1, &nodes), PIPELINE_BUILDERS_MAX);
  assert_string_equal(nodes[0].builder->name, "b0");
  assert_true(nodes[PIPELINE_BUILDERS_MAX - 1].asked && !nodes[0].asked);
  names = xcalloc(PIPELINE_BUILDERS_MAX, sizeof *names);
  assert_int_equal(pipeline_follow(p, NULL, 0, NULL, 0, NULL, names), PIPELINE_BUILDERS_MAX);
  free(names);
  free(nodes);
  pipeline_free(p);
  buf_free(&b);
}

static void test_too_many(void **state)
{
  struct diags d;
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "builders:\n  m: {matrix: {A: [");
  for (int i = 0; i < 200; i++)
    buf_addf(&b, "%s%d", i ? "," : "", i);
  buf_adds(&b, "]}, steps: [x]}\n  n: {needs: m, matrix: {A: [");
  for (int i = 0; i < 200; i++)
    buf_addf(&b, "%s%d", i ? "," : "", i);
  buf_adds(&b, "]}, steps: [x]}\n");
  diag_init(&d);
  assert_null(pipeline_parse(PIPELINE_FILE, buf_str(&b), b.len, "libfoo", &d));
  assert_int_equal(diag_count(&d), 1);
  diag_free(&d);
  buf_free(&b);
}

/* What a scheduler asks for, as the database takes it. */
static void test_asked_by_a_scheduler(void **state)
{
  struct pipeline *p = must_parse("builders: {a: {steps: [x]}, b: {needs: {a: soft}, steps: [x]}, c: {worker: {tags: w}, steps: [x]}}\n"
                                  "schedulers:\n"
                                  "  plain: {change: {}, builders: b}\n"
                                  "  much: {change: {}, builders: b, reuse: none, fail_fast: true, priority: 7}\n"
                                  "  then: {after: much, builders: c}\n"
                                  "  at-last: {after: then, builders: a}\n");
  static const char *const wants[] = {
    "[{\"name\":\"a\",\"tags\":[],\"priority\":50,\"needed\":true},{\"name\":\"b\",\"tags\":[],\"priority\":50,\"needs\":[{\"name\":\"a\",\"soft\":true}]}]",
    "{\"builders\":[{\"name\":\"a\",\"tags\":[],\"priority\":7,\"needed\":true,\"fresh\":true},{\"name\":\"b\",\"tags\":[],\"priority\":7,\"needs\":[{\"name\":\"a\",\"soft\":true}]}],"
    "\"fail_fast\":true,\"next\":[{\"scheduler\":\"then\",\"builders\":{\"builders\":[{\"name\":\"c\",\"tags\":[\"w\"],\"priority\":50}],"
    "\"next\":[{\"scheduler\":\"at-last\",\"builders\":[{\"name\":\"a\",\"tags\":[],\"priority\":50}]}]}}]}",
  };

  (void)state;
  for (size_t i = 0; i < COUNT(wants); i++) {
    struct buf json;
    buf_init(&json, BUF_NO_MAX);
    decide_scheduler(p, &p->schedulers[i], &json);
    assert_string_equal(buf_str(&json), wants[i]);
    buf_free(&json);
  }
  pipeline_free(p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_whom_it_means), cmocka_unit_test(test_other_projects), cmocka_unit_test(test_messages), cmocka_unit_test(test_closure), cmocka_unit_test(test_what_follows), cmocka_unit_test(test_follow), cmocka_unit_test(test_from_changed), cmocka_unit_test(test_a_long_chain), cmocka_unit_test(test_too_many),
    cmocka_unit_test(test_asked_by_a_scheduler),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
