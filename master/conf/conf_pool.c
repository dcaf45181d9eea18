/* Workers and pools from the site's files. */
#include "master/conf/conf_pool.h"

#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"
#include "master/conf/calendar.h"
#include "master/conf/conf.h"
#include "master/conf/conf_int.h"
#include "master/conf/conf_ssh.h"
#include "master/conf/pipe_expr.h"
#include "master/conf/schema.h"

/* NULL: none, or told. */
static char *calendar_of(const struct yml_node *n, struct diags *d)
{
  struct calendar c;
  struct buf why;
  int column;
  bool good;

  if (!n || n->kind != YML_SCALAR || yml_is_null(n) || !*n->text)
    return NULL;
  buf_init(&why, BUF_NO_MAX);
  good = !calendar_parse(n->text, &c, &why, &column);
  if (!good)
    pipe_tell(d, n, column - 1, "such as Mon-Fri 08:00-18:00 Europe/Berlin", buf_str(&why));
  buf_free(&why);
  return good ? xstrdup(n->text) : NULL;
}

void conf_worker_make(struct conf_worker *w, const char *name, const struct yml_node *map, enum schema_group group, struct diags *d)
{
  *w = (struct conf_worker){ .name = xstrdup(name), .slots = (int)schema_int(map, group, "slots"), .weight = (int)schema_int(map, group, "weight") };
  w->tags = conf_strings(yml_get(map, "tags"), &w->ntags);
  w->calendar = calendar_of(yml_get(map, "calendar"), d);
  conf_keys_of(&w->keys, map, group);
  w->keep_work_ms = yml_get(map, "keep_work") ? schema_ms(map, group, "keep_work") : CONF_UNSET;
  w->ssh = group == SCHEMA_WORKER ? conf_ssh_make(map, d) : NULL;
  w->min_free = yml_get(map, "min_free") ? schema_size(map, group, "min_free") : CONF_UNSET;
}

void conf_worker_free(struct conf_worker *w)
{
  conf_keys_free(&w->keys);
  free(w->name);
  mem_free_all(w->tags, w->ntags);
  free(w->calendar);
  conf_ssh_free(w->ssh);
}

void conf_pool_make(struct conf_pool *p, const struct yml_node *key, const struct yml_node *map, struct diags *d)
{
  const struct yml_node *max = yml_get(map, "max");

  *p = (struct conf_pool){ .max = max && !yml_is_null(max) ? (int)schema_int(map, SCHEMA_POOL, "max") : 0, .forget_ms = schema_ms(map, SCHEMA_POOL, "forget") };
  conf_worker_make(&p->is, key->text, map, SCHEMA_POOL, d);
  if (strlen(key->text) > CONF_POOL_NAME_MAX)
    yml_error(d, key, NULL, "a pool's name has at most %d bytes, since its members are called NAME-1 and so on", CONF_POOL_NAME_MAX);
}

void conf_pool_free(struct conf_pool *p)
{
  conf_worker_free(&p->is);
}

const struct conf_pool *conf_pool(const struct conf *c, const char *name)
{
  for (int i = 0; name && i < c->npools; i++)
    if (!strcmp(c->pools[i].is.name, name))
      return &c->pools[i];
  return NULL;
}

/* Whether the pool could call a member so: its name, a hyphen, a number from 1 on as numbers are written. */
static bool gives(const struct conf_pool *p, const char *worker)
{
  size_t n = strlen(p->is.name);
  const char *digits = worker + n + 1;

  return str_starts(worker, p->is.name) && worker[n] == '-' && *digits >= '1' && *digits <= '9' && strspn(digits, "0123456789") == strlen(digits);
}

const struct conf_pool *conf_pool_of_name(const struct conf *c, const char *worker)
{
  for (int i = 0; i < c->npools; i++)
    if (gives(&c->pools[i], worker))
      return &c->pools[i];
  return NULL;
}

const struct conf_worker *conf_worker_of(const struct conf *c, const char *worker, const char *pool)
{
  const struct conf_pool *p = conf_pool(c, pool);

  return p ? &p->is : pool ? NULL : map_get(c->worker_of, worker);
}

void conf_check_pools(const struct conf *c, const struct map *keys, struct diags *d)
{
  for (int i = 0; i < c->nworkers; i++) {
    const struct conf_pool *p = conf_pool_of_name(c, c->workers[i].name);
    const struct yml_node *key = map_get(keys, c->workers[i].name);
    if (p && key)
      yml_error(d, key, "call one of them otherwise", "\"%s\" is a name that the pool \"%s\" gives to its members", c->workers[i].name, p->is.name);
  }
}
