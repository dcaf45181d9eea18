/* Between the files of actions: one request of a person under way. */
#ifndef MASTER_DISPATCH_ACTIONS_INT_H
#define MASTER_DISPATCH_ACTIONS_INT_H
#include <stdint.h>

#include "master/dispatch/actions.h"
#include "master/db/db.h"

struct acting {
  struct master *m;
  act_cb *cb;
  void *arg;
  char *who, *id;
  char *project, *builder, *branch, *revision, *reason, *properties; /* build, rerun */
  int64_t number;
  char *text;         /* worker add: the token */
};

struct acting *acting_new(struct master *m, const char *id, const char *who, act_cb *cb, void *arg);
/* Answers and frees. json: taken over. */
void acting_done(struct acting *a, int status, cJSON *json);
void acting_fail(struct acting *a, int status, const char *code, const char *help, const char *fmt, ...) printf_like(5, 6);
/* true: there was an error and it was answered */
bool acting_db_failed(struct acting *a, struct db_res *res);
/* Answers with the buildset and requests that a statement returned (id, requests). */
void acting_made(struct acting *a, struct db_res *res, int stmt);
/* Into a->properties. False: they are none (answered). */
bool acting_properties(struct acting *a, const cJSON *props);
struct world;
/* true: the project is in the configuration, but has no row yet (the master has just come up); it was answered */
bool acting_too_early(struct acting *a, const struct world *p);

void act_build(struct acting *a, const cJSON *args);
void act_try(struct acting *a, const cJSON *args);
void act_rerun(struct acting *a, const cJSON *args);
void act_cancel(struct acting *a, enum action kind, const cJSON *args);
void act_pause(struct acting *a, bool pausing, const cJSON *args);
void act_priority(struct acting *a, bool whole, const cJSON *args);
void act_change(struct acting *a, const cJSON *args);
void act_change_approve(struct acting *a);
void act_scheduler_switch(struct acting *a, bool off, const cJSON *args);
void act_scheduler_run(struct acting *a, const cJSON *args);
void act_worker_add(struct acting *a, const cJSON *args);
void act_worker_remove(struct acting *a);
void act_config_activate(struct acting *a);
void act_worker_clean(struct acting *a, const cJSON *args);
/* "libfoo/linux/42", "linux/42" (project ""), "linux/last" (number 0). The strings are the caller's. */
enum err act_build_id(const char *id, char **project, char **builder, int64_t *number) must_check;
const char *act_string(const cJSON *args, const char *key); /* NULL where it is not a string */
#endif
