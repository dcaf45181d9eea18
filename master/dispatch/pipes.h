/* Pipelines by row id, parsed once and kept while a run uses them (and the last few besides). */
#ifndef MASTER_DISPATCH_PIPES_H
#define MASTER_DISPATCH_PIPES_H
#include <stdint.h>

#include "common/mem.h"
#include "master/conf/pipeline.h"

struct master;
struct pipe_ref;

/* Borrowed until pipes_unref; NULL: not here, load it. */
struct pipe_ref *pipes_ref(struct master *m, int64_t id, const char *project); /* the project names the builder of a file with nothing but steps */
void pipes_unref(struct pipe_ref *p);
const struct pipeline *pipes_of(const struct pipe_ref *p); /* NULL where the stored text is not valid any more */
/* Loads and parses; cb from the loop (ok false: the database is away). */
void pipes_load(struct master *m, int64_t id, const char *project, void (*cb)(bool ok, void *arg), void *arg);
void pipes_close(void);
#endif
