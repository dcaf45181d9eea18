/* The reader of Subversion's XML: what svn writes, in pieces of every length, and what it never writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/utf8.h"
#include "master/changes/helper/svnxml.h"

static struct buf seen;
static int entries, stop_after;

static bool on_entry(void *arg, const struct svnxml_entry *e)
{
  (void)arg;
  entries++;
  buf_addf(&seen, "[%s|%s|%s|%s|%s|%s|%d|%lld|%lld|%lld", e->list, e->name, e->url, e->root, e->author, e->message, e->folder, (long long)e->revision, (long long)e->changed, (long long)e->time_ms);
  for (size_t i = 0; i < e->npaths; i++)
    buf_addf(&seen, "|%c%s%s%s", e->paths[i].action, e->paths[i].folder ? "/" : "", e->paths[i].copied ? "+" : "", e->paths[i].path);
  buf_adds(&seen, e->paths_cut ? "|cut]" : "]");
  assert_true(utf8_valid(e->message, strlen(e->message)));
  return entries != stop_after;
}

/* What the reader says of a document that comes in pieces; why: NULL, or its sentence. */
static const char *read_in(const char *text, size_t n, size_t piece, const char **why)
{
  static char *kept;
  struct svnxml *x = svnxml_new(on_entry, NULL);
  bool ok = true;

  buf_reset(&seen);
  entries = 0;
  for (size_t at = 0; at < n && ok; at += piece)
    ok = svnxml_take(x, text + at, n - at < piece ? n - at : piece);
  ok = ok && svnxml_end(x);
  free(kept);
  kept = ok || !svnxml_why(x) ? NULL : xstrdup(svnxml_why(x));
  *why = ok ? NULL : kept ? kept : "";
  svnxml_free(x);
  return buf_str(&seen);
}

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static const struct { const char *text, *seen; } good[] = {
  { HEAD "<lists>\n<list\n   path=\"svn://h/x/branches\">\n<entry\n   kind=\"dir\">\n<name>1.x</name>\n<commit\n   revision=\"42\">\n<author>ann</author>\n<date>2026-01-31T12:00:01.500000Z</date>\n</commit>\n</entry>\n"
         "<entry kind=\"file\"><name>a &lt;b&gt; \xc3\xa9</name><size>3</size><commit revision=\"7\"></commit></entry></list></lists>",
    "[svn://h/x/branches|1.x|||ann||1|-1|42|1769860801500][svn://h/x/branches|a <b> \xc3\xa9||||" "|0|-1|7|0]" },
  { HEAD "<info><entry path=\"x\" revision=\"99\" kind=\"dir\"><url>svn://h/r/x%20y</url><relative-url>^/x%20y</relative-url><repository><root>svn://h/r</root><uuid>1</uuid></repository>"
         "<commit revision=\"42\"><author>bob</author><date>1970-01-01T00:00:00.000000Z</date></commit></entry></info>",
    "[||svn://h/r/x%20y|svn://h/r|bob||1|99|42|0]" },
  { HEAD "<log><logentry revision=\"9\"><author>ann</author><date>2026-01-31T12:00:00.000000Z</date><paths>"
         "<path action=\"A\" prop-mods=\"false\" text-mods=\"true\" kind=\"file\">/trunk/a</path><path kind=\"dir\" copyfrom-path=\"/t\" copyfrom-rev=\"3\" action=\"A\">/trunk/d</path></paths><msg>one\n&amp; two</msg></logentry>"
         "<logentry revision=\"8\"><msg></msg></logentry></log>",
    "[||||ann|one\n& two|0|9|-1|1769860800000|A/trunk/a|A/+/trunk/d][||||" "||0|8|-1|0]" },
  { HEAD "<log></log>", "" },
};

static void what_svn_writes(void **state)
{
  static const size_t pieces[] = { 1, 2, 3, 7, 64, 100000 };
  const char *why;

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++)
    for (size_t k = 0; k < COUNT(pieces); k++) {
      assert_string_equal(read_in(good[i].text, strlen(good[i].text), pieces[k], &why), good[i].seen);
      assert_null(why);
    }
}

static void every_beginning_is_no_whole_document(void **state)
{
  const char *why;

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++)
    for (size_t n = 0; n < strlen(good[i].text); n++) {
      read_in(good[i].text, n, 64, &why);
      assert_non_null(why);
    }
}

static void what_svn_never_writes(void **state)
{
  static const struct { const char *text, *why; } bad[] = {
    { "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><log><logentry><msg>&b;</msg></logentry></log>", "document type" },
    { "<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><log/>", "document type" },
    { "<log>&undefined;</log>", "undefined entity" },
    { "<log><logentry></log>", "mismatched tag" },
    { "\xff\xfe", "" },
    { "svn: E170013: Unable to connect", "" },
    { "<log><msg>\xff</msg></log>", "invalid token" },
    { "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a>", "too deep" },
  };
  const char *why;

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++) {
    read_in(bad[i].text, strlen(bad[i].text), 5, &why);
    if (!why || !strstr(why, bad[i].why))
      fail_msg("%s: %s", bad[i].text, why ? why : "taken");
  }
}

/* Nothing that it is told grows without an end. */
static void long_ones_are_cut(void **state)
{
  struct buf b;
  const char *why;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "<log><logentry revision=\"1\"><author>");
  for (unsigned i = 0; i < 2 * SVNXML_NAME_MAX; i++)
    buf_adds(&b, "x");
  buf_adds(&b, "</author><paths>");
  for (int i = 0; i < SVNXML_PATHS_MAX + 10; i++)
    buf_adds(&b, "<path action=\"M\" kind=\"file\">/t</path>");
  buf_adds(&b, "</paths><msg>");
  for (unsigned i = 0; i < SVNXML_TEXT_MAX + 1000; i++)
    buf_adds(&b, "y");
  buf_adds(&b, "</msg></logentry></log>");
  read_in(b.data, b.len, 4096, &why);
  assert_null(why);
  assert_int_equal(entries, 1);
  assert_true(seen.len < SVNXML_TEXT_MAX + SVNXML_PATHS_MAX * 6 + 1000);
  assert_memory_equal(buf_str(&seen), "[|||||yyy", 9); /* an author of that length counts as none */
  assert_string_equal(buf_str(&seen) + seen.len - 5, "|cut]");
  buf_free(&b);
}

static void who_has_enough_ends_it(void **state)
{
  static const char text[] = "<log><logentry revision=\"1\"/><logentry revision=\"2\"/></log>";
  const char *why;

  (void)state;
  stop_after = 1;
  read_in(text, strlen(text), 1000, &why);
  stop_after = 0;
  assert_string_equal(why, ""); /* no sentence: it was not the document's fault */
  assert_int_equal(entries, 1);
}

static void numbers_out_of_bounds_are_none(void **state)
{
  static const char *const texts[] = { "-1", "+1", "99999999999", "2147483648", "1x", "", "01" };
  const char *why;
  char text[100];

  (void)state;
  for (size_t i = 0; i < COUNT(texts); i++) {
    snprintf(text, sizeof text, "<log><logentry revision=\"%s\"/></log>", texts[i]);
    assert_string_equal(read_in(text, strlen(text), 1000, &why), "[||||||0|-1|-1|0]");
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_svn_writes),   cmocka_unit_test(every_beginning_is_no_whole_document), cmocka_unit_test(what_svn_never_writes),
    cmocka_unit_test(long_ones_are_cut), cmocka_unit_test(who_has_enough_ends_it),               cmocka_unit_test(numbers_out_of_bounds_are_none),
  };
  int bad;

  buf_init(&seen, BUF_NO_MAX);
  bad = cmocka_run_group_tests_name("svnxml", tests, NULL, NULL);
  buf_free(&seen);
  return bad ? 1 : 0;
}
