/* From text to words: numbers, texts in quotes, names, signs. */
#include "master/conf/expr_words.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

int expr_stop(struct parser *p, int at, const char *help, const char *what)
{
  if (!p->failed)
    expr_fail(p->e, at, help, "%s", what);
  p->failed = true;
  p->word = W_BAD;
  return 0;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const struct {
  const char *name;
  int64_t factor;
} units[] = { { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { "T", INT64_C(1) << 40 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };

static void read_number(struct parser *p)
{
  int from = p->pos, unit;
  int64_t factor = 1;

  while (p->pos < p->len && is_digit(p->text[p->pos]))
    p->pos++;
  if (str_number(p->text + from, (size_t)(p->pos - from), &p->number)) {
    expr_stop(p, from, "a number has no leading zeros and at most 63 bits", "this is no number");
    return;
  }
  unit = p->pos;
  while (p->pos < p->len && (is_letter(p->text[p->pos]) || is_digit(p->text[p->pos])))
    p->pos++;
  for (size_t i = 0; unit < p->pos && i < COUNT(units); i++)
    if (strlen(units[i].name) == (size_t)(p->pos - unit) && !memcmp(units[i].name, p->text + unit, (size_t)(p->pos - unit)))
      factor = units[i].factor, unit = p->pos;
  if (unit < p->pos)
    expr_stop(p, unit, "bytes: K M G T; times: ms s m h d", "this is no unit");
  else if (__builtin_mul_overflow(p->number, factor, &p->number))
    expr_stop(p, from, NULL, "this number is too large");
  else
    p->word = W_NUMBER;
}

/* In either quotes; \n \t \\ \" \' within. */
static void read_text(struct parser *p)
{
  static const char from[] = "nt\\\"'", to[] = "\n\t\\\"'";
  char quote = p->text[p->pos++], *out = expr_take(p->x->m, (size_t)(p->len - p->pos) + 1);
  size_t n = 0;

  for (; p->pos < p->len && p->text[p->pos] != quote; p->pos++) {
    const char *escape;
    char c = p->text[p->pos];
    if (c == '\\') {
      escape = ++p->pos < p->len && p->text[p->pos] ? strchr(from, p->text[p->pos]) : NULL;
      if (!escape) {
        expr_stop(p, p->pos - 1, "there are \\n \\t \\\\ \\\" \\'", "this is no escape");
        return;
      }
      c = to[escape - from];
    }
    out[n++] = c;
  }
  if (p->pos == p->len) {
    expr_stop(p, p->at, NULL, "the text that begins here has no end");
    return;
  }
  out[n] = 0;
  p->pos++;
  p->word = W_TEXT;
  p->string = out;
  p->string_len = n;
}

void expr_next(struct parser *p)
{
  static const char *const two[] = { "==", "!=", "<=", ">=", "??" };
  const char *s;

  if (p->failed)
    return;
  while (p->pos < p->len && strchr(" \t\r\n", p->text[p->pos]) && p->text[p->pos])
    p->pos++;
  p->at = p->pos;
  s = p->text + p->pos;
  if (p->pos == p->len) {
    p->word = W_END;
  } else if (is_digit(*s)) {
    read_number(p);
  } else if (*s == '"' || *s == '\'') {
    read_text(p);
  } else if (is_letter(*s)) {
    while (p->pos < p->len && (is_letter(p->text[p->pos]) || is_digit(p->text[p->pos])))
      p->pos++;
    p->word = W_NAME;
  } else if (*s && strchr("=!<>?+-*/%()[],.:", *s)) {
    p->word = W_SIGN;
    p->pos++;
    for (size_t i = 0; p->pos < p->len && i < COUNT(two); i++)
      if (!memcmp(s, two[i], 2))
        p->pos = p->at + 2;
  } else {
    expr_stop(p, p->at, *s == '&' || *s == '|' ? "write `and`, `or`, `not`" : NULL, "this makes no sense here");
  }
  p->end = p->pos;
}

bool expr_is(const struct parser *p, const char *word)
{
  return (p->word == W_SIGN || p->word == W_NAME) && strlen(word) == (size_t)(p->end - p->at) && !memcmp(p->text + p->at, word, strlen(word));
}

bool expr_take_word(struct parser *p, const char *word)
{
  if (!expr_is(p, word))
    return false;
  expr_next(p);
  return true;
}

void expr_want(struct parser *p, const char *sign, const char *what)
{
  if (!expr_take_word(p, sign))
    expr_stop(p, p->at, NULL, what);
}
