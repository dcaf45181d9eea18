/* The step `checkout` for Mercurial.

     stat ─▶ pull ─▶ update ─▶ purge ─▶ revision ─▶ done
       └──▶ clone ──▲     a failed command on the way, once: ─▶ remove ─▶ clone
              ▲           sleeps in every state but done and failed
              └── remove

   wipe stands between stat and clone where the builder's checkouts made another tree of it before, as of git. Where untracked files are kept there is no purge.
   No settings count but those of the command line, and a password (login.c): neither the user's or the host's (HGRCPATH), nor those that an earlier build has left in the tree (HGRCSKIPREPO). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/changes/githelper.h"
#include "master/steps/checkout.h"
#include "proto/records.h"

enum { HG_STAT, HG_WIPE, HG_CLONE, HG_PULL, HG_UPDATE, HG_PURGE, HG_REVISION, HG_REMOVE, HG_DONE, HG_FAIL, HG_COUNT };
enum { TARGET_MAX = 400 };

static const struct sm_row rows[HG_COUNT] = {
  [HG_STAT] = { "stat", SM_TO(HG_WIPE) | SM_TO(HG_CLONE) | SM_TO(HG_PULL) | SM_TO(HG_FAIL) },
  [HG_WIPE] = { "wipe", SM_TO(HG_CLONE) | SM_TO(HG_FAIL) },
  [HG_CLONE] = { "clone", SM_TO(HG_UPDATE) | SM_TO(HG_REMOVE) | SM_TO(HG_FAIL) },
  [HG_PULL] = { "pull", SM_TO(HG_UPDATE) | SM_TO(HG_REMOVE) | SM_TO(HG_FAIL) },
  [HG_UPDATE] = { "update", SM_TO(HG_PURGE) | SM_TO(HG_REVISION) | SM_TO(HG_REMOVE) | SM_TO(HG_FAIL) },
  [HG_PURGE] = { "purge", SM_TO(HG_REVISION) | SM_TO(HG_REMOVE) | SM_TO(HG_FAIL) },
  [HG_REVISION] = { "revision", SM_TO(HG_DONE) | SM_TO(HG_FAIL) },
  [HG_REMOVE] = { "remove", SM_TO(HG_CLONE) | SM_TO(HG_FAIL) },
  [HG_DONE] = { "done", 0 },
  [HG_FAIL] = { "failed", 0 },
};

/* As a set of revisions, so that nothing in it is taken for another name: the digits for one of a bookmark, a number, or a branch called like them. Of a branch its newest head that is not closed;
   bookmarks of the server are not all known here, so of one the revision must be said. */
static void target(const struct source *w, char out[TARGET_MAX])
{
  if (*w->revision)
    snprintf(out, TARGET_MAX, "id(%s)", w->revision);
  else
    snprintf(out, TARGET_MAX, "last(head() and branch('literal:%s') and not closed())", w->branch);
}

static int begin(struct step *s)
{
  return checkout_find(s) && checkout_is_safe(s) ? HG_STAT : HG_FAIL;
}

#define ALONE "hg", "--noninteractive", "--config", "ui.timeout=30"
static const char *const hg[] = { ALONE, NULL };

/* Each -X and its path: what lies in this tree and is another checkout's. */
static bool put_purge(const struct step *s, struct intent *out)
{
  const char *argv[9 + 2 * PIPELINE_CHECKOUTS_MAX] = { ALONE, "--config", "extensions.purge=", "purge", "--all" };
  char *patterns[PIPELINE_CHECKOUTS_MAX];
  int n = 8, count = 0;
  bool put;

  for (const char *const *it = s->def->checkout.inside; it && *it; it++) {
    argv[n++] = "-X";
    argv[n++] = patterns[count++] = xasprintf("path:%s", *it);
  }
  argv[n] = NULL;
  put = checkout_put(s, out, argv);
  for (int i = 0; i < count; i++)
    free(patterns[i]);
  return put;
}

static void enter(struct step *s, struct intent *out)
{
  struct source w = checkout_source(s);
  const char *url = w.url;
  char to[TARGET_MAX];
  bool put;

  target(&w, to);
  switch (s->sm.state) {
  case HG_STAT:
    checkout_op(s, out, VERB_stat, ".hg");
    return;
  case HG_WIPE:
    checkout_wipe(s, out);
    return;
  case HG_REMOVE:
    checkout_op(s, out, VERB_remove, "");
    return;
  case HG_CLONE:
    put = checkout_ask(s, out, hg, (const char *[]){ "clone", "--noupdate", "--", url, ".", NULL });
    break;
  case HG_PULL:
    put = checkout_ask(s, out, hg, (const char *[]){ "pull", "--", url, NULL });
    break;
  case HG_UPDATE:
    put = checkout_put(s, out, (const char *[]){ ALONE, "update", "--clean", "--rev", to, NULL });
    break;
  case HG_PURGE:
    put = put_purge(s, out);
    break;
  case HG_REVISION:
    put = checkout_put(s, out, (const char *[]){ ALONE, "log", "--rev", ".", "--template", "{node}\\n", NULL });
    break;
  default:
    checkout_end(s, out, s->sm.state == HG_DONE);
    return;
  }
  if (!put)
    return;
  records_put(&out->spec, "env", "HGRCPATH=");
  records_put(&out->spec, "env", "HGRCSKIPREPO=1");
  records_put(&out->spec, "env", "HGPLAIN=1");
  records_put(&out->spec, "env", "HGENCODING=UTF-8");
}

static int revision(struct step *s, const struct reply *r)
{
  size_t n = strspn(r->output, "0123456789abcdef");

  if (r->kind != REPLY_OK || n != 40 || (r->output[n] && r->output[n] != '\n')) {
    checkout_fail(s, RESULT_EXCEPTION, "hg log did not tell the revision");
    return HG_FAIL;
  }
  checkout_take(s, r->output, n);
  return HG_DONE;
}

static int got(struct step *s, const struct reply *r)
{
  static const int after[HG_COUNT] = { [HG_CLONE] = HG_UPDATE, [HG_PULL] = HG_UPDATE, [HG_PURGE] = HG_REVISION };
  bool ok = r->kind == REPLY_OK;

  switch (s->sm.state) {
  case HG_STAT:
    if (ok || r->kind == REPLY_NOTFOUND)
      return checkout_other_layout(s) ? HG_WIPE : ok ? HG_PULL : HG_CLONE;
    return checkout_cant(s, r, "look at", HG_FAIL);
  case HG_WIPE:
  case HG_REMOVE:
    if (ok)
      return HG_CLONE;
    return checkout_cant(s, r, "remove", HG_FAIL);
  case HG_REVISION:
    return revision(s, r);
  case HG_DONE:
  case HG_FAIL:
    return HG_FAIL;
  case HG_UPDATE:
    if (ok && s->def->checkout.keep)
      return HG_REVISION;
    return ok ? HG_PURGE : checkout_again(s, r, HG_REMOVE, HG_FAIL);
  default:
    return ok ? after[s->sm.state] : checkout_again(s, r, HG_REMOVE, HG_FAIL);
  }
}

const struct step_kind step_hg = { "hg", rows, HG_COUNT, begin, enter, got, true };
