/* What the commands of this worker have beside command.h: they live within the agent. */
#ifndef WORKER_WINDOWS_COMMANDS_H
#define WORKER_WINDOWS_COMMANDS_H
#include "worker/agent.h"

/* Time, and what the processes have said since the last call. */
void commands_turn(struct agent *a, int64_t now);
/* When that is due at the latest, on clock_mono_ms(); INT64_MAX: never. */
int64_t commands_due(const struct agent *a);
/* The master was heard of. */
void commands_heard(int64_t now);
/* The agent ends, and with it they do. */
void commands_end(struct agent *a);
#endif
