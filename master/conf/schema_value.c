/* What a value may be: in words, and whether a scalar is one. */
#include <string.h>

#include "common/net.h"
#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/conf/schema_int.h"

static const struct { uint64_t type; const char *wants; const char *help; } types[] = {
  { T_BOOL, "true or false", NULL },
  { T_INT, "a whole number", NULL },
  { T_DURATION, "a duration", "a number and ms, s, m, h or d: 90s, 30m, 1h" },
  { T_SIZE, "a size", "a whole number and K, M, G or T, or 0: 500M, 10G" },
  { T_ADDRESS, "HOST:PORT", "such as 127.0.0.1:7420, [::1]:7420 or *:7421" },
  { T_URL, "an http or https URL", NULL },
  { T_NETWORK, "an address or network", "such as 127.0.0.1, \"::1\" or 10.0.0.0/8; a network's address has no bits behind its length" },
  { T_NAME, "a name", "1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit" },
  { T_BUILDER, "a builder", "its name, or one combination of its matrix: linux, \"linux[gcc]\"" },
  { T_BRANCH, "a branch or pattern", "letters, digits and . _ + @ / -, with * and ? in patterns" },
  { T_PATH, "a folder below the checkout", "a relative path without .." },
  { T_TEXT, "a string", NULL },
  { T_SCALAR, "a text, a number, true or false", NULL },
  { T_SCRIPT, "a script", NULL },
  { T_STRINGS, "a list of strings", NULL },
  { T_ARGV, "a list of strings", NULL },
  { T_NAMED, "a map of names", NULL },
  { T_ENV, "a map of variables", NULL },
  { T_STEPS, "a list of steps", NULL },
  { T_FORMULA, "an expression", "such as branch == \"main\" ? 80 : 50" },
  { T_CONDITION, "a condition", "an expression such as branch == \"main\"" },
  { T_MATRIX, "a map of axes", NULL },
  { T_VALUES, "a map of parameters", NULL },
  { T_NEEDS, "a list of builders", NULL },
  { T_TAKES, "a map of secrets", "VARIABLE: NAME, or VARIABLE: {file: NAME}" },
  { T_LOCKS, "a map of locks", "NAME: 1, NAME: exclusive, or NAME: {take: 2, as: VARIABLE}" },
  { T_CHECKOUT, "a map or list of codebases", NULL },
  { T_INCLUDES, "a file, a map or a list of these", NULL },
  { T_LOGS, "a map of files", "NAME: PATH" },
  { T_EXITS, "a map of exit statuses", "such as {2: warnings, 77: skipped}" },
  { T_PTY, "COLSxROWS", "such as 80x24" },
  { T_INPUT, "a map or a list of strings and secrets", "{secret: NAME}, {open: true}, or such as [\"user=me password=\", {secret: NAME}]" },
  { T_MAP, "a map", NULL },
};

/* Lists of words are separated by one blank. */
static const char *next_word(const char *p)
{
  p += strcspn(p, " ");
  return *p ? p + 1 : p;
}

bool schema_has_word(const char *words, const char *word)
{
  size_t n = strlen(word);

  for (const char *p = words; p && *p; p = next_word(p))
    if (strcspn(p, " ") == n && !strncmp(p, word, n))
      return true;
  return false;
}

/* "a whole number from 1 to 64", `"all" or a list of strings`. */
char *schema_wants(const struct key *k)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (const char *p = k->types & T_WORD ? k->words : NULL; p && *p; p = next_word(p))
    buf_addf(&b, "%s\"%.*s\"", b.len ? " or " : "", (int)strcspn(p, " "), p);
  for (size_t i = 0; i < COUNT(types); i++) {
    if (!(k->types & types[i].type))
      continue;
    buf_addf(&b, "%s%s", b.len ? " or " : "", types[i].wants);
    if (types[i].type == T_INT)
      buf_addf(&b, " from %lld to %lld", (long long)k->min, (long long)k->max);
    if (types[i].type == T_DURATION) {
      char low[STR_DURATION_MAX], high[STR_DURATION_MAX];
      buf_addf(&b, " from %s to %s", str_duration_text(k->min, low), str_duration_text(k->max, high));
    }
    if (types[i].type == T_SIZE && k->max) {
      char low[STR_SIZE_MAX], high[STR_SIZE_MAX];
      buf_addf(&b, " from %s to %s", str_size_text(k->min, low), str_size_text(k->max, high));
    }
  }
  return buf_take(&b);
}

const char *schema_wants_help(const struct key *k)
{
  for (size_t i = 0; i < COUNT(types); i++)
    if (k->types & types[i].type && types[i].help)
      return types[i].help;
  return NULL;
}

bool schema_is_number(const char *text)
{
  return *text && !text[strspn(text, "-0123456789")];
}

static bool is_int(const char *s, int64_t min, int64_t max, int64_t *v)
{
  return !str_number(s, strlen(s), v) && *v >= min && *v <= max;
}

static bool is_duration(const char *s, int64_t min, int64_t max, int64_t *v)
{
  return !str_duration(s, v) && *v >= min && *v <= max;
}

bool schema_only(const char *s, const char *extra)
{
  for (; *s; s++)
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
          strchr(extra, *s)))
      return false;
  return true;
}

/* HOST:PORT, *:PORT, [IPV6]:PORT */
static bool is_address(const char *s)
{
  const char *colon = strrchr(s, ':');
  char host[256];
  int64_t port;
  size_t n;

  if (!colon || colon == s || (size_t)(colon - s) >= sizeof host ||
      !is_int(colon + 1, 0, 65535, &port))
    return false;
  n = (size_t)(colon - s);
  memcpy(host, s, n);
  host[n] = 0;
  if (!strcmp(host, "*"))
    return true;
  if (host[0] == '[' && n > 3 && host[n - 1] == ']') {
    host[n - 1] = 0;
    return schema_only(host + 1, ":.%");
  }
  return host[0] != '-' && schema_only(host, ".-");
}

bool schema_is_path(const char *s)
{
  if (!*s || *s == '/')
    return false;
  for (const char *p = s; *p; p += strcspn(p, "/"), p += *p == '/')
    if (strcspn(p, "/") == 2 && p[0] == '.' && p[1] == '.')
      return false;
  return true;
}

static bool is_branch(const char *s)
{
  return *s && *s != '-' && *s != '/' && strlen(s) <= 255 && schema_only(s, "._/+@*?-") &&
         !strstr(s, "//") && !strstr(s, "..");
}

static bool is_url(const char *s)
{
  const char *rest = str_starts(s, "https://") ? s + 8 : str_starts(s, "http://") ? s + 7 : "";
  return *rest && *rest != '/' && schema_only(rest, "-._~:/?[]@!$&'()*+,;=%");
}

/* BUILDER, and where abroad PROJECT/BUILDER too. */
static bool is_builder(const char *s, bool abroad)
{
  const char *slash = abroad ? strchr(s, '/') : NULL;

  if (slash && !str_is_name(s, (size_t)(slash - s)))
    return false;
  s = slash ? slash + 1 : s;
  return pipeline_is_builder(s, strlen(s));
}

static bool is_scalar_of(unsigned type, const struct key *k, const struct yml_node *n)
{
  struct net net;
  int64_t v;

  switch (type) {
  case T_TEXT: return n->text[0] != 0 || k->empty;
  case T_SCRIPT: return n->text[0] != 0;
  case T_SCALAR: return true;
  case T_BUILDER: return is_builder(n->text, k->abroad);
  case T_NAME: return str_is_name(n->text, strlen(n->text));
  case T_BOOL: return n->plain && (!strcmp(n->text, "true") || !strcmp(n->text, "false"));
  case T_INT: return n->plain && is_int(n->text, k->min, k->max, &v);
  case T_DURATION: return is_duration(n->text, k->min, k->max, &v);
  case T_SIZE: return !str_size(n->text, &v) && (!k->max || (v >= k->min && v <= k->max));
  case T_ADDRESS: return is_address(n->text);
  case T_PATH: return schema_is_path(n->text);
  case T_BRANCH: return is_branch(n->text);
  case T_URL: return is_url(n->text);
  case T_NETWORK: return !net_parse(n->text, &net);
  case T_WORD: return schema_has_word(k->words, n->text);
  default: return false;
  }
}

static bool pty_side(const char *s, size_t n, int *out)
{
  int64_t v;

  if (str_number(s, n, &v) || v < 1 || v > SCHEMA_PTY_SIDE_MAX)
    return false;
  *out = (int)v;
  return true;
}

bool schema_pty(const char *s, int *cols, int *rows)
{
  const char *x = strchr(s, 'x');

  return x && pty_side(s, (size_t)(x - s), cols) && pty_side(x + 1, strlen(x + 1), rows);
}

bool schema_fits(uint64_t mask, const struct key *k, const struct yml_node *n)
{
  int cols, rows;

  if (mask & T_PTY && schema_pty(n->text, &cols, &rows))
    return true;
  for (unsigned bit = 1; bit <= T_WORD; bit <<= 1)
    if ((mask & bit) && is_scalar_of(bit, k, n))
      return true;
  return false;
}

char *schema_shown(const struct yml_node *n)
{
  enum { SHOWN_MAX = 60 };

  if (n->kind != YML_SCALAR)
    return xasprintf("%s %s", n->n ? "a" : "an empty", n->kind == YML_MAP ? "map" : "list");
  if (yml_is_null(n))
    return xstrdup(n->text[0] ? n->text : "nothing");
  if (strlen(n->text) > SHOWN_MAX)
    return xasprintf("\"%.*s…\"", SHOWN_MAX, n->text);
  return xasprintf("\"%s\"", n->text);
}
