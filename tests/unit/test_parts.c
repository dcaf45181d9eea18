/* What the site's files include, programs that print configuration, and the one text from which all of it is made again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "common/clock.h"
#include "master/conf/generate.h"
#include "master/conf/parts.h"
#include "tests/lib/conffix.h"

static void program(const struct fixture *f, const char *name, const char *script)
{
  char *p = path(f, name), *text = xasprintf("#!/bin/sh\n%s\n", script);

  put(f, name, text);
  assert_int_equal(chmod(p, 0700), 0);
  free(text);
  free(p);
}

static void folder(const struct fixture *f, const char *name)
{
  char *p = path(f, name);

  assert_int_equal(mkdir(p, 0700), 0);
  free(p);
}

static struct conf *remade(const char *text)
{
  struct diags d;
  struct conf *c;

  diag_init(&d);
  c = conf_of_text("version 7", text, NULL, &d);
  assert_int_equal(diag_count(&d), 0);
  assert_non_null(c);
  diag_free(&d);
  return c;
}

/* ---- files ---- */

static void test_include_files(void **state)
{
  struct fixture *f = *state;
  struct conf *c;

  folder(f, "more");
  folder(f, "other");
  put(f, "master.yaml", "include: [one.yaml, more/*.yaml, none/*.yaml]\nworkers: {a: }\n");
  put(f, "one.yaml", "workers: {b: }\ninclude: other/two.yaml\n");
  put(f, "other/two.yaml", "projects: {p: {git: 'git@h:p', pipeline: p.yml}}\n"); /* from its own folder */
  put(f, "other/p.yml", "steps: [make]\n");
  put(f, "more/2.yaml", "workers: {d: }\n");
  put(f, "more/1.yaml", "workers: {c: }\n");
  put(f, "conf.d/x.yaml", "include: ../last.yaml\nworkers: {e: }\n");
  put(f, "last.yaml", "workers: {f: }\n");
  c = must_load(f);
  assert_int_equal(c->nworkers, 6);
  for (int i = 0; i < 6; i++)
    assert_int_equal(c->workers[i].name[0], "abcdef"[i]);
  assert_int_equal(c->nfiles, 8);
  assert_string_equal(c->projects[0].pipeline_text, "steps: [make]\n");
  conf_free(c);
}

static void test_include_errors(void **state)
{
  struct fixture *f = *state;

  put(f, "master.yaml", "include:\n  - none.yaml\n  - a.yaml\n  - a.yaml\n  - [x]\n  - \n  - {runs: [x]}\n  - {run: [x, '${{ y }}']}\n  - {run: x}\nworkers: {w: }\n");
  put(f, "a.yaml", "workers: {w: }\nstate: /x\ninclude: a.yaml\n");
  put(f, "conf.d/b.yaml", "projects: {p: {git: 'git@h:p', steps: [make], include: x}}\n");
  expect_refused(f,
      "master.yaml:2:5: none.yaml can't be read: No such file or directory\n  - none.yaml\n    ^\n"
      "master.yaml:4:5: a.yaml is read twice (each file is read once)\n  - a.yaml\n    ^\n"
      "master.yaml:5:5: \"include\" wants a string or a map, got a list\n  - [x]\n    ^\n"
      "master.yaml:6:4: \"include\" wants a string or a map, got nothing\n  - \n   ^\n"
      "master.yaml:7:6: unknown key \"runs\" (did you mean \"run\"?)\n  - {runs: [x]}\n     ^\n"
      "master.yaml:8:11: the program x can't be started in  No such file or directory\n  - {run: [x, '${{ y }}']}\n          ^\n"
      "master.yaml:8:15: an expression, ${{ … }}, can't stand here\n  - {run: [x, '${{ y }}']}\n              ^\n"
      "master.yaml:9:11: \"run\" wants a list of strings, got \"x\"\n  - {run: x}\n          ^\n"
      "a.yaml:1:11: worker \"w\" stands twice, first at master.yaml:10:11\n  workers: {w: }\n            ^\n"
      "a.yaml:2:1: unknown key \"state\" (it is a key of the site's configuration)\n  state: /x\n  ^\n"
      "a.yaml:3:10: a.yaml is read twice (each file is read once)\n  include: a.yaml\n           ^\n"
      "conf.d/b.yaml:1:47: unknown key \"include\" (it is a key of the site's configuration)\n  projects: {p: {git: 'git@h:p', steps: [make], include: x}}\n                                                ^\n");
}

/* A file that includes the next one, and so on. */
static void test_include_depth(void **state)
{
  struct fixture *f = *state;
  char *text, *name;

  put(f, "master.yaml", "include: 1.yaml\n");
  for (int i = 1; i < 12; i++) {
    name = xasprintf("%d.yaml", i);
    text = xasprintf("workers: {w%d: }\ninclude: %d.yaml\n", i, i + 1);
    put(f, name, text);
    free(text);
    free(name);
  }
  expect_refused(f, "8.yaml:2:10: more than 8 files that include each other\n  include: 9.yaml\n           ^\n");
}

/* ---- programs ---- */

static void test_program(void **state)
{
  struct fixture *f = *state;
  struct conf *c, *again, *known;
  struct diags d;
  char *log, *lines;

  folder(f, "gen");
  assert_int_equal(setenv("SECRET_OF_OURS", "x", 1), 0);
  put(f, "master.yaml", "include: {run: [gen/projects, 'two words', \"\"]}\n");
  put(f, "gen/p.yml", "steps: [make]\n");
  program(f, "gen/projects",
          "echo ran >>log; env | sort >env; readlink /proc/self/fd/0 >>env; ls /proc/self/fd | wc -l >fds; echo hm >&2\n"
          "echo \"workers: {'w$#': {tags: ['$(printf %s \"$1\" | tr ' ' -)']}}\"; echo 'projects: {p: {git: \"git@h:p\", pipeline: gen/p.yml}}'");
  c = must_load(f);
  assert_string_equal(c->workers[0].name, "w2");
  assert_string_equal(c->workers[0].tags[0], "two-words");
  assert_string_equal(c->projects[0].pipeline_text, "steps: [make]\n");
  assert_int_equal(c->nfiles, 2);
  assert_non_null(strstr(c->text, "/<output of gen/projects two words >\nworkers: "));
  log = contents(f, "env");
  assert_null(strstr(log, "SECRET_OF_OURS"));
  assert_non_null(strstr(log, "HOME=/nonexistent\nLANG=C.UTF-8\n"));
  assert_non_null(strstr(log, "/dev/null"));
  free(log);
  log = contents(f, "fds");
  assert_int_equal(atoi(log), 4); /* 0, 1, 2 and that of ls */
  free(log);

  /* The text alone makes the same of it, and nothing is run for that. */
  again = remade(c->text);
  assert_string_equal(again->text, c->text);
  assert_string_equal(again->workers[0].name, "w2");
  conf_free(again);
  diag_init(&d);
  known = conf_look(f->file, c->text, &d);
  assert_non_null(known);
  assert_string_equal(known->text, c->text);
  conf_free(known);
  known = conf_look(f->file, NULL, &d);
  assert_non_null(known);
  assert_int_equal(known->nworkers, 0);
  conf_free(known);
  diag_free(&d);
  lines = contents(f, "log");
  assert_string_equal(lines, "ran\n");
  free(lines);
  conf_free(c);
}

static void test_program_errors(void **state)
{
  struct fixture *f = *state;

  /* What it prints is checked as a file is, with its own places. */
  put(f, "master.yaml", "workers: {w: }\ninclude: [{run: [./one]}, {run: [./two]}, {run: [./three]}, {run: [./none]}]\n");
  program(f, "one", "echo 'workers:'; echo '  w: {slots: 0}'; echo 'include: x.yaml'");
  program(f, "two", "echo 'workers: ['");
  program(f, "three", "echo no database >&2; echo 'workers: {never: }'; exit 3");
  expect_refused(f, "master.yaml:2:49: the program ./three ended with exit code 3: no database\n"
                    "  include: [{run: [./one]}, {run: [./two]}, {run: [./three]}, {run: [./none]}]\n"
                    "                                                  ^\n"
                    "master.yaml:2:67: the program ./none can't be started in  No such file or directory\n"
                    "  include: [{run: [./one]}, {run: [./two]}, {run: [./three]}, {run: [./none]}]\n"
                    "                                                                    ^\n"
                    "<output of ./one>:2:3: worker \"w\" stands twice, first at master.yaml:1:11\n"
                    "  w: {slots: 0}\n"
                    "  ^\n"
                    "<output of ./one>:2:14: \"slots\" wants a whole number from 1 to 1000, got \"0\"\n"
                    "  w: {slots: 0}\n"
                    "             ^\n"
                    "<output of ./one>:3:1: what a program prints can't include anything\n"
                    "  include: x.yaml\n"
                    "  ^\n"
                    "<output of ./two>:1:10: the text ends inside the list that begins here\n"
                    "  workers: [\n"
                    "           ^\n");
}

static void test_too_many_programs(void **state)
{
  struct fixture *f = *state;
  struct buf b;
  char *text;

  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "include:\n");
  for (int i = 0; i <= PARTS_PROGRAMS_MAX + 1; i++)
    buf_addf(&b, "  - {run: [echo, 'workers: {w%d: }']}\n", i);
  put(f, "master.yaml", buf_str(&b));
  text = must_fail(f);
  assert_true(str_starts(text, "master.yaml:18:11: more than 16 programs print configuration\n"));
  assert_null(strstr(strchr(text, '\n'), "programs")); /* told once */
  free(text);
  buf_free(&b);
}

/* ---- how a program ends ---- */

static enum err run(const char *script, int64_t ms, size_t max, char **text, char **why)
{
  const char *argv[] = { "sh", "-c", script, NULL };
  struct buf out, sentence;
  enum err err;

  buf_init(&out, max);
  buf_init(&sentence, BUF_NO_MAX);
  err = generate(argv, "/", ms, &out, &sentence);
  *text = buf_take(&out);
  *why = buf_take(&sentence);
  return err;
}

static void test_ends(void **state)
{
  static const struct { const char *script; int64_t ms; enum err err; const char *why; } rows[] = {
    { "echo good; echo bad >&2", 20000, ERR_OK, "" },
    { "exit 5", 20000, ERR_FAILED, "ended with exit code 5" },
    { "printf 'one\\ntwo\\n' >&2; kill -9 $$", 20000, ERR_FAILED, "was ended by signal 9: one two" },
    { "sleep 60", 200, ERR_TIMEOUT, "was not over after 0.2 s, and was killed" },
    { "echo wait >&2; exec >&- 2>&-; sleep 60", 300, ERR_TIMEOUT, "closed its output and did not end in time: wait" },
    { "yes", 20000, ERR_TOOBIG, "printed more than 64 KiB, and was killed" },
    { "yes e >&2 & sleep 0.2; kill $!; exit 1", 20000, ERR_FAILED, NULL },
  };
  char *text, *why;

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_int_equal(run(rows[i].script, rows[i].ms, 64 << 10, &text, &why), rows[i].err);
    if (rows[i].why)
      assert_string_equal(why, rows[i].why);
    assert_true(strlen(why) < GENERATE_STDERR_MAX + 100); /* however much it says */
    assert_true(strlen(text) <= 64 << 10);
    free(text);
    free(why);
  }
}

/* Nothing of its group is left, whether it ended well or not. */
static void test_leaves_nothing(void **state)
{
  static const char *const scripts[] = { "sleep 300 >/dev/null 2>&1 & echo $!", "sleep 300 & echo $!; sleep 300", "trap '' TERM INT; sleep 300 & echo $!; exec sleep 300" };

  (void)state;
  for (size_t i = 0; i < COUNT(scripts); i++) {
    char *text, *why;
    pid_t pid;
    int64_t end = clock_mono_ms() + 20000;
    assert_int_equal(run(scripts[i], i ? 300 : 20000, 100, &text, &why), i ? ERR_TIMEOUT : ERR_OK);
    pid = (pid_t)atoi(text);
    assert_true(pid > 1);
    while (!kill(pid, 0) && clock_mono_ms() < end) { /* dead, and waited for by whoever inherits it */
      char stat[64], name[64];
      FILE *in;
      snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
      in = fopen(name, "r");
      if (in && fscanf(in, "%*d %*s %63s", stat) == 1 && *stat == 'Z')
        end = 0;
      if (in)
        fclose(in);
      usleep(10000);
    }
    assert_true(end == 0 || kill(pid, 0));
    free(text);
    free(why);
  }
}

/* ---- the text ---- */

static void test_texts_refused(void **state)
{
  static const struct { const char *text, *why; } rows[] = {
    { "", "version 7: it was stored by another version of drover\n" },
    { "workers: {a: }\n--- # /x\n", "version 7: it was stored by another version of drover\n" },
    { "# drover configuration 1\n", "version 7: what is stored of it is damaged\n" },
    { "# drover configuration 1\n--- # site 5 /m\nabc\n", "version 7: what is stored of it is damaged\n" },
    { "# drover configuration 1\n--- # site 0 m\n", "version 7: what is stored of it is damaged\n" },
    { "# drover configuration 1\n--- # conf.d 0 /m\n", "version 7: what is stored of it is damaged\n" },
    { "# drover configuration 1\n--- # site 0 /m\n--- # site 0 /m\n", "version 7: what is stored of it is damaged\n" },
    { "# drover configuration 1\n--- # site 0 /m\n--- # output 0 /m\n", "version 7: what is stored of it is damaged\n" },
    { "# drover configuration 1\n--- # site 999999999999999999 /m\n", "version 7: what is stored of it is damaged\n" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct diags d;
    struct buf b;
    diag_init(&d);
    buf_init(&b, BUF_NO_MAX);
    assert_null(conf_of_text("version 7", rows[i].text, NULL, &d));
    diag_print(&d, &b);
    assert_string_equal(buf_str(&b), rows[i].why);
    buf_free(&b);
    diag_free(&d);
  }
}

/* Texts that look like the marks between parts, with and without a line feed at the end. */
static void test_texts(void **state)
{
  struct fixture *f = *state;
  struct conf *c, *again;

  put(f, "master.yaml", "--- # site 3 /x\nworkers: {a: }");
  put(f, "conf.d/a.yaml", "");
  put(f, "conf.d/b.yaml", "--- # conf.d 0 /y\n# ö\nworkers: {b: }\n\n\n");
  put(f, "conf.d/c.yaml", "\n");
  c = must_load(f);
  again = remade(c->text);
  assert_string_equal(again->text, c->text);
  assert_int_equal(again->nworkers, 2);
  assert_int_equal(again->nfiles, 4);
  conf_free(again);
  conf_free(c);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_include_files, setup, teardown),
    cmocka_unit_test_setup_teardown(test_include_errors, setup, teardown),
    cmocka_unit_test_setup_teardown(test_include_depth, setup, teardown),
    cmocka_unit_test_setup_teardown(test_program, setup, teardown),
    cmocka_unit_test_setup_teardown(test_program_errors, setup, teardown),
    cmocka_unit_test_setup_teardown(test_too_many_programs, setup, teardown),
    cmocka_unit_test(test_ends),
    cmocka_unit_test(test_leaves_nothing),
    cmocka_unit_test(test_texts_refused),
    cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
  };
  setenv("PATH", "/usr/bin:/bin", 1); /* a folder in it that may not be entered makes another message */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
