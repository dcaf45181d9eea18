/* A step as a named state in a table: `enter` says what the worker shall do in a state, `got` chooses the next state from the answer. Both are pure: values in, values out, no I/O, so that
   every reply × cancel can be enumerated (tests/seq) and another master can go on from the stored state and variables. */
#ifndef MASTER_STEPS_STEP_H
#define MASTER_STEPS_STEP_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/sm.h"
#include "master/conf/pipeline.h"
#include "proto/wire.h"

/* Results, with Buildbot's numbers; the order from mild to worst is another one: result_worse(). */
enum result { RESULT_SUCCESS, RESULT_WARNINGS, RESULT_FAILURE, RESULT_SKIPPED, RESULT_EXCEPTION, RESULT_RETRY, RESULT_CANCELLED, RESULT_COUNT };
const char *result_text(int result); /* "success" … */
enum result result_worse(enum result a, enum result b);

#define STEP_OUTPUT_MAX 4096 /* of a command's stdout that a machine may look at */
#define STEP_GRACE_MS 10000
#define STEP_GIT_IDLE_MS 1200000 /* git commands without output */

/* What a step must know of its build. Borrowed by the step, owned by the run. */
struct build_ctx {
  const char *project, *builder;
  int64_t number;
  int slot, cores;
  const char *repository, *branch, *revision; /* of the stamp; revision "" : the branch's tip; branch "" : of a tag, a pull request, or just a revision */
  const char *tag;       /* the tag that is built, or NULL */
  int64_t pull_request;  /* the pull request's number, or 0 */
  const char *ref;       /* where the revision is, beside the branches: refs/tags/v1, refs/pull/7/head; or NULL */
  const char *patch;     /* on top of the revision, to be tried; or NULL. As git diff writes it */
  size_t patch_len;
  int patch_level;       /* leading parts of the paths in it that are no folders of the tree */
  const char *changes;   /* "991,992" */
  const char *properties;/* JSON object of the buildset's properties */
  const char *url;       /* of the build's page, or NULL */
  bool allow_local;
  bool fresh;            /* no command of this build has been started yet: home and tmp are made anew */
  int64_t alone_ms;
  enum result so_far;    /* the worst of the steps that have ended */
  char *got_revision;    /* set when a checkout is done */
};

enum reply_kind { REPLY_OK, REPLY_FAILED, REPLY_NOTFOUND, REPLY_TIMEOUT, REPLY_LOST, REPLY_CANCELLED, REPLY_BROKEN /* could not be started */ };
struct reply {
  enum reply_kind kind;
  int code;              /* exit status, signal or errno */
  bool signaled;
  const char *reason;    /* of exit, or a tag */
  const char *detail;    /* sentence or "" */
  const char *output;    /* the first bytes of stdout, NUL-ended */
};

/* What a state wants. */
enum want { WANT_RUN, WANT_OP, WANT_END };
struct intent {
  enum want want;
  struct buf spec;       /* WANT_RUN: records of `run` */
  enum verb op;          /* WANT_OP: VERB_stat, VERB_mkdir, VERB_remove … */
  char path[1024];       /* WANT_OP */
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

struct step {
  const struct step_kind *kind;
  const struct pipe_step *def;
  struct build_ctx *ctx;
  struct sm sm;
  /* Facts that a machine keeps beside its state; stored as JSON. */
  bool retried;                  /* git: the tree was thrown away and made anew once */
  enum result result;            /* when it has ended */
  char summary[400];
};

const struct step_kind *step_kind_of(const struct pipe_step *def);
const struct step_kind *step_kind_named(const char *name);
/* state NULL: the first. ERR_UNKNOWN where the database names a state that this version does not have. */
enum err step_init(struct step *s, const struct pipe_step *def, struct build_ctx *ctx, const char *kind, const char *state, const char *vars) must_check;
void step_vars(const struct step *s, struct buf *json);
/* Whether the step is to run at all: its `if`. False: *out is its end, as skipped, or as an exception where the condition has no answer. */
bool step_wanted(struct step *s, struct intent *out) must_check;
/* intent_init; enter of the current state. */
void step_enter(struct step *s, struct intent *out);
/* Cancel, lost and time-outs are decided here, once for all kinds and states; else the kind's got. Moves the machine. */
void step_got(struct step *s, const struct reply *r, struct intent *out);
void intent_free(struct intent *i);

/* Folders of a build below the worker's work folder (docs/design.md): tree, home, tmp, report. out: at least STEP_PATH_MAX. */
#define STEP_PATH_MAX 320
/* Brackets and commas of a combination of a matrix are no characters for a folder: makefiles take brackets for a pattern, linkers cut at commas. linux[gcc,x86_64] is in
   linux@gcc@x86_64: no name has an @, so that no two builders meet. */
void step_folder(const char *project, const char *builder, int slot, char out[STEP_PATH_MAX]); /* what holds these */
void step_path(const struct build_ctx *c, const char *what, char out[STEP_PATH_MAX]);
/* The environment and folders every command of a build gets. */
void step_common(const struct build_ctx *c, struct buf *spec);

extern const struct step_kind step_git, step_shell;
#endif
