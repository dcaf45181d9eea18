/* Why requests wait, kept: what this master would say of each kind of request that is pending (why.h), looked at again at most a second after anything changed, and written where it is another reason than before.
   So a reason has a time since which it holds, over masters' deaths too, and masters on one database know what the others would say of workers that are theirs. */
#ifndef MASTER_DISPATCH_REASONS_H
#define MASTER_DISPATCH_REASONS_H
#include <stdbool.h>
#include <stdint.h>

#include "common/mem.h"

struct master;
struct why;

#define REASONS_MAX 2000 /* classes of requests that are told of; those beyond have a reason without a time */

struct reasons;
struct reasons *reasons_new(struct master *m) must_check;
void reasons_free(struct reasons *r);
/* Something changed: looks within a second. NULL: nothing. */
void reasons_kick(struct reasons *r);
/* w, which why_pending() said of a request of that class ("PROJECT/BUILDER TAGS WANTS", the lists as JSON): gets its time, or becomes what another master says, where a request is nearer to begin there. */
void reasons_add(const struct reasons *r, const char *class, struct why *w);
/* How near to a begin a reason of that kind is: of several masters' reasons the one with the lowest counts. Pure. */
int reasons_rank(const char *kind);
/* Nothing is looked at, written or to be looked at: what is stored is what was computed last. For the model check. */
bool reasons_rest(const struct reasons *r);
#endif
