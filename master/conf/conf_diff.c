/* Two configurations, key by key. Builders and schedulers are compared by their part of the pipeline's text. */
#include "master/conf/conf_diff.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"

const char *conf_what_name(enum conf_what w)
{
  static const char *const names[] = { [CONF_ADDED] = "added", [CONF_REMOVED] = "removed", [CONF_CHANGED] = "changed" };

  return names[w];
}

const struct conf_worker *conf_worker(const struct conf *c, const char *name)
{
  for (int i = 0; i < c->nworkers; i++)
    if (!strcmp(c->workers[i].name, name))
      return &c->workers[i];
  return NULL;
}

bool conf_project_same(const struct conf_project *a, const struct conf_project *b)
{
  int at = 0;

  return !conf_keys_next(&a->keys, &b->keys, &at, NULL) && str_eq(a->pipeline_text, b->pipeline_text);
}

/* ---- the list ---- */

static struct conf_change *add(struct conf_diff *d, enum conf_what what, const char *kind, char *name)
{
  d->v = xrealloc(d->v, (size_t)(d->n + 1) * sizeof *d->v);
  d->v[d->n] = (struct conf_change){ .what = what, .kind = kind, .name = name };
  return &d->v[d->n++];
}

static void add_key(struct conf_change *c, const char *key)
{
  c->keys = xrealloc(c->keys, (size_t)(c->nkeys + 1) * sizeof *c->keys);
  c->keys[c->nkeys++] = xstrdup(key);
}

static void add_keys(struct conf_change *c, const struct conf_keys *a, const struct conf_keys *b)
{
  const struct conf_key *key;
  int at = 0;

  while ((key = conf_keys_next(a, b, &at, NULL)))
    add_key(c, key->name);
}

void conf_diff_free(struct conf_diff *d)
{
  for (int i = 0; i < d->n; i++) {
    free(d->v[i].name);
    for (int k = 0; k < d->v[i].nkeys; k++)
      free(d->v[i].keys[k]);
    free(d->v[i].keys);
  }
  free(d->v);
  *d = (struct conf_diff){ 0 };
}

/* ---- inside a pipeline ---- */

static struct yml_doc *parse(const struct conf_project *p)
{
  struct yml_doc *doc;
  struct diags d;

  if (!p->pipeline_text)
    return NULL;
  diag_init(&d);
  doc = yml_parse(p->name, p->pipeline_text, strlen(p->pipeline_text), &d);
  diag_free(&d);
  return doc;
}

static char *text_of(const struct yml_node *n)
{
  struct buf text;

  if (!n)
    return NULL;
  buf_init(&text, YML_BYTES_MAX);
  yml_write(n, NULL, &text);
  return buf_take(&text);
}

static bool same(const struct yml_node *a, const struct yml_node *b)
{
  char *x = text_of(a), *y = text_of(b);
  bool equal = str_eq(x, y);

  free(x);
  free(y);
  return equal;
}

static void diff_named(struct conf_diff *d, const char *project, const char *kind, const struct yml_node *a, const struct yml_node *b)
{
  for (int i = 0; a && a->kind == YML_MAP && i < a->n; i++) {
    const struct yml_node *other = yml_get(b, a->keys[i]->text);
    if (!other || !same(a->items[i], other))
      add(d, other ? CONF_CHANGED : CONF_REMOVED, kind, xasprintf("%s/%s", project, a->keys[i]->text));
  }
  for (int i = 0; b && b->kind == YML_MAP && i < b->n; i++)
    if (!yml_get(a, b->keys[i]->text))
      add(d, CONF_ADDED, kind, xasprintf("%s/%s", project, b->keys[i]->text));
}

static void diff_steps(struct conf_diff *d, const char *project, const struct yml_node *a, const struct yml_node *b)
{
  if (!same(a, b)) /* the builder that has the project's name */
    add(d, !a ? CONF_ADDED : !b ? CONF_REMOVED : CONF_CHANGED, "builder", xasprintf("%s/%s", project, project));
}

static void diff_project(struct conf_diff *d, const struct conf_project *a, const struct conf_project *b)
{
  struct yml_doc *x = parse(a), *y = parse(b);
  const struct yml_node *from = x ? x->root : NULL, *to = y ? y->root : NULL;
  struct conf_change *c = add(d, CONF_CHANGED, "project", xstrdup(b->name));

  add_keys(c, &a->keys, &b->keys);
  if (!a->pipeline_text != !b->pipeline_text)
    add_key(c, b->pipeline_text ? "the pipeline is the site's" : "the pipeline is the repository's");
  if (!same(yml_get(from, "defaults"), yml_get(to, "defaults")))
    add_key(c, "defaults");
  if (!same(yml_get(from, "templates"), yml_get(to, "templates")))
    add_key(c, "templates");
  diff_steps(d, b->name, yml_get(from, "steps"), yml_get(to, "steps"));
  diff_named(d, b->name, "builder", yml_get(from, "builders"), yml_get(to, "builders"));
  diff_named(d, b->name, "scheduler", yml_get(from, "schedulers"), yml_get(to, "schedulers"));
  yml_drop(x);
  yml_drop(y);
}

/* ---- all of it ---- */

static void diff_workers(struct conf_diff *d, const struct conf *old, const struct conf *now)
{
  for (int i = 0; i < now->nworkers; i++) {
    const struct conf_worker *b = &now->workers[i], *a = conf_worker(old, b->name);
    int at = 0;
    if (!a)
      add(d, CONF_ADDED, "worker", xstrdup(b->name));
    else if (conf_keys_next(&a->keys, &b->keys, &at, NULL))
      add_keys(add(d, CONF_CHANGED, "worker", xstrdup(b->name)), &a->keys, &b->keys);
  }
  for (int i = 0; i < old->nworkers; i++)
    if (!conf_worker(now, old->workers[i].name))
      add(d, CONF_REMOVED, "worker", xstrdup(old->workers[i].name));
}

static void diff_pools(struct conf_diff *d, const struct conf *old, const struct conf *now)
{
  for (int i = 0; i < now->npools; i++) {
    const struct conf_pool *b = &now->pools[i], *a = conf_pool(old, b->is.name);
    int at = 0;
    if (!a)
      add(d, CONF_ADDED, "pool", xstrdup(b->is.name));
    else if (conf_keys_next(&a->is.keys, &b->is.keys, &at, NULL))
      add_keys(add(d, CONF_CHANGED, "pool", xstrdup(b->is.name)), &a->is.keys, &b->is.keys);
  }
  for (int i = 0; i < old->npools; i++)
    if (!conf_pool(now, old->pools[i].is.name))
      add(d, CONF_REMOVED, "pool", xstrdup(old->pools[i].is.name));
}

static void diff_secrets(struct conf_diff *d, const struct conf *old, const struct conf *now)
{
  for (int i = 0; i < now->nsecrets; i++) {
    const struct conf_secret *b = &now->secrets[i], *a = conf_secret(old, b->name);
    int at = 0;
    if (!a)
      add(d, CONF_ADDED, "secret", xstrdup(b->name));
    else if (conf_keys_next(&a->keys, &b->keys, &at, NULL))
      add_keys(add(d, CONF_CHANGED, "secret", xstrdup(b->name)), &a->keys, &b->keys);
  }
  for (int i = 0; i < old->nsecrets; i++)
    if (!conf_secret(now, old->secrets[i].name))
      add(d, CONF_REMOVED, "secret", xstrdup(old->secrets[i].name));
}

static void diff_locks(struct conf_diff *d, const struct conf *old, const struct conf *now)
{
  for (int i = 0; i < now->nlocks; i++) {
    const struct conf_lock *b = &now->locks[i], *a = conf_lock(old, b->name);
    int at = 0;
    if (!a)
      add(d, CONF_ADDED, "lock", xstrdup(b->name));
    else if (conf_keys_next(&a->keys, &b->keys, &at, NULL))
      add_keys(add(d, CONF_CHANGED, "lock", xstrdup(b->name)), &a->keys, &b->keys);
  }
  for (int i = 0; i < old->nlocks; i++)
    if (!conf_lock(now, old->locks[i].name))
      add(d, CONF_REMOVED, "lock", xstrdup(old->locks[i].name));
}

static void diff_projects(struct conf_diff *d, const struct conf *old, const struct conf *now)
{
  for (int i = 0; i < now->nprojects; i++) {
    const struct conf_project *b = &now->projects[i], *a = conf_project(old, b->name);
    if (!a)
      add(d, CONF_ADDED, "project", xstrdup(b->name))->project = b;
    else if (!conf_project_same(a, b))
      diff_project(d, a, b);
  }
  for (int i = 0; i < old->nprojects; i++)
    if (!conf_project(now, old->projects[i].name))
      add(d, CONF_REMOVED, "project", xstrdup(old->projects[i].name));
}

void conf_diff(const struct conf *old, const struct conf *now, struct conf_diff *d)
{
  const struct conf_key *key;
  int at = 0;

  *d = (struct conf_diff){ 0 };
  while ((key = conf_keys_next(&old->keys, &now->keys, &at, NULL)))
    add(d, CONF_CHANGED, "setting", xstrdup(key->name));
  diff_workers(d, old, now);
  diff_pools(d, old, now);
  diff_secrets(d, old, now);
  diff_locks(d, old, now);
  diff_projects(d, old, now);
}

void conf_check_restart(const struct conf *old, const struct conf *now, struct diags *d)
{
  const struct conf_key *key, *given;
  int at = 0;

  while ((key = conf_keys_next(&old->keys, &now->keys, &at, &given)))
    if (key->restart) /* one that isn't given any more has no place to show */
      diag_add(d, now->file, NULL, given ? given->line : 0, given ? given->column : 0, "restart the master to change it", "\"%s\" can't change while the master runs", key->name);
}
