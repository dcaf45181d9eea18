/* The site's key: its file, and what it encrypts. */
#include "master/core/site_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], file[128];

static int setup(void **state)
{
  (void)state;
  strcpy(folder, "/tmp/test_site_key.XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(file, sizeof file, "%s/keys/site.key", folder);
  return 0;
}

static int teardown(void **state)
{
  char keys[96];

  (void)state;
  snprintf(keys, sizeof keys, "%s/keys", folder);
  unlink(file);
  rmdir(keys);
  rmdir(folder);
  return 0;
}

static enum err take(bool make, struct site_keys *k, const char *said)
{
  struct buf why;
  enum err e;

  buf_init(&why, BUF_NO_MAX);
  e = site_keys_read(folder, make, k, &why);
  if (said ? !strstr(buf_str(&why), said) : why.len != 0)
    fail_msg("said: %s", buf_str(&why));
  buf_free(&why);
  return e;
}

static void test_file(void **state)
{
  struct site_keys k, again;
  struct stat st;
  struct buf why;

  (void)state;
  buf_init(&why, BUF_NO_MAX);
  assert_int_equal(take(false, &k, "is not there"), ERR_NOTFOUND);
  assert_int_equal(take(true, &k, NULL), ERR_OK);
  assert_int_equal(k.n, 1);
  assert_int_equal(strlen(k.id[0]), SITE_KEY_ID_MAX - 1);
  assert_int_equal(stat(file, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_int_equal(take(true, &again, NULL), ERR_OK);
  assert_memory_equal(&k, &again, sizeof k);
  /* a rotation: both, the new one first; no third */
  assert_int_equal(site_keys_add(folder, &again, &why), ERR_OK);
  assert_int_equal(take(false, &again, NULL), ERR_OK);
  assert_int_equal(again.n, 2);
  assert_string_equal(again.id[1], k.id[0]);
  assert_memory_equal(again.key[1], k.key[0], SITE_KEY_BYTES);
  assert_string_not_equal(again.id[0], k.id[0]);
  assert_int_equal(site_keys_add(folder, &again, &why), ERR_BUSY);
  assert_int_equal(site_keys_trim(folder, &again, &why), ERR_OK);
  assert_int_equal(take(false, &k, NULL), ERR_OK);
  assert_int_equal(k.n, 1);
  assert_string_equal(k.id[0], again.id[0]);
  assert_int_equal(chmod(file, 0640), 0);
  assert_int_equal(take(true, &k, "is open to others, its mode is 0640"), ERR_DENIED);
  buf_free(&why);
}

static void test_not_a_key(void **state)
{
  static const char *const texts[] = { "", "\n", "0123", "zz23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                                       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\n" };
  struct site_keys k;

  (void)state;
  assert_int_equal(take(true, &k, NULL), ERR_OK);
  for (size_t i = 0; i < COUNT(texts); i++) {
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(texts[i], f);
    fclose(f);
    assert_int_equal(take(true, &k, "site.key"), ERR_SYNTAX); /* and it is not replaced */
  }
}

static void test_sealed(void **state)
{
  static const char value[] = "a value, and more";
  enum { N = sizeof value };
  unsigned char nonce[SITE_KEY_NONCE], other[SITE_KEY_NONCE], sealed[N + SITE_KEY_TAG], twice[N + SITE_KEY_TAG], back[N];
  struct site_keys k, two;
  struct buf why;

  (void)state;
  buf_init(&why, BUF_NO_MAX);
  assert_int_equal(take(true, &k, NULL), ERR_OK);
  site_key_seal(&k, "name", 7, value, N, nonce, sealed);
  assert_int_equal(site_key_open(&k, k.id[0], "name", 7, nonce, sealed, sizeof sealed, back), ERR_OK);
  assert_memory_equal(back, value, N);
  site_key_seal(&k, "name", 7, value, N, other, twice);
  assert_memory_not_equal(nonce, other, sizeof nonce);
  assert_memory_not_equal(sealed, twice, sizeof sealed);
  /* as what it isn't, and with every bit wrong */
  assert_int_equal(site_key_open(&k, k.id[0], "names", 7, nonce, sealed, sizeof sealed, back), ERR_CORRUPT);
  assert_int_equal(site_key_open(&k, k.id[0], "name", 8, nonce, sealed, sizeof sealed, back), ERR_CORRUPT);
  assert_int_equal(site_key_open(&k, k.id[0], "name", 7, other, sealed, sizeof sealed, back), ERR_CORRUPT);
  assert_int_equal(site_key_open(&k, k.id[0], "name", 7, nonce, sealed, SITE_KEY_TAG - 1, back), ERR_CORRUPT);
  for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
    sealed[bit / 8] ^= (unsigned char)(1u << bit % 8);
    assert_int_equal(site_key_open(&k, k.id[0], "name", 7, nonce, sealed, sizeof sealed, back), ERR_CORRUPT);
    for (size_t i = 0; i < N; i++)
      assert_int_equal(back[i], 0); /* nothing that was not confirmed is handed out */
    sealed[bit / 8] ^= (unsigned char)(1u << bit % 8);
  }
  /* an older key */
  two = k;
  assert_int_equal(site_keys_add(folder, &two, &why), ERR_OK);
  assert_int_equal(site_key_open(&two, k.id[0], "name", 7, nonce, sealed, sizeof sealed, back), ERR_OK);
  assert_int_equal(site_key_open(&two, two.id[0], "name", 7, nonce, sealed, sizeof sealed, back), ERR_CORRUPT);
  assert_int_equal(site_keys_trim(folder, &two, &why), ERR_OK);
  assert_int_equal(site_key_open(&two, k.id[0], "name", 7, nonce, sealed, sizeof sealed, back), ERR_NOTFOUND);
  buf_free(&why);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_file, setup, teardown), cmocka_unit_test_setup_teardown(test_not_a_key, setup, teardown), cmocka_unit_test_setup_teardown(test_sealed, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
