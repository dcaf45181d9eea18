/* What differs between two configurations, key by key, and what a running master can't take over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "master/conf/conf_diff.h"

static char file[] = "/tmp/test_conf_diff.XXXXXX";

static int setup(void **state)
{
  int fd = mkstemp(file);

  (void)state;
  if (fd < 0)
    return -1;
  close(fd);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  return unlink(file);
}

static struct conf *conf_of(const char *text)
{
  FILE *f = fopen(file, "w");
  struct diags d;
  struct conf *c;
  struct buf b;

  assert_non_null(f);
  assert_true(fputs(text, f) >= 0);
  assert_int_equal(fclose(f), 0);
  diag_init(&d);
  c = conf_load(file, &d);
  buf_init(&b, BUF_NO_MAX);
  diag_print(&d, &b);
  assert_string_equal(buf_str(&b), "");
  buf_free(&b);
  diag_free(&d);
  assert_non_null(c);
  return c;
}

/* "added project a|changed worker w: slots, tags" */
static void expect(const char *old, const char *now, const char *want)
{
  struct conf *a = conf_of(old), *b = conf_of(now);
  struct conf_diff d;
  struct buf text;

  conf_diff(a, b, &d);
  buf_init(&text, BUF_NO_MAX);
  for (int i = 0; i < d.n; i++) {
    buf_addf(&text, "%s%s %s %s", i ? "|" : "", conf_what_name(d.v[i].what), d.v[i].kind, d.v[i].name);
    for (int k = 0; k < d.v[i].nkeys; k++)
      buf_addf(&text, "%s%s", k ? ", " : ": ", d.v[i].keys[k]);
    assert_int_equal(d.v[i].project != NULL, d.v[i].what == CONF_ADDED && !strcmp(d.v[i].kind, "project"));
  }
  assert_string_equal(buf_str(&text), want);
  buf_free(&text);
  conf_diff_free(&d);
  conf_free(a);
  conf_free(b);
}

static void expect_restart(const char *old, const char *now, const char *want)
{
  struct conf *a = conf_of(old), *b = conf_of(now);
  struct diags d;
  struct buf text;

  diag_init(&d);
  conf_check_restart(a, b, &d);
  buf_init(&text, BUF_NO_MAX);
  for (int i = 0; i < d.n; i++)
    buf_addf(&text, "%s%d:%d %s", i ? "|" : "", d.v[i].line, d.v[i].column, d.v[i].message);
  assert_string_equal(buf_str(&text), want);
  buf_free(&text);
  diag_free(&d);
  conf_free(a);
  conf_free(b);
}

static void test_same(void **state)
{
  (void)state;
  expect("", "", "");
  expect("", "# a comment\nwindow: 30m\n", ""); /* the default, written down */
  expect("listen: {api: \"127.0.0.1:7420\"}\n", "listen:\n  api: '127.0.0.1:7420'\n", "");
  expect("projects: {a: {git: \"https://h/a\", branches: [x, y]}}\n", "projects:\n  a:\n    git: https://h/a\n    branches:\n      - x\n      - y\n", "");
}

static void test_settings(void **state)
{
  (void)state;
  expect("", "window: 1h\n", "changed setting window");
  expect("site: {url: \"http://a/\"}\n", "site: {address: \"h:1\"}\n", "changed setting site.url|changed setting site.address");
  expect("", "allow_local: true\nhelpers: 8\n", "changed setting allow_local|changed setting helpers");
}

static void test_workers(void **state)
{
  (void)state;
  expect("workers: {a: {slots: 2}, b: {}}\n", "workers: {a: {slots: 3, tags: [x]}, c: {}}\n", "changed worker a: slots, tags|added worker c|removed worker b");
  expect("workers: {a: {slots: 1}}\n", "workers: {a: {}}\n", "");
  expect("pools: {a: {max: 2}, b: {}}\n", "pools: {a: {tags: [x]}, c: {}}\n", "changed pool a: max, tags|added pool c|removed pool b");
}

static void test_projects(void **state)
{
  (void)state;
  expect("projects: {a: {git: \"https://h/a\"}, b: {git: \"https://h/b\"}}\n", "projects: {b: {git: \"https://h/c\", poll: 5m}, c: {git: \"https://h/c\"}}\n",
         "changed project b: git, poll|added project c|removed project a");
}

static void test_secrets(void **state)
{
  (void)state;
  expect("secrets: {a: {file: x}, b: {store: true}, d: {store: true}}\n", "secrets: {a: {file: y, for: {workers: w}}, c: {store: true}, d: {store: true}}\n",
         "changed secret a: file, for|added secret c|removed secret b");
}

#define P(rest) "projects:\n  a:\n    git: https://h/a\n" rest
static void test_pipelines(void **state)
{
  (void)state;
  expect(P(""), P("    steps: [make]\n"), "changed project a: the pipeline is the site's|added builder a/a");
  expect(P("    steps: [make]\n"), P("    steps: [make, make check]\n"), "changed project a|changed builder a/a");
  expect(P("    builders: {x: {steps: [make]}, y: {steps: [make]}}\n"), P("    builders: {y: {steps: [make], cwd: d}, z: {steps: [make]}}\n    defaults: {timeout: 1h}\n"),
         "changed project a: defaults|removed builder a/x|changed builder a/y|added builder a/z");
  expect(P("    steps: [make]\n    schedulers: {s: {change: {}}}\n"), P("    steps: [make]\n    schedulers: {s: {change: {branches: main}}, t: {change: {}}}\n"),
         "changed project a|changed scheduler a/s|added scheduler a/t");
  expect(P("    steps: [make]\n"), P(""), "changed project a: the pipeline is the repository's|removed builder a/a");
}

static void test_locks(void **state)
{
  (void)state;
  expect("locks: {a: {}, b: {count: 2}, c: {}}\n", "locks: {b: {count: 3}, c: {units: [u]}, d: {}}\n", "changed lock b: count|changed lock c: units|added lock d|removed lock a");
}

static void test_restart(void **state)
{
  (void)state;
  expect_restart("", "window: 1h\nhelpers: 2\nallow_local: true\nworkers: {a: {}}\n", "");
  expect_restart("", "state: /srv/x\n", "1:1 \"state\" can't change while the master runs");
  expect_restart("state: /srv/x\n", "", "0:0 \"state\" can't change while the master runs");
  expect_restart("", "listen: {api: none}\nwindow: 1h\n", "1:10 \"listen.api\" can't change while the master runs");
  expect_restart("database: \"host=a\"\n", "database: {folder: /srv/pg}\n", "0:0 \"database\" can't change while the master runs|1:12 \"database.folder\" can't change while the master runs");
}

/* Each key of the site is compared: one that is left out of the comparison would be a change that nobody sees. */
static void test_every_key_is_compared(void **state)
{
  struct conf *c = conf_of("site: {name: n, url: \"http://u/\", address: \"h:1\"}\nstate: /s\nlisten: {socket: /a, api: none, workers: \"*:1\", workers_socket: /b}\n"
                           "database: {folder: /f}\nallow_local: true\nsame_user: true\nwindow: 1h\nhelpers: 2\n"
                           "include: none/*.yaml\ntrusted_proxies: [127.0.0.1]\ndownloads: /d\nkeep_work: 1d\nmin_free: 1G\n");
  struct schema_view v = { 0 };
  size_t at = 0;
  int restart = 0;

  (void)state;
  while (schema_keys(&at, &v)) {
    char *name = *v.path ? xasprintf("%s.%s", v.path, v.key) : xstrdup(v.key);
    bool found = false, site = v.group == SCHEMA_SITE || v.group == SCHEMA_SITE_INFO || v.group == SCHEMA_LISTEN || v.group == SCHEMA_DATABASE;
    static const char *const maps[] = { "site", "listen", "database", "workers", "pools", "secrets", "locks", "projects" };
    for (int i = 0; i < c->keys.n; i++)
      found |= !strcmp(c->keys.v[i].name, name) && (restart += c->keys.v[i].restart, true);
    for (size_t i = 0; i < COUNT(maps); i++)
      site &= strcmp(name, maps[i]) != 0;
    if (site && !found && (v.fallback || !v.restart))
      fail_msg("%s is not compared", name);
    free(name);
  }
  assert_true(restart >= 5);
  conf_free(c);
}

static void test_references(void **state)
{
  struct conf *c = conf_of("workers: {a: {}}\n");

  (void)state;
  assert_ptr_equal(conf_hold(c), c);
  conf_free(c);
  assert_string_equal(c->workers[0].name, "a");
  assert_non_null(conf_worker(c, "a"));
  assert_null(conf_worker(c, "b"));
  conf_free(c);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_same),
    cmocka_unit_test(test_settings),
    cmocka_unit_test(test_workers), cmocka_unit_test(test_secrets),
    cmocka_unit_test(test_projects),
    cmocka_unit_test(test_pipelines),
    cmocka_unit_test(test_locks), cmocka_unit_test(test_restart),
    cmocka_unit_test(test_every_key_is_compared),
    cmocka_unit_test(test_references),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
