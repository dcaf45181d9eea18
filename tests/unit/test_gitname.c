/* Which names of branches, revisions and addresses may go to git. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "master/changes/githelper.h"

static const char *const hostile[] = {
  "", "-", "--", "--upload-pack=touch x", "--upload-pack=x", "-oProxyCommand=x", "-oProxyCommand=touch x", "-u", "--exec=x", "-c", "--output=/tmp/x",
  "ext::sh -c x", "ext::sh%20-c%20x", "fd::17", "file:///etc", "file:///", "file://host/x", "/etc/passwd", "./x", "../x", "~/x", "x", "x/y", "C:\\x",
  "$(touch x)", "`touch x`", "; touch x", "| touch x", "& touch x", "a b", "a\tb", "a\nb", "a\rb", "a\x7f" "b", "a\x01" "b", "a\x1b[31m", "'x'", "\"x\"",
  "${IFS}", "$(curl${IFS}x|bash)", "<x", ">x", "*", "?", "a*b", "[a]", "a^", "a~1", "a:b", "a\\b", "a..b", "..", ".", ".a", "a.", "a/.b", "a.lock", "a.lock/b", "a/b.lock",
  "a//b", "/a", "a/", "@{", "a@{1}", "@{-1}", "@", "refs@{u}", "%x", "%2e%2e", "a%00b", "#", "!x", "{a}", "a,b", "a=b", "\xc3\xa4", "\xff", "http:/x", "http://", "https://",
  "https:///x", "https://-x/y", "https://h", "https://h/", "https://h/-x", "https://h/a b", "https://h/$(x)", "https://h/`x`", "https://h/;x", "https://h/|x", "https://h/a'b",
  "https://h/\"", "https://h/a\\b", "https://h/a\nb", "https://h/../x", "https://h/x/..", "https://h:0/x", "https://h:99999/x", "https://h:/x", "https://h:a/x", "https://u@-h/x",
  "https://-u@h/x", "https://@h/x", "https://a@b@h/x", "https://h/?x", "https://h/#x", "HTTPS://h/x", "ftp://h/x", "ftps://h/x", "javascript://h/x", "data://h/x", "ssh+git://h/x",
  "git+ssh://h/x", "rsync://h/x", "svn://h/x", "ssh://-oProxyCommand=x/y", "ssh://-oProxyCommand=touch%20x/y", "ssh://u@-oProxyCommand=x/y", "ssh://h/-x", "ssh://$(x)/y", "ssh://h$(x)/y",
  "git://-h/x", "git://h\n/x", "git://[::1/x", "git://]/x", "git://[-x]/x", "-u@h:x", "u@-h:x", "u@h:-x", "u@h:", "u@h::x", "@h:x", "h:x", "u@:x", "u@h:a b", "u@h:$(x)", "u@h:../x", "u p@h:x",
  "ext::x@h:y", "a::b@h:y", "u@h:x;y", "unix:///x", "https:h/x", "https//h/x", " https://h/x", "https://h /x",
};

static void hostile_names_are_refused(void **state)
{
  static const char *const fine_branches[] = { "x", "x/y" };

  (void)state;
  assert_true(COUNT(hostile) >= 60);
  for (size_t i = 0; i < COUNT(hostile); i++) {
    bool fine = false;
    for (size_t k = 0; k < COUNT(fine_branches); k++)
      fine = fine || !strcmp(hostile[i], fine_branches[k]);
    if (gith_is_branch(hostile[i]) != fine)
      fail_msg("branch %s", hostile[i]);
    if (gith_is_revision(hostile[i]))
      fail_msg("revision %s", hostile[i]);
    if (gith_is_url(hostile[i], false))
      fail_msg("url %s", hostile[i]);
  }
}

static void local_paths_only_where_allowed(void **state)
{
  static const char *const yes[] = { "/srv/git/x.git", "/srv/with blank/\xc3\xa4", "file:///srv/git/x.git", "/srv/-x" };
  static const char *const no[] = { "x", "./x", "../x", "-x", "file://host/x", "file://", "/", "/a\nb", "/a\x01", "ext::/x", "--upload-pack=/x", "" };

  (void)state;
  for (size_t i = 0; i < COUNT(yes); i++) {
    assert_true(gith_is_url(yes[i], true));
    assert_false(gith_is_url(yes[i], false));
  }
  for (size_t i = 0; i < COUNT(no); i++)
    assert_false(gith_is_url(no[i], true));
}

static void good_names_are_taken(void **state)
{
  static const char *const branches[] = { "main", "x", "a/b/c", "release-1.0", "v1.2.3", "feature/JIRA-12_x", "dependabot/npm_and_yarn/x-1.2.3", "user@host", "c++", "0", "HEAD", "a.b", "lock", "a.lockx", "1/2" };
  static const char *const urls[] = { "https://example.org/x.git", "http://example.org:8080/a/b", "https://u:p%40w@example.org/x", "git://127.0.0.1:9418/x", "git://[::1]:9418/x", "ssh://git@example.org/x.git",
    "ssh://git@example.org:2222/~u/x.git", "git@example.org:a/b.git", "git@example.org:/srv/x", "https://host_1/a+b/c=d,e@f/x:y", "https://e/x..y", "https://10.0.0.1/x", "https://xn--n3h.example/x", "ssh://h/x" };

  (void)state;
  for (size_t i = 0; i < COUNT(branches); i++)
    if (!gith_is_branch(branches[i]))
      fail_msg("branch %s", branches[i]);
  for (size_t i = 0; i < COUNT(urls); i++)
    if (!gith_is_url(urls[i], false) || !gith_is_url(urls[i], true))
      fail_msg("url %s", urls[i]);
}

static void revisions(void **state)
{
  (void)state;
  assert_true(gith_is_revision("0123456"));
  assert_true(gith_is_revision("0123456789abcdef0123456789abcdef01234567"));
  assert_true(gith_is_revision("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
  assert_false(gith_is_revision("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"));
  assert_false(gith_is_revision("012345"));
  assert_false(gith_is_revision("0123456g"));
  assert_false(gith_is_revision("0123456A"));
  assert_false(gith_is_revision("0123456 "));
  assert_false(gith_is_revision("0123456\n"));
}

/* Of each kind of repository: what may be its address, and its revisions. */
static void other_kinds(void **state)
{
  static const struct { const char *url; bool svn, hg, local; } urls[] = {
    { "https://svn.example.org/x", true, true, false },   { "http://h:8080/a/b/", true, true, false },  { "svn://h/x", true, false, false },        { "svn://h", true, false, false },
    { "http://127.0.0.1:8000/", true, true, false },      { "https://u@h/x%20y", true, true, false },   { "https://h/x@y", true, true, false },     { "file:///srv/x", true, true, true },
    { "/srv/x", false, true, true },                      { "svn+ssh://h/x", false, false, false },     { "ssh://h/x", false, true, false },          { "ssh://-oProxyCommand=x/y", false, false, false },       { "git://h/x", false, false, false },
    { "u@h:x", false, false, false },                     { "-x", false, false, false },                { "https://-h/x", false, false, false },    { "https://h/a/../b", false, false, false },
    { "https://h/a b", false, false, false },             { "https://h/\n", false, false, false },      { "bundle:x", false, false, false },        { "https://h:0/x", false, false, false },
    { "", false, false, false },                          { "x", false, false, false },                 { "static-http://h/x", false, false, false }, { "file://srv", false, false, false },
  };
  static const struct { const char *s; bool svn, hg, git; } revisions[] = {
    { "1", true, false, false },          { "42", true, false, false },          { "2147483647", true, true, true }, { "2147483648", false, true, true }, { "99999999999", false, true, true },
    { "0", false, false, false },         { "01", false, false, false },         { "-1", false, false, false },      { "1:HEAD", false, false, false },   { "HEAD", false, false, false },
    { "abcdef0", false, true, true },     { "1 ", false, false, false },         { "", false, false, false },        { "1\n", false, false, false },
    { "0123456789abcdef0123456789abcdef01234567", false, true, true }, { "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", false, false, true },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(urls); i++)
    for (int local = 0; local < 2; local++) {
      bool may = local || !urls[i].local;
      if (gith_is_url_of(VCS_SVN, urls[i].url, local) != (urls[i].svn && may) || gith_is_url_of(VCS_SVN_FOLDER, urls[i].url, local) != (urls[i].svn && may) ||
          gith_is_url_of(VCS_HG, urls[i].url, local) != (urls[i].hg && may))
        fail_msg("url %s", urls[i].url);
      assert_int_equal(gith_is_url_of(VCS_GIT, urls[i].url, local), gith_is_url(urls[i].url, local));
    }
  for (size_t i = 0; i < COUNT(revisions); i++)
    if (gith_is_revision_of(VCS_SVN, revisions[i].s) != revisions[i].svn || gith_is_full(VCS_SVN_FOLDER, revisions[i].s) != revisions[i].svn || gith_is_revision_of(VCS_HG, revisions[i].s) != revisions[i].hg ||
        gith_is_revision_of(VCS_GIT, revisions[i].s) != revisions[i].git || gith_is_full(VCS_HG, revisions[i].s) != (revisions[i].hg && strlen(revisions[i].s) == 40))
      fail_msg("revision %s", revisions[i].s);
}

static void very_long_names_are_refused(void **state)
{
  static const char *const heads[] = { "", "https://h/", "git://", "u@h:", "/", "ssh://u@" };
  char *name = xmalloc(10001);

  (void)state;
  for (size_t i = 0; i < COUNT(heads); i++) {
    memset(name, 'a', 10000);
    name[10000] = 0;
    memcpy(name, heads[i], strlen(heads[i]));
    assert_false(gith_is_branch(name));
    assert_false(gith_is_revision(name));
    assert_false(gith_is_url(name, true));
  }
  memset(name, 'a', 10000);
  name[240] = 0;
  assert_true(gith_is_branch(name));
  free(name);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(hostile_names_are_refused), cmocka_unit_test(local_paths_only_where_allowed), cmocka_unit_test(good_names_are_taken),
    cmocka_unit_test(revisions),                 cmocka_unit_test(other_kinds), cmocka_unit_test(very_long_names_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
