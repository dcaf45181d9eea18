/* Between the files of worlds: projects (worlds.c), looking at repositories (changes/poller.c), from changes to requests (flow.c), schedulers of time (timed.c) and as rows (sched_rows.c). */
#ifndef MASTER_SCHEDULERS_WORLDS_INT_H
#define MASTER_SCHEDULERS_WORLDS_INT_H
#include <uv.h>

#include "common/list.h"
#include "master/schedulers/worlds.h"

/* One repository that is looked at. Freed when its timer is closed and no look is under way. */
struct poll_state {
  struct list node;    /* of all in worlds.polls */
  struct worlds *w;
  struct world *p;     /* held */
  uv_timer_t timer;
  bool busy, closed;   /* a look is under way; the timer is closed */
  bool once_more;      /* look again as soon as this look is over */
  int64_t began_ms;    /* the last look, clock_mono_ms */
  int told;            /* statements of the transaction under way */
};

struct worlds {
  struct master *m;
  struct world **v;
  int n, handles;
  struct list polls;   /* of gone worlds too, while a look is under way */
  uv_timer_t due;      /* changes to be read, schedulers to fire */
  bool reading, firing, again;
  int in_read;         /* changes being read */
  struct list firings; /* of flow.c: timers that are being acted upon */
  uv_timer_t timed;    /* schedulers of time, and which schedulers there are */
  bool timing, timed_again;
  struct list timings; /* of timed.c: schedulers whose time is being acted upon */
  int tips;            /* pipelines being read for their schedulers */
};

void poller_add(struct worlds *w, struct world *p);
void poller_start(struct world *p); /* the first look, at once */
void poller_remove(struct world *p);
void poller_close(struct worlds *w);
void flow_init(struct worlds *w);
void flow_close(struct worlds *w);
void timed_init(struct worlds *w);
void timed_kick(struct worlds *w);  /* a scheduler may be due, or be another one */
void timed_close(struct worlds *w);
void worlds_closed(struct worlds *w); /* one handle less */
#endif
