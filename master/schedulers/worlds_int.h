/* Between the files of worlds: projects (worlds.c), looking at repositories (changes/poller.c), from changes to requests (flow.c). */
#ifndef MASTER_SCHEDULERS_WORLDS_INT_H
#define MASTER_SCHEDULERS_WORLDS_INT_H
#include <uv.h>

#include "master/schedulers/worlds.h"

struct poll_state {
  struct worlds *w;
  struct world *p;
  uv_timer_t timer;
  bool busy;
  bool once_more;      /* look again as soon as this look is over */
  int64_t began_ms;    /* the last look, clock_mono_ms */
  int told;            /* statements of the transaction under way */
  char *trouble;       /* the last failure, told once */
};

struct worlds {
  struct master *m;
  struct world *v;
  int n, handles;
  struct poll_state *poll;
  uv_timer_t due;      /* changes to be read, schedulers to fire */
  bool reading, firing, again;
  int in_read;         /* changes being read */
};

void poller_init(struct worlds *w);
void poller_start(struct worlds *w);
void poller_close(struct worlds *w);
void flow_init(struct worlds *w);
void flow_close(struct worlds *w);
void worlds_closed(struct worlds *w); /* one handle less */
#endif
