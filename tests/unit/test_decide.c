/* What a change causes and why not: each rule by its words, thousands of generated pairs against a second reckoning, and the list for the database. */
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

#include "common/clock.h"
#include "common/str.h"
#include "master/conf/pipe_expr.h"

static struct pipeline *parse(const char *text)
{
  struct diags d;
  struct pipeline *p;
  struct buf b;

  diag_init(&d);
  p = pipeline_parse(".drover.yml", text, strlen(text), "libfoo", &d);
  buf_init(&b, BUF_NO_MAX);
  diag_print(&d, &b);
  if (!p)
    fail_msg("%s", buf_str(&b));
  buf_free(&b);
  diag_free(&d);
  return p;
}

/* files: by blanks; NULL: not known. */
static void judge(const char *scheduler, struct decide_change c, const char *files, struct verdict *v)
{
  char *text = xasprintf("builders: {a: {checkout: none, steps: [make]}}\nschedulers: {s: {%s}}\n", scheduler), *copy = xstrdup(files ? files : ""), *save = NULL, *list[16];
  struct pipeline *p = parse(text);

  for (char *f = strtok_r(copy, " ", &save); f; f = strtok_r(NULL, " ", &save))
    list[c.nfiles++] = f;
  c.files = list;
  c.whole = files != NULL;
  c.project = "libfoo";
  c.repository = "https://example.org/libfoo.git";
  c.revision = "0123456789012345678901234567890123456789";
  c.author = "Ann <ann@example.org>";
  c.message = c.message ? c.message : "";
  c.branch = c.branch ? c.branch : "main";
  assert_true(decide_verdict(p->schedulers, &c, v));
  pipeline_free(p);
  free(copy);
  free(text);
}

static void words(void **state)
{
  static const char category[] = "{\"category\":\"docs\",\"n\":3,\"list\":[\"a\",\"b\"]}";
  cJSON *properties = cJSON_Parse(category);
  static const char *const kinds[] = { "builds", "waits", "no" };
  const struct {
    const char *scheduler;
    struct decide_change change;
    const char *files, *want; /* "verdict rule: why" */
  } table[] = {
    { "change: {}", { 0 }, "a", "builds" },
    { "change: {}, stable: 30s", { 0 }, "a", "waits" },
    { "change: {branches: [main, 'release/*']}", { .branch = "feature/x" }, "a", "no branches: branch feature/x is not among main, release/*" },
    { "change: {branches: 'release/**'}", { .branch = "release/1/x" }, "a", "builds" },
    { "change: {branches: Main}", { 0 }, "a", "no branches: branch main is not among Main" },
    { "change: {not_only: 'docs/**'}", { 0 }, "docs/a docs/b docs/c/d", "no not_only: all 3 files are under docs/** (not_only)" },
    { "change: {not_only: ['docs/**', '*.md']}", { 0 }, "docs/a README.md", "no not_only: all 2 files are under docs/**, *.md (not_only)" },
    { "change: {not_only: 'docs/**'}", { 0 }, "docs/a", "no not_only: the file docs/a is under docs/** (not_only)" },
    { "change: {not_only: 'docs/**'}", { 0 }, "docs/a a", "builds" },
    { "change: {only: 'src/**'}", { 0 }, "docs/a a b", "no only: none of the 3 files is under src/** (only)" },
    { "change: {only: 'src/**'}", { 0 }, "a", "no only: the file a is not under src/** (only)" },
    { "change: {only: 'src/**'}", { 0 }, "a src/a", "builds" },
    { "change: {only: 'src/**', not_only: '**.md'}", { 0 }, "a src/a.md", "no not_only: of 2 files only 1 counts (only), and it is under **.md (not_only)" },
    { "change: {only: 'src/**', not_only: '**.md'}", { 0 }, "a src/a.md src/b.md", "no not_only: of 3 files only 2 count (only), and they are under **.md (not_only)" },
    { "change: {only: 'src/**', not_only: '**.md'}", { 0 }, "src/b src/a.md", "builds" },
    { "change: {only: 'src/**'}", { 0 }, NULL, "builds: not all of its files are known, so only can't be asked" },
    { "change: {only: 'src/**', not_only: a}", { 0 }, NULL, "builds: not all of its files are known, so only and not_only can't be asked" },
    { "change: {only: 'src/**'}, stable: 1s", { 0 }, "a", "no only rides: the file a is not under src/** (only)" },
    { "change: {}", { .message = "fix\n\n[Skip CI]" }, "a", "no skip: the message says [skip ci]" },
    { "change: {}", { .message = "[CI SKIP] x" }, "a", "no skip: the message says [ci skip]" },
    { "change: {}", { .message = "x[no ci]" }, "a", "no skip: the message says [no ci]" },
    { "change: {}", { .message = "x [skip drover]" }, "a", "no skip: the message says [skip drover]" },
    { "change: {}", { .message = "skip ci [skip  ci] [skipci]" }, "a", "builds" },
    { "change: {}, skip: false", { .message = "x [skip ci]" }, "a", "builds" },
    { "change: {}, stable: 1s", { .message = "x [skip ci]" }, "a", "no skip: the message says [skip ci]" },
    { "change: {}, if: branch == \"main\"", { 0 }, "a", "builds" },
    { "change: {}, if: branch == \"main\"", { .branch = "x" }, "a", "no if: not so: branch == \"main\"" },
    { "change: {}, if: \"'a' in files\"", { 0 }, "b a", "builds" },
    { "change: {}, if: \"'a' in files\"", { 0 }, "b", "no if: not so: 'a' in files" },
    { "change: {}, if: category == \"docs\" and properties.n > 2", { .properties = properties, .category = "docs" }, "b", "builds" },
    { "change: {}, if: category == \"docs\"", { .properties = properties, .category = "" }, "b", "no if: not so: category == \"docs\"" },
    { "change: {}, if: committer == \"Bob <bob@example.org>\"", { .committer = "Bob <bob@example.org>" }, "b", "builds" },
    { "change: {}, if: committer == author", { .committer = "Bob <bob@example.org>" }, "b", "no if: not so: committer == author" },
    { "change: {}, if: properties.n", { .properties = properties }, "b", "no if: if: properties.n: this is neither true nor false" },
    { "change: {}, if: properties.m > 2", { .properties = properties }, "b", "no if: if: properties.m > 2: " },
    { "change: {}, if: properties.m", { 0 }, "b", "no if: not so: properties.m" },
    { "change: {}", { .kind = CHANGE_TAG, .branch = "v1" }, NULL, "no kind: it builds branches, and this is a tag" },
    { "change: {}", { .kind = CHANGE_PULL, .number = 7 }, NULL, "no kind: it builds branches, and this is a pull request" },
    { "tag: 'v*'", { 0 }, "a", "no kind: it builds tags, and this is a branch" },
    { "tag: 'v*'", { .kind = CHANGE_TAG, .branch = "v1" }, NULL, "builds" },
    { "tag: 'v*'", { .kind = CHANGE_TAG, .branch = "v1", .message = "release [skip ci]" }, NULL, "builds" },
    { "tag: ['v*', 'r?']", { .kind = CHANGE_TAG, .branch = "nightly" }, NULL, "no tag: tag nightly is not among v*, r?" },
    { "tag: 'v*', if: tag == \"v1\" and branch == none", { .kind = CHANGE_TAG, .branch = "v1" }, NULL, "builds" },
    { "pull_request: {}", { .kind = CHANGE_PULL, .number = 7 }, NULL, "builds" },
    { "pull_request: {branches: main}", { .kind = CHANGE_PULL, .number = 7, .branch = "dev" }, NULL, "no branches: its target dev is not among main" },
    { "pull_request: {}", { .kind = CHANGE_PULL, .number = 7, .fork = true }, NULL, "no forks: from a fork: waits for approval" },
    { "pull_request: {}", { .kind = CHANGE_PULL, .number = 7, .fork = true, .build_forks = true }, NULL, "builds" },
    { "pull_request: {}", { .kind = CHANGE_PULL, .number = 7, .message = "x [skip ci]" }, NULL, "no skip: the title says [skip ci]" },
    { "pull_request: {}, if: number == 7 and kind == \"pull_request\"", { .kind = CHANGE_PULL, .number = 7 }, NULL, "builds" },
    { "pull_request: {}", { .kind = CHANGE_COMMENT }, NULL, "no kind: it builds pull requests, and this is a comment" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(table); i++) {
    struct verdict v;
    char *got;
    judge(table[i].scheduler, table[i].change, table[i].files, &v);
    got = xasprintf("%s%s%s%s%s%s", kinds[v.kind], v.rule ? " " : "", v.rule ? v.rule : "", v.rides ? " rides" : "", v.why.len ? ": " : "", buf_str(&v.why));
    if (!str_starts(got, table[i].want) || (strcmp(got, table[i].want) && !str_starts(table[i].want, "no if: if: properties.m >")))
      fail_msg("%s\n  is   %s\n  want %s", table[i].scheduler, got, table[i].want);
    free(got);
    buf_free(&v.why);
  }
  cJSON_Delete(properties);
}

/* A long list or name is cut between characters. */
static void long_words(void **state)
{
  struct buf name;
  struct verdict v;

  (void)state;
  buf_init(&name, BUF_NO_MAX);
  buf_adds(&name, "x");
  for (int i = 0; i < 300; i++)
    buf_adds(&name, "ü");
  judge("change: {only: [a, b]}", (struct decide_change){ 0 }, buf_str(&name), &v);
  assert_true(v.why.len < 300);
  for (size_t i = 0; i < v.why.len; i += str_utf8(v.why.data + i, v.why.len - i, NULL))
    assert_true(str_utf8(v.why.data + i, v.why.len - i, NULL) > 0);
  assert_non_null(strstr(buf_str(&v.why), "ü… is not under a, b (only)"));
  buf_free(&v.why);
  buf_free(&name);
}

/* A naive matcher, one definition a line. */
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

static unsigned pick(unsigned n)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(seed >> 33) % n;
}

struct words {
  char text[3][8];
  char *v[3];
  int n;
};

static void some(struct words *w, int max)
{
  w->n = (int)pick((unsigned)max + 1);
  for (int i = 0; i < 3; i++) {
    word(w->text[i], "ab/**?", 4);
    w->v[i] = w->text[i];
  }
}

static bool any(const struct words *w, const char *text)
{
  bool yes = false;

  for (int i = 0; i < w->n; i++)
    yes = yes || naive(w->v[i], text);
  return yes;
}

/* The rules once more, as a person would say them. Returns "builds", "waits", "no" or "rides" (no, but it joins). */
static const char *reckoned(const struct pipe_scheduler *s, const struct decide_change *c, const struct words *branches, const struct words *only, const struct words *not_only, const char *cond)
{
  bool marked = strstr(c->message, "[skip ci]") || strstr(c->message, "[CI skip]"), important = false;
  const char *yes = s->stable_ms ? "waits" : "builds";

  if ((s->trigger == PIPE_ON_CHANGE) != (c->kind == CHANGE_BRANCH) || (s->trigger == PIPE_ON_TAG) != (c->kind == CHANGE_TAG) || (s->trigger == PIPE_ON_PULL) != (c->kind == CHANGE_PULL))
    return "no";
  if (c->kind == CHANGE_TAG ? !any(branches, c->branch) : branches->n && !any(branches, c->branch))
    return "no";
  if (c->kind == CHANGE_PULL && c->fork && !c->build_forks)
    return "no";
  if (marked && s->skip && c->kind != CHANGE_TAG)
    return "no";
  if (cond && (!strcmp(cond, "false") || (strstr(cond, "branch ==") && (c->kind == CHANGE_TAG || strcmp(c->branch, "a")))))
    return "no";
  if ((!only->n && !not_only->n) || !c->whole)
    return yes;
  for (int i = 0; i < c->nfiles; i++)
    important = important || ((!only->n || any(only, c->files[i])) && !any(not_only, c->files[i]));
  return important ? yes : s->stable_ms ? "rides" : "no";
}

static void generated(void **state)
{
  static const char *const messages[] = { "", "fix", "fix [skip ci]", "[CI skip]", "skip ci" }, *const conds[] = { NULL, "true", "false", "branch == \"a\"" };
  static const char *const kinds[] = { "builds", "waits", "no" };
  int count[4] = { 0 }, cases = 0;

  (void)state;
  for (; cases < 60000; cases++) {
    struct words branches, only, not_only, files;
    char branch[8];
    const char *cond = conds[pick(COUNT(conds))], *want, *got;
    struct pipe_scheduler s = { .name = (char *)"s", .trigger = (enum pipe_trigger)pick(3), .skip = pick(2), .stable_ms = pick(3) ? 0 : 1000, .cond_text = cond };
    struct decide_change c = { .kind = pick(4) ? (enum change_kind)s.trigger : (enum change_kind)pick(CHANGE_KINDS), .project = "p", .repository = "r", .revision = "1", .author = "a", .branch = branch,
                               .message = messages[pick(COUNT(messages))], .fork = pick(2), .build_forks = pick(2), .whole = pick(4) };
    struct expr_error e;
    struct verdict v;
    some(&branches, 2);
    some(&only, 2);
    some(&not_only, 2);
    some(&files, 3);
    word(branch, "ab/", 2);
    for (int i = 0; i < 3; i++)
      word(files.text[i], "ab/", 4);
    s.branches = branches.v, s.nbranches = branches.n;
    if (s.trigger == PIPE_ON_CHANGE) {
      s.only = only.v, s.nonly = only.n;
      s.not_only = not_only.v, s.nnot_only = not_only.n;
    } else {
      only.n = not_only.n = 0;
      s.stable_ms = 0;
    }
    c.files = files.v, c.nfiles = files.n;
    s.cond = cond ? expr_parse(cond, strlen(cond), change_names, EXPR_BOOL, &e) : NULL;
    want = reckoned(&s, &c, &branches, &only, &not_only, cond);
    assert_true(decide_verdict(&s, &c, &v));
    got = v.rides ? "rides" : kinds[v.kind];
    if (strcmp(got, want))
      fail_msg("case %d: %s, not %s: %s", cases, got, want, buf_str(&v.why));
    assert_true((v.kind == VERDICT_NO) == (v.rule != NULL) && (v.kind != VERDICT_NO || v.why.len));
    count[v.rides ? 3 : v.kind]++;
    expr_free((struct expr *)(uintptr_t)s.cond);
    buf_free(&v.why);
  }
  print_message("decide: %d cases: %d build, %d wait, %d don't, %d ride\n", cases, count[0], count[1], count[2], count[3]);
  for (int i = 0; i < 4; i++)
    assert_true(count[i] > 100);
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
                             "  now: {change: {branches: main}, builders: b, priority: 90, supersede: true}\n"
                             "  later: {change: {only: src/*}, stable: 30s, supersede: true}\n";
  static const struct { const char *branch, *file, *want; bool supersedes; } table[] = {
    { "main", "src/a", "[{\"scheduler\":\"now\",\"verdict\":\"builds\",\"builders\":[{\"name\":\"b\",\"tags\":[\"x\"],\"priority\":90}],\"supersede\":true},"
                       "{\"scheduler\":\"later\",\"verdict\":\"waits\",\"stable\":30000,\"supersede\":true}]", true },
    { "other", "a", "[{\"scheduler\":\"now\",\"verdict\":\"no\",\"rule\":\"branches\",\"why\":\"branch other is not among main\"},"
                    "{\"scheduler\":\"later\",\"verdict\":\"no\",\"rule\":\"only\",\"why\":\"the file a is not under src/* (only)\",\"stable\":30000,\"rides\":true}]", false } };
  struct pipeline *p = parse(text);
  struct buf json;

  (void)state;
  buf_init(&json, BUF_NO_MAX);
  for (size_t i = 0; i < COUNT(table); i++) {
    char *files[] = { (char *)(uintptr_t)table[i].file };
    struct decide_change c = { .project = "p", .repository = "", .revision = "1", .author = "", .message = "", .branch = table[i].branch, .files = files, .nfiles = 1, .whole = true };
    buf_reset(&json);
    assert_int_equal(decide_plan(p, &c, &json), table[i].supersedes);
    assert_string_equal(buf_str(&json), table[i].want);
  }
  pipeline_free(p);
  buf_free(&json);
}

static void priorities(void **state)
{
  static const char text[] = "builders: {a: {steps: [make]}}\n"
                             "schedulers:\n"
                             "  by: {change: {}, builders: a, priority: 'branch == \"main\" ? 80 : files ?? [] == [] ? 1000 : number ?? 0 - 5'}\n"
                             "  odd: {change: {}, builders: a, priority: '100 / (branch == \"main\" ? 0 : 2)'}\n"
                             "  none: {change: {}, builders: a, priority: properties.p}\n";
  static const struct { const char *branch; int nfiles; const char *want[3]; int numbers[3]; } table[] = {
    { "main", 1, { "priority 80", "priority 50, as its expression can't be reckoned: ", "priority 50" }, { 80, 50, 50 } },
    { "dev", 1, { "priority 0", "priority 50", "priority 50" }, { 0, 50, 50 } },
    { "dev", 0, { "priority 100", "priority 50", "priority 50" }, { 100, 50, 50 } } };
  struct pipeline *p = parse(text);
  char *files[] = { (char *)(uintptr_t)"x" };

  (void)state;
  for (size_t i = 0; i < COUNT(table); i++)
    for (int k = 0; k < 3; k++) {
      struct decide_change c = { .project = "p", .repository = "", .revision = "1", .author = "", .message = "", .branch = table[i].branch, .files = files, .nfiles = table[i].nfiles, .whole = true };
      struct verdict v;
      assert_true(decide_verdict(&p->schedulers[k], &c, &v));
      assert_int_equal(v.kind, VERDICT_BUILDS);
      assert_int_equal(v.priority, table[i].numbers[k]);
      assert_memory_equal(buf_str(&v.why), table[i].want[k], strlen(table[i].want[k]));
      buf_free(&v.why);
    }
  pipeline_free(p);
}

/* Told, not tested: how fast a machine is says nothing about the code. */
static void how_long(void **state)
{
  enum { SCHEDULERS = 2000, FILES = 20, ROUNDS = 20 };
  struct pipeline *small = parse("builders: {a: {steps: [make]}, b: {steps: [make]}}\nschedulers:\n"
                                 "  a: {change: {branches: [main, 'release/*'], not_only: ['docs/**', '*.md']}, builders: a}\n"
                                 "  b: {change: {only: ['src/**', Makefile]}, stable: 30s}\n"
                                 "  c: {change: {branches: dev}}\n"
                                 "  d: {change: {}, if: author != \"Bot\" and branch == \"main\"}\n"),
                  p = *small;
  char *files[FILES];
  struct decide_change c = { .project = "p", .repository = "r", .revision = "1", .author = "Ann", .message = "a message [without", .branch = "main", .files = files, .nfiles = FILES, .whole = true };
  int64_t begin;
  struct buf json;

  (void)state;
  p.schedulers = xcalloc(SCHEDULERS, sizeof *p.schedulers);
  p.nschedulers = SCHEDULERS;
  for (int i = 0; i < SCHEDULERS; i++)
    p.schedulers[i] = small->schedulers[i % small->nschedulers];
  for (int i = 0; i < FILES; i++)
    files[i] = xasprintf("docs/a/b/file%d", i);
  buf_init(&json, BUF_NO_MAX);
  begin = clock_mono_ms();
  for (int i = 0; i < ROUNDS; i++) {
    buf_reset(&json);
    (void)decide_plan(&p, &c, &json);
  }
  print_message("decide: %d schedulers, %d files: %.1f ms\n", SCHEDULERS, FILES, (double)(clock_mono_ms() - begin) / ROUNDS);
  for (int i = 0; i < FILES; i++)
    free(files[i]);
  free(p.schedulers);
  pipeline_free(small);
  buf_free(&json);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(plan), cmocka_unit_test(priorities), cmocka_unit_test(words), cmocka_unit_test(long_words), cmocka_unit_test(generated), cmocka_unit_test(builders),
                                      cmocka_unit_test(how_long) };

  return cmocka_run_group_tests_name("decide", tests, NULL, NULL) ? 1 : 0;
}
