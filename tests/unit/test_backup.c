/* What a backup's manifest may be, and how rows of a dump's script are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/keep/copycount.h"
#include "master/keep/manifest.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- manifest ---- */

static void fill(struct manifest *m, bool logs)
{
  *m = (struct manifest){ .version = xstrdup("0.1"), .cluster = xstrdup("abc"), .postgresql = xstrdup("15.14"), .host = xstrdup("ci1"), .config_file = xstrdup("/etc/drover/master.yaml"),
    .schema = 2, .incarnation = 3, .config = 4, .made_ms = INT64_C(1764237600123), .logs = logs, .link_key = true };
  snprintf(manifest_add(m, MANIFEST_DATABASE, NULL, 0600)->sha256, 65, SHA);
  if (logs)
    snprintf(manifest_add(m, MANIFEST_LOGS, NULL, 0600)->sha256, 65, SHA);
  snprintf(manifest_add(m, "config/0-master.yaml", "/etc/drover/ \"strange\".yaml", 0640)->sha256, 65, SHA);
  m->files[0].size = INT64_C(5000000000);
  m->tables = xcalloc(2, sizeof *m->tables);
  m->tables[0] = (struct manifest_table){ xstrdup("build"), 7 };
  m->tables[1] = (struct manifest_table){ xstrdup("log_chunk_0"), 0 };
  m->ntables = 2;
}

static void round_trip(void **s)
{
  struct manifest a, b;
  struct buf why;
  char *text, *again;

  (void)s;
  for (int logs = 0; logs < 2; logs++) {
    fill(&a, logs);
    text = manifest_write(&a);
    buf_init(&why, 1000);
    assert_int_equal(manifest_read(&b, text, strlen(text), &why), ERR_OK);
    again = manifest_write(&b);
    assert_string_equal(text, again);
    assert_int_equal(b.files[0].size, INT64_C(5000000000));
    assert_int_equal(b.files[b.nfiles - 1].mode, 0640);
    assert_string_equal(manifest_file(&b, "config/0-master.yaml")->path, "/etc/drover/ \"strange\".yaml");
    assert_null(manifest_file(&b, "config"));
    buf_free(&why);
    free(text);
    free(again);
    manifest_free(&a);
    manifest_free(&b);
  }
}

/* The manifest with one text replaced: what is said of it. */
static void refuse(const char *from, const char *to, enum err want, const char *words)
{
  struct manifest a, b;
  struct buf why;
  char *text, *at, *bad;

  fill(&a, true);
  text = manifest_write(&a);
  at = strstr(text, from);
  assert_non_null(at);
  bad = xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  buf_init(&why, 1000);
  assert_int_equal(manifest_read(&b, bad, strlen(bad), &why), want);
  if (!strstr(buf_str(&why), words))
    fail_msg("\"%s\" has no \"%s\"", buf_str(&why), words);
  buf_free(&why);
  free(text);
  free(bad);
  manifest_free(&a);
  manifest_free(&b);
}

static void refused(void **s)
{
  (void)s;
  refuse("{", "[", ERR_SYNTAX, "JSON");
  refuse("\"drover_backup\":\t1", "\"drover_backup\":\t2", ERR_UNKNOWN, "format 2");
  refuse("\"drover_backup\"", "\"x\"", ERR_SYNTAX, "drover_backup");
  refuse("\"cluster\":\t\"abc\"", "\"cluster\":\t7", ERR_BADARG, "\"cluster\"");
  refuse("\"schema\":\t2", "\"schema\":\t-2", ERR_BADARG, "\"schema\"");
  refuse("\"incarnation\":\t3", "\"incarnation\":\t1e300", ERR_BADARG, "\"incarnation\"");
  refuse("\"incarnation\":\t3", "\"incarnation\":\t3.5", ERR_BADARG, "\"incarnation\"");
  refuse("\"logs\":\ttrue", "\"logs\":\t1", ERR_BADARG, "\"logs\"");
  refuse("\"logs\":\ttrue", "\"logs\":\tfalse", ERR_BADARG, "dumps");
  refuse("\"name\":\t\"database.dump\"", "\"name\":\t\"other.dump\"", ERR_BADARG, "dumps");
  refuse("config/0-master.yaml", "../0-master.yaml", ERR_BADARG, "file's name");
  refuse("config/0-master.yaml", "logs.dump", ERR_BADARG, "twice");
  refuse(SHA, "0123", ERR_BADARG, "SHA-256");
  refuse("\"/etc/drover/ ", "\"etc/drover/ ", ERR_BADARG, "absolute");
  refuse("\"0640\"", "\"7777\"", ERR_BADARG, "mode");
  refuse("\"0640\"", "\"rw\"", ERR_BADARG, "mode");
  refuse("\"build\":\t7", "\"build\":\tnull", ERR_BADARG, "table build");
  refuse("\"files\"", "\"file\"", ERR_BADARG, "\"files\"");
}

static void names(void **s)
{
  static const char *const good[] = { "a", "database.dump", "config/12-x_y.yaml", "keys/0-site.key" };
  static const char *const bad[] = { "", "/a", "a/", "a//b", "..", "../a", "a/../b", ".hidden", "a/.b", "a b", "a\nb", "a\\b", "ä" };

  (void)s;
  for (size_t i = 0; i < COUNT(good); i++)
    assert_true(manifest_name_ok(good[i]));
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_false(manifest_name_ok(bad[i]));
}

/* Whatever is cut off, it is refused and nothing leaks. */
static void cut(void **s)
{
  struct manifest a, b;
  struct buf why;
  char *text;

  (void)s;
  fill(&a, true);
  text = manifest_write(&a);
  buf_init(&why, 100000);
  for (size_t n = 0; n + 2 < strlen(text); n++) {
    assert_int_not_equal(manifest_read(&b, text, n, &why), ERR_OK);
    manifest_free(&b);
  }
  buf_free(&why);
  free(text);
  manifest_free(&a);
}

/* ---- counting ---- */

static struct buf counted;

static void met(void *arg, const char *name, int64_t rows)
{
  assert_ptr_equal(arg, &counted);
  buf_addf(&counted, "%s=%d ", name, (int)rows);
}

static bool count(const char *text, size_t piece, const char *want)
{
  struct copycount c;
  size_t n = strlen(text);

  buf_init(&counted, BUF_NO_MAX);
  copycount_begin(&c, met, &counted);
  for (size_t at = 0; at < n; at += piece)
    copycount_add(&c, text + at, n - at < piece ? n - at : piece);
  assert_string_equal(buf_str(&counted), want);
  buf_free(&counted);
  return copycount_end(&c);
}

static void rows(void **s)
{
  static const char script[] = "--\n-- Data for Name: build\n--\n\nSET x = 1;\nCOPY public.build (id, \"number\") FROM stdin;\n1\t2\n\\N\t\\.\n\n\\.\n\n\n"
                               "COPY public.empty (id) FROM stdin;\n\\.\n\nCOPY public.\"odd Name\" (id) FROM stdin;\nCOPY public.x (y) FROM stdin;\n\\.\n\nselect 1;\n";

  (void)s;
  for (size_t piece = 1; piece < sizeof script; piece++)
    assert_true(count(script, piece, "build=3 empty=0 odd Name=1 "));
  assert_false(count("COPY public.a (b) FROM stdin;\n1\n", 1000, ""));
  assert_false(count("COPY public.a (b) FROM stdin;\n1\n\\.", 1000, ""));
  assert_true(count("COPY\nCOPY x\n COPY public.a (b) FROM stdin;\nCOPY  (\n", 1000, ""));
}

static void long_rows(void **s)
{
  struct buf text;

  (void)s;
  buf_init(&text, BUF_NO_MAX);
  buf_adds(&text, "COPY public.log_chunk_0 (log");
  for (int i = 0; i < 1000; i++)
    buf_adds(&text, ", column");
  buf_adds(&text, ") FROM stdin;\n");
  for (int row = 0; row < 3; row++) {
    for (int i = 0; i < 10000; i++)
      buf_adds(&text, "\\\\.COPY");
    buf_adds(&text, "\n");
  }
  buf_adds(&text, "\\.\n");
  assert_true(count(buf_str(&text), 4096, "log_chunk_0=3 "));
  buf_free(&text);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(round_trip), cmocka_unit_test(refused), cmocka_unit_test(names), cmocka_unit_test(cut), cmocka_unit_test(rows), cmocka_unit_test(long_rows) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
