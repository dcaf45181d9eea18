/* Between reading (parts.c) and the text of all (parts_text.c). */
#ifndef MASTER_CONF_PARTS_INT_H
#define MASTER_CONF_PARTS_INT_H
#include "master/conf/parts.h"

#define PARTS_OUTPUT "<output of "

/* name, path: taken over. folder: NULL: that of path. */
struct part *parts_add(struct parts *p, enum part_kind kind, char *name, char *path, const char *folder);
/* Its text is known: parsed, unless it is a pipeline's. text: taken over. */
void part_set(struct part *x, char *text, size_t len);
#endif
