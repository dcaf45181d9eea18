/* Builders that a build reports on top of its pipeline (pipeline_extend): what they are made of, whom they may name, each message with its place, and the same made of its texts again. */
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
#include "tests/lib/pipefix.h"

static const char base[] = "defaults: {timeout: 7m, env: {A: d}, worker: {tags: [x]}}\n"
                           "templates: {make: {parameters: {what: {type: string}}, steps: [{name: m, run: [make, \"${{ what }}\"]}]}}\n"
                           "builders:\n"
                           "  gen: {checkout: none, steps: [a]}\n"
                           "  core: {matrix: {N: [1, 2]}, checkout: none, steps: [a]}\n"
                           "  dist: {needs: core, checkout: none, steps: [a]}\n"
                           "schedulers: {all: {change: {}}, called: {triggered: {}, builders: dist}, back: {triggered: {}, builders: gen}}\n";

/* NULL: said has the diagnostics, which the caller frees. */
static struct pipeline *extend(const struct pipeline *p, const char *text, const char *by, char **said)
{
  struct pipeline *made;
  struct diags d;
  struct buf b;

  diag_init(&d);
  made = pipeline_extend(p, text, strlen(text), by, &d);
  assert_int_equal(made == NULL, diag_count(&d) > 0);
  buf_init(&b, BUF_NO_MAX);
  diag_print(&d, &b);
  diag_free(&d);
  *said = buf_take(&b);
  return made;
}

static struct pipeline *must_extend(const struct pipeline *p, const char *text, const char *by)
{
  char *said;
  struct pipeline *made = extend(p, text, by, &said);

  assert_string_equal(said, "");
  free(said);
  return made;
}

static void needs_are(const struct pipeline *p, const char *builder, const char *want)
{
  const struct pipe_builder *b = pipeline_builder(p, builder);
  struct buf is;

  buf_init(&is, BUF_NO_MAX);
  for (int i = 0; i < b->nneeds; i++)
    buf_addf(&is, "%s%s%s", i ? " " : "", b->needs[i].builder->name, b->needs[i].soft ? "~" : "");
  assert_string_equal(buf_str(&is), want);
  buf_free(&is);
}

static const char report[] = "builders:\n"
                             "  unit: {matrix: {D: [a, b]}, checkout: none, steps: [{use: make, with: {what: \"${{ matrix.D }}\"}}]}\n"
                             "  pack: {needs: [\"unit[b]\", {dist: soft}], env: {A: own}, worker: {tags: [y]}, checkout: none, steps: [{trigger: called}]}\n"
                             "  said: {needs: gen, checkout: none, steps: [a]}\n";

static void on_top(void **state)
{
  struct pipeline *p = must_parse(base), *q = must_extend(p, report, "gen");
  const struct pipe_builder *unit = pipeline_builder(q, "unit[b]"), *pack = pipeline_builder(q, "pack");
  struct buf json;

  (void)state;
  assert_int_equal(p->nown, p->nbuilders);
  assert_int_equal(q->nown, p->nbuilders);
  assert_int_equal(q->nbuilders, p->nbuilders + 4);
  pipeline_free(p); /* it stands by itself */
  assert_null(pipeline_builder(q, "dist")->reporter);
  assert_string_equal(unit->reporter, "gen");
  assert_string_equal(unit->steps[0].use->name, "make");
  assert_int_equal(unit->steps[0].total_ms, 420000);
  assert_string_equal(env_of(&unit->steps[0], "A"), "d");
  assert_string_equal(unit->tags[0], "x");
  assert_string_equal(pack->tags[0], "y");
  needs_are(q, "unit[a]", "gen");
  needs_are(q, "pack", "unit[b] dist~ gen");
  needs_are(q, "said", "gen");
  needs_are(q, "dist", "core[1] core[2]");
  assert_string_equal(pack->steps[0].asks->schedulers[0]->name, "called");
  assert_int_equal(pipeline_scheduler(q, "all")->nbuilders, q->nown); /* all is all of the pipeline's */
  buf_init(&json, BUF_NO_MAX);
  decide_builders(q, (char *[]){ "unit[a]", "said" }, 2, &json);
  assert_string_equal(buf_str(&json), "[{\"name\":\"gen\",\"tags\":[\"x\"],\"needed\":true},{\"name\":\"unit[a]\",\"tags\":[\"x\"],\"needs\":[{\"name\":\"gen\"}],\"reported\":true},"
                                      "{\"name\":\"said\",\"tags\":[\"x\"],\"needs\":[{\"name\":\"gen\"}],\"reported\":true}]");
  buf_reset(&json);
  decide_builders(q, (char *[]){ "pack" }, 1, &json); /* what is reported is built whatever there is of that name */
  assert_non_null(strstr(buf_str(&json), "{\"name\":\"unit[b]\",\"tags\":[\"x\"],\"needs\":[{\"name\":\"gen\"}],\"needed\":true,\"reported\":true,\"fresh\":true}"));
  assert_non_null(strstr(buf_str(&json), "{\"name\":\"core[1]\",\"tags\":[\"x\"],\"needed\":true}"));
  buf_free(&json);
  pipeline_free(q);
}

/* What was reported reports: the same from the pipeline at hand and from the texts. */
static void layers(void **state)
{
  static const char more[] = "builders: {deep: {needs: [said, dist], checkout: none, steps: [{use: make, with: {what: z}}]}}\n";
  struct pipeline *p = must_parse(base), *q = must_extend(p, report, "gen"), *r = must_extend(q, more, "unit[a]"), *again;
  const struct pipe_text v[] = { { base, NULL, strlen(base) }, { report, "gen", strlen(report) }, { more, "unit[a]", strlen(more) } };
  struct diags d;

  (void)state;
  diag_init(&d);
  again = pipeline_stack(v, COUNT(v), "libfoo", &d);
  assert_non_null(again);
  assert_int_equal(again->nbuilders, r->nbuilders);
  for (int i = 0; i < r->nbuilders; i++) {
    assert_string_equal(again->builders[i].name, r->builders[i].name);
    assert_true(str_eq(again->builders[i].reporter, r->builders[i].reporter));
    assert_int_equal(again->builders[i].nneeds, r->builders[i].nneeds);
  }
  needs_are(again, "deep", "said dist unit[a]");
  assert_string_equal(pipeline_builder(again, "deep")->reporter, "unit[a]");
  pipeline_free(again);
  again = pipeline_stack(v, 1, "libfoo", &d);
  assert_int_equal(again->nbuilders, p->nbuilders);
  pipeline_free(again);
  diag_free(&d);
  pipeline_free(p);
  pipeline_free(q);
  pipeline_free(r);
}

static void messages(void **state)
{
  static const struct { const char *text, *printed; } refusals[] = {
    { "builders:\n  core: {steps: [a]}\n", "nodes.yml:2:3: there is a builder \"core\" already, the pipeline's (a builder that is reported wants a name of its own)\n  core: {steps: [a]}\n  ^\n" },
    { "builders:\n  pack: {steps: [a]}\n", "nodes.yml:2:3: there is a builder \"pack\" already, reported by \"gen\" (a builder that is reported wants a name of its own)\n  pack: {steps: [a]}\n  ^\n" },
    { "builders:\n  all: {steps: [a]}\n", "nodes.yml:2:3: a builder can't be called \"all\", which means all of them\n  all: {steps: [a]}\n  ^\n" },
    { "builders:\n  a: {needs: b, steps: [x]}\n  b: {needs: a, steps: [x]}\n", "nodes.yml:3:14: builders wait for each other: \"a\" needs \"b\" needs \"a\" (something must come first)\n  b: {needs: a, steps: [x]}\n             ^\n" },
    { "builders:\n  a: {needs: unti, steps: [x]}\n", "nodes.yml:2:14: there is no builder \"unti\" (did you mean \"unit\"?)\n  a: {needs: unti, steps: [x]}\n             ^\n" },
    { "builders:\n  a: {steps: [{trigger: b}]}\n  b: {steps: [x]}\n", "nodes.yml:2:25: builder \"b\" is one of this report, and can't be triggered (`needs` brings one behind another)\n  a: {steps: [{trigger: b}]}\n                        ^\n" },
    { "builders:\n  a: {steps: [{trigger: back}]}\n", "nodes.yml:2:25: what this triggers would trigger itself, for ever: \"gen\" ▸ \"said\" ▸ \"a\" ▸ \"back\" ▸ \"gen\" (leave one of them out)\n  a: {steps: [{trigger: back}]}\n                        ^\n" },
    { "builders: {}\n", "nodes.yml:1:1: the report has no \"builders\" (builders: {NAME: {steps: […]}}; where there is nothing to build leave the file out)\n  builders: {}\n  ^\n" },
    { "steps: [a]\n", "nodes.yml:1:1: a report has named builders: builders: {NAME: {steps: […]}}\n  steps: [a]\n  ^\n" },
    { "builders: {a: {steps: [x]}}\ntemplates: {t: {steps: [x]}}\n", "nodes.yml:2:1: a report has builders only; `defaults`, `templates` and `schedulers` are the pipeline's, whose defaults and templates its builders may use\n  templates: {t: {steps: [x]}}\n  ^\n" },
    { "builders: {a: {steps: [x]}}\nlocks: {l: 1}\n", "nodes.yml:2:1: locks are declared in the site's files (`locks` at the top of master.yaml or conf.d), for all projects; a builder or a step says which it takes\n  locks: {l: 1}\n  ^\n" },
    { "builders:\n  a: {steps: [{use: make}]}\n", "nodes.yml:2:21: template \"make\" wants the parameter \"what\"\n  a: {steps: [{use: make}]}\n                    ^\n" },
    { "[a]", "nodes.yml:1:1: a report of builders is a map, got a list\n  [a]\n  ^\n" },
  };
  struct pipeline *p = must_parse(base), *q = must_extend(p, report, "gen");

  (void)state;
  for (size_t i = 0; i < COUNT(refusals); i++) {
    char *said;
    assert_null(extend(q, refusals[i].text, "said", &said));
    assert_string_equal(said, refusals[i].printed);
    free(said);
  }
  needs_are(q, "pack", "unit[b] dist~ gen"); /* nothing of it is left */
  pipeline_free(p);
  pipeline_free(q);
}

/* n builders that are named after `name`, with a comment of so many bytes. */
static char *text_of(const char *name, int n, size_t comment)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_addc(&b, '#');
  for (size_t i = 0; i < comment; i++)
    buf_addc(&b, i % 100 ? 'x' : ' ');
  buf_adds(&b, "\nbuilders:\n");
  for (int i = 0; i < n; i++)
    buf_addf(&b, "  %s%d: {checkout: none, steps: [a]}\n", name, i);
  return buf_take(&b);
}

static void limits(void **state)
{
  struct pipeline *p = must_parse(base), *q;
  char *text, *said, name[8];

  (void)state;
  text = text_of("n", PIPELINE_REPORTED_MAX + 1, 0);
  assert_null(extend(p, text, "gen", &said));
  assert_non_null(strstr(said, ": more than 200 builders in one report, those of matrices counted\n"));
  free(said);
  free(text);
  for (int i = 0; i < 4; i++) { /* with the pipeline's own, of which there are four, one below the limit of a pipeline */
    snprintf(name, sizeof name, "n%d-", i);
    text = text_of(name, PIPELINE_REPORTED_MAX, 0);
    q = must_extend(p, text, "gen");
    free(text);
    pipeline_free(p);
    p = q;
  }
  text = text_of("last", PIPELINE_BUILDERS_MAX - p->nbuilders + 1, 0);
  assert_null(extend(p, text, "gen", &said));
  assert_non_null(strstr(said, ": more than 1000 builders, those of matrices counted\n"));
  free(said);
  free(text);
  text = text_of("big", 1, PIPELINE_TEXT_MAX - 1000);
  assert_null(extend(p, text, "gen", &said));
  assert_string_equal(said, "nodes.yml: the pipeline and all that was reported on top of it are longer than 1024 KiB\n");
  free(said);
  free(text);
  pipeline_free(p);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(on_top), cmocka_unit_test(layers), cmocka_unit_test(messages), cmocka_unit_test(limits) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
