/* What a change causes, and why not: a pure function of the pipeline and the change.

   Each scheduler gives a verdict. The order in which it is asked: is it for such a change at all (kind, codebase, branch or tag, fork), does anything follow from that codebase (from), does the author want none (skip), does its own condition hold
   (if), and then, of a branch's change, whether any file counts (only, not_only). The last of these says only that the change is unimportant: where the scheduler has a quiet time and
   one of the branch's changes already waits in it, this one waits with it (`rides`). */
#ifndef MASTER_SCHEDULERS_DECIDE_H
#define MASTER_SCHEDULERS_DECIDE_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "master/conf/pipeline.h"

/* What happened. Comments are kept but decide nothing. */
enum change_kind { CHANGE_BRANCH, CHANGE_TAG, CHANGE_PULL, CHANGE_COMMENT, CHANGE_KINDS };
/* As the database names it; CHANGE_KINDS: no such kind. */
enum change_kind change_kind_of(const char *name) must_check;

/* A change as far as it decides anything. All borrowed; texts are "" where nothing is known. */
struct decide_change {
  enum change_kind kind;
  const char *project, *codebase, *repository, *revision, *author, *committer, *category, *message;
  const char *main;          /* the project's main codebase */
  const char *branch;        /* tag: its name; pull request: what it goes into */
  int64_t number;            /* of the pull request */
  char *const *files;
  int nfiles;
  bool whole;                /* files has all of them; false: they are not, or not all, known */
  const cJSON *properties;   /* an object, or NULL */
  bool fork, build_forks;    /* pull request: from another repository; the project builds those too, or somebody has approved this one */
};

enum verdict_kind { VERDICT_BUILDS, VERDICT_WAITS, VERDICT_NO };
struct verdict {
  enum verdict_kind kind;    /* waits: for the quiet time */
  const char *rule;          /* the key that said no, as a word for programs; NULL where none did */
  bool rides;                /* no, but it joins what waits already */
  int priority;              /* builds, waits: of the requests */
  struct buf why;            /* sentence for people; may be empty where the kind is not no */
};

/* False: this scheduler is not set off by changes at all, no verdict. why is the caller's to free. */
bool decide_verdict(const struct pipe_scheduler *s, const struct decide_change *c, struct verdict *v) must_check;
/* What all schedulers say: a list for change_decide (db/schema_0005.sql), which does it. True: builds of older changes may be cancelled by it. */
bool decide_plan(const struct pipeline *p, const struct decide_change *c, struct buf *json);

/* [{"name": …, "tags": […], "needs": [{"name": …, "soft": true, "outside": true}], "needed": true}] for buildset_add (db/schema_0008.sql): these and what they need, which comes before them and is
   `needed`: asked for by no name. Where the pipeline names codebases each also has `codebases`: those that it and what it needs check out, "" for the main one; without it that is the only one. One that is not the pipeline's own is
   `reported`. */
void decide_builders(const struct pipeline *p, char *const *names, int n, struct buf *json);
/* Names of the builders that the scheduler asks for: with `from: changed` those that the change sets off. The caller frees the array. */
char **decide_asked(const struct pipe_scheduler *s, const struct decide_change *c, int *n) must_check;
/* The same of several changes that waited together: what they set off in these codebases. */
char **decide_asked_together(const struct pipe_scheduler *s, const char *const *codebases, int n, const char *main, int *count) must_check;
/* The same of a scheduler, with its priority; or {"builders": that list, "fail_fast": true, "next": [{"scheduler": …, "builders": the same of that one}]} where it has one of these. */
void decide_scheduler(const struct pipeline *p, const struct pipe_scheduler *s, struct buf *json);
/* The same after a quiet time: with `from: changed` what changes in these codebases set off. */
void decide_waited(const struct pipeline *p, const struct pipe_scheduler *s, const char *const *codebases, int n, const char *main, struct buf *json);
#endif
