/* What the master asks of the agent itself (docs/protocol.md 11): each answers one `done`. */
#ifndef WORKER_ADMIN_H
#define WORKER_ADMIN_H
#include "worker/agent.h"

void admin_upgrade(struct agent *a, struct wire_msg *m);
void admin_restart(struct agent *a, struct wire_msg *m);
void admin_stop(struct agent *a, struct wire_msg *m);
void admin_tail(struct agent *a, struct wire_msg *m);
void admin_facts(struct agent *a, struct wire_msg *m);
#endif
