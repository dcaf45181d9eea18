/* Between the files of a run: its transactions (run.c), taking it over (run_adopt.c), what the worker says (run_worker.c). */
#ifndef MASTER_DISPATCH_RUN_INT_H
#define MASTER_DISPATCH_RUN_INT_H
#include "master/db/db.h"
#include "master/dispatch/run.h"

/* What a transaction's answer must find its run by: the run may be gone by then. */
struct pending {
  struct run *run;      /* NULL: gone */
  bool claim;
  int64_t length;       /* append: the log's length with it */
  int command_stmt, secrets_stmt;
  bool ends;
  bool given_up;        /* it ends the build because the one before it was refused */
  struct id done_cmd;   /* to be forgotten by the worker */
};

extern const struct sm_row run_rows[RUN_STATES];

struct pending *run_pending(struct run *r) must_check;
/* An answer to what the step asked: the machine moves, and everything that follows is one transaction. exit: the message it came with, or NULL. */
void run_got(struct run *r, const struct reply *reply, struct wire_msg *exit);
void run_lost(struct run *r, const char *reason, const char *text);
void run_cancel_unsent(struct run *r);
/* With the values of its secrets before it; where one can't be had, the step ends with the reason, and nothing is sent. */
void run_send_command(struct run *r, const void *spec, size_t n);
void run_send_op(struct run *r);
void run_send_kill(struct run *r);
void run_told_failure(const struct run *r, struct db_res *res);
void run_maybe_free(struct run *r);
/* The first bytes of stdout, for machines that look at them. bytes: the chunk's contents. */
void run_keep_output(struct run *r, const void *spans, size_t nspans, const char *bytes);
#endif
