/* What is paused, as the last look saw it. */
#ifndef MASTER_DISPATCH_PAUSES_H
#define MASTER_DISPATCH_PAUSES_H
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/mem.h"

#define PAUSES_MAX 1000

struct db_res;

struct pause {
  char *object;         /* as in db/schema_0009.sql: "worker/build1" */
  char *who, *why;      /* why NULL: nothing said */
  int64_t since, until; /* ms since 1970; until INT64_MIN: without an end */
  int64_t worker;       /* of a quarantine: the worker's id; else 0 */
  int64_t over_ms;      /* of a quarantine: when it is over, on clock_mono_ms() */
};
struct pauses {
  struct pause v[PAUSES_MAX];
  int n;
};

/* From the rows of the statement `pauses`, or of `quarantines`, which are told in the same way. Whether something that was paused is not any more. */
bool pauses_take(struct pauses *p, const struct db_res *res, int stmt);
void pauses_free(struct pauses *p);
/* That of an object, or NULL. */
const struct pause *pauses_of(const struct pauses *p, const char *kind, const char *name);
/* That of a worker, or else of its pool (NULL: of none), or NULL. */
const struct pause *pauses_of_session(const struct pauses *p, const char *worker, const char *pool);
/* What makes this builder's requests wait: the site's, its project's or its own; NULL: nothing. */
const struct pause *pauses_of_builder(const struct pauses *p, const char *project, const char *builder);
/* "worker build1 is paused by anna until 2026-11-27 18:00 UTC: new disk"; at most so many bytes with its NUL. */
void pauses_say(const struct pause *p, char *text, size_t size);
/* The quarantine of that worker, or NULL; and whether it still holds at now_ms on clock_mono_ms(): one that is over stays as long as nothing was built well there. */
const struct pause *pauses_of_worker(const struct pauses *p, int64_t worker);
bool pause_holds(const struct pause *quarantine, int64_t now_ms);
#endif
