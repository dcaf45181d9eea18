/* Credentials of checkouts, as each program takes them.

   They are there only while a command runs that asks the server (clone, fetch, switch …): as secrets of that command, in files outside of the work folder or in a variable, never in a command line. The
   commands behind it and the build's steps have nothing of them, so builds of pull requests from forks may be checked out too.

     git by ssh       GIT_SSH_COMMAND, a constant (conf/vcs_ssh.c), which shows the key to servers that are pinned and to no other: submodules too.
     git, a password  git's own credential store, on a file with a line for this one server. git asks it for the server that it is about to speak to, so submodules of other servers, and other servers that
                      a redirection leads to, find nothing there. http.extraHeader, the usual way, is none: git sends it on to wherever its first request was redirected. The helper is run by a shell, but its
                      text is a constant, and the empty one before it takes away those that an earlier build may have left in the tree's settings.
     git, a bearer    only a header will do: for the URLs of this server, by --config-env, which reaches submodules, and whose argument is the name of a variable. For the reason above redirections are not
                      followed then.
     svn              a line on standard input, the only way but its cache, which would want the server's own words (realm) beforehand. sh opens the file: its script is a constant too. svn would tell that line
                      to whatever server it is led to; so it asks without first, and where that led anywhere there is no second time.
     hg by ssh        ui.ssh, the same constant as git's.
     hg, a password   HGRCPATH, all the settings that hg has here, is a file with [auth] for this one server.

   Of the pipeline's environment nothing but proxies gets into such a command (git.c, checkout.c): whoever writes it could else send the program to places of their own, or take its eyes off certificates. */
#include "master/steps/login.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/vcs_ssh.h"
#include "master/conf/vcs_url.h"
#include "proto/records.h"

#define VARIABLE "DROVER_LOGIN"
#define ANY_USER "x-access-token" /* as the master's own looks: most forges look at the token only */

const char login_svn[] = "u=$1; shift; case $u in http*) r=$(svn info --non-interactive --no-auth-cache -- \"$u\" 2>&1 </dev/null); case $r in *\"" LOGIN_SVN_LED "\"*) echo \"$r\" >&2;"
                         " echo \"the repository is led elsewhere, and no password goes there\" >&2; exit 1 ;; esac ;; esac; exec svn \"$@\" <\"$" VARIABLE "\"";

int login_options(const struct step_login *l, enum vcs vcs, const char *url, const char *out[LOGIN_OPTIONS_MAX], char **held)
{
  char *server;
  int n = 0;

  *held = NULL;
  if (vcs == VCS_GIT && l->kind == VCS_LOGIN_PASSWORD) {
    out[n++] = "-c";
    out[n++] = "credential.helper=";
    out[n++] = "-c";
    out[n++] = "credential.helper=store --file \"$" VARIABLE "\"";
  } else if (vcs == VCS_GIT && l->kind == VCS_LOGIN_BEARER) {
    server = vcs_url_server(url);
    *held = xasprintf("--config-env=http.%s.extraHeader=" VARIABLE, server ? server : "");
    free(server);
    out[n++] = *held;
    out[n++] = "-c";
    out[n++] = "http.followRedirects=false";
  } else if (vcs == VCS_HG && l->kind == VCS_LOGIN_KEY) {
    out[n++] = "--config";
    out[n++] = *held = xasprintf("ui.ssh=%s", vcs_ssh_command);
  } else if (vcs_is_svn(vcs) && l->kind == VCS_LOGIN_PASSWORD) {
    out[n++] = "--username";
    out[n++] = l->user ? l->user : ANY_USER;
    out[n++] = "--password-from-stdin";
  }
  return n;
}

void login_put(const struct step_login *l, enum vcs vcs, struct buf *spec)
{
  if (l->kind == VCS_LOGIN_NONE)
    return;
  if (vcs == VCS_GIT)
    records_put(spec, "env", "GIT_CONFIG_GLOBAL=/dev/null"); /* a step before this checkout may have written some */
  if (l->kind == VCS_LOGIN_KEY) {
    records_put(spec, "secret_file", VCS_SSH_KEY "=" LOGIN_KEY);
    records_putf(spec, "env", VCS_SSH_HOSTS "=%s", l->pins ? l->pins : "");
    if (vcs == VCS_GIT) {
      records_putf(spec, "env", "GIT_SSH_COMMAND=%s", vcs_ssh_command);
      records_put(spec, "env", "GIT_SSH_VARIANT=ssh");
    }
  } else if (l->kind == VCS_LOGIN_BEARER) {
    records_put(spec, "secret", VARIABLE "=" LOGIN_VALUE);
  } else {
    records_put(spec, "secret_file", vcs == VCS_HG ? "HGRCPATH=" LOGIN_VALUE : VARIABLE "=" LOGIN_VALUE);
  }
}

/* All that could mean something in a URL, escaped. */
static void add_escaped(struct buf *b, const char *s)
{
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

  for (; *s; s++)
    buf_addf(b, strchr(plain, *s) ? "%c" : "%%%02X", (unsigned char)*s);
}

char *login_made(const struct step_login *l, enum vcs vcs, const char *url, const char *secret)
{
  char *server = vcs_url_server(url), *named = vcs_url_user(url);
  const char *user = l->user ? l->user : named ? named : ANY_USER;
  size_t n = strlen(secret);
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  buf_reserve(&b, 4 * n + (server ? strlen(server) : 0) + 3 * strlen(user) + 200); /* once: a buffer that grows leaves bytes behind */
  if (l->kind == VCS_LOGIN_KEY) {
    buf_addf(&b, "%s%s", secret, n && secret[n - 1] == '\n' ? "" : "\n"); /* ssh wants it to end so */
  } else if (l->kind == VCS_LOGIN_BEARER) {
    buf_addf(&b, "Authorization: Bearer %s", secret);
  } else if (vcs == VCS_HG) {
    buf_addf(&b, "[auth]\ndrover.prefix = %s\ndrover.username = %s\ndrover.password = %s\n", server ? server : "", user, secret);
  } else if (vcs == VCS_GIT && server) {
    const char *host = strstr(server, "://") + strlen("://");
    buf_addf(&b, "%.*s", (int)(host - server), server);
    add_escaped(&b, user);
    buf_addc(&b, ':');
    add_escaped(&b, secret);
    buf_addf(&b, "@%.*s\n", (int)strlen(host) - 1, host);
  } else {
    buf_addf(&b, "%s\n", secret);
  }
  free(server);
  free(named);
  return buf_take(&b);
}

bool login_wanted(const void *spec, size_t n)
{
  char key[RECORDS_KEY_MAX + 1];
  const char *value, *name;
  size_t at = 0;

  while (records_next(spec, n, &at, key, &value) == ERR_OK) {
    name = !strcmp(key, "secret") || !strcmp(key, "secret_file") ? strchr(value, '=') : NULL;
    if (name && (!strcmp(name + 1, LOGIN_KEY) || !strcmp(name + 1, LOGIN_VALUE)))
      return true;
  }
  return false;
}

/* ---- refusals ---- */

/* What the programs say then, the more telling ones first. */
static const char *const refusals[] = {
  "which is none of host_keys", "is led elsewhere", "Bad configuration option: knownhostscommand", "Host key verification failed", "Permission denied (", "Too many authentication failures", "invalid format", "error in libcrypto",
  "Authentication failed", "could not read Username", "could not read Password", "requested URL returned error: 401", "requested URL returned error: 403", /* git */
  "E170001", "E215004", "E175013", /* svn */
  "authorization failed", "authorization required", "HTTP Error 401", "HTTP Error 403", /* hg */
};

bool login_refused(const char *errors, char said[LOGIN_SAID_MAX + 1])
{
  for (size_t i = 0; i < COUNT(refusals); i++) {
    const char *found = strstr(errors, refusals[i]), *begin = found;
    size_t n;
    if (!found)
      continue;
    while (begin > errors && begin[-1] != '\n')
      begin--;
    n = strcspn(begin, "\r\n");
    if (n > LOGIN_SAID_MAX)
      n = LOGIN_SAID_MAX;
    for (size_t k = 0; k < n; k++) /* it may be any bytes */
      said[k] = begin[k] >= ' ' && begin[k] < 127 ? begin[k] : '?';
    said[n] = 0;
    return true;
  }
  return false;
}
