/* The inventory as the master is told it. */
#include "worker/inventory.h"

#include "worker/command.h"

void inventory_tell(struct agent *a)
{
  int64_t count = 0;

  list_each(it, &a->commands) {
    struct command *c = list_of(it, struct command, node);
    for (int i = 0; i < c->nstreams; i++) {
      wire_put(&a->link.out, VERB_have, "iisnnn", &c->id, &c->epoch, command_state_name(c), (int64_t)i, c->stream[i].lo, command_end(c, i));
      count++;
    }
  }
  wire_put(&a->link.out, VERB_listed, "n", count);
  a->listed = true;
}
