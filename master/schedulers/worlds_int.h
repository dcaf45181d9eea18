/* Between the files of worlds: projects (worlds.c), looking at repositories (changes/poller.c) while this master has the lease (changes/leases.c), from changes to requests (flow.c), needs in other projects (asks.c), schedulers of time (timed.c) and as rows (sched_rows.c). */
#ifndef MASTER_SCHEDULERS_WORLDS_INT_H
#define MASTER_SCHEDULERS_WORLDS_INT_H
#include <uv.h>

#include "common/list.h"
#include "common/buf.h"
#include "master/changes/githelper.h"
#include "master/schedulers/worlds.h"

/* One repository that is looked at. Freed when its timer is closed and no look is under way. */
struct poll_state {
  struct list node;    /* of all in worlds.polls */
  struct worlds *w;
  struct world *p;     /* held */
  int codebase;        /* number in the configuration */
  int64_t id;          /* row; 0 until the database was first up */
  char *name, *mirror; /* project or project/codebase; and what its mirror is called */
  int64_t looked_ms;   /* as in struct world_look */
  char *trouble;
  int64_t trouble_ms;
  uv_timer_t timer;
  bool busy, closed;   /* a look is under way; the timer is closed */
  bool once_more;      /* look again as soon as this look is over; or, where another master has the lease, tell it to */
  bool at_once;        /* the project is new or another one: look as soon as there is a lease */
  int64_t began_ms;    /* the last look, clock_mono_ms */
  int64_t due_ms;      /* the next one, likewise; POLL_NEVER: only when somebody asks */
  int failures;        /* looks in a row that did not go well */
  int64_t epoch;       /* of this master's lease; 0: another has it */
  int64_t asked, served; /* looks that somebody asked for by the row; how many of them the last look began after */
  int reads;           /* pipelines being read from the repository */
  struct list waiters; /* who needs the lease, which another master has */
  bool wants;          /* the first of them has just come: the other master is to be told */
  bool giving;         /* another master asked for it: nothing new begins, and when all is over it goes there */
  bool changed, telling, beaten; /* the row is not as this says; the heartbeat under way tells it; and is about this one */
  int told;            /* statements of the transaction under way */
  bool stored;         /* it asks for a secret of the store too */
};

#define POLL_NEVER INT64_MAX

/* Who waits for a lease; got: this master has it now, and something may begin. From the loop. */
struct lease_waiter {
  struct list node;
  int64_t since_ms;
  void (*cb)(bool got, struct lease_waiter *wt);
};

struct secret_rows;
struct worlds {
  struct master *m;
  struct world **v;
  int n, handles;
  struct list polls;   /* of gone worlds too, while a look is under way */
  uv_timer_t due;      /* changes to be read, schedulers to fire */
  bool reading, firing, again;
  bool stamping;       /* the look under way has its changes_due behind changes_stamp */
  int in_read;         /* changes being read */
  bool asking;         /* asks.c, abroad.c: for needs in other projects, and what steps trigger there, that are due */
  int in_ask;          /* of these, under way */
  struct list firings; /* of flow.c: timers that are being acted upon */
  uv_timer_t timed;    /* schedulers of time, and which schedulers there are */
  bool timing, timed_again;
  struct list timings; /* of timed.c: schedulers whose time is being acted upon */
  int tips;            /* pipelines being read for their schedulers */
  int64_t lease_until; /* clock_mono_ms: the end of all leases, unless a heartbeat comes before */
  uv_timer_t lease;    /* kills what is under way then */
};

void poller_add(struct worlds *w, struct world *p);
void poller_arm(struct poll_state *ps); /* the timer, where there is a lease and nothing is under way */
void poller_remove(struct world *p);
const struct conf_codebase *poll_conf(const struct poll_state *ps); /* valid within this turn, like this: */
/* By what the repository is read: what the configuration says, and, where that names a secret of the site, its value (rows: of the store, or NULL). False: why not, a sentence. To be freed in both cases. */
struct poll_login {
  struct gith_login l;
  char *value; /* NULL: there is no login */
};
bool poll_login(const struct poll_state *ps, const struct secret_rows *rows, struct poll_login *out, struct buf *why) must_check;
void poll_login_free(struct poll_login *l);
void poller_close(struct worlds *w);
/* leases.c. Held: this master may begin a look, or to read. */
bool lease_held(const struct poll_state *ps);
/* What was begun at that epoch may still be written; else nothing is, and whoever has the lease now does it. */
bool lease_same(const struct poll_state *ps, int64_t epoch);
bool world_lease_same(const struct world *p, int64_t epoch); /* the main codebase's: where the pipeline is read */
/* First in a transaction with what comes of a look; where the lease is another's by then all of it is void, and lease_lost says so. */
void lease_fence(struct db_tx *tx, const struct poll_state *ps, int64_t epoch);
bool lease_lost(const struct db_res *res);
bool world_reads(const struct world *p); /* its pipeline is in its repository, and this master is who reads there */
void lease_wait(struct poll_state *ps, struct lease_waiter *wt, void (*cb)(bool got, struct lease_waiter *wt));
void lease_rest(struct poll_state *ps);   /* something is over: where another master waits for the lease, it goes there */
void lease_forget(struct poll_state *ps); /* nobody looks there any more; answers whoever waits */
void lease_init(struct worlds *w);
void lease_close(struct worlds *w);
void flow_init(struct worlds *w);
void flow_close(struct worlds *w);
int64_t worlds_safety_ms(const struct worlds *w); /* so long at most nobody looks, whatever was missed */
void worlds_after(struct worlds *w); /* something is another way now: look again in a moment */
/* asks.c: the needs of waiting requests in other projects. ours: an array of this master's projects; read: of those whose pipelines it may read. */
void asks_look(struct worlds *w, const char *ours, const char *read);
/* The database's answer about one of these is there, and the ask is freed: all go on that may wait for it. who: for the log. */
void asks_over(struct worlds *w, struct db_res *res, const char *who);
/* abroad.c: statement trigger_due of an answer: what steps trigger in other projects and on other branches. */
void abroad_begin(struct worlds *w, const struct db_res *res, int stmt);
void timed_init(struct worlds *w);
void timed_kick(struct worlds *w);  /* a scheduler may be due, or be another one */
void timed_close(struct worlds *w);
void worlds_closed(struct worlds *w); /* one handle less */
#endif
