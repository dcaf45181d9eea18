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

/* A pipeline whose builder i needs some of those of `before`, by their numbers; in a file that lists them in any order. */
static struct pipeline *made(unsigned *seed, int n, bool (*edge)[64])
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
    buf_addf(&b, "  b%d: {steps: [x], needs: [", i);
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
    struct pipeline *p = made(&seed, n, edge);
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

/* A chain as long as there may be builders: nothing of this is done by the stack. */
static void test_a_long_chain(void **state)
{
  char last[] = "b999";
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
    cmocka_unit_test(test_whom_it_means), cmocka_unit_test(test_messages), cmocka_unit_test(test_closure), cmocka_unit_test(test_a_long_chain), cmocka_unit_test(test_too_many),
    cmocka_unit_test(test_asked_by_a_scheduler),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
