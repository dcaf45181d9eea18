/* The parameters of a scheduler with `force`, from the tree. */
#include "master/conf/pipe_int.h"

#include <string.h>

#include "common/str.h"
#include "master/conf/pattern.h"

static void check_match(struct maker *m, struct param *p, const struct yml_node *n)
{
  char why[PATTERN_WHY_MAX];
  const char *help;
  regex_t re;

  if (!n || n->kind != YML_SCALAR || yml_is_null(n))
    return;
  if (p->type != PARAM_STRING && p->type != PARAM_TEXT) {
    yml_error(m->d, n, "it is for strings and texts", "\"match\" makes no sense for type %s", param_type_name(p->type));
  } else if (strlen(n->text) > PATTERN_MAX) {
    yml_error(m->d, n, NULL, "a regular expression of more than %d bytes", PATTERN_MAX);
  } else if (!pattern_make_perl(n->text, &re, why, &help)) {
    yml_error(m->d, n, help, "%s", why);
  } else {
    regfree(&re);
    p->match = n->text;
  }
}

static void check_choices(struct maker *m, struct param *p, const struct yml_node *key, const struct yml_node *n)
{
  if (p->type != PARAM_CHOICE && n)
    yml_error(m->d, n, "it is for type choice", "\"choices\" makes no sense for type %s", param_type_name(p->type));
  else if (p->type == PARAM_CHOICE && (!n || (n->kind == YML_LIST && !n->n)))
    yml_error(m->d, key, "choices: [debug, release]", "\"%s\" is a choice without \"choices\"", p->name);
  else if (n && n->kind == YML_LIST && n->n > PARAM_CHOICES_MAX)
    yml_error(m->d, n, NULL, "more than %d choices", PARAM_CHOICES_MAX);
  else
    p->choices = pipe_strings(m->w, n, &p->nchoices);
}

static void check_default(struct maker *m, struct param *p, const struct yml_node *n)
{
  struct buf json, why;

  if (!n || n->kind != YML_SCALAR || yml_is_null(n))
    return;
  buf_init(&json, BUF_NO_MAX);
  buf_init(&why, BUF_NO_MAX);
  if (!param_read(p, n->text, &json, &why))
    yml_error(m->d, n, NULL, "the default: %s", buf_str(&why));
  p->fallback = n->text;
  buf_free(&json);
  buf_free(&why);
}

void pipe_make_params(struct maker *m, struct pipe_scheduler *s, const struct yml_node *named)
{
  if (!named || named->kind != YML_MAP || !named->n)
    return;
  if (named->n > PARAMS_MAX) {
    yml_error(m->d, named, NULL, "more than %d parameters", PARAMS_MAX);
    return;
  }
  s->params = pipe_take(m->w, (size_t)named->n, sizeof *s->params);
  s->nparams = named->n;
  for (int i = 0; i < named->n; i++) {
    struct param *p = &s->params[i];
    const struct yml_node *n = named->items[i];
    const char *type = schema_text(n, SCHEMA_FORCE_PARAMETER, "type");
    p->name = named->keys[i]->text;
    for (int t = 0; t < PARAM_TYPES; t++)
      if (!strcmp(param_type_name((enum param_type)t), type))
        p->type = (enum param_type)t;
    check_match(m, p, yml_get(n, "match"));
    check_choices(m, p, named->keys[i], yml_get(n, "choices"));
    check_default(m, p, yml_get(n, "default"));
  }
}
