/* Builds of this master's workers in whose step `trigger` others are waited for (state others of a run).

   That they wait is in the rows: their step is in state `wait`, the buildsets name it. So nothing has to be remembered here: whoever has the worker looks, when an event says that a buildset
   has ended, after a commit of its own, and now and then. A build that waits holds no slot; when those it waits for have ended it takes the next one that is free, before any new build. */
#ifndef MASTER_DISPATCH_WAITS_H
#define MASTER_DISPATCH_WAITS_H
#include "common/mem.h"

struct master;
struct waits;

struct waits *waits_new(struct master *m) must_check;
void waits_free(struct waits *w);
/* A build waits, a buildset may have ended, or a slot is free: looks from the loop. NULL: nothing. */
void waits_kick(struct waits *w);
#endif
