/* Projects and what happens to them: polling, changes that wait to be read, schedulers that wait for their due time. */
#ifndef MASTER_SCHEDULERS_WORLDS_H
#define MASTER_SCHEDULERS_WORLDS_H
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"
#include "common/err.h"
#include "master/dispatch/pipes.h"

struct master;
struct conf_project;
struct worlds;

struct world {               /* one project */
  const struct conf_project *conf;
  int64_t id;                /* row; 0 until the database was first up */
  int64_t pipe_id;           /* row of the site's pipeline; 0: it is in the repository */
};

struct worlds *worlds_new(struct master *m) must_check;
void worlds_free(struct worlds *w);
void worlds_db_up(struct worlds *w);
struct world *worlds_find(struct worlds *w, const char *project);
struct world *worlds_only(struct worlds *w);   /* where there is just one project; else NULL */
/* Changes may be due to be read, or schedulers to fire. */
void worlds_kick(struct worlds *w);
/* Look at the repository now, and not only when `poll` says so; at most once a second. */
void worlds_look(struct worlds *w, struct world *p);

/* The pipeline of a project at a revision ("" : the branch's tip): parsed, with its row. Answers from the loop. */
struct world_pipe {
  enum err err;              /* ERR_OK; ERR_AWAY …: try later; ERR_NOTFOUND: no pipeline there; ERR_SYNTAX: not valid; others */
  const char *why;           /* sentence, or the diagnostics */
  struct pipe_ref *pipe;     /* borrowed during the call (pipes_ref it to keep it) */
  int64_t pipe_id;
  const char *revision;      /* what was read; "" with a site's pipeline and no revision asked */
  const char *author, *message;
  int64_t author_ms;
  char *const *files;
  int nfiles;
};
void worlds_pipeline(struct worlds *w, struct world *p, const char *branch, const char *revision, void (*cb)(const struct world_pipe *r, void *arg), void *arg);
/* The same where its row is known: no look at the repository; only pipe, pipe_id and revision are told. */
void worlds_pipeline_known(struct worlds *w, struct world *p, int64_t pipe_id, const char *revision, void (*cb)(const struct world_pipe *r, void *arg), void *arg);
#endif
