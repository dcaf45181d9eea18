/* What a pipeline says (docs/config.md): builders with steps, schedulers. From .drover.yml in a repository, or from a project in the site's configuration. Immutable once made. */
#ifndef MASTER_CONF_PIPELINE_H
#define MASTER_CONF_PIPELINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/conf/cron.h"
#include "master/conf/diag.h"
#include "master/conf/params.h"

#define PIPELINE_TEXT_MAX (1u << 20)
#define PIPELINE_STEPS_MAX 4096        /* of all builders together */
#define PIPELINE_SCHEDULERS_MAX 256
#define PIPELINE_ENV_MAX 256           /* variables of a step, the inherited counted */
#define PIPELINE_ENV_BYTES_MAX (256u << 10) /* names and values of a step */
#define PIPELINE_ARGV_MAX 1024
#define PIPELINE_ARGV_BYTES_MAX (512u << 10)
#define PIPELINE_FILE ".drover.yml"

struct expr;
struct interp;

struct env_var {
  char *name, *value;
  const struct interp *text; /* value with expressions in it; NULL: it is as it stands */
};

struct pipe_step {
  char *name;             /* unique in the builder; where none was given, the script's first line made a name ("make check": make-check),
                             "checkout" or "run"; -2, -3 behind it where that is taken */
  enum pipe_kind { PIPE_CHECKOUT, PIPE_RUN } kind;
  char *script;           /* run: text for sh -eu; or */
  char **argv;            /* run: a list, no shell; NULL-ended */
  const struct interp **args; /* for each of argv: its text with expressions, or NULL; NULL where none has any */
  const struct expr *cond; /* `if`: run only when it is true; or NULL */
  const char *cond_text;
  char *cwd;              /* below the checkout, relative, without ..; NULL: its top */
  struct env_var *env;    /* defaults', builder's and step's, merged: each name once. A checkout has the first two. Names start with
                             no DROVER_ but are otherwise the pipeline's: put what must hold behind them */
  int nenv;
  int64_t total_ms, idle_ms; /* 0: none; defaults filled in (total none, idle 20 min) */
  int line;               /* in the file, for messages; of an implicit checkout the builder's */
};

struct pipe_builder {
  char *name;
  char **tags;            /* what a worker must have */
  int ntags;
  struct pipe_step *steps; /* a checkout comes first unless `checkout: none` */
  int nsteps;
};

/* What sets a scheduler off: just one of these in each. */
enum pipe_trigger { PIPE_ON_CHANGE, PIPE_CRON, PIPE_EVERY, PIPE_FORCE, PIPE_TRIGGERS };
const char *pipe_trigger_name(enum pipe_trigger t); /* the key: "change", "cron" … */
enum pipe_missed { PIPE_MISSED_ONCE, PIPE_MISSED_SKIP, PIPE_MISSED_ALL };

struct pipe_scheduler {
  char *name;
  enum pipe_trigger trigger;
  char **branches;        /* globs; none: every branch */
  int nbranches;
  int64_t stable_ms;      /* quiet time after the last change; 0: none */
  struct cron cron;       /* PIPE_CRON, with the line as it stands and its zone */
  const char *cron_text, *zone;
  int64_t every_ms;       /* PIPE_EVERY */
  enum pipe_missed missed;
  bool only_if_changed;
  char *branch;           /* what cron, every and force build; NULL: the project's default branch */
  struct param *params;   /* PIPE_FORCE */
  int nparams;
  char **builders;        /* names that exist in the pipeline */
  int nbuilders;
};

struct yml_doc;
struct yml_node;

struct pipeline {
  struct pipe_builder *builders;
  int nbuilders;
  struct pipe_scheduler *schedulers; /* none given: one, "commits": each push to any branch builds all */
  int nschedulers;
};

/* text: a .drover.yml, need not end in NUL, any bytes. project: names the one builder where the file has only `steps:`. NULL where d
   got errors. The caller frees it; all strings in it live as long as it does. */
struct pipeline *pipeline_parse(const char *file, const char *text, size_t len, const char *project, struct diags *d) must_check;
/* The same from a map that has `steps` or `builders` among other keys and was checked against the schema (d may have got errors from
   that): a project of the site. Holds doc, in which map is. */
struct pipeline *pipeline_from(struct yml_doc *doc, const struct yml_node *map, const char *project, struct diags *d) must_check;
void pipeline_free(struct pipeline *p); /* NULL: nothing */
const struct pipe_builder *pipeline_builder(const struct pipeline *p, const char *name);
const struct pipe_scheduler *pipeline_scheduler(const struct pipeline *p, const char *name);
#endif
