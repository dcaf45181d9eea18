/* A build in progress, in the master whose worker link it lives on. The rows are the truth: a run is made when a build is claimed or adopted, and dropped (not ended) whenever link or
   database are away; whoever has them next makes it anew from the rows. */
#ifndef MASTER_DISPATCH_RUN_H
#define MASTER_DISPATCH_RUN_H
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/sm.h"
#include "master/logs/append.h"
#include "master/steps/outcome.h"
#include "master/steps/step.h"
#include "proto/wire.h"

struct master;
struct session;
struct pipe_ref;
struct db_res;
struct secret_rows;
struct uv_timer_s;
struct warn;
struct ops_answer;

#define RUN_CLAIMS_MAX 64        /* in one transaction */

/* What it waits for.
     tx ⇄ command, op, wait, others, locks;  any ─▶ gone */
enum run_state { RUN_TX, RUN_COMMAND, RUN_OP, RUN_WAIT, RUN_OTHERS /* for builds that a step of it triggered */, RUN_LOCKS, RUN_GONE, RUN_STATES };

struct run {
  struct list node;              /* in its session */
  struct master *m;
  struct session *session;
  struct sm sm;
  int64_t id, request, builder_id;
  struct id epoch;
  int attempts;                  /* of the request, this one counted */
  char *name;                    /* libfoo/linux/42 */
  struct build_ctx ctx;          /* strings owned by the run */
  struct pipe_ref *pipe;
  struct pipeline *nodes;        /* the same with what its steps have reported on top of it (run_nodes.h), as far as pipe does not have it; or NULL */
  bool reports;                  /* a step of it has reported builders */
  const struct pipe_builder *def;
  bool cancelled, request_done;
  int number;                    /* of the step, from 1 */
  struct step step;
  enum result so_far;            /* what the steps that have ended make of the build */
  enum outcome_rest rest;        /* which steps still run */
  bool lost;                     /* the worker has nothing of it any more */
  struct uv_timer_s *timer;      /* RUN_WAIT */
  struct intent next;            /* what is to be done when the transaction in flight is committed */
  bool in_tx;                    /* its answer is still to come */
  struct id cmd;                 /* n 0: none */
  char *taking;                  /* locks that the transaction to come takes, for the statement; or NULL */
  struct secret_rows *secrets;   /* of the store, for the command that is about to be sent; encrypted */
  struct log_end log;
  struct log_end *more;          /* of streams 1 … nmore: files that the command writes */
  int nmore;
  struct warn *warn;             /* of the command's log, where the step counts warnings; or NULL */
  int64_t req;                   /* of the file operation */
  char output[STEP_OUTPUT_MAX + 1];
  size_t output_len;
  char errors[STEP_ERRORS_MAX + 1]; /* the last bytes of stderr */
  size_t errors_len;
  bool over;                     /* others: they have ended, and it goes on as soon as it has a slot again */
  int worst;                     /* of theirs; -1: there were none */
  char *report;                  /* records that came before the command's end; or NULL */
  size_t report_len;
  char *outcome;                 /* sentence about them */
  struct run_input *input;       /* of its command, once somebody sends some; or NULL (run_input.h) */
  bool far;                      /* somebody at another master has sent some, and so follows its log there */
};

/* The claims of one look are one transaction: each takes request, number and slot, or all of them nothing (then somebody was faster with one of them, and the next look sees it).
   run_claim: for a request that is pending, on a session with a free slot. The strings of ctx are taken over. dispatch_claimed() is called when they are answered. */
struct run_claims;
struct run_claims *run_claims_new(struct master *m) must_check;
/* The build's place on the page, for DROVER_URL; NULL: the site has no url. The caller frees it. */
char *run_url(const struct master *m, const char *name) must_check;
/* What is tried in it, from two columns: patch (null: nothing) and its level. */
enum vcs run_vcs(const char *text); /* of a stamp; VCS_COUNT: a later version's */
void run_patch(struct run *r, const struct db_res *res, int stmt, int row, int col);
void run_claim(struct run_claims *c, struct session *s, struct run *r, int64_t next_number);
int run_claims_count(const struct run_claims *c);
void run_claims_send(struct run_claims *c);
/* From a row of session_read. Returns NULL (and ends the build in the database) where it can't go on. */
struct run *run_adopt(struct session *s, struct db_res *res, int stmt, int row, struct pipe_ref *pipe);
/* The rows say that a command is open; spec and the first chunk of its log, if needed. */
void run_adopted_output(struct run *r, const void *spans, size_t nspans, const void *z, size_t nz, int64_t raw);
/* The logs of files that the open command is followed for, rows of command_logs. */
void run_more_adopt(struct run *r, const struct db_res *res, int stmt);
/* After the worker told what it has. have: NULL or the state it told; same: instance and boot are those the command was meant for. spec: of the row, to send it again; secrets: those of the store
   that it names, taken over. */
void run_reconcile(struct run *r, const char *have, bool same, const void *spec, size_t nspec, struct secret_rows *secrets);

/* Messages of the worker about the run's command or operation. raw: the bytes of a chunk. */
void run_out(struct run *r, struct wire_msg *m);
void run_exit(struct run *r, struct wire_msg *m);
void run_report(struct run *r, struct wire_msg *m);
void run_refused(struct run *r, const char *tag, const char *text);
void run_op_done(void *run, const struct ops_answer *a);

void run_cancel(struct run *r);
/* The same for a build of this master's workers; nothing where it has no run here. */
void run_cancel_build(struct master *m, int64_t build);
/* The link or the database is away: forget it, the rows stay. */
void run_drop(struct run *r);
bool run_holds_slot(const struct run *r);
/* In state others: these have ended; dispatch/waits.c. */
void run_waited(struct run *r);
void run_follow(struct master *m, int64_t build, bool on);
#endif
