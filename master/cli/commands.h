/* The one table of commands: parsing, help and the manual's check come from it. */
#ifndef MASTER_CLI_COMMANDS_H
#define MASTER_CLI_COMMANDS_H
#include <stdint.h>

#include "master/cli/cli.h"

struct command {
  const char *name;  /* one word, or two: "worker add" */
  const char *args;  /* for the usage line */
  int least, most;   /* arguments behind the name */
  uint64_t flags;    /* beside the global ones */
  int (*run)(struct cli *c, const struct args *a, const char *const *arg, int narg); /* returns the exit code */
  const char *help;  /* one line; NULL: another name of the row above it; "": for programs, not listed */
  const char *more;  /* further lines for its own help; or NULL */
};
extern const struct command commands[];
extern const int commands_count;

int cmd_status(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_list(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_builders(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_show(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_log(struct cli *c, const struct args *a, const char *const *arg, int narg);
/* A step's log, until it ends; raw: byte for byte. build: "project/builder/number". The exit code. */
int log_follow_step(struct cli *c, const struct args *a, bool raw, const char *build, const char *step);
int cmd_attach(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_build(struct cli *c, const struct args *a, const char *const *arg, int narg);
/* A line about what is paused, as the API tells it. */
void pause_line(struct cli *c, const cJSON *p);
int cmd_pause(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_resume(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_resume(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_priority(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_try(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_rerun(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_cancel(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_watch(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_why(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_scheduler_list(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_scheduler_show(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_scheduler_enable(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_scheduler_disable(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_scheduler_run(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_add(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_install(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_list(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_show(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_queue(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_events(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_locks(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_upgrade(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_restart(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_drain(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_key(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_trust(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_facts(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_log(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_forget(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_clean(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_worker_remove(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_pool_list(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_pool_show(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_pool_token(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_pool_remove(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_secret_set(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_secret_list(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_secret_remove(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_secret_rotate(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_approve(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_change_list(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_change_show(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_change_approve(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_change_send(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_last(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_diff(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_activate(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_try(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_rollback(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_show(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_history(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_new(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_explain(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_schema(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_config_check(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_master_stop(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_completion(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_complete(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_doctor(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_api_pipe(struct cli *c, const struct args *a, const char *const *arg, int narg);
int cmd_help(struct cli *c, const struct args *a, const char *const *arg, int narg);

/* Finds the command that the words begin with; *used: how many words that took. NULL: none (told, exit code in c->code). */
const struct command *command_find(struct cli *c, const struct args *a, int *used);
void command_help(struct cli *c, const struct command *cmd); /* about one */
void command_help_all(struct cli *c);
#endif
