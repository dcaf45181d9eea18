/* The records of `run`, exactly: what every command of a build gets, and what each kind of step puts before and behind it. */
#include "tests/lib/stepfix.h"

/* The records as lines, for reading. */
static char *lines(const struct buf *spec)
{
  char *text = xmemdup(spec->data, spec->len + 1);

  for (size_t i = 0; i < spec->len; i++)
    if (!text[i])
      text[i] = '\n';
    else if (text[i] == '\n')
      text[i] = '|';
  return text;
}

static void must_be(const struct buf *spec, const char *want)
{
  char *text = lines(spec);

  assert_string_equal(text, want);
  free(text);
}

static void common_is(const struct build_ctx *c, const char *want)
{
  struct buf spec;

  buf_init(&spec, BUF_NO_MAX);
  step_common(c, &spec);
  assert_false(spec.failed);
  must_be(&spec, want);
  buf_free(&spec);
}

#define PLACES(how) how "=libfoo/linux/3/home\npath=HOME=libfoo/linux/3/home\n" how "=libfoo/linux/3/tmp\npath=TMPDIR=libfoo/linux/3/tmp\n" \
                    "fresh=libfoo/linux/3/report\npath=DROVER_REPORT=libfoo/linux/3/report\n"
#define FACTS(revision) "env=LANG=C.UTF-8\nenv=CI=true\nenv=DROVER_PROJECT=libfoo\nenv=DROVER_BUILDER=linux\nenv=DROVER_BUILD=libfoo/linux/42\nenv=DROVER_BRANCH=main\n" \
                        "env=DROVER_REVISION=" revision "\nenv=DROVER_CHANGES=991,992\nenv=DROVER_CORES=8\n"
#define END "grace=10000\nalone=1680000\n"

static struct build_ctx plain(void)
{
  return stepfix_ctx("https://git.example.org/libfoo.git", "main", "");
}

static void what_all_commands_get(void **state)
{
  struct build_ctx c = plain();

  (void)state;
  common_is(&c, PLACES("fresh") FACTS("") END);
  c.fresh = false; /* from the second command on */
  common_is(&c, PLACES("mkdir") FACTS("") END);
  c.revision = "0123abc";
  common_is(&c, PLACES("mkdir") FACTS("0123abc") END);
  c.got_revision = (char *)"0123abcdef"; /* what a checkout found goes before what was asked for */
  common_is(&c, PLACES("mkdir") FACTS("0123abcdef") END);
  c.url = "http://ci.example.org/b/1";
  common_is(&c, PLACES("mkdir") FACTS("0123abcdef") "env=DROVER_URL=http://ci.example.org/b/1\n" END);
}

static void properties_become_variables(void **state)
{
  struct build_ctx c = plain();

  (void)state;
  c.properties = "{\"clean\":\"yes\",\"A_1\":\"two words\\nand = signs\",\"empty\":\"\",\"number\":7,\"full\":true,\"deep\":{\"x\":\"y\"},\"none\":null,"
                 "\"not a name\":\"x\",\"a=b\":\"x\",\"a-b\":\"x\",\"\\u00e4\":\"x\",\"LD_PRELOAD\":\"x\"}";
  common_is(&c, PLACES("fresh") FACTS("")
                "env=DROVER_PROPERTY_clean=yes\nenv=DROVER_PROPERTY_A_1=two words|and = signs\nenv=DROVER_PROPERTY_empty=\nenv=DROVER_PROPERTY_number=7\nenv=DROVER_PROPERTY_full=true\nenv=DROVER_PROPERTY_LD_PRELOAD=x\n" END);
  static const char *const nothing[] = { "{}", "{", "null", "[]", "[\"x\"]", "\"x\"", "", "7" };
  for (size_t i = 0; i < COUNT(nothing); i++) {
    c.properties = nothing[i];
    common_is(&c, PLACES("fresh") FACTS("") END);
  }
  c.properties = NULL;
  common_is(&c, PLACES("fresh") FACTS("") END);
}

static void spec_is(const struct pipe_step *def, struct build_ctx *c, const char *state, const char *want)
{
  struct intent in;
  struct step s;

  assert_int_equal(step_init(&s, def, c, NULL, state, "{}"), ERR_OK);
  step_enter(&s, &in);
  assert_int_equal(in.want, WANT_RUN);
  must_be(&in.spec, want);
  intent_free(&in);
}

static void a_script(void **state)
{
  struct env_var env[] = { { (char *)"CC", (char *)"gcc", NULL, { 0 } }, { (char *)"HOME", (char *)"/elsewhere", NULL, { 0 } } };
  struct pipe_secret secrets[] = { { "TOKEN", false, "upload", NULL }, { "KEY", true, "deploy-key", NULL } };
  struct pipe_step def = { .name = "build", .kind = PIPE_RUN, .script = (char *)"make\nmake check", .env = env, .nenv = 2, .secrets = secrets, .nsecrets = 2, .idle_ms = 1200000 };
  struct build_ctx c = plain();

  (void)state;
  spec_is(&def, &c, NULL, "arg=sh\narg=-euc\narg=make|make check\n" PLACES("fresh") FACTS("") END
                          "env=DROVER_STEP=build\nenv=CC=gcc\nenv=HOME=/elsewhere\nsecret=TOKEN=upload\nsecret_file=KEY=deploy-key\ncwd=libfoo/linux/3/tree\nidle=1200000\n");
}

/* Only for a worker that knows them; a pipeline's count where they are lower. */
static void limits_of_output(void **state)
{
  char *argv[] = { (char *)"x", NULL };
  struct pipe_step def = { .name = "test", .kind = PIPE_RUN, .argv = argv, .output = { 1 << 20, 0 } };
  struct build_ctx c = plain();
#define STEP_TEST "arg=x\n" PLACES("fresh") FACTS("") END "env=DROVER_STEP=test\ncwd=libfoo/linux/3/tree\n"

  (void)state;
  spec_is(&def, &c, NULL, STEP_TEST);
  c.output = (struct output_limit){ 1 << 30, 0 };
  spec_is(&def, &c, NULL, STEP_TEST "limit_bytes=1048576\n");
  def.output = (struct output_limit){ 0, 2000 };
  spec_is(&def, &c, NULL, STEP_TEST "limit_bytes=1073741824\nlimit_lines=2000\n");
  c.output = (struct output_limit){ 65536, 1000 };
  def.output = (struct output_limit){ 65537, 2000 };
  spec_is(&def, &c, NULL, STEP_TEST "limit_bytes=65536\nlimit_lines=1000\n");
}

/* Below the folder in which it starts; only for a worker that follows files. */
static void followed_files(void **state)
{
  char *argv[] = { (char *)"x", NULL };
  struct pipe_log logs[] = { { "tests", "build/test.log" }, { "config", "config.log" } };
  struct pipe_step def = { .name = "test", .kind = PIPE_RUN, .argv = argv, .logs = logs, .nlogs = 2 };
  struct build_ctx c = plain();

  (void)state;
  spec_is(&def, &c, NULL, STEP_TEST);
  c.logs = true;
  spec_is(&def, &c, NULL, STEP_TEST "log=tests=libfoo/linux/3/tree/build/test.log\nlog=config=libfoo/linux/3/tree/config.log\n");
  def.cwd = (char *)"sub";
  spec_is(&def, &c, NULL, "arg=x\n" PLACES("fresh") FACTS("") END "env=DROVER_STEP=test\ncwd=libfoo/linux/3/tree/sub\nlog=tests=libfoo/linux/3/tree/sub/build/test.log\nlog=config=libfoo/linux/3/tree/sub/config.log\n");
}

/* Values of secrets are no part of it: they come their own way, and only names of variables stand with those of secrets. */
static void input_and_terminal(void **state)
{
  char *argv[] = { (char *)"x", NULL };
  struct pipe_part parts[] = { { "a text\n", NULL, NULL }, { NULL, NULL, "upload" }, { "", NULL, NULL } };
  struct pipe_secret secrets[] = { { "KEY", true, "deploy-key", NULL }, { NULL, false, "upload", NULL } };
  struct pipe_step def = { .name = "test", .kind = PIPE_RUN, .argv = argv, .input = parts, .ninput = 3, .secrets = secrets, .nsecrets = 2 };
  struct build_ctx c = plain();

  (void)state;
  spec_is(&def, &c, NULL, "arg=x\n" PLACES("fresh") FACTS("") END "env=DROVER_STEP=test\nstdin=a text|\nstdin_secret=upload\nstdin=\nsecret_file=KEY=deploy-key\ncwd=libfoo/linux/3/tree\n");
  def = (struct pipe_step){ .name = "test", .kind = PIPE_RUN, .argv = argv, .input_open = true, .pty_cols = 132, .pty_rows = 43 };
  spec_is(&def, &c, NULL, "arg=x\n" PLACES("fresh") FACTS("") END "env=DROVER_STEP=test\ninput=open\npty=132x43\ncwd=libfoo/linux/3/tree\n");
}

static void a_list_of_words(void **state)
{
  char *argv[] = { (char *)"./run", (char *)"", (char *)"a b", (char *)"$x;", NULL };
  struct pipe_step def = { .name = "test", .kind = PIPE_RUN, .argv = argv, .cwd = (char *)"sub/dir", .total_ms = 90000 };
  struct build_ctx c = plain();

  (void)state;
  spec_is(&def, &c, NULL, "arg=./run\narg=\narg=a b\narg=$x;\n" PLACES("fresh") FACTS("") END "env=DROVER_STEP=test\ncwd=libfoo/linux/3/tree/sub/dir\ntotal=90000\n");
}

#define GIT_END(protocols) "env=GIT_TERMINAL_PROMPT=0\nenv=GIT_ALLOW_PROTOCOL=" protocols "\nenv=GIT_CONFIG_NOSYSTEM=1\npath=GIT_CEILING_DIRECTORIES=libfoo/linux/3\ncwd=libfoo/linux/3/tree\nidle=1200000\n"

static void a_checkout(void **state)
{
  struct env_var env[] = { { (char *)"https_proxy", (char *)"http://proxy:3128", NULL, { 0 } }, { (char *)"GIT_ALLOW_PROTOCOL", (char *)"ext", NULL, { 0 } } };
  struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT };
  struct build_ctx c = plain();

  (void)state;
  spec_is(&def, &c, "revision", "arg=git\narg=rev-parse\narg=--verify\narg=HEAD\n" PLACES("fresh") FACTS("") END GIT_END("https:http:ssh:git"));
  c.fresh = false;
  c.allow_local = true;
  spec_is(&def, &c, "clean", "arg=git\narg=-c\narg=core.hooksPath=/dev/null\narg=-c\narg=core.fsmonitor=false\narg=clean\narg=-ffdqx\n"
                             PLACES("mkdir") FACTS("") END GIT_END("https:http:ssh:git:file"));
  def.env = env; /* the pipeline's come first: of two of a name the later one counts */
  def.nenv = 2;
  spec_is(&def, &c, "revision", "arg=git\narg=rev-parse\narg=--verify\narg=HEAD\nenv=https_proxy=http://proxy:3128\nenv=GIT_ALLOW_PROTOCOL=ext\n"
                                PLACES("mkdir") FACTS("") END GIT_END("https:http:ssh:git:file"));
}

static void folders(void **state)
{
  char name[65], longest[PIPELINE_BUILDER_MAX + 1], out[STEP_PATH_MAX];
  struct build_ctx c = plain();

  (void)state;
  step_path(&c, "tree", out);
  assert_string_equal(out, "libfoo/linux/3/tree");
  memset(name, 'x', 64);
  name[64] = 0;
  c.builder = "core[x86_64,g++]"; /* makefiles take brackets for a pattern, linkers cut at commas */
  step_path(&c, "tree", out);
  assert_string_equal(out, "libfoo/core@x86_64@g++/3/tree");
  memset(longest, 'y', PIPELINE_BUILDER_MAX);
  longest[PIPELINE_BUILDER_MAX] = 0;
  c.project = name;
  c.builder = longest;
  c.slot = 2147483647;
  step_path(&c, "report", out); /* the longest there can be */
  assert_int_equal(strlen(out), 64 + 1 + PIPELINE_BUILDER_MAX + 1 + 10 + 1 + 6);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_all_commands_get), cmocka_unit_test(properties_become_variables), cmocka_unit_test(a_script),
    cmocka_unit_test(limits_of_output), cmocka_unit_test(followed_files),
    cmocka_unit_test(input_and_terminal), cmocka_unit_test(a_list_of_words),       cmocka_unit_test(a_checkout),                  cmocka_unit_test(folders),
  };

  return cmocka_run_group_tests_name("step_spec", tests, NULL, NULL) ? 1 : 0;
}
