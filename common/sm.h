/* State machines with a table of allowed moves: a wrong move stops the process at the place where it is made. (Idea: dqlite's sm.h.)

     static const struct sm_row rows[] = {
       [GIT_STAT]  = { "stat",  SM_TO(GIT_FETCH) | SM_TO(GIT_CLONE) },
       …
       [GIT_DONE]  = { "done",  0 },
     };

   One function per machine calls sm_move(); nothing else writes the state. */
#ifndef COMMON_SM_H
#define COMMON_SM_H
#include <stdbool.h>
#include <stdint.h>

#define SM_TO(state) (UINT64_C(1) << (state))

struct sm_row {
  const char *name; /* stored in the database and shown to people */
  uint64_t next;    /* mask of allowed successors */
};

struct sm {
  const char *what; /* of what it is the state, for the trace */
  const struct sm_row *rows;
  int count, state;
};

void sm_init(struct sm *m, const char *what, const struct sm_row *rows, int count, int state);
bool sm_may(const struct sm *m, int next);
void sm_move(struct sm *m, int next); /* aborts on a move the table does not have */
const char *sm_name(const struct sm *m);
int sm_find(const struct sm_row *rows, int count, const char *name); /* -1: no such state */
#endif
