/* The step `checkout` for Subversion.

     stat ─▶ cleanup ─▶ switch ─▶ revert ─▶ purge ─▶ revision ─▶ done
       └──▶ checkout ────────────▲     a failed command on the way, once: ─▶ remove ─▶ checkout
               ▲                       sleeps in every state but done and failed
               └── remove

   wipe stands between stat and checkout where the builder's checkouts made another tree of it before, as of git. Where untracked files are kept there is no purge. What lies in its folder and is another
   checkout's goes with the purge, since svn can't leave a folder out: the checkout that comes after brings it anew.
   switch brings a tree of any branch of the same repository to what is wanted, also one that is there already; a tree of another repository it refuses. It goes before revert: what an earlier build
   has changed, or left where files are now to be, it takes for changes and conflicts, and both go then. cleanup ends what a killed svn had begun. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/changes/githelper.h"
#include "master/steps/checkout.h"

enum { SVN_STAT, SVN_WIPE, SVN_CHECKOUT, SVN_CLEANUP, SVN_SWITCH, SVN_REVERT, SVN_PURGE, SVN_REVISION, SVN_REMOVE, SVN_DONE, SVN_FAIL, SVN_COUNT };
enum { PLACE_MAX = 2600 };

static const struct sm_row rows[SVN_COUNT] = {
  [SVN_STAT] = { "stat", SM_TO(SVN_WIPE) | SM_TO(SVN_CHECKOUT) | SM_TO(SVN_CLEANUP) | SM_TO(SVN_FAIL) },
  [SVN_WIPE] = { "wipe", SM_TO(SVN_CHECKOUT) | SM_TO(SVN_FAIL) },
  [SVN_CHECKOUT] = { "checkout", SM_TO(SVN_REVERT) | SM_TO(SVN_REMOVE) | SM_TO(SVN_FAIL) },
  [SVN_CLEANUP] = { "cleanup", SM_TO(SVN_SWITCH) | SM_TO(SVN_REMOVE) | SM_TO(SVN_FAIL) },
  [SVN_SWITCH] = { "switch", SM_TO(SVN_REVERT) | SM_TO(SVN_REMOVE) | SM_TO(SVN_FAIL) },
  [SVN_REVERT] = { "revert", SM_TO(SVN_PURGE) | SM_TO(SVN_REVISION) | SM_TO(SVN_REMOVE) | SM_TO(SVN_FAIL) },
  [SVN_PURGE] = { "purge", SM_TO(SVN_REVISION) | SM_TO(SVN_REMOVE) | SM_TO(SVN_FAIL) },
  [SVN_REVISION] = { "revision", SM_TO(SVN_DONE) | SM_TO(SVN_FAIL) },
  [SVN_REMOVE] = { "remove", SM_TO(SVN_CHECKOUT) | SM_TO(SVN_FAIL) },
  [SVN_DONE] = { "done", 0 },
  [SVN_FAIL] = { "failed", 0 },
};

static const char *wanted_revision(const struct source *w)
{
  return *w->revision ? w->revision : "HEAD";
}

/* The branch's URL at the revision. All of it has passed gith_is_…: no character of it has to be escaped, and with the last @ a revision begins. */
static void place(const struct source *w, char out[PLACE_MAX])
{
  size_t n = strlen(w->url);

  while (n && w->url[n - 1] == '/')
    n--;
  if (w->vcs == VCS_SVN_FOLDER)
    snprintf(out, PLACE_MAX, "%.*s@%s", (int)n, w->url, wanted_revision(w));
  else
    snprintf(out, PLACE_MAX, "%.*s/%s@%s", (int)n, w->url, w->branch, wanted_revision(w));
}

static int begin(struct step *s)
{
  struct source w;

  if (!checkout_find(s) || !checkout_is_safe(s))
    return SVN_FAIL;
  w = checkout_source(s);
  if (w.vcs == VCS_SVN_FOLDER && strcmp(w.branch, "trunk")) {
    checkout_fail(s, RESULT_EXCEPTION, "the repository has no branch %.200s: its folder is the branch trunk", w.branch);
    return SVN_FAIL;
  }
  return SVN_STAT;
}

#define ALONE "--non-interactive", "--no-auth-cache"

static void enter(struct step *s, struct intent *out)
{
  struct source w = checkout_source(s);
  static const char *const alone[] = { "svn", NULL };
  char from[PLACE_MAX];
  const char *const secret[] = { "sh", "-c", login_svn, "svn", from, NULL }, *const *svn = w.login.kind == VCS_LOGIN_NONE ? alone : secret;

  place(&w, from);
  switch (s->sm.state) {
  case SVN_STAT:
    checkout_op(s, out, VERB_stat, ".svn");
    return;
  case SVN_WIPE:
    checkout_wipe(s, out);
    return;
  case SVN_REMOVE:
    checkout_op(s, out, VERB_remove, "");
    return;
  case SVN_CHECKOUT:
    (void)!checkout_ask(s, out, svn, (const char *[]){ "checkout", ALONE, "--ignore-externals", "--force", "-r", wanted_revision(&w), "--", from, ".", NULL });
    return;
  case SVN_CLEANUP:
    checkout_put(s, out, (const char *[]){ "svn", "cleanup", "--non-interactive", ".", NULL });
    return;
  case SVN_SWITCH:
    (void)!checkout_ask(s, out, svn, (const char *[]){ "switch", ALONE, "--ignore-externals", "--ignore-ancestry", "--force", "--accept", "postpone", "--set-depth", "infinity", "-r", wanted_revision(&w), "--", from, ".", NULL });
    return;
  case SVN_REVERT:
    checkout_put(s, out, (const char *[]){ "svn", "revert", "--non-interactive", "-q", "-R", ".", NULL });
    return;
  case SVN_PURGE:
    checkout_put(s, out, (const char *[]){ "svn", "cleanup", "--non-interactive", "-q", "--remove-unversioned", "--remove-ignored", ".", NULL });
    return;
  case SVN_REVISION:
    checkout_put(s, out, (const char *[]){ "svn", "info", "--non-interactive", "--show-item", "last-changed-revision", ".", NULL });
    return;
  default:
    checkout_end(s, out, s->sm.state == SVN_DONE);
    return;
  }
}

static int revision(struct step *s, const struct reply *r)
{
  size_t n = strspn(r->output, "0123456789");
  char text[16] = "";

  if (n < sizeof text)
    memcpy(text, r->output, n);
  if (r->kind != REPLY_OK || !gith_is_full(checkout_source(s).vcs, text) || r->output[n + strspn(r->output + n, " \r\n")]) {
    checkout_fail(s, RESULT_EXCEPTION, "svn info did not tell the revision");
    return SVN_FAIL;
  }
  checkout_take(s, r->output, n);
  return SVN_DONE;
}

static int got(struct step *s, const struct reply *r)
{
  static const int after[SVN_COUNT] = { [SVN_CHECKOUT] = SVN_REVERT, [SVN_CLEANUP] = SVN_SWITCH, [SVN_SWITCH] = SVN_REVERT, [SVN_PURGE] = SVN_REVISION };
  bool ok = r->kind == REPLY_OK;

  switch (s->sm.state) {
  case SVN_STAT:
    if (ok || r->kind == REPLY_NOTFOUND)
      return checkout_other_layout(s) ? SVN_WIPE : ok ? SVN_CLEANUP : SVN_CHECKOUT;
    return checkout_cant(s, r, "look at", SVN_FAIL);
  case SVN_WIPE:
  case SVN_REMOVE:
    if (ok)
      return SVN_CHECKOUT;
    return checkout_cant(s, r, "remove", SVN_FAIL);
  case SVN_REVISION:
    return revision(s, r);
  case SVN_DONE:
  case SVN_FAIL:
    return SVN_FAIL;
  case SVN_REVERT:
    if (ok && s->def->checkout.keep)
      return SVN_REVISION;
    return ok ? SVN_PURGE : checkout_again(s, r, SVN_REMOVE, SVN_FAIL);
  default:
    return ok ? after[s->sm.state] : checkout_again(s, r, SVN_REMOVE, SVN_FAIL);
  }
}

const struct step_kind step_svn = { "svn", rows, SVN_COUNT, begin, enter, got, true };
