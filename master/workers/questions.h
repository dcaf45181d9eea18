/* Questions to a worker's session, whichever master has it: what its agent's log says, what it is like, why it gets nothing; and input for a command there. Asked here for people; where another master has the worker the question
   is a row (worker_question in db/schema_0040.sql) and a hint, that master answers into the row, and says so by a hint too. Hints may be lost: rows are looked at again while somebody waits.

   Happy path: question_ask → the session is here: its answer · else: the row → the other master takes it, asks the worker, writes the answer → done.
   Failures: no such worker, removed, away: told at once. It goes away in the middle: here that is the answer; elsewhere the row is left to whichever master it comes back to, this one too, until the time is over.
   The other master does not answer: `timeout`, with that master's name. This master stops: 503. */
#ifndef MASTER_WORKERS_QUESTIONS_H
#define MASTER_WORKERS_QUESTIONS_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"

struct master;
struct session;
struct questions;

enum question_kind {
  QUESTION_LOG,   /* {lines: 1 to QUESTION_LINES_MAX} → {worker, lines: [text]} */
  QUESTION_FACTS, /* {tools: [name]} → {worker, facts, tools} */
  QUESTION_GETS,  /* {} → {items}: dispatch/gets.h */
  QUESTION_INPUT, /* dispatch/input.h */
  QUESTION_KINDS
};
#define QUESTION_LINES_MAX 1000

struct questions *questions_new(struct master *m) must_check;
void questions_free(struct questions *qs);
/* status: HTTP's. body: JSON text, valid during the call: the answer, or {error: {code, message, help}}. */
typedef void questions_done(int status, const char *body, void *arg);
/* args: copied. done is called once, later, from the loop. */
void question_ask(struct master *m, enum question_kind kind, const char *worker, const cJSON *args, questions_done *done, void *arg);
/* Another master asks, or has answered. NULL: nothing. */
void questions_look(struct questions *qs);
/* The master stops: what waits for other masters is over. */
void questions_stop(struct questions *qs);

/* Who answers (answers.c, dispatch/gets.c, dispatch/input.c): told is called once, perhaps at once. status 0: the worker went away before. body: taken over. */
typedef void question_told(void *arg, int status, cJSON *body);
void answer_log(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg);
void answer_facts(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg);
/* The name of a program that may be asked for its version: no path, at most WIRE_TOOL_MAX characters. Pure. */
bool answer_is_tool(const cJSON *name);
#endif
