/* The site's files in a folder of the test's own, loaded and refused. For cmocka programs; include it behind cmocka.h. */
#ifndef TESTS_LIB_CONFFIX_H
#define TESTS_LIB_CONFFIX_H
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "master/conf/conf.h"

struct fixture {
  char folder[64], *file;
};

static inline char *path(const struct fixture *f, const char *name)
{
  return xasprintf("%s/%s", f->folder, name);
}

static inline void put(const struct fixture *f, const char *name, const char *text)
{
  char *p = path(f, name);
  FILE *out = fopen(p, "w");

  assert_non_null(out);
  assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
  assert_int_equal(fclose(out), 0);
  free(p);
}

/* The caller frees it. */
static inline char *contents(const struct fixture *f, const char *name)
{
  char *p = path(f, name), *text = xcalloc(1, 65536);
  FILE *in = fopen(p, "r");

  assert_non_null(in);
  assert_true(fread(text, 1, 65535, in) < 65535);
  fclose(in);
  free(p);
  return text;
}

static inline void empty_folder(const char *folder)
{
  DIR *d = opendir(folder);

  for (struct dirent *e; d && (e = readdir(d));) {
    char *p = xasprintf("%s/%s", folder, e->d_name);
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && unlink(p))
      empty_folder(p);
    free(p);
  }
  if (d)
    closedir(d);
  rmdir(folder);
}

static inline int setup(void **state)
{
  struct fixture *f = xcalloc(1, sizeof *f);
  char *confd;

  strcpy(f->folder, "/tmp/test_conf.XXXXXX");
  assert_non_null(mkdtemp(f->folder));
  confd = path(f, "conf.d");
  assert_int_equal(mkdir(confd, 0700), 0);
  free(confd);
  f->file = path(f, "master.yaml");
  *state = f;
  return 0;
}

static inline int teardown(void **state)
{
  struct fixture *f = *state;

  empty_folder(f->folder);
  free(f->file);
  free(f);
  return 0;
}

/* What was printed, with the folder's name cut out. */
static inline char *printed_of(const struct fixture *f, const struct diags *d)
{
  struct buf b;
  char *text;
  size_t n = strlen(f->folder);

  buf_init(&b, BUF_NO_MAX);
  diag_print(d, &b);
  text = buf_take(&b);
  for (char *at = text; (at = strstr(at, f->folder));)
    memmove(at, at + n + 1, strlen(at + n + 1) + 1);
  return text;
}

static inline struct conf *must_load(const struct fixture *f)
{
  struct diags d;
  struct conf *c;
  char *text;

  diag_init(&d);
  c = conf_load(f->file, &d);
  text = printed_of(f, &d);
  assert_string_equal(text, "");
  assert_non_null(c);
  free(text);
  diag_free(&d);
  return c;
}

static inline char *must_fail(const struct fixture *f)
{
  struct diags d;
  char *text;

  diag_init(&d);
  assert_null(conf_load(f->file, &d));
  text = printed_of(f, &d);
  diag_free(&d);
  return text;
}

static inline void expect_refused(const struct fixture *f, const char *printed)
{
  struct diags d;
  char *text;

  diag_init(&d);
  assert_null(conf_load(f->file, &d));
  text = printed_of(f, &d);
  assert_string_equal(text, printed);
  free(text);
  diag_free(&d);
}
#endif
