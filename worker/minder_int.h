/* Between the files of the minder: its life (minder.c), and the way into it (minder_start.c). */
#ifndef WORKER_MINDER_INT_H
#define WORKER_MINDER_INT_H
#include "common/sm.h"
#include "worker/child.h"
#include "worker/confine.h"
#include "worker/follow.h"
#include "worker/input.h"
#include "worker/minder.h"
#include "worker/output.h"
#include "worker/spec.h"
#include "worker/spool.h"

enum { MINDER_CTL_MAX = 256, MINDER_READ = 65536 };
#define NEVER INT64_MAX

struct minder {
  const struct minder_args *args;
  struct spool sp;
  struct spool_cmd cmd;
  struct spec spec;
  struct child child;
  struct confine confine;
  uid_t uid;             /* whom the command runs as; 0: as we do */
  int group;             /* the folder of its control group; -1: it has none */
  struct sm sm;
  struct output out;
  struct follows logs;   /* files that it follows */
  struct spool_exit exit;
  char ctl[MINDER_CTL_MAX];
  size_t ctl_len;
  char in[MINDER_READ];
  struct input input;
  char *values;          /* of its secrets, records; wiped once it has them */
  size_t nvalues;
  bool main_ended, none_left, blocked, broken;
  bool hurry;             /* somebody wanted its end: what finds no room then is left out */
  int rounds;             /* of SIGKILL */
  int64_t start, main_end;             /* on clock_mono_ms() */
  int64_t idle_at, total_at, step_at;  /* when what is due; NEVER; step_at: the next step of the ladder */
  int64_t most_at;                     /* worker.conf's max_runtime: never stands still, whatever the master reads or not */
  int64_t retry_at, alone_at;
  int64_t blocked_since, seen;
};

/* Makes its folders, writes `started`, starts the process. 0, or an errno and what could not be done with what. */
int minder_begin(struct minder *m, const char **doing, const char **what);
/* The values of its secrets, and the masks of its output. False: told. */
bool minder_take_secrets(struct minder *m);
/* The command begins now. */
void minder_set_timers(struct minder *m);
/* Orders are heard meanwhile. */
void minder_wait_for_room(void);
#endif
