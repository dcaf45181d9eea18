/* What a worker's agent is told to do by people: start anew, become the program that this master hands out (offer.h), stop; at once or when its builds are over. The row worker_order says it
   (db/schema_0037.sql), and the master that has the session does it; so it goes on after a lost link, a restart of the master, on another master.

   Happy path: ready → the row is read → (drain: until no build is here) → upgrade: the worker is asked what it has of the program, and sent the rest in parts, one at a time → the row says `sent`
   → restart or stop is said → the next session of the worker shows what came of it: another start, or that program running.
   Failures: the worker refuses, has gone back to its old program, is too old to know the verbs, there is no program for it or only an older one: `failed`, and why, in the row and in an event. */
#ifndef MASTER_WORKERS_ORDERS_H
#define MASTER_WORKERS_ORDERS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/sm.h"

struct session;

#define ORDERS_FEATURE "admin" /* in a worker's hello: it knows upgrade, restart and stop */

/* none ─▶ read ─▶ (drain ─▶) ask ─▶ note ─▶ told ─▶ end ─▶ none */
enum order_state { ORDER_NONE, ORDER_READ, ORDER_DRAIN, ORDER_ASK, ORDER_NOTE, ORDER_TOLD, ORDER_END, ORDER_STATES };

struct offer;

/* In a session. */
struct order {
  struct sm sm;
  bool leaving;          /* its builds are over, and it is to go: no build is given to it */
  bool again;            /* there may be another one: it is read again */
  int txs;               /* of ours in flight: the session stays until they are answered */
  int64_t number, req;   /* req: under way at the worker; 0: none */
  int kind, tries, parts; /* parts: that were sent, or asked for */
  bool sent, drain, downgrade;
  char *mark, *program;  /* of the row; the bytes of the program while it is sent */
  size_t size, off;
  char sum[65], version[32]; /* of the program */
};

void order_init(struct order *o);
void order_free(struct order *o);
/* The session is ready: what is to be done? Likewise when somebody may have ordered something. */
void order_look(struct session *s);
/* Now and then: a drain may have come to its end. */
void order_tick(struct session *s);
/* `done` of the worker. False: that request is not one of these. */
bool order_answered(struct session *s, int64_t req, const char *tag, const char *blob, size_t n);
#endif
