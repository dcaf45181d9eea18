/* What a step's result makes of its build: whether it goes on, and how it stands. Pure; every result and every set of flags is a line of tests/unit/test_outcome.c. */
#ifndef MASTER_STEPS_OUTCOME_H
#define MASTER_STEPS_OUTCOME_H
#include "master/steps/step.h"

/* Which of the steps behind it run. */
enum outcome_rest { OUTCOME_ALL, OUTCOME_ALWAYS /* those that always run */, OUTCOME_NONE };

/* What the step's result counts for in the build. */
enum result outcome_for_build(const struct pipe_step *def, enum result result);
/* What is left to do behind a step with this result. lost: the worker has nothing of the build any more. */
enum outcome_rest outcome_rest(const struct pipe_step *def, enum result result, bool lost);
/* Whether a step runs, when this is what is left to do. */
bool outcome_runs(const struct pipe_step *def, enum outcome_rest rest);
/* Whether the step is named in the one line that says why the build ended so. */
bool outcome_told(const struct pipe_step *def, enum result result);
/* Whether a command that ended so is tried again. so: what its result would be; exited: with exit status code. tries: how often it was tried again already. */
bool outcome_again(const struct pipe_retry *retry, int tries, enum result so, bool exited, int code);
/* What becomes of a request whose build has ended as retry. on_lost: of the step that was lost; PIPE_LOST_USUAL where the build itself asked for it. attempts: this one counted. */
enum outcome_next { OUTCOME_AGAIN, OUTCOME_ASK, OUTCOME_OVER };
enum outcome_next outcome_of_lost(int on_lost, int attempts);
/* What an exit status means. */
enum result outcome_of_exit(const struct pipe_step *def, int code);
#endif
