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
  const struct secret_taker t = { r->ctx.project, r->ctx.builder, r->ctx.branch, r->session->name, r->fork ? SECRET_FORK : r->ctx.patch ? SECRET_TRY : SECRET_OWN };
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

static bool any(const struct run *r)
{
  for (int k = 0; k < r->number; k++)
    if (r->def->steps[k].nsecrets)
      return true;
  return false;
}

char *run_secrets_all(const struct run *r)
{
  const char **names;
  int n = 0;
  char *array;

  if (!any(r))
    return NULL;
  for (int k = 0; k < r->number; k++)
    n += r->def->steps[k].nsecrets;
  names = xcalloc((size_t)n, sizeof *names);
  n = 0;
  for (int k = 0; k < r->number; k++)
    for (int i = 0; i < r->def->steps[k].nsecrets; i++)
      names[n++] = r->def->steps[k].secrets[i].name;
  array = db_text_array(names, n);
  free(names);
  return array;
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

static bool has(const struct buf *out, const char *name)
{
  size_t at = 0, n = strlen(name);
  char key[RECORDS_KEY_MAX + 1];
  const char *value;

  while (records_next(buf_str(out), out->len, &at, key, &value) == ERR_OK)
    if (!strncmp(value, name, n) && value[n] == '=')
      return true;
  return false;
}

/* NULL, or why not. */
static char *put_own(const struct run *r, const struct pipe_step *def, struct buf *out)
{
  char *no = NULL;
  struct buf why;

  buf_init(&why, BUF_NO_MAX);
  for (int i = 0; i < def->nsecrets && !no; i++) {
    const char *name = def->secrets[i].name;
    no = refused(r, name);
    if (!no && !has(out, name) && !put_value(r, name, out, &why))
      no = buf_take(&why);
  }
  buf_free(&why);
  return no;
}

/* What this step can only have from one before it, and what of that is to be had now: as far as there is room. */
static void put_earlier(const struct run *r, struct buf *out)
{
  struct buf why;

  buf_init(&why, BUF_NO_MAX);
  for (int k = 0; k < r->number - 1; k++)
    for (int i = 0; i < r->def->steps[k].nsecrets; i++) {
      const char *name = r->def->steps[k].secrets[i].name;
      char *no = has(out, name) ? NULL : refused(r, name);
      if (!no && !has(out, name) && out->max - out->len > strlen(name) + SECRET_VALUE_MAX + sizeof "value==" && !put_value(r, name, out, &why))
        buf_reset(&why);
      free(no);
    }
  buf_free(&why);
}

char *run_secrets_put(const struct run *r, struct buf *out)
{
  size_t most = (size_t)wire_verbs[VERB_secrets].blob_max;
  char *no;

  buf_init(out, most);
  if (!any(r))
    return NULL;
  if (!buf_reserve(out, most)) /* once: a buffer that grows leaves bytes behind */
    return xstrdup("no room for secrets");
  no = put_own(r, &r->def->steps[r->number - 1], out);
  if (!no && out->failed)
    no = xasprintf("the secrets of the step have more than %zu KiB", most / 1024);
  if (!no)
    put_earlier(r, out);
  return no;
}
