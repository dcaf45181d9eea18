/* The processes of a command: all that descend from a process, whatever session or group they are in. */
#ifndef WORKER_TREE_H
#define WORKER_TREE_H
#include <stdint.h>
#include <sys/types.h>

/* SIGTERM, then SIGCONT, to every descendant of root. Returns how many there were. */
int tree_end(pid_t root);
/* Stops every descendant until no new one appears (else a bomb forks on while it is swept up), then SIGKILL. How many there were. */
int tree_kill(pid_t root);
/* SIGKILL to what the dead minder of command `cmd` has left: every process that was started with DROVER_COMMAND=<cmd> in its
   environment, not before since_ms (clock_boot_ms). Not those that this process descends from, nor those below a living minder of
   that id: another worker on the host, of another cluster, may use the same. How many there were. */
int tree_kill_strays(const char *cmd, int64_t since_ms);
#endif
