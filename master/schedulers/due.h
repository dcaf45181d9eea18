/* When a scheduler of time is due, and what becomes of the times that passed: pure functions of what it says, its stored times and the clock that is handed in. Milliseconds since 1970. */
#ifndef MASTER_SCHEDULERS_DUE_H
#define MASTER_SCHEDULERS_DUE_H
#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "common/buf.h"
#include "master/conf/pipeline.h"

#define DUE_NEVER INT64_MIN
#define DUE_ALL_MAX 24       /* `missed: all` makes up for so many, the last ones */
#define DUE_COUNT_MAX 1000   /* missed times are counted so far */
#define DUE_WHY_MAX 400      /* bytes of a sentence about a condition */
#define DUE_LATE_MS 60000    /* a time that passed so long ago is missed, also where the next one has not come */

enum due_what { DUE_BUILD, DUE_NOTHING, DUE_MISSED };

struct due_act {
  int64_t at;                /* the time that it is about */
  enum due_what what;
  int missed;                /* how many missed times it stands for: of DUE_BUILD beside its own; DUE_COUNT_MAX: so many or more */
  char why[DUE_WHY_MAX];     /* of DUE_NOTHING: the condition that was not true, or can't be reckoned; "": the branch is where it was */
};
struct due_plan {
  struct due_act v[DUE_ALL_MAX + 1]; /* oldest first */
  int n;
  int64_t next;              /* what is due after now; DUE_NEVER: nothing any more */
};

/* The first time after t of `cron` or `every` (whose times are t and every_ms apart). */
int64_t due_next(const struct pipe_scheduler *s, int64_t t) must_check;
/* due: the stored time, which is not after now. fresh: there is none yet, due is when the scheduler was first seen; scheduled: the last time that was acted upon, or DUE_NEVER. */
void due_plan(const struct pipe_scheduler *s, int64_t due, bool fresh, int64_t scheduled, int64_t now, struct due_plan *plan);
/* What `only_if` is asked about. Borrowed. */
struct due_facts {
  const char *project, *branch, *head; /* what would be built; head NULL: there is no such branch */
  const char *mark, *built;  /* whether that is something new: what stands for it, and for what was built last; built NULL: nothing yet */
  const cJSON *past;         /* as time_facts (db/schema_0029.sql) makes it; NULL: `only_if` is none, or the word `changed` */
};
/* Once the plan is made: what would build builds nothing where the condition is not true, or where there is no branch. */
void due_only_if(const struct pipe_scheduler *s, const struct due_facts *f, struct due_plan *plan);
/* Why, for people: of the decision, and (DUE_BUILD) of the buildset. branch, head: what is built, head NULL where there is no such branch. */
void due_why(const struct pipe_scheduler *s, const struct due_act *a, const char *branch, const char *head, struct buf *why);
const char *due_what_name(enum due_what w); /* as stored */
/* What the times are reckoned from; another text, and they are reckoned anew. "" for schedulers that have none. */
void due_timing(const struct pipe_scheduler *s, struct buf *text);
/* The way back: trigger, cron, zone and every_ms of s, which points into text. name: project/scheduler. False: it has no times, or is not understood. */
bool due_of_timing(char *text, const char *name, struct pipe_scheduler *s) must_check;
#endif
