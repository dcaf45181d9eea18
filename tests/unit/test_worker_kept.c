/* What the worker keeps in files: it comes back as it was, and nothing is taken for it that is cut short, changed, another command's or another version's. */
#include "worker/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "proto/chunk.h"
#include "proto/records.h"
#include "tests/lib/spoolfix.h"
#include "worker/ident.h"
#include "worker/member.h"
#include "worker/secrets.h"
#include "worker/small.h"

enum { FILE_MAX = 8192 };

static struct spool sp = { .cmd = "1-7" };

static int begin(void **s)
{
  (void)s;
  spoolfix_open(&sp);
  return 0;
}

static int end(void **s)
{
  (void)s;
  return spoolfix_close(&sp);
}

static size_t contents(const char *file, char *out)
{
  int fd = spool_open(&sp, file, O_RDONLY | O_CLOEXEC);
  ssize_t n;

  assert_true(fd >= 0);
  n = read(fd, out, FILE_MAX);
  close(fd);
  assert_true(n >= 0);
  return (size_t)n;
}

static void put(const char *file, const char *bytes, size_t n)
{
  int fd = spool_open(&sp, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);

  assert_true(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
  close(fd);
}

/* As the worker writes it, whatever the text says. */
static void put_text(const char *file, const char *cmd, const char *text)
{
  char whole[FILE_MAX];
  int n = snprintf(whole, sizeof whole - 16, "%s %s\n", cmd, text);

  n += snprintf(whole + n, 16, "%08x\n", (unsigned)chunk_crc(0, whole, (size_t)n));
  put(file, whole, (size_t)n);
}

/* Cut anywhere, or with any one byte changed, it is not there. */
static void any_harm(const char *file, bool (*is_there)(void))
{
  char good[FILE_MAX], bad[FILE_MAX];
  size_t n = contents(file, good);

  assert_true(is_there());
  for (size_t i = 0; i < n; i++) {
    put(file, good, i);
    assert_false(is_there());
    memcpy(bad, good, n);
    bad[i] ^= 0x11;
    put(file, bad, n);
    assert_false(is_there());
  }
  put(file, good, n);
  assert_true(is_there());
}

/* ---- small files of a command ---- */

static const struct spool_exit ended = { .how = "exited", .reason = "-", .code = 3, .len = INT64_C(5000000000), .lines = 70, .wall_ms = 1, .user_ms = 2, .sys_ms = 3, .maxrss_kib = 4, .left_bytes = 9, .left_lines = 8,
                                         .crc = 0xfedcba98, .nlogs = 2, .log = { { 1, 2, 3, 4, 5 }, { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, UINT32_MAX } } };

static bool has_exit(void)
{
  struct spool_exit x;
  return !spool_read_exit(&sp, &x);
}

static void test_exit(void **s)
{
  struct spool_exit x, failed = { .how = "failed", .reason = "start", .code = ENOENT };

  (void)s;
  assert_int_equal(spool_read_exit(&sp, &x), ERR_NOTFOUND);
  assert_int_equal(spool_write_exit(&sp, &ended, true), ERR_OK);
  assert_int_equal(spool_read_exit(&sp, &x), ERR_OK);
  assert_memory_equal(&x, &ended, sizeof x);
  any_harm("result", has_exit);
  memset(failed.text, 'x', sizeof failed.text - 1);
  assert_int_equal(spool_write_exit(&sp, &failed, false), ERR_OK);
  assert_int_equal(spool_read_exit(&sp, &x), ERR_OK);
  assert_memory_equal(&x, &failed, sizeof x);
}

static void test_exits_of_others(void **s)
{
  static const char *const bad[] = { "2 exited 0 - 0 00000000 0 0 0 0 0\n", "1 exited 0 - 0 00000000 0 0 0 0\n", "1 exited 0 - 0 00000000 0 0 0 0 0 1\n", "1 exited 0 - 0 00000000 0 0 0 0 0 1 2 3\n", "1 exited 0 - 0 00000000 0 0 0 0 0 1 2 3 4 5 6\n",
                                     "1 exited 0 - 0 00000000 0 0 0 0 0x\n", "", "1 sixteen_letters_and_more 0 - 0 00000000 0 0 0 0 0\n" };
  /* Found by fuzz_spool: what can't stand in a message of the wire left a link that said nothing any more, whatever the agent had to say on it. */
  static const char *const unsayable[] = { "1 exited -1 - 0 00000000 0 0 0 0 0\n", "1 exited 0 - -1 00000000 0 0 0 0 0\n", "1 exited 0 - 0 00000000 0 0 0 0 -1\n", "1 exi\001ed 0 - 0 00000000 0 0 0 0 0\n", "1 exited 0 \xc3\xa4 0 00000000 0 0 0 0 0\n",
                                           "1 exited 0 - 0 00000000 0 0 0 0 0 1 -2\n", "1 exited 0 - 0 00000000 0 0 0 0 0 1 2 3 00000000 -4 5 6\n" };
  struct spool_exit x;
  char zero[2048] = { 0 };

  (void)s;
  for (size_t i = 0; i < COUNT(bad); i++) {
    put_text("result", sp.cmd, bad[i]);
    assert_int_equal(spool_read_exit(&sp, &x), ERR_CORRUPT);
  }
  put_text("result", sp.cmd, "1 exited 0 - 0 00000000 0 0 0 0 0\n");
  assert_int_equal(spool_read_exit(&sp, &x), ERR_OK);
  for (size_t i = 0; i < COUNT(unsayable); i++) {
    put_text("result", sp.cmd, unsayable[i]);
    assert_int_equal(spool_read_exit(&sp, &x), ERR_CORRUPT);
  }
  put_text("result", "1-70", "1 exited 0 - 0 00000000 0 0 0 0 0\n");
  assert_int_equal(spool_read_exit(&sp, &x), ERR_NOTFOUND);
  put("result", zero, sizeof zero);
  assert_int_equal(spool_read_exit(&sp, &x), ERR_CORRUPT);
}

static bool has_started(void)
{
  struct spool_started w;
  return !spool_read_started(&sp, &w);
}

static bool has_ack(void) { return spool_read_ack(&sp) == 123456789; }

static bool has_base(void)
{
  struct spool_base b;
  return spool_read_base(&sp, &b);
}

static bool has_epoch(void)
{
  struct id id;
  return spool_read_epoch(&sp, &id);
}

static void test_small_ones(void **s)
{
  struct spool_started w = { "0123456789abcdef0123456789abcdef", 4711, 99 }, got;
  struct spool_base b = { 1 << 20, 77, 0xabcdef01 }, of;
  struct id id;

  (void)s;
  assert_false(has_ack() || has_base() || has_epoch() || has_started());
  assert_int_equal(spool_write_started(&sp, &w), ERR_OK);
  assert_int_equal(spool_read_started(&sp, &got), ERR_OK);
  assert_string_equal(got.boot, w.boot);
  assert_true(got.pid == w.pid && got.at_ms == w.at_ms);
  any_harm("started", has_started);
  put_text("started", sp.cmd, "2 0123456789abcdef0123456789abcdef 1 1");
  assert_int_equal(spool_read_started(&sp, &got), ERR_CORRUPT);
  assert_int_equal(spool_write_ack(&sp, 123456789), ERR_OK);
  any_harm("ack", has_ack);
  assert_int_equal(spool_write_base(&sp, &b), ERR_OK);
  assert_true(spool_read_base(&sp, &of));
  assert_true(of.off == b.off && of.lines == b.lines && of.crc == b.crc);
  any_harm("base", has_base);
  spool_write_epoch(&sp, (struct id){ 3, 4 });
  assert_true(spool_read_epoch(&sp, &id) && id.inc == 3 && id.n == 4);
  any_harm("epoch", has_epoch);
  put_text("ack", sp.cmd, "-1");
  assert_int_equal(spool_read_ack(&sp), 0);
  put_text("base", sp.cmd, "-1 00000000 0");
  assert_false(spool_read_base(&sp, &of));
  put_text("base", sp.cmd, "0 00000000 -1");
  assert_false(spool_read_base(&sp, &of));
  sp.stream = 2; /* another one's */
  assert_false(has_ack() || has_base());
}

/* The command itself, as its minder reads it back. */
static void test_command(void **s)
{
  struct id epoch = { 1, 2 };
  char good[FILE_MAX], bad[FILE_MAX];
  struct spool_cmd c;
  int cmd, ctl, taken = 0;
  size_t n;

  (void)s;
  assert_int_equal(unlinkat(sp.dir, sp.cmd, AT_REMOVEDIR), 0);
  assert_int_equal(spool_create(&sp, -1, 12, epoch, "arg=x\0arg=y", 12, &cmd, &ctl), ERR_OK);
  assert_int_equal(spool_create(&sp, -1, 12, epoch, "", 0, &taken, &taken), ERR_EXISTS);
  assert_int_equal(spool_lock(&sp), -1); /* somebody has it */
  assert_int_equal(spool_read_cmd(&sp, cmd, &c), ERR_OK); /* what was there is not touched by the refusal */
  free(c.blob);
  close(ctl);
  close(cmd);
  cmd = spool_open(&sp, "cmd", O_RDWR | O_CLOEXEC);
  n = (size_t)snprintf(good, sizeof good, "drover-command 1 %s 12 1-2 12 %08x\n", sp.cmd, (unsigned)chunk_crc(0, "arg=x\0arg=y", 12));
  memcpy(good + n, "arg=x\0arg=y", 12);
  n += 12;
  for (size_t i = 0; i < n; i++) {
    memcpy(bad, good, n);
    bad[i] ^= 0x11;
    put("cmd", good, i);
    assert_int_not_equal(spool_read_cmd(&sp, cmd, &c), ERR_OK);
    put("cmd", bad, n);
    if (spool_read_cmd(&sp, cmd, &c) == ERR_OK) /* its numbers alone have no sum */
      free(c.blob);
  }
  n = (size_t)snprintf(bad, sizeof bad, "drover-command 1 %s -12 1-2 0 00000000\n", sp.cmd);
  put("cmd", bad, n);
  assert_int_equal(spool_read_cmd(&sp, cmd, &c), ERR_CORRUPT);
  n = (size_t)snprintf(bad, sizeof bad, "drover-command 1 %s 12 1-2 12 %08x\n", sp.cmd, (unsigned)chunk_crc(0, "arg=x\0arg=y", 12)) + 12;
  put("cmd", good, n);
  assert_int_equal(spool_read_cmd(&sp, cmd, &c), ERR_OK);
  assert_int_equal(c.build, 12);
  assert_memory_equal(c.blob, "arg=x\0arg=y", 12);
  free(c.blob);
  close(cmd);
  cmd = spool_lock(&sp);
  assert_true(cmd >= 0);
  assert_int_equal(spool_lock(&sp), -1);
  close(cmd);
}

static void test_report(void **s)
{
  char large[SPOOL_REPORT_MAX + 1] = { 1 };
  struct buf out;

  (void)s;
  buf_init(&out, BUF_NO_MAX);
  assert_false(spool_has_report(&sp) || spool_read_report(&sp, &out));
  assert_int_equal(spool_write_report(&sp, "summary=x", 10, true), ERR_OK);
  assert_true(spool_has_report(&sp) && spool_read_report(&sp, &out));
  assert_int_equal(out.len, 10);
  put("report", large, sizeof large);
  assert_false(spool_read_report(&sp, &out));
  buf_free(&out);
}

/* ---- of the worker ---- */

static const struct token of_pool = { .name = (char *)(uintptr_t)"linux", .pool = true };

static void test_member(void **s)
{
  static const char *const bad[] = { "drover-worker 2\npool linux\nname a\nkey ", "drover-worker 1\npool linux\nname ../a\nkey ", "drover-worker 1\npool linux\nname a\nkey too short, ", "drover-worker 1\n", "" };
  struct member m, again;
  const char *why;
  char text[256];

  (void)s;
  assert_int_equal(member_load(&m, sp.dir, &of_pool, &why), ERR_OK); /* a key is made */
  assert_int_equal(member_named(&m, "linux-7"), ERR_OK);
  assert_int_equal(member_load(&again, sp.dir, &of_pool, &why), ERR_OK);
  assert_string_equal(again.name, "linux-7");
  assert_string_equal(again.key, m.key);
  for (size_t i = 0; i < COUNT(bad); i++) {
    int fd = openat(sp.dir, "member", O_WRONLY | O_TRUNC | O_CLOEXEC), n = snprintf(text, sizeof text, "%s%s\n", bad[i], m.key);
    assert_true(fd >= 0 && write(fd, text, (size_t)n) == n);
    close(fd);
    assert_int_not_equal(member_load(&again, sp.dir, &of_pool, &why), ERR_OK);
    assert_non_null(strstr(why, "can't be read"));
  }
}

static void test_ident(void **s)
{
  static const char *const bad[] = { "drover-worker 1\ninstance 0123456789abcdef0123456789abcde\001\nconn 3\nincarnation 1\nhigh 1-17\n", "drover-worker 1\ninstance 0123456789abcdef0123456789abcdef\nconn -3\nincarnation 1\nhigh 1-17\n",
                                     "drover-worker 1\ninstance 0123456789abcdef\nconn 3\nincarnation 1\nhigh 1-17\n", "" };
  struct ident made, again;
  const char *why;

  (void)s;
  assert_int_equal(ident_load(&made, sp.dir, &why), ERR_OK); /* it makes itself */
  ident_note(&made, (struct id){ 1, 9 });
  close(made.high_fd);
  assert_int_equal(ident_load(&again, sp.dir, &why), ERR_OK);
  assert_string_equal(again.instance, made.instance);
  assert_true(again.high.inc == 1 && again.high.n == 9);
  close(again.high_fd);
  for (size_t i = 0; i < COUNT(bad); i++) {
    int fd = openat(sp.dir, "ident", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0 && write(fd, bad[i], strlen(bad[i])) == (ssize_t)strlen(bad[i]));
    close(fd);
    assert_int_equal(ident_load(&again, sp.dir, &why), ERR_CORRUPT); /* a worker that lost its number would be taken for a copy */
    assert_string_equal(why, "ident can't be read");
  }
}

static void test_secrets(void **s)
{
  static const char run[] = "arg=x\0secret=A=one\0secret_file=B=two", good[] = "value=one=1\0value=two=2", unnamed[] = "value==1\0value=two=2", no_value[] = "value=one", other[] = "other=one=1";
  const char *why;
  char *read_back;
  size_t n;
  int fd;

  (void)s;
  assert_true(secrets_check(run, sizeof run, good, sizeof good, &why));
  assert_string_equal(secrets_get(good, sizeof good, "two"), "2");
  assert_false(secrets_check(run, sizeof run, NULL, 0, &why));
  assert_false(secrets_check(run, sizeof run, "value=one=1", 12, &why));
  assert_string_equal(why, "a secret that it names did not come before it");
  assert_false(secrets_check(run, sizeof run, unnamed, sizeof unnamed, &why));
  assert_false(secrets_check(run, sizeof run, no_value, sizeof no_value, &why));
  assert_false(secrets_check(run, sizeof run, other, sizeof other, &why));
  assert_false(secrets_check(run, sizeof run, good, sizeof good - 1, &why)); /* cut short */
  assert_string_equal(why, "its secrets are not well-formed");
  fd = secrets_pipe(good, sizeof good);
  assert_true(fd >= 0);
  read_back = secrets_read(fd, &n);
  assert_int_equal(n, sizeof good);
  assert_memory_equal(read_back, good, sizeof good);
  free(read_back);
  assert_null(secrets_read(open(spoolfix_folder, O_RDONLY | O_CLOEXEC), &n)); /* a folder can't be read */
}

static void test_small_file(void **s)
{
  char text[32];

  (void)s;
  assert_int_equal(small_read(sp.dir, "x", text, sizeof text), ERR_NOTFOUND);
  assert_int_equal(small_read(sp.dir, sp.cmd, text, sizeof text), ERR_IO); /* a folder */
  assert_int_equal(small_replace(sp.dir, "x", "x.next", "one", 3), ERR_OK);
  assert_int_equal(small_replace(sp.dir, "x", "x.next", "two, longer", 11), ERR_OK);
  assert_int_equal(small_replace(sp.dir, "x", "x.next", "3", 1), ERR_OK); /* over what is longer */
  assert_int_equal(small_read(sp.dir, "x", text, sizeof text), ERR_OK);
  assert_string_equal(text, "3");
  assert_int_equal(small_replace(sp.dir, "x", sp.cmd, "four", 4), ERR_IO); /* it can't be written: the one before stays */
  assert_int_equal(small_read(sp.dir, "x", text, sizeof text), ERR_OK);
  assert_string_equal(text, "3");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_exit, begin, end), cmocka_unit_test_setup_teardown(test_exits_of_others, begin, end), cmocka_unit_test_setup_teardown(test_small_ones, begin, end),
    cmocka_unit_test_setup_teardown(test_command, begin, end), cmocka_unit_test_setup_teardown(test_report, begin, end), cmocka_unit_test_setup_teardown(test_member, begin, end),
    cmocka_unit_test_setup_teardown(test_ident, begin, end),
    cmocka_unit_test_setup_teardown(test_secrets, begin, end), cmocka_unit_test_setup_teardown(test_small_file, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
