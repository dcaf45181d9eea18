/* What locks a builder or a step takes. Whether there are such, and so many, is the site's to say (conf_lock.h). */
#include <string.h>

#include "common/str.h"
#include "master/conf/pipe_int.h"

static const char how[] = "NAME: 1, NAME: exclusive, or NAME: {take: 2, as: VARIABLE}";

/* A number, or `exclusive` (0). False: told. */
static bool read_take(struct maker *m, const struct yml_node *key, const struct yml_node *n, int *take, bool *none)
{
  int64_t v = 0;

  *none = false;
  if (n && n->kind == YML_SCALAR && !strcmp(n->text, "exclusive")) {
    *take = 0;
    return true;
  }
  if (!n || n->kind != YML_SCALAR || !pipe_is_number(n->text, &v) || v < 0 || v > PIPELINE_LOCK_TAKE_MAX) {
    yml_error(m->d, n ? n : key, how, "the lock \"%.80s\" wants how many are taken: a whole number, or exclusive", key->text);
    return false;
  }
  *take = (int)v;
  *none = v == 0;
  return true;
}

static bool env_has(const struct pipe_step *s, const char *name)
{
  for (int i = 0; i < s->nenv; i++)
    if (!strcmp(s->env[i].name, name))
      return true;
  for (int i = 0; i < s->nsecrets; i++)
    if (str_eq(s->secrets[i].env, name))
      return true;
  return false;
}

static bool as_taken(const struct pipe_lock *v, int n, const char *name)
{
  for (int i = 0; i < n; i++)
    if (v[i].as && !strcmp(v[i].as, name))
      return true;
  return false;
}

/* No other says what the variable is: not the environment of a step that would see it, no secret, no other lock. */
static bool as_good(struct maker *m, const struct pipe_builder *b, const struct pipe_step *s, const struct pipe_lock *v, int n, const struct yml_node *as)
{
  bool taken = as_taken(v, n, as->text);

  if (as->kind != YML_SCALAR || !pipe_is_word(as->text)) {
    yml_error(m->d, as, "letters, digits and underscores, first no digit", "`as` wants the name of an environment variable");
    return false;
  }
  if (pipe_var_is_ours(as->text)) {
    yml_error(m->d, as, NULL, "the variable \"%.80s\" is drover's", as->text);
    return false;
  }
  if (s)
    taken |= env_has(s, as->text);
  for (int i = 0; b && i < b->nsteps; i++)
    taken |= env_has(&b->steps[i], as->text) || as_taken(b->steps[i].locks, b->steps[i].nlocks, as->text);
  if (taken)
    yml_error(m->d, as, "take another name for one of them", "\"%.80s\" is also a variable of `env`, of a secret or of another lock", as->text);
  return !taken;
}

static bool in_a_step(struct maker *m, const struct pipe_builder *b, const struct yml_node *key)
{
  for (int i = 0; b && i < b->nsteps; i++)
    for (int k = 0; k < b->steps[i].nlocks; k++)
      if (!strcmp(b->steps[i].locks[k].name, key->text)) {
        yml_error(m->d, b->steps[i].locks[k].at, "leave it out in one of the two places", "the builder holds the lock \"%s\" already, so this step would wait for its own build", key->text);
        return true;
      }
  return false;
}

static void take_one(struct maker *m, struct pipe_builder *b, struct pipe_step *s, struct pipe_lock *v, int *n, const struct yml_node *key, const struct yml_node *value)
{
  bool map = value->kind == YML_MAP, none;
  const struct yml_node *as = map ? yml_get(value, "as") : NULL;
  struct pipe_lock l = { .name = key->text, .at = key };

  for (int i = 0; map && i < value->n; i++)
    if (strcmp(value->keys[i]->text, "take") && strcmp(value->keys[i]->text, "as")) {
      yml_error(m->d, value->keys[i], how, "\"%.80s\" is no key here", value->keys[i]->text);
      return;
    }
  if (!str_is_name(key->text, strlen(key->text))) {
    yml_error(m->d, key, NULL, "\"%.80s\" can't be the name of a lock", key->text);
    return;
  }
  if (!read_take(m, key, map ? yml_get(value, "take") : value, &l.take, &none) || in_a_step(m, b, key) || (as && !as_good(m, b, s, v, *n, as)))
    return;
  l.as = as ? as->text : NULL;
  if (!none) /* 0: it takes none */
    v[(*n)++] = l;
}

void pipe_take_locks(struct maker *m, struct pipe_builder *b, struct pipe_step *s, const struct yml_node *map)
{
  struct pipe_lock *v;
  int n = 0;

  if (!map || map->kind != YML_MAP || !map->n)
    return;
  if (s && s->always) {
    yml_error(m->d, map, "take them in the builder", "a step that runs in any case (`always`) can't wait for locks");
    return;
  }
  if (map->n > PIPELINE_LOCKS_MAX) {
    yml_error(m->d, map, NULL, "a builder or a step takes at most %d locks", PIPELINE_LOCKS_MAX);
    return;
  }
  v = pipe_take(m->w, (size_t)map->n, sizeof *v);
  for (int i = 0; i < map->n; i++)
    take_one(m, b, s, v, &n, map->keys[i], map->items[i]);
  if (b) {
    b->locks = v;
    b->nlocks = n;
  } else {
    s->locks = v;
    s->nlocks = n;
  }
}

char *pipeline_locks(const struct pipe_lock *v, int n)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < n; i++) { /* names need no quoting */
    buf_addf(&b, "%s{\"lock\":\"%s\"", i ? "," : "[", v[i].name);
    if (v[i].take)
      buf_addf(&b, ",\"n\":%d", v[i].take);
    buf_addc(&b, '}');
  }
  buf_adds(&b, n ? "]" : "[]");
  return buf_take(&b);
}
