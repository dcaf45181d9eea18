/* For tests of steps: a build's context with fixed names, and the words of a spec. */
#ifndef TESTS_LIB_STEPFIX_H
#define TESTS_LIB_STEPFIX_H
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "master/steps/step.h"
#include "proto/records.h"

#define STEPFIX_WORDS_MAX 64

static inline struct build_ctx stepfix_ctx(const char *repository, const char *branch, const char *revision)
{
  return (struct build_ctx){ .project = "libfoo", .builder = "linux", .number = 42, .slot = 3, .cores = 8, .repository = repository, .branch = branch,
                             .revision = revision, .changes = "991,992", .properties = "{}", .alone_ms = 1680000, .fresh = true };
}

/* The values of all records of that key, in order, into a vector that ends with NULL; they point into spec. Returns how many. */
static inline int stepfix_all(const struct buf *spec, const char *key, const char *out[STEPFIX_WORDS_MAX + 1])
{
  char k[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;
  int n = 0;

  while (!records_next(spec->data, spec->len, &at, k, &value))
    if (!strcmp(k, key) && n < STEPFIX_WORDS_MAX)
      out[n++] = value;
  assert_int_equal(at, spec->len);
  out[n] = NULL;
  return n;
}

/* What a machine is answered, command by command: digits of a number that counts through all runs there are. */
#define STEPFIX_COMMANDS_MAX 26
struct stepfix_script {
  int answer[STEPFIX_COMMANDS_MAX], choices[STEPFIX_COMMANDS_MAX]; /* choices: what the state at that place could have answered */
  int used;
};
/* The next script that is not the same run again: digits behind the last one used don't matter. */
static inline bool stepfix_next(struct stepfix_script *s)
{
  int i = s->used - 1;

  while (i >= 0 && s->answer[i] + 1 >= s->choices[i])
    i--;
  if (i < 0)
    return false;
  s->answer[i]++;
  memset(s->answer + i + 1, 0, sizeof s->answer - (size_t)(i + 1) * sizeof s->answer[0]);
  return true;
}

/* What is printed when the code under test aborts: the case at hand. */
static char stepfix_case[512];

static inline void stepfix_aborted(int sig)
{
  ssize_t n = write(2, stepfix_case, strnlen(stepfix_case, sizeof stepfix_case));

  (void)n;
  signal(sig, SIG_DFL);
  raise(sig);
}

static inline void stepfix_watch_aborts(void)
{
  signal(SIGABRT, stepfix_aborted);
}

static inline bool stepfix_same(const struct intent *a, const struct intent *b)
{
  return a->want == b->want && a->spec.len == b->spec.len && (!a->spec.len || !memcmp(a->spec.data, b->spec.data, a->spec.len)) &&
         (a->want != WANT_OP || (a->op == b->op && !strcmp(a->path, b->path) && a->op_off == b->op_off && a->op_max == b->op_max && !strcmp(a->op_after, b->op_after))) &&
         (a->want != WANT_END || (a->result == b->result && !strcmp(a->summary, b->summary)));
}
#endif
