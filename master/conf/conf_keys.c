/* Settings as texts. */
#include "master/conf/conf_keys.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

static char *value_text(const struct yml_node *n, const char *fallback)
{
  struct buf text;

  if (!n || yml_is_null(n))
    return xstrdup(fallback);
  if (n->kind == YML_SCALAR)
    return xstrdup(n->text);
  buf_init(&text, YML_BYTES_MAX);
  yml_write(n, NULL, &text);
  return buf_take(&text);
}

/* path: NULL, or the map's own. */
static void take(struct conf_keys *k, const struct yml_node *map, const struct schema_view *v, const char *path)
{
  const struct yml_node *value = yml_get(map, v->key), *key = yml_get_key(map, v->key);
  char *text = value_text(value, v->fallback);

  if (!text)
    return;
  k->v = xrealloc(k->v, (size_t)(k->n + 1) * sizeof *k->v);
  k->v[k->n++] = (struct conf_key){ .name = path && *path ? xasprintf("%s.%s", path, v->key) : xstrdup(v->key), .text = text,
                                    .line = key ? key->line : 0, .column = key ? key->column : 0, .restart = v->restart };
}

/* Whether the table has keys below that place of the site: "listen", and "workers", as "workers.NAME". */
static bool has_keys_below(const char *key)
{
  struct schema_view v = { 0 };
  size_t at = 0, n = strlen(key);
  bool found = false;

  while (schema_keys(&at, &v))
    found |= v.site && str_starts(v.path, key) && (!v.path[n] || v.path[n] == '.');
  return found;
}

/* The part of the site that a path names, one level deep: "" or "listen"; what has names of people in it ("workers.NAME") is not one. */
static bool is_of_site(const struct schema_view *v)
{
  return v->group == SCHEMA_SITE || (*v->path && !strchr(v->path, '.') && schema_has(SCHEMA_SITE, v->path));
}

void conf_keys_site(struct conf_keys *k, const struct yml_node *top)
{
  struct schema_view v = { 0 };
  size_t at = 0;

  while (schema_keys(&at, &v)) {
    const struct yml_node *map = *v.path ? yml_get(top, v.path) : top, *value = yml_get(map, v.key);
    if (!is_of_site(&v))
      continue;
    if ((!value || value->kind == YML_MAP) && v.group == SCHEMA_SITE && has_keys_below(v.key))
      continue; /* its own keys tell */
    take(k, map, &v, v.path);
  }
}

void conf_keys_of(struct conf_keys *k, const struct yml_node *map, enum schema_group group)
{
  struct schema_view v = { 0 };
  size_t at = 0;

  while (schema_keys(&at, &v))
    if (v.group == group && !schema_has(SCHEMA_PIPELINE, v.key))
      take(k, map, &v, NULL);
}

void conf_keys_free(struct conf_keys *k)
{
  for (int i = 0; i < k->n; i++) {
    free(k->v[i].name);
    free(k->v[i].text);
  }
  free(k->v);
  *k = (struct conf_keys){ 0 };
}

static const struct conf_key *find(const struct conf_keys *k, const char *name)
{
  for (int i = 0; i < k->n; i++)
    if (!strcmp(k->v[i].name, name))
      return &k->v[i];
  return NULL;
}

const struct conf_key *conf_keys_next(const struct conf_keys *a, const struct conf_keys *b, int *at, const struct conf_key **now)
{
  while (*at < a->n + b->n) {
    int i = (*at)++;
    const struct conf_key *one = i < a->n ? &a->v[i] : &b->v[i - a->n];
    const struct conf_key *other = find(i < a->n ? b : a, one->name);
    if (other && (i >= a->n || !strcmp(one->text, other->text)))
      continue; /* equal, or told from the other side */
    if (now)
      *now = i < a->n ? other : one;
    return one;
  }
  return NULL;
}
