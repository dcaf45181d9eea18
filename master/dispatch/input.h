/* Input that people send to a command of any worker of the cluster (docs/api.md, Input). At the master that has the worker it goes to the run; another master asks that one (workers/questions.h), and seals the bytes for it
   (core/envelope.h): of what may be a secret the database has nothing that anybody could read.

   Happy path: act_input → the run is here: input_here · else: where is it → sealed → a question → input_answer over there → input_here.
   Failures: the worker moves on to a third master meanwhile: that one can't open the envelope, takes it as bytes that were lost with a link, and says how far the command is. A master dies: 503, and the sender asks again; bytes have
   their places, so that what comes twice reaches the command once. */
#ifndef MASTER_DISPATCH_INPUT_H
#define MASTER_DISPATCH_INPUT_H
#include <cjson/cJSON.h>

#include "master/dispatch/run_input.h"
#include "master/workers/questions.h"

/* What is asked, but for the bytes: off, after, close, size, way, sender, take, leave. Borrows args. NULL: good; else a sentence, static, and help that goes with it or NULL. */
const char *input_read(const cJSON *args, struct run_input_ask *ask, const char **help) must_check;
/* told is called once, perhaps at once: {build, step, …} or a refusal, with the API's status. step: NULL: the one that runs. */
void input_here(struct master *m, const char *build, const char *step, const struct run_input_ask *ask, question_told *told, void *arg);
/* The args of a question with that: ask, its bytes sealed for the master of that address. NULL: it is no address. The caller deletes them. */
cJSON *input_question(const char *address, const char *build, const char *step, const struct run_input_ask *ask) must_check;
/* The question's answer: {status, body}, whatever it is. */
void input_answer(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg);
#endif
