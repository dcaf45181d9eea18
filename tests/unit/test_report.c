/* What a command reports, from the bytes of its worker: what is taken, what costs the whole report, and bytes of chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "master/steps/report.h"
#include "master/steps/step.h"
#include "proto/records.h"

static struct buf blob;
static struct build_stamp stamps[] = { { .vcs = VCS_GIT, .codebase = "core", .branch = "main", .revision = "x" }, { .vcs = VCS_SVN, .codebase = "manual", .branch = "trunk", .revision = "1" } };
static struct build_ctx ctx = { .stamps = stamps, .nstamps = COUNT(stamps) };

static void with(const char *key, const char *value)
{
  buf_reset(&blob);
  records_put(&blob, key, value);
}

static void gives(const char *before, const char *properties, const char *all, const char *links, const char *summary, const char *trouble)
{
  struct report r;
  const struct { const char *want, *got; } of[] = { { properties, ((ctx.reported = before, report_parse(blob.data, blob.len, &ctx, &r)), r.properties) }, { all, r.all }, { links, r.links }, { summary, r.summary }, { trouble, r.trouble } };

  for (size_t i = 0; i < COUNT(of); i++)
    if (!of[i].want || !of[i].got) {
      if (of[i].want != of[i].got)
        fail_msg("%zu: wanted %s, got %s", i, of[i].want ? of[i].want : "nothing", of[i].got ? of[i].got : "nothing");
    } else {
      assert_string_equal(of[i].got, of[i].want);
    }
  report_free(&r);
}

#define HEX40 "0123456789abcdef0123456789abcdef01234567"
#define STAMP(name, revision, branch) "{\"codebase\":\"" name "\",\"revision\":\"" revision "\",\"branch\":\"" branch "\"}"

static void makes(const char *lines, const char *wanted, const char *trouble)
{
  struct report r;

  buf_reset(&blob);
  records_put(&blob, "stamps", lines);
  report_parse(blob.data, blob.len, &ctx, &r);
  if (!trouble != !r.trouble || (trouble && strcmp(trouble, r.trouble)))
    fail_msg("%s: wanted %s, got %s", lines, trouble ? trouble : "no trouble", r.trouble ? r.trouble : "none");
  if (!wanted != !r.stamps || (wanted && strcmp(wanted, r.stamps)))
    fail_msg("%s: wanted %s, got %s", lines, wanted ? wanted : "nothing", r.stamps ? r.stamps : "nothing");
  report_free(&r);
}

/* Revisions that a command has made: whole ones of the codebase's kind, and nothing that could be an option or another name. */
static void stamps_that_were_made(void **state)
{
  static const char *const bad[] = { "0123456", "HEAD", "-x", "--upload-pack=x", "main", HEX40 "0", "0123456789ABCDEF0123456789abcdef01234567", "42", "$(x)" };
  struct buf many;

  (void)state;
  makes("core " HEX40 "\n# no\n\nmanual 42 branches/1.x\r\n", "[" STAMP("core", HEX40, "") "," STAMP("manual", "42", "branches/1.x") "]", NULL);
  makes("core " HEX40 " release/1\nmanual 7", "[" STAMP("core", HEX40, "release/1") "," STAMP("manual", "7", "trunk") "]", NULL);
  makes("# nothing", NULL, NULL);
  makes("core", NULL, "stamps, line 1: a codebase, a revision and perhaps a branch are wanted");
  makes("\ncore " HEX40 " a b", NULL, "stamps, line 2: a codebase, a revision and perhaps a branch are wanted");
  makes("docs " HEX40, NULL, "stamps, line 1: the build has no codebase \"docs\"");
  makes("core " HEX40 " -x", NULL, "stamps, line 1: this is no branch: -x");
  makes("manual " HEX40, NULL, "stamps, line 1: this is no whole revision of manual: " HEX40);
  for (size_t i = 0; i < COUNT(bad); i++) {
    char *line = xasprintf("core %s", bad[i]), *says = xasprintf("stamps, line 1: this is no whole revision of core: %s", bad[i]);
    makes(line, NULL, says);
    free(line);
    free(says);
  }
  buf_init(&many, BUF_NO_MAX);
  for (int i = 0; i <= REPORT_STAMPS_MAX; i++)
    buf_adds(&many, "core " HEX40 "\n");
  makes(buf_str(&many), NULL, "more than 32 stamps");
  buf_free(&many);
  ctx.nstamps = 0;
  makes("core " HEX40, NULL, "stamps: the project has one repository; report a property, and give it as `revision`");
  ctx.nstamps = COUNT(stamps);
}

#define TROUBLE(text) gives(NULL, NULL, NULL, NULL, NULL, text)

static void what_is_taken(void **state)
{
  (void)state;
  with("properties", "a=1\n# no\n\nb = two words=3\r\nc=");
  TROUBLE("\"b \" is no name of a property: letters, digits and underscores");
  with("properties", "a=1\n# no\n\nb=two words=3\r\nc=\na=2");
  gives(NULL, "{\"b\":\"two words=3\",\"c\":\"\",\"a\":\"2\"}", "{\"b\":\"two words=3\",\"c\":\"\",\"a\":\"2\"}", NULL, NULL, NULL);
  gives("{\"z\":1,\"a\":0}", "{\"b\":\"two words=3\",\"c\":\"\",\"a\":\"2\"}", "{\"z\":1,\"b\":\"two words=3\",\"c\":\"\",\"a\":\"2\"}", NULL, NULL, NULL);
  records_put(&blob, "properties_json", "{\"b\":[1,true,\"x\"],\"n\":-5}");
  gives(NULL, "{\"c\":\"\",\"a\":\"2\",\"b\":[1,true,\"x\"],\"n\":-5}", "{\"c\":\"\",\"a\":\"2\",\"b\":[1,true,\"x\"],\"n\":-5}", NULL, NULL, NULL);
  with("summary", "\n  3 of 40 failed\nthe rest");
  gives(NULL, NULL, NULL, NULL, "3 of 40 failed", NULL);
  with("links", "the coverage report https://x.example/c?a=1#b\n\nlog http://y.example/\r\n");
  gives(NULL, NULL, NULL, "[{\"name\":\"the coverage report\",\"url\":\"https://x.example/c?a=1#b\"},{\"name\":\"log\",\"url\":\"http://y.example/\"}]", NULL, NULL);
  with("summary", "");
  gives(NULL, NULL, NULL, NULL, NULL, NULL);
  with("later", "a newer worker's");
  gives(NULL, NULL, NULL, NULL, NULL, NULL);
}

static void what_costs_it(void **state)
{
  static char big[70000];
  char *text;

  (void)state;
  with("bad", "summary is no plain file");
  TROUBLE("summary is no plain file");
  with("properties", "a=1\nno\n");
  TROUBLE("properties, line 2: NAME=VALUE is wanted");
  with("properties", "got_revision=x");
  TROUBLE("the property got_revision is the checkout's");
  with("properties_json", "{\"got_revisions\":\"x\"}");
  TROUBLE("the property got_revisions is the checkout's");
  with("properties", "1a=x");
  TROUBLE("\"1a\" is no name of a property: letters, digits and underscores");
  with("properties_json", "[1]");
  TROUBLE("properties.json is no JSON object");
  with("properties_json", "{\"a\":1.5}");
  TROUBLE("property a: a text, a whole number, true or false, or a list of these");
  with("properties_json", "{\"a\":[[[[[[1]]]]]]}");
  TROUBLE("property a: a text, a whole number, true or false, or a list of these");
  with("properties_json", "{\"a\":{}}");
  TROUBLE("property a: a text, a whole number, true or false, or a list of these");
  with("links", "evil javascript:alert(1)");
  TROUBLE("links, line 1: a name and an http or https address are wanted");
  with("links", "https://x.example/");
  TROUBLE("links, line 1: a name and an http or https address are wanted");
  with("links", "a https://x.example/\"onclick=alert(1)");
  TROUBLE("links, line 1: a name and an http or https address are wanted");
  with("summary", "bad \xff utf-8");
  TROUBLE("it is no UTF-8");
  buf_reset(&blob);
  buf_adds(&blob, "no records");
  TROUBLE("what the worker sent is no report");
  memset(big, 'x', sizeof big - 1);
  memcpy(big, "a=", 2);
  big[5000] = 0;
  with("properties", big);
  TROUBLE("property a is longer than 4096 bytes");
  buf_reset(&blob);
  text = xmalloc(100000);
  *text = 0;
  for (int i = 0, n = 0; i <= REPORT_PROPERTIES_MAX; i++)
    n += sprintf(text + n, "p%d=x\n", i);
  with("properties", text);
  TROUBLE("more than 64 properties");
  *text = 0;
  for (int i = 0, n = 0; i <= REPORT_LINKS_MAX; i++)
    n += sprintf(text + n, "l https://x.example/%d\n", i);
  with("links", text);
  TROUBLE("more than 32 links");
  memset(text, 'y', 66000);
  text[66000] = 0;
  big[0] = 0;
  strcat(strcat(strcpy(big, "{\"old\":\""), "y"), "\"}");
  with("properties", "a=1");
  char *before = xasprintf("{\"old\":\"%s\"}", text);
  gives(before, NULL, NULL, NULL, NULL, "the build has more than 64 KiB of properties");
  free(before);
  free(text);
}

/* One summary of many bytes is cut between characters; whatever comes out is text that the database takes. */
static void bytes_of_chance(void **state)
{
  static const char *const keys[] = { "properties", "properties_json", "summary", "links", "bad", "x" };
  static const char alphabet[] = "ab=\n\r {}[]\",:1e\\u0https://x\xc3\xa9\xff\x01";
  unsigned seed = 7;
  int taken = 0;

  (void)state;
  for (int n = 0; n < 20000; n++) {
    struct report r;
    buf_reset(&blob);
    for (size_t k = 0; k < COUNT(keys); k++) {
      char text[200];
      size_t len = 0;
      if (rand_r(&seed) % 3)
        continue;
      for (int i = rand_r(&seed) % 60; i > 0; i--)
        text[len++] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
      records_put_n(&blob, keys[k], text, len);
    }
    if (blob.len && rand_r(&seed) % 20 == 0)
      blob.len -= (size_t)rand_r(&seed) % blob.len;
    ctx.reported = n % 2 ? "{\"old\":1}" : NULL;
    report_parse(blob.data, blob.len, &ctx, &r);
    const char *const out[] = { r.properties, r.all, r.links, r.summary, r.trouble };
    for (size_t i = 0; i < COUNT(out); i++)
      assert_true(!out[i] || utf8_valid(out[i], strlen(out[i])));
    assert_true(!r.trouble || (!r.properties && !r.all && !r.links && !r.summary));
    taken += !r.trouble;
    report_free(&r);
  }
  assert_true(taken > 100);
}

static void what_was_reported_before(void **state)
{
  static const struct { const char *properties, *before; } cases[] = {
    { "{}", NULL }, { "", NULL }, { "[1]", NULL }, { "{\"got_revision\":\"1\"}", NULL }, { "{\"got_revision\":\"1\",\"got_revisions\":{\"lib\":\"2\"}}", NULL },
    { "{\"GOT_REVISION\":\"3\",\"got_revision\":\"1\",\"n\":-5,\"got_revisions\":{}}", "{\"GOT_REVISION\":\"3\",\"n\":-5}" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    char *got = report_before(cases[i].properties);
    assert_int_equal(!got, !cases[i].before);
    if (got)
      assert_string_equal(got, cases[i].before);
    free(got);
  }
}

/* Their text is taken as it is; what costs the report is told with whether there was one. */
static void builders(void **s)
{
  struct report r;

  (void)s;
  ctx.reported = NULL;
  buf_reset(&blob);
  records_put(&blob, "summary", "so");
  records_put(&blob, "nodes", "builders: {}\n");
  report_parse(blob.data, blob.len, &ctx, &r);
  assert_true(r.has_nodes);
  assert_string_equal(r.nodes, "builders: {}\n");
  report_refuse(&r, "nodes.yml:1:1: no\n  builders\n  ^\n");
  assert_true(r.has_nodes && !r.nodes && !r.summary);
  assert_string_equal(r.trouble, "nodes.yml:1:1: no\n  builders\n  ^\n");
  report_free(&r);
  records_put(&blob, "properties", "nothing");
  report_parse(blob.data, blob.len, &ctx, &r);
  assert_true(r.has_nodes && !r.nodes && !r.summary);
  assert_string_equal(r.trouble, "properties, line 1: NAME=VALUE is wanted");
  report_free(&r);
  with("bad", "nodes.yml is too long");
  records_put(&blob, "nodes", "");
  report_parse(blob.data, blob.len, &ctx, &r);
  assert_true(r.has_nodes && !r.nodes);
  assert_string_equal(r.trouble, "nodes.yml is too long");
  report_free(&r);
  with("summary", "so");
  report_parse(blob.data, blob.len, &ctx, &r);
  assert_true(!r.has_nodes && !r.nodes && r.summary);
  report_free(&r);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(stamps_that_were_made), cmocka_unit_test(what_is_taken), cmocka_unit_test(what_costs_it), cmocka_unit_test(what_was_reported_before), cmocka_unit_test(builders), cmocka_unit_test(bytes_of_chance) };
  int bad;

  buf_init(&blob, BUF_NO_MAX);
  bad = cmocka_run_group_tests_name("report", tests, NULL, NULL);
  buf_free(&blob);
  return bad ? 1 : 0;
}
