/* From names to values, at the last moment. */
#include "master/dispatch/run_secrets.h"

#include <stdlib.h>
#include <string.h>

#include "master/conf/conf.h"
#include "master/conf/secret.h"
#include "master/core/master.h"
#include "master/core/site_key.h"
#include "master/db/db.h"
#include "master/workers/session.h"
#include "proto/records.h"

struct row {
  char *name, *key;
  int64_t version;
  unsigned char nonce[SITE_KEY_NONCE];
  void *sealed;
  size_t n;
};

struct run_secrets {
  int n;
  struct row v[];
};

/* ---- may it ---- */

static char *refused(const struct run *r, const char *name)
{
  const struct secret_taker t = { r->ctx.project, r->ctx.builder, r->ctx.branch, r->session->name, r->fork };
  char *why = conf_secret_refused(r->m->conf, name, &t);

  if (!why && !r->session->takes_secrets)
    why = xasprintf("it wants the secret \"%s\", and the drover-worker on %s is too old to take secrets: upgrade it", name, r->session->name);
  return why;
}

char *run_secrets_refused(const struct run *r, const struct pipe_step *def)
{
  char *why = NULL;

  for (int i = 0; i < def->nsecrets && !why; i++)
    why = refused(r, def->secrets[i].name);
  return why;
}

char *run_secrets_names(const struct pipe_step *def)
{
  const char *names[PIPELINE_SECRETS_MAX];

  for (int i = 0; i < def->nsecrets; i++)
    names[i] = def->secrets[i].name;
  return db_text_array(names, def->nsecrets);
}

/* ---- rows of the store ---- */

struct run_secrets *run_secrets_take(struct db_res *res, int stmt)
{
  int n = db_rows(res, stmt);
  struct run_secrets *s = xcalloc(1, sizeof *s + (size_t)n * sizeof *s->v);

  for (int i = 0; i < n; i++) {
    struct row *row = &s->v[s->n++];
    size_t nonce;
    const void *p = db_bytes(res, stmt, i, 3, &nonce);
    *row = (struct row){ .name = db_dup(res, stmt, i, 0), .key = db_dup(res, stmt, i, 2), .version = db_num(res, stmt, i, 1) };
    if (nonce == sizeof row->nonce)
      memcpy(row->nonce, p, nonce);
    p = db_bytes(res, stmt, i, 4, &row->n);
    row->sealed = xmemdup(p, row->n);
  }
  return s;
}

void run_secrets_free(struct run_secrets *s)
{
  for (int i = 0; s && i < s->n; i++) {
    free(s->v[i].name);
    free(s->v[i].key);
    free(s->v[i].sealed);
  }
  free(s);
}

static char *of_store(const struct run *r, const char *name, struct buf *why)
{
  const struct row *row = NULL;
  struct site_keys keys;
  char *value = NULL;
  enum err e;

  for (int i = 0; r->secrets && i < r->secrets->n; i++)
    if (!strcmp(r->secrets->v[i].name, name))
      row = &r->secrets->v[i];
  if (!row) {
    buf_addf(why, "the store has no secret \"%s\": drover secret set %s", name, name);
    return NULL;
  }
  if (site_keys_read(r->m->conf->state, false, &keys, why))
    return NULL;
  value = xcalloc(1, row->n + 1);
  e = site_key_open(&keys, row->key, row->name, row->version, row->nonce, row->sealed, row->n, (unsigned char *)value);
  site_keys_wipe(&keys);
  if (!e)
    return value;
  if (e == ERR_NOTFOUND)
    buf_addf(why, "the secret \"%s\" is encrypted with the site key %s, which is not in keys/site.key: bring that back, or set the secret again", name, row->key);
  else
    buf_addf(why, "the secret \"%s\" in the database is not what was stored with the site's key: set it again", name);
  free(value);
  return NULL;
}

/* ---- values ---- */

static char *value_of(const struct run *r, const char *name, struct buf *why)
{
  const struct conf_secret *s = conf_secret(r->m->conf, name);
  const char *help;
  char *value;

  if (!s->file)
    return of_store(r, name, why);
  value = secret_value(s->file, why, &help);
  if (!value && help)
    buf_addf(why, " (%s)", help);
  return value;
}

static bool put_value(const struct run *r, const char *name, struct buf *out, struct buf *why)
{
  char *value = value_of(r, name, why), *both;

  if (!value)
    return false;
  both = xasprintf("%s=%s", name, value);
  records_put(out, "value", both);
  mem_wipe(value, strlen(value));
  mem_wipe(both, strlen(both));
  free(value);
  free(both);
  return true;
}

char *run_secrets_put(const struct run *r, const void *spec, size_t n, struct buf *out)
{
  size_t at = 0, most = (size_t)wire_verbs[VERB_secrets].blob_max;
  char key[RECORDS_KEY_MAX + 1], *no = NULL;
  const char *record;
  struct buf why;

  buf_init(&why, BUF_NO_MAX);
  buf_init(out, most);
  while (!no && records_next(spec, n, &at, key, &record) == ERR_OK) {
    const char *name = strchr(record, '=');
    if ((strcmp(key, "secret") && strcmp(key, "secret_file")) || !name)
      continue;
    if (!out->cap && !buf_reserve(out, most)) /* once: a buffer that grows leaves bytes behind */
      break;
    no = refused(r, ++name);
    if (!no && !put_value(r, name, out, &why))
      no = buf_take(&why);
  }
  buf_free(&why);
  if (!no && out->failed)
    no = xasprintf("the secrets of the step have more than %zu KiB", most / 1024);
  return no;
}
