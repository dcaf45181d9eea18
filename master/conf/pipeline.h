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
#define PIPELINE_STEPS_MAX 4096        /* of all builders together, matrices and templates written out */
#define PIPELINE_BUILDERS_MAX 1000     /* matrices written out */
#define PIPELINE_BUILDER_MAX 96        /* bytes of a builder's name, the combination in brackets counted */
#define PIPELINE_AXES_MAX 8            /* of a matrix */
#define PIPELINE_COMBINATIONS_MAX 256  /* of a matrix, those excluded counted */
#define PIPELINE_VALUE_MAX 32          /* bytes of an axis's value */
#define PIPELINE_TEMPLATE_DEPTH_MAX 8  /* templates in templates */
#define PIPELINE_PARAMETER_MAX 1024    /* bytes of a parameter's value */
#define PIPELINE_NODES_MAX 400000      /* values of the tree that are looked at, once for each combination and use */
#define PIPELINE_BYTES_MAX (32u << 20) /* bytes of these */
#define PIPELINE_NEEDS_MAX 20000       /* of all builders together, matrices written out */
#define PIPELINE_PATCH_MAX (3u << 20)  /* bytes of what is tried on top of a revision: with all else it must fit into one order to a worker (4 MiB) */
#define PIPELINE_SCHEDULERS_MAX 256
#define PIPELINE_PRIORITY 50          /* where a scheduler says none */
#define PIPELINE_ENV_MAX 256           /* variables of a step, the inherited counted */
#define PIPELINE_ENV_BYTES_MAX (256u << 10) /* names and values of a step */
#define PIPELINE_ARGV_MAX 1024
#define PIPELINE_ARGV_BYTES_MAX (512u << 10)
#define PIPELINE_FILE ".drover.yml"

struct expr;
struct interp;

struct yml_doc;
struct yml_node;

/* Where something comes from. */
struct pipe_source {
  enum pipe_origin { PIPE_OF_DROVER, PIPE_OF_DEFAULTS, PIPE_OF_BUILDER, PIPE_OF_MATRIX, PIPE_OF_STEP } of; /* of drover: its own default; of a step: also of a template's */
  const struct yml_node *at; /* the value; NULL: drover's default. Lives as long as the pipeline */
};

/* A use of a template, for messages and `drover config explain`. */
struct pipe_use {
  const struct yml_node *at; /* the `use` */
  const char *name;          /* the template's */
  const char *said;          /* `in template "cmake", used at 12:9` */
  const struct pipe_use *by; /* the use of the template that this one stands in; or NULL */
};

struct env_var {
  char *name, *value;
  const struct interp *text; /* value with expressions in it; NULL: it is as it stands */
  struct pipe_source from;
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
  struct pipe_source at, cwd_from, total_from, idle_from; /* at: the step itself */
  const struct pipe_use *use; /* the template it comes from; NULL: none */
};

/* An axis of a matrix, with the value it has in one builder. */
struct pipe_axis {
  char *name, *value;
  const struct yml_node *at; /* the value */
};

struct pipe_builder;

/* A builder that comes before. */
struct pipe_need {
  char *name;
  const struct pipe_builder *builder; /* of the same pipeline; it never needs, over however many others, the one that has this */
  bool soft;                          /* it must be over; else it must have ended well */
  const struct yml_node *at;          /* its name */
};

struct pipe_builder {
  char *name;             /* "linux", or of a matrix "linux[gcc,x86_64]" */
  char *base;             /* the name as it stands in the file */
  struct pipe_axis *axes;
  int naxes;              /* 0: no matrix */
  const struct yml_node *at; /* its map, or of a file with only steps their list */
  char **tags;            /* what a worker must have */
  int ntags;
  struct pipe_source tags_from;
  struct pipe_need *needs; /* each builder once, matrices written out */
  int nneeds;
  struct pipe_step *steps; /* a checkout comes first unless `checkout: none` */
  int nsteps;
};

/* What sets a scheduler off: just one of these in each. */
enum pipe_trigger { PIPE_ON_CHANGE, PIPE_ON_TAG, PIPE_ON_PULL, PIPE_ON_CRON, PIPE_ON_EVERY, PIPE_ON_FORCE, PIPE_ON_AFTER, PIPE_TRIGGERS };
const char *pipe_trigger_name(enum pipe_trigger t); /* the key: "change", "cron" … */
enum pipe_missed { PIPE_MISSED_ONCE, PIPE_MISSED_SKIP, PIPE_MISSED_ALL };

struct pipe_scheduler {
  char *name;
  enum pipe_trigger trigger;
  char **branches;        /* globs: of the branch, of a pull request what it goes into; none: every one. Of the tag: one at least */
  int nbranches;
  char **only, **not_only;/* change: globs of files. A file counts where it matches `only` (none: any) and none of `not_only`; a change without a file that counts is unimportant */
  int nonly, nnot_only;
  const struct expr *cond;/* `if` over the change (change_names.def); or NULL */
  const char *cond_text;
  bool skip;              /* markers in the message ([skip ci] …) count */
  bool supersede;         /* change, pull_request: a newer one cancels what an older one's builds still do */
  int64_t stable_ms;      /* change: quiet time after the last one; 0: none */
  int priority;           /* of its requests, 0 to 100; higher ones start first */
  struct cron cron;       /* PIPE_ON_CRON, with the line as it stands and its zone */
  const char *cron_text, *zone;
  int64_t every_ms;       /* PIPE_ON_EVERY */
  enum pipe_missed missed;
  bool only_if_changed;
  char *branch;           /* what cron, every and force build; NULL: the project's default branch */
  struct param *params;   /* PIPE_ON_FORCE */
  int nparams;
  char *after;            /* PIPE_ON_AFTER: the scheduler whose buildsets, when they end well, set it off; never itself, over however many others */
  bool fail_fast;         /* the first builder that ends badly ends all that was asked for with it */
  bool fresh;             /* what the builders need is built again though it was good before */
  char **builders;        /* names that exist in the pipeline */
  int nbuilders;
};

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
/* The builders that a name asks for: the one, or all combinations of a matrix. They stand behind each other: the first of *n; NULL: there is none. */
const struct pipe_builder *pipeline_named(const struct pipeline *p, const char *name, int *n);
/* Whether s can be the name of a builder: that of a file, with or without a combination in brackets. Nothing in it means anything to a URL's path once it is
   percent-encoded, to an id, or to a file system. */
bool pipeline_is_builder(const char *s, size_t n);
const struct pipe_scheduler *pipeline_scheduler(const struct pipeline *p, const char *name);
#endif
