/* Why a request waits, as one current reason from a closed list (docs/design.md). Pure, from what dispatch knows. */
#ifndef MASTER_DISPATCH_WHY_H
#define MASTER_DISPATCH_WHY_H
#include <stdint.h>

struct master;
struct why {
  const char *kind;   /* no_worker, slots, disk, paused, database, starting; "" where the request does not wait */
  char text[256];     /* sentence for people */
  char object[80];    /* worker, tag … or "" */
};
/* tags: what the request needs. project, builder: what it is for. */
void why_pending(struct master *m, const char *project, const char *builder, const char *const *tags, int ntags, struct why *w);
#endif
