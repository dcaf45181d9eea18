/* The user that a command runs as: one number of `slot_uids` for each place, which is the first three folders of a path below the work folder (PROJECT/BUILDER/SLOT). Who owns the place is who works in it: nothing else is kept, and a place that is removed gives its number back. */
#ifndef WORKER_SLOT_H
#define WORKER_SLOT_H
#include <stdbool.h>
#include <sys/types.h>

#include "proto/wire.h"
#include "worker/beneath.h"
#include "worker/confine.h"

/* The first three parts of a valid path, or as many as it has; returns how many. out: without a blank component, "" for none. */
int slot_place(const char *path, char out[BENEATH_PATH_MAX]);

/* The user of the path's place. make: where there is none yet, or it is not one of slot_uids, the place is made and given to one with all that is in it. 0 and errno: ENOENT where it is not there and not to be made,
   EUSERS: all of slot_uids have a place, EDOM: the path is no deeper than two folders. */
uid_t slot_owner(const struct confine *c, int work, const char *path, bool make);

/* What those two mean, which no libc says; NULL: it is none of them. */
const char *slot_text(int number);

/* SIGKILL to all that runs as that user. */
void slot_sweep(uid_t uid);

/* In the child of a file operation: what it does in a place it does as the place's user. to: the other path that it names, or NULL. False: errno. */
bool slot_enter(const struct confine *c, int work, enum verb verb, const char *path, const char *to);
#endif
