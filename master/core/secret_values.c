/* Secrets' values. */
#include "master/core/secret_values.h"

#include <stdlib.h>
#include <string.h>

#include "master/conf/secret.h"
#include "master/core/site_key.h"
#include "master/db/db.h"

struct row {
  char *name, *key;
  int64_t version;
  unsigned char nonce[SITE_KEY_NONCE];
  void *sealed;
  size_t n;
};

struct secret_rows {
  int n;
  struct row v[];
};

void secret_wipe(char *value)
{
  if (value)
    mem_wipe(value, strlen(value));
  free(value);
}

/* ---- rows of the store ---- */

struct secret_rows *secret_rows_take(struct db_res *res, int stmt)
{
  int n = db_rows(res, stmt);
  struct secret_rows *s = xcalloc(1, sizeof *s + (size_t)n * sizeof *s->v);

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

void secret_rows_free(struct secret_rows *s)
{
  for (int i = 0; s && i < s->n; i++) {
    free(s->v[i].name);
    free(s->v[i].key);
    free(s->v[i].sealed);
  }
  free(s);
}

static char *of_store(const struct conf *c, const struct secret_rows *rows, const char *name, struct buf *why)
{
  const struct row *row = NULL;
  struct site_keys keys;
  char *value = NULL;
  enum err e;

  for (int i = 0; rows && i < rows->n; i++)
    if (!strcmp(rows->v[i].name, name))
      row = &rows->v[i];
  if (!row) {
    buf_addf(why, "the store has no secret \"%s\": drover secret set %s", name, name);
    return NULL;
  }
  if (site_keys_read(c->state, false, &keys, why))
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

char *secret_of_site(const struct conf *c, const struct secret_rows *rows, const char *name, struct buf *why)
{
  const struct conf_secret *s = conf_secret(c, name);
  const char *help;
  char *value;

  if (!s) {
    buf_addf(why, "there is no secret \"%s\" in the site's configuration", name);
    return NULL;
  }
  if (!s->file)
    return of_store(c, rows, name, why);
  value = secret_value(s->file, why, &help);
  if (!value && help)
    buf_addf(why, " (%s)", help);
  return value;
}

char *login_value(const struct conf *c, const struct secret_rows *rows, const struct conf_login *l, struct buf *why)
{
  const char *name = conf_login_secret(l), *help = NULL;
  char *value, *what;
  bool good;

  if (!name)
    return xstrdup(l->key ? l->key : l->token);
  value = secret_of_site(c, rows, name, why);
  if (!value)
    return NULL;
  what = xasprintf("the secret \"%s\"", name);
  good = l->key_secret ? secret_is_key(value, what, why, &help) : secret_is_line(value, SECRET_PASSWORD_LEAST, what, why);
  if (!good && help)
    buf_addf(why, " (%s)", help);
  free(what);
  if (good)
    return value;
  secret_wipe(value);
  return NULL;
}

char *login_stored(const struct conf *c, const struct conf_login *l)
{
  const char *name = conf_login_secret(l);
  const struct conf_secret *s = name ? conf_secret(c, name) : NULL;

  return s && !s->file ? db_text_array(&name, 1) : NULL;
}
