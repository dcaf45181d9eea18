/* Which revisions of several codebases somebody means. */
#include "master/dispatch/actions_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/schedulers/worlds.h"

enum { REVISION_DIGITS = 40 };

static void which(struct acting *a, const struct world *p, const char *text)
{
  struct buf names;

  buf_init(&names, BUF_NO_MAX);
  for (int i = 0; i < p->conf->ncodebases; i++)
    buf_addf(&names, "%s%s", i ? ", " : "its codebases are ", p->conf->codebases[i].name);
  acting_fail(a, 400, "bad_request", conf_has_codebases(p->conf) ? buf_str(&names) : NULL, "%s", text);
  buf_free(&names);
}

const struct conf_codebase *acting_codebase(struct acting *a, const struct world *p, const char *name, const char *repository)
{
  const struct conf_codebase *k = NULL;
  char *text;

  if (name && *name) {
    k = conf_has_codebases(p->conf) ? conf_codebase(p->conf, name) : NULL;
    text = xasprintf(conf_has_codebases(p->conf) ? "project %s has no codebase %.64s" : "project %s has one repository, and no codebase %.64s", p->conf->name, name);
  } else {
    if (!conf_has_codebases(p->conf))
      return &p->conf->codebases[0];
    for (int i = 0; repository && i < p->conf->ncodebases && !k; i++)
      if (str_eq(p->conf->codebases[i].git, repository))
        k = &p->conf->codebases[i];
    text = xasprintf("which codebase of project %s?", p->conf->name);
  }
  if (!k)
    which(a, p, text);
  free(text);
  return k;
}

struct composing {
  struct acting *a;
  void (*next)(struct acting *a, void *arg);
  void (*drop)(void *arg);
  void *arg;
};

static const char *text_in(const cJSON *o, const char *key)
{
  const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

  return s ? s : "";
}

/* What is wrong with the set is answered. */
static bool take(struct acting *a, const struct world *p, const cJSON *list)
{
  const char *main_one = p->conf->codebases[p->conf->main].name;
  const cJSON *it, *found = NULL;
  bool own = false;

  cJSON_ArrayForEach(it, list) {
    if (!cJSON_HasObjectItem(it, "revision")) {
      acting_fail(a, 400, "bad_request", "a whole revision, a branch or tag that has been seen, or the beginning of a revision that was; of Subversion a number, or BRANCH@NUMBER", "codebase %s has no %.200s", text_in(it, "codebase"), text_in(it, "word"));
      return false;
    }
    own |= !strcmp(text_in(it, "codebase"), a->codebase);
    if (!strcmp(text_in(it, "codebase"), main_one))
      found = it;
  }
  if (!own || !found) {
    acting_fail(a, 400, "bad_request", NULL, "no branch %s%sof codebase %s has been seen yet", own ? "" : a->branch, own || !*a->branch ? "" : " ", own ? main_one : a->codebase);
    return false;
  }
  free(a->branch);
  free(a->revision);
  a->branch = xstrdup(text_in(found, "branch"));
  a->revision = xstrdup(text_in(found, "revision"));
  return true;
}

static void composed(struct db_res *res, void *arg)
{
  struct composing *c = arg;
  struct acting *a = c->a;
  struct world *p = worlds_find(a->m->worlds, a->project);
  cJSON *list;
  bool good = false;

  if (!acting_db_failed(a, res)) {
    list = cJSON_Parse(db_str(res, 0, 0, 0));
    if (!p)
      acting_fail(a, 404, "not_found", NULL, "project %s has just left the configuration", a->project);
    else
      good = take(a, p, list);
    if (good) {
      a->stamps = xstrdup(db_str(res, 0, 0, 0));
      a->line = db_dup(res, 0, 0, 1);
    }
    cJSON_Delete(list);
  }
  if (good)
    c->next(a, c->arg);
  else
    c->drop(c->arg);
  free(c);
}

/* {codebase: word} for stamps_compose; NULL: answered. */
static cJSON *given(struct acting *a, const struct world *p, const cJSON *at)
{
  cJSON *o = cJSON_CreateObject();
  const cJSON *it;

  if (at && !cJSON_IsObject(at)) {
    acting_fail(a, 400, "bad_request", NULL, "at wants an object of codebases and revisions, tags or branches");
    cJSON_Delete(o);
    return NULL;
  }
  cJSON_ArrayForEach(it, at) {
    const char *word = cJSON_GetStringValue(it);
    if (!acting_codebase(a, p, *it->string ? it->string : "?", NULL)) {
      cJSON_Delete(o);
      return NULL;
    }
    if (!word || !gith_is_branch(word)) {
      acting_fail(a, 400, "bad_request", NULL, "this is no revision, tag or branch: %.200s", word ? word : "(no text)");
      cJSON_Delete(o);
      return NULL;
    }
    cJSON_AddStringToObject(o, it->string, word);
  }
  if (*a->revision && strlen(a->revision) < REVISION_DIGITS && !vcs_is_svn(conf_codebase(p->conf, a->codebase)->vcs) && !cJSON_HasObjectItem(o, a->codebase)) /* of svn it is whole, and of the branch that was said */
    cJSON_AddStringToObject(o, a->codebase, a->revision);
  return o;
}

void acting_stamps(struct acting *a, const struct world *p, const cJSON *at, void (*next)(struct acting *a, void *arg), void (*drop)(void *arg), void *arg)
{
  struct composing *c;
  struct db_tx *tx;
  cJSON *words;
  char *text, *why;

  if (!conf_has_codebases(p->conf) && !at) {
    next(a, arg);
    return;
  }
  if (!conf_has_codebases(p->conf)) {
    acting_fail(a, 400, "bad_request", "--branch, --revision", "project %s has one repository, and no codebases", p->conf->name);
    drop(arg);
    return;
  }
  words = given(a, p, at);
  if (!words) {
    drop(arg);
    return;
  }
  c = xmalloc(sizeof *c);
  *c = (struct composing){ a, next, drop, arg };
  text = cJSON_PrintUnformatted(words);
  why = xasprintf("asked for by %s", a->who);
  tx = db_tx(a->m->db, DB_ANY);
  db_q(tx, SQL_stamps_compose, "nsssss", p->id, a->codebase, *a->branch ? a->branch : NULL, a->revision, why, text);
  db_send(tx, composed, c);
  free(why);
  free(text);
  cJSON_Delete(words);
}

char *acting_builders(const struct acting *a, const struct buf *builders)
{
  const char *list = buf_str(builders);

  if (!a->stamps)
    return xstrdup(list);
  if (*list == '[')
    return xasprintf("{\"builders\":%s,\"stamps\":%s,\"codebase\":\"%s\"}", list, a->stamps, a->codebase);
  return xasprintf("%.*s,\"stamps\":%s,\"codebase\":\"%s\"}", (int)strlen(list) - 1, list, a->stamps, a->codebase);
}
