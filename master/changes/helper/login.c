/* Who we are to a server, and whether it is the one that was meant. A key or a token is for the host of the project's URL and no other, so no redirection leads to another one; nor may
   a server lead the master to addresses that only the master reaches. A server whose host key
   is not pinned is told nothing, and the failure says which line would pin it. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/helper/helper.h"

#define ANY_USER "x-access-token" /* most forges look at the token only; GitHub wants this one for the tokens of its apps */
#define GIT_USER "git"

enum { SHA256_BYTES = 32, BASE64_CHARS = 43 };

/* Without padding, as OpenSSH shows fingerprints. */
static void base64(const unsigned char *p, char out[BASE64_CHARS + 1])
{
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t n = 0;

  for (int bit = 0; bit < SHA256_BYTES * 8; bit += 6) {
    int at = bit / 8, value = p[at] << 8 | (at + 1 < SHA256_BYTES ? p[at + 1] : 0);
    out[n++] = letters[value >> (10 - bit % 8) & 63];
  }
  out[n] = 0;
}

static int on_certificate(git_cert *cert, int valid, const char *host, void *arg)
{
  struct help *h = arg;
  const git_cert_hostkey *key = (const git_cert_hostkey *)cert;
  char mark[sizeof "SHA256:" + BASE64_CHARS] = "SHA256:";

  (void)valid;
  if (cert->cert_type != GIT_CERT_HOSTKEY_LIBSSH2)
    return GIT_PASSTHROUGH;
  if (!(key->type & GIT_CERT_SSH_SHA256)) {
    help_fail(h, ERR_DENIED, "the host key of %s can't be looked at", host);
    return GIT_ECERTIFICATE;
  }
  base64((const unsigned char *)key->hash_sha256, mark + strlen(mark));
  for (size_t i = 0; i < h->nhost_keys; i++)
    if (!strcmp(h->host_keys[i], mark))
      return 0;
  (void)!help_host_key(h, host, mark);
  return GIT_ECERTIFICATE;
}

static int refused(struct help *h, const char *what)
{
  help_fail(h, ERR_DENIED, "the server does not take %s", what);
  return GIT_EAUTH;
}

static int on_credentials(git_credential **out, const char *url, const char *user, unsigned types, void *arg)
{
  struct help *h = arg;

  (void)url; /* the project's, whatever redirections were followed */
  if (types & GIT_CREDENTIAL_USERNAME)
    return git_credential_username_new(out, user ? user : GIT_USER);
  if (types & GIT_CREDENTIAL_SSH_MEMORY && h->key) /* asked again: it was not taken */
    return h->shown++ ? refused(h, "the project's key") : git_credential_ssh_key_memory_new(out, user ? user : GIT_USER, NULL, h->key, NULL);
  if (types & GIT_CREDENTIAL_USERPASS_PLAINTEXT && h->token && !h->bearer)
    return h->shown++ ? refused(h, "the project's token") : git_credential_userpass_plaintext_new(out, *h->user ? h->user : user && *user ? user : ANY_USER, h->token);
  return h->token && h->bearer ? refused(h, "the project's token") : GIT_PASSTHROUGH; /* libgit2 says that credentials were asked for */
}

void help_login(struct help *h, struct help_login *l, git_remote_callbacks *callbacks, git_strarray *headers, git_remote_redirect_t *redirects)
{
  h->shown = 0;
  callbacks->credentials = on_credentials;
  callbacks->certificate_check = on_certificate;
  *redirects = GIT_REMOTE_REDIRECT_NONE; /* to other hosts */
  l->header = NULL;
  if (!h->token || !h->bearer)
    return;
  l->header = xasprintf("Authorization: Bearer %s", h->token);
  l->headers[0] = l->header;
  *headers = (git_strarray){ l->headers, 1 };
}

void help_login_free(struct help_login *l)
{
  if (l->header)
    mem_wipe(l->header, strlen(l->header));
  free(l->header);
}
