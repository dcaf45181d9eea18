/* From `worker` of a builder and of defaults to tags and conditions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/conf/worker_words.h"

/* The conditions of the builder b, one a line. */
static void wants_are(const char *text, const char *builder, const char *wants)
{
  struct diags d;
  struct pipeline *p;
  const struct pipe_builder *b;
  struct buf out;

  diag_init(&d);
  p = pipeline_parse("f", text, strlen(text), "p", &d);
  buf_init(&out, BUF_NO_MAX);
  if (!p) {
    diag_print(&d, &out);
    fail_msg("%s", buf_str(&out));
  }
  b = pipeline_builder(p, builder);
  assert_non_null(b);
  for (int i = 0; i < b->nwants; i++)
    buf_addf(&out, "%s\n", b->wants[i]);
  assert_string_equal(buf_str(&out), wants);
  buf_free(&out);
  pipeline_free(p);
  diag_free(&d);
}

static void each_key(void **state)
{
  (void)state;
  wants_are("builders: {b: {steps: [a]}}", "b", "");
  wants_are("builders: {b: {worker: , steps: [a]}}", "b", "");
  wants_are("builders: {b: {worker: {os: Linux}, steps: [a]}}", "b", "os == \"linux\"\n");
  wants_are("builders: {b: {worker: {os: [linux, Darwin], arch: aarch64, memory: 8G, name: build1, if: cores > 2 and (slots == 1 or host != 'x')}, steps: [a]}}", "b",
            "name == \"build1\"\nos in [\"linux\", \"macos\"]\narch == \"arm64\"\nmemory >= 8G\ncores > 2\nslots == 1 or host != \"x\"\n");
  wants_are("builders: {b: {worker: {arch: [amd64, x86_64], memory: 1500M, if: memory >= 1500M}, steps: [a]}}", "b", "arch == \"x86_64\"\nmemory >= 1500M\n");
  wants_are("builders: {b: {worker: {memory: 0}, steps: [a]}}", "b", "");
}

static void inherited(void **state)
{
  static const char text[] = "defaults: {worker: {os: linux, arch: arm64, if: cores > 1}}\n"
                             "builders:\n"
                             "  as-it-is: {steps: [a]}\n"
                             "  other: {worker: {arch: x86, memory: 1G}, steps: [a]}\n"
                             "  any: {worker: {os: [], if: 'true'}, steps: [a]}\n";

  (void)state;
  wants_are(text, "as-it-is", "os == \"linux\"\narch == \"arm64\"\ncores > 1\n");
  wants_are(text, "other", "os == \"linux\"\narch == \"x86\"\nmemory >= 1G\ncores > 1\n");
  wants_are(text, "any", "arch == \"arm64\"\ntrue\n");
}

/* What an axis is stands in the condition: it means something without the pipeline. */
static void of_a_matrix(void **state)
{
  static const char text[] = "defaults: {worker: {if: slots > 0}}\n"
                             "builders:\n"
                             "  b:\n"
                             "    matrix: {arch: [x86_64, aarch64], GB: [4, 16]}\n"
                             "    worker: {arch: \"${{ matrix.arch }}\", name: \"${{ matrix.arch }}-1\", if: 'memory >= matrix.GB * 1G and matrix.arch != os'}\n"
                             "    steps: [a]\n"
                             "  plain: {steps: [a]}\n";

  (void)state;
  wants_are(text, "b[aarch64,16]", "name == \"aarch64-1\"\narch == \"arm64\"\nmemory >= 16 * 1G\n\"aarch64\" != os\n");
  wants_are(text, "b[x86_64,4]", "name == \"x86_64-1\"\narch == \"x86_64\"\nmemory >= 4 * 1G\n\"x86_64\" != os\n");
  wants_are(text, "plain", "slots > 0\n");
}

static void refused_with(const char *text, const char *printed)
{
  struct diags d;
  struct pipeline *p;
  struct buf out;

  diag_init(&d);
  p = pipeline_parse("", text, strlen(text), "p", &d);
  buf_init(&out, BUF_NO_MAX);
  diag_print(&d, &out);
  assert_null(p);
  if (!strstr(buf_str(&out), printed))
    fail_msg("%s: %s", text, buf_str(&out));
  buf_free(&out);
  diag_free(&d);
}

static void refused(void **state)
{
  char *many = xstrdup("builders: {b: {worker: {if: cores > 0"), *text;

  (void)state;
  refused_with("builders: {b: {worker: {os: a b}, steps: [a]}}", ":1:29: \"os\" wants a name");
  refused_with("builders: {b: {worker: {memory: much}, steps: [a]}}", ":1:33: \"memory\" wants a size");
  refused_with("builders: {b: {worker: {if: branch == 'main'}, steps: [a]}}", ":1:29: there is no \"branch\" here");
  refused_with("builders: {b: {worker: {if: memory}, steps: [a]}}", ":1:29: a condition is true or false, and this is a number");
  refused_with("builders: {b: {worker: {if: os > 3}, steps: [a]}}", ":1:34: a text can't be compared with a number");
  refused_with("builders: {b: {worker: {os: \"${{ branch }}\"}, steps: [a]}}", "what \"branch\" is will be known when the build runs");
  refused_with("builders: {b: {matrix: {X: [\"a+b\"]}, worker: {os: \"${{ matrix.X }}\"}, steps: [a]}}", "\"os\" wants a name");
  refused_with("builders: {b: {worker: {iff: a}, steps: [a]}}", "did you mean \"if\"");
  for (int i = 1; i <= PIPELINE_WANTS_MAX; i++) {
    text = xasprintf("%s and cores > %d", many, i);
    free(many);
    many = text;
  }
  text = xasprintf("%s}, steps: [a]}}", many);
  refused_with(text, "more than 32 conditions on a worker");
  free(text);
  free(many);
}

/* A fault in `defaults` is told once, however many builders have it. */
static void told_once(void **state)
{
  static const char text[] = "defaults: {worker: {if: moon}}\nbuilders: {a: {steps: [a]}, b: {matrix: {X: [1, 2]}, steps: [a]}}\n";
  struct diags d;
  struct pipeline *p;

  (void)state;
  diag_init(&d);
  p = pipeline_parse("", text, strlen(text), "p", &d);
  assert_null(p);
  assert_int_equal(diag_count(&d), 1);
  diag_free(&d);
}

static void words(void **state)
{
  static const struct { const char *told, *os, *arch; } cases[] = {
    { "Linux", "linux", "linux" }, { "AARCH64", "aarch64", "arm64" }, { "Darwin", "macos", "darwin" }, { "amd64", "amd64", "x86_64" }, { "i686", "i686", "x86" }, { "armv7l", "armv7l", "arm" },
    { "", "", "" }, { "a b", "", "" }, { "x\ny", "", "" }, { "0123456789012345678901234567890123456789012345678901234567890123", "", "" },
  };
  char out[WORKER_WORD_MAX];

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    assert_string_equal(worker_os(cases[i].told, out), cases[i].os);
    assert_string_equal(worker_arch(cases[i].told, out), cases[i].arch);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(each_key), cmocka_unit_test(inherited), cmocka_unit_test(of_a_matrix), cmocka_unit_test(refused), cmocka_unit_test(told_once),
                                      cmocka_unit_test(words) };

  return cmocka_run_group_tests_name("want", tests, NULL, NULL) ? 1 : 0;
}
