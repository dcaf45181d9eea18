/* What the end of a step means: flags, exit statuses, tries, warnings. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pattern.h"
#include "master/conf/pipe_int.h"

enum { EXIT_CODES = 256 };

/* In the order of enum result (steps/step.h); what is not here no exit status can mean. */
static const char *const results[] = { "success", "warnings", "failure", "skipped", "exception", "retry" };

static enum pipe_effect effect_of(const char *word, enum pipe_effect usual)
{
  static const struct { const char *word; enum pipe_effect effect; } words[] = { { "fail", PIPE_FAILS }, { "warn", PIPE_WARNS }, { "ignore", PIPE_IGNORED } };

  for (size_t i = 0; i < COUNT(words); i++)
    if (!strcmp(words[i].word, word))
      return words[i].effect == usual ? PIPE_AS_IT_IS : words[i].effect;
  return PIPE_AS_IT_IS;
}

static int result_of(const char *word)
{
  for (size_t i = 0; i < COUNT(results); i++)
    if (!strcmp(results[i], word))
      return (int)i;
  return -1;
}

/* A map of exit statuses has few: each is looked for in the list. */
static void take_exits(struct maker *m, struct pipe_step *s, const struct yml_node *map)
{
  if (!map || map->kind != YML_MAP)
    return;
  if (!map->n)
    yml_error(m->d, map, "such as {2: warnings, 77: skipped}", "\"exit\" is empty");
  s->exits = pipe_take(m->w, (size_t)map->n, sizeof *s->exits);
  for (int i = 0; i < map->n; i++) {
    const struct yml_node *key = map->keys[i], *value = map->items[i];
    int result = value->kind == YML_SCALAR && !yml_is_null(value) ? result_of(value->text) : -1;
    int64_t code;
    if (str_number(key->text, strlen(key->text), &code) || code >= EXIT_CODES) {
      yml_error(m->d, key, NULL, "\"%.40s\" is no exit status: they are 0 to %d", key->text, EXIT_CODES - 1);
    } else if (result < 0) {
      char *got = schema_shown(value);
      yml_error(m->d, value, NULL, "an exit status means success, warnings, failure, skipped, exception or retry, got %s", got);
      free(got);
    } else {
      s->exits[s->nexits++] = (struct pipe_exit){ (int)code, result };
    }
  }
}

static void take_codes(struct maker *m, struct pipe_retry *r, const struct yml_node *n)
{
  int count;
  char **v = pipe_strings(m->w, n, &count);

  r->codes = pipe_take(m->w, (size_t)count + 1, sizeof *r->codes);
  for (int i = 0; i < count; i++) {
    int64_t code;
    if (!str_number(v[i], strlen(v[i]), &code) && code < EXIT_CODES)
      r->codes[r->ncodes++] = (int)code;
  }
  if (n && n->kind == YML_LIST && !n->n)
    yml_error(m->d, n, "leave it out to try again after any failure", "\"exit\" is empty");
}

static void take_retry(struct maker *m, struct pipe_step *s, const struct yml_node *step)
{
  const struct yml_node *n = yml_get(step, "retry");

  if (n && n->kind == YML_SCALAR) {
    s->retry.times = (int)schema_int(step, SCHEMA_STEP, "retry");
  } else if (n) {
    s->retry.times = (int)schema_int(n, SCHEMA_RETRY, "times");
    s->retry.wait_ms = schema_ms(n, SCHEMA_RETRY, "wait");
    take_codes(m, &s->retry, yml_get(n, "exit"));
  }
}

/* What compilers say: lines with this in them. */
static const struct { const char *word, *text; } known_warnings[] = { { "gcc", ": warning: " } };

static void take_warnings(struct maker *m, struct pipe_step *s, const struct yml_node *step)
{
  const struct yml_node *n = yml_get(step, "warnings"), *match = n && n->kind == YML_MAP ? yml_get(n, "match") : n;
  char why[PATTERN_WHY_MAX];
  const char *help;
  regex_t re;

  s->warnings_limit = n && n->kind == YML_MAP && yml_get(n, "limit") ? schema_int(n, SCHEMA_WARNINGS, "limit") : -1;
  if (!match || match->kind != YML_SCALAR || yml_is_null(match))
    return; /* the check has told what is wrong */
  s->warnings = match->text;
  for (size_t i = 0; i < COUNT(known_warnings); i++)
    if (str_eq(known_warnings[i].word, match->text)) {
      s->warnings = known_warnings[i].text;
      s->warnings_text = true;
      return;
    }
  if (strlen(match->text) > PATTERN_MAX)
    yml_error(m->d, match, NULL, "a regular expression of more than %d bytes", PATTERN_MAX);
  else if (!pattern_make_perl(match->text, &re, why, &help))
    yml_error(m->d, match, help, "%s", why);
  else
    regfree(&re);
}

static void take_hide(struct maker *m, struct pipe_step *s, const struct yml_node *n, const struct expr_name *names)
{
  if (!n || n->kind != YML_SCALAR)
    return;
  s->hide = pipe_condition(&m->w->exprs, names, n, m->d);
  s->hide_text = n->text;
}

void pipe_inherit_lost(struct inherit *h, const struct yml_node *map, enum schema_group group, enum pipe_origin of)
{
  const struct yml_node *n = yml_get(map, "on_lost");

  if (!n)
    return;
  h->lost_from = (struct pipe_source){ of, n };
  if (n->kind == YML_MAP)
    h->on_lost = 1 + (int)schema_int(n, SCHEMA_ON_LOST, "retry");
  else
    h->on_lost = str_eq(schema_text(map, group, "on_lost"), "ask") ? PIPE_LOST_ASK : PIPE_LOST_FAIL;
}

void pipe_take_results(struct maker *m, struct pipe_step *s, const struct yml_node *n, const struct expr_name *names)
{
  if (n->kind != YML_MAP)
    return;
  s->always = schema_bool(n, SCHEMA_STEP, "always");
  s->on_failure = effect_of(schema_text(n, SCHEMA_STEP, "on_failure"), PIPE_FAILS);
  s->on_warnings = effect_of(schema_text(n, SCHEMA_STEP, "on_warnings"), PIPE_WARNS);
  s->goes_on = yml_get(n, "halt") ? !schema_bool(n, SCHEMA_STEP, "halt") : s->on_failure != PIPE_AS_IT_IS;
  take_exits(m, s, yml_get(n, "exit"));
  take_retry(m, s, n);
  take_warnings(m, s, n);
  take_hide(m, s, yml_get(n, "hide_if"), names);
}
