/* Secrets as they are declared and stored: names, never values. */
#include "master/api/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/secret.h"
#include "master/core/master.h"
#include "master/core/site_key.h"

enum { STORED, USED }; /* statements */

static void add_globs(cJSON *o, const char *key, char *const *v, int n)
{
  cJSON *list;

  if (!v)
    return;
  list = cJSON_AddArrayToObject(o, key);
  for (int i = 0; i < n; i++)
    cJSON_AddItemToArray(list, cJSON_CreateString(v[i]));
}

/* NULL: a step would get it. */
static char *trouble_of_file(const struct conf_secret *s)
{
  const char *help;
  struct buf why;
  char *value;

  buf_init(&why, BUF_NO_MAX);
  value = secret_value(s->file, &why, &help);
  if (value)
    mem_wipe(value, strlen(value));
  free(value);
  if (help)
    buf_addf(&why, " (%s)", help);
  return why.len ? buf_take(&why) : NULL;
}

static int stored_row(const struct db_res *r, int stmt, const char *name)
{
  for (int i = 0; i < db_rows(r, stmt); i++)
    if (!strcmp(db_str(r, stmt, i, 0), name))
      return i;
  return -1;
}

/* no_keys: why there are none. */
static char *trouble_of_row(const struct db_res *r, int stmt, int row, const struct site_keys *keys, const char *no_keys)
{
  const char *key = row < 0 ? "" : db_str(r, stmt, row, 1);

  if (row < 0)
    return xstrdup("it was not set yet");
  if (!keys->n)
    return xstrdup(no_keys);
  for (int i = 0; i < keys->n; i++)
    if (!strcmp(keys->id[i], key))
      return NULL;
  return xasprintf("it is encrypted with the site key %s, which is not in keys/site.key", key);
}

char *secret_trouble(const struct conf_secret *s, const struct site_keys *keys, const char *no_keys, const struct db_res *r, int stmt)
{
  if (s->file)
    return trouble_of_file(s);
  return r ? trouble_of_row(r, stmt, stored_row(r, stmt, s->name), keys, no_keys) : NULL;
}

static void add_set(cJSON *o, const struct db_res *r, int row)
{
  json_ms(o, "set_at", row < 0 ? INT64_MIN : db_ms(r, STORED, row, 2));
  json_text(o, "set_by", row < 0 ? NULL : db_str(r, STORED, row, 3));
}

static bool has(const cJSON *list, const char *text)
{
  const cJSON *it;

  cJSON_ArrayForEach(it, list)
    if (str_eq(it->valuestring, text))
      return true;
  return false;
}

/* Of the site's pipelines, and of those in repositories what took it lately. */
static void add_builders(cJSON *o, const struct conf *c, const struct db_res *r, const char *name)
{
  cJSON *list = cJSON_AddArrayToObject(o, "builders");

  for (int i = 0; i < c->nprojects; i++)
    for (int b = 0; c->projects[i].pipeline && b < c->projects[i].pipeline->nbuilders; b++) {
      const struct pipe_builder *builder = &c->projects[i].pipeline->builders[b];
      char *id = xasprintf("%s/%s", c->projects[i].name, builder->name);
      for (int s = 0; s < builder->nsteps; s++)
        for (int k = 0; k < builder->steps[s].nsecrets; k++)
          if (!strcmp(builder->steps[s].secrets[k].name, name) && !has(list, id))
            cJSON_AddItemToArray(list, cJSON_CreateString(id));
      free(id);
    }
  for (int i = 0; i < db_rows(r, USED); i++)
    if (!strcmp(db_str(r, USED, i, 0), name) && !has(list, db_str(r, USED, i, 1)))
      cJSON_AddItemToArray(list, cJSON_CreateString(db_str(r, USED, i, 1)));
}

/* Projects, or codebases, whose repositories it opens. */
static void add_repositories(cJSON *o, const struct conf *c, const char *name)
{
  cJSON *list = cJSON_AddArrayToObject(o, "repositories");

  for (int i = 0; i < c->nprojects; i++)
    for (int k = 0; k < c->projects[i].ncodebases; k++) {
      const struct conf_codebase *b = &c->projects[i].codebases[k];
      char *id = xasprintf("%s%s%s", c->projects[i].name, *b->name ? "/" : "", b->name);
      if (str_eq(conf_login_secret(&b->login), name))
        cJSON_AddItemToArray(list, cJSON_CreateString(id));
      free(id);
    }
}

static void add_declared(cJSON *items, const struct conf *c, const struct db_res *r, const struct conf_secret *s, const struct site_keys *keys, const char *no_keys)
{
  int row = s->file ? -1 : stored_row(r, STORED, s->name);
  cJSON *o = cJSON_CreateObject(), *whom;
  char *trouble = secret_trouble(s, keys, no_keys, r, STORED);

  json_text(o, "name", s->name);
  json_text(o, "file", s->file);
  cJSON_AddBoolToObject(o, "declared", true);
  whom = cJSON_AddObjectToObject(o, "for");
  add_globs(whom, "builders", s->builders, s->nbuilders);
  add_globs(whom, "branches", s->branches, s->nbranches);
  add_globs(whom, "workers", s->workers, s->nworkers);
  add_globs(whom, "pools", s->pools, s->npools);
  add_set(o, r, row);
  add_builders(o, c, r, s->name);
  add_repositories(o, c, s->name);
  json_text(o, "trouble", trouble);
  free(trouble);
  cJSON_AddItemToArray(items, o);
}

static void got_secrets(struct call *c, const struct db_res *r)
{
  const struct conf *conf = call_master(c)->conf;
  cJSON *body = cJSON_CreateObject(), *items = cJSON_AddArrayToObject(body, "items"), *o;
  struct site_keys keys;
  struct buf why;

  buf_init(&why, BUF_NO_MAX);
  if (site_keys_read(conf->state, false, &keys, &why))
    keys.n = 0;
  for (int i = 0; i < conf->nsecrets; i++)
    add_declared(items, conf, r, &conf->secrets[i], &keys, buf_str(&why));
  for (int i = 0; i < db_rows(r, STORED); i++) {
    if (conf_secret(conf, db_str(r, STORED, i, 0)))
      continue;
    o = cJSON_CreateObject();
    json_text(o, "name", db_str(r, STORED, i, 0));
    json_text(o, "file", NULL);
    cJSON_AddBoolToObject(o, "declared", false);
    cJSON_AddObjectToObject(o, "for");
    add_set(o, r, i);
    add_builders(o, conf, r, db_str(r, STORED, i, 0));
    add_repositories(o, conf, db_str(r, STORED, i, 0));
    json_text(o, "trouble", "no `secrets` of the site's configuration names it: no step can take it");
    cJSON_AddItemToArray(items, o);
  }
  site_keys_wipe(&keys);
  buf_free(&why);
  cJSON_AddNullToObject(body, "next");
  call_json(c, 200, body);
}

void read_secrets(struct call *c)
{
  struct db_tx *tx = call_tx(c);

  db_q(tx, SQL_api_secrets, "");
  db_q(tx, SQL_api_secrets_used, "");
  call_ask(c, tx, got_secrets);
}
