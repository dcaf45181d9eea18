/* A forge's delivery: whose it is, whether it is signed, what it says, and an answer when that is committed.

   A project without a secret has a hook without a meaning: nobody can know who sent it, so the body is not read, and it only makes the master look at the repository now, at most once
   a second. With a secret nothing but a good signature is taken, and what was wrong with another is not told. */
#include "master/api/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/changes/hooks/hook.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/dispatch/dispatch.h"
#include "master/events/events.h"
#include "master/schedulers/decide.h"
#include "master/schedulers/worlds.h"

enum {
  TELL_EVERY_MS = 1000,    /* a refused delivery in the log */
  VERDICTS_AT_ONCE = 5000, /* decided in the delivery's own transaction */
};

/* Kept while the database works. The configuration may be another one when it answers, so the project is found by name then. */
struct told {
  char delivery[HOOK_DELIVERY_MAX + 1];
  char event[HOOK_EVENT_MAX + 1];
  bool cut;
  bool supersedes; /* builds of older changes may have been cancelled */
};

static const char *header(void *arg, const char *name)
{
  return call_header(arg, name);
}

static struct hook_in input(struct call *c)
{
  const struct buf *body = call_body(c);

  return (struct hook_in){ header, c, buf_str(body), body->len };
}

static const struct hook_dialect *dialect(const struct conf_codebase *k)
{
  return hook_find(k->hook.dialect);
}

static struct world *project(struct call *c)
{
  return worlds_find(call_master(c)->worlds, call_arg(c, 0));
}

/* Of /hooks/P the project's only repository, of /hooks/P/C that codebase; NULL: there is none, or it takes no hooks. */
static const struct conf_codebase *codebase(struct call *c, const struct world *p)
{
  const struct conf_codebase *k = p ? conf_codebase(p->conf, call_args(c) > 1 ? call_arg(c, 1) : "") : NULL;

  return k && k->hook.on && (call_args(c) > 1) == (*k->name != 0) ? k : NULL;
}

static void look(struct call *c, struct world *p, const struct conf_codebase *k)
{
  worlds_look(call_master(c)->worlds, p, (int)(k - p->conf->codebases));
}

static void unknown(struct call *c, const struct world *p)
{
  if (p && conf_has_codebases(p->conf) && call_args(c) == 1)
    call_error(c, 404, "not_found", "/hooks/PROJECT/CODEBASE", "the project has several codebases, and each takes its own hooks");
  else
    call_error(c, 404, "not_found", "projects that take hooks have `hook` in the site's configuration", "no project of this name takes hooks");
}

static void refuse(struct call *c, const char *why)
{
  static int64_t told_ms;
  int64_t now = clock_mono_ms();

  if (!told_ms || now - told_ms >= TELL_EVERY_MS) { /* strangers can send many */
    log_warn("hook", "%s: a delivery was refused: %s", call_arg(c, 0), why);
    told_ms = now;
  }
  call_error(c, 401, "unauthorized", NULL, "this delivery is not signed as this project's hook wants it");
}

static void only_look(struct call *c, struct world *p, const struct conf_codebase *k)
{
  cJSON *o = cJSON_CreateObject();

  look(c, p, k);
  cJSON_AddBoolToObject(o, "look", true);
  call_json(c, 202, o);
}

void hook_head(struct call *c)
{
  struct world *p = project(c);
  const struct conf_codebase *k = codebase(c, p);
  struct hook_in in = input(c);

  if (!k)
    unknown(c, p);
  else if (!k->hook.secret)
    only_look(c, p, k);
  else if (!hook_signed(dialect(k), &in))
    refuse(c, "no signature that is strong enough");
}

/* ---- the database has it ---- */

static int count_new(const cJSON *changes)
{
  const cJSON *it;
  int n = 0;

  cJSON_ArrayForEach(it, changes)
    n += cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(it, "new"));
  return n;
}

static void committed(struct call *c, const struct db_res *r)
{
  struct master *m = call_master(c);
  struct told *t = call_data(c, sizeof *t);
  struct world *p = project(c);
  const struct conf_codebase *k = codebase(c, p);
  bool replay = db_num(r, 0, 0, 0) != 0;
  cJSON *o = cJSON_Parse(db_str(r, 0, 0, 1));
  const cJSON *changes = cJSON_GetObjectItemCaseSensitive(o, "changes");
  int made = count_new(changes), all = cJSON_GetArraySize(changes);

  cJSON_AddStringToObject(o, "event", t->event);
  cJSON_AddStringToObject(o, "delivery", t->delivery);
  cJSON_AddBoolToObject(o, "replay", replay);
  if (replay) {
    log_info("hook", "%s: %s %s came again", call_arg(c, 0), t->event, t->delivery);
  } else {
    log_info("hook", "%s: %s %s told %d changes, %d of them new", call_arg(c, 0), t->event, t->delivery, all, made);
    events_kick(m->events);
    if (made) {
      worlds_kick(m->worlds);
      dispatch_kick(m->dispatch);
      if (t->supersedes)
        dispatch_cancelled(m->dispatch);
    }
    if (k && (t->cut || cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "look"))))
      look(c, p, k);
  }
  call_json(c, made && !replay ? 202 : 200, o);
}

/* ---- the whole delivery is here ---- */

static void drop_unwatched(const struct conf_codebase *conf, struct hook_read *r)
{
  for (int i = 0; i < r->nevents; i++) {
    struct hook_event *e = &r->events[i];
    bool watched = e->kind != HOOK_PUSH || !conf->nbranches;
    for (int k = 0; k < conf->nbranches && !watched; k++)
      watched = str_glob(conf->branches[k], e->branch);
    if (!watched) {
      e->kind = HOOK_IGNORED;
      free(e->why);
      e->why = xasprintf("branch %s is not watched", e->branch);
    }
  }
}

static bool all_ignored(const struct hook_read *r)
{
  for (int i = 0; i < r->nevents; i++)
    if (r->events[i].kind != HOOK_IGNORED)
      return false;
  return true;
}

/* Nothing to keep: it would be ignored in the same way if it came again. */
static void answer_ignored(struct call *c, const struct told *t, const struct hook_read *r)
{
  cJSON *o = cJSON_CreateObject(), *list;

  cJSON_AddArrayToObject(o, "changes");
  list = cJSON_AddArrayToObject(o, "ignored");
  for (int i = 0; i < r->nevents; i++)
    cJSON_AddItemToArray(list, cJSON_CreateString(r->events[i].why));
  cJSON_AddStringToObject(o, "event", t->event);
  cJSON_AddStringToObject(o, "delivery", t->delivery);
  log_info("hook", "%s: %s %s ignored: %s", call_arg(c, 0), t->event, t->delivery, r->nevents ? r->events[0].why : "nothing in it");
  call_json(c, 200, o);
}

static struct decide_change change_of(const struct world *p, const struct hook_event *e, const struct hook_commit *it)
{
  return (struct decide_change){ .kind = CHANGE_BRANCH, .project = p->conf->name, .codebase = "", .main = "", .repository = world_repository(p), .revision = it->revision, .branch = e->branch,
                                 .author = it->author ? it->author : "", .committer = it->committer ? it->committer : "", .category = "", .message = it->message ? it->message : "", .files = it->files, .nfiles = it->nfiles,
                                 .whole = it->nfiles > 0 && !it->files_cut };
}

static void plan_push(const struct world *p, const struct hook_event *e, cJSON *plans, struct told *t)
{
  for (int i = 0; i < e->ncommits; i++) {
    struct decide_change it = change_of(p, e, &e->commits[i]);
    struct buf plan;
    if (cJSON_HasObjectItem(plans, it.revision))
      continue;
    buf_init(&plan, BUF_NO_MAX);
    t->supersedes |= decide_plan(p->conf->pipeline, &it, &plan);
    cJSON_AddRawToObject(plans, it.revision, buf_str(&plan));
    buf_free(&plan);
  }
}

/* Where the pipeline is the site's, what comes of a change is known before there is one: both are one transaction. NULL: it has to be read first, or what goes with it in other codebases be found; a very
   large push is read too, bit by bit. */
static char *plans(const struct master *m, const struct world *p, const struct hook_read *r, struct told *t)
{
  cJSON *all, *it;
  int64_t n = 0;
  char *text;

  for (int i = 0; i < r->nevents; i++)
    n += r->events[i].kind == HOOK_PUSH ? r->events[i].ncommits : 0;
  if (!p->pipe_id || conf_has_codebases(p->conf) || n * p->conf->pipeline->nschedulers > VERDICTS_AT_ONCE)
    return NULL;
  all = cJSON_CreateObject();
  for (int i = 0; i < r->nevents; i++) {
    const struct hook_event *e = &r->events[i];
    if (e->kind != HOOK_PUSH)
      continue;
    it = cJSON_GetObjectItemCaseSensitive(all, e->branch);
    if (!it) {
      it = cJSON_AddObjectToObject(all, e->branch);
      cJSON_AddNumberToObject(it, "pipeline", (double)p->pipe_id);
      cJSON_AddNumberToObject(it, "config", (double)m->config_version);
      cJSON_AddObjectToObject(it, "plans");
    }
    plan_push(p, e, cJSON_GetObjectItemCaseSensitive(it, "plans"), t);
  }
  text = cJSON_PrintUnformatted(all);
  cJSON_Delete(all);
  return text;
}

static void tell(struct call *c, const struct world *p, const struct conf_codebase *k, struct told *t, const struct hook_read *r)
{
  struct db_tx *tx = db_tx(call_master(c)->db, DB_ANY);
  char *by = xasprintf("%s hook", hook_name(dialect(k)));
  struct buf json;
  char *plan = plans(call_master(c), p, r, t);

  buf_init(&json, BUF_NO_MAX);
  hook_json(r, &json);
  db_q(tx, SQL_hook_told, "nssssssss", p->id, hook_name(dialect(k)), t->delivery, t->event, k->git, buf_str(&json), by, plan, k->name);
  free(plan);
  buf_free(&json);
  free(by);
  call_ask(c, tx, committed);
}

void hook_post(struct call *c)
{
  struct world *p = project(c);
  const struct conf_codebase *k = codebase(c, p);
  struct hook_in in = input(c);
  struct told *t = call_data(c, sizeof *t);
  struct hook_read r;
  enum err err;

  if (!k || !k->hook.secret) { /* the configuration changed since the head came */
    hook_head(c);
    return;
  }
  if (!hook_verify(dialect(k), &in, k->hook.secret, strlen(k->hook.secret))) {
    refuse(c, "the signature is wrong");
    return;
  }
  if (!p->id) {
    call_away(c);
    return;
  }
  hook_delivery(dialect(k), &in, t->delivery);
  err = hook_read(dialect(k), &in, &r);
  snprintf(t->event, sizeof t->event, "%s", r.event);
  t->cut = r.cut;
  if (!err)
    drop_unwatched(k, &r);
  if (err) {
    log_warn("hook", "%s: %s %s: %s", call_arg(c, 0), t->event, t->delivery, r.why);
    call_error(c, 400, "bad_request", NULL, "%s", r.why);
  } else if (all_ignored(&r)) {
    answer_ignored(c, t, &r);
  } else {
    tell(c, p, k, t, &r);
  }
  hook_read_free(&r);
}
