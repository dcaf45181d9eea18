/* Checkouts: commands in the tree, and what their failures mean. */
#include "master/steps/checkout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/changes/githelper.h"
#include "master/steps/values.h"
#include "proto/records.h"

void checkout_fail(struct step *s, enum result result, const char *fmt, ...)
{
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(s->summary, sizeof s->summary, fmt, ap);
  va_end(ap);
  s->result = result;
}

int checkout_cant(struct step *s, const struct reply *r, const char *what, int fail_state)
{
  checkout_fail(s, RESULT_EXCEPTION, "the worker can't %s the tree: %.300s", what, r->detail);
  return fail_state;
}

struct source checkout_source(const struct step *s)
{
  const struct build_ctx *c = s->ctx;
  const struct build_stamp *t = *s->codebase ? build_stamp_of(c, s->codebase) : NULL;

  if (!t)
    return (struct source){ c->vcs, c->repository, c->branch, c->revision, c->ref, c->patch, c->got_revision, c->login };
  return (struct source){ t->vcs, t->repository, t->branch, t->revision, t->set_off ? c->ref : NULL, t->set_off ? c->patch : NULL, t->got, t->login };
}

bool checkout_find(struct step *s)
{
  const char *name = s->def->checkout.codebase;

  if (!s->ctx->nstamps && name)
    checkout_fail(s, RESULT_EXCEPTION, "the project has one repository, and no codebase \"%.80s\"", name);
  if (!s->ctx->nstamps)
    return !name;
  if (!name)
    name = s->ctx->main;
  if (!name)
    checkout_fail(s, RESULT_EXCEPTION, "the project has several codebases: say which is to be checked out");
  else if (strlen(name) > STEP_CODEBASE_MAX || !build_stamp_of(s->ctx, name))
    checkout_fail(s, RESULT_EXCEPTION, "nothing of the codebase \"%.80s\" is to be built: it was no codebase of the project when this was asked for", name);
  else
    strcpy(s->codebase, name);
  return *s->codebase != 0;
}

void checkout_place(const struct step *s, const char *what, char *out)
{
  const char *to = s->def->checkout.to;
  char *path = xasprintf("tree%s%s%s%s", to ? "/" : "", to ? to : "", *what ? "/" : "", what);

  step_path(s->ctx, path, out);
  free(path);
}

bool checkout_other_layout(const struct step *s)
{
  return s->def->checkout.layout && s->ctx->layout && strcmp(s->def->checkout.layout, s->ctx->layout);
}

bool checkout_is_safe(struct step *s)
{
  const struct pipe_checkout *how = &s->def->checkout;
  struct source w = checkout_source(s);

  if (w.vcs == VCS_COUNT || w.vcs == VCS_GIT)
    checkout_fail(s, RESULT_EXCEPTION, "no such kind of repository is known here");
  else if (!gith_is_url_of(w.vcs, w.url, s->ctx->allow_local))
    checkout_fail(s, RESULT_EXCEPTION, "this repository address may not be used: %.200s", w.url);
  else if (!gith_is_branch(w.branch) && (*w.branch || !*w.revision || vcs_is_svn(w.vcs)))
    checkout_fail(s, RESULT_EXCEPTION, *w.branch ? "this is no branch name that may go to %s: %.200s" : "without a branch there is nothing for %s to check out%s", vcs_program(w.vcs), w.branch);
  else if (*w.revision && !gith_is_revision_of(w.vcs, w.revision))
    checkout_fail(s, RESULT_EXCEPTION, "this is no revision: %.200s", w.revision);
  else if (how->depth || how->submodules)
    checkout_fail(s, RESULT_EXCEPTION, "%s has neither `depth` nor `submodules`: they are of git", vcs_program(w.vcs));
  else if (w.patch)
    checkout_fail(s, RESULT_EXCEPTION, "a patch can be tried on a git repository only, and this one is read by %s", vcs_program(w.vcs));
  else
    return true;
  return false;
}

static bool put_rest(const struct step *s, struct intent *out, bool secret)
{
  char path[STEP_PATH_MAX];

  if (!(secret ? step_put_proxies : step_put_env)(s, out)) /* a proxy, say; what must hold comes behind it */
    return false;
  step_common(s->ctx, &out->spec);
  checkout_place(s, "", path);
  records_put(&out->spec, "cwd", path);
  records_putf(&out->spec, "idle", "%d", STEP_GIT_IDLE_MS);
  return true;
}

bool checkout_put(const struct step *s, struct intent *out, const char *const *argv)
{
  out->want = WANT_RUN;
  for (; *argv; argv++)
    records_put(&out->spec, "arg", *argv);
  return put_rest(s, out, false);
}

bool checkout_ask(const struct step *s, struct intent *out, const char *const *program, const char *const *argv)
{
  const struct source w = checkout_source(s);
  const char *options[LOGIN_OPTIONS_MAX];
  char *held;
  int n = login_options(&w.login, w.vcs, w.url, options, &held);

  out->want = WANT_RUN;
  for (; *program; program++)
    records_put(&out->spec, "arg", *program);
  for (int i = 0; i < n; i++)
    records_put(&out->spec, "arg", options[i]);
  free(held);
  for (; *argv; argv++)
    records_put(&out->spec, "arg", *argv);
  if (!put_rest(s, out, w.login.kind != VCS_LOGIN_NONE))
    return false;
  login_put(&w.login, w.vcs, &out->spec);
  return true;
}

bool checkout_refused(struct step *s, const struct reply *r)
{
  const struct source w = checkout_source(s);
  char said[LOGIN_SAID_MAX + 1];

  if (w.login.kind == VCS_LOGIN_NONE || r->kind != REPLY_FAILED || !s->errors || !login_refused(s->errors, said))
    return false;
  checkout_fail(s, RESULT_FAILURE, "%.120s was refused; %s says: %s", w.login.called, vcs_program(w.vcs), said);
  return true;
}

int checkout_again(struct step *s, const struct reply *r, int remove_state, int fail_state)
{
  enum vcs vcs = checkout_source(s).vcs;
  const char *program = vcs_program(vcs);

  if (checkout_refused(s, r))
    return fail_state;
  if (!s->retried && r->kind != REPLY_BROKEN) {
    s->retried = true;
    return remove_state;
  }
  if (r->kind == REPLY_BROKEN)
    checkout_fail(s, RESULT_EXCEPTION, "%s could not be started on this worker (package %s): %.250s", program, vcs_package(vcs), r->detail);
  else if (r->kind == REPLY_TIMEOUT)
    checkout_fail(s, RESULT_EXCEPTION, "%s %s took too long", program, sm_name(&s->sm));
  else
    checkout_fail(s, RESULT_FAILURE, "%s %s failed with exit %d", program, sm_name(&s->sm), r->code);
  return fail_state;
}

void checkout_end(const struct step *s, struct intent *out, bool good)
{
  struct source w = checkout_source(s);

  out->want = WANT_END;
  out->result = good ? RESULT_SUCCESS : s->result;
  if (good)
    snprintf(out->summary, sizeof out->summary, "%s%s%.12s%s", s->codebase, *s->codebase ? " " : "", w.got ? w.got : "", w.patch ? " and a patch" : "");
  else
    memcpy(out->summary, s->summary, sizeof out->summary);
}

void checkout_op(const struct step *s, struct intent *out, enum verb op, const char *name)
{
  char path[STEP_PATH_MAX];

  checkout_place(s, name, path);
  out->want = WANT_OP;
  out->op = op;
  snprintf(out->path, sizeof out->path, "%s", path);
}

void checkout_wipe(const struct step *s, struct intent *out)
{
  char path[STEP_PATH_MAX];

  step_path(s->ctx, "tree", path);
  out->want = WANT_OP;
  out->op = VERB_remove;
  snprintf(out->path, sizeof out->path, "%s", path);
}

void checkout_take(struct step *s, const char *revision, size_t n)
{
  struct build_ctx *c = s->ctx;
  bool set_off = !*s->codebase;

  for (int i = 0; i < c->nstamps; i++)
    if (!strcmp(c->stamps[i].codebase, s->codebase)) {
      free(c->stamps[i].got);
      c->stamps[i].got = xstrndup(revision, n);
      set_off = c->stamps[i].set_off;
    }
  if (set_off) {
    free(c->got_revision);
    c->got_revision = xstrndup(revision, n);
  }
}
