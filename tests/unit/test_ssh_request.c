/* What drover-ssh-helper is told, by the master and by the host that it has logged in to. */
#include "master/workers/ssh/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "master/conf/conf_ssh.h"
#include "master/workers/dial_proc.h"
#include "proto/records.h"

#define SUM "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_request(void **state)
{
  static const char whole[] = "name=w\0user=u\0host=h\0port=22\0dir=d\0key=k\0pin=a\0pin=b\0end=1", rotated[] = "name=w\0user=u\0host=h\0port=22\0dir=d\0key=new\0old_key=old\0end=1", no_key[] = "name=w\0user=u\0host=h\0port=22\0dir=d\0end=1";
  struct ssh_request r;

  (void)state;
  assert_true(ssh_request_read(&r, whole, sizeof whole));
  assert_string_equal(r.name, "w");
  assert_string_equal(r.user, "u");
  assert_string_equal(r.host, "h");
  assert_string_equal(r.port, "22");
  assert_string_equal(r.dir, "d");
  assert_string_equal(r.key, "k");
  assert_null(r.old_key);
  assert_int_equal(r.npins, 2);
  assert_string_equal(r.pins[1], "b");
  ssh_request_free(&r);
  assert_true(ssh_request_read(&r, rotated, sizeof rotated));
  assert_string_equal(r.key, "new");
  assert_string_equal(r.old_key, "old");
  ssh_request_free(&r);
  assert_false(ssh_request_read(&r, no_key, sizeof no_key)); /* an older master's */
  ssh_request_free(&r);
}

/* As many host keys as a worker may have, all of them as long as they may be, have room in one message. */
static void test_longest(void **state)
{
  char kind[256], text[4097], pin[sizeof kind + sizeof text];
  struct ssh_request r;
  struct buf b;

  (void)state;
  memset(kind, 'k', 255);
  memset(text, 'A', 4096);
  kind[255] = text[4096] = 0;
  snprintf(pin, sizeof pin, "%s %s", kind, text);
  buf_init(&b, DIAL_WIRE_MAX);
  records_put(&b, "name", kind + 255 - 64);
  records_put(&b, "user", kind);
  records_put(&b, "host", kind);
  records_put(&b, "port", "65535");
  records_put(&b, "dir", kind);
  records_put(&b, "key", text); /* one has some 120 bytes */
  for (int i = 0; i < CONF_SSH_PINS_MAX; i++) {
    char *made = conf_ssh_pin(pin);
    assert_non_null(made);
    records_put(&b, "pin", made);
    free(made);
  }
  records_put(&b, "end", "1");
  assert_false(b.failed);
  assert_true(ssh_request_read(&r, b.data, b.len));
  assert_int_equal(r.npins, CONF_SSH_PINS_MAX);
  ssh_request_free(&r);
  buf_free(&b);
}

static void test_answer(void **state)
{
  static const char brings[] = "sum=" SUM "\0size=4711\0end=1", has_it[] = "sum=" SUM "\0end=1", empty[] = "sum=" SUM "\0size=0\0end=1", shell[] = "sum=*) reboot;; *0123456789abcdef0123456789abcdef0123456789abcdef0123\0size=1\0end=1";
  char sum[SSH_SUM_LEN + 1];
  int64_t size;

  (void)state;
  assert_true(ssh_answer_read(brings, sizeof brings, sum, &size));
  assert_string_equal(sum, SUM);
  assert_int_equal(size, 4711);
  assert_false(ssh_answer_read(has_it, sizeof has_it, sum, &size));
  assert_false(ssh_answer_read(empty, sizeof empty, sum, &size));
  assert_false(ssh_answer_read(shell, sizeof shell, sum, &size)); /* it becomes part of a command */
}

static void test_said(void **state)
{
  static const char text[] = "Welcome!\n" SSH_MARK "os Linux\r\nos FreeBSD\n" SSH_MARK "arch x86_64\n" SSH_MARK "arch aarch64\n" SSH_MARK "bad mkdir: no; rm -rf\n" SSH_MARK "sum";
  char word[SSH_WORD_MAX + 1], why[8];

  (void)state;
  ssh_said_word(text, "os", word);
  assert_string_equal(word, "Linux");
  ssh_said_word(text, "arch", word);
  assert_string_equal(word, "aarch64"); /* what a login prints comes first */
  ssh_said_word(text, "sum", word);
  assert_string_equal(word, "");
  ssh_said_word(text, "bad", word); /* no word */
  assert_string_equal(word, "");
  ssh_said(text, "bad", why, sizeof why);
  assert_string_equal(why, "mkdir: ");
  ssh_said(text, "good", why, sizeof why);
  assert_string_equal(why, "");
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_request), cmocka_unit_test(test_longest), cmocka_unit_test(test_answer), cmocka_unit_test(test_said) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
