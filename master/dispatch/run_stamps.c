/* From a column to stamps, and from a checkout to columns. */
#include "master/dispatch/run_stamps.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/db/db.h"

static const char *text_of(const cJSON *o, const char *key)
{
  const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

  return s ? s : "";
}

static char *text(const cJSON *o, const char *key)
{
  return xstrdup(text_of(o, key));
}

/* As the configuration has it now: a build that is taken over goes by today's too. */
static char *main_codebase(const struct run *r)
{
  const struct conf_project *p = conf_project(r->m->conf, r->ctx.project);

  return p ? xstrdup(p->codebases[p->main].name) : NULL;
}

void run_stamps_read(struct run *r, const char *stamps, const char *properties)
{
  cJSON *list = cJSON_Parse(stamps), *props = cJSON_Parse(properties), *it;
  const cJSON *got = cJSON_GetObjectItemCaseSensitive(props, "got_revisions");
  struct build_ctx *c = &r->ctx;
  int n = cJSON_GetArraySize(list);

  if (n > 0) {
    c->stamps = xcalloc((size_t)n, sizeof *c->stamps);
    c->main = main_codebase(r);
  }
  cJSON_ArrayForEach(it, list) {
    struct build_stamp *t = &c->stamps[c->nstamps++];
    const char *rev;
    *t = (struct build_stamp){ .vcs = run_vcs(text_of(it, "vcs")), .codebase = text(it, "codebase"), .repository = text(it, "repository"), .branch = text(it, "branch"), .revision = text(it, "revision"),
                               .set_off = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(it, "set_off")) };
    rev = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(got, t->codebase));
    t->got = rev ? xstrdup(rev) : NULL;
  }
  cJSON_Delete(list);
  cJSON_Delete(props);
}

static void replace(char **to, const char *text)
{
  free(*to);
  *to = xstrdup(text);
}

void run_stamps_derived(struct run *r, const char *list, const char *by)
{
  cJSON *json = list ? cJSON_Parse(list) : NULL, *it;

  cJSON_ArrayForEach(it, json) {
    struct build_stamp *t = NULL;
    for (int i = 0; i < r->ctx.nstamps; i++)
      if (!strcmp(r->ctx.stamps[i].codebase, text_of(it, "codebase")))
        t = &r->ctx.stamps[i];
    if (!t)
      continue;
    replace(&t->derived, text_of(it, "revision"));
    replace(&t->derived_branch, text_of(it, "branch"));
    replace(&t->derived_by, by ? by : text_of(it, "by"));
  }
  cJSON_Delete(json);
}

void run_stamps_free(struct build_ctx *c)
{
  for (int i = 0; i < c->nstamps; i++) {
    free(c->stamps[i].derived);
    free(c->stamps[i].derived_branch);
    free(c->stamps[i].derived_by);
    free((char *)c->stamps[i].codebase);
    free((char *)c->stamps[i].repository);
    free((char *)c->stamps[i].branch);
    free((char *)c->stamps[i].revision);
    free(c->stamps[i].got);
    free((char *)c->stamps[i].login.called);
  }
  free(c->stamps);
  c->stamps = NULL;
  c->nstamps = 0;
}

/* Of any of its repositories. */
static bool has_login(const struct build_ctx *c)
{
  bool has = c->login.kind != VCS_LOGIN_NONE;

  for (int i = 0; i < c->nstamps; i++)
    has |= c->stamps[i].login.kind != VCS_LOGIN_NONE;
  return has;
}

void run_checked_out(struct run *r, struct db_tx *tx)
{
  const struct build_stamp *t = *r->step.codebase ? build_stamp_of(&r->ctx, r->step.codebase) : NULL;
  const char *layout = r->step.def->checkout.layout;
  char *left;

  if (t)
    db_q(tx, SQL_build_got, "nssl", r->id, t->codebase, t->got, (int)t->set_off);
  else
    db_q(tx, SQL_build_property, "nss", r->id, "got_revision", r->ctx.got_revision);
  if (!layout)
    return;
  /* What code of a fork leaves in it may be settings for git: the next one begins anew where it has something to lose. */
  left = r->ctx.fork && has_login(&r->ctx) ? xasprintf("after a fork: %s", layout) : xstrdup(layout);
  if (!str_eq(left, r->ctx.layout))
    db_q(tx, SQL_work_layout, "ns", r->id, left);
  free((char *)r->ctx.layout);
  r->ctx.layout = left;
}
