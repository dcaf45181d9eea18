/* The step `checkout` for git: the master drives, the worker runs plain commands. (Branches: Buildbot's git step, restated in our own table.)

     trust ─▶ stat ─▶ fetch ─▶ checkout ─▶ clean ─▶ revision ─▶ done
                 └──▶ clone ──▲     failed fetch, clone, checkout or clean on a tree that was there, once:
                       ▲            ─▶ remove ─▶ clone
                       └── remove   sleeps in every state but done and failed

   ref stands between fetch or clone and checkout where the revision is not on a branch: of a tag or a pull request. Where the remote has no such ref (some forges keep none, some hide
   them), the revision may be here nevertheless, and the checkout says whether it is.
   patch stands between revision and done where something is tried that is in no repository yet: the revision is what it was made from.
   trust is only entered for a repository on the worker's own disk (allow_local): the clone's other end asks whose it is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/changes/githelper.h"
#include "master/steps/step.h"
#include "master/steps/values.h"
#include "proto/records.h"

enum { GIT_TRUST, GIT_STAT, GIT_CLONE, GIT_FETCH, GIT_REF, GIT_CHECKOUT, GIT_CLEAN, GIT_REVISION, GIT_PATCH, GIT_REMOVE, GIT_DONE, GIT_FAIL, GIT_COUNT };

static const struct sm_row rows[GIT_COUNT] = {
  [GIT_TRUST] = { "trust", SM_TO(GIT_STAT) | SM_TO(GIT_FAIL) },
  [GIT_STAT] = { "stat", SM_TO(GIT_CLONE) | SM_TO(GIT_FETCH) | SM_TO(GIT_FAIL) },
  [GIT_CLONE] = { "clone", SM_TO(GIT_REF) | SM_TO(GIT_CHECKOUT) | SM_TO(GIT_REMOVE) | SM_TO(GIT_FAIL) },
  [GIT_FETCH] = { "fetch", SM_TO(GIT_REF) | SM_TO(GIT_CHECKOUT) | SM_TO(GIT_REMOVE) | SM_TO(GIT_FAIL) },
  [GIT_REF] = { "ref", SM_TO(GIT_CHECKOUT) | SM_TO(GIT_REMOVE) | SM_TO(GIT_FAIL) },
  [GIT_CHECKOUT] = { "checkout", SM_TO(GIT_CLEAN) | SM_TO(GIT_REMOVE) | SM_TO(GIT_FAIL) },
  [GIT_CLEAN] = { "clean", SM_TO(GIT_REVISION) | SM_TO(GIT_REMOVE) | SM_TO(GIT_FAIL) },
  [GIT_REVISION] = { "revision", SM_TO(GIT_PATCH) | SM_TO(GIT_DONE) | SM_TO(GIT_FAIL) },
  [GIT_PATCH] = { "patch", SM_TO(GIT_DONE) | SM_TO(GIT_FAIL) },
  [GIT_REMOVE] = { "remove", SM_TO(GIT_CLONE) | SM_TO(GIT_FAIL) },
  [GIT_DONE] = { "done", 0 },
  [GIT_FAIL] = { "failed", 0 },
};

static bool is_local(const char *url)
{
  return url[0] == '/' || !strncmp(url, "file://", 7);
}

static void put_git(const struct step *s, struct intent *out, const char *const *argv)
{
  struct buf *spec = &out->spec;
  char path[STEP_PATH_MAX], folder[STEP_PATH_MAX];

  records_put(spec, "arg", "git");
  for (; *argv; argv++)
    records_put(spec, "arg", *argv);
  if (!step_put_env(s, out)) /* a proxy, say; what must hold comes behind it */
    return;
  step_common(s->ctx, spec);
  records_put(spec, "env", "GIT_TERMINAL_PROMPT=0");
  records_putf(spec, "env", "GIT_ALLOW_PROTOCOL=https:http:ssh:git%s", s->ctx->allow_local ? ":file" : "");
  records_put(spec, "env", "GIT_CONFIG_NOSYSTEM=1");
  /* a damaged tree is no reason to take a repository above it for ours */
  step_folder(s->ctx->project, s->ctx->builder, s->ctx->slot, folder);
  records_putf(spec, "path", "GIT_CEILING_DIRECTORIES=%s", folder);
  step_path(s->ctx, s->sm.state == GIT_TRUST ? "home" : "tree", path); /* trust must not read a damaged tree's settings */
  records_put(spec, "cwd", path);
  records_putf(spec, "idle", "%d", STEP_GIT_IDLE_MS);
}

static void fail(struct step *s, enum result result, const char *fmt, ...) printf_like(3, 4);
static void fail(struct step *s, enum result result, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(s->summary, sizeof s->summary, fmt, ap);
  va_end(ap);
  s->result = result;
}

/* What is checked out: the revision, or the branch's tip as just fetched. Both have passed gith_is_…, so neither can be an option. */
static void target(const struct step *s, char *out, size_t n)
{
  if (*s->ctx->revision)
    snprintf(out, n, "%s", s->ctx->revision);
  else
    snprintf(out, n, "refs/remotes/origin/%s", s->ctx->branch);
}

/* No hooks and no file watcher of an earlier build's making. */
#define GIT_SAFE "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"

static bool names_are_safe(struct step *s)
{
  struct build_ctx *c = s->ctx;

  if (!gith_is_url(c->repository, c->allow_local))
    fail(s, RESULT_EXCEPTION, "this repository address may not be used: %.200s", c->repository);
  else if (!gith_is_branch(c->branch) && !(*c->revision && !*c->branch))
    fail(s, RESULT_EXCEPTION, "this is no branch name that may go to git: %.200s", c->branch);
  else if (*c->revision && !gith_is_revision(c->revision))
    fail(s, RESULT_EXCEPTION, "this is no revision: %.200s", c->revision);
  else if (c->ref && (!gith_is_ref(c->ref) || !*c->revision))
    fail(s, RESULT_EXCEPTION, "this is no ref that may go to git: %.200s", c->ref);
  else
    return true;
  return false;
}

static int begin(struct step *s)
{
  if (!names_are_safe(s))
    return GIT_FAIL;
  return is_local(s->ctx->repository) ? GIT_TRUST : GIT_STAT;
}

static void enter(struct step *s, struct intent *out)
{
  const char *url = s->ctx->repository;
  char to[600], path[STEP_PATH_MAX];

  out->want = WANT_RUN;
  step_path(s->ctx, "tree", path);
  switch (s->sm.state) {
  case GIT_TRUST: /* into this build's own HOME: git's upload-pack heeds nothing less, and asks for the folder or its .git */
    put_git(s, out, (const char *[]){ "config", "--global", "--replace-all", "safe.directory", "*", NULL });
    return;
  case GIT_STAT:
  case GIT_REMOVE:
    out->want = WANT_OP;
    out->op = s->sm.state == GIT_STAT ? VERB_stat : VERB_remove;
    snprintf(out->path, sizeof out->path, s->sm.state == GIT_STAT ? "%s/.git" : "%s", path);
    return;
  case GIT_CLONE:
    put_git(s, out, (const char *[]){ GIT_SAFE, "clone", "--no-checkout", "--no-local", "--origin", "origin", "--", url, ".", NULL });
    return;
  case GIT_FETCH:
    put_git(s, out, (const char *[]){ GIT_SAFE, "fetch", "--force", "--prune", "--", url, "+refs/heads/*:refs/remotes/origin/*", NULL });
    return;
  case GIT_REF:
    snprintf(to, sizeof to, "+%s:%s", s->ctx->ref ? s->ctx->ref : "", s->ctx->ref ? s->ctx->ref : "");
    put_git(s, out, (const char *[]){ GIT_SAFE, "fetch", "--force", "--no-tags", "--", url, to, NULL });
    return;
  case GIT_CHECKOUT:
    target(s, to, sizeof to);
    put_git(s, out, (const char *[]){ GIT_SAFE, "-c", "advice.detachedHead=false", "checkout", "--force", "--detach", to, "--", NULL });
    return;
  case GIT_CLEAN:
    put_git(s, out, (const char *[]){ GIT_SAFE, "clean", "-ffdqx", NULL });
    return;
  case GIT_REVISION:
    put_git(s, out, (const char *[]){ "rev-parse", "--verify", "HEAD", NULL });
    return;
  case GIT_PATCH: /* paths out of the tree and into .git are refused by git itself */
    snprintf(to, sizeof to, "-p%d", s->ctx->patch_level);
    put_git(s, out, (const char *[]){ GIT_SAFE, "apply", "--index", "--whitespace=nowarn", to, "-", NULL });
    records_put_n(&out->spec, "stdin", s->ctx->patch ? s->ctx->patch : "", s->ctx->patch_len);
    return;
  case GIT_DONE:
    out->want = WANT_END;
    out->result = RESULT_SUCCESS;
    snprintf(out->summary, sizeof out->summary, "%.12s%s", s->ctx->got_revision ? s->ctx->got_revision : "", s->ctx->patch ? " and a patch" : "");
    return;
  default:
    out->want = WANT_END;
    out->result = s->result;
    memcpy(out->summary, s->summary, sizeof out->summary);
    return;
  }
}

/* Throw the tree away and make it anew, once; a second failure is the repository's, not the tree's. */
static int again(struct step *s, const struct reply *r)
{
  if (!s->retried && r->kind != REPLY_BROKEN) {
    s->retried = true;
    return GIT_REMOVE;
  }
  if (r->kind == REPLY_BROKEN)
    fail(s, RESULT_EXCEPTION, "git could not be started: %.300s", r->detail);
  else if (r->kind == REPLY_TIMEOUT)
    fail(s, RESULT_EXCEPTION, "git %s took too long", sm_name(&s->sm));
  else
    fail(s, RESULT_FAILURE, "git %s failed with exit %d", sm_name(&s->sm), r->code);
  return GIT_FAIL;
}

static int revision(struct step *s, const struct reply *r)
{
  size_t n = strspn(r->output, "0123456789abcdef");

  if (r->kind != REPLY_OK || (n != 40 && n != 64) || (r->output[n] && r->output[n] != '\n')) {
    fail(s, RESULT_EXCEPTION, "git rev-parse did not tell the revision");
    return GIT_FAIL;
  }
  free(s->ctx->got_revision);
  s->ctx->got_revision = xstrndup(r->output, n);
  return s->ctx->patch ? GIT_PATCH : GIT_DONE;
}

static int patched(struct step *s, const struct reply *r)
{
  if (r->kind == REPLY_OK)
    return GIT_DONE;
  if (r->kind == REPLY_FAILED)
    fail(s, RESULT_FAILURE, "the patch does not apply to %.12s", s->ctx->got_revision ? s->ctx->got_revision : "this revision");
  else
    fail(s, RESULT_EXCEPTION, "the patch could not be applied: %.300s", r->detail);
  return GIT_FAIL;
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
    if (ok || r->kind == REPLY_NOTFOUND)
      return ok ? GIT_FETCH : GIT_CLONE;
    fail(s, RESULT_EXCEPTION, "the worker can't look at the tree: %.300s", r->detail);
    return GIT_FAIL;
  case GIT_REMOVE:
    if (ok)
      return GIT_CLONE;
    fail(s, RESULT_EXCEPTION, "the worker can't remove the tree: %.300s", r->detail);
    return GIT_FAIL;
  case GIT_CLONE:
  case GIT_FETCH:
    return !ok ? again(s, r) : s->ctx->ref ? GIT_REF : GIT_CHECKOUT;
  case GIT_REF:
    return ok || r->kind == REPLY_FAILED || r->kind == REPLY_NOTFOUND ? GIT_CHECKOUT : again(s, r);
  case GIT_CHECKOUT:
    return ok ? GIT_CLEAN : again(s, r);
  case GIT_CLEAN:
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
