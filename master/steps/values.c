/* Names to values: the build's own from a table, properties from their JSON. */
#include "master/steps/values.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "master/conf/expr_json.h"
#include "proto/records.h"

static struct expr_value of_text(const char *s)
{
  return (struct expr_value){ .type = EXPR_TEXT, .text = { s, strlen(s) } };
}

static struct expr_value of_number(int64_t n)
{
  return (struct expr_value){ .type = EXPR_NUMBER, .number = n };
}

cJSON *step_properties(const struct build_ctx *c)
{
  cJSON *json = cJSON_Parse(c->properties ? c->properties : "{}"), *reported = c->reported ? cJSON_Parse(c->reported) : NULL, *it;

  if (!cJSON_IsObject(json)) { /* members of anything else have no names */
    cJSON_Delete(json);
    json = cJSON_CreateObject();
  }
  while ((it = reported ? cJSON_DetachItemFromArray(reported, 0) : NULL)) {
    char *name = it->string;
    it->string = NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(json, name);
    cJSON_AddItemToObject(json, name, it);
    cJSON_free(name);
  }
  cJSON_Delete(reported);
  return json;
}

cJSON *step_property(const struct build_ctx *c, const char *name)
{
  cJSON *json = step_properties(c), *it = cJSON_DetachItemFromObjectCaseSensitive(json, name);

  cJSON_Delete(json);
  return it;
}

static bool property(const struct build_ctx *c, const char *name, struct expr_memory *m, struct expr_value *out)
{
  cJSON *it = step_property(c, name);
  bool found = expr_of_json(it, m, out);

  cJSON_Delete(it);
  return found;
}

/* needs.core.version */
static bool needed(const struct build_ctx *c, const char *builder, const char *name, struct expr_memory *m, struct expr_value *out)
{
  cJSON *json = cJSON_Parse(c->needed ? c->needed : "{}");
  bool found = expr_of_json(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, builder), name), m, out);

  cJSON_Delete(json);
  return found;
}

static const char *units_of(const struct build_ctx *c, const char *lock)
{
  for (int i = 0; i < c->nheld; i++)
    if (!strcmp(c->held[i].lock, lock))
      return c->held[i].units;
  return NULL;
}

/* The text lives as long as the lock is held, and so as what is made of it. */
static bool units(const struct build_ctx *c, const char *lock, struct expr_value *out)
{
  const char *s = units_of(c, lock);

  *out = of_text(s ? s : "");
  return s && *s;
}

static void put_units(const struct build_ctx *c, struct intent *out, const struct pipe_lock *v, int n)
{
  for (int i = 0; i < n; i++) {
    const char *s = v[i].as ? units_of(c, v[i].name) : NULL;
    if (s)
      records_putf(&out->spec, "env", "%s=%s", v[i].as, s);
  }
}

/* stamps.core.revision */
static bool stamp(const struct build_ctx *c, const char *codebase, const char *name, struct expr_value *out)
{
  const struct build_stamp *t = build_stamp_of(c, codebase);
  const char *text = !t ? "" : !strcmp(name, "revision") ? t->got ? t->got : t->revision : !strcmp(name, "branch") ? t->branch : !strcmp(name, "repository") ? t->repository : !strcmp(name, "derived") && t->derived ? t->derived : "";

  *out = of_text(text);
  return *text;
}

bool step_value(void *ctx, struct expr_memory *m, const char *const *path, int n, struct expr_value *out)
{
  const struct build_ctx *c = ctx;
  const struct { const char *name, *text; } texts[] = {
    { "project", c->project }, { "builder", c->builder }, { "branch", c->branch }, { "tag", c->tag }, { "repository", c->repository },
    { "revision", c->got_revision ? c->got_revision : c->revision }, { "result", result_text((int)c->so_far) },
  };

  if (n == 2 && !strcmp(path[0], "properties"))
    return property(c, path[1], m, out);
  if (n == 2 && !strcmp(path[0], "locks"))
    return units(c, path[1], out);
  if (n == 3 && !strcmp(path[0], "needs"))
    return needed(c, path[1], path[2], m, out);
  if (n == 3 && !strcmp(path[0], "stamps"))
    return stamp(c, path[1], path[2], out);
  if (n != 1)
    return false;
  if (!strcmp(path[0], "number"))
    return *out = of_number(c->number), true;
  if (!strcmp(path[0], "pull_request"))
    return *out = of_number(c->pull_request), c->pull_request > 0;
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
  put_units(s->ctx, out, s->ctx->locks, s->ctx->nlocks);
  put_units(s->ctx, out, s->def->locks, s->def->nlocks);
  return true;
}

bool step_put_proxies(const struct step *s, struct intent *out)
{
  static const char *const proxies[] = { "http_proxy", "https_proxy", "all_proxy", "no_proxy" };

  for (int i = 0; i < s->def->nenv; i++)
    for (size_t k = 0; k < COUNT(proxies); k++)
      if (!strcasecmp(s->def->env[i].name, proxies[k]) && !step_put_text(s->ctx, out, "env", s->def->env[i].name, s->def->env[i].value, s->def->env[i].text))
        return false;
  return true;
}
