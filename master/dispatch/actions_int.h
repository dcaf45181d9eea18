/* Between the files of actions: one request of a person under way. */
#ifndef MASTER_DISPATCH_ACTIONS_INT_H
#define MASTER_DISPATCH_ACTIONS_INT_H
#include <stdint.h>

#include <cjson/cJSON.h>

#include "common/buf.h"
#include "master/dispatch/actions.h"
#include "master/db/db.h"

struct acting {
  struct master *m;
  act_cb *cb;
  void *arg;
  char *who, *id;
  char *project, *builder, *branch, *revision, *reason, *properties; /* build, rerun */
  char *codebase;     /* "": the project's only one */
  char *stamps;       /* of several codebases: the set, as JSON; else NULL */
  char *line;         /* likewise: what the branch that was asked for is called in the main one; else NULL */
  int64_t number;
  bool others;        /* cancel: also what was collapsed into it */
  char *text;         /* worker add, pool token: the token; build: what `at` said, as JSON; site key: names that were lost, as JSON */
};

struct acting *acting_new(struct master *m, const char *id, const char *who, act_cb *cb, void *arg);
/* Answers and frees. json: taken over. */
void acting_done(struct acting *a, int status, cJSON *json);
void acting_fail(struct acting *a, int status, const char *code, const char *help, const char *fmt, ...) printf_like(5, 6);
/* A new join token of that worker, or pool, into a->text; the hash of its secret into hash. */
void acting_token(struct acting *a, const char *name, bool pool, unsigned char hash[32]);
/* Of a worker that is none any more: its link, where this master has it, is closed. */
void acting_part(struct acting *a, const char *worker);
/* true: there was an error and it was answered */
bool acting_db_failed(struct acting *a, struct db_res *res);
/* Answers with the buildset and requests that a statement returned (id, requests). */
void acting_made(struct acting *a, struct db_res *res, int stmt);
/* Into a->properties. False: they are none (answered). */
bool acting_properties(struct acting *a, const cJSON *props);
struct world;
/* true: the project is in the configuration, but has no row yet (the master has just come up); it was answered */
bool acting_too_early(struct acting *a, const struct world *p);

struct conf_codebase;
/* The codebase of that name; name NULL: the one of that repository (NULL: not known), else, of a project with just one, that one. NULL: answered. */
const struct conf_codebase *acting_codebase(struct acting *a, const struct world *p, const char *name, const char *repository);
/* Of a project with codebases: a->stamps, for a->revision ("" : the tip) of a->branch in a->codebase, with what `at` asks for, {codebase: revision, tag or branch}, or NULL; and a->branch and a->revision become
   those of the main codebase, at which the pipeline is. Then next, from the loop or at once; where something is wrong it is answered and `next` is not called. */
void acting_stamps(struct acting *a, const struct world *p, const cJSON *at, void (*next)(struct acting *a, void *arg), void (*drop)(void *arg), void *arg);
/* What decide.h says of builders, with a->stamps. The caller frees it. */
char *acting_builders(const struct acting *a, const struct buf *builders) must_check;

void act_build(struct acting *a, const cJSON *args);
void act_try(struct acting *a, const cJSON *args);
void act_rerun(struct acting *a, const cJSON *args);
void act_cancel(struct acting *a, enum action kind, const cJSON *args);
void act_pause(struct acting *a, bool pausing, const cJSON *args);
void act_priority(struct acting *a, bool whole, const cJSON *args);
void act_change(struct acting *a, const cJSON *args);
void act_change_approve(struct acting *a);
void act_request_approve(struct acting *a);
void act_scheduler_switch(struct acting *a, bool off, const cJSON *args);
void act_scheduler_run(struct acting *a, const cJSON *args);
void act_worker_add(struct acting *a, const cJSON *args);
void act_worker_remove(struct acting *a);
void act_pool_token(struct acting *a);
void act_pool_remove(struct acting *a);
void act_secret_set(struct acting *a, const cJSON *args);
void act_secret_remove(struct acting *a);
void act_site_key_rotate(struct acting *a);
void act_ssh_key_rotate(struct acting *a);
void act_ssh_key_drop(struct acting *a, const cJSON *args);
void act_config_activate(struct acting *a);
void act_config_try(struct acting *a, const cJSON *args);
void act_config_rollback(struct acting *a, const cJSON *args);
void act_worker_clean(struct acting *a, const cJSON *args);
void act_forget_ghosts(struct acting *a);
void act_worker_facts(struct acting *a, const cJSON *args);
void act_input(struct acting *a, const cJSON *args);
void act_worker_trust(struct acting *a, const cJSON *args);
void act_worker_order(struct acting *a, enum action kind, const cJSON *args);
/* The build that the action is about: "libfoo/linux/42", "linux/42" (project ""), "linux/last" (number 0). The strings are the caller's. False: it is none (answered). */
bool act_build_id(struct acting *a, char **project, char **builder, int64_t *number) must_check;
const char *act_string(const cJSON *args, const char *key); /* NULL where it is not a string */
#endif
