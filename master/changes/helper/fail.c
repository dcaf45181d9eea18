/* From what libgit2 says to a code and a sentence for people. libgit2 has few codes, so some cases are told apart by its words. */
#include <stdarg.h>
#include <string.h>

#include "master/changes/helper/helper.h"

static const struct help_words known_words[] = {
  { "objectformat", ERR_FAILED, "it is a SHA-256 repository; only SHA-1 repositories can be read" },
  { "error parsing REF pkt", ERR_FAILED, "its list of branches can't be read; it may be a SHA-256 repository, only SHA-1 repositories can be read" },
  { "access denied or repository not exported", ERR_NOTFOUND, "no such repository, or the server does not export it" },
  { "status code: 404", ERR_NOTFOUND, "no such repository" },
  { "status code: 410", ERR_NOTFOUND, "no such repository" },
  { "status code: 401", ERR_DENIED, "the server asks for a user and password" },
  { "status code: 403", ERR_DENIED, "the server refuses access" },
  { "status code: 5", ERR_AWAY, NULL },
  { "authentication required", ERR_DENIED, "the server asks for credentials, and none are set for this address" },
  { "no callback set", ERR_DENIED, "the server asks for credentials, and none are set for this address" },
  { "No space left", ERR_NOSPACE, NULL },
  { "Disk quota", ERR_NOSPACE, NULL },
  { "Permission denied", ERR_DENIED, NULL },
  { "failed to resolve address", ERR_AWAY, NULL },
  { "failed to connect", ERR_AWAY, NULL },
  { "cannot redirect", ERR_DENIED, "it redirects to another host; write the address where the repository is" },
  { "redirect", ERR_DENIED, NULL },
  { "malformed URL", ERR_DENIED, "it redirects to an address that is not taken" },
  { "invalid content-type", ERR_NOTFOUND, "what is there is no git repository" },
};

enum err help_fail(struct help *h, enum err e, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  if (!h->why)
    h->why = xvasprintf(fmt, ap);
  va_end(ap);
  return e;
}

const struct help_words *help_words_in(const char *text, const struct help_words *known, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (strstr(text, known[i].words))
      return &known[i];
  return NULL;
}

enum err help_words_fail(struct help *h, const char *what, const struct help_words *w, const char *own)
{
  if (!w)
    return help_fail(h, ERR_FAILED, "%s: %s", what, own);
  return help_fail(h, w->err, "%s: %s", what, !w->sentence ? own : *w->sentence ? w->sentence : help_asked(h));
}

static enum err by_code(int rc, int klass)
{
  switch (rc) {
  case GIT_ENOTFOUND: return ERR_NOTFOUND;
  case GIT_EAUTH:
  case GIT_ECERTIFICATE: return ERR_DENIED;
  default: break;
  }
  switch (klass) {
  case GIT_ERROR_NET:
  case GIT_ERROR_HTTP:
  case GIT_ERROR_SSL:
  case GIT_ERROR_SSH: return ERR_AWAY;
  default: return ERR_FAILED;
  }
}

enum err help_git_fail(struct help *h, int rc, const char *what)
{
  const git_error *e = git_error_last();
  const char *text = e && e->message ? e->message : "no reason given";
  const struct help_words *w = help_words_in(text, known_words, COUNT(known_words));

  if (w)
    return help_words_fail(h, what, w, text);
  if (rc == GIT_ECERTIFICATE)
    return help_fail(h, ERR_DENIED, "%s: the server's certificate or host key is not trusted (%s)", what, text);
  return help_fail(h, by_code(rc, e ? e->klass : 0), "%s: %s", what, text);
}

enum err help_repo_fail(struct help *h, int rc, const char *what)
{
  enum err e = help_git_fail(h, rc, what);

  if (e == ERR_NOSPACE)
    return e;
  h->broken = h->remote && !h->fresh;
  return ERR_FAILED;
}
