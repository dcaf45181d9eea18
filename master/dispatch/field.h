/* The connected workers of this master, as choose.c sees them. */
#ifndef MASTER_DISPATCH_FIELD_H
#define MASTER_DISPATCH_FIELD_H
#include "master/dispatch/choose.h"

#define FIELD_MAX 4096 /* workers of one master */

struct master;
struct session;

struct field {
  struct choose_worker w[FIELD_MAX];
  struct session *of[FIELD_MAX]; /* within this turn of the loop */
  int n;
};

/* What a request adds: which worker built its builder last, and on which its last attempt was. Ids, INT64_MIN: none. */
struct field_past {
  int64_t warm, spoilt;
};

struct worker_is field_is(const struct session *s);
void field_gather(struct field *f, struct master *m);
/* What differs from request to request. */
void field_for(struct field *f, const char *project, const char *builder, struct field_past past);
/* Whether the worker takes builds at all now: not where it is low on disk, paused, in quarantine, or its calendar closed. */
bool field_takes(const struct choose_worker *w);
struct choose_worker field_one(struct session *s, struct master *m);
#endif
