/* From what somebody wrote to a typed value. */
#include "master/conf/params.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"
#include "master/conf/pattern.h"

enum { SHOWN_MAX = 60, DIGITS_MAX = 15 }; /* digits: what a double keeps */

static const char *const types[PARAM_TYPES] = { [PARAM_STRING] = "string", [PARAM_TEXT] = "text", [PARAM_INTEGER] = "integer", [PARAM_NUMBER] = "number",
                                                [PARAM_BOOLEAN] = "boolean", [PARAM_CHOICE] = "choice" };

const char *param_type_name(enum param_type t)
{
  return types[t];
}

static void add_string(struct buf *json, const char *s)
{
  buf_addc(json, '"');
  for (; *s; s++) {
    if (*s == '"' || *s == '\\')
      buf_addf(json, "\\%c", *s);
    else if ((unsigned char)*s < 0x20)
      buf_addf(json, "\\u%04x", (unsigned)(unsigned char)*s);
    else
      buf_addc(json, *s);
  }
  buf_addc(json, '"');
}

/* -12, and with a fraction -12.5: as JSON has them, which a leading zero is not. */
static bool is_number(const char *s, bool fraction)
{
  size_t whole, part = 0;

  s += *s == '-';
  whole = strspn(s, "0123456789");
  if (!whole || (*s == '0' && whole > 1))
    return false;
  s += whole;
  if (fraction && *s == '.' && s[1]) {
    part = strspn(++s, "0123456789");
    s += part;
  }
  return !*s && whole + part <= DIGITS_MAX;
}

static bool fits(const struct param *p, const char *text)
{
  char why[PATTERN_WHY_MAX];
  const char *help;
  regex_t re;
  bool yes;

  if (!p->match)
    return true;
  if (!pattern_make_perl(p->match, &re, why, &help))
    return false; /* it was good when the pipeline was read */
  yes = !regexec(&re, text, 0, NULL, 0);
  regfree(&re);
  return yes;
}

static bool read_string(const struct param *p, const char *text, struct buf *why)
{
  size_t most = p->match ? PARAM_MATCHED_MAX : p->type == PARAM_TEXT ? PARAM_TEXT_MAX : PARAM_STRING_MAX, n = strlen(text);
  bool lines = false;

  for (const char *s = text; *s; s++)
    lines |= (unsigned char)*s < 0x20 || *s == 0x7f;
  if (n > most)
    buf_addf(why, "parameter \"%s\" has at most %zu bytes, and these are %zu", p->name, most, n);
  else if (p->type == PARAM_STRING && lines)
    buf_addf(why, "parameter \"%s\" is one line of text; one of type text may have several", p->name);
  else if (!fits(p, text))
    buf_addf(why, "parameter \"%s\" must match %s, and \"%.*s\" does not", p->name, p->match, SHOWN_MAX, text);
  return !why->len;
}

static void choices(const struct param *p, const char *text, struct buf *why)
{
  for (int i = 0; i < p->nchoices; i++)
    if (!strcmp(p->choices[i], text))
      return;
  buf_addf(why, "parameter \"%s\" is one of ", p->name);
  for (int i = 0; i < p->nchoices; i++)
    buf_addf(why, "%s%.*s", !i ? "" : i + 1 < p->nchoices ? ", " : " and ", SHOWN_MAX, p->choices[i]);
  buf_addf(why, ", not \"%.*s\"", SHOWN_MAX, text);
}

bool param_read(const struct param *p, const char *text, struct buf *json, struct buf *why)
{
  bool bare = false;

  buf_reset(why);
  switch (p->type) {
  case PARAM_STRING:
  case PARAM_TEXT:
    (void)read_string(p, text, why);
    break;
  case PARAM_INTEGER:
  case PARAM_NUMBER:
    bare = true;
    if (!is_number(text, p->type == PARAM_NUMBER))
      buf_addf(why, "parameter \"%s\" is %s of at most %d digits, not \"%.*s\"", p->name, p->type == PARAM_INTEGER ? "a whole number" : "a number", DIGITS_MAX, SHOWN_MAX, text);
    break;
  case PARAM_BOOLEAN:
    bare = true;
    if (strcmp(text, "true") && strcmp(text, "false"))
      buf_addf(why, "parameter \"%s\" is true or false, not \"%.*s\"", p->name, SHOWN_MAX, text);
    break;
  case PARAM_CHOICE:
    choices(p, text, why);
    break;
  case PARAM_TYPES:
    break;
  }
  if (why->len)
    return false;
  if (bare)
    buf_adds(json, text);
  else
    add_string(json, text);
  return true;
}

/* ---- all of them ---- */

/* What came in, as the text that somebody would have typed; NULL: it is of no such kind. */
static char *text_of(const cJSON *it)
{
  if (cJSON_IsString(it))
    return xstrdup(it->valuestring);
  if (cJSON_IsBool(it))
    return xstrdup(cJSON_IsTrue(it) ? "true" : "false");
  return cJSON_IsNumber(it) ? xasprintf("%.15g", it->valuedouble) : NULL;
}

/* The names that there are, for whoever gave another one. */
static char *names_of(const struct param *v, int n)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < n; i++)
    buf_addf(&b, "%s%s", i ? ", " : "it has ", v[i].name);
  return buf_take(&b);
}

static bool is_named(const struct param *v, int n, const char *name)
{
  for (int i = 0; i < n; i++)
    if (!strcmp(v[i].name, name))
      return true;
  return false;
}

bool params_read(const struct param *v, int n, const char *whose, const cJSON *given, struct buf *json, struct buf *why, char **help)
{
  const cJSON *it;

  *help = NULL;
  cJSON_ArrayForEach(it, given)
    if (!why->len && !n) {
      buf_addf(why, "%s takes no parameters", whose);
    } else if (!why->len && !is_named(v, n, it->string)) {
      buf_addf(why, "%s has no parameter \"%.60s\"", whose, it->string);
      *help = names_of(v, n);
    }
  buf_addc(json, '{');
  for (int i = 0; i < n && !why->len; i++) {
    const struct param *p = &v[i];
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(given, p->name);
    char *text = value ? text_of(value) : p->fallback ? xstrdup(p->fallback) : NULL;
    buf_addf(json, "%s\"%s\":", i ? "," : "", p->name);
    if (text && param_read(p, text, json, why)) {
      free(text);
      continue;
    }
    if (!text) {
      buf_addf(why, value ? "parameter \"%s\" is neither a text nor a number nor true or false" : "parameter \"%s\" must be given", p->name);
      *help = value ? NULL : xasprintf("-p %s=VALUE; it is of type %s", p->name, param_type_name(p->type));
    }
    free(text);
  }
  buf_addc(json, '}');
  return !why->len;
}
