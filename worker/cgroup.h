/* Control groups (cgroup v2): each command has one of its own where they can be had, which holds all of it whatever it does, ends it at once, and limits it as a whole. What can't be had is done without, but for the limits of worker.conf. */
#ifndef WORKER_CGROUP_H
#define WORKER_CGROUP_H
#include <stdbool.h>

#include "common/map.h"
#include "worker/confine.h"

/* In the agent, at its start. Tries where groups can be made: c->group, and c->ruled, what they do here. 0, or errno where they can't be had at all (c->group NULL), or the limits not (all that confine_asked() says, or none). instance: of the
   worker, and state, a descriptor of its folder, which tell its groups from those of others, and of a copy of that folder. The agent itself may be in another group behind it. */
int cgroup_find(struct confine *c, const char *instance, int state);
/* Ends and removes the groups that are no command's of `wanted` (names of commands): what dead agents and minders left. */
void cgroup_tidy(const struct confine *c, const struct map *wanted);

/* A group for the command, with its limits, or the one that is there: its folder, close-on-exec. -1 and errno. */
int cgroup_make(const struct confine *c, const char *cmd);
/* For the command's process: what it is to write one "0" to. -1 and errno. */
int cgroup_entry(int group);
/* SIGKILL to all that is in it. False: there was nothing in it, or that can't be done here. */
bool cgroup_kill(int group);
/* Has the kernel ended any of it for want of memory? */
bool cgroup_starved(int group);
/* Ends what is left in it, waits for that, 10 s at most, closes and removes it. group: cgroup_make()'s for that command, or -1. */
void cgroup_end(const struct confine *c, const char *cmd, int group);
#endif
