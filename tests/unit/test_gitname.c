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
    cmocka_unit_test(revisions),                 cmocka_unit_test(very_long_names_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
