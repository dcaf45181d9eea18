/* worker.conf and the command line: what is taken, and every complaint with its place. */
#include "worker/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HEX64 "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define SECRET "AbCdEfGhIjKlMnOpQrStUvWxYz012345"
#define TOKEN "ci1:7421#spki-sha256:" HEX64 "#w1:" SECRET

static char folder[] = "/tmp/drover-conf.XXXXXX", path[64], said[8192];

static void hear(enum log_level level, const char *line)
{
  (void)level;
  strncat(said, line, sizeof said - strlen(said) - 2);
  strcat(said, "\n");
  assert_null(strstr(said, SECRET));
}

static void put(const char *name, const char *text, mode_t mode)
{
  FILE *f;

  snprintf(path, sizeof path, "%s/%s", folder, name);
  (void)unlink(path); /* the last one may be closed to whoever is not root */
  f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
  assert_int_equal(chmod(path, mode), 0);
}

static int set_up(void **state)
{
  (void)state;
  log_set_sink(hear);
  return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
  char line[128];

  (void)state;
  snprintf(line, sizeof line, "rm -r '%s'", folder);
  return system(line);
}

static enum err load(struct conf *c, const char *text, mode_t mode)
{
  struct conf_given g = { .config = path };

  *said = 0;
  put("worker.conf", text, mode);
  return conf_load(c, &g);
}

static void test_all_keys(void **state)
{
  struct conf c;

  (void)state;
  assert_int_equal(load(&c, "# ours\n\n  join = " TOKEN "  \ndir=/srv/w\npath = /bin:/opt/x y\nproxy = http://u:p%40%3a@p.example:8\nlog_level = debug\nlog_format = json", 0600), ERR_OK);
  assert_string_equal(said, "");
  assert_string_equal(c.token.name, "w1");
  assert_string_equal(c.token.secret, SECRET);
  assert_string_equal(c.dir, "/srv/w");
  assert_string_equal(c.path, "/bin:/opt/x y");
  assert_string_equal(c.proxy.address.host, "p.example");
  assert_string_equal(c.proxy.address.port, "8");
  assert_string_equal(c.proxy.credentials, "dTpwQDo="); /* u:p@: */
  assert_int_equal(c.level, LOG_DEBUG);
  assert_string_equal(c.format, "json");
  conf_free(&c);
  conf_free(&c); /* twice is fine */
}

static void test_defaults_and_connect(void **state)
{
  struct conf c;

  (void)state;
  assert_int_equal(load(&c, "join = " TOKEN "\nproxy = no\n", 0400), ERR_OK);
  assert_string_equal(c.dir, CONF_DIR);
  assert_string_equal(c.path, CONF_PATH);
  assert_null(c.proxy.address.host);
  assert_int_equal(c.level, LOG_INFO);
  conf_free(&c);
  assert_int_equal(load(&c, "join = " TOKEN "\nconnect = [::1]:9\n", 0600), ERR_OK);
  assert_int_equal(c.token.addresses, 1);
  assert_string_equal(c.token.address[0].host, "::1");
  conf_free(&c);
}

/* Everything at once, each with its line. */
static void test_all_that_is_wrong(void **state)
{
  struct conf c;

  (void)state;
  assert_int_equal(load(&c, "join = nonsense\npaht = /bin\nwhatever = 1\njust words\ndir = x\ndir = /y\npath =\nlog_level = loud\nlog_format = xml\nproxy = https://x\nconnect = here\n", 0600), ERR_SYNTAX);
  static const char *const lines[] = {
    "worker.conf:1: join: the join token is not well-formed: ", "worker.conf:2: unknown key `paht`, did you mean `path`?\n", "worker.conf:3: unknown key `whatever`; there are `join`, `join_file`, `dir`",
    "worker.conf:4: this is not `key = value`\n", "worker.conf:5: dir: x is not an absolute path\n", "worker.conf:6: `dir` was given in line 5 already", "worker.conf:7: `path` has no value",
    "worker.conf:8: log_level: loud is neither debug, info nor warn\n", "worker.conf:9: log_format: xml is neither text nor json\n", "worker.conf:10: proxy: not http://", "worker.conf:11: connect: here is neither",
  };
  for (size_t i = 0; i < COUNT(lines); i++)
    if (!strstr(said, lines[i]))
      fail_msg("not said: %s\nbut\n%s", lines[i], said);
  conf_free(&c);
}

static void test_secrets_are_private(void **state)
{
  static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610, 0644 };
  struct conf c;

  (void)state;
  for (size_t i = 0; i < COUNT(modes); i++) {
    assert_int_equal(load(&c, "path = /bin\njoin = " TOKEN "\n", modes[i]), ERR_SYNTAX);
    assert_non_null(strstr(said, "worker.conf:2: `join` holds a secret, and the file can be read by others"));
    conf_free(&c);
  }
  put("token", TOKEN "\n", 0600);
  char text[256];
  snprintf(text, sizeof text, "join_file = %s\nproxy = http://p\n", path);
  assert_int_equal(load(&c, text, 0644), ERR_OK); /* nothing secret in it */
  conf_free(&c);
  snprintf(text + strlen(text), sizeof text - strlen(text), "# \n");
  *strstr(text, "http://p") = 0;
  strcat(text, "http://u:hidden-word@p\n");
  assert_int_equal(load(&c, text, 0644), ERR_SYNTAX);
  assert_non_null(strstr(said, ":2: `proxy` holds a secret"));
  assert_null(strstr(said, "hidden-word"));
  conf_free(&c);
}

static void test_tokens(void **state)
{
  struct conf_given g = { .config = path };
  char text[256], token[64];
  struct conf c;

  (void)state;
  put("token", TOKEN "\n", 0640);
  memcpy(token, path, sizeof token);
  snprintf(text, sizeof text, "join_file = %s\n", token);
  assert_int_equal(load(&c, text, 0600), ERR_SYNTAX);
  assert_non_null(strstr(said, "worker.conf:1: join_file: the join file"));
  assert_non_null(strstr(said, "can be read by others (mode 0640)"));
  conf_free(&c);
  assert_int_equal(chmod(token, 0600), 0);
  assert_int_equal(load(&c, text, 0600), ERR_OK);
  conf_free(&c);
  strcat(text, "join = " TOKEN "\n");
  assert_int_equal(load(&c, text, 0600), ERR_SYNTAX);
  assert_non_null(strstr(said, "worker.conf:1: `join` and `join_file` are both given"));
  conf_free(&c);
  assert_int_equal(load(&c, "dir = /x\n", 0600), ERR_SYNTAX);
  assert_non_null(strstr(said, "there is no join token"));
  conf_free(&c);
  assert_int_equal(load(&c, "join = other:1#spki-sha256:" HEX64 "#w2:" SECRET "\ndir = /x\n", 0600), ERR_OK);
  conf_free(&c);
  g.value[CONF_join_file] = token; /* options win */
  g.value[CONF_dir] = "relative";
  assert_int_equal(conf_load(&c, &g), ERR_OK);
  assert_string_equal(c.token.name, "w1");
  assert_string_equal(c.dir, "relative");
  conf_free(&c);
}

static void test_which_file(void **state)
{
  struct conf_given g = { .config = NULL };
  struct conf c;

  (void)state;
  put("worker.conf", "join = " TOKEN "\npath = /from/dir\n", 0600);
  g.value[CONF_dir] = folder;
  assert_int_equal(conf_load(&c, &g), ERR_OK);
  assert_string_equal(c.path, "/from/dir");
  conf_free(&c);
  g.config = "/nonesuch/worker.conf";
  *said = 0;
  assert_int_equal(conf_load(&c, &g), ERR_SYNTAX);
  assert_non_null(strstr(said, "/nonesuch/worker.conf: there is no such file"));
  conf_free(&c);
  g.config = NULL;
  g.value[CONF_dir] = "/nonesuch";
  assert_int_equal(conf_load(&c, &g), ERR_SYNTAX); /* may be missing, but then there is no token */
  conf_free(&c);
  g.config = folder;
  assert_int_equal(conf_load(&c, &g), ERR_SYNTAX);
  conf_free(&c);
  g.config = "/dev/zero";
  assert_int_equal(conf_load(&c, &g), ERR_SYNTAX); /* too long, and then given up */
  conf_free(&c);
}

/* Found by fuzz_workerconf: what stood behind a NUL did not count, `allow` and `isolate` among it. */
static void test_nul(void **state)
{
  static const char text[] = "join = " TOKEN "\n\0\nallow = no\n";
  struct conf_given g = { .config = path };
  struct conf c;
  FILE *f;

  (void)state;
  put("worker.conf", "", 0600);
  f = fopen(path, "w");
  assert_non_null(f);
  assert_int_equal(fwrite(text, 1, sizeof text - 1, f), sizeof text - 1);
  fclose(f);
  *said = 0;
  assert_int_equal(conf_load(&c, &g), ERR_SYNTAX);
  assert_non_null(strstr(said, "worker.conf: there is a NUL in it"));
  conf_free(&c);
}

static void test_options_have_no_secrets(void **state)
{
  struct conf_given g = { .config = path };
  struct conf c;

  (void)state;
  put("worker.conf", "join = " TOKEN "\n", 0600);
  g.value[CONF_proxy] = "http://u:hidden-word@p";
  *said = 0;
  assert_int_equal(conf_load(&c, &g), ERR_SYNTAX);
  assert_non_null(strstr(said, "--proxy: a password is not given on the command line"));
  assert_null(strstr(said, "hidden-word"));
  conf_free(&c);
  assert_false(conf_keys[CONF_join].option);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_all_keys),  cmocka_unit_test(test_defaults_and_connect), cmocka_unit_test(test_all_that_is_wrong),      cmocka_unit_test(test_secrets_are_private),
    cmocka_unit_test(test_tokens),    cmocka_unit_test(test_which_file),           cmocka_unit_test(test_nul), cmocka_unit_test(test_options_have_no_secrets),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
