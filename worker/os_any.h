/* Parts of the os_*.c that more than one of them needs. */
#ifndef WORKER_OS_ANY_H
#define WORKER_OS_ANY_H
#include "common/buf.h"

/* As os_open_beneath(), one component after the other, no links. through: the flags of the folders on the way. */
int os_open_by_component(int dir, const char *path, int flags, int through);
/* The facts that every system tells. */
void os_facts_any(struct buf *out, const char *work);
#endif
