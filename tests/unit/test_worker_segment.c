/* A log after a crash: it is cut to the records that are good, on the disk too, so that no reader meets what is behind them. */
#include "worker/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "tests/lib/spoolfix.h"

enum { RECORDS = 3, RAW = 900 };

static char raw[RECORDS][RAW];
static struct spool sp = { .cmd = "1-7" };
static off_t end_of[RECORDS]; /* of each record in the file */

static off_t file_size(void)
{
  struct stat st;
  char name[SPOOL_NAME_MAX];

  assert_int_equal(fstatat(sp.dir, spool_name(&sp, "log.0", name), &st, 0), 0);
  return st.st_size;
}

/* A log of three records. */
static int begin(void **s)
{
  struct chunk_enc *enc = chunk_enc_new();
  struct segment_writer w;
  struct chunk c;

  (void)s;
  spoolfix_open(&sp);
  segment_writer_init(&w, &sp);
  for (int i = 0; i < RECORDS; i++) {
    str_random(raw[i], RAW);
    assert_int_equal(chunk_enc_add(enc, 0, i, raw[i], RAW), RAW);
    chunk_enc_close(enc, &c);
    assert_int_equal(segment_append(&w, &c), ERR_OK);
    end_of[i] = file_size();
  }
  close(w.fd);
  free(w.marks);
  buf_free(&w.record);
  chunk_enc_free(enc);
  return 0;
}

static int end(void **s)
{
  (void)s;
  return spoolfix_close(&sp);
}

/* One byte of the file becomes another. */
static void harm(off_t at)
{
  int fd = spool_open(&sp, "log.0", O_RDWR | O_CLOEXEC);
  char c;

  assert_true(fd >= 0 && pread(fd, &c, 1, at) == 1);
  c ^= 0x11;
  assert_int_equal(pwrite(fd, &c, 1, at), 1);
  close(fd);
}

/* How many raw bytes whoever reads the log gets. */
static int64_t read_log(void)
{
  struct segment_reader r;
  struct buf b;
  int64_t lo;
  bool turned;

  segment_reader_init(&r);
  buf_init(&b, BUF_NO_MAX);
  assert_int_equal(segment_seek(&sp, &r, 0, &lo), ERR_OK);
  while (!segment_read(&sp, &r, INT64_MAX, 1, &b, &turned))
    buf_reset(&b);
  segment_reader_close(&r);
  buf_free(&b);
  return r.off;
}

static void mend(bool deep, int64_t records, bool complete)
{
  struct segment_writer w;
  bool is_complete;

  assert_int_equal(segment_mend(&sp, deep, &w, &is_complete), ERR_OK);
  assert_int_equal(w.off, records * RAW);
  assert_int_equal(w.crc, chunk_crc(0, raw, (size_t)w.off));
  assert_int_equal(w.lines, chunk_count_lf(raw, (size_t)w.off));
  assert_int_equal(is_complete, complete);
  buf_free(&w.record);
}

static void test_whole(void **s)
{
  (void)s;
  mend(false, RECORDS, true);
  mend(true, RECORDS, true);
  assert_int_equal(file_size(), end_of[RECORDS - 1]);
}

/* Found by fuzz_spool: what was wrong and all behind it was not counted, but left in the file, and the agent sent it. */
static void test_damaged_in_the_middle(void **s)
{
  (void)s;
  harm(end_of[0] + (end_of[1] - end_of[0]) / 2); /* in the bytes of the second */
  mend(true, 1, false);
  assert_int_equal(file_size(), end_of[0]);
  assert_int_equal(read_log(), RAW);
  mend(true, 1, true);
}

/* Found by fuzz_spool: a record whose line names another command was counted, and no reader took it. */
static void test_of_another(void **s)
{
  (void)s;
  harm(end_of[0] + (off_t)strlen("out 1-"));
  mend(false, 1, false);
  assert_int_equal(read_log(), RAW);
}

static void test_torn(void **s)
{
  int fd;

  (void)s;
  fd = spool_open(&sp, "log.0", O_RDWR | O_CLOEXEC);
  assert_int_equal(ftruncate(fd, end_of[2] - 1), 0);
  close(fd);
  mend(false, 2, false);
  assert_int_equal(file_size(), end_of[1]);
  assert_int_equal(read_log(), 2 * RAW);
}

static void test_nothing_is_good(void **s)
{
  (void)s;
  harm(0);
  mend(false, 0, false);
  assert_int_equal(file_size(), 0);
  assert_int_equal(read_log(), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_whole, begin, end),
    cmocka_unit_test_setup_teardown(test_damaged_in_the_middle, begin, end),
    cmocka_unit_test_setup_teardown(test_of_another, begin, end),
    cmocka_unit_test_setup_teardown(test_torn, begin, end),
    cmocka_unit_test_setup_teardown(test_nothing_is_good, begin, end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
