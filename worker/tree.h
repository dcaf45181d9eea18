/* The processes of a command: all that descend from a process, whatever session or group they are in. */
#ifndef WORKER_TREE_H
#define WORKER_TREE_H
#include <stdint.h>
#include <sys/types.h>

/* SIGTERM, then SIGCONT, to every descendant of root. Returns how many there were. */
int tree_end(pid_t root);
/* Stops every descendant until no new one appears (else a bomb forks on while it is swept up), then SIGKILL. How many there were. */
int tree_kill(pid_t root);
/* SIGKILL to every process that was started with `assignment` in its environment, not before since_ms (clock_boot_ms), but to
   none that this process descends from. How many there were. */
int tree_kill_strays(const char *assignment, int64_t since_ms);
#endif
