/* A helper process with scripts for programs: what it is told, says and is given, its end and that of what it started. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "master/core/helper.h"

enum { ERRORS_MAX = 100, DEADLINE_MS = 60000 };

struct got {
  struct helper h;
  struct buf said;
  bool gone, kill_when_heard;
};

static char program[] = "/tmp/drover-helper-XXXXXX";

static void script(const char *text)
{
  FILE *f = fopen(program, "w");

  assert_non_null(f);
  assert_true(fprintf(f, "#!/bin/sh\n%s\n", text) > 0);
  assert_int_equal(fclose(f), 0);
  assert_int_equal(chmod(program, 0700), 0);
}

static void heard(struct helper *h, const char *p, size_t n)
{
  struct got *got = h->owner;

  buf_add(&got->said, p, n);
  if (got->kill_when_heard)
    helper_kill(h);
}

static void gone(struct helper *h)
{
  struct got *got = h->owner;

  assert_false(got->gone);
  got->gone = true;
}

static void too_late(uv_timer_t *t)
{
  (void)t;
  fail_msg("waited in vain");
}

static void begin(struct got *got, uv_loop_t *loop, bool linked)
{
  static const struct helper_ops ops = { heard, gone };
  static char path[] = "PATH=/usr/bin:/bin", mark[] = "MARK=ours";
  char *env[] = { path, mark, NULL };

  memset(got, 0, sizeof *got);
  buf_init(&got->said, 1 << 20);
  assert_int_equal(uv_loop_init(loop), 0);
  helper_start(&got->h, loop, program, env, linked, ERRORS_MAX, &ops, got);
}

/* To its end; nothing of it is left in the loop. */
static void end(struct got *got, uv_loop_t *loop)
{
  uv_timer_t t;

  uv_timer_init(loop, &t);
  uv_timer_start(&t, too_late, DEADLINE_MS, 0);
  while (!got->gone)
    uv_run(loop, UV_RUN_ONCE);
  uv_close((uv_handle_t *)&t, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(loop), 0);
}

static void forget(struct got *got)
{
  helper_free(&got->h);
  buf_free(&got->said);
}

static void it_hears_says_and_ends(void **state)
{
  struct got got;
  uv_loop_t loop;
  char ask[] = "one\ntwo\n";

  (void)state;
  script("cat; echo $MARK $HOME $#; exit 7");
  begin(&got, &loop, false);
  assert_int_equal(got.h.start_rc, 0);
  assert_true(helper_say(&got.h, ask, 4));
  assert_true(helper_say(&got.h, ask + 4, 4));
  memset(ask, 'x', sizeof ask); /* they were copied */
  helper_hush(&got.h);
  assert_false(helper_say(&got.h, "more", 4));
  assert_true(helper_lives(&got.h));
  assert_int_equal(helper_link(&got.h), -1);
  end(&got, &loop);
  assert_false(helper_lives(&got.h));
  assert_string_equal(buf_str(&got.said), "one\ntwo\nours 0\n");
  assert_int_equal(got.h.exit_status, 7);
  assert_int_equal(got.h.exit_signal, 0);
  forget(&got);
}

static void a_program_that_is_not_there(void **state)
{
  struct got got;
  uv_loop_t loop;

  (void)state;
  unlink(program);
  begin(&got, &loop, true);
  assert_int_equal(got.h.start_rc, UV_ENOENT);
  assert_false(helper_lives(&got.h));
  assert_false(got.gone); /* from the loop, never from within */
  end(&got, &loop);
  forget(&got);
}

static void the_beginning_of_its_errors_is_kept(void **state)
{
  struct got got;
  uv_loop_t loop;

  (void)state;
  script("printf first >&2; echo said; head -c 3000 /dev/zero | tr '\\0' e >&2; echo last >&2");
  begin(&got, &loop, false);
  end(&got, &loop);
  assert_int_equal(got.h.errors.len, ERRORS_MAX);
  assert_memory_equal(got.h.errors.data, "firsteee", 8);
  assert_string_equal(buf_str(&got.said), "said\n");
  forget(&got);
}

/* Its child holds the pipes open: without the group nobody would ever be gone. */
static void killed_with_what_it_started(void **state)
{
  struct got got;
  uv_loop_t loop;

  (void)state;
  script("sleep 1000 & echo up; wait");
  begin(&got, &loop, false);
  got.kill_when_heard = true;
  end(&got, &loop);
  assert_int_equal(got.h.exit_signal, SIGKILL);
  forget(&got);
}

static void what_it_started_ends_when_it_crashes(void **state)
{
  struct got got;
  uv_loop_t loop;

  (void)state;
  script("sleep 1000 & kill -9 $$");
  begin(&got, &loop, false);
  end(&got, &loop);
  assert_int_equal(got.h.exit_signal, SIGKILL);
  forget(&got);
}

static void a_link_of_its_own(void **state)
{
  struct got got;
  uv_loop_t loop;
  char text[16] = "";
  int fd, one = 1;

  (void)state;
  script("read line <&3; echo \"it came: $line\" >&3");
  begin(&got, &loop, true);
  fd = helper_link(&got.h);
  assert_true(fd >= 0);
  assert_int_equal(helper_link(&got.h), -1); /* taken */
  assert_int_equal(write(fd, "abc\n", 4), 4);
  end(&got, &loop);
  assert_int_equal(recv(fd, text, sizeof text - 1, 0), 13);
  assert_string_equal(text, "it came: abc\n");
  assert_int_equal(recv(fd, &one, 1, 0), 0); /* nobody else has the other end */
  close(fd);
  forget(&got);
}

static int setup(void **state)
{
  int fd = mkstemp(program);

  (void)state;
  return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
  (void)state;
  unlink(program);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(it_hears_says_and_ends), cmocka_unit_test(a_program_that_is_not_there), cmocka_unit_test(the_beginning_of_its_errors_is_kept),
    cmocka_unit_test(killed_with_what_it_started), cmocka_unit_test(what_it_started_ends_when_it_crashes), cmocka_unit_test(a_link_of_its_own),
  };

  return cmocka_run_group_tests(tests, setup, teardown);
}
