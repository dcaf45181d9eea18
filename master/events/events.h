/* The numbered event log (docs/design.md): transactions write to the outbox, one statement numbers what is there, listeners in this process hear it, everybody else reads the table. */
#ifndef MASTER_EVENTS_EVENTS_H
#define MASTER_EVENTS_EVENTS_H
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/mem.h"

struct master;
struct event {
  int64_t number, at_ms;
  const char *type, *object, *body; /* body: JSON text */
};
struct event_listener {
  struct list node;
  void (*hear)(const struct event *e, void *arg);
  void *arg;
  bool follows; /* it wants those too that another master has numbered, as they come */
};

struct events *events_new(struct master *m) must_check;
void events_free(struct events *ev);
/* Called after a commit that wrote to the outbox: numbers soon (at most one statement in flight), then tells listeners, in order, from the loop. */
void events_kick(struct events *ev);
void events_listen(struct events *ev, struct event_listener *l);
void events_unlisten(struct event_listener *l);
int64_t events_last(const struct events *ev); /* highest number heard */
void events_elsewhere(struct events *ev);     /* another master may have numbered some: read for listeners that follow */
void events_db_up(struct events *ev);         /* the database is back: number what waits */
#endif
