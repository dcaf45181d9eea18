/* What a change causes: which schedulers want a branch, and the list of builders for the database. */
#include "master/schedulers/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "common/str.h"

static bool wants(const char *globs, const char *branch)
{
  char *list[8], *copy = xstrdup(globs), *save = NULL;
  struct pipe_scheduler s = { .branches = list };
  bool yes;

  for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
    list[s.nbranches++] = p;
  yes = decide_wants(&s, branch);
  free(copy);
  return yes;
}

static void branches(void **state)
{
  static const struct { const char *globs, *branch; bool yes; } table[] = {
    { "", "main", true },            { "", "feature/x", true },           { "main", "main", true },          { "main", "mainline", false },
    { "main", "Main", false },       { "main", "", false },               { "release/*", "release/1", true }, { "release/*", "release/1/x", false },
    { "release/**", "release/1/x", true }, { "*", "main", true },         { "*", "a/b", false },             { "**", "a/b/c", true },
    { "main release/*", "release/2", true }, { "main release/*", "dev", false }, { "v?", "v1", true },       { "v?", "v10", false },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(table); i++)
    if (wants(table[i].globs, table[i].branch) != table[i].yes)
      fail_msg("[%s] %s", table[i].globs, table[i].branch);
}

/* A naive matcher, one definition a line; decide_wants is "any of the globs". */
static bool naive(const char *g, const char *s)
{
  if (!*g)
    return !*s;
  if (g[0] == '*' && g[1] == '*')
    return naive(g + 2, s) || (*s && naive(g, s + 1));
  if (g[0] == '*')
    return naive(g + 1, s) || (*s && *s != '/' && naive(g, s + 1));
  return *s && (*g == *s || (*g == '?' && *s != '/')) && naive(g + 1, s + 1);
}

static uint64_t seed = 42;

static void word(char *out, const char *alphabet, int max)
{
  int n;

  seed = seed * 6364136223846793005u + 1442695040888963407u;
  n = (int)((seed >> 40) % (unsigned)(max + 1));
  for (int i = 0; i < n; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    out[i] = alphabet[(seed >> 35) % strlen(alphabet)];
  }
  out[n] = 0;
}

static void generated_branches(void **state)
{
  int yes = 0, cases = 0;

  (void)state;
  for (; cases < 20000; cases++) {
    char globs[3][8], branch[8];
    char *list[3] = { globs[0], globs[1], globs[2] };
    struct pipe_scheduler s = { .branches = list, .nbranches = cases % 4 };
    bool want = s.nbranches == 0;

    word(branch, "ab/", 5);
    for (int i = 0; i < 3; i++)
      word(globs[i], "ab/**?", 5);
    for (int i = 0; i < s.nbranches; i++)
      want = want || naive(globs[i], branch);
    if (decide_wants(&s, branch) != want)
      fail_msg("%d of [%s] [%s] [%s] on %s", s.nbranches, globs[0], globs[1], globs[2], branch);
    yes += want;
  }
  print_message("decide: %d cases, %d wanted\n", cases, yes);
}

static cJSON *decided(const struct pipeline *p, char *const *names, int n)
{
  struct buf json;
  cJSON *list;

  buf_init(&json, BUF_NO_MAX);
  decide_builders(p, names, n, &json);
  list = cJSON_Parse(buf_str(&json));
  assert_non_null(list);
  buf_free(&json);
  return list;
}

/* tags: by one blank; none may be left out, the database takes that as none. */
static void is_builder(const cJSON *it, const char *name, const char *tags)
{
  char have[256] = "";
  const cJSON *tag;

  assert_string_equal(cJSON_GetObjectItem(it, "name")->valuestring, name);
  cJSON_ArrayForEach(tag, cJSON_GetObjectItem(it, "tags"))
    snprintf(have + strlen(have), sizeof have - strlen(have), "%s%s", *have ? " " : "", tag->valuestring);
  assert_string_equal(have, tags);
}

static void builders(void **state)
{
  static const char text[] = "builders:\n"
                             "  linux: {worker: {tags: [linux, gcc]}, steps: [{run: make}]}\n"
                             "  any: {steps: [{run: make}]}\n";
  char *const names[] = { (char *)"any", (char *)"gone", (char *)"linux" };
  struct diags d;
  struct pipeline *p;
  cJSON *list;

  (void)state;
  diag_init(&d);
  p = pipeline_parse(".drover.yml", text, sizeof text - 1, "libfoo", &d);
  assert_non_null(p);
  list = decided(p, names, 3); /* in the order asked for; a builder that the pipeline has not is left out */
  assert_int_equal(cJSON_GetArraySize(list), 2);
  is_builder(cJSON_GetArrayItem(list, 0), "any", "");
  is_builder(cJSON_GetArrayItem(list, 1), "linux", "linux gcc");
  cJSON_Delete(list);
  list = decided(p, names, 0);
  assert_true(cJSON_IsArray(list) && cJSON_GetArraySize(list) == 0);
  cJSON_Delete(list);
  list = decided(p, names + 1, 1);
  assert_int_equal(cJSON_GetArraySize(list), 0);
  cJSON_Delete(list);
  pipeline_free(p);
  diag_free(&d);
}

static void plan(void **state)
{
  static const char text[] = "builders: {a: {steps: [make]}, b: {worker: {tags: [x]}, steps: [make]}}\n"
                             "schedulers:\n"
                             "  now: {change: {branches: main}, builders: b}\n"
                             "  later: {change: {}, stable: 30s}\n";
  static const char of_main[] = "builders: {a: {steps: [make]}}\nschedulers: {m: {change: {branches: main}}}\n";
  static const struct { const char *branch, *want; } table[] = {
    { "main", "[{\"scheduler\":\"now\",\"stable\":0,\"builders\":[{\"name\":\"b\",\"tags\":[\"x\"]}]},"
              "{\"scheduler\":\"later\",\"stable\":30000,\"builders\":[{\"name\":\"a\",\"tags\":[]},{\"name\":\"b\",\"tags\":[\"x\"]}]}]" },
    { "other", "[{\"scheduler\":\"later\",\"stable\":30000,\"builders\":[{\"name\":\"a\",\"tags\":[]},{\"name\":\"b\",\"tags\":[\"x\"]}]}]" } };
  struct pipeline *p;
  struct diags d;
  struct buf json;

  (void)state;
  diag_init(&d);
  p = pipeline_parse(".drover.yml", text, sizeof text - 1, "libfoo", &d);
  diag_print(&d, (buf_init(&json, BUF_NO_MAX), &json));
  assert_string_equal(buf_str(&json), "");
  assert_non_null(p);
  for (size_t i = 0; i < COUNT(table); i++) {
    buf_reset(&json);
    decide_plan(p, table[i].branch, &json);
    assert_string_equal(buf_str(&json), table[i].want);
  }
  pipeline_free(p);
  p = pipeline_parse(".drover.yml", of_main, sizeof of_main - 1, "libfoo", &d);
  assert_non_null(p);
  buf_reset(&json);
  decide_plan(p, "other", &json);
  assert_string_equal(buf_str(&json), "[]");
  pipeline_free(p);
  buf_free(&json);
  diag_free(&d);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(plan), cmocka_unit_test(branches), cmocka_unit_test(generated_branches), cmocka_unit_test(builders) };

  return cmocka_run_group_tests_name("decide", tests, NULL, NULL) ? 1 : 0;
}
