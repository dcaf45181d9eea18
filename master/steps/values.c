/* Names to values: the build's own from a table, properties from their JSON. */
#include "master/steps/values.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "proto/records.h"

enum { DEPTH_MAX = 8 /* of lists in a property; the API takes fewer */, FRACTION_MAX = 32 };

static struct expr_value of_text(const char *s)
{
  return (struct expr_value){ .type = EXPR_TEXT, .text = { s, strlen(s) } };
}

static struct expr_value of_number(int64_t n)
{
  return (struct expr_value){ .type = EXPR_NUMBER, .number = n };
}

/* Copies into m: the JSON does not live as long. False: of a kind that expressions do not have. */
static bool of_json(const cJSON *it, struct expr_memory *m, int depth, struct expr_value *out)
{
  struct expr_value *items;
  const cJSON *k;
  char *s;
  int n = 0;

  if (cJSON_IsBool(it)) {
    *out = (struct expr_value){ .type = EXPR_BOOL, .yes = cJSON_IsTrue(it) };
  } else if (cJSON_IsNumber(it)) {
    if (!(it->valuedouble >= -9e15 && it->valuedouble <= 9e15))
      return false;
    if (it->valuedouble == (double)(int64_t)it->valuedouble) {
      *out = of_number((int64_t)it->valuedouble);
    } else { /* numbers of expressions are whole: a fraction (of a parameter) is its text */
      s = expr_take(m, FRACTION_MAX);
      snprintf(s, FRACTION_MAX, "%.15g", it->valuedouble);
      *out = of_text(s);
    }
  } else if (cJSON_IsString(it)) {
    s = expr_take(m, strlen(it->valuestring) + 1);
    *out = of_text(strcpy(s, it->valuestring));
  } else if (cJSON_IsArray(it) && depth < DEPTH_MAX) {
    items = expr_take(m, (size_t)(cJSON_GetArraySize(it) + 1) * sizeof *items);
    cJSON_ArrayForEach(k, it)
      if (!of_json(k, m, depth + 1, &items[n++]))
        return false;
    *out = (struct expr_value){ .type = EXPR_LIST, .list = { items, n } };
  } else {
    return false;
  }
  return true;
}

static bool property(const struct build_ctx *c, const char *name, struct expr_memory *m, struct expr_value *out)
{
  cJSON *json = cJSON_Parse(c->properties ? c->properties : "{}");
  const cJSON *it = cJSON_IsObject(json) ? cJSON_GetObjectItemCaseSensitive(json, name) : NULL;
  bool found = it && of_json(it, m, 0, out);

  cJSON_Delete(json);
  return found;
}

bool step_value(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  const struct build_ctx *c = ctx;
  const struct { const char *name, *text; } texts[] = {
    { "project", c->project }, { "builder", c->builder }, { "branch", c->branch }, { "repository", c->repository },
    { "revision", c->got_revision ? c->got_revision : c->revision }, { "result", result_text((int)c->so_far) },
  };

  if (n == 2 && !strcmp(path[0], "properties"))
    return property(c, path[1], m, out);
  if (n != 1)
    return false;
  if (!strcmp(path[0], "number"))
    return *out = of_number(c->number), true;
  if (!strcmp(path[0], "cores"))
    return *out = of_number(c->cores), true;
  for (size_t i = 0; i < COUNT(texts); i++)
    if (!strcmp(path[0], texts[i].name)) {
      *out = of_text(texts[i].text ? texts[i].text : "");
      return texts[i].text && *texts[i].text;
    }
  for (int r = 0; r < RESULT_COUNT; r++)
    if (!strcmp(path[0], result_text(r)))
      return *out = of_text(result_text(r)), true;
  return false;
}

bool step_put_text(const struct build_ctx *c, struct intent *out, const char *key, const char *name, const char *text, const struct interp *t)
{
  struct expr_memory *m;
  struct expr_value v;
  struct expr_error e;
  struct buf b;
  bool ok = true;

  buf_init(&b, BUF_NO_MAX);
  if (t) {
    m = expr_memory_new();
    ok = interp_eval(t, step_value, (void *)(uintptr_t)c, m, &v, &e);
    if (ok) {
      expr_show(&v, &b);
    } else {
      buf_free(&out->spec);
      out->want = WANT_END;
      out->result = RESULT_EXCEPTION;
      snprintf(out->summary, sizeof out->summary, "%s%s%.100s: %.200s", name ? name : "", name ? ": " : "", text, e.text);
    }
    expr_error_free(&e);
    expr_memory_free(m);
    text = buf_str(&b);
  }
  if (ok && name)
    records_putf(&out->spec, key, "%s=%s", name, text);
  else if (ok)
    records_put(&out->spec, key, text);
  buf_free(&b);
  return ok;
}

bool step_put_env(const struct step *s, struct intent *out)
{
  for (int i = 0; i < s->def->nenv; i++)
    if (!step_put_text(s->ctx, out, "env", s->def->env[i].name, s->def->env[i].value, s->def->env[i].text))
      return false;
  return true;
}
