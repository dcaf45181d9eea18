/* The step `checkout` for git: the master drives, the worker runs plain commands. (Branches: Buildbot's git step, restated in our own table.) Each codebase is a step of its own.

     trust ─▶ stat ─▶ fetch ─▶ checkout ─▶ clean ─▶ revision ─▶ done
                 └──▶ clone ──▲     failed fetch, clone, checkout or clean on a tree that was there, once:
                       ▲            ─▶ remove ─▶ clone
                       └── remove   sleeps in every state but done and failed

   trust is only entered for a repository on the worker's own disk (allow_local): the clone's other end asks whose it is.
   wipe stands between stat and clone where the builder's checkouts made another tree of it before, with other folders, say: the first of them throws all of it away.
   ref stands between fetch or clone and checkout where the revision is not on a branch: of a tag or a pull request. Where the remote has no such ref (some forges keep none, some hide
   them), the revision may be here nevertheless, and the checkout says whether it is.
   With `depth` init stands for clone, and then, or after stat, comes shallow: the revision alone, with so much of its history. Where the server does not give it out, fetch brings all.
   With `submodules` origin, sync and submodules stand behind checkout (relative addresses count from the origin, which a tree may have from before the repository moved), and subclean behind
   clean. Where untracked files are kept there is no clean.
   patch stands between revision and done where something is tried that is in no repository yet: the revision is what it was made from. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/changes/githelper.h"
#include "master/steps/checkout.h"
#include "master/steps/login.h"
#include "master/steps/step.h"
#include "master/steps/values.h"
#include "proto/records.h"

enum {
  GIT_TRUST, GIT_STAT, GIT_WIPE, GIT_CLONE, GIT_INIT, GIT_SHALLOW, GIT_FETCH, GIT_REF, GIT_CHECKOUT, GIT_ORIGIN, GIT_SYNC, GIT_SUBMODULES, GIT_CLEAN, GIT_SUBCLEAN, GIT_REVISION, GIT_PATCH,
  GIT_REMOVE, GIT_DONE, GIT_FAIL, GIT_COUNT
};

#define AGAIN (SM_TO(GIT_REMOVE) | SM_TO(GIT_FAIL))
static const struct sm_row rows[GIT_COUNT] = {
  [GIT_TRUST] = { "trust", SM_TO(GIT_STAT) | SM_TO(GIT_FAIL) },
  [GIT_STAT] = { "stat", SM_TO(GIT_WIPE) | SM_TO(GIT_CLONE) | SM_TO(GIT_INIT) | SM_TO(GIT_SHALLOW) | SM_TO(GIT_FETCH) | SM_TO(GIT_FAIL) },
  [GIT_WIPE] = { "wipe", SM_TO(GIT_CLONE) | SM_TO(GIT_INIT) | SM_TO(GIT_FAIL) },
  [GIT_CLONE] = { "clone", SM_TO(GIT_REF) | SM_TO(GIT_CHECKOUT) | AGAIN },
  [GIT_INIT] = { "init", SM_TO(GIT_SHALLOW) | AGAIN },
  [GIT_SHALLOW] = { "shallow", SM_TO(GIT_CHECKOUT) | SM_TO(GIT_FETCH) | AGAIN },
  [GIT_FETCH] = { "fetch", SM_TO(GIT_REF) | SM_TO(GIT_CHECKOUT) | AGAIN },
  [GIT_REF] = { "ref", SM_TO(GIT_CHECKOUT) | AGAIN },
  [GIT_CHECKOUT] = { "checkout", SM_TO(GIT_ORIGIN) | SM_TO(GIT_CLEAN) | SM_TO(GIT_REVISION) | AGAIN },
  [GIT_ORIGIN] = { "origin", SM_TO(GIT_SYNC) | AGAIN },
  [GIT_SYNC] = { "sync", SM_TO(GIT_SUBMODULES) | AGAIN },
  [GIT_SUBMODULES] = { "submodules", SM_TO(GIT_CLEAN) | SM_TO(GIT_REVISION) | AGAIN },
  [GIT_CLEAN] = { "clean", SM_TO(GIT_SUBCLEAN) | SM_TO(GIT_REVISION) | AGAIN },
  [GIT_SUBCLEAN] = { "subclean", SM_TO(GIT_REVISION) | AGAIN },
  [GIT_REVISION] = { "revision", SM_TO(GIT_PATCH) | SM_TO(GIT_DONE) | SM_TO(GIT_FAIL) },
  [GIT_PATCH] = { "patch", SM_TO(GIT_DONE) | SM_TO(GIT_FAIL) },
  [GIT_REMOVE] = { "remove", SM_TO(GIT_CLONE) | SM_TO(GIT_INIT) | SM_TO(GIT_FAIL) },
  [GIT_DONE] = { "done", 0 },
  [GIT_FAIL] = { "failed", 0 },
};
#undef AGAIN

#define WHOLE_HISTORY "2147483647" /* git's own word for it: what was cut comes too */

static bool is_local(const char *url)
{
  return url[0] == '/' || !strncmp(url, "file://", 7);
}

/* w: what is asked of its server, by the login that it has; NULL: the command asks none. */
static void put_command(const struct step *s, struct intent *out, const struct source *w, const char *const *argv)
{
  const struct step_login *l = w && w->login.kind != VCS_LOGIN_NONE ? &w->login : NULL;
  const char *options[LOGIN_OPTIONS_MAX];
  char path[STEP_PATH_MAX], folder[STEP_PATH_MAX], *held = NULL;
  struct buf *spec = &out->spec;
  int n = l ? login_options(l, VCS_GIT, w->url, options, &held) : 0;

  records_put(spec, "arg", "git");
  for (int i = 0; i < n; i++)
    records_put(spec, "arg", options[i]);
  free(held);
  for (; *argv; argv++)
    records_put(spec, "arg", *argv);
  if (!(l ? step_put_proxies : step_put_env)(s, out)) /* a proxy, say; what must hold comes behind it */
    return;
  step_common(s->ctx, spec);
  records_put(spec, "env", "GIT_TERMINAL_PROMPT=0");
  records_putf(spec, "env", "GIT_ALLOW_PROTOCOL=https:http:ssh:git%s", s->ctx->allow_local ? ":file" : "");
  records_put(spec, "env", "GIT_CONFIG_NOSYSTEM=1");
  /* a damaged tree is no reason to take a repository above it for ours */
  checkout_place(s, "", folder);
  *strrchr(folder, '/') = 0;
  records_putf(spec, "path", "GIT_CEILING_DIRECTORIES=%s", folder);
  if (s->sm.state == GIT_TRUST) /* it must not read a damaged tree's settings */
    step_path(s->ctx, "home", path);
  else
    checkout_place(s, "", path);
  records_put(spec, "cwd", path);
  records_putf(spec, "idle", "%d", STEP_GIT_IDLE_MS);
  if (l)
    login_put(l, VCS_GIT, spec);
}

static void put_git(const struct step *s, struct intent *out, const char *const *argv)
{
  put_command(s, out, NULL, argv);
}

/* The revision, or the branch's tip as just fetched. Both have passed gith_is_…, so neither can be an option. */
static void target(const struct source *w, char *out, size_t n)
{
  if (*w->revision)
    snprintf(out, n, "%s", w->revision);
  else
    snprintf(out, n, "refs/remotes/origin/%s", w->branch);
}

/* What `shallow` fetches, and where to. */
static void short_spec(const struct source *w, char *out, size_t n)
{
  if (*w->revision)
    snprintf(out, n, "+%s:refs/drover/built", w->revision);
  else
    snprintf(out, n, "+refs/heads/%s:refs/remotes/origin/%s", w->branch, w->branch);
}

/* No hooks and no file watcher of an earlier build's making. */
#define GIT_SAFE "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"

static bool names_are_safe(struct step *s)
{
  struct source w = checkout_source(s);

  if (!gith_is_url(w.url, s->ctx->allow_local))
    checkout_fail(s, RESULT_EXCEPTION, "this repository address may not be used: %.200s", w.url);
  else if (!gith_is_branch(w.branch) && !(*w.revision && !*w.branch))
    checkout_fail(s, RESULT_EXCEPTION, "this is no branch name that may go to git: %.200s", w.branch);
  else if (*w.revision && !gith_is_revision(w.revision))
    checkout_fail(s, RESULT_EXCEPTION, "this is no revision: %.200s", w.revision);
  else if (w.ref && (!gith_is_ref(w.ref) || !*w.revision))
    checkout_fail(s, RESULT_EXCEPTION, "this is no ref that may go to git: %.200s", w.ref);
  else
    return true;
  return false;
}

static int begin(struct step *s)
{
  if (!checkout_find(s) || !names_are_safe(s))
    return GIT_FAIL;
  return is_local(checkout_source(s).url) ? GIT_TRUST : GIT_STAT;
}

/* Each -e and its pattern: what lies in this tree and is another checkout's. */
static void put_clean(const struct step *s, struct intent *out)
{
  const char *argv[8 + 2 * PIPELINE_CHECKOUTS_MAX] = { GIT_SAFE, "clean", "-ffdqx" };
  char *patterns[PIPELINE_CHECKOUTS_MAX];
  int n = 6, count = 0;

  for (const char *const *it = s->def->checkout.inside; it && *it; it++) {
    struct buf b;
    buf_init(&b, BUF_NO_MAX);
    buf_addc(&b, '/');
    for (const char *p = *it; *p; p++)
      buf_addf(&b, "%s%c", strchr("*?[]\\! #", *p) ? "\\" : "", *p);
    argv[n++] = "-e";
    argv[n++] = patterns[count++] = buf_take(&b);
  }
  put_git(s, out, argv);
  for (int i = 0; i < count; i++)
    free(patterns[i]);
}

static void put_patch(const struct step *s, struct intent *out)
{
  char level[16];

  snprintf(level, sizeof level, "-p%d", s->ctx->patch_level); /* paths out of the tree and into .git are refused by git itself */
  put_git(s, out, (const char *[]){ GIT_SAFE, "apply", "--index", "--whitespace=nowarn", level, "-", NULL });
  records_put_n(&out->spec, "stdin", s->ctx->patch ? s->ctx->patch : "", s->ctx->patch_len);
}

/* The states in which git asks the repository. */
static void put_transfer(const struct step *s, const struct source *w, struct intent *out)
{
  char to[1300], depth[16];

  snprintf(depth, sizeof depth, "%d", s->def->checkout.depth);
  switch (s->sm.state) {
  case GIT_CLONE:
    put_command(s, out, w, (const char *[]){ GIT_SAFE, "clone", "--no-checkout", "--no-local", "--origin", "origin", "--", w->url, ".", NULL });
    return;
  case GIT_SHALLOW:
    short_spec(w, to, sizeof to);
    put_command(s, out, w, (const char *[]){ GIT_SAFE, "fetch", "--force", "--no-tags", "--depth", depth, "--", w->url, to, NULL });
    return;
  case GIT_FETCH:
    if (s->def->checkout.depth)
      put_command(s, out, w, (const char *[]){ GIT_SAFE, "fetch", "--force", "--prune", "--depth", WHOLE_HISTORY, "--", w->url, "+refs/heads/*:refs/remotes/origin/*", NULL });
    else
      put_command(s, out, w, (const char *[]){ GIT_SAFE, "fetch", "--force", "--prune", "--", w->url, "+refs/heads/*:refs/remotes/origin/*", NULL });
    return;
  default: /* GIT_REF */
    snprintf(to, sizeof to, "+%s:%s", w->ref ? w->ref : "", w->ref ? w->ref : "");
    put_command(s, out, w, (const char *[]){ GIT_SAFE, "fetch", "--force", "--no-tags", "--", w->url, to, NULL });
    return;
  }
}

static void put_submodules(const struct step *s, const struct source *w, struct intent *out)
{
  if (s->sm.state == GIT_ORIGIN)
    put_git(s, out, (const char *[]){ "config", "--replace-all", "remote.origin.url", w->url, NULL });
  else if (s->sm.state == GIT_SYNC)
    put_git(s, out, (const char *[]){ GIT_SAFE, "submodule", "sync", "--recursive", NULL });
  else if (s->sm.state == GIT_SUBMODULES)
    put_command(s, out, w, (const char *[]){ GIT_SAFE, "submodule", "update", "--init", "--recursive", "--force", "--checkout", NULL });
  else
    put_git(s, out, (const char *[]){ GIT_SAFE, "submodule", "foreach", "--recursive", "git clean -ffdqx", NULL });
}

static void put_op(const struct step *s, struct intent *out)
{
  if (s->sm.state == GIT_WIPE)
    checkout_wipe(s, out);
  else
    checkout_op(s, out, s->sm.state == GIT_STAT ? VERB_stat : VERB_remove, s->sm.state == GIT_STAT ? ".git" : "");
}

static void enter(struct step *s, struct intent *out)
{
  struct source w = checkout_source(s);
  char to[600];

  out->want = WANT_RUN;
  switch (s->sm.state) {
  case GIT_TRUST: /* into this build's own HOME: git's upload-pack heeds nothing less, and asks for the folder or its .git */
    put_git(s, out, (const char *[]){ "config", "--global", "--replace-all", "safe.directory", "*", NULL });
    return;
  case GIT_STAT:
  case GIT_WIPE:
  case GIT_REMOVE:
    put_op(s, out);
    return;
  case GIT_INIT:
    put_git(s, out, (const char *[]){ GIT_SAFE, "init", "--quiet", NULL });
    return;
  case GIT_CLONE:
  case GIT_SHALLOW:
  case GIT_FETCH:
  case GIT_REF:
    put_transfer(s, &w, out);
    return;
  case GIT_CHECKOUT:
    target(&w, to, sizeof to);
    put_git(s, out, (const char *[]){ GIT_SAFE, "-c", "advice.detachedHead=false", "checkout", "--force", "--detach", to, "--", NULL });
    return;
  case GIT_ORIGIN:
  case GIT_SYNC:
  case GIT_SUBMODULES:
  case GIT_SUBCLEAN:
    put_submodules(s, &w, out);
    return;
  case GIT_CLEAN:
    put_clean(s, out);
    return;
  case GIT_REVISION:
    put_git(s, out, (const char *[]){ "rev-parse", "--verify", "HEAD", NULL });
    return;
  case GIT_PATCH:
    put_patch(s, out);
    return;
  default:
    checkout_end(s, out, s->sm.state == GIT_DONE);
    return;
  }
}

/* Throw the tree away and make it anew, once; a second failure is the repository's, not the tree's. Nor is a credential that is refused. */
static int again(struct step *s, const struct reply *r)
{
  if (s->sm.state != GIT_SUBMODULES && checkout_refused(s, r)) /* a submodule may be another server's */
    return GIT_FAIL;
  if (!s->retried && r->kind != REPLY_BROKEN) {
    s->retried = true;
    return GIT_REMOVE;
  }
  if (r->kind == REPLY_BROKEN)
    checkout_fail(s, RESULT_EXCEPTION, "git could not be started: %.300s", r->detail);
  else if (r->kind == REPLY_TIMEOUT)
    checkout_fail(s, RESULT_EXCEPTION, "git %s took too long", sm_name(&s->sm));
  else
    checkout_fail(s, RESULT_FAILURE, "git %s failed with exit %d", sm_name(&s->sm), r->code);
  return GIT_FAIL;
}

static int revision(struct step *s, const struct reply *r)
{
  size_t n = strspn(r->output, "0123456789abcdef");

  if (r->kind != REPLY_OK || (n != 40 && n != 64) || (r->output[n] && r->output[n] != '\n')) {
    checkout_fail(s, RESULT_EXCEPTION, "git rev-parse did not tell the revision");
    return GIT_FAIL;
  }
  checkout_take(s, r->output, n);
  return checkout_source(s).patch ? GIT_PATCH : GIT_DONE;
}

static int patched(struct step *s, const struct reply *r)
{
  if (r->kind == REPLY_OK)
    return GIT_DONE;
  if (r->kind == REPLY_FAILED)
    checkout_fail(s, RESULT_FAILURE, "the patch does not apply to %.12s", s->ctx->got_revision ? s->ctx->got_revision : "this revision");
  else
    checkout_fail(s, RESULT_EXCEPTION, "the patch could not be applied: %.300s", r->detail);
  return GIT_FAIL;
}

static int stated(struct step *s, const struct reply *r)
{
  bool ok = r->kind == REPLY_OK, some = s->def->checkout.depth > 0;

  if (!ok && r->kind != REPLY_NOTFOUND) {
    return checkout_cant(s, r, "look at", GIT_FAIL);
  }
  if (checkout_other_layout(s))
    return GIT_WIPE;
  if (ok)
    return some ? GIT_SHALLOW : GIT_FETCH;
  return some ? GIT_INIT : GIT_CLONE;
}

static int removed(struct step *s, const struct reply *r)
{
  if (r->kind == REPLY_OK)
    return s->def->checkout.depth ? GIT_INIT : GIT_CLONE;
  return checkout_cant(s, r, "remove", GIT_FAIL);
}

/* The tree has the files of the revision. */
static int checked_out(const struct step *s)
{
  return s->def->checkout.keep ? GIT_REVISION : GIT_CLEAN;
}

static int got(struct step *s, const struct reply *r)
{
  bool ok = r->kind == REPLY_OK;

  switch (s->sm.state) {
  case GIT_TRUST:
    if (ok)
      return GIT_STAT;
    s->retried = true; /* nothing to throw away yet */
    return again(s, r);
  case GIT_STAT:
    return stated(s, r);
  case GIT_WIPE:
  case GIT_REMOVE:
    return removed(s, r);
  case GIT_INIT:
    return ok ? GIT_SHALLOW : again(s, r);
  case GIT_SHALLOW:
    return ok ? GIT_CHECKOUT : r->kind == REPLY_FAILED || r->kind == REPLY_NOTFOUND ? GIT_FETCH : again(s, r);
  case GIT_CLONE:
  case GIT_FETCH:
    return !ok ? again(s, r) : checkout_source(s).ref ? GIT_REF : GIT_CHECKOUT;
  case GIT_REF:
    return ok || r->kind == REPLY_FAILED || r->kind == REPLY_NOTFOUND ? GIT_CHECKOUT : again(s, r);
  case GIT_CHECKOUT:
    return !ok ? again(s, r) : s->def->checkout.submodules ? GIT_ORIGIN : checked_out(s);
  case GIT_ORIGIN:
    return ok ? GIT_SYNC : again(s, r);
  case GIT_SYNC:
    return ok ? GIT_SUBMODULES : again(s, r);
  case GIT_SUBMODULES:
    return ok ? checked_out(s) : again(s, r);
  case GIT_CLEAN:
    return !ok ? again(s, r) : s->def->checkout.submodules ? GIT_SUBCLEAN : GIT_REVISION;
  case GIT_SUBCLEAN:
    return ok ? GIT_REVISION : again(s, r);
  case GIT_REVISION:
    return revision(s, r);
  case GIT_PATCH:
    return patched(s, r);
  default:
    return GIT_FAIL;
  }
}

const struct step_kind step_git = { "git", rows, GIT_COUNT, begin, enter, got, true };
