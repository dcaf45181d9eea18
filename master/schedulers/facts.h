/* A change as it stands in the database, made ready for decide.h. */
#ifndef MASTER_SCHEDULERS_FACTS_H
#define MASTER_SCHEDULERS_FACTS_H
#include "master/schedulers/decide.h"

/* What is known of a change; c points into the rest. */
struct facts {
  struct decide_change c;
  cJSON *files, *properties;
  const char *place, *at;    /* where its pipeline is: a branch or a ref (as gith_read takes it), and the revision there, "" : the branch's tip */
  char *own[13];
};

/* Texts as the columns hold them, all copied. */
struct facts_in {
  const char *project, *kind, *branch, *revision, *repository, *author, *committer, *category, *message;
  const char *files, *properties; /* JSON: a list of texts, an object */
  const char *codebase, *main; /* main: the project's main codebase, "" where it has one repository */
  const char *main_branch, *main_revision; /* a change of another codebase: where the main one is in its set; else NULL */
  int64_t number;
  bool build_forks;
};
struct facts *facts_new(const struct facts_in *in) must_check;
void facts_free(struct facts *f); /* NULL: nothing */
#endif
