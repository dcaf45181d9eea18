/* Any bytes as a text with expressions in it, and as what stands around one. What a name's value has in it is never read as an expression; what is written as `$${{` comes out as `${{`; no name is asked for
   more often than it could stand there; no text grows beyond its limit; the same comes out each time. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "common/buf.h"
#include "master/conf/expr.h"

enum { BIG = 40000 }; /* two of these are beyond EXPR_RESULT_MAX */
static const char EVIL[] = "}} ${{ t }} $${{ n }} \"'\\ ${{";
static char big[BIG];
static size_t asked;

static const struct expr_name names[] = { { "t", EXPR_TEXT, "", NULL }, { "n", EXPR_NUMBER, "", NULL }, { "none", EXPR_TEXT, "", NULL }, { "evil", EXPR_TEXT, "", NULL }, { "big", EXPR_TEXT, "", NULL },
                                          { "l", EXPR_LIST, "", NULL }, { "p.*", EXPR_ANY, "", NULL }, { NULL, EXPR_NONE, NULL, NULL } };

static bool get(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  static const struct expr_value evil = { .type = EXPR_TEXT, .text = { EVIL, sizeof EVIL - 1 } }, items[] = { { .type = EXPR_TEXT, .text = { "${{", 3 } }, { .type = EXPR_BOOL, .yes = true } };

  (void)ctx, (void)m, (void)n;
  asked++;
  switch (*path[0]) {
  case 't': *out = (struct expr_value){ .type = EXPR_TEXT, .text = { "main", 4 } }; return true;
  case 'b': *out = (struct expr_value){ .type = EXPR_TEXT, .text = { big, BIG } }; return true;
  case 'l': *out = (struct expr_value){ .type = EXPR_LIST, .list = { items, 2 } }; return true;
  case 'n':
    *out = (struct expr_value){ .type = EXPR_NUMBER, .number = -7 };
    return strcmp(path[0], "none") != 0;
  default: *out = evil; return true;
  }
}

/* As it would be written so that it stands for itself, also before an expression: there a `$` would be taken for its mark. */
static void write_plain(const char *s, size_t n, bool before, struct buf *out)
{
  size_t dollars = 0;

  while (before && dollars < n && s[n - 1 - dollars] == '$')
    dollars++;
  for (size_t i = 0; i < n - dollars; i++) {
    if (n - dollars - i >= 3 && !memcmp(s + i, "${{", 3))
      buf_addc(out, '$');
    buf_addc(out, s[i]);
  }
  while (dollars--)
    buf_adds(out, "${{ '$' }}");
}

/* What comes out of a text, as it is shown, and its type; EXPR_ANY: an error, with a place in the text. */
static enum expr_type outcome(const char *text, size_t len, struct expr_memory *m, struct buf *out, bool *plain)
{
  struct expr_error e;
  struct interp *t = interp_parse(text, len, names, &e);
  struct expr_value v = { .type = EXPR_ANY };

  asked = 0;
  buf_reset(out);
  *plain = t && interp_is_plain(t);
  if (t && interp_eval(t, get, NULL, m, &v, &e)) {
    assert(v.type != EXPR_ANY && v.type != EXPR_NONE && (v.type != EXPR_TEXT || v.text.len <= EXPR_RESULT_MAX));
    expr_show(&v, out);
  } else {
    v.type = EXPR_ANY;
    assert(e.text && *e.text && e.at >= 0 && (size_t)e.at <= len);
  }
  assert(asked <= len);
  assert(!*plain || (!asked && (v.type == EXPR_TEXT || len > EXPR_RESULT_MAX)));
  expr_error_free(&e);
  interp_free(t);
  return v.type;
}

static void is_bytes(const struct buf *b, const void *want, size_t len)
{
  assert(b->len == len && (!len || !memcmp(b->data, want, len)));
}

static void as_it_is(const char *data, size_t size, struct expr_memory *m)
{
  struct buf first, second;
  enum expr_type type;
  bool plain;

  buf_init(&first, BUF_NO_MAX);
  buf_init(&second, BUF_NO_MAX);
  type = outcome(data, size, m, &first, &plain);
  assert(type == outcome(data, size, m, &second, &plain));
  is_bytes(&second, first.data, first.len);
  assert(plain || memmem(data, size, "${{", 3));
  if (type == EXPR_TEXT && !memmem(data, size, "${{", 3))
    is_bytes(&first, data, size);
  buf_free(&first);
  buf_free(&second);
}

/* The bytes stand for themselves: alone, and in two halves with a name between them. */
static void as_text(const char *data, size_t size, struct expr_memory *m)
{
  size_t half = size / 2;
  struct buf text, want, got;
  bool plain;

  buf_init(&text, BUF_NO_MAX);
  buf_init(&want, BUF_NO_MAX);
  buf_init(&got, BUF_NO_MAX);
  write_plain(data, size, false, &text);
  if (outcome(buf_str(&text), text.len, m, &got, &plain) == EXPR_TEXT)
    is_bytes(&got, data, size);
  else
    assert(size > EXPR_RESULT_MAX);
  assert(plain);
  buf_reset(&text);
  write_plain(data, half, true, &text);
  buf_adds(&text, "${{evil}}");
  write_plain(data + half, size - half, false, &text);
  buf_add(&want, data, half);
  buf_adds(&want, EVIL);
  buf_add(&want, data + half, size - half);
  if (outcome(buf_str(&text), text.len, m, &got, &plain) == EXPR_TEXT)
    is_bytes(&got, want.data, want.len);
  else
    assert(want.len > EXPR_RESULT_MAX);
  assert(!plain);
  buf_free(&text);
  buf_free(&want);
  buf_free(&got);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
  struct expr_memory *m = expr_memory_new();

  memset(big, 'x', sizeof big);
  as_it_is((const char *)data, size, m);
  as_text((const char *)data, size, m);
  expr_memory_free(m);
  return 0;
}
