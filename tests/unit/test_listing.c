/* What a worker answers to `list`: what is taken, and every way in which it is none. */
#include "master/steps/listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TAIL "type=file\0size=5\0mode=644\0mtime=200\0"
#define LONG64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG256 LONG64 LONG64 LONG64 LONG64

static void taken(void **state)
{
  static const char answer[] = "name=a b\xff\n\0type=file\0size=9223372036854775807\0mode=4755\0mtime=0\0name=...\0type=link\0size=0\0mode=0\0mtime=7\0";
  struct listing_entry e;
  size_t at = 0;

  (void)state;
  assert_int_equal(listing_next(answer, sizeof answer - 1, &at, &e), ERR_OK);
  assert_string_equal(e.name, "a b\xff\n");
  assert_int_equal(e.type, LISTING_FILE);
  assert_int_equal(e.size, INT64_MAX);
  assert_int_equal(e.mode, 04755);
  assert_int_equal(listing_next(answer, sizeof answer - 1, &at, &e), ERR_OK);
  assert_string_equal(e.name, "...");
  assert_int_equal(e.type, LISTING_LINK);
  assert_int_equal(e.mtime, 7);
  assert_int_equal(listing_next(answer, sizeof answer - 1, &at, &e), ERR_NOTFOUND);
  at = 0;
  assert_int_equal(listing_next("", 0, &at, &e), ERR_NOTFOUND);
}

static void refused(void **state)
{
#define CASE(s) { s, sizeof s - 1 }
  static const struct { const char *p; size_t n; } cases[] = {
    CASE("name=\0" TAIL), CASE("name=.\0" TAIL), CASE("name=..\0" TAIL), CASE("name=a/b\0" TAIL), CASE("name=/\0" TAIL), CASE("name=" LONG256 "\0" TAIL),
    CASE("name=a\0type=socket\0size=5\0mode=644\0mtime=200\0"), CASE("name=a\0type=\0size=5\0mode=644\0mtime=200\0"),
    CASE("name=a\0type=file\0size=-5\0mode=644\0mtime=200\0"), CASE("name=a\0type=file\0size=9223372036854775808\0mode=644\0mtime=200\0"),
    CASE("name=a\0type=file\0size=5\0mode=8\0mtime=200\0"), CASE("name=a\0type=file\0size=5\0mode=\0mtime=200\0"), CASE("name=a\0type=file\0size=5\0mode=07777\0mtime=200\0"),
    CASE("name=a\0type=file\0size=5\0mode=644\0mtime=x\0"), CASE("name=a\0type=file\0size=5\0mode=644\0"), CASE("name=a\0size=5\0type=file\0mode=644\0mtime=200\0"),
    CASE("name=a\0type=file\0size=5\0mode=644\0mtime=200"), CASE("name"), CASE("\0"), CASE("x=y\0" "name=a\0" TAIL),
  };
  struct listing_entry e;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t at = 0;
    if (listing_next(cases[i].p, cases[i].n, &at, &e) != ERR_SYNTAX)
      fail_msg("case %zu is taken: %s", i, cases[i].p);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(taken), cmocka_unit_test(refused) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
