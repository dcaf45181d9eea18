/* The address of a repository. Against option injection: what a program would take for an option, for a program to run or for a file of this host is refused here, and once more where it is used
   (changes/gitname.c). */
#include "master/conf/conf_repo.h"

#include <string.h>

#include "common/str.h"
#include "master/conf/diag.h"
#include "master/conf/schema.h"
#include "master/conf/yaml.h"

enum { URL_MAX = 2048, SCHEMES_MAX = 4 };

/* What each kind of repository is reached by. */
static const struct kind {
  const char *key;
  enum vcs vcs;
  const char *schemes[SCHEMES_MAX + 1];
  bool scp_form, plain_path;
  const char *help;
} kinds[] = {
  { "git", VCS_GIT, { "https://", "http://", "ssh://", "git://" }, true, true, "it starts with https://, http://, ssh:// or git://, or is user@host:path" },
  { "svn", VCS_SVN, { "https://", "http://", "svn://" }, false, false, "it starts with https://, http:// or svn://" },
  { "hg", VCS_HG, { "https://", "http://", "ssh://" }, false, true, "it starts with https://, http:// or ssh://" },
};

static bool printable(const char *s)
{
  for (; *s; s++)
    if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr("\"'`\\<>|$;", *s))
      return false;
  return true;
}

/* user@host:path, no part of which could be taken for an option. */
static bool is_scp_form(const char *s)
{
  static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  size_t user = strspn(s, word), host;

  if (!user || s[user] != '@')
    return false;
  s += user + 1;
  host = strspn(s, word);
  return host && *s != '-' && s[host] == ':' && s[host + 1] && s[host + 1] != '-' && s[host + 1] != ':';
}

static bool is_remote_url(const struct kind *k, const char *s)
{
  for (size_t i = 0; k->schemes[i]; i++)
    if (str_starts(s, k->schemes[i])) {
      const char *host = s + strlen(k->schemes[i]), *end = host + strcspn(host, "/?#");
      const char *at = memchr(host, '@', (size_t)(end - host));
      return host < end && *host != '-' && (!at || (at[1] != '-' && at + 1 < end));
    }
  return false;
}

static void check_url(const struct kind *k, const struct yml_node *n, bool allow_local, struct diags *d)
{
  const char *s = n->text;
  bool local = (k->plain_path && s[0] == '/') || str_starts(s, "file:///");

  if (strlen(s) > URL_MAX)
    yml_error(d, n, NULL, "a URL longer than %d bytes", URL_MAX);
  else if (s[0] == '-')
    yml_error(d, n, NULL, "a repository can't start with \"-\"");
  else if (local && !allow_local)
    yml_error(d, n, "in master.yaml: allow_local: true", "a repository on this host needs \"allow_local\"");
  else if (!printable(s))
    yml_error(d, n, NULL, "a repository's URL has no blanks, quotes, backslashes or other characters of the shell");
  else if (!local && !is_remote_url(k, s) && !(k->scp_form && is_scp_form(s)))
    yml_error(d, n, k->help, "\"%s\" is not a repository's URL", s);
}

/* Keys that nothing is known of were told already, and one of them may be meant for the one that is missing. */
static bool has_strange_key(const struct yml_node *map)
{
  for (int i = 0; map->kind == YML_MAP && i < map->n; i++)
    if (!schema_has(SCHEMA_PROJECT, map->keys[i]->text))
      return true;
  return false;
}

/* What only git has. */
static void refuse_others(const struct kind *k, const struct yml_node *map, struct diags *d)
{
  const struct yml_node *hook = yml_get(map, "hook");

  if (hook && hook->kind == YML_MAP)
    yml_error(d, hook, "hook: poll, and a hook of the repository that posts to /hooks/NAME", "no forge tells of a %s repository", k->key);
}

char *conf_repo_read(const struct yml_node *map, const struct yml_node *name, bool allow_local, enum vcs *vcs, struct diags *d)
{
  const struct yml_node *n = NULL, *layout = yml_get(map, "layout"), *more;
  const struct kind *k = NULL;

  *vcs = VCS_GIT;
  for (size_t i = 0; i < COUNT(kinds); i++) {
    more = yml_get(map, kinds[i].key);
    if (more && n) {
      yml_error(d, more, NULL, "a project has one repository: \"%s\" can't stand beside \"%s\"", kinds[i].key, k->key);
    } else if (more) {
      n = more;
      k = &kinds[i];
    }
  }
  if (!n) {
    if (!has_strange_key(map))
      yml_error(d, name, NULL, "\"%s\" wants the key \"git\", or \"svn\" or \"hg\"", name->text);
    return NULL;
  }
  *vcs = k->vcs;
  if (layout && k->vcs != VCS_SVN)
    yml_error(d, layout, NULL, "\"layout\" is for \"svn\" only: the branches of a %s repository are known without it", k->key);
  else if (str_eq(schema_text(map, SCHEMA_PROJECT, "layout"), "folder"))
    *vcs = VCS_SVN_FOLDER;
  if (k->vcs != VCS_GIT)
    refuse_others(k, map, d);
  if (n->kind != YML_SCALAR || yml_is_null(n))
    return NULL; /* told by the schema */
  check_url(k, n, allow_local, d);
  return xstrdup(n->text);
}
