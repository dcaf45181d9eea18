/* Why a request waits, as one current reason from a closed list (docs/design.md). Pure, from what dispatch knows. */
#ifndef MASTER_DISPATCH_WHY_H
#define MASTER_DISPATCH_WHY_H
#include <stdbool.h>
#include <stdint.h>

struct master;
struct why {
  const char *kind;   /* no_worker, slots, lock, disk, paused, quarantine, calendar, database, starting, needs, approval; "" where the request does not wait */
  char text[512];     /* sentence for people */
  char object[80];    /* worker, tag, lock … or "" */
  int64_t since;      /* ms since 1970; 0: not known */
};
/* What waits: for which builder, and what it wants of a worker. */
struct why_of {
  const char *project, *builder;
  const char *const *tags, *const *wants;
  int ntags, nwants;
};
void why_pending(struct master *m, const struct why_of *of, struct why *w);
/* Whether the request, which some worker could take (or, with running, the step that its build is at), waits for a lock; then the reason. */
bool why_locks(struct master *m, int64_t request, bool running, struct why *w);
#endif
