/* Arbitrary forms and text, cut anywhere: what comes out is what a naive replacer makes of it, and never a byte more is held than the longest form has. The first bytes say how: the number
   of forms, then for each its length, then the forms, then the text; each piece is as long as the byte at hand says. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "worker/mask.h"

enum { FORMS_MAX = 8, FORM_MAX = 24 };

static void cover(unsigned char *hit, const char *text, size_t n, const char *form, size_t len)
{
  for (size_t i = 0; i + len <= n; i++)
    if (!memcmp(text + i, form, len))
      memset(hit + i, 1, len);
}

static void naive(const unsigned char *hit, const char *text, size_t n, struct buf *out)
{
  for (size_t i = 0; i < n; i++)
    if (!hit[i])
      buf_addc(out, text[i]);
    else if (!i || !hit[i - 1])
      buf_adds(out, MASK_TEXT);
}

struct cover {
  unsigned char *hit;
  const char *text;
  size_t n;
};

static void cover_form(void *arg, const char *p, size_t n)
{
  struct cover *c = arg;
  cover(c->hit, c->text, c->n, p, n);
}

static void check(struct mask *m, const unsigned char *hit, const char *text, size_t n)
{
  struct mask_stream s;
  struct buf want, got;

  mask_ready(m);
  mask_stream_init(&s, m);
  buf_init(&want, BUF_NO_MAX);
  buf_init(&got, BUF_NO_MAX);
  naive(hit, text, n, &want);
  for (size_t at = 0, len; at < n; at += len) {
    char *exact;
    len = (unsigned char)text[at] % 16 + 1;
    len = len < n - at ? len : n - at;
    exact = xmemdup(text + at, len);
    mask_feed(m, &s, exact, len, &got);
    free(exact);
    must(s.held <= mask_longest(m));
  }
  mask_flush(&s, &got);
  must(got.len == want.len && !memcmp(buf_str(&got), buf_str(&want), got.len));
  mask_stream_free(&s);
  mask_free(m);
  buf_free(&want);
  buf_free(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  struct mask *m = mask_new();
  unsigned char *hit;
  const char *form[FORMS_MAX], *text;
  size_t len[FORMS_MAX], forms = n ? *p % (FORMS_MAX + 1) : 0, at = 1;
  bool whole = n && *p & 0x80; /* the first is a secret, in all its forms */

  if (n < 1 + forms) {
    mask_free(m);
    return 0;
  }
  for (size_t i = 0; i < forms; i++)
    len[i] = MASK_LEAST + p[at++] % FORM_MAX;
  for (size_t i = 0; i < forms; i++) {
    if (len[i] > n - at)
      len[i] = n - at;
    form[i] = (const char *)p + at;
    at += len[i];
  }
  text = (const char *)p + at;
  n -= at;
  hit = xcalloc(1, n + 1);
  for (size_t i = 0; i < forms; i++) {
    struct cover c = { hit, text, n };
    if (whole && !i) {
      if (mask_add_secret(m, form[i], len[i]))
        mask_forms(form[i], len[i], cover_form, &c);
    } else if (mask_add(m, form[i], len[i])) {
      cover(hit, text, n, form[i], len[i]);
    }
  }
  check(m, hit, text, n);
  free(hit);
  return 0;
}
