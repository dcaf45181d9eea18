/* Credentials for git, and what they fit: a key is for ssh, a token for https, so that neither goes over the wire for everybody to read. */
#include "master/conf/conf_login.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "master/conf/diag.h"
#include "master/conf/parts.h"
#include "master/conf/schema.h"
#include "master/conf/secret.h"
#include "master/conf/yaml.h"

enum { FINGERPRINT_CHARS = 43 }; /* 256 bits in base64, without padding */

bool conf_is_host_key(const char *s)
{
  static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  return str_starts(s, "SHA256:") && strlen(s) == strlen("SHA256:") + FINGERPRINT_CHARS && strspn(s + strlen("SHA256:"), base64) == FINGERPRINT_CHARS;
}

static bool is_ssh(const char *url)
{
  return str_starts(url, "ssh://") || (url[0] != '/' && !strstr(url, "://"));
}

/* Encrypted, or to this host. */
static bool is_safe_http(const char *url)
{
  static const char *const here[] = { "http://127.0.0.1", "http://localhost", "http://[::1]" };

  for (size_t i = 0; i < COUNT(here); i++)
    if (str_starts(url, here[i]) && (!url[strlen(here[i])] || strchr(":/", url[strlen(here[i])])))
      return true;
  return str_starts(url, "https://");
}

/* The text of the file that a map under that name names; NULL: there is none, or told. */
static char *text_of(const struct yml_node *project, const char *name, char *read(const char *, struct buf *, const char **), struct diags *d)
{
  const struct yml_node *file = yml_get(yml_get(project, name), "file");
  char *path, *text;
  const char *help;
  struct buf why;

  if (!file || file->kind != YML_SCALAR || !*file->text)
    return NULL;
  path = parts_path(file->doc->folder, file->text);
  buf_init(&why, BUF_NO_MAX);
  text = read(path, &why, &help);
  if (!text)
    yml_error(d, file, help, "%s", buf_str(&why));
  buf_free(&why);
  free(path);
  return text;
}

static void read_host_keys(struct conf_login *l, const struct yml_node *list, struct diags *d)
{
  if (!list || list->kind != YML_LIST)
    return;
  l->host_keys = xcalloc((size_t)list->n + 1, sizeof *l->host_keys);
  for (int i = 0; i < list->n; i++) {
    const struct yml_node *n = list->items[i];
    if (n->kind != YML_SCALAR)
      continue; /* told by the schema */
    if (!conf_is_host_key(n->text))
      yml_error(d, n, "ssh-keyscan HOST | ssh-keygen -lf - shows them, as SHA256: and 43 letters", "this is no fingerprint of a host key");
    else
      l->host_keys[l->nhost_keys++] = xstrdup(n->text);
  }
}

void conf_login_read(struct conf_login *l, const struct yml_node *project, const char *git, bool files, struct diags *d)
{
  const struct yml_node *key = yml_get(project, "key"), *token = yml_get(project, "token"), *hosts = yml_get(project, "host_keys");

  if (files) {
    l->key = text_of(project, "key", secret_read_key, d);
    l->token = text_of(project, "token", secret_read, d);
  }
  if (token && token->kind == YML_MAP) {
    l->user = xstrdup(schema_text(token, SCHEMA_TOKEN, "user"));
    l->bearer = str_eq(schema_text(token, SCHEMA_TOKEN, "as"), "bearer");
  }
  read_host_keys(l, hosts, d);
  if (!git)
    return;
  if (key && !is_ssh(git))
    yml_error(d, key, "ssh://git@HOST/PATH, or git@HOST:PATH", "a key is for a repository that is reached by ssh");
  if (hosts && !is_ssh(git))
    yml_error(d, hosts, NULL, "only ssh has host keys");
  if (token && !is_safe_http(git))
    yml_error(d, token, "https://HOST/PATH", "a token goes over https only");
}

static void wipe(char *secret)
{
  if (secret)
    mem_wipe(secret, strlen(secret));
  free(secret);
}

void conf_login_free(struct conf_login *l)
{
  wipe(l->key);
  wipe(l->token);
  free(l->user);
  for (int i = 0; i < l->nhost_keys; i++)
    free(l->host_keys[i]);
  free(l->host_keys);
}

bool conf_login_same(const struct conf_login *a, const struct conf_login *b)
{
  return str_eq(a->key, b->key) && str_eq(a->token, b->token); /* the rest stands in the text */
}
