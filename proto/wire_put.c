/* The wire's verb table, its alphabet, and the writer of messages. */
#include "proto/wire.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORKER WIRE_WORKER
#define MASTER WIRE_MASTER
#define BOTH WIRE_BOTH
#define NO_BLOB (-1)

/* Words in a literal list ("cmd epoch state": 3), as a constant: 1 + its blanks, among the first 80 bytes. */
#define BLANK(s, i) ((i) < sizeof(s) && (s)[(i) < sizeof(s) ? (i) : 0] == ' ')
#define BLANKS4(s, i) (BLANK(s, i) + BLANK(s, (i) + 1) + BLANK(s, (i) + 2) + BLANK(s, (i) + 3))
#define BLANKS16(s, i) (BLANKS4(s, i) + BLANKS4(s, (i) + 4) + BLANKS4(s, (i) + 8) + BLANKS4(s, (i) + 12))
#define BLANKS80(s) (BLANKS16(s, 0) + BLANKS16(s, 16) + BLANKS16(s, 32) + BLANKS16(s, 48) + BLANKS16(s, 64))
#define WORDS(s) (sizeof(s) > 1 ? 1 + BLANKS80(s) : 0)

#define V(name, from, tokens, blob)                                            \
  _Static_assert(sizeof(#name) - 1 <= WIRE_VERB_MAX && sizeof(tokens) <= 80, #name);
#include "proto/verbs.def"
#undef V

const struct wire_verb wire_verbs[VERB_COUNT] = {
#define V(name, from, tokens, blob) { #name, from, WORDS(tokens), tokens, blob },
#include "proto/verbs.def"
#undef V
};

#define RUN(first, last) [first ... last] = true
static const bool token_byte[256] = {
  RUN('A', 'Z'), RUN('a', 'z'), RUN('0', '9'), ['.'] = true, ['_'] = true, [':'] = true,
  ['/'] = true,  ['+'] = true,  ['='] = true,  ['@'] = true, [','] = true, ['-'] = true,
};

bool wire_is_token(const char *s, size_t n)
{
  if (n < 1 || n > WIRE_TOKEN_MAX)
    return false;
  for (size_t i = 0; i < n; i++)
    if (!token_byte[(unsigned char)s[i]])
      return false;
  return true;
}

/* A line in the making: whole or not at all, so that a failure leaves no half message in the caller's buffer. */
struct line {
  char text[WIRE_LINE_MAX];
  size_t len;
};

static bool line_add(struct line *l, char before, const char *s, size_t n)
{
  if (n + 1 >= sizeof l->text - l->len) /* the LF must still fit */
    return false;
  l->text[l->len++] = before;
  memcpy(l->text + l->len, s, n);
  l->len += n;
  return true;
}

/* One argument as a token; last: nothing follows, so it must not look like the size of a blob. */
static bool line_token(struct line *l, char kind, va_list *ap, bool last)
{
  char text[STR_ID_MAX];
  const char *s = text;
  const struct id *id;
  int64_t n;

  switch (kind) {
  case 's':
    s = va_arg(*ap, const char *);
    break;
  case 'n':
    n = va_arg(*ap, int64_t);
    if (n < 0)
      return false;
    snprintf(text, sizeof text, "%" PRId64, n);
    break;
  case 'i':
    id = va_arg(*ap, const struct id *);
    if (id->inc < 0 || id->n < 0)
      return false;
    str_id_text(*id, text);
    break;
  case 'c':
    snprintf(text, sizeof text, "%08" PRIx32, va_arg(*ap, uint32_t));
    break;
  default:
    assert(!"a kind of token");
  }
  if (last && *s == '+')
    return false;
  return wire_is_token(s, strlen(s)) && line_add(l, ' ', s, strlen(s));
}

static bool line_make(struct line *l, enum verb v, const char *kinds, va_list *ap, bool has_blob, size_t n)
{
  const char *name = wire_verbs[v].name;
  char size[24];

  l->len = strlen(name);
  memcpy(l->text, name, l->len);
  for (; *kinds; kinds++)
    if (!line_token(l, *kinds, ap, !has_blob && !kinds[1]))
      return false;
  if (has_blob) {
    snprintf(size, sizeof size, "+%zu", n);
    if (!line_add(l, ' ', size, strlen(size)))
      return false;
  }
  l->text[l->len++] = '\n';
  return true;
}

static void put(struct buf *out, enum verb v, const void *blob, size_t n, bool has_blob, const char *kinds, va_list *ap)
{
  struct line l;

  assert((int)v >= 0 && v < VERB_COUNT && (int)strlen(kinds) == wire_verbs[v].tokens);
  assert(!has_blob || wire_verbs[v].blob_max >= 0);
  if (has_blob && n > (size_t)wire_verbs[v].blob_max) {
    out->failed = true;
    return;
  }
  if (!line_make(&l, v, kinds, ap, has_blob, n)) {
    out->failed = true;
    return;
  }
  if (!buf_reserve(out, l.len + (has_blob ? n + 1 : 0)))
    return;
  buf_add(out, l.text, l.len);
  if (has_blob) {
    buf_add(out, blob, n);
    buf_addc(out, '\n');
  }
}

void wire_put(struct buf *out, enum verb v, const char *kinds, ...)
{
  va_list ap;

  va_start(ap, kinds);
  put(out, v, NULL, 0, false, kinds, &ap);
  va_end(ap);
}

void wire_put_blob(struct buf *out, enum verb v, const void *blob, size_t n, const char *kinds, ...)
{
  va_list ap;

  va_start(ap, kinds);
  put(out, v, blob, n, true, kinds, &ap);
  va_end(ap);
}
