/* From names to values, at the last moment. */
#include "master/dispatch/run_secrets.h"

#include <stdlib.h>
#include <string.h>

#include "master/conf/conf.h"
#include "master/conf/secret.h"
#include "master/core/master.h"
#include "master/core/secret_values.h"
#include "master/db/db.h"
#include "master/dispatch/run_login.h"
#include "master/workers/session.h"
#include "proto/records.h"

/* ---- may it ---- */

static char *refused(const struct run *r, const char *name)
{
  const struct secret_taker t = { r->ctx.project, r->ctx.builder, r->ctx.branch, r->session->name, r->session->pool, r->ctx.fork ? SECRET_FORK : r->ctx.patch ? SECRET_TRY : SECRET_OWN };
  char *why = conf_secret_refused(r->m->conf, name, &t);

  if (!why && !session_has(r->session, "secrets"))
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

char *run_secrets_names(const struct run *r, const struct buf *spec)
{
  const char *names[PIPELINE_SECRETS_MAX + 1], *login = run_login_secret(r, spec->data, spec->len);
  const struct pipe_step *def = r->step.def;
  int n = 0;

  for (; n < def->nsecrets; n++)
    names[n] = def->secrets[n].name;
  if (login)
    names[n++] = login;
  return db_text_array(names, n);
}

static bool any(const struct run *r)
{
  for (int k = 0; k < r->number; k++)
    if (r->def->steps[k].nsecrets)
      return true;
  return false;
}

char *run_secrets_all(const struct run *r, const void *spec, size_t nspec)
{
  const char *login = run_login_secret(r, spec, nspec), **names;
  int n = 1;
  char *array;

  if (!any(r) && !login)
    return NULL;
  for (int k = 0; k < r->number; k++)
    n += r->def->steps[k].nsecrets;
  names = xcalloc((size_t)n, sizeof *names);
  n = 0;
  if (login)
    names[n++] = login;
  for (int k = 0; k < r->number; k++)
    for (int i = 0; i < r->def->steps[k].nsecrets; i++)
      names[n++] = r->def->steps[k].secrets[i].name;
  array = db_text_array(names, n);
  free(names);
  return array;
}

/* ---- values ---- */

static bool put_value(const struct run *r, const char *name, struct buf *out, struct buf *why)
{
  char *value = secret_of_site(r->m->conf, r->secrets, name, why), *both;

  if (!value)
    return false;
  both = xasprintf("%s=%s", name, value);
  records_put(out, "value", both);
  secret_wipe(value);
  secret_wipe(both);
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

char *run_secrets_put(const struct run *r, const void *spec, size_t n, struct buf *out)
{
  size_t most = (size_t)wire_verbs[VERB_secrets].blob_max;
  char *no;

  buf_init(out, most);
  if (!any(r))
    return run_login_put(r, spec, n, out);
  if (!buf_reserve(out, most)) /* once: a buffer that grows leaves bytes behind */
    return xstrdup("no room for secrets");
  no = put_own(r, &r->def->steps[r->number - 1], out);
  if (!no)
    no = run_login_put(r, spec, n, out);
  if (!no && out->failed)
    no = xasprintf("the secrets of the step have more than %zu KiB", most / 1024);
  if (!no)
    put_earlier(r, out);
  return no;
}
