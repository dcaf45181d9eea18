/* Credentials of repositories, and what they fit: a key is for ssh, a token or password for https (or the server of Subversion, which is shown a digest), so that neither goes over the wire for everybody to read. */
#include "master/conf/conf_login.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/diag.h"
#include "master/conf/parts.h"
#include "master/conf/pipe_int.h"
#include "master/conf/schema.h"
#include "master/conf/secret.h"
#include "master/conf/vcs_url.h"
#include "master/conf/yaml.h"

enum { FINGERPRINT_CHARS = 43 }; /* 256 bits in base64, without padding */

bool conf_is_host_key(const char *s)
{
  static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  return str_starts(s, "SHA256:") && strlen(s) == strlen("SHA256:") + FINGERPRINT_CHARS && strspn(s + strlen("SHA256:"), base64) == FINGERPRINT_CHARS;
}

/* ---- where the bytes are ---- */

static bool is_text(const struct yml_node *n)
{
  return n && n->kind == YML_SCALAR && !yml_is_null(n) && *n->text;
}

/* The text of the file, or the name of the secret, that a key of the map says; neither: there is none, or told. */
static void take(const struct yml_node *value, bool files, char *read(const char *, struct buf *, const char **), char **text, char **secret, struct conf_login *l, struct diags *d)
{
  const struct yml_node *file = yml_get(value, "file"), *named = value && value->kind == YML_MAP ? yml_get(value, "secret") : value;
  const char *help;
  struct buf why;
  char *path;

  if (is_text(file) && is_text(named))
    yml_error(d, named, NULL, "\"secret\" beside \"file\": it is in one of them");
  else if (value && value->kind == YML_MAP && !file && !named)
    yml_error(d, value, "file: PATH, or secret: NAME", "it says neither a file nor a secret of the site");
  if (is_text(named)) {
    *secret = xstrdup(named->text);
    l->at = named;
  }
  if (!is_text(file) || is_text(named) || !files)
    return;
  path = parts_path(file->doc->folder, file->text);
  buf_init(&why, BUF_NO_MAX);
  *text = read(path, &why, &help);
  if (!*text)
    yml_error(d, file, help, "%s", buf_str(&why));
  buf_free(&why);
  free(path);
}

static void read_host_keys(struct conf_login *l, const struct yml_node *list, struct diags *d)
{
  struct buf pins;

  if (!list || list->kind != YML_LIST)
    return;
  buf_init(&pins, BUF_NO_MAX);
  l->host_keys = xcalloc((size_t)list->n + 1, sizeof *l->host_keys);
  for (int i = 0; i < list->n; i++) {
    const struct yml_node *n = list->items[i];
    if (n->kind != YML_SCALAR)
      continue; /* told by the schema */
    if (!conf_is_host_key(n->text)) {
      yml_error(d, n, "ssh-keyscan HOST | ssh-keygen -lf - shows them, as SHA256: and 43 letters", "this is no fingerprint of a host key");
    } else {
      l->host_keys[l->nhost_keys++] = xstrdup(n->text);
      buf_addf(&pins, "%s%s", pins.len ? " " : "", n->text);
    }
  }
  l->pins = buf_take(&pins);
}

/* ---- what fits what ---- */

static void check_password(struct conf_login *l, const struct yml_node *map, enum vcs vcs, const char *url, struct diags *d)
{
  const struct yml_node *password = yml_get(map, "password"), *token = yml_get(map, "token"), *user = yml_get(map, "user"), *as = yml_get(token, "as");
  char *named = vcs_url_user(url);

  if (password && token)
    yml_error(d, password, NULL, "\"password\" beside \"token\": a repository has one of them");
  if (user && !password)
    yml_error(d, user, NULL, "\"user\" wants \"password\" beside it");
  if (token && vcs_is_svn(vcs))
    yml_error(d, token, "user: NAME, password: SECRET", "Subversion knows no tokens, but users with passwords");
  else if (token && !vcs_url_is_safe(url))
    yml_error(d, token, "https://HOST/PATH", "a token goes over https only");
  else if (l->bearer && vcs != VCS_GIT)
    yml_error(d, as, NULL, "only git sends a token as a bearer");
  if (password && !vcs_url_is_safe(url) && !(vcs_is_svn(vcs) && str_starts(url, "svn://")))
    yml_error(d, password, "https://HOST/PATH", "a password goes over https only");
  else if (password && !l->user && !named)
    yml_error(d, password, "user: NAME", "whose password it is: neither \"user\" nor the URL says");
  if (l->user && named && strcmp(l->user, named))
    yml_error(d, password ? user : token, NULL, "it is for the user %s, and the URL names %s", l->user, named);
  free(named);
}

static void check(struct conf_login *l, const struct yml_node *map, enum vcs vcs, const char *url, struct diags *d)
{
  const struct yml_node *key = yml_get(map, "key"), *hosts = yml_get(map, "host_keys");
  bool ssh = vcs_url_is_ssh(url) && !vcs_is_svn(vcs);

  if (key && !ssh)
    yml_error(d, key, vcs_is_svn(vcs) ? NULL : vcs == VCS_HG ? "ssh://USER@HOST/PATH" : "ssh://git@HOST/PATH, or git@HOST:PATH", "a key is for a repository that is reached by ssh");
  if (hosts && !ssh)
    yml_error(d, hosts, NULL, "only ssh has host keys");
  if (vcs == VCS_HG && ssh && (!key || !hosts))
    yml_error(d, yml_get(map, "hg"), "key: SECRET, host_keys: [\"SHA256:…\"]", "a repository of Mercurial over ssh wants \"key\" and \"host_keys\"");
  check_password(l, map, vcs, url, d);
}

void conf_login_read(struct conf_login *l, const struct yml_node *map, enum vcs vcs, const char *url, bool files, struct diags *d)
{
  const struct yml_node *key = yml_get(map, "key"), *token = yml_get(map, "token"), *password = yml_get(map, "password"), *user = yml_get(map, "user");

  take(key, files, secret_read_key, &l->key, &l->key_secret, l, d);
  if (password)
    take(password, files, secret_read_password, &l->token, &l->token_secret, l, d);
  else
    take(token, files, secret_read, &l->token, &l->token_secret, l, d);
  l->password = password != NULL;
  if (token && token->kind == YML_MAP) {
    l->user = xstrdup(schema_text(token, SCHEMA_TOKEN, "user"));
    l->bearer = str_eq(schema_text(token, SCHEMA_TOKEN, "as"), "bearer");
  } else if (is_text(user)) {
    l->user = xstrdup(user->text);
  }
  read_host_keys(l, yml_get(map, "host_keys"), d);
  if (url)
    check(l, map, vcs, url, d);
}

void conf_check_logins(struct conf *c, struct diags *d)
{
  for (int i = 0; i < c->nprojects; i++)
    for (int k = 0; k < c->projects[i].ncodebases; k++) {
      struct conf_login *l = &c->projects[i].codebases[k].login;
      const char *name = conf_login_secret(l), **names;
      char *help;
      if (name && !conf_secret(c, name)) {
        names = xcalloc((size_t)c->nsecrets + 1, sizeof *names);
        for (int s = 0; s < c->nsecrets; s++)
          names[s] = c->secrets[s].name;
        help = pipe_did_you_mean(name, names, c->nsecrets);
        yml_error(d, l->at, help, "there is no secret \"%s\" in the site's configuration", name);
        free(help);
        free(names);
      }
      l->at = NULL;
    }
}

/* ---- what there is ---- */

enum vcs_login conf_login_kind(const struct conf_login *l, const char *url)
{
  if (vcs_url_is_ssh(url))
    return l->key || l->key_secret ? VCS_LOGIN_KEY : VCS_LOGIN_NONE;
  if (!l->token && !l->token_secret)
    return VCS_LOGIN_NONE;
  return l->bearer ? VCS_LOGIN_BEARER : VCS_LOGIN_PASSWORD;
}

const char *conf_login_secret(const struct conf_login *l)
{
  return l->key_secret ? l->key_secret : l->token_secret;
}

char *conf_login_called(const struct conf_login *l, const char *what)
{
  const char *name = conf_login_secret(l);

  return xasprintf("the %s %s%sof %s", l->key || l->key_secret ? "key" : l->password ? "password" : "token", name ? name : "", name ? " " : "", what);
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
  free(l->key_secret);
  free(l->token_secret);
  free(l->user);
  free(l->pins);
  for (int i = 0; i < l->nhost_keys; i++)
    free(l->host_keys[i]);
  free(l->host_keys);
}

bool conf_login_same(const struct conf_login *a, const struct conf_login *b)
{
  return str_eq(a->key, b->key) && str_eq(a->token, b->token); /* the rest stands in the text, and secrets of the site are read when they are wanted */
}
