/* Reading pipelines in tests: what must be read, what must be refused with which words, and a look at what came out. */
#ifndef TESTS_LIB_PIPEFIX_H
#define TESTS_LIB_PIPEFIX_H
#include <string.h>

#include "master/conf/expr.h"
#include "master/conf/pipeline.h"

static inline struct pipeline *must_parse(const char *text)
{
  struct diags d;
  struct buf b;
  struct pipeline *p;

  diag_init(&d);
  p = pipeline_parse(PIPELINE_FILE, text, strlen(text), "libfoo", &d);
  buf_init(&b, BUF_NO_MAX);
  diag_print(&d, &b);
  assert_string_equal(buf_str(&b), "");
  assert_non_null(p);
  buf_free(&b);
  diag_free(&d);
  return p;
}

/* printed: without the file's name, which stands before each message. */
static inline void expect_refused(const char *text, const char *printed)
{
  struct diags d;
  struct buf b;

  diag_init(&d);
  assert_null(pipeline_parse("", text, strlen(text), "libfoo", &d));
  buf_init(&b, BUF_NO_MAX);
  diag_print(&d, &b);
  assert_string_equal(buf_str(&b), printed);
  buf_free(&b);
  diag_free(&d);
}

static inline const char *env_of(const struct pipe_step *s, const char *name)
{
  for (int i = 0; i < s->nenv; i++)
    if (!strcmp(s->env[i].name, name))
      return s->env[i].value;
  return NULL;
}

/* Expressions without a build: no name has a value. */
static inline bool nothing(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  (void)ctx, (void)m, (void)path, (void)n, (void)out;
  return false;
}
#endif
