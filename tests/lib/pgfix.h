/* For tests: a loop with a deadline, a private PostgreSQL in a folder of its own under DROVER_ROOM or /var/tmp, removed at the end. */
#ifndef TESTS_LIB_PGFIX_H
#define TESTS_LIB_PGFIX_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/clock.h"
#include "master/db/pg_int.h"
#include "tests/lib/busy.h"

struct pgfix {
  uv_loop_t loop;
  char root[64], state[80], folder[80];
  struct ppg *ppg;
  int guard; /* open as long as the test lives */
  int ready, lost;
  bool closed;
  bool first_start; /* a test of it: nothing is copied */
};

static void pgfix_on_ready(void *ctx) { ((struct pgfix *)ctx)->ready++; }
static void pgfix_on_lost(void *ctx, const char *why)
{
  (void)why;
  ((struct pgfix *)ctx)->lost++;
}
static void pgfix_on_closed(void *arg) { ((struct pgfix *)arg)->closed = true; }
static const struct ppg_ops pgfix_ops = { pgfix_on_ready, pgfix_on_lost };

static void pgfix_nothing(uv_timer_t *t) { (void)t; }
static void pgfix_tick_closed(uv_handle_t *h) { h->data = NULL; }

/* Runs the loop until *n >= least; fails the test after ms, of a machine that is not busy. */
static inline void pgfix_until(struct pgfix *f, const int *n, int least, int64_t ms)
{
  int64_t until = clock_mono_ms() + (ms = busy_ms(ms));
  uv_timer_t tick; /* wakes the loop so that the deadline is seen */

  uv_timer_init(&f->loop, &tick);
  uv_timer_start(&tick, pgfix_nothing, 20, 20);
  while (*n < least && clock_mono_ms() < until)
    uv_run(&f->loop, UV_RUN_ONCE);
  uv_close((uv_handle_t *)&tick, pgfix_tick_closed);
  tick.data = &tick;
  while (tick.data)
    uv_run(&f->loop, UV_RUN_NOWAIT);
  if (*n < least)
    fail_msg("still %d, not %d, after %lld ms", *n, least, (long long)ms);
}

/* A child that outlives the test: when that ends, however it ends, it kills and removes what is left. */
static inline void pgfix_guard(struct pgfix *f)
{
  char data[96], command[256], byte;
  struct pg_lock lock;
  int fds[2];

  assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
  f->guard = fds[1];
  if (fork()) {
    close(fds[0]);
    return;
  }
  setsid();
  dup2(fds[0], 0);
  for (int fd = 1; fd < 1024; fd++)
    close(fd);
  while (read(0, &byte, 1) > 0)
    ;
  snprintf(data, sizeof data, "%s/data", f->folder);
  if (!pg_read_lock(&(struct ppg){ .data = data }, &lock))
    snprintf(lock.sock, sizeof lock.sock, "%s/none", f->root);
  for (int i = 0; i < 100 && pg_left_over(data, SIGKILL); i++)
    usleep(20 * 1000);
  snprintf(command, sizeof command, "rm -rf '%s' '%s'", f->root, lock.sock);
  _exit(system(command) != 0);
}

static inline void pgfix_folders(struct pgfix *f)
{
  const char *room = getenv("DROVER_ROOM");

  memset(f, 0, sizeof *f);
  snprintf(f->root, sizeof f->root, "%s/drover-test-XXXXXX", room ? room : "/var/tmp");
  assert_non_null(mkdtemp(f->root));
  assert_int_equal(chmod(f->root, 0711), 0); /* as root: user postgres must get through */
  snprintf(f->state, sizeof f->state, "%s/state", f->root);
  snprintf(f->folder, sizeof f->folder, "%s/pg", f->root);
  assert_int_equal(mkdir(f->state, 0700), 0);
  pgfix_guard(f);
  assert_int_equal(uv_loop_init(&f->loop), 0);
}

/* initdb costs a second of a processor: where a first start is not the matter, it is a copy of what one has made (DROVER_FIRST_START, tests/run.py). */
static inline void pgfix_seed(struct pgfix *f)
{
  const char *seed = getenv("DROVER_FIRST_START");
  char command[400];

  if (!seed || f->first_start || !access(f->folder, F_OK))
    return;
  snprintf(command, sizeof command, "cp -a --reflink=auto '%s/empty' '%s'", seed, f->folder);
  assert_int_equal(system(command), 0);
}

static inline void pgfix_open(struct pgfix *f)
{
  struct buf why;

  pgfix_seed(f);
  buf_init(&why, 4096);
  f->closed = false;
  f->ready = f->lost = 0;
  f->ppg = ppg_new(&f->loop, f->state, f->folder, &pgfix_ops, f, &why);
  if (!f->ppg || ppg_start(f->ppg, &why))
    fail_msg("%s", buf_str(&why));
  buf_free(&why);
}

static inline void pgfix_close(struct pgfix *f, bool stop)
{
  ppg_close(f->ppg, stop, pgfix_on_closed, f);
  while (!f->closed)
    uv_run(&f->loop, UV_RUN_ONCE);
  f->ppg = NULL;
}

static inline void pgfix_remove(struct pgfix *f)
{
  char command[96];

  close(f->guard);
  assert_int_equal(uv_loop_close(&f->loop), 0); /* nothing was left open */
  snprintf(command, sizeof command, "rm -rf '%s'", f->root);
  assert_int_equal(system(command), 0);
}
#endif
