/* The forms in which a secret gets into a log: as it is, and as programs write it. */
#include "worker/mask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct teller {
  void (*form)(void *arg, const char *p, size_t n);
  void *arg;
};

static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

static void tell(const struct teller *t, struct buf *b)
{
  if (b->len >= MASK_LEAST)
    t->form(t->arg, b->data, b->len);
  if (b->data)
    mem_wipe(b->data, b->len);
  buf_reset(b);
}

static void put_hex(const struct teller *t, const char *v, size_t n, const char *digits, struct buf *b)
{
  for (size_t i = 0; i < n; i++) {
    buf_addc(b, digits[(unsigned char)v[i] >> 4]);
    buf_addc(b, digits[(unsigned char)v[i] & 15]);
  }
  tell(t, b);
}

/* plain: characters beside the unreserved ones that stay as they are; plus: a blank is a plus. */
static void put_url(const struct teller *t, const char *v, size_t n, const char *plain, const char *digits, bool plus, struct buf *b)
{
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)v[i];
    if (c && (strchr(unreserved, c) || strchr(plain, c))) {
      buf_addc(b, (char)c);
    } else if (plus && c == ' ') {
      buf_addc(b, '+');
    } else {
      buf_addc(b, '%');
      buf_addc(b, digits[c >> 4]);
      buf_addc(b, digits[c & 15]);
    }
  }
  tell(t, b);
}

/* What encoders leave as it is differs: RFC 3986; encodeURIComponent; those that mean a path; forms. */
static void url_forms(const struct teller *t, const char *v, size_t n, struct buf *b)
{
  static const char *const plains[] = { "", "!'()*", "/", "!'()*/", "$&+,/:;=@" };
  static const char *const digits[] = { "0123456789ABCDEF", "0123456789abcdef" };

  for (size_t d = 0; d < COUNT(digits); d++) {
    for (size_t i = 0; i < COUNT(plains); i++)
      put_url(t, v, n, plains[i], digits[d], false, b);
    put_url(t, v, n, "*", digits[d], true, b);
    put_url(t, v, n, "", digits[d], true, b);
  }
}

/* The first bits of v from bit `skip` on, as base64 digits: whole sixes only, and where padded is set a last one that zeros fill. */
static void put_base64(const char *v, size_t n, size_t skip, bool padded, const char *last, struct buf *b)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

  for (size_t bit = skip; bit + 6 <= 8 * n || (padded && bit < 8 * n); bit += 6) {
    unsigned two = (unsigned)(unsigned char)v[bit / 8] << 8 | (bit / 8 + 1 < n ? (unsigned char)v[bit / 8 + 1] : 0);
    unsigned six = two >> (10 - bit % 8) & 63;
    buf_addc(b, six < 62 ? digits[six] : last[six - 62]);
  }
}

/* Up to three lots of digits, by where in a group of three bytes the secret begins: only those that it decides by itself. At the end of what is encoded zeros decide one more. */
static void base64_forms(const struct teller *t, const char *v, size_t n, struct buf *b)
{
  static const char *const last[] = { "+/", "-_" };
  static const size_t skip[] = { 0, 4, 2 }; /* bits that share a digit with 0, 1, 2 bytes before */

  for (size_t a = 0; a < COUNT(last); a++)
    for (size_t i = 0; i < COUNT(skip); i++)
      for (int padded = 0; padded < 2; padded++) {
        put_base64(v, n, skip[i], padded, last[a], b);
        tell(t, b);
      }
}

/* base64, openssl and others end a line after so many digits: then each line of the secret's own encoding is a form. */
static void base64_lines(const struct teller *t, const char *v, size_t n, struct buf *b)
{
  static const size_t widths[] = { 76, 64 };

  for (size_t w = 0; w < COUNT(widths); w++)
    for (size_t at = 0; at < n; at += widths[w] / 4 * 3) {
      size_t most = widths[w] / 4 * 3, len = n - at < most ? n - at : most;
      for (int padded = 0; padded < 2; padded++) {
        put_base64(v + at, len, 0, padded, "+/", b);
        tell(t, b);
      }
    }
}

static void json_form(const struct teller *t, const char *v, size_t n, struct buf *b)
{
  static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";

  for (size_t i = 0; i < n; i++) {
    const char *at = v[i] ? strchr(from, v[i]) : NULL;
    if (at)
      buf_addc(b, '\\');
    if (at)
      buf_addc(b, to[at - from]);
    else if ((unsigned char)v[i] < ' ')
      buf_addf(b, "\\u%04x", (unsigned char)v[i]);
    else
      buf_addc(b, v[i]);
  }
  tell(t, b);
}

static void line_forms(const struct teller *t, const char *v, size_t n, struct buf *b)
{
  for (size_t at = 0, len; at < n; at += len + 1) {
    const char *lf = memchr(v + at, '\n', n - at);
    len = lf ? (size_t)(lf - (v + at)) : n - at;
    buf_add(b, v + at, len && v[at + len - 1] == '\r' ? len - 1 : len);
    tell(t, b);
  }
}

void mask_forms(const char *value, size_t n, void (*form)(void *arg, const char *p, size_t n), void *arg)
{
  const struct teller t = { form, arg };
  struct buf b;

  while (n && value[n - 1] == '\n')
    n--;
  buf_init(&b, BUF_NO_MAX);
  if (!buf_reserve(&b, 6 * n + 8)) /* as much as a form can have: a buffer that grows would leave bytes behind */
    return;
  buf_add(&b, value, n);
  tell(&t, &b);
  line_forms(&t, value, n, &b);
  put_hex(&t, value, n, "0123456789abcdef", &b);
  put_hex(&t, value, n, "0123456789ABCDEF", &b);
  url_forms(&t, value, n, &b);
  base64_forms(&t, value, n, &b);
  base64_lines(&t, value, n, &b);
  json_form(&t, value, n, &b);
  buf_free(&b);
}
