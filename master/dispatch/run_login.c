/* Logins of checkouts, from the active configuration.

   A build has the address that its repository had when it was asked for. The login is the one of the codebase as it is configured now, and only where that is still on the same server: no key or token goes to
   a server that it was not given for. A worker that is too old to take secrets gets none, and checks out with what it has. */
#include "master/dispatch/run_login.h"

#include <stdlib.h>
#include <string.h>

#include "master/conf/conf.h"
#include "master/conf/vcs_url.h"
#include "master/core/master.h"
#include "master/core/secret_values.h"
#include "master/workers/session.h"
#include "proto/records.h"

/* NULL: there is none for that repository of the run's project. */
static const struct conf_login *login_of(const struct run *r, const char *codebase, enum vcs vcs, const char *url)
{
  const struct conf_project *p = conf_project(r->m->conf, r->ctx.project);
  const struct conf_codebase *c = p ? conf_codebase(p, codebase) : NULL;

  if (!c || !c->git || c->vcs != vcs || conf_login_kind(&c->login, url) == VCS_LOGIN_NONE || !vcs_url_same_server(c->git, url) || !session_has(r->session, "secrets"))
    return NULL;
  return &c->login;
}

static void look(struct run *r, const char *codebase, enum vcs vcs, const char *url, struct step_login *out)
{
  const struct conf_login *l = login_of(r, codebase, vcs, url);
  char *of, *called;

  free((char *)out->called);
  *out = (struct step_login){ 0 };
  if (!l)
    return;
  of = xasprintf("%s%s%s", r->ctx.project, *codebase ? "/" : "", codebase);
  called = conf_login_called(l, of);
  free(of);
  *out = (struct step_login){ .kind = conf_login_kind(l, url), .called = called, .user = l->user, .pins = l->pins };
}

void run_login_look(struct run *r)
{
  struct build_ctx *c = &r->ctx;

  if (r->def->steps[r->number - 1].kind != PIPE_CHECKOUT)
    return;
  if (!c->nstamps)
    look(r, "", c->vcs, c->repository, &c->login);
  for (int i = 0; i < c->nstamps; i++)
    look(r, c->stamps[i].codebase, c->stamps[i].vcs, c->stamps[i].repository, &c->stamps[i].login);
}

/* The one of the checkout at hand. */
static const struct conf_login *login_at_hand(const struct run *r, enum vcs *vcs, const char **url)
{
  const struct build_stamp *t = *r->step.codebase ? build_stamp_of(&r->ctx, r->step.codebase) : NULL;

  if (*r->step.codebase && !t)
    return NULL;
  *url = t ? t->repository : r->ctx.repository;
  *vcs = t ? t->vcs : r->ctx.vcs;
  return login_of(r, r->step.codebase, *vcs, *url);
}

const char *run_login_secret(const struct run *r, const void *spec, size_t n)
{
  const struct conf_login *l;
  const char *url;
  enum vcs vcs;

  if (!step_is_checkout(r->step.kind) || (spec && !login_wanted(spec, n)))
    return NULL;
  l = login_at_hand(r, &vcs, &url);
  return l ? conf_login_secret(l) : NULL;
}

/* Whether that worker may have it, where it is a secret with `for`. */
static char *refused(const struct run *r, const struct conf_login *l)
{
  const struct secret_taker t = { r->ctx.project, r->ctx.builder, r->ctx.branch, r->session->name, r->session->pool, SECRET_OWN }; /* it is the checkout's, and not the build's: whose code that is does not matter */
  const char *name = conf_login_secret(l);

  return name ? conf_secret_refused(r->m->conf, name, &t) : NULL;
}

static void put(struct buf *out, const char *name, const char *value)
{
  char *both = xasprintf("%s=%s", name, value);

  records_put(out, "value", both);
  secret_wipe(both);
}

char *run_login_put(const struct run *r, const void *spec, size_t n, struct buf *out)
{
  const struct conf_login *l;
  struct step_login login = { 0 };
  char *value, *made, *why;
  const char *url;
  struct buf text;
  enum vcs vcs;

  if (!login_wanted(spec, n))
    return NULL;
  l = login_at_hand(r, &vcs, &url);
  if (!l)
    return xasprintf("the key or token of %s%s%s, which this checkout wants, is not in the configuration any more", r->ctx.project, *r->step.codebase ? "/" : "", r->step.codebase);
  why = refused(r, l);
  if (why)
    return why;
  buf_init(&text, BUF_NO_MAX);
  value = login_value(r->m->conf, r->secrets, l, &text);
  if (!value)
    return buf_take(&text);
  buf_free(&text);
  if (!out->data && !buf_reserve(out, out->max)) /* once: a buffer that grows leaves bytes behind */
    why = xstrdup("no room for secrets");
  login.kind = conf_login_kind(l, url);
  login.user = l->user;
  made = login_made(&login, vcs, url, value);
  put(out, login.kind == VCS_LOGIN_KEY ? LOGIN_KEY : LOGIN_VALUE, made);
  if (login.kind != VCS_LOGIN_KEY)
    put(out, LOGIN_BARE, value);
  secret_wipe(made);
  secret_wipe(value);
  if (!why && out->failed)
    why = xstrdup("the secrets of the checkout are larger than a worker takes");
  return why;
}
