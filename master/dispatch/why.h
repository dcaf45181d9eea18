/* Why a request waits, as one current reason from a closed list (docs/design.md). Pure, from what dispatch knows. */
#ifndef MASTER_DISPATCH_WHY_H
#define MASTER_DISPATCH_WHY_H
#include <stdbool.h>
#include <stdint.h>

struct field;
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
/* What keeps that worker of the field, which was gathered in this turn, from such a request now, whatever others could do; text as a clause: "build1 has no tag big". kind: as above, and `tag`, `condition`: it
   lacks `object`; `starting`: nothing does; `other`: nothing does, but the worker `object` would be taken. */
void why_one(struct master *m, struct field *f, int at, const struct why_of *of, struct why *w);
/* Whether the request, which some worker could take (or, with running, the step that its build is at), waits for a lock; then the reason. */
bool why_locks(struct master *m, int64_t request, bool running, struct why *w);
#endif
