/* Between the files of a run: its transactions (run.c), how it begins (run_claim.c), taking it over (run_adopt.c), what the worker says (run_worker.c). */
#ifndef MASTER_DISPATCH_RUN_INT_H
#define MASTER_DISPATCH_RUN_INT_H
#include "master/db/db.h"
#include "master/dispatch/run.h"

/* What a transaction's answer must find its run by: the run may be gone by then. */
struct pending {
  struct run *run;      /* NULL: gone */
  bool claim;
  bool takes;           /* its step takes locks, which somebody else may be faster with */
  bool frees;           /* its step had some, which are free now */
  int64_t length;       /* append: the log's length with it */
  int stream;           /* append: whose */
  int command_stmt, secrets_stmt, claim_stmt;
  bool asked;           /* builds of others were asked for: there is something to claim */
  bool abroad;          /* some of them in other projects or on other branches, whose pipelines are to be read first */
  bool ends;
  bool given_up;        /* it ends the build because the one before it was refused */
  struct id done_cmd;   /* to be forgotten by the worker */
};

extern const struct sm_row run_rows[RUN_STATES];

struct pending *run_pending(struct run *r) must_check;
/* A transaction is answered: what is in it counts, or the run is dropped. arg: its struct pending. */
void run_answered(struct db_res *res, void *arg);
void run_begin_step(struct run *r, struct db_tx *tx);
/* On to the next thing that needs the worker, or the build's end. moved: the step's machine was, which is to be written. */
void run_walk(struct run *r, struct db_tx *tx, struct pending *p, bool moved);
/* An answer to what the step asked: the machine moves, and everything that follows is one transaction. exit: the message it came with, or NULL. */
void run_got(struct run *r, const struct reply *reply, struct wire_msg *exit);
void run_lost(struct run *r, const char *reason, const char *text);
void run_cancel_unsent(struct run *r);
/* It waits for others, without a slot, and is cancelled: it ends, or goes on with what always runs as soon as it has a slot (waits.h). */
void run_cancel_resting(struct run *r);
/* Its step waits for locks; the dispatcher has it go on. */
void run_wait_locks(struct run *r);
/* With the values of its secrets before it; where one can't be had, the step ends with the reason, and nothing is sent. */
void run_send_command(struct run *r, const void *spec, size_t n);
void run_send_op(struct run *r);
/* Gives what has come of the log to the transaction, with how many warnings were in it. Returns the log's length then. */
int64_t run_put_log(struct run *r, struct db_tx *tx, bool at_end);
/* What r->next wants, now that all of it is in the database. */
void run_wait(struct run *r);
/* Whether the step at hand is to end because its build was cancelled. */
bool run_stops(const struct run *r);
/* Into the transaction of its command's end: what it reported. ended: the step has ended, too, and ends as an exception where it reports builders that can't be taken. */
void run_take_report(struct run *r, struct db_tx *tx, bool ended);
void run_drop_report(struct run *r);
/* run_limits.c: what output a command of this build may have, by the configuration as it is now. */
void run_limits(struct run *r);
/* The limits that stand in a command; 0: none. */
struct output_limit run_limit_of(const void *spec, size_t n) must_check;
/* What an exit tells of a file that was followed. False: nothing. */
struct run_told {
  int64_t len, lines, left_bytes, left_lines;
  uint32_t crc;
};
bool run_told(const struct wire_msg *exit, int stream, struct run_told *t) must_check;
/* Names of the logs that a command has beside its own, as an array for a statement. The caller frees it. */
char *run_log_names(const void *spec, size_t n) must_check;
/* r->more: new ones, by the ids of their rows; none any more. */
void run_more_new(struct run *r, const char *ids, int64_t most);
void run_more_free(struct run *r);
/* What the command's end tells of output that is not in its log. */
void run_left_out(struct run *r, struct db_tx *tx, struct wire_msg *exit);
void run_send_kill(struct run *r);
/* `resume` of a stream, from where its log ends. */
void run_ask_again(struct run *r, int stream);
/* The same on a new link, with the ack of what is committed behind it. */
void run_take_up(struct run *r, int stream);
void run_wait_others(struct run *r);
/* Says in the log why a transaction came to nothing. True: the database itself refused it, and nobody else has the build; so all about this worker is to be asked anew. */
bool run_told_failure(const struct run *r, struct db_res *res);
void run_maybe_free(struct run *r);
/* The first bytes of stdout, for machines that look at them. bytes: the chunk's contents. */
void run_keep_output(struct run *r, const void *spans, size_t nspans, const char *bytes);
#endif
