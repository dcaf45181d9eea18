/* Why a worker gets nothing: what keeps it from each kind of request that is pending, by the same choice as a claim and `why` make it; put together and counted. Asked of the master that has the worker. */
#ifndef MASTER_DISPATCH_GETS_H
#define MASTER_DISPATCH_GETS_H
#include "master/workers/questions.h"

#define GETS_BUILDERS_MAX 3 /* that are named in a line */

struct why;

/* {items: [{kind, object, text, requests, first, builders, more}]}, what is nearest to a begin first: `first` is the oldest of those requests, `more` how many builders are not named.
   kind: as of why.h, and `tag`, `condition`: the worker lacks `object`; `other`: another worker would be taken. */
void gets_answer(struct session *s, const cJSON *args, int64_t wait_ms, question_told *told, void *arg);

/* So many requests more of that builder for which w is said; into the line of the same kind and object. Pure. */
void gets_add(cJSON *items, const struct why *w, const char *builder, int64_t request, int64_t n);
/* In place. Pure. */
void gets_sort(cJSON *items);
#endif
