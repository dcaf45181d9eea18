/* What commands read, and their terminals: whether the worker can do that, and input that people send to a step that is open for it (`stdin: {open: true}`).

   The master keeps no bytes: whoever sends has them until the worker says that the command was given them, and sends again what a lost link took along. So a sender asks and is answered, again and again (docs/api.md). */
#ifndef MASTER_DISPATCH_RUN_INPUT_H
#define MASTER_DISPATCH_RUN_INPUT_H
#include "master/dispatch/hold.h"
#include "master/dispatch/run.h"

#define RUN_INPUT_WINDOW 65536 /* bytes that a sender may be ahead of the command: the worker's limit, whatever it says */
#define RUN_INPUT_ASKS_MAX 8   /* of one command, waiting for an answer */
#define RUN_INPUT_WAIT_MS 20000
#define RUN_INPUT_WAY_LEN 16

/* Why the worker can't give the step's command its input, or a terminal; NULL: it can. The caller frees it. */
char *run_input_refused(const struct run *r, const struct pipe_step *def) must_check;

struct run_input_ask {
  int64_t off;        /* of the bytes, or of the end */
  const char *bytes;
  size_t n;           /* at most RUN_INPUT_WINDOW */
  bool close;         /* behind these the input ends */
  const char *size;   /* of the terminal from now on; or NULL */
  const char *way;    /* the word of the way that what came before was sent by; NULL: nothing was */
  int64_t after;      /* answered once the command was given more than so much, or gets no more; -1: at once */
  int64_t wait_ms;    /* for an answer, at most; 0: RUN_INPUT_WAIT_MS */
  bool far;           /* by way of another master */
  struct hold_ask by; /* who asks; `sends` is found out here */
};
struct run_input_told {
  int64_t off, limit; /* given to the command; what may be sent */
  int64_t next;       /* where the bytes of somebody begin who has sent none yet: behind what others sent this way */
  const char *state;  /* open, closed, gone; NULL: nobody knows, the command is over or its worker away */
  const char *way;    /* the word of the way to the command, another one with each link and each master: what was sent by one is lost with it */
  bool taken;         /* what was sent is on its way; else it is to be sent again, from off on */
};
/* Borrows told for the call. */
typedef void run_input_cb(void *arg, const struct run_input_told *told);

/* The run of a build of this master's workers, whose command is running; NULL: there is none. name: libfoo/linux/42. */
struct run *run_input_of(struct master *m, const char *name);
/* Why that can't be asked of it now; NULL: it can. The caller frees it. step: the name, or NULL for the one that runs. */
char *run_input_not_now(const struct run *r, const char *step, const struct run_input_ask *a) must_check;
/* Another one sends to it, who, and since when: a sentence, which the caller frees. NULL: nobody, or it is taken over from that one, who is told when it asks again. */
char *run_input_held(const struct run *r, const struct run_input_ask *a) must_check;
/* After both of these. cb is called once, mostly from the loop, at the latest after wait_ms. */
void run_input_ask(struct run *r, const struct run_input_ask *a, run_input_cb *cb, void *arg);
/* The worker's message `fed`. False: it can't be true. */
bool run_input_fed(struct run *r, struct wire_msg *m) must_check;
/* Its log did, or its step ended: told to who follows it here; and, where somebody of another master sends input, to who follows it there, who looks every few seconds otherwise. */
void run_log_grew(struct run *r);
/* Its command is over, or nobody's any more. */
void run_input_over(struct run *r);
#endif
