/* What a pipeline says (docs/config.md): builders with steps, schedulers. From .drover.yml in a repository, or from a project in the site's configuration. Immutable once made. */
#ifndef MASTER_CONF_PIPELINE_H
#define MASTER_CONF_PIPELINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "master/conf/cron.h"
#include "master/conf/diag.h"
#include "master/conf/output.h"
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
#define PIPELINE_TRIGGERS_MAX 20000    /* builders and schedulers that all steps together trigger, matrices written out */
#define PIPELINE_WITH_MAX 64           /* properties that a step hands on */
#define PIPELINE_PATCH_MAX (3u << 20)  /* bytes of what is tried on top of a revision: with all else it must fit into one order to a worker (4 MiB) */
#define PIPELINE_WANTS_MAX 32          /* conditions on a worker, of a builder */
#define PIPELINE_SCHEDULERS_MAX 256
#define PIPELINE_PRIORITY 50          /* where a scheduler says none */
#define PIPELINE_PRIORITY_MAX 100
#define PIPELINE_ENV_MAX 256           /* variables of a step, the inherited counted */
#define PIPELINE_ENV_BYTES_MAX (256u << 10) /* names and values of a step */
#define PIPELINE_SECRETS_MAX 32        /* of a step */
#define PIPELINE_INPUT_MAX 32          /* parts of a step's standard input, */
#define PIPELINE_INPUT_BYTES_MAX (1u << 20) /* and of all its texts as they stand */
#define PIPELINE_LOGS_MAX 8            /* of a step, beside what its command writes; as many as a worker follows */
#define PIPELINE_LOG_MAX 64            /* bytes of a log's name */
#define PIPELINE_WARNINGS_MAX 1000000  /* a limit of warnings */
#define PIPELINE_RETRIES_MAX 10        /* of a step, and of a build that was lost */
#define PIPELINE_COLLAPSE_MAX 1000      /* requests that one build stands for */
#define PIPELINE_LOCKS_MAX 16          /* of a builder, of a step */
#define PIPELINE_LOCK_TAKE_MAX 100000  /* of one lock */
#define PIPELINE_STAMPS_MAX 32   /* codebases that one trigger says something of */
#define PIPELINE_CHECKOUTS_MAX 64      /* of a builder */
#define PIPELINE_TO_MAX 200            /* bytes of the folder that a codebase is checked out into */
#define PIPELINE_DEPTH_MAX 1000000     /* commits of a short history */
#define PIPELINE_ARGV_MAX 1024
#define PIPELINE_ARGV_BYTES_MAX (512u << 10)
#define PIPELINE_REPORTED_MAX 200      /* builders of one report, matrices written out */
#define PIPELINE_FILE ".drover.yml"
#define PIPELINE_NODES_FILE "nodes.yml" /* what a build reports: builders, on top of its pipeline */

struct expr;
struct interp;

struct yml_doc;
struct yml_node;

/* Where something comes from. */
struct pipe_source {
  enum pipe_origin { PIPE_OF_DROVER, PIPE_OF_DEFAULTS, PIPE_OF_BUILDER, PIPE_OF_MATRIX, PIPE_OF_STEP, PIPE_OF_SCHEDULER } of; /* of drover: its own default; of a step: also of a template's */
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

/* A secret that a step takes. */
struct pipe_secret {
  const char *env;        /* the variable: its value, or; NULL: it is part of standard input */
  bool file;              /* the path of a file with it */
  const char *name;       /* of the secret, as the site declares it */
  const struct yml_node *at;
};

/* A part of a step's standard input. */
struct pipe_part {
  const char *text;          /* NULL: the value of the secret */
  const struct interp *made; /* text with expressions in it; NULL: it is as it stands */
  const char *secret;
};

/* A file that a step's command writes, and that is a log of its own. */
struct pipe_log {
  const char *name;
  const char *place;      /* below the folder in which it starts */
};

/* What a step's failure, or its warnings, make of the build. */
enum pipe_effect { PIPE_AS_IT_IS, PIPE_FAILS, PIPE_WARNS, PIPE_IGNORED };

/* What becomes of a build whose worker was lost in the step: how often it is made in all, or one of these. */
enum { PIPE_LOST_USUAL = 0 /* as often as any */, PIPE_LOST_FAIL = -1 /* once, and that is an exception */, PIPE_LOST_ASK = -2 /* a person says whether it is made again */ };

/* An exit status that means something else than it looks like. */
struct pipe_exit {
  int code;
  int result;             /* enum result (steps/step.h) */
};

/* How often a step is tried again when it has failed. */
struct pipe_retry {
  int times;              /* 0: not at all */
  int *codes, ncodes;     /* only where it ended with one of these; none: whenever it failed */
  int64_t wait_ms;        /* before each */
};

struct pipe_scheduler;
struct pipeline;

/* What may stand for a revision in `stamps` of a trigger: as in the build's set; by a rule of the project's; what a step of the build has reported. NULL: no such word. */
enum pipe_stamp { PIPE_STAMP_SAME, PIPE_STAMP_TIP, PIPE_STAMP_LAST_GOOD, PIPE_STAMP_DERIVED, PIPE_STAMP_WORDS };
extern const char *const pipe_stamp_words[PIPE_STAMP_WORDS];
enum pipe_stamp pipe_stamp_of(const char *word); /* PIPE_STAMP_WORDS: none of them */

/* What a step `trigger` asks for: of each scheduler a buildset, and one of the builders. */
struct pipe_asks {
  const struct pipeline *in;              /* the pipeline that all of this is in */
  const struct pipe_scheduler **schedulers; /* with PIPE_ON_TRIGGER */
  int nschedulers;
  char **builders;                        /* names that exist, each once */
  int nbuilders;
  struct pipe_outside *outside;           /* of other projects, or (branch) of this one as it is there: project "". soft: its result does not count */
  int noutside;
  const char *branch;                     /* what of these is built; NULL: the branch of the same name, else the default one */
  const struct interp *branch_text;       /* with expressions in it, or NULL */
  char **unimportant;                     /* names of these schedulers and builders, matrices written out */
  int nunimportant;
  bool wait;
  struct env_var *with;
  int nwith;
  char **copy;
  int ncopy;
  struct env_var *stamps;                 /* codebases, and what of each is built: a word of pipe_stamp_word or a revision; those not named are as in the build's own set */
  int nstamps;
  const char *revision, *reason;          /* NULL: the build's own; one is made */
  const struct interp *revision_text, *reason_text; /* with expressions in it, or NULL */
  const struct yml_node *at;              /* the value of `trigger` */
};

/* A lock that a builder or a step takes. Whether the site has it, and so many, is for conf_lock.h. */
struct pipe_lock {
  const char *name;
  int take;               /* 0: exclusive */
  const char *as;         /* the variable with the names of its units; or NULL */
  const struct yml_node *at;
};

/* What a step brings, and where to. */
struct pipe_checkout {
  const char *codebase;   /* NULL: the project's main one, or its only one */
  const char *to;         /* folder below the tree, as short as it can be written; NULL: its top */
  int depth;              /* commits of history; 0: all of them */
  bool keep;              /* untracked files stay */
  bool submodules;
  bool folder;            /* it stands among several, each of which has a folder unless it says something else */
  const char **inside;    /* folders below this one's that other checkouts of the builder fill: git clean leaves them alone. NULL-ended; or NULL */
  const char *layout;     /* of the first checkout of a builder: what all of them make of the tree. Another one's tree is no use. "": one repository at the top; NULL: not the first */
  const struct yml_node *at; /* the codebase's name, else what says that there is a checkout */
};

struct pipe_step {
  char *name;             /* unique in the builder; where none was given, the script's first line made a name ("make check": make-check),
                             "checkout" or "run"; -2, -3 behind it where that is taken */
  enum pipe_kind { PIPE_CHECKOUT, PIPE_RUN, PIPE_TRIGGER } kind;
  char *script;           /* run: text for sh -eu; or */
  char **argv;            /* run: a list, no shell; NULL-ended */
  const struct interp **args; /* for each of argv: its text with expressions, or NULL; NULL where none has any */
  struct pipe_asks *asks; /* trigger */
  const struct expr *cond; /* `if`: run only when it is true; or NULL */
  const char *cond_text;
  char *cwd;              /* below the checkout, relative, without ..; NULL: its top */
  struct env_var *env;    /* defaults', builder's and step's, merged: each name once. A checkout has the first two. Names start with
                             no DROVER_ but are otherwise the pipeline's: put what must hold behind them */
  int nenv;
  struct pipe_secret *secrets;
  int nsecrets;
  enum pipe_effect on_failure, on_warnings; /* PIPE_AS_IT_IS: a failure fails the build, warnings are its warnings */
  bool goes_on;           /* its failure does not end the build: the steps behind it run */
  bool always;            /* it runs when the build was ended by another step or cancelled, as long as the worker is there */
  const char *warnings;   /* lines of its output that match this are warnings; NULL: none are */
  bool warnings_text;     /* it is a text that they have in them, not a regular expression (conf/pattern.h) */
  int64_t warnings_limit; /* more are a failure; -1: never */
  const struct expr *hide; /* `hide_if`: not shown, once it is over, where that is true; or NULL */
  const char *hide_text;
  bool bash;              /* the script is for bash -euo pipefail */
  struct pipe_exit *exits;
  int nexits;
  struct pipe_retry retry;
  int on_lost;            /* attempts in all, or PIPE_LOST_… */
  struct pipe_lock *locks;
  int nlocks;
  int64_t total_ms, idle_ms; /* 0: none; defaults filled in (total none, idle 20 min) */
  struct pipe_part *input; /* standard input, one behind the other; NULL: none */
  int ninput;
  bool input_open;        /* it is what `drover attach` sends */
  int pty_cols, pty_rows; /* of its terminal; 0: it has none */
  struct pipe_log *logs;
  int nlogs;
  struct output_limit output; /* of its commands, where that is less than the site's */
  struct pipe_checkout checkout; /* of a checkout */
  int line;               /* in the file, for messages; of an implicit checkout the builder's */
  struct pipe_source at, cwd_from, total_from, idle_from, output_from, lost_from; /* at: the step itself */
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

/* Several words of which a worker must have one; n 0: nothing is asked. */
struct pipe_words {
  char **v;
  int n;
  struct pipe_source from;
};

/* What a worker must be, its tags aside. */
struct pipe_want {
  struct pipe_words os, arch, name, pool; /* as in the names of worker_names.def */
  int64_t memory;                   /* at least so many bytes; 0: any */
  struct pipe_source memory_from;
  const struct yml_node *cond;      /* `if`; NULL: none */
  const struct expr_name *cond_names; /* while the builder is made */
  struct pipe_source cond_from;
};

/* One of another project, as it is there when it is asked for (schedulers/asks.c). */
struct pipe_outside {
  char *name;             /* PROJECT/BUILDER */
  char *project, *builder;/* its parts; of a matrix all combinations, or one */
  bool soft;
  const struct yml_node *at;
};

struct pipe_builder {
  char *name;             /* "linux", or of a matrix "linux[gcc,x86_64]" */
  char *base;             /* the name as it stands in the file */
  struct pipe_axis *axes;
  int naxes;              /* 0: no matrix */
  const struct yml_node *at; /* its map, or of a file with only steps their list */
  const char *reporter;   /* the builder whose build has reported this one, which it always needs; NULL: it is the pipeline's own */
  char **tags;            /* what a worker must have */
  int ntags;
  struct pipe_source tags_from;
  struct pipe_want want;
  char **wants;           /* want, as expressions over worker_names.def that must all be true; each stands by itself, matrices written out */
  int nwants;
  struct pipe_need *needs; /* each builder once, matrices written out */
  int nneeds;
  struct pipe_lock *locks; /* none of which a step of it takes too */
  int nlocks;
  struct pipe_outside *outside; /* each name once */
  int noutside;
  struct pipe_step *steps; /* a checkout comes first unless `checkout: none`; of several codebases each is a step */
  int nsteps;
  const char **codebases; /* that its steps check out, each once, in order; "": the main one, or the only one. NULL-ended */
  int ncodebases;
};

/* What sets a scheduler off: just one of these in each. */
enum pipe_trigger { PIPE_ON_CHANGE, PIPE_ON_TAG, PIPE_ON_PULL, PIPE_ON_CRON, PIPE_ON_EVERY, PIPE_ON_FORCE, PIPE_ON_AFTER, PIPE_ON_TRIGGER, PIPE_TRIGGERS };
const char *pipe_trigger_name(enum pipe_trigger t); /* the key: "change", "cron" … */
enum pipe_missed { PIPE_MISSED_ONCE, PIPE_MISSED_SKIP, PIPE_MISSED_ALL };

struct pipe_scheduler {
  char *name;
  enum pipe_trigger trigger;
  char **branches;        /* globs: of the branch, of a pull request what it goes into; none: every one. Of the tag: one at least */
  int nbranches;
  char **codebases;       /* whose changes count; none: all */
  int ncodebases;
  const struct yml_node *codebases_at;
  char **only, **not_only;/* change: globs of files. A file counts where it matches `only` (none: any) and none of `not_only`; a change without a file that counts is unimportant */
  int nonly, nnot_only;
  const struct expr *cond;/* `if` over the change (change_names.def); or NULL */
  const char *cond_text;
  bool skip;              /* markers in the message ([skip ci] …) count */
  bool supersede;         /* change, pull_request: a newer one cancels what an older one's builds still do */
  int collapse;           /* change, pull_request: how many requests a build may stand for; 0: each has its own */
  int64_t stable_ms;      /* change: quiet time after the last one; 0: none */
  int priority;           /* of its requests, 0 to 100 (PIPELINE_PRIORITY_MAX); higher ones start first */
  const struct expr *priority_of; /* change without stable, tag, pull_request: over change_names.def, instead of the number; or NULL */
  const char *priority_text;
  struct cron cron;       /* PIPE_ON_CRON, with the line as it stands and its zone */
  const char *cron_text, *zone;
  int64_t every_ms;       /* PIPE_ON_EVERY */
  enum pipe_missed missed;
  const struct expr *only_if; /* cron, every: over time_names.def, when its time has come; or NULL */
  const char *only_if_text;
  char *branch;           /* what cron, every and force build; NULL: the project's default branch */
  struct param *params;   /* PIPE_ON_FORCE, PIPE_ON_TRIGGER */
  int nparams;
  char *after;            /* PIPE_ON_AFTER: the scheduler whose buildsets, when they end well, set it off; never itself, over however many others */
  bool fail_fast;         /* the first builder that ends badly ends all that was asked for with it */
  bool fresh;             /* what the builders need is built again though it was good before */
  const struct yml_node *from_at;
  bool from_changed;      /* change, tag, pull_request: what a change touches, and what follows from that; `builders` has all that may ever be asked for */
  char **until;           /* from_changed: no further than to these; none: as far as anything follows */
  int nuntil;
  const struct pipeline *in; /* from_changed: the pipeline that all of this is in */
  char **builders;        /* names that exist in the pipeline */
  int nbuilders;
};

struct pipeline {
  struct pipe_builder *builders;
  int nbuilders;
  int nown;               /* how many of them are the pipeline's own: the first ones. The others were reported, and nothing of the pipeline but they knows them */
  struct pipe_scheduler *schedulers; /* none given: one, "commits": each push to any branch builds all */
  int nschedulers;
};

/* text: a .drover.yml, need not end in NUL, any bytes. project: names the one builder where the file has only `steps:`. NULL where d
   got errors. The caller frees it; all strings in it live as long as it does. */
struct pipeline *pipeline_parse(const char *file, const char *text, size_t len, const char *project, struct diags *d) must_check;
/* The same from a map that has `steps` or `builders` among other keys and was checked against the schema (d may have got errors from
   that): a project of the site. Holds doc, in which map is. */
struct pipeline *pipeline_from(struct yml_doc *doc, const struct yml_node *map, const char *project, struct diags *d) must_check;
/* p with the builders of a nodes.yml behind its own: the same language, limits (of all together) and diagnostics, with p's `defaults` and `templates`. They need the reporter, a builder of p, whatever else they
   need: builders of the same text, or of p. No name is in p already. What they trigger are p's own. NULL where d got errors. The caller frees it; p may go before it. */
struct pipeline *pipeline_extend(const struct pipeline *p, const char *text, size_t len, const char *reporter, struct diags *d) must_check;
/* The same from the texts of all of it: v[0] a .drover.yml, then what was reported on top of it, one after the other. */
struct pipe_text {
  const char *text, *reporter; /* reporter: NULL of the first */
  size_t len;
};
struct pipeline *pipeline_stack(const struct pipe_text *v, int n, const char *project, struct diags *d) must_check;
void pipeline_free(struct pipeline *p); /* NULL: nothing */
/* Whether the codebases that it names, in `checkout` and in expressions, are among those of its project: names[0] … names[n-1], or "" alone where that has one repository. Those that are
   not are told. NULL: nobody knows them, nothing is told. */
void pipeline_check_codebases(const struct pipeline *p, const char *const *names, int n, struct diags *d);
/* Words that "checkout" has meanings of its own for, so that no codebase is called so. */
bool pipeline_is_checkout_word(const char *s) must_check;
const struct pipe_builder *pipeline_builder(const struct pipeline *p, const char *name);
/* The builders that a name asks for: the one, or all combinations of a matrix. They stand behind each other: the first of *n; NULL: there is none. */
const struct pipe_builder *pipeline_named(const struct pipeline *p, const char *name, int *n);
/* What changes in these codebases (`changed`, NULL: in any; as builders name them) set off: the builders that check one of them out, and those that need what is set off, over however many
   others; of all these only those that are one of `until` or needed by one (none: all). main: what the main codebase is called, "" where a project has one repository; NULL: nobody knows, and
   what checks it out is set off. How many, as the pipeline has them; names has room for all builders. until: names of this pipeline's builders. */
int pipeline_follow(const struct pipeline *p, char *const *until, int nuntil, const char *const *changed, int nchanged, const char *main, char **names);
/* Codebases that a builder checks out, and that what it needs does, each once; "": the main one, or the only one. How many; the caller frees *names. */
int pipeline_sources(const struct pipeline *p, const struct pipe_builder *b, const char ***names) must_check;
/* Whether s can be the name of a builder: that of a file, with or without a combination in brackets. Nothing in it means anything to a URL's path once it is
   percent-encoded, to an id, or to a file system. */
bool pipeline_is_builder(const char *s, size_t n);
/* [{"lock": …, "n": …}] (without n: exclusive), as rows of requests and of steps that wait have it. The caller frees it. */
char *pipeline_locks(const struct pipe_lock *v, int n) must_check;
const struct pipe_scheduler *pipeline_scheduler(const struct pipeline *p, const char *name);
#endif
