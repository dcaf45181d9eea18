/* Changes of the past decided again: verdicts beside those of that time, and what would be built otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/schedulers/trial.h"
#include "tests/lib/pipefix.h"

#define BUILDERS "builders: {a: {steps: [make]}, b: {steps: [make]}}\n"

/* "scheduler verdict rule then|…; would; did; added; dropped" */
static char *trial(const char *pipeline, struct decide_change c, const char *verdicts, const char *built, const char *together)
{
  struct pipeline *p = pipeline ? must_parse(pipeline) : NULL;
  cJSON *then = cJSON_Parse(verdicts), *did = cJSON_Parse(built), *along = cJSON_Parse(together), *o;
  const cJSON *it, *name;
  struct buf b;

  c.project = c.repository = c.revision = c.author = "x";
  c.message = c.message ? c.message : "";
  c.branch = c.branch ? c.branch : "main";
  o = trial_change(p, &c, then, did, along);
  buf_init(&b, BUF_NO_MAX);
  cJSON_ArrayForEach(it, cJSON_GetObjectItem(o, "verdicts")) {
    const char *rule = cJSON_GetStringValue(cJSON_GetObjectItem(it, "rule")), *was = cJSON_GetStringValue(cJSON_GetObjectItem(it, "then"));
    buf_addf(&b, "%s%s %s %s %s", b.len ? "|" : "", cJSON_GetStringValue(cJSON_GetObjectItem(it, "scheduler")), cJSON_GetStringValue(cJSON_GetObjectItem(it, "verdict")), rule ? rule : "-", was ? was : "-");
    if (cJSON_GetObjectItem(it, "stable"))
      buf_addf(&b, " %d", cJSON_GetObjectItem(it, "stable")->valueint);
    if (cJSON_IsTrue(cJSON_GetObjectItem(it, "supersede")))
      buf_adds(&b, " supersede");
  }
  static const char *const lists[] = { "would", "did", "added", "dropped" };
  for (size_t i = 0; i < COUNT(lists); i++) {
    buf_adds(&b, ";");
    cJSON_ArrayForEach(name, cJSON_GetObjectItem(o, lists[i]))
      buf_addf(&b, " %s", name->valuestring);
  }
  cJSON_Delete(o);
  cJSON_Delete(then);
  cJSON_Delete(did);
  cJSON_Delete(along);
  pipeline_free(p);
  return buf_take(&b);
}

static void test_trials(void **state)
{
  static char *const docs[] = { "docs/a" };
  static const struct {
    const char *pipeline;
    struct decide_change change;
    const char *verdicts, *built, *want;
  } rows[] = {
    { BUILDERS, { 0 }, "[{\"scheduler\": \"commits\", \"verdict\": \"builds\"}]", "[\"a\", \"b\"]", "commits builds - builds; a b; a b;;" },
    { BUILDERS "schedulers: {s: {change: {branches: dev}}}\n", { 0 }, "[]", "[\"a\"]", "s no branches -;; a;; a" },
    { BUILDERS "schedulers: {s: {change: {}, stable: 30s, builders: a}, t: {change: {}, supersede: true, builders: [a, b]}}\n", { 0 }, "[{\"scheduler\": \"s\", \"verdict\": \"waits\"}]", "[\"a\"]",
      "s waits - waits 30000|t builds - - supersede; a b; a; b;" },
    /* A scheduler that is gone, and one of another kind of change. */
    { BUILDERS "schedulers: {s: {tag: v1}}\n", { 0 }, "[{\"scheduler\": \"old\", \"verdict\": \"builds\"}, {\"scheduler\": \"never\", \"verdict\": \"no\"}]", "[\"a\"]",
      "s no kind -|old no gone builds;; a;; a" },
    /* What the moment decided is as it was. */
    { BUILDERS "schedulers: {s: {change: {}, builders: a}}\n", { 0 }, "[{\"scheduler\": \"s\", \"verdict\": \"no\", \"rule\": \"supersede\"}]", "[]", "s builds - no;;;;" },
    { BUILDERS "schedulers: {s: {change: {}, builders: a}}\n", { 0 }, "[{\"scheduler\": \"s\", \"verdict\": \"no\", \"rule\": \"disabled\"}]", "[]", "s builds - no;;;;" },
    { BUILDERS "schedulers: {s: {change: {}, builders: a}}\n", { 0 }, "[{\"scheduler\": \"s\", \"verdict\": \"no\", \"rule\": \"branches\"}]", "[]", "s builds - no; a;; a;" },
    { BUILDERS "schedulers: {s: {change: {not_only: 'docs/**'}, stable: 1s, builders: a}}\n", { .files = docs, .nfiles = 1, .whole = true }, "[{\"scheduler\": \"s\", \"verdict\": \"builds\"}]", "[\"a\"]",
      "s no not_only builds; a; a;;" },
    { BUILDERS "schedulers: {s: {change: {not_only: 'docs/**'}, stable: 1s, builders: a}}\n", { .files = docs, .nfiles = 1, .whole = true }, "[]", "[\"a\"]", "s no not_only -;; a;; a" },
    /* What others need belongs to it, unless it was there; who follows is as it was. */
    { "builders: {a: {steps: [make]}, b: {needs: a, steps: [make]}}\nschedulers: {s: {change: {}, builders: b}}\n", { 0 }, "[]", "[]", "s builds - -; a b;; a b;" },
    { "builders: {a: {steps: [make]}, b: {needs: a, steps: [make]}}\nschedulers: {s: {change: {}, builders: b}}\n", { 0 }, "[]", "[\"b\"]", "s builds - -; b; b;;" },
    { BUILDERS "schedulers: {s: {change: {}, builders: a}, t: {after: s, builders: b}}\n", { 0 }, "[]", "[\"a\", \"b\"]", "s builds - -; a b; a b;;" },
    { BUILDERS "schedulers: {s: {change: {}, builders: a}, t: {after: s, builders: b}}\n", { 0 }, "[]", "[\"a\"]", "s builds - -; a; a;;" },
    /* No pipeline at all. */
    { NULL, { 0 }, "[{\"scheduler\": \"s\", \"verdict\": \"builds\"}]", "[\"a\"]", "s no gone builds;; a;; a" },
    { BUILDERS, { 0 }, "null", "{}", "commits builds - -; a b;; a b;" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    char *got = trial(rows[i].pipeline, rows[i].change, rows[i].verdicts, rows[i].built, "[]");
    assert_string_equal(got, rows[i].want);
    free(got);
  }
}

/* `from: changed`: by its own codebase, and after a quiet time by those of all that were built together. */
static void test_from_changed(void **state)
{
  static const char builders[] = "builders: {a: {checkout: core, steps: [x]}, b: {checkout: ui, steps: [x]}, c: {checkout: none, needs: a, steps: [x]}}\n";
  static const struct { const char *schedulers, *codebase, *built, *along, *want; } rows[] = {
    { "{s: {change: {}, from: changed}}", "core", "[\"a\",\"c\"]", "[\"core\"]", "s builds - -; a c; a c;;" },
    { "{s: {change: {}, from: changed, until: a}}", "core", "[\"a\",\"c\"]", "[\"core\"]", "s builds - -; a; a c;; c" },
    { "{s: {change: {}, from: changed, until: c}}", "ui", "[\"b\"]", "[\"ui\"]", "s no from -;; b;; b" },
    { "{s: {change: {}, stable: 1s, from: changed}}", "ui", "[\"a\",\"b\",\"c\"]", "[\"core\",\"ui\"]", "s waits - - 1000; a b c; a b c;;" },
    { "{s: {change: {}, stable: 1s, from: changed}}", "ui", "[]", "[]", "s waits - - 1000; b;; b;" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    char *text = xasprintf("%sschedulers: %s\n", builders, rows[i].schedulers), *got = trial(text, (struct decide_change){ .codebase = rows[i].codebase, .main = "core" }, "[]", rows[i].built, rows[i].along);
    assert_string_equal(got, rows[i].want);
    free(got);
    free(text);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_trials), cmocka_unit_test(test_from_changed) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
