/* The site's configuration: files in a folder of the test's own, what they become, and each message with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/conffix.h"
#include "master/conf/conf_ssh.h"

static void test_defaults(void **state)
{
  struct fixture *f = *state;
  struct conf *c;
  char *want;

  put(f, "master.yaml", "# nothing yet\n");
  c = must_load(f);
  assert_string_equal(c->file, f->file);
  want = xasprintf("# drover configuration 1\n--- # site 14 %s/master.yaml\n# nothing yet\n", f->folder);
  assert_string_equal(c->text, want);
  free(want);
  assert_string_equal(c->state, "/var/lib/drover");
  assert_string_equal(c->socket, "/run/drover/drover.sock");
  assert_string_equal(c->api, "127.0.0.1:7420");
  assert_string_equal(c->workers_listen, "*:7421");
  assert_null(c->workers_socket);
  assert_null(c->address);
  assert_null(c->database);
  assert_null(c->database_folder);
  assert_null(c->url);
  assert_false(c->allow_local);
  assert_false(c->same_user);
  assert_int_equal(c->window_ms, 30 * 60000);
  assert_int_equal(c->helpers, 4);
  assert_int_equal(conf_keep_work_ms(c, "any", NULL), INT64_C(14) * 86400000);
  assert_int_equal(conf_min_free(c, "any", NULL, -1), INT64_C(10) << 30);
  assert_int_equal(conf_min_free(c, "any", NULL, INT64_C(500) << 30), INT64_C(10) << 30);
  assert_int_equal(conf_min_free(c, "any", NULL, INT64_C(20) << 30), INT64_C(2) << 30); /* a small disk takes builds too */
  assert_true(conf_output(c, "any").bytes == 1 << 30 && conf_output(c, "any").lines == 0);
  assert_int_equal(c->nworkers, 0);
  assert_int_equal(c->nprojects, 0);
  assert_null(conf_project(c, "x"));
  conf_free(c);
  conf_free(NULL);
}

static void test_everything(void **state)
{
  struct fixture *f = *state;
  const struct conf_project *p;
  struct conf *c;
  char *want;

  put(f, "master.yaml",
      "site: {name: ci, url: \"https://ci.example.org/drover/\", address: \"ci.example.org:7421\"}\n"
      "state: state\n"
      "listen: {socket: run/api.sock, api: none, workers: \"[::1]:0\", workers_socket: /run/w.sock}\n"
      "database: {folder: pg}\n"
      "trusted_proxies: [127.0.0.1, 10.0.0.0/8, \"::1\"]\n"
      "allow_local: true\n"
      "same_user: true\n"
      "window: 90s\n"
      "keep_work: 30d\n"
      "min_free: 20G\n"
      "helpers: 64\n"
      "output: {lines: 1000000}\n"
      "workers:\n"
      "  build1: {slots: 2, tags: [debian12, board], keep_work: 0, min_free: 500M}\n"
      "  build2:\n"
      "projects:\n"
      "  libfoo: {git: \"https://git.example.org/libfoo.git\", branches: [main, \"release/*\"], poll: 250ms, output: 4G}\n"
      "  here: {git: /srv/here, branches: main}\n");
  c = must_load(f);
  assert_string_equal(c->url, "https://ci.example.org/drover/");
  assert_string_equal(c->prefix, "/drover");
  assert_int_equal(c->ntrusted, 3);
  assert_int_equal(c->trusted[1].bits, 96 + 8);
  assert_string_equal(c->address, "ci.example.org:7421");
  want = path(f, "state");
  assert_string_equal(c->state, want);
  free(want);
  want = path(f, "run/api.sock");
  assert_string_equal(c->socket, want);
  free(want);
  want = path(f, "pg");
  assert_string_equal(c->database_folder, want);
  free(want);
  assert_null(c->database);
  assert_string_equal(c->workers_socket, "/run/w.sock");
  assert_string_equal(c->api, "none");
  assert_string_equal(c->workers_listen, "[::1]:0");
  assert_true(c->allow_local && c->same_user);
  assert_int_equal(c->window_ms, 90000);
  assert_int_equal(c->helpers, 64);
  assert_int_equal(conf_keep_work_ms(c, "build1", NULL), 0);
  assert_int_equal(conf_keep_work_ms(c, "build2", NULL), INT64_C(30) * 86400000);
  assert_int_equal(conf_keep_work_ms(c, "not named here", NULL), INT64_C(30) * 86400000);
  assert_int_equal(conf_min_free(c, "build1", NULL, INT64_C(1) << 30), INT64_C(500) << 20);
  assert_int_equal(conf_min_free(c, "build2", NULL, INT64_C(1) << 30), INT64_C(20) << 30); /* what is said counts, on a small disk too */
  assert_int_equal(conf_min_free(c, "not named here", NULL, -1), INT64_C(20) << 30);
  assert_true(conf_output(c, "libfoo").bytes == INT64_C(4) << 30 && conf_output(c, "libfoo").lines == 1000000); /* a map that leaves out one part says nothing of it */
  assert_true(conf_output(c, "here").bytes == 1 << 30 && conf_output(c, "gone").lines == 1000000);
  assert_int_equal(c->nworkers, 2);
  assert_string_equal(c->workers[0].name, "build1");
  assert_int_equal(c->workers[0].slots, 2);
  assert_int_equal(c->workers[0].ntags, 2);
  assert_string_equal(c->workers[0].tags[1], "board");
  assert_int_equal(c->workers[1].slots, 1);
  assert_int_equal(c->workers[1].ntags, 0);
  p = conf_project(c, "libfoo");
  assert_string_equal(p->codebases[0].git, "https://git.example.org/libfoo.git");
  assert_int_equal(p->codebases[0].nbranches, 2);
  assert_int_equal(p->codebases[0].poll_ms, 250);
  assert_null(p->pipeline);
  assert_null(p->pipeline_file);
  assert_null(p->pipeline_text);
  p = conf_project(c, "here");
  assert_int_equal(p->codebases[0].nbranches, 1);
  assert_int_equal(p->codebases[0].poll_ms, 60000);
  conf_free(c);
}

static void test_database_string(void **state)
{
  struct fixture *f = *state;
  struct conf *c;

  put(f, "master.yaml", "database: \"host=db1 dbname=drover\"\n");
  c = must_load(f);
  assert_string_equal(c->database, "host=db1 dbname=drover");
  assert_null(c->database_folder);
  conf_free(c);
}

static void test_confd(void **state)
{
  struct fixture *f = *state;
  struct conf *c;
  char *want;

  put(f, "master.yaml", "workers: {a: }");
  put(f, "conf.d/20.yaml", "projects: {p: {git: \"git@host:p.git\"}}\n");
  put(f, "conf.d/10.yaml", "workers: {b: {slots: 3}}\n");
  put(f, "conf.d/.hidden.yaml", "nonsense: [");
  put(f, "conf.d/notes.txt", "nonsense: [");
  c = must_load(f);
  assert_int_equal(c->nworkers, 2);
  assert_string_equal(c->workers[1].name, "b");
  assert_int_equal(c->nprojects, 1);
  want = xasprintf("# drover configuration 1\n--- # site 14 %s/master.yaml\nworkers: {a: }\n--- # conf.d 25 %s/conf.d/10.yaml\nworkers: {b: {slots: 3}}\n"
                   "--- # conf.d 39 %s/conf.d/20.yaml\nprojects: {p: {git: \"git@host:p.git\"}}\n", f->folder, f->folder, f->folder);
  assert_string_equal(c->text, want);
  free(want);
  conf_free(c);
}

static void test_confd_errors(void **state)
{
  struct fixture *f = *state;

  put(f, "master.yaml", "workers: {a: }\nprojects: {p: {git: \"git@host:p.git\"}}\n");
  put(f, "conf.d/a.yaml", "workers: {a: {slots: 0}}\nstate: /x\n");
  put(f, "conf.d/b.yaml", "projects: {p: {git: \"git@host:p.git\"}}\n");
  put(f, "conf.d/c.yaml", "projects: [\n");
  expect_refused(f, "conf.d/a.yaml:1:11: worker \"a\" stands twice, first at master.yaml:1:11\n"
                    "  workers: {a: {slots: 0}}\n            ^\n"
                    "conf.d/a.yaml:1:22: \"slots\" wants a whole number from 1 to 1000, got \"0\"\n"
                    "  workers: {a: {slots: 0}}\n                       ^\n"
                    "conf.d/a.yaml:2:1: unknown key \"state\" (it is a key of the site's configuration)\n  state: /x\n  ^\n"
                    "conf.d/b.yaml:1:12: project \"p\" stands twice, first at master.yaml:2:12\n"
                    "  projects: {p: {git: \"git@host:p.git\"}}\n             ^\n"
                    "conf.d/c.yaml:1:11: the text ends inside the list that begins here\n"
                    "  projects: [\n            ^\n");
}

static void test_files(void **state)
{
  struct fixture *f = *state;
  char *huge = xmalloc(PIPELINE_TEXT_MAX + 10);

  expect_refused(f, "master.yaml: can't be read: No such file or directory\n");
  memset(huge, '#', PIPELINE_TEXT_MAX + 9);
  huge[PIPELINE_TEXT_MAX + 9] = 0;
  put(f, "master.yaml", huge);
  free(huge);
  {
    struct diags d;
    diag_init(&d);
    assert_null(conf_load(f->file, &d));
    assert_string_equal(d.v[0].message, "the text is larger than 1024 KiB, the most that is read");
    diag_free(&d);
  }
  put(f, "master.yaml", "projects: {p: {git: \"git@host:p.git\", pipeline: p.yml}}\n");
  expect_refused(f, "p.yml: can't be read: No such file or directory\n");
  put(f, "p.yml", "steps: [a]\nstepz: b\n");
  expect_refused(f, "p.yml:2:1: unknown key \"stepz\" (did you mean \"steps\"?)\n  stepz: b\n  ^\n");
}

static void test_relative_file(void **state)
{
  struct fixture *f = *state;
  char *before = getcwd(NULL, 0), *want = path(f, "s");
  struct diags d;
  struct conf *c;

  put(f, "master.yaml", "state: s\n");
  put(f, "conf.d/a.yaml", "workers: {a: }\n");
  assert_int_equal(chdir(f->folder), 0);
  diag_init(&d);
  c = conf_load("master.yaml", &d);
  assert_non_null(c);
  assert_string_equal(c->state, want);
  assert_int_equal(c->nworkers, 1);
  conf_free(c);
  c = conf_load("./master.yaml", &d);
  assert_non_null(c);
  assert_int_equal(c->nworkers, 1);
  conf_free(c);
  assert_int_equal(chdir(before), 0);
  free(before);
  free(want);
}

static void test_pipeline_file(void **state)
{
  struct fixture *f = *state;
  const struct conf_project *p;
  struct conf *c;
  char *want = path(f, "p.yml");

  put(f, "master.yaml", "projects: {p: {git: \"git@host:p.git\", pipeline: p.yml}}\n");
  put(f, "p.yml", "steps: [make]\n");
  c = must_load(f);
  p = conf_project(c, "p");
  assert_string_equal(p->pipeline_file, want);
  assert_string_equal(p->pipeline_text, "steps: [make]\n");
  assert_string_equal(p->pipeline->builders[0].name, "p");
  assert_non_null(strstr(c->text, "p.yml\nsteps: [make]\n"));
  conf_free(c);
  free(want);
}

static void put_mode(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
  char *p = path(f, name);

  put(f, name, text);
  assert_int_equal(chmod(p, mode), 0);
  free(p);
}

static void test_codebases(void **state)
{
  struct fixture *f = *state;
  const struct conf_project *p;
  struct conf *c;
  char *json;

  put(f, "master.yaml",
                 "projects:\n"
                   "  one: {git: \"https://h/one\"}\n"
                   "  several:\n"
                   "    main: ui\n"
                   "    stamps: {others: [pinned, last_seen]}\n"
                   "    codebases:\n"
                   "      core: &git {git: \"https://h/core\", branches: [main, \"release/*\"], poll: 5m, first: build}\n"
                   "      ui: {<<: *git, git: \"https://h/ui\", pin: v1.2, poll: 2m}\n"
                   "    steps: [make]\n"
                   "    schedulers: {s: {change: {}, codebases: [core, ui]}}\n");
  c = must_load(f);
  p = conf_project(c, "one");
  assert_false(conf_has_codebases(p));
  assert_ptr_equal(conf_codebase(p, ""), p->codebases);
  assert_null(conf_codebase(p, "core"));
  json = conf_codebases_json(p);
  assert_string_equal(json, "{}");
  free(json);
  p = conf_project(c, "several");
  assert_true(conf_has_codebases(p));
  assert_int_equal(p->ncodebases, 2);
  assert_int_equal(p->main, 1);
  assert_null(conf_codebase(p, ""));
  assert_int_equal(conf_codebase(p, "core")->poll_ms, 300000);
  assert_int_equal(conf_codebase(p, "ui")->poll_ms, 120000);
  assert_int_equal(conf_codebase(p, "ui")->nbranches, 2);
  assert_true(conf_codebase(p, "ui")->first_build);
  json = conf_codebases_json(p);
  assert_string_equal(json, "{\"main\":\"ui\",\"stamps\":[\"pinned\",\"last_seen\"],\"codebases\":[{\"name\":\"core\",\"repository\":\"https://h/core\"},"
                            "{\"name\":\"ui\",\"repository\":\"https://h/ui\",\"pin\":\"v1.2\"}]}");
  free(json);
  conf_free(c);
}

static void test_hooks(void **state)
{
  struct fixture *f = *state;
  char *want = path(f, "s");
  struct conf *c, *again;

  put(f, "master.yaml", "projects:\n"
                        "  none: {git: \"git@host:a.git\"}\n"
                        "  poll: {git: \"git@host:a.git\", hook: poll}\n"
                        "  bare: {git: \"git@host:a.git\", hook: {dialect: gitea}}\n"
                        "  full: {git: \"git@host:a.git\", hook: {dialect: github, secret: {file: s}}}\n");
  put_mode(f, "s", "0123456789abcdef 0123\n", 0600);
  c = must_load(f);
  assert_false(conf_project(c, "none")->codebases[0].hook.on);
  assert_true(conf_project(c, "poll")->codebases[0].hook.on);
  assert_null(conf_project(c, "poll")->codebases[0].hook.dialect);
  assert_null(conf_project(c, "poll")->codebases[0].hook.secret);
  assert_string_equal(conf_project(c, "bare")->codebases[0].hook.dialect, "gitea");
  assert_null(conf_project(c, "bare")->codebases[0].hook.secret);
  assert_string_equal(conf_project(c, "full")->codebases[0].hook.secret_file, want);
  assert_string_equal(conf_project(c, "full")->codebases[0].hook.secret, "0123456789abcdef 0123");
  assert_null(strstr(c->text, "0123456789abcdef")); /* the version row has none of it */
  put_mode(f, "s", "0123456789abcdef 0123", 0640);
  again = must_load(f);
  assert_true(conf_same_secrets(c, again));
  conf_free(again);
  put_mode(f, "s", "fedcba9876543210", 0640);
  again = must_load(f);
  assert_string_equal(again->text, c->text);
  assert_false(conf_same_secrets(c, again));
  conf_free(again);
  conf_free(c);
  free(want);
}

static void test_hook_errors(void **state)
{
  static const struct { const char *text; mode_t mode; const char *says; } table[] = {
    { "0123456789abcde\n", 0600, "is not one line of 16 to 1024 bytes (make one: openssl rand -hex 32)" },
    { "\n", 0600, "is not one line of 16 to 1024 bytes" },
    { "0123456789abcdef\nmore\n", 0600, "is not one line of 16 to 1024 bytes" },
    { "0123456789abcdef\n", 0644, "is open to others, its mode is 0644 (chmod 0600, or 0640 where the service reads it by its group)" },
    { "0123456789abcdef\n", 0660, "is open to others, its mode is 0660" },
    { "0123456789abcdef\n", 0601, "is open to others, its mode is 0601" },
    { NULL, 0, "can't be read: No such file or directory" } };
  struct fixture *f = *state;
  char *s = path(f, "s"), *got;

  put(f, "master.yaml", "projects: {p: {git: \"git@host:a.git\", hook: {dialect: github, secret: {file: s}}}}\n");
  for (size_t i = 0; i < COUNT(table); i++) {
    unlink(s);
    if (table[i].text)
      put_mode(f, "s", table[i].text, table[i].mode);
    got = must_fail(f);
    assert_non_null(strstr(got, "master.yaml:1:78: the secret"));
    assert_non_null(strstr(got, table[i].says));
    free(got);
  }
  unlink(s);
  assert_int_equal(mkdir(s, 0700), 0);
  got = must_fail(f);
  assert_non_null(strstr(got, "is no ordinary file"));
  free(got);
  rmdir(s);
  free(s);
  put(f, "master.yaml", "projects: {p: {git: \"git@host:a.git\", hook: {dialect: svn, secret: 0123456789abcdef}}}\n");
  got = must_fail(f);
  assert_non_null(strstr(got, "\"dialect\" wants \"github\" or \"gitlab\" or \"gitea\" or \"forgejo\" or \"bitbucket\", got \"svn\""));
  assert_non_null(strstr(got, "\"secret\" wants a map, got"));
  free(got);
}

static void test_pipeline_in_the_site(void **state)
{
  struct fixture *f = *state;
  const struct conf_project *p;
  struct pipeline *again;
  struct diags d;
  struct conf *c;

  put(f, "master.yaml", "projects:\n"
                        "  a: &a\n"
                        "    git: \"git@host:a.git\"\n"
                        "    poll: 2s\n"
                        "    defaults: {env: &e {A: \"x \\\"y\\\"\\n\"}}\n"
                        "    builders: {one: {steps: [make, {run: [a, \"\"], env: *e}]}, two: {steps: [checkout, make]}}\n"
                        "    schedulers: {s: {change: {branches: main}, builders: two}}\n"
                        "  b: {<<: *a, git: \"git@host:b.git\"}\n"
                        "  c: {git: \"git@host:c.git\", steps: [make]}\n");
  c = must_load(f);
  p = conf_project(c, "b");
  assert_string_equal(p->codebases[0].git, "git@host:b.git");
  assert_int_equal(p->pipeline->nbuilders, 2);
  assert_string_equal(p->pipeline->schedulers[0].builders[0], "two");
  assert_null(strstr(p->pipeline_text, "poll"));
  assert_null(strstr(p->pipeline_text, "git@"));
  diag_init(&d);
  again = pipeline_parse("again", p->pipeline_text, strlen(p->pipeline_text), "b", &d);
  assert_non_null(again);
  assert_int_equal(again->nbuilders, 2);
  assert_int_equal(again->builders[0].nsteps, 3);
  assert_string_equal(again->builders[0].steps[2].env[0].value, "x \"y\"\n");
  assert_string_equal(again->builders[0].steps[2].argv[1], "");
  pipeline_free(again);
  assert_string_equal(conf_project(c, "c")->pipeline->builders[0].name, "c");
  assert_string_equal(conf_project(c, "c")->pipeline_text, "steps:\n  - make\n");
  conf_free(c);
}

static const struct { const char *text, *printed; } refusals[] = {
  { "site:\n  url: https://ci.example.org/a/../b\n",
    "master.yaml:2:8: the path of \"url\" has something that two servers could read differently (letters, digits and . _ ~ - between single slashes, no word with a dot at its start)\n"
    "  url: https://ci.example.org/a/../b\n       ^\n" },
  { "site:\n  url: https://ci.example.org//a\n",
    "master.yaml:2:8: the path of \"url\" has something that two servers could read differently (letters, digits and . _ ~ - between single slashes, no word with a dot at its start)\n"
    "  url: https://ci.example.org//a\n       ^\n" },
  { "site:\n  url: https://ci.example.org/%63i/\n",
    "master.yaml:2:8: the path of \"url\" has something that two servers could read differently (letters, digits and . _ ~ - between single slashes, no word with a dot at its start)\n"
    "  url: https://ci.example.org/%63i/\n       ^\n" },
  { "site:\n  url: https://ci.example.org/ci?x\n", "master.yaml:2:8: \"url\" is an address without query and fragment\n  url: https://ci.example.org/ci?x\n       ^\n" },
  { "site:\n  url: https://ci.example.org/api/x\n",
    "master.yaml:2:8: the path of \"url\" can't begin with /api, which is the page's own (such as /ci/)\n  url: https://ci.example.org/api/x\n       ^\n" },
  { "trusted_proxies: [127.0.0.1, nginx, 10.0.0.1/8]\n",
    "master.yaml:1:30: \"trusted_proxies\" wants an address or network, got \"nginx\" (such as 127.0.0.1, \"::1\" or 10.0.0.0/8; a network's address has no bits behind its length)\n"
    "  trusted_proxies: [127.0.0.1, nginx, 10.0.0.1/8]\n                               ^\n"
    "master.yaml:1:37: \"trusted_proxies\" wants an address or network, got \"10.0.0.1/8\" (such as 127.0.0.1, \"::1\" or 10.0.0.0/8; a network's address has no bits behind its length)\n"
    "  trusted_proxies: [127.0.0.1, nginx, 10.0.0.1/8]\n                                      ^\n" },
  { "sites: {}\n", "master.yaml:1:1: unknown key \"sites\" (did you mean \"site\"?)\n  sites: {}\n  ^\n" },
  { "notify: {}\n", "master.yaml:1:1: \"notify\" is not supported by this version yet\n  notify: {}\n  ^\n" },
  { "steps: [a]\n", "master.yaml:1:1: unknown key \"steps\" (it is a key of a project of the site)\n  steps: [a]\n  ^\n" },
  { "[a]\n", "master.yaml:1:1: the site's configuration is a map, got a list\n  [a]\n  ^\n" },
  { "site: {url: ci.example.org}\n", "master.yaml:1:13: \"url\" wants an http or https URL, got \"ci.example.org\"\n"
                                     "  site: {url: ci.example.org}\n              ^\n" },
  { "site: {address: \"*:7421\"}\n", "master.yaml:1:17: \"address\" is what workers connect to: it has a host and a port\n"
                                    "  site: {address: \"*:7421\"}\n                  ^\n" },
  { "listen: {api: 7420}\n", "master.yaml:1:15: \"api\" wants \"none\" or HOST:PORT, got \"7420\" (such as 127.0.0.1:7420, [::1]:7420 or *:7421)\n"
                             "  listen: {api: 7420}\n                ^\n" },
  { "listen: {workers: \"a:65536\"}\n", "master.yaml:1:19: \"workers\" wants HOST:PORT, got \"a:65536\" (such as 127.0.0.1:7420, [::1]:7420 or "
                                       "*:7421)\n  listen: {workers: \"a:65536\"}\n                    ^\n" },
  { "allow_local: yes\n", "master.yaml:1:14: \"allow_local\" wants true or false, got \"yes\"\n  allow_local: yes\n               ^\n" },
  { "allow_local: \"true\"\n", "master.yaml:1:14: \"allow_local\" wants true or false, got \"true\"\n  allow_local: \"true\"\n               ^\n" },
  { "helpers: 65\n", "master.yaml:1:10: \"helpers\" wants a whole number from 1 to 64, got \"65\"\n  helpers: 65\n           ^\n" },
  { "helpers: 1.5\n", "master.yaml:1:10: \"helpers\" wants a whole number from 1 to 64, got \"1.5\"\n  helpers: 1.5\n           ^\n" },
  { "min_free: 10\n", "master.yaml:1:11: \"min_free\" wants a size, got \"10\" (a whole number and K, M, G or T, or 0: 500M, 10G)\n  min_free: 10\n            ^\n" },
  { "workers: {w: {min_free: 10%}}\n", "master.yaml:1:25: \"min_free\" wants a size, got \"10%\" (a whole number and K, M, G or T, or 0: 500M, 10G)\n"
                                       "  workers: {w: {min_free: 10%}}\n                          ^\n" },
  { "keep_work: 5000d\n", "master.yaml:1:12: \"keep_work\" wants a duration from 0 to 3650d, got \"5000d\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n"
                          "  keep_work: 5000d\n             ^\n" },
  { "window: 10ms\n", "master.yaml:1:9: \"window\" wants a duration from 1s to 30d, got \"10ms\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n"
                      "  window: 10ms\n          ^\n" },
  { "database: [a]\n", "master.yaml:1:11: \"database\" wants a string or a map, got a list\n  database: [a]\n            ^\n" },
  { "database: \"\"\n", "master.yaml:1:11: \"database\" wants a string or a map, got \"\"\n  database: \"\"\n            ^\n" },
  { "workers: {a b: }\n", "master.yaml:1:11: \"workers\" wants a name, got \"a b\" (1 to 64 letters, digits, dots, underscores and hyphens, first "
                          "a letter or digit)\n  workers: {a b: }\n            ^\n" },
  { "pools: {a: {latent: x}}\n", "master.yaml:1:13: \"latent\" is not supported by this version yet\n  pools: {a: {latent: x}}\n              ^\n" },
  { "workers: {a-1: {}}\npools: {a: {slots: 2}}\n",
    "master.yaml:1:11: \"a-1\" is a name that the pool \"a\" gives to its members (call one of them otherwise)\n  workers: {a-1: {}}\n            ^\n" },
  { "pools: {a: {max: 0}}\n", "master.yaml:1:18: \"max\" wants a whole number from 1 to 10000, got \"0\"\n  pools: {a: {max: 0}}\n                   ^\n" },
  { "pools: {a: {forget: 1s}}\n", "master.yaml:1:21: \"forget\" wants a duration from 10s to 365d, got \"1s\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n  pools: {a: {forget: 1s}}\n                      ^\n" },
  { "pools: {a2345678901234567890123456789012345678901234567890abcde: {}}\n",
    "master.yaml:1:9: a pool's name has at most 54 bytes, since its members are called NAME-1 and so on\n  pools: {a2345678901234567890123456789012345678901234567890abcde: {}}\n          ^\n" },
  { "projects: {p: {branches: main}}\n", "master.yaml:1:12: \"p\" wants the key \"git\", or \"svn\" or \"hg\"\n  projects: {p: {branches: main}}\n             ^\n" },
  { "projects: {p: }\n", "master.yaml:1:12: \"p\" wants the key \"git\", or \"svn\" or \"hg\"\n  projects: {p: }\n             ^\n" },
  { "projects: {p: {svn: \"svn://h/x\", git: \"git@h:p\"}}\n",
    "master.yaml:1:21: a project has one repository: \"svn\" can't stand beside \"git\"\n  projects: {p: {svn: \"svn://h/x\", git: \"git@h:p\"}}\n                      ^\n" },
  { "projects: {p: {svn: \"svn+ssh://h/x\"}}\n", "master.yaml:1:21: \"svn+ssh://h/x\" is not a repository's URL (it starts with https://, http:// or svn://)\n"
                                                "  projects: {p: {svn: \"svn+ssh://h/x\"}}\n                      ^\n" },
  { "projects: {p: {hg: \"file:///x\"}}\n", "master.yaml:1:20: a repository on this host needs \"allow_local\" (in master.yaml: allow_local: true)\n"
                                            "  projects: {p: {hg: \"file:///x\"}}\n                     ^\n" },
  { "projects: {p: {hg: \"http://h/x\", layout: folder}}\n", "master.yaml:1:42: \"layout\" is for \"svn\" only: the branches of a hg repository are known without it\n"
                                                            "  projects: {p: {hg: \"http://h/x\", layout: folder}}\n                                           ^\n" },
  { "projects: {p: {svn: \"http://h/x\", host_keys: x}}\n", "master.yaml:1:46: only ssh has host keys\n"
                                                           "  projects: {p: {svn: \"http://h/x\", host_keys: x}}\n                                               ^\n" },
  { "projects: {p: {git: \"git@h:p\", roles: {}}}\n", "master.yaml:1:32: \"roles\" is not supported by this version yet\n  projects: {p: {git: \"git@h:p\", roles: {}}}\n                                 ^\n" },
  { "projects: {p: {codebases: {}}}\n", "master.yaml:1:27: \"codebases\" has none (codebases: {core: {git: URL}, ui: {git: URL}})\n  projects: {p: {codebases: {}}}\n                            ^\n" },
  { "projects: {p: {git: \"https://h/a\", codebases: {a: {git: \"https://h/a\"}}}}\n",
    "master.yaml:1:16: \"git\" can't stand beside \"codebases\": it is of each codebase (write it at the codebases it is for; an anchor saves repeating it)\n"
    "  projects: {p: {git: \"https://h/a\", codebases: {a: {git: \"https://h/a\"}}}}\n                 ^\n" },
  { "projects: {p: {codebases: {A: {git: \"https://h/a\"}}}}\n",
    "master.yaml:1:28: a codebase's name has 1 to 32 of [a-z0-9_-], first a letter or digit (small letters, digits, - and _, such as core)\n"
    "  projects: {p: {codebases: {A: {git: \"https://h/a\"}}}}\n                             ^\n" },
  { "projects: {p: {main: b, codebases: {a: {git: \"https://h/a\"}, c: {git: \"https://h/c\"}}}}\n",
    "master.yaml:1:22: the project has no codebase \"b\" (there is a, c)\n"
    "  projects: {p: {main: b, codebases: {a: {git: \"https://h/a\"}, c: {git: \"https://h/c\"}}}}\n                       ^\n" },
  { "projects: {p: {main: b, git: \"https://h/a\"}}\n",
    "master.yaml:1:16: \"main\" is for projects with \"codebases\"\n  projects: {p: {main: b, git: \"https://h/a\"}}\n                 ^\n" },
  { "projects: {p: {stamps: {others: pinned}, codebases: {a: {git: \"https://h/a\"}}}}\n",
    "master.yaml:1:33: \"pinned\" means the \"pin\" of a codebase, and none has one (codebases: {NAME: {pin: v1.2, …}})\n"
    "  projects: {p: {stamps: {others: pinned}, codebases: {a: {git: \"https://h/a\"}}}}\n                                  ^\n" },
  { "projects: {p: {stamps: {others: [newest]}, codebases: {a: {git: \"https://h/a\"}}}}\n",
    "master.yaml:1:34: \"others\" wants \"same_branch\" or \"last_good\" or \"tip\" or \"last_seen\" or \"pinned\", got \"newest\"\n"
    "  projects: {p: {stamps: {others: [newest]}, codebases: {a: {git: \"https://h/a\"}}}}\n                                   ^\n" },
  { "projects: {p: {codebases: {a: {git: \"https://h/a\"}, core: {git: \"https://h/c\"}}, steps: [make], schedulers: {s: {change: {}, codebases: cor}}}}\n",
    "master.yaml:1:137: project p has no codebase \"cor\" (did you mean \"core\"?)\n"
    "  projects: {p: {codebases: {a: {git: \"https://h/a\"}, core: {git: \"https://h/c\"}}, steps: [make], schedulers: {s: {change: {}, codebases: cor}}}}\n"
    "                                                                                                                                          ^\n" },
  { "projects: {p: {git: \"git@h:p\", poll: 500ms}}\n", "master.yaml:1:38: \"poll\" below 1s needs \"allow_local: true\"\n"
                                                       "  projects: {p: {git: \"git@h:p\", poll: 500ms}}\n                                       ^\n" },
  { "allow_local: true\nprojects: {p: {git: \"git@h:p\", poll: 50ms}}\n",
    "master.yaml:2:38: \"poll\" wants a duration from 100ms to 30d, got \"50ms\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n"
    "  projects: {p: {git: \"git@h:p\", poll: 50ms}}\n                                       ^\n" },
  { "projects: {p: {git: \"git@h:p\", pipeline: /x, steps: [a]}}\n",
    "master.yaml:1:46: \"steps\" beside \"pipeline\", which names a file that has it\n"
    "  projects: {p: {git: \"git@h:p\", pipeline: /x, steps: [a]}}\n                                               ^\n" },
  { "projects: {p: {git: \"git@h:p\", defaults: {}}}\n",
    "master.yaml:1:32: \"defaults\" wants \"steps\" or \"builders\" beside it (or leave the pipeline to the repository's .drover.yml)\n"
    "  projects: {p: {git: \"git@h:p\", defaults: {}}}\n                                 ^\n" },
  { "projects: {p: {git: \"git@h:p\", steps: [{run: a, cwd: ..}]}}\n",
    "master.yaml:1:54: \"cwd\" wants a folder below the checkout, got \"..\" (a relative path without ..)\n"
    "  projects: {p: {git: \"git@h:p\", steps: [{run: a, cwd: ..}]}}\n"
    "                                                       ^\n" },
};

static void test_messages(void **state)
{
  struct fixture *f = *state;

  for (size_t i = 0; i < COUNT(refusals); i++) {
    put(f, "master.yaml", refusals[i].text);
    expect_refused(f, refusals[i].printed);
  }
}

static void test_socket_too_long(void **state)
{
  struct fixture *f = *state;
  char text[300];
  struct diags d;

  snprintf(text, sizeof text, "listen: {socket: /%0*d}\n", 107, 0);
  put(f, "master.yaml", text);
  diag_init(&d);
  assert_null(conf_load(f->file, &d));
  assert_int_equal(d.v[0].column, 18);
  assert_true(str_starts(d.v[0].message, "a socket's path has at most 107 bytes"));
  diag_free(&d);
}

/* The message about a repository's URL; NULL: it is taken. */
static char *git_refused(struct fixture *f, const char *url, bool allow_local)
{
  struct diags d;
  struct buf b;
  struct conf *c;
  char *message;

  buf_init(&b, BUF_NO_MAX);
  buf_addf(&b, "allow_local: %s\nprojects: {p: {git: '", allow_local ? "true" : "false");
  for (const char *s = url; *s; s++)
    buf_addf(&b, *s == '\'' ? "'%c" : "%c", *s == '\'' ? '\'' : *s);
  buf_adds(&b, "'}}\n");
  put(f, "master.yaml", buf_str(&b));
  buf_free(&b);
  diag_init(&d);
  c = conf_load(f->file, &d);
  assert_int_equal(diag_count(&d), !c);
  message = c ? NULL : xstrdup(d.v[0].message);
  assert_true(c || (d.v[0].line == 2 && d.v[0].column == 21));
  conf_free(c);
  diag_free(&d);
  return message;
}

static void test_git_urls(void **state)
{
  static const char *const good[] = { "https://git.example.org/a.git", "http://h/a", "ssh://git@h:22/a", "git://h/a",
                                      "git@h:a/b.git", "user.name@h-1.example.org:/abs/p", "ssh://h/~user/a", "https://u:p@h/a?x=1&y" };
  static const char *const bad[] = { "--upload-pack=touch x", "-oProxyCommand=x", "ext::sh -c x", "ext::x", "fd::7", "ssh://-oProxyCommand=x/y",
                                     "ssh://u@-oProxyCommand=x/y", "ssh:///x", "https://", "ftp://h/x", "h:x", "a/b", "../x", "$(touch x)",
                                     "git@h:-x", "git@-h:x", "-u@h:x", "git@h::x", "https://h/a b", "https://h/`x`", "https://h/$(x)",
                                     "git@h:a;b", "HTTPS://h/x", "git@h:", "@h:x", "file://host/x", "ssh://u@/x" };
  static const char *const local[] = { "/srv/git/a.git", "file:///srv/git/a.git" };
  struct fixture *f = *state;

  for (size_t i = 0; i < COUNT(good); i++)
    assert_null(git_refused(f, good[i], false));
  for (size_t i = 0; i < COUNT(bad); i++)
    for (int allow = 0; allow < 2; allow++) {
      char *m = git_refused(f, bad[i], allow);
      assert_non_null(m);
      free(m);
    }
  for (size_t i = 0; i < COUNT(local); i++) {
    char *m = git_refused(f, local[i], false);
    assert_string_equal(m, "a repository on this host needs \"allow_local\"");
    free(m);
    assert_null(git_refused(f, local[i], true));
  }
}

static void test_reference(void **state)
{
  struct buf b;

  (void)state;
  buf_init(&b, BUF_NO_MAX);
  conf_reference(&b);
  assert_true(str_starts(buf_str(&b), "# Configuration\n"));
  assert_non_null(strstr(buf_str(&b), "\n- **`poll`**: a duration from 100ms to 30d, default `60s`. "));
  assert_non_null(strstr(buf_str(&b), "\n- **`git`**: a string. "));
  buf_free(&b);
}

#define HOST_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICbAhFEDxNCuaPlarTBo7uISxkKZJk6hlDkfa8J4Wc30"

/* Workers that are dialled: the parts of the address, the host keys in the one form that counts, and what is none. */
static void test_ssh(void **state)
{
  static const char *const bad[] = { "ssh: h", "ssh: \"@h\"", "ssh: \"a@\"", "ssh: \"a@h:\"", "ssh: \"a@h:65536\"", "ssh: \"a@h h\"", "ssh: \"a@-h\"", "ssh: \"-a@h\"", "ssh: \"a;b@h\"", "ssh: \"a@[::1\"", "ssh: \"a@[x]\"", "ssh: \"a@h:22x\"",
    "ssh: a@h, dir: \"x y\"", "ssh: a@h, dir: \"x'y\"", "ssh: a@h, dir: \"x`y\"", "ssh: a@h, dir: x/../y", "ssh: a@h, dir: ..", "ssh: a@h, dir: x/..", "ssh: a@h, dir: \"/\"", "ssh: a@h, dir: -x", "ssh: a@h, host_key: x", "ssh: a@h, host_key: \"SHA256:x\"",
    "ssh: a@h, host_key: \"ssh-ed25519 AAAA\"", "ssh: a@h, host_key: \"SSH-ED25519 AAAAC3NzaC1lZDI1NTE5AAAAICbAhFEDxNCuaPlarTBo7uISxkKZJk6hlDkfa8J4Wc30\"", "dir: x", "host_key: \"" HOST_KEY "\"" };
  struct fixture *f = *state;
  struct conf *c, *other;
  const struct conf_ssh *s;

  put(f, "master.yaml", "workers: {a: {ssh: ci@build3.example.org, host_key: \"" HOST_KEY " root@build3\"}, b: {ssh: \"x_y@[fe80::1%eth0]:2222\", dir: /srv/d, host_key: [\"SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU\", \"" HOST_KEY "\"]}, c: {}}\n");
  c = must_load(f);
  s = c->workers[0].ssh;
  assert_string_equal(s->user, "ci");
  assert_string_equal(s->host, "build3.example.org");
  assert_string_equal(s->port, "22");
  assert_string_equal(s->address, "ci@build3.example.org:22");
  assert_string_equal(s->dir, CONF_SSH_DIR);
  assert_int_equal(s->npins, 1);
  assert_string_equal(s->pins[0], HOST_KEY);
  s = c->workers[1].ssh;
  assert_string_equal(s->host, "fe80::1%eth0");
  assert_string_equal(s->address, "x_y@[fe80::1%eth0]:2222");
  assert_int_equal(s->npins, 2);
  assert_null(c->workers[2].ssh);
  other = must_load(f);
  assert_true(conf_ssh_same(s, other->workers[1].ssh));
  assert_false(conf_ssh_same(s, other->workers[0].ssh));
  assert_false(conf_ssh_same(s, NULL));
  assert_true(conf_ssh_same(NULL, NULL));
  conf_free(other);
  conf_free(c);
  for (size_t i = 0; i < COUNT(bad); i++) {
    char *text = xasprintf("workers: {a: {%s}}\n", bad[i]);
    put(f, "master.yaml", text);
    free(text);
    text = must_fail(f);
    assert_non_null(strstr(text, "master.yaml:1:"));
    free(text);
  }
}

/* Found by fuzz_ssh: what the master tells its helper has a size, and so many keys have no room in it. */
static void test_many_host_keys(void **state)
{
  struct fixture *f = *state;
  struct buf text;
  char *told;

  for (int n = CONF_SSH_PINS_MAX; n <= CONF_SSH_PINS_MAX + 1; n++) {
    buf_init(&text, BUF_NO_MAX);
    buf_adds(&text, "workers: {a: {ssh: a@h, host_key: [");
    for (int i = 0; i < n; i++)
      buf_addf(&text, "%s\"" HOST_KEY "\"", i ? ", " : "");
    buf_adds(&text, "]}}\n");
    put(f, "master.yaml", buf_str(&text));
    buf_free(&text);
    if (n == CONF_SSH_PINS_MAX)
      conf_free(must_load(f));
  }
  told = must_fail(f);
  assert_non_null(strstr(told, "master.yaml:1:35: more than 12 host keys of one worker"));
  free(told);
}

static void test_pools(void **state)
{
  struct fixture *f = *state;
  const struct conf_pool *p;
  struct conf *c;

  put(f, "master.yaml", "workers: {linux: {}, linux-0: {}, linux-01: {}, linux-x: {}, linux-1x: {}, lin-7: {}}\n"
                        "pools: {linux: {tags: [build, big], slots: 4, max: 40, weight: 20, keep_work: 2d, forget: 5m}, vault: {min_free: 1G, calendar: \"Mon-Fri 08:00-18:00\"}}\n");
  c = must_load(f);
  assert_int_equal(c->npools, 2);
  p = conf_pool(c, "linux");
  assert_int_equal(p->is.slots, 4);
  assert_int_equal(p->is.ntags, 2);
  assert_int_equal(p->is.weight, 20);
  assert_int_equal(p->max, 40);
  assert_int_equal(p->forget_ms, 300000);
  p = conf_pool(c, "vault");
  assert_int_equal(p->is.slots, 1);
  assert_int_equal(p->max, 0);
  assert_int_equal(p->forget_ms, 3600000);
  assert_string_equal(p->is.calendar, "Mon-Fri 08:00-18:00");
  assert_null(conf_pool(c, "none"));
  assert_null(conf_pool(c, NULL));
  assert_ptr_equal(conf_pool_of_name(c, "linux-1"), conf_pool(c, "linux"));
  assert_ptr_equal(conf_pool_of_name(c, "vault-900"), p);
  for (int i = 0; i < c->nworkers; i++)
    assert_null(conf_pool_of_name(c, c->workers[i].name));
  assert_int_equal(conf_keep_work_ms(c, "linux-3", "linux"), 2 * INT64_C(86400000));
  assert_int_equal(conf_keep_work_ms(c, "linux-3", "vault"), 14 * INT64_C(86400000));
  assert_int_equal(conf_min_free(c, "vault-1", "vault", INT64_C(1) << 40), INT64_C(1) << 30);
  assert_ptr_equal(conf_worker_of(c, "linux", NULL), &c->workers[0]);
  assert_null(conf_worker_of(c, "linux", "gone")); /* its pool has left the configuration */
  conf_free(c);
}

/* Who may take which secret. The rows: project, builder, branch, worker, its pool, fork, and what is said (NULL: it may). */
static void test_secrets(void **state)
{
  static const struct { const char *secret; struct secret_taker t; const char *why; } rows[] = {
    { "plain", { "a", "b", "main", "w", NULL, SECRET_OWN }, NULL },
    { "plain", { "a", "b", "", "w", NULL, SECRET_OWN }, NULL },
    { "plain", { "a", "b", "main", "w", NULL, SECRET_FORK }, "it wants the secret \"plain\", and builds of pull requests from forks get no secrets, approved or not" },
    { "plane", { "a", "b", "main", "w", NULL, SECRET_OWN }, "there is no secret \"plane\" in the site's configuration" },
    { "plane", { "a", "b", "main", "w", NULL, SECRET_FORK }, "it wants the secret \"plane\", and builds of pull requests from forks get no secrets, approved or not" },
    { "plain", { "a", "b", "main", "w", NULL, SECRET_TRY }, "it wants the secret \"plain\", and builds that try a patch get no secrets" },
    { "narrow", { "a", "sign", "release/1", "vault1", NULL, SECRET_OWN }, NULL },
    { "narrow", { "a", "sign[gcc]", "release/1", "vault1", NULL, SECRET_OWN }, NULL },
    { "narrow", { "b", "x[clang]", "release/1", "vault1", NULL, SECRET_OWN }, NULL },
    { "narrow", { "b", "x[gcc]", "release/1", "vault1", NULL, SECRET_OWN }, "the secret \"narrow\" is only for builders a/sign, b/x[clang], and this is b/x[gcc]" },
    { "narrow", { "ab", "sign", "release/1", "vault1", NULL, SECRET_OWN }, "the secret \"narrow\" is only for builders a/sign, b/x[clang], and this is ab/sign" },
    { "narrow", { "a", "sign", "release/1/2", "vault1", NULL, SECRET_OWN }, "the secret \"narrow\" is only for branches release/*, and this is a build of release/1/2" },
    { "narrow", { "a", "sign", "", "vault1", NULL, SECRET_OWN }, "the secret \"narrow\" is only for branches release/*, and this is no build of a branch" },
    { "narrow", { "a", "sign", "release/1", "linux1", NULL, SECRET_OWN }, "the secret \"narrow\" is only for workers vault?, and this is linux1" },
    { "narrow", { "a", "sign", NULL, NULL, NULL, SECRET_OWN }, NULL },
    { "pooled", { "a", "b", "main", "vault-2", "vault", SECRET_OWN }, NULL },
    { "pooled", { "a", "b", "main", "vault-2", NULL, SECRET_OWN }, "the secret \"pooled\" is only for members of the pools vault, safe*, and this is vault-2, a member of none" },
    { "pooled", { "a", "b", "main", "linux-1", "linux", SECRET_OWN }, "the secret \"pooled\" is only for members of the pools vault, safe*, and this is linux-1, a member of linux" },
    { "pooled", { "a", "b", "main", NULL, NULL, SECRET_OWN }, NULL },
    { "narrow", { "a", "other", NULL, NULL, NULL, SECRET_OWN }, "the secret \"narrow\" is only for builders a/sign, b/x[clang], and this is a/other" },
  };
  struct fixture *f = *state;
  struct conf *c;

  put(f, "master.yaml", "secrets: {plain: {file: s/one}, narrow: {store: true, for: {builders: [a/sign, \"b/x[clang]\"], branches: [\"release/*\"], workers: \"vault?\"}}}\n");
  put(f, "conf.d/more.yaml", "secrets: {other: {file: two}, pooled: {store: true, for: {pools: [vault, \"safe*\"]}}}\n");
  c = must_load(f);
  assert_int_equal(c->nsecrets, 4);
  assert_true(str_starts(conf_secret(c, "plain")->file, f->folder) && !strcmp(conf_secret(c, "plain")->file + strlen(f->folder), "/s/one"));
  assert_true(!strcmp(conf_secret(c, "other")->file + strlen(f->folder), "/conf.d/two"));
  assert_null(conf_secret(c, "narrow")->file);
  for (size_t i = 0; i < COUNT(rows); i++) {
    char *why = conf_secret_refused(c, rows[i].secret, &rows[i].t);
    assert_true(str_eq(why, rows[i].why));
    free(why);
  }
  conf_free(c);
}

/* The messages without the lines that they show. */
static char *messages(const struct fixture *f)
{
  char *text = must_fail(f), *to = text;

  for (char *at = text; *at;) {
    size_t n = strcspn(at, "\n") + 1;
    if (*at != ' ') {
      memmove(to, at, n);
      to += n;
    }
    at += n;
  }
  *to = 0;
  return text;
}

static void test_wrong_secrets(void **state)
{
  static const char either[] = "is either in a file or in the store (file: PATH, or store: true)\n", wants[] = "wants the name of a secret (NAME, {env: NAME} or {file: NAME})\n";
  struct fixture *f = *state;
  char *text, *want;

  put(f, "master.yaml", "secrets:\n  a: {}\n  b: {file: x, store: true}\n  c: {store: false}\n  dup: {store: true}\nallow_local: true\n"
                        "projects:\n  p:\n    git: /r\n    secrets: {x: {store: true}}\n    builders:\n      y:\n        secrets: {X: y}\n        steps:\n"
                        "          - {run: a, env: {E: e}, secrets: {DROVER_X: dup, E: dup, 1a: dup, F: {file: dup}, H: {fil: dup}, I: [dup]}}\n"
                        "          - {checkout: {}, secrets: {T: dup}}\n");
  put(f, "conf.d/more.yaml", "secrets: {dup: {store: true}}\n");
  text = messages(f);
  want = xasprintf("master.yaml:2:3: the secret \"a\" %smaster.yaml:3:3: the secret \"b\" %smaster.yaml:4:3: the secret \"c\" %s"
                   "master.yaml:10:5: secrets are declared in the site's files (`secrets` at the top of master.yaml or conf.d), so that no repository can say who gets them; a step names what it takes\n"
                   "master.yaml:13:9: only a step takes secrets, so that no other gets them: name them there\n"
                   "master.yaml:15:45: the variable \"DROVER_X\" is drover's\n"
                   "master.yaml:15:60: \"E\" is also a variable of `env` (take another name for one of them)\n"
                   "master.yaml:15:68: \"1a\" is not the name of an environment variable (letters, digits and underscores, first no digit)\n"
                   "master.yaml:15:96: \"H\" %smaster.yaml:15:111: \"I\" %s"
                   "master.yaml:16:28: a checkout has no \"secrets\"\n"
                   "conf.d/more.yaml:1:11: secret \"dup\" stands twice, first at master.yaml:5:3\n", either, either, either, wants, wants);
  assert_string_equal(text, want);
  free(text);
  free(want);
}

static void test_secrets_of_steps(void **state)
{
  struct fixture *f = *state;
  char *text;

  put(f, "master.yaml", "allow_local: true\nprojects:\n  p: {git: /r, builders: {y: {matrix: {A: [1, 2]}, steps: [{run: a, secrets: {T: goood, U: {file: good}, V: narrow}}]}}}\n"
                        "  q: {git: /r, pipeline: q.yml}\n");
  put(f, "q.yml", "steps: [{run: a, secrets: {T: narrow, U: {env: none}}}]\n");
  put(f, "conf.d/more.yaml", "secrets: {good: {store: true}, narrow: {store: true, for: {builders: q/q, branches: x}}}\n"); /* read later: they count all the same */
  text = messages(f);
  assert_string_equal(text, "master.yaml:3:82: there is no secret \"goood\" in the site's configuration (did you mean \"good\"?)\n"
                            "master.yaml:3:109: the secret \"narrow\" is only for builders q/q, and this is p/y[1]\n"
                            "master.yaml:3:109: the secret \"narrow\" is only for builders q/q, and this is p/y[2]\n"
                            "q.yml:1:48: there is no secret \"none\" in the site's configuration\n");
  free(text);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
    cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
    cmocka_unit_test_setup_teardown(test_database_string, setup, teardown),
    cmocka_unit_test_setup_teardown(test_confd, setup, teardown),
    cmocka_unit_test_setup_teardown(test_confd_errors, setup, teardown),
    cmocka_unit_test_setup_teardown(test_files, setup, teardown),
    cmocka_unit_test_setup_teardown(test_relative_file, setup, teardown),
    cmocka_unit_test_setup_teardown(test_pipeline_file, setup, teardown),
    cmocka_unit_test_setup_teardown(test_codebases, setup, teardown),
    cmocka_unit_test_setup_teardown(test_hooks, setup, teardown),
    cmocka_unit_test_setup_teardown(test_hook_errors, setup, teardown),
    cmocka_unit_test_setup_teardown(test_pipeline_in_the_site, setup, teardown),
    cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
    cmocka_unit_test_setup_teardown(test_socket_too_long, setup, teardown),
    cmocka_unit_test_setup_teardown(test_git_urls, setup, teardown),
    cmocka_unit_test_setup_teardown(test_many_host_keys, setup, teardown), cmocka_unit_test_setup_teardown(test_pools, setup, teardown),
    cmocka_unit_test_setup_teardown(test_ssh, setup, teardown),
    cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
    cmocka_unit_test_setup_teardown(test_wrong_secrets, setup, teardown),
    cmocka_unit_test_setup_teardown(test_secrets_of_steps, setup, teardown),
    cmocka_unit_test(test_reference),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
