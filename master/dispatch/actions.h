/* What people can do, as the API's actions: one function, one table row each (routes.def). Checked, done in one transaction, audited by an event. */
#ifndef MASTER_DISPATCH_ACTIONS_H
#define MASTER_DISPATCH_ACTIONS_H
#include <cjson/cJSON.h>

struct master;

/* status: HTTP's. body: JSON text, valid during the call. */
typedef void act_cb(int status, const char *body, void *arg);

enum action {
  ACT_BUILD,            /* POST builds */
  ACT_TRY,              /* POST try */
  ACT_RERUN,            /* id: project/builder/number or builder/number, number may be "last" */
  ACT_CANCEL_BUILD,
  ACT_INPUT,
  ACT_CANCEL_REQUEST,   /* id: r118 */
  ACT_CANCEL_BUILDSET,  /* id: s77 */
  ACT_PAUSE,
  ACT_RESUME,
  ACT_REQUEST_APPROVE,  /* id: r118 */
  ACT_PRIORITY_REQUEST, /* id: r118 */
  ACT_PRIORITY_BUILDSET,/* id: s77 */
  ACT_CHANGE,
  ACT_CHANGE_APPROVE,   /* id: c12 */
  ACT_SCHEDULER_ENABLE, /* id: project/name */
  ACT_SCHEDULER_DISABLE,
  ACT_SCHEDULER_RUN,
  ACT_WORKER_ADD,
  ACT_WORKER_REMOVE,    /* id: name */
  ACT_POOL_TOKEN,       /* id: name */
  ACT_POOL_REMOVE,      /* id: name */
  ACT_CONFIG_ACTIVATE,
  ACT_CONFIG_ROLLBACK,
  ACT_CONFIG_TRY,
  ACT_WORKER_CLEAN,     /* id: name */
  ACT_FORGET_GHOSTS,    /* id: name */
  ACT_WORKER_RESTART,   /* id: name */
  ACT_WORKER_UPGRADE,   /* id: name */
  ACT_WORKER_DRAIN,     /* id: name */
  ACT_WORKER_FACTS,     /* id: name */
  ACT_WORKER_TRUST,     /* id: name */
  ACT_SECRET_SET,
  ACT_SECRET_REMOVE,    /* id: name */
  ACT_SITE_KEY_ROTATE,
  ACT_SSH_KEY_ROTATE,
  ACT_SSH_KEY_DROP,
  ACT_MASTER_STOP,
};

/* args: the request's body (an object or NULL), borrowed during the call. who: for the record ("root", "anna", …). cb is called once, later, from the loop. */
void act_run(struct master *m, enum action a, const char *id, const cJSON *args, const char *who, act_cb *cb, void *arg);
/* Overwrites every text in it: one of them may have been a secret. */
void act_wipe(cJSON *args);
#endif
