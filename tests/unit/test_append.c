/* The growing end of a log, without a database: what it takes, and how far a worker may send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "master/logs/append.h"

static const struct id epoch = { 1, 2 };

/* A chunk of n bytes at off; the blob is the encoder's, until the next one. */
static struct chunk chunk_of(struct chunk_enc *e, int64_t off, size_t n)
{
  static char bytes[CHUNK_RAW_MAX];
  struct chunk c;

  assert_int_equal(chunk_enc_add(e, 0, 0, bytes, n), n);
  chunk_enc_close(e, &c);
  c.off = off;
  return c;
}

static void test_takes_what_is_next(void **s)
{
  struct chunk_enc *e = chunk_enc_new();
  struct log_end end;
  struct chunk c;

  (void)s;
  log_end_init(&end, 1, epoch, 100, 0, 0);
  c = chunk_of(e, 100, 10);
  assert_int_equal(log_end_take(&end, &c, NULL), ERR_BUSY); /* nothing is allowed yet */
  assert_int_equal(log_end_grant(&end, 1), 100 + LOG_WINDOW_FIRST);
  c.off = 99;
  assert_int_equal(log_end_take(&end, &c, NULL), ERR_EXISTS);
  c.off = 101;
  assert_int_equal(log_end_take(&end, &c, NULL), ERR_NOTFOUND);
  c.off = 100;
  c.crc ^= 1;
  assert_int_equal(log_end_take(&end, &c, NULL), ERR_CORRUPT);
  c.crc ^= 1;
  assert_int_equal(log_end_take(&end, &c, NULL), ERR_OK);
  assert_int_equal(end.length, 110);
  assert_int_equal(end.committed, 100);
  assert_int_equal(log_end_take(&end, &c, NULL), ERR_EXISTS);
  log_end_free(&end);
  chunk_enc_free(e);
}

/* However many commands share a link, each may send the largest chunk there is: less, and it would never send again. */
static void test_a_chunk_always_fits(void **s)
{
  struct chunk_enc *e = chunk_enc_new();
  struct log_end end;
  struct chunk c = chunk_of(e, 0, CHUNK_RAW_MAX);

  (void)s;
  for (int active = 1; active <= 100000; active *= 10) {
    log_end_init(&end, 1, epoch, 0, 0, 0);
    assert_true(log_end_grant(&end, active) >= CHUNK_RAW_MAX);
    assert_int_equal(log_end_take(&end, &c, NULL), ERR_OK);
    log_end_free(&end);
  }
  chunk_enc_free(e);
}

static void test_window_grows_to_its_share(void **s)
{
  struct log_end end;

  (void)s;
  log_end_init(&end, 1, epoch, 0, 0, 0);
  for (int i = 0; i < 20; i++)
    log_end_grow(&end);
  assert_int_equal(log_end_grant(&end, 1), LOG_WINDOW_MAX);
  assert_int_equal(log_end_grant(&end, 16), LOG_WINDOW_LINK / 16);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_takes_what_is_next), cmocka_unit_test(test_a_chunk_always_fits), cmocka_unit_test(test_window_grows_to_its_share) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
