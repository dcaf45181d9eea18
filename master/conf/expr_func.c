/* The functions of expressions: one table, from which calls are checked and the manual is printed. */
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/expr_int.h"
#include "master/conf/pattern.h"

static struct expr_value text_value(const char *s, size_t n)
{
  return (struct expr_value){ .type = EXPR_TEXT, .text = { s, n } };
}

static struct expr_value yes_value(bool yes)
{
  return (struct expr_value){ .type = EXPR_BOOL, .yes = yes };
}

/* NUL-ended; NULL (and told) where there is a NUL in it or it is too long. */
static const char *plain(const struct expr_value *v, size_t most, int at, struct expr_memory *m, struct expr_error *e)
{
  char *s;

  if (v->text.len > most || memchr(v->text.s, 0, v->text.len)) {
    expr_fail(e, at, NULL, v->text.len > most ? "a text of %zu bytes is too long here: at most %zu" : "a text with a NUL in it can't be used here", v->text.len, most);
    return NULL;
  }
  s = expr_take(m, v->text.len + 1);
  memcpy(s, v->text.s, v->text.len);
  s[v->text.len] = 0;
  return s;
}

static bool in_result_limit(size_t n, int at, struct expr_error *e)
{
  if (n > EXPR_RESULT_MAX)
    expr_fail(e, at, NULL, "the text is longer than %u bytes", EXPR_RESULT_MAX);
  return n <= EXPR_RESULT_MAX;
}

/* ---- texts ---- */

static bool call_starts(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  (void)n, (void)at, (void)m, (void)e;
  *out = yes_value(arg[0].text.len >= arg[1].text.len && !memcmp(arg[0].text.s, arg[1].text.s, arg[1].text.len));
  return true;
}

static bool call_ends(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  size_t have = arg[0].text.len, want = arg[1].text.len;

  (void)n, (void)at, (void)m, (void)e;
  *out = yes_value(have >= want && !memcmp(arg[0].text.s + have - want, arg[1].text.s, want));
  return true;
}

static bool change_case(const struct expr_value *arg, char from, char to, struct expr_memory *m, struct expr_value *out)
{
  char *s = expr_take(m, arg[0].text.len + 1);

  for (size_t i = 0; i < arg[0].text.len; i++) {
    char c = arg[0].text.s[i];
    s[i] = c >= from && c <= from + 25 ? (char)(c - from + to) : c;
  }
  s[arg[0].text.len] = 0;
  *out = text_value(s, arg[0].text.len);
  return true;
}

static bool call_lower(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  (void)n, (void)at, (void)e;
  return change_case(arg, 'A', 'a', m, out);
}

static bool call_upper(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  (void)n, (void)at, (void)e;
  return change_case(arg, 'a', 'A', m, out);
}

static bool call_text(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  struct buf b;
  char *s;

  (void)n;
  buf_init(&b, EXPR_RESULT_MAX + 1);
  expr_show(&arg[0], &b);
  s = expr_take(m, b.len + 1);
  memcpy(s, buf_str(&b), b.len + 1);
  *out = text_value(s, b.len);
  buf_free(&b);
  return in_result_limit(b.failed ? EXPR_RESULT_MAX + 1 : out->text.len, at, e);
}

static bool call_number(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  bool minus;

  (void)n, (void)m;
  *out = arg[0];
  if (arg[0].type == EXPR_NUMBER)
    return true;
  out->type = EXPR_NUMBER;
  if (arg[0].type == EXPR_BOOL) {
    out->number = arg[0].yes;
    return true;
  }
  minus = arg[0].type == EXPR_TEXT && arg[0].text.len > 1 && arg[0].text.s[0] == '-';
  if (arg[0].type == EXPR_TEXT && !str_number(arg[0].text.s + minus, arg[0].text.len - minus, &out->number)) {
    out->number = minus ? -out->number : out->number;
    return true;
  }
  expr_fail(e, at, "decimal digits, with a minus before them or not", "this is no number");
  return false;
}

/* The leading number of each part of a dotted version, so that 1.10 is above 1.9: compared as one number a part of at most 6 digits. */
static bool call_version(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  enum { PARTS = 3, PART_MAX = 999999 };
  size_t i = 0;

  (void)n, (void)m;
  *out = (struct expr_value){ .type = EXPR_NUMBER };
  if (arg[0].text.len && (arg[0].text.s[0] == 'v' || arg[0].text.s[0] == 'V'))
    i++;
  for (int part = 0; part < PARTS; part++) {
    int64_t v = 0;
    for (; i < arg[0].text.len && arg[0].text.s[i] >= '0' && arg[0].text.s[i] <= '9'; i++) {
      v = v * 10 + arg[0].text.s[i] - '0';
      if (v > PART_MAX) {
        expr_fail(e, at, NULL, "a part of a version is at most %d", PART_MAX);
        return false;
      }
    }
    out->number = out->number * (PART_MAX + 1) + v;
    while (i < arg[0].text.len && arg[0].text.s[i] != '.')
      i++;
    i += i < arg[0].text.len;
  }
  return true;
}

/* ---- patterns ---- */

/* One text, or whether any of a list fits. */
static bool each(const struct expr_value *v, int at, struct expr_memory *m, struct expr_error *e, bool (*fits)(const void *pattern, const char *s), const void *pattern, bool all, bool *out)
{
  struct expr_value one = *v;
  const struct expr_value *items = v->type == EXPR_LIST ? v->list.v : &one;
  int n = v->type == EXPR_LIST ? v->list.n : 1;

  *out = all && n > 0;
  for (int i = 0; i < n; i++) {
    const char *s;
    if (items[i].type != EXPR_TEXT) {
      expr_fail(e, at, NULL, "a pattern is for a text or a list of texts");
      return false;
    }
    s = plain(&items[i], EXPR_RESULT_MAX, at, m, e);
    if (!s)
      return false;
    if (fits(pattern, s) != all) {
      *out = !all;
      break;
    }
  }
  return true;
}

static bool fits_glob(const void *pattern, const char *s) { return str_glob(pattern, s); }
static bool fits_regex(const void *pattern, const char *s) { return !regexec(pattern, s, 0, NULL, 0); }

static bool globs(const struct expr_value *arg, bool all, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  const char *pattern = plain(&arg[1], PATTERN_MAX, at, m, e);

  out->type = EXPR_BOOL;
  return pattern && each(&arg[0], at, m, e, fits_glob, pattern, all, &out->yes);
}

static bool call_glob(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  (void)n;
  return globs(arg, false, at, m, out, e);
}

static bool call_all_glob(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  (void)n;
  return globs(arg, true, at, m, out, e);
}

static bool call_matches(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  const char *pattern = plain(&arg[1], PATTERN_MAX, at, m, e);
  char why[PATTERN_WHY_MAX];
  const char *help;
  regex_t re;
  bool ok;

  (void)n;
  if (!pattern)
    return false;
  if (!pattern_make(pattern, &re, why, &help)) {
    expr_fail(e, at, help, "%s", why);
    return false;
  }
  out->type = EXPR_BOOL;
  ok = each(&arg[0], at, m, e, fits_regex, &re, false, &out->yes);
  regfree(&re);
  return ok;
}

/* ---- lists and numbers ---- */

static bool call_len(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  (void)n, (void)m;
  if (arg[0].type != EXPR_TEXT && arg[0].type != EXPR_LIST) {
    expr_fail(e, at, NULL, "only a text or a list has a length, and this is %s", expr_type_name(arg[0].type));
    return false;
  }
  *out = (struct expr_value){ .type = EXPR_NUMBER, .number = arg[0].type == EXPR_TEXT ? (int64_t)arg[0].text.len : arg[0].list.n };
  return true;
}

static bool call_join(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  struct buf b;
  char *s;
  bool failed;

  (void)n;
  buf_init(&b, EXPR_RESULT_MAX + 1);
  for (int i = 0; i < arg[0].list.n; i++) {
    if (i)
      buf_add(&b, arg[1].text.s, arg[1].text.len);
    expr_show(&arg[0].list.v[i], &b);
  }
  failed = b.failed;
  s = expr_take(m, b.len + 1);
  memcpy(s, buf_str(&b), b.len + 1);
  *out = text_value(s, b.len);
  buf_free(&b);
  return in_result_limit(failed ? EXPR_RESULT_MAX + 1 : out->text.len, at, e);
}

static bool call_min(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  (void)n, (void)at, (void)m, (void)e;
  *out = arg[arg[1].number < arg[0].number];
  return true;
}

static bool call_max(const struct expr_value *arg, int n, int at, struct expr_memory *m, struct expr_value *out, struct expr_error *e)
{
  (void)n, (void)at, (void)m, (void)e;
  *out = arg[arg[1].number > arg[0].number];
  return true;
}

/* ---- the table ---- */

#define T EXPR_TEXT
const struct expr_function expr_function_table[] = {
  { "starts", "starts(text, beginning)", "whether the text begins so", EXPR_BOOL, 2, 2, { T, T }, false, call_starts },
  { "ends", "ends(text, end)", "whether the text ends so", EXPR_BOOL, 2, 2, { T, T }, false, call_ends },
  { "glob", "glob(text or list, pattern)", "whether the text, or any of the list, fits: * but not over /, ** over /, ?", EXPR_BOOL, 2, 2, { EXPR_ANY, T }, false, call_glob },
  { "all_glob", "all_glob(list, pattern)", "whether each of the list fits, and there is one", EXPR_BOOL, 2, 2, { EXPR_ANY, T }, false, call_all_glob },
  { "matches", "matches(text or list, regex)", "whether the text, or any of the list, has a match of the extended regular expression (without \\ and {)", EXPR_BOOL, 2, 2, { EXPR_ANY, T }, false, call_matches },
  { "lower", "lower(text)", "A to Z made small", EXPR_TEXT, 1, 1, { T }, false, call_lower },
  { "upper", "upper(text)", "a to z made large", EXPR_TEXT, 1, 1, { T }, false, call_upper },
  { "text", "text(value)", "the value as a text; none is an empty one", EXPR_TEXT, 1, 1, { EXPR_ANY }, true, call_text },
  { "number", "number(value)", "the number that the text shows", EXPR_NUMBER, 1, 1, { EXPR_ANY }, false, call_number },
  { "version", "version(text)", "a number that orders dotted versions by up to three parts: version(\"1.10\") > version(\"1.9\")", EXPR_NUMBER, 1, 1, { T }, false, call_version },
  { "len", "len(text or list)", "bytes of the text, items of the list", EXPR_NUMBER, 1, 1, { EXPR_ANY }, false, call_len },
  { "join", "join(list, between)", "the items end to end", EXPR_TEXT, 2, 2, { EXPR_LIST, T }, false, call_join },
  { "min", "min(a, b)", "the smaller number", EXPR_NUMBER, 2, 2, { EXPR_NUMBER, EXPR_NUMBER }, false, call_min },
  { "max", "max(a, b)", "the larger number", EXPR_NUMBER, 2, 2, { EXPR_NUMBER, EXPR_NUMBER }, false, call_max },
};
const int expr_function_count = COUNT(expr_function_table);

const struct expr_function *expr_function_find(const char *name, size_t len)
{
  for (int i = 0; i < expr_function_count; i++)
    if (strlen(expr_function_table[i].name) == len && !memcmp(expr_function_table[i].name, name, len))
      return &expr_function_table[i];
  return NULL;
}

bool expr_functions(size_t *at, struct expr_function_view *v)
{
  const struct expr_function *f;

  if (*at >= COUNT(expr_function_table))
    return false;
  f = &expr_function_table[(*at)++];
  *v = (struct expr_function_view){ f->name, f->usage, f->doc };
  return true;
}
