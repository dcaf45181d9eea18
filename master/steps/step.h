/* A step as a named state in a table: `enter` says what the worker shall do in a state, `got` chooses the next state from the answer. Both are pure: values in, values out, no I/O, so that
   every reply × cancel can be enumerated (tests/seq) and another master can go on from the stored state and variables. */
#ifndef MASTER_STEPS_STEP_H
#define MASTER_STEPS_STEP_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/sm.h"
#include "master/conf/pipeline.h"
#include "master/conf/vcs.h"
#include "master/steps/login.h"
#include "proto/wire.h"

/* Results, with Buildbot's numbers; the order from mild to worst is another one: result_worse(). */
enum result { RESULT_SUCCESS, RESULT_WARNINGS, RESULT_FAILURE, RESULT_SKIPPED, RESULT_EXCEPTION, RESULT_RETRY, RESULT_CANCELLED, RESULT_COUNT };
const char *result_text(int result); /* "success" … */
enum result result_worse(enum result a, enum result b);

#define STEP_ATTEMPTS_MAX 3      /* of a build that was lost, where its step says nothing else */
#define STEP_OUTPUT_MAX 4096 /* of a command's stdout that a machine may look at */
#define STEP_ERRORS_MAX 2048 /* of its stderr */
#define STEP_GRACE_MS 10000
#define STEP_CODEBASE_MAX 64   /* bytes of its name */
#define STEP_GIT_IDLE_MS 1200000 /* commands of a checkout without output */
#define STEP_LATE_MS 300000      /* how long a command may take whose step began after its build was cancelled */
#define STEP_COMMAND_MAX 40      /* bytes of a command's name */

/* A lock that the build, or the step at hand, has. */
struct held_lock {
  char *lock, *units;    /* names of its units, separated by blanks; "" where they have none */
  int step;              /* 0: of the build */
};

/* One of several codebases: what of it is built. */
struct build_stamp {
  enum vcs vcs;
  const char *codebase, *repository, *branch, *revision; /* branch and revision as in build_ctx */
  bool set_off;          /* the one whose change it was: tag, pull request, ref and patch are its own */
  char *got;             /* set when it is checked out */
  char *derived, *derived_branch, *derived_by; /* what the build made in it, as a step told last: a revision, its branch ("": none) and the step; or NULL */
  struct step_login login; /* as in build_ctx */
};

/* What a step must know of its build. Borrowed by the step, owned by the run. */
struct build_ctx {
  const char *project, *builder;
  int64_t number;
  int slot, cores;
  enum vcs vcs;          /* of the one repository; VCS_COUNT: one that this version does not know */
  const char *repository, *branch, *revision; /* of the stamp; revision "" : the branch's tip; branch "" : of a tag, a pull request, or just a revision */
  const char *tag;       /* the tag that is built, or NULL */
  int64_t pull_request;  /* the pull request's number, or 0 */
  const char *ref;       /* where the revision is, beside the branches: refs/tags/v1, refs/pull/7/head; or NULL */
  const char *patch;     /* on top of the revision, to be tried; or NULL. As git diff writes it */
  size_t patch_len;
  int patch_level;       /* leading parts of the paths in it that are no folders of the tree */
  const char *changes;   /* "991,992" */
  const char *properties;/* JSON object of the buildset's properties */
  const char *reported;  /* JSON object of the properties that its steps reported, which count over these; or NULL */
  const char *needed;    /* JSON: what the builds of those that it needs have reported, {builder: {property: value}}; or NULL */
  bool reports;          /* the worker tells what a command reports */
  bool logs;             /* the worker follows files that a command writes */
  struct output_limit output; /* the most that a command may write to its log; bytes 0: the worker knows no limits */
  const char *url;       /* of the build's page, or NULL */
  bool allow_local;
  bool fork;             /* one of its changes is a pull request from a fork */
  bool fresh;            /* no command of this build has been started yet: home and tmp are made anew */
  int64_t alone_ms;
  enum result so_far;    /* what the steps that have ended make of it (steps/outcome.h) */
  int64_t warnings;      /* lines of the command's output that are some */
  int64_t now_ms;        /* the wall's clock, as the run sees it when it asks the step */
  char *got_revision;    /* set when a checkout is done; of several codebases, of the one that set it off */
  struct build_stamp *stamps; /* of several codebases one for each, by name; none: there is one repository, and the above says all */
  int nstamps;
  const char *main;      /* the codebase that is checked out where a step names none; or NULL */
  struct step_login login; /* by what the repository is reached; what it points to is valid while the step is asked (dispatch/run_login.c) */
  const char *layout;    /* how the last checkout left the tree (pipe_checkout.layout); NULL: nobody knows */
  struct held_lock *held;
  int nheld;
  const struct pipe_lock *locks; /* what the builder takes; those of a step are in its definition */
  int nlocks;
};
const struct build_stamp *build_stamp_of(const struct build_ctx *c, const char *codebase); /* NULL: it has none of that name */


enum reply_kind { REPLY_OK, REPLY_FAILED, REPLY_NOTFOUND, REPLY_TIMEOUT, REPLY_LOST, REPLY_CANCELLED, REPLY_BROKEN /* could not be started */, REPLY_REFUSED /* was not sent: detail says why */ };
struct reply {
  enum reply_kind kind;
  int code;              /* exit status, signal or errno; of builds that were waited for their worst result, -1: there were none */
  bool signaled;
  const char *reason;    /* of exit, or a tag */
  const char *detail;    /* sentence or "" */
  const char *output;    /* the first bytes of stdout, NUL-ended */
};

/* What a state wants. */
enum want { WANT_RUN, WANT_OP, WANT_WAIT, WANT_ASK /* builds of others, made with the move; then got() is told so at once */, WANT_OTHERS /* for the end of these */, WANT_LOCKS /* those of its definition, before it goes on */, WANT_END };
struct intent {
  enum want want;
  struct buf spec;       /* WANT_RUN: records of `run`; WANT_ASK: JSON for step_trigger */
  enum verb op;          /* WANT_OP: VERB_stat, VERB_mkdir, VERB_remove, VERB_list, VERB_get … An older worker that lacks the verb is a reply FAILED with reason "unknown". */
  char path[1024];       /* WANT_OP */
  int64_t wait_ms;       /* WANT_WAIT: then REPLY_OK */
  int64_t op_off, op_max;/* VERB_list: so many entries; VERB_get: so many bytes from op_off on */
  char op_after[256];    /* VERB_list: those behind this name; "": from the first on */
  enum result result;    /* WANT_END */
  char summary[400];     /* WANT_END: sentence for people; "" where the result says it all */
};

struct step;
struct step_kind {
  const char *name;              /* in the database */
  const struct sm_row *rows;
  int count;
  int (*begin)(struct step *s);                      /* the first state */
  void (*enter)(struct step *s, struct intent *out);
  int (*got)(struct step *s, const struct reply *r); /* next state */
  bool needs_output;             /* got looks at r->output */
};

struct ops_answer;
struct step {
  const struct step_kind *kind;
  const struct pipe_step *def;
  struct build_ctx *ctx;
  struct sm sm;
  /* Facts that a machine keeps beside its state; stored as JSON. */
  bool retried;                  /* a checkout: the tree was thrown away and made anew once */
  bool late;                     /* it began after its build was cancelled: it is one that always runs, and no cancel of that build ends it */
  int again;                     /* run: how often it was tried again */
  int64_t until_ms;              /* run: when the next try begins, by the wall's clock */
  char codebase[STEP_CODEBASE_MAX + 1]; /* git: which of the build's; "": it has one repository */
  bool blames;                   /* it ended as an exception because its worker could not do what any worker can */
  enum result result;            /* when it has ended */
  const char *errors;            /* while got looks at the reply to a command, of kinds that need the output: the last bytes of its stderr, NUL-ended; else NULL */
  const struct ops_answer *answer; /* while got looks at the reply to an operation: its records and bytes (master/workers/ops.h, listing.h); else NULL */
  char summary[400];
};

const struct step_kind *step_kind_of(const struct pipe_step *def, const struct build_ctx *ctx); /* a checkout's is that of its codebase */
bool step_is_checkout(const struct step_kind *k);
const struct step_kind *step_kind_named(const char *name);
/* state NULL: the first. ERR_UNKNOWN where the database names a state that this version does not have. */
enum err step_init(struct step *s, const struct pipe_step *def, struct build_ctx *ctx, const char *kind, const char *state, const char *vars) must_check;
void step_vars(const struct step *s, struct buf *json);
/* What the command of its state is called: the state, with a number from the second try on. */
void step_command(const struct step *s, char out[STEP_COMMAND_MAX]);
/* Whether the step is to run at all: its `if`. False: *out is its end, as skipped, or as an exception where the condition has no answer. */
bool step_wanted(struct step *s, struct intent *out) must_check;
/* Whether it is hidden, now that it is over: its `hide_if`. One that can't be reckoned makes it an exception that can be seen. */
bool step_hidden(struct step *s) must_check;
/* Its end as an exception, before anything of it runs. */
void step_refuse(struct step *s, const char *why, struct intent *out);
/* intent_init; enter of the current state. */
void step_enter(struct step *s, struct intent *out);
/* Cancel, lost and time-outs are decided here, once for all kinds and states; else the kind's got. Moves the machine. */
void step_got(struct step *s, const struct reply *r, struct intent *out);
void intent_free(struct intent *i);

/* Folders of a build below the worker's work folder (docs/design.md): tree, home, tmp, report. out: at least STEP_PATH_MAX. */
#define STEP_PATH_MAX 512
/* Brackets and commas of a combination of a matrix are no characters for a folder: makefiles take brackets for a pattern, linkers cut at commas. linux[gcc,x86_64] is in
   linux@gcc@x86_64: no name has an @, so that no two builders meet. */
void step_folder(const char *project, const char *builder, int slot, char out[STEP_PATH_MAX]); /* what holds these */
void step_path(const struct build_ctx *c, const char *what, char out[STEP_PATH_MAX]);
/* The environment and folders every command of a build gets. */
void step_common(const struct build_ctx *c, struct buf *spec);

extern const struct step_kind step_git, step_svn, step_hg, step_shell, step_trigger;
#endif
