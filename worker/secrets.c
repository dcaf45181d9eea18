/* Values of secrets in memory. */
#include "worker/secrets.h"

#include <stdlib.h>
#include <string.h>

#include "proto/records.h"

void secrets_hold(struct secrets_held *h, struct id cmd, const char *blob, size_t n)
{
  secrets_drop(h);
  h->cmd = cmd;
  h->blob = xcalloc(1, n + 1);
  memcpy(h->blob, blob, n);
  h->n = n;
}

void secrets_drop(struct secrets_held *h)
{
  if (h->blob)
    mem_wipe(h->blob, h->n);
  free(h->blob);
  *h = (struct secrets_held){ .blob = NULL };
}

const char *secrets_get(const char *blob, size_t n, const char *name)
{
  char key[RECORDS_KEY_MAX + 1];
  size_t at = 0, len = strlen(name);
  const char *value;

  while (blob && records_next(blob, n, &at, key, &value) == ERR_OK)
    if (!strncmp(value, name, len) && value[len] == '=')
      return value + len + 1;
  return NULL;
}

size_t secrets_line(const char *value)
{
  size_t n = strlen(value);

  return n - (n && value[n - 1] == '\n');
}

static bool well_formed(const char *blob, size_t n)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;
  enum err e;

  while ((e = records_next(blob, n, &at, key, &value)) == ERR_OK)
    if (strcmp(key, "value") || !str_is_name(value, strcspn(value, "=")) || !strchr(value, '='))
      return false;
  return e == ERR_NOTFOUND;
}

bool secrets_check(const char *run, size_t nrun, const char *blob, size_t n, const char **why)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;

  *why = NULL;
  if (blob && !well_formed(blob, n))
    *why = "its secrets are not well-formed";
  while (!*why && records_next(run, nrun, &at, key, &value) == ERR_OK)
    if (((!strcmp(key, "secret") || !strcmp(key, "secret_file")) && !secrets_get(blob, n, strchr(value, '=') + 1)) || (!strcmp(key, "stdin_secret") && !secrets_get(blob, n, value)))
      *why = "a secret that it names did not come before it";
  return !*why;
}
