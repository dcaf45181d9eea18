/* What differs between two configurations. Pure. */
#ifndef MASTER_CONF_CONF_DIFF_H
#define MASTER_CONF_CONF_DIFF_H
#include "master/conf/conf.h"

enum conf_what { CONF_ADDED, CONF_REMOVED, CONF_CHANGED };

struct conf_change {
  enum conf_what what;
  const char *kind;   /* "setting", "worker", "pool", "project", "builder", "scheduler" */
  char *name;         /* "window", "build1", "libfoo", "libfoo/linux" */
  char **keys;        /* changed workers and projects: which keys; "pipeline", "defaults" too */
  int nkeys;
  const struct conf_project *project; /* an added project: it, of the new configuration; else NULL */
};
/* Settings, then workers and pools, then projects, each project followed by its builders and schedulers (of a project that is new or gone: they go without saying). */
struct conf_diff {
  struct conf_change *v;
  int n;
};

void conf_diff(const struct conf *old, const struct conf *now, struct conf_diff *d); /* now: borrowed while d is used */
void conf_diff_free(struct conf_diff *d);
const char *conf_what_name(enum conf_what w); /* "added", "removed", "changed" */
/* What a running master can't take over: each key of that kind that differs is an error in d. */
void conf_check_restart(const struct conf *old, const struct conf *now, struct diags *d);
/* Nothing about the project differs, in keys or pipeline. */
bool conf_project_same(const struct conf_project *a, const struct conf_project *b);
const struct conf_worker *conf_worker(const struct conf *c, const char *name); /* NULL: none */
#endif
