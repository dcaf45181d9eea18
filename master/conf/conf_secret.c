/* Who may take which secret: a pure function of what the site says and what is known of the build. */
#include "master/conf/conf_secret.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/pipe_int.h"
#include "master/conf/conf_int.h"
#include "master/conf/schema.h"

static char **take_strings(const struct yml_node *n, int *count)
{
  return conf_strings(n && !yml_is_null(n) ? n : NULL, count);
}

void conf_secret_make(struct conf_secret *s, const char *name, const struct yml_node *map, char *file)
{
  const struct yml_node *whom = yml_get(map, "for");

  *s = (struct conf_secret){ .name = xstrdup(name), .file = file };
  s->builders = take_strings(yml_get(whom, "builders"), &s->nbuilders);
  s->branches = take_strings(yml_get(whom, "branches"), &s->nbranches);
  s->workers = take_strings(yml_get(whom, "workers"), &s->nworkers);
  s->pools = take_strings(yml_get(whom, "pools"), &s->npools);
  conf_keys_of(&s->keys, map, SCHEMA_SECRET);
}

void conf_secret_free(struct conf_secret *s)
{
  free(s->name);
  free(s->file);
  mem_free_all(s->builders, s->nbuilders);
  mem_free_all(s->branches, s->nbranches);
  mem_free_all(s->workers, s->nworkers);
  mem_free_all(s->pools, s->npools);
  conf_keys_free(&s->keys);
}

const struct conf_secret *conf_secret(const struct conf *c, const char *name)
{
  for (int i = 0; i < c->nsecrets; i++)
    if (!strcmp(c->secrets[i].name, name))
      return &c->secrets[i];
  return NULL;
}

static bool one_of(char *const *globs, int n, const char *s)
{
  for (int i = 0; i < n; i++)
    if (str_glob(globs[i], s))
      return true;
  return false;
}

/* libfoo/linux[gcc], also by libfoo/linux. */
static bool builder_may(const struct conf_secret *s, const char *project, const char *builder)
{
  char *whole = xasprintf("%s/%s", project, builder), *base = xasprintf("%s/%.*s", project, (int)strcspn(builder, "["), builder);
  bool may = !s->builders || one_of(s->builders, s->nbuilders, whole) || one_of(s->builders, s->nbuilders, base);

  free(whole);
  free(base);
  return may;
}

static char *only_for(const char *name, const char *what, char *const *v, int n, const char *is)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_addf(&b, "the secret \"%s\" is only for %s ", name, what);
  for (int i = 0; i < n; i++)
    buf_addf(&b, "%s%s", i ? ", " : "", v[i]);
  buf_addf(&b, ", and %s", is);
  return buf_take(&b);
}

char *conf_secret_refused(const struct conf *c, const char *name, const struct secret_taker *t)
{
  static const char *const foreign[] = { [SECRET_FORK] = "builds of pull requests from forks get no secrets, approved or not", [SECRET_TRY] = "builds that try a patch get no secrets" };
  const struct conf_secret *s = conf_secret(c, name);
  char *is = NULL, *why = NULL;

  if (t->foreign != SECRET_OWN)
    return xasprintf("it wants the secret \"%s\", and %s", name, foreign[t->foreign]);
  if (!s)
    return xasprintf("there is no secret \"%s\" in the site's configuration", name);
  if (!builder_may(s, t->project, t->builder)) {
    is = xasprintf("this is %s/%s", t->project, t->builder);
    why = only_for(name, "builders", s->builders, s->nbuilders, is);
  } else if (s->branches && t->branch && (!*t->branch || !one_of(s->branches, s->nbranches, t->branch))) {
    is = *t->branch ? xasprintf("this is a build of %s", t->branch) : xstrdup("this is no build of a branch");
    why = only_for(name, "branches", s->branches, s->nbranches, is);
  } else if (s->workers && t->worker && !one_of(s->workers, s->nworkers, t->worker)) {
    is = xasprintf("this is %s", t->worker);
    why = only_for(name, "workers", s->workers, s->nworkers, is);
  } else if (s->pools && t->worker && (!t->pool || !one_of(s->pools, s->npools, t->pool))) {
    is = t->pool ? xasprintf("this is %s, a member of %s", t->worker, t->pool) : xasprintf("this is %s, a member of none", t->worker);
    why = only_for(name, "members of the pools", s->pools, s->npools, is);
  }
  free(is);
  return why;
}

static void check_one(const struct conf *c, const char *project, const struct pipe_builder *b, const struct pipe_secret *s, struct diags *d)
{
  const struct secret_taker t = { .project = project, .builder = b->name };
  char *why = conf_secret_refused(c, s->name, &t), *help = NULL;

  if (why && !conf_secret(c, s->name)) {
    const char **names = xcalloc((size_t)c->nsecrets + 1, sizeof *names);
    for (int i = 0; i < c->nsecrets; i++)
      names[i] = c->secrets[i].name;
    help = pipe_did_you_mean(s->name, names, c->nsecrets);
    free(names);
  }
  if (why)
    yml_error(d, s->at, help, "%s", why);
  free(help);
  free(why);
}

void conf_check_secrets(const struct conf *c, const char *project, const struct pipeline *p, struct diags *d)
{
  for (int b = 0; b < p->nbuilders; b++)
    for (int i = 0; i < p->builders[b].nsteps; i++)
      for (int k = 0; k < p->builders[b].steps[i].nsecrets; k++)
        check_one(c, project, &p->builders[b], &p->builders[b].steps[i].secrets[k], d);
}
