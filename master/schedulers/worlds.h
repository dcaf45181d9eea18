/* Projects and what happens to them: polling, changes that wait to be read, schedulers that wait for their due time. */
#ifndef MASTER_SCHEDULERS_WORLDS_H
#define MASTER_SCHEDULERS_WORLDS_H
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"
#include "common/err.h"
#include "master/dispatch/pipes.h"

struct master;
struct conf;
struct conf_project;
struct db_res;
struct db_tx;
struct poll_state;
struct worlds;

/* One project as the active configuration has it. A reload that leaves the project as it was only moves the pointers; one that changes or removes it leaves the world `gone`, and whatever is under way
   for it finds nothing to do when it comes back. Who keeps a world over a turn of the loop holds it. */
struct world {
  struct conf *site;         /* held */
  const struct conf_project *conf; /* in site */
  int64_t id;                /* row; 0 until the database was first up */
  int64_t pipe_id;           /* row of the site's pipeline; 0: it is in the repository */
  bool gone;
  int users;
  struct poll_state **polls; /* one for each of the project's codebases; NULL once gone */
  struct poll_state *poll;   /* the main one's; NULL once gone */
};
struct world *world_hold(struct world *p) must_check;
void world_drop(struct world *p);

struct worlds *worlds_new(struct master *m) must_check;
void worlds_free(struct worlds *w);
void worlds_db_up(struct worlds *w);
/* Into the transaction of a heartbeat, two statements: how this master stands with the repositories that it looks at, and which these are (changes/leases.c). Then the answer, with the number of the first of
   them and clock_mono_ms when it was sent; how many other masters are alive. */
void worlds_beat(struct worlds *w, struct db_tx *tx);
int worlds_beaten(struct worlds *w, const struct db_res *res, int stmt, int64_t sent_ms);
/* The master stops: whoever waits for a repository that another master has is told that it won't come. */
void worlds_stop(struct worlds *w);
/* A new configuration: its projects' rows into the transaction that activates it, and, once that is committed (m->conf is the new one), all worlds over to it. first: number of the first of those
   statements in the answer. */
void worlds_put_rows(struct db_tx *tx, const struct conf *c);
void worlds_reload(struct worlds *w, const struct db_res *res, int first);
void worlds_replaced(struct worlds *w); /* m->conf is another one before there was any row */
/* All of them, n, in the order of the configuration. */
struct world *const *worlds_all(const struct worlds *w, int *n);
struct world *worlds_find(struct worlds *w, const char *project);
struct world *worlds_only(struct worlds *w);   /* where there is just one project; else NULL */
/* How it stands with the looks at a repository, by the number of the codebase in the configuration. */
struct world_look {
  const char *name;          /* project or project/codebase; valid within this turn */
  bool ours;                 /* this master looks there; else the rest says nothing */
  int64_t looked_ms;         /* clock_wall_ms of the last look, when its heads were stored; 0: none yet */
  const char *trouble;       /* of the last look; NULL: none */
  int64_t trouble_ms;        /* clock_mono_ms of the first in a row */
  int failures;              /* looks in a row that went wrong */
  int64_t next_ms;           /* clock_wall_ms; INT64_MIN: one is under way, or only when somebody asks */
};
struct world_look worlds_looks(const struct world *p, int codebase);
/* The repository of the main codebase: what stands in a stamp where there are no others. */
const char *world_repository(const struct world *p);
/* Changes may be due to be read, or schedulers to fire. */
void worlds_kick(struct worlds *w);
/* Look at the repository now, and not only when `poll` says so; at most once a second. Where another master has its lease, that one is told. */
void worlds_look(struct worlds *w, struct world *p, int codebase);

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
