/* Masking: forms, generated texts against a naive replacer with the input cut anywhere, what is held, and how fast it is. */
#include "worker/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { FORMS_MAX = 4096, TEXT_MAX = 400, ROUNDS = 4000, SPEED_BYTES = 64 << 20, SPEED_LEAST = 100 /* MB/s, without sanitizers */ };

struct forms {
  char *p[FORMS_MAX];
  size_t n[FORMS_MAX];
  int count;
};

static void keep(void *arg, const char *p, size_t n)
{
  struct forms *f = arg;

  assert_true(f->count < FORMS_MAX);
  f->p[f->count] = xmemdup(p, n);
  f->n[f->count++] = n;
}

static void drop(struct forms *f)
{
  while (f->count)
    free(f->p[--f->count]);
}

/* As it is defined, and as slow as that. */
static void naive(const struct forms *f, const char *text, size_t n, struct buf *out)
{
  char *hit = xcalloc(1, n + 1);

  for (int k = 0; k < f->count; k++)
    for (size_t i = 0; i + f->n[k] <= n; i++)
      if (!memcmp(text + i, f->p[k], f->n[k]))
        memset(hit + i, 1, f->n[k]);
  for (size_t i = 0; i < n; i++)
    if (!hit[i])
      buf_addc(out, text[i]);
    else if (!i || !hit[i - 1])
      buf_adds(out, MASK_TEXT);
  free(hit);
}

static struct mask *made(const struct forms *f)
{
  struct mask *m = mask_new();

  for (int i = 0; i < f->count; i++)
    assert_true(mask_add(m, f->p[i], f->n[i]));
  mask_ready(m);
  return m;
}

/* In pieces of `piece` bytes; 0: of random lengths. */
static void run(const struct mask *m, const char *text, size_t n, size_t piece, struct buf *out)
{
  struct mask_stream s;

  mask_stream_init(&s, m);
  for (size_t at = 0, len; at < n; at += len) {
    char *exact;
    len = piece ? piece : 1 + (size_t)rand() % 40;
    len = len < n - at ? len : n - at;
    exact = xmemdup(text + at, len);
    mask_feed(m, &s, exact, len, out);
    free(exact);
    assert_true(s.held <= mask_longest(m));
  }
  mask_flush(&s, out);
  assert_int_equal(s.held, 0);
  mask_stream_free(&s);
}

static void check(const struct forms *f, const char *text, size_t n)
{
  struct mask *m = made(f);
  struct buf want, got;

  buf_init(&want, BUF_NO_MAX);
  naive(f, text, n, &want);
  for (size_t piece = 0; piece <= n && piece < 24; piece++) {
    buf_init(&got, BUF_NO_MAX);
    run(m, text, n, piece, &got);
    if (got.len != want.len || memcmp(buf_str(&got), buf_str(&want), got.len))
      fail_msg("in pieces of %zu: want %s, got %s, of %.*s", piece, buf_str(&want), buf_str(&got), (int)n, text);
    buf_free(&got);
  }
  buf_free(&want);
  mask_free(m);
}

static void test_small(void **state)
{
  static const struct { const char *secrets[4], *text, *want; } rows[] = {
    { { "hunter22" }, "password hunter22!", "password ***!" },
    { { "hunter22" }, "hunter2 hunter22hunter22 hunter2", "hunter2 *** hunter2" },
    { { "abcabcd" }, "abcabcabcd abcabc", "abc*** abcabc" },
    { { "abcdef", "defghi" }, "xabcdefghix", "x***x" },
    { { "abcdef", "abcdefghi" }, "abcdefgh abcdefghi", "***gh ***" },
    { { "aaaaaa" }, "aaaaaaaaaa aaaaa", "*** aaaaa" },
    { { "bcdefg", "abcdefgh" }, "abcdefgx", "a***x" },
    { { "secret" }, "", "" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct forms f = { .count = 0 };
    struct buf b;
    for (int k = 0; rows[i].secrets[k]; k++)
      keep(&f, rows[i].secrets[k], strlen(rows[i].secrets[k]));
    buf_init(&b, BUF_NO_MAX);
    naive(&f, rows[i].text, strlen(rows[i].text), &b);
    assert_string_equal(buf_str(&b), rows[i].want);
    check(&f, rows[i].text, strlen(rows[i].text));
    buf_free(&b);
    drop(&f);
  }
}

/* Few letters, so that forms begin in forms and end in others; texts of pieces of forms. */
static void test_generated(void **state)
{
  (void)state;
  srand(20);
  for (int round = 0; round < ROUNDS; round++) {
    struct forms f = { .count = 0 };
    char text[TEXT_MAX + 32], form[32];
    size_t n = 0;
    int letters = 1 + rand() % 3, count = 1 + rand() % 6;
    for (int k = 0; k < count; k++) {
      size_t len = MASK_LEAST + (size_t)rand() % 12;
      for (size_t i = 0; i < len; i++)
        form[i] = (char)('a' + rand() % letters);
      keep(&f, form, len);
    }
    while (n < TEXT_MAX && rand() % 40) {
      int k = rand() % f.count;
      size_t from = rand() % 2 ? 0 : (size_t)rand() % f.n[k], len = rand() % 2 ? f.n[k] - from : (size_t)rand() % (f.n[k] - from + 1);
      memcpy(text + n, f.p[k] + from, len);
      n += len;
      if (!(rand() % 3))
        text[n++] = (char)('a' + rand() % (letters + 1));
    }
    check(&f, text, n);
    drop(&f);
  }
}

static void masked(const struct mask *m, const char *text, const char *want)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  run(m, text, strlen(text), 1, &b);
  assert_string_equal(buf_str(&b), want);
  buf_free(&b);
}

/* What programs make of `p@ss /w"rd~1`. */
static void test_forms(void **state)
{
  static const char secret[] = "p@ss /w\"rd~1", key[] = "-----BEGIN KEY-----\nMIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu\nKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n-----END KEY-----\n";
  struct mask *m = mask_new();

  (void)state;
  assert_true(mask_add_secret(m, secret, strlen(secret)));
  assert_true(mask_add_secret(m, key, strlen(key)));
  mask_ready(m);
  masked(m, "x p@ss /w\"rd~1 y", "x *** y");
  masked(m, "7040737320 7040737320 2f77227264 70407373202f772272647e31.", "7040737320 7040737320 2f77227264 ***.");
  masked(m, "70407373202F772272647E31", "***");
  masked(m, "?a=p%40ss%20%2Fw%22rd~1&b", "?a=***&b");
  masked(m, "?a=p%40ss%20%2fw%22rd~1&b", "?a=***&b");
  masked(m, "?a=p%40ss+%2Fw%22rd%7E1&b", "?a=p%40ss+%2Fw%22rd%7E1&b"); /* nobody is to encode a tilde (RFC 3986, 2.3) */
  masked(m, "?a=p%40ss%20/w%22rd~1&b", "?a=***&b");
  masked(m, "?a=p%40ss+%2Fw%22rd~1&b", "?a=***&b");
  masked(m, "{\"a\": \"p@ss /w\\\"rd~1\"}", "{\"a\": \"***\"}");
  masked(m, "cEBzcyAvdyJyZH4x", "***");                  /* alone */
  masked(m, "dTpwQHNzIC93InJkfjE=", "dTp***=");       /* u:… */
  masked(m, "dXM6cEBzcyAvdyJyZH4x", "dXM6***");      /* us:… */
  masked(m, "dTpwQHNzIC93InJkfjEK", "dTp***K");       /* u:…, a line feed */
  masked(m, "MIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu", "***");
  masked(m, "a KUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n", "a ***\n");
  masked(m, "-----BEGIN KEY-----\nMIIB", "***\nMIIB");
  masked(m, "LS0tLS1CRUdJTiBLRVktLS0tLQpNSUlCT2dJQkFBSkJBS2ozNEdreEZoRDkwdmNOTFlMSW5GRVg2\n", "***\n"); /* base64's first line */
  assert_false(mask_add_secret(m, "12345\n\n", 7));
  mask_free(m);
}

/* Held is what may become a form, no more; after a flush the rest of a form is masked still. */
static void test_held(void **state)
{
  struct mask *m = mask_new();
  struct mask_stream s;
  struct buf b;

  (void)state;
  assert_true(mask_add(m, "secret", 6));
  assert_true(mask_add(m, "creditor", 8));
  mask_ready(m);
  mask_stream_init(&s, m);
  buf_init(&b, BUF_NO_MAX);
  mask_feed(m, &s, "a secre", 7, &b);
  assert_string_equal(buf_str(&b), "a ");
  assert_int_equal(s.held, 5);
  mask_feed(m, &s, "d", 1, &b);
  assert_string_equal(buf_str(&b), "a se");
  assert_int_equal(s.held, 4); /* cred */
  mask_feed(m, &s, "x", 1, &b);
  assert_string_equal(buf_str(&b), "a secredx");
  assert_int_equal(s.held, 0);
  mask_feed(m, &s, "secret", 6, &b);
  assert_string_equal(buf_str(&b), "a secredx***");
  assert_int_equal(s.held, 0);
  buf_reset(&b);
  mask_feed(m, &s, "-sec", 4, &b);
  mask_flush(&s, &b);
  assert_string_equal(buf_str(&b), "-sec");
  mask_feed(m, &s, "ret!", 4, &b);
  assert_string_equal(buf_str(&b), "-sec***!");
  mask_stream_free(&s);
  buf_free(&b);
  mask_free(m);
}

/* Two secrets as they are in life, a compiler's output. Told, and held against the aim where nothing slows it down. */
static void test_speed(void **state)
{
  static const char line[] = "cc -O2 -g -Wall -Wextra -DVERSION='\"1.2.3\"' -I/usr/include/libfoo -c src/parse_headers.c -o build/obj/parse_headers.o\n";
  static const char token[] = "ghp_16C7e42F292c6912E7710c838347Ae178B4a", key[] = "MIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu\nKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n";
  struct mask *m = mask_new();
  struct mask_stream s;
  struct timespec from, to;
  char *text = xcalloc(1, MASK_SLICE);
  struct buf b;
  double ms;

  (void)state;
  if (getenv("DROVER_COVER")) /* what counts its lines is slow */
    skip();
  for (size_t i = 0; i < MASK_SLICE; i++)
    text[i] = line[i % (sizeof line - 1)];
  assert_true(mask_add_secret(m, token, strlen(token)) && mask_add_secret(m, key, strlen(key)));
  mask_ready(m);
  mask_stream_init(&s, m);
  buf_init(&b, BUF_NO_MAX);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
  for (size_t n = 0; n < SPEED_BYTES; n += MASK_SLICE) {
    mask_feed(m, &s, text, MASK_SLICE, &b);
    buf_reset(&b);
  }
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
  ms = (double)(to.tv_sec - from.tv_sec) * 1000 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
  print_message("masking: %.0f MB/s\n", SPEED_BYTES / 1e3 / ms);
#ifndef __SANITIZE_ADDRESS__
  assert_true(SPEED_BYTES / 1e3 / ms >= SPEED_LEAST);
#endif
  mask_stream_free(&s);
  buf_free(&b);
  free(text);
  mask_free(m);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_small), cmocka_unit_test(test_generated), cmocka_unit_test(test_forms), cmocka_unit_test(test_held), cmocka_unit_test(test_speed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
