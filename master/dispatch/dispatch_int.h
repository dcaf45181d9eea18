/* Between the files of the dispatcher: from pending requests to claims (dispatch.c); builds that are lost, or are to end (ends.c). */
#ifndef MASTER_DISPATCH_DISPATCH_INT_H
#define MASTER_DISPATCH_DISPATCH_INT_H
#include <uv.h>

#include "master/dispatch/aside.h"
#include "master/dispatch/dispatch.h"
#include "master/dispatch/lockbook.h"

struct db_res;
struct map;
struct wants;

struct dispatch {
  struct master *m;
  uv_idle_t turn;
  uv_timer_t safety, overdue;
  int handles;
  bool looking, again;
  int claiming;        /* transactions of claims under way */
  char *takes, *known; /* of the look under way: what workers with a free slot can take, of which conditions */
  struct lockbook book; /* locks as of the last look; empty where the site has none */
  char *waiting;       /* what other masters were told last of requests in line, and when */
  int64_t told_ms;
  int limit;           /* of the look under way */
  int loading;         /* pipelines on their way */
  struct aside aside;  /* requests whose claim has just failed */
  struct map *claimed; /* requests with a run whose claim is not answered yet */
  int64_t long_window_ms, shortened_ms; /* builds that started before (clock_mono_ms) have at least this window; 0: none */
  struct pauses *pauses, *quarantines; /* as of the last look */
  struct wants *wants; /* conditions on workers that were met so far */
  bool repause;        /* somebody has changed them */
  struct map *numbers; /* builder → next number, while claims of it are in flight; values are numbers */
};

/* Every few seconds. */
void dispatch_overdue(uv_timer_t *t);
/* A build or a request was ended: says what the database refused, and looks again. arg: the master. */
void dispatch_given_up(struct db_res *res, void *arg);
#endif
