/* What people can do: the table, and what all actions share. */
#include "master/dispatch/actions_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/core/refusal.h"
#include "master/schedulers/worlds.h"

struct acting *acting_new(struct master *m, const char *id, const char *who, act_cb *cb, void *arg)
{
  struct acting *a = xcalloc(1, sizeof *a);

  *a = (struct acting){ .m = m, .cb = cb, .arg = arg, .id = xstrdup(id ? id : ""), .who = xstrdup(who ? who : "") };
  return a;
}

static void acting_free(struct acting *a)
{
  free(a->who);
  free(a->id);
  free(a->project);
  free(a->builder);
  free(a->branch);
  free(a->revision);
  free(a->reason);
  free(a->properties);
  free(a->codebase);
  free(a->stamps);
  free(a->line);
  if (a->text)
    mem_wipe(a->text, strlen(a->text));
  free(a->text);
  free(a);
}

void acting_done(struct acting *a, int status, cJSON *json)
{
  char *text = cJSON_PrintUnformatted(json);

  a->cb(status, text, a->arg);
  free(text);
  cJSON_Delete(json);
  acting_free(a);
}

void acting_fail(struct acting *a, int status, const char *code, const char *help, const char *fmt, ...)
{
  cJSON *json;
  va_list ap;

  va_start(ap, fmt);
  json = refusal_v(code, help, fmt, ap);
  va_end(ap);
  acting_done(a, status, json);
}

bool acting_db_failed(struct acting *a, struct db_res *res)
{
  enum err err = db_err(res);

  if (!err)
    return false;
  if (err == ERR_AWAY) {
    acting_fail(a, 503, "database_away", "try again in a moment; drover status tells more", "the database is away");
  } else {
    log_error("api", "%s", db_errtext(res));
    acting_fail(a, 500, "internal", "the master's log has the details", "the database refused this");
  }
  return true;
}

bool acting_too_early(struct acting *a, const struct world *p)
{
  if (!p || p->id)
    return false;
  acting_fail(a, 503, "database_away", "try again in a moment; drover status tells more", "the master is only just starting");
  return true;
}

const char *act_string(const cJSON *args, const char *key)
{
  const cJSON *it = cJSON_GetObjectItemCaseSensitive(args, key);
  return cJSON_IsString(it) ? it->valuestring : NULL;
}

/* Answers come from the loop, also those that are known at once. */
struct later {
  uv_timer_t timer;
  struct acting *a;
  enum action kind;
  cJSON *args;
};

static void begun(uv_handle_t *h)
{
  free(h->data);
}

static void begin(uv_timer_t *t)
{
  struct later *l = t->data;
  struct acting *a = l->a;

  switch (l->kind) {
  case ACT_BUILD: act_build(a, l->args); break;
  case ACT_TRY: act_try(a, l->args); break;
  case ACT_RERUN: act_rerun(a, l->args); break;
  case ACT_CANCEL_BUILD:
  case ACT_CANCEL_REQUEST:
  case ACT_CANCEL_BUILDSET: act_cancel(a, l->kind, l->args); break;
  case ACT_INPUT: act_input(a, l->args); break;
  case ACT_PAUSE:
  case ACT_RESUME: act_pause(a, l->kind == ACT_PAUSE, l->args); break;
  case ACT_REQUEST_APPROVE: act_request_approve(a); break;
  case ACT_PRIORITY_REQUEST:
  case ACT_PRIORITY_BUILDSET: act_priority(a, l->kind == ACT_PRIORITY_BUILDSET, l->args); break;
  case ACT_CHANGE: act_change(a, l->args); break;
  case ACT_CHANGE_APPROVE: act_change_approve(a); break;
  case ACT_SCHEDULER_ENABLE:
  case ACT_SCHEDULER_DISABLE: act_scheduler_switch(a, l->kind == ACT_SCHEDULER_DISABLE, l->args); break;
  case ACT_SCHEDULER_RUN: act_scheduler_run(a, l->args); break;
  case ACT_WORKER_ADD: act_worker_add(a, l->args); break;
  case ACT_WORKER_REMOVE: act_worker_remove(a); break;
  case ACT_POOL_TOKEN: act_pool_token(a); break;
  case ACT_POOL_REMOVE: act_pool_remove(a); break;
  case ACT_CONFIG_ACTIVATE: act_config_activate(a); break;
  case ACT_CONFIG_TRY: act_config_try(a, l->args); break;
  case ACT_CONFIG_ROLLBACK: act_config_rollback(a, l->args); break;
  case ACT_WORKER_CLEAN: act_worker_clean(a, l->args); break;
  case ACT_FORGET_GHOSTS: act_forget_ghosts(a); break;
  case ACT_WORKER_FACTS: act_worker_facts(a, l->args); break;
  case ACT_WORKER_TRUST: act_worker_trust(a, l->args); break;
  case ACT_WORKER_RESTART:
  case ACT_WORKER_UPGRADE:
  case ACT_WORKER_DRAIN: act_worker_order(a, l->kind, l->args); break;
  case ACT_SECRET_SET: act_secret_set(a, l->args); break;
  case ACT_SECRET_REMOVE: act_secret_remove(a); break;
  case ACT_SITE_KEY_ROTATE: act_site_key_rotate(a); break;
  case ACT_SSH_KEY_ROTATE: act_ssh_key_rotate(a); break;
  case ACT_SSH_KEY_DROP: act_ssh_key_drop(a, l->args); break;
  case ACT_MASTER_STOP: {
    struct master *m = a->m;
    cJSON *json = cJSON_CreateObject();
    log_info("master", "asked to stop by %s", a->who);
    cJSON_AddBoolToObject(json, "stopping", true);
    acting_done(a, 200, json);
    master_stop(m, "asked to");
    break;
  }
  }
  act_wipe(l->args);
  cJSON_Delete(l->args);
  uv_close((uv_handle_t *)t, begun);
}

void act_run(struct master *m, enum action kind, const char *id, const cJSON *args, const char *who, act_cb *cb, void *arg)
{
  struct later *l = xcalloc(1, sizeof *l);

  l->a = acting_new(m, id, who, cb, arg);
  l->kind = kind;
  l->args = args ? cJSON_Duplicate(args, true) : cJSON_CreateObject();
  uv_timer_init(m->loop, &l->timer);
  l->timer.data = l;
  uv_timer_start(&l->timer, begin, 0, 0);
}
