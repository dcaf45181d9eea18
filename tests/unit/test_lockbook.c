/* Who gets what of the locks: single cases, and many short random histories against rules that are checked by other means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/str.h"
#include "master/dispatch/lockbook_rows.h"

enum { HISTORIES = 10000, MOVES = 24, LOCKS = 4, REQUESTS = 10, WORKERS = 2, UNITS = 3 };

/* ---- single cases ---- */

static struct lockbook book;

static void begin(int count, const char *const *units, int nunits)
{
  lockbook_clear(&book);
  book.locks = xcalloc(LOCKS, sizeof *book.locks);
  book.holds = xcalloc(REQUESTS * LOCKS, sizeof *book.holds);
  book.waiters = xcalloc(REQUESTS, sizeof *book.waiters);
  book.nlocks = 1;
  book.locks[0] = (struct lock_row){ .id = 1, .name = xstrdup("l"), .count = nunits ? nunits : count, .nunits = nunits, .units = xcalloc((size_t)nunits + 1, sizeof(char *)) };
  for (int i = 0; i < nunits; i++)
    book.locks[0].units[i] = xstrdup(units[i]);
}

static void another(const char *name, int count)
{
  book.locks[book.nlocks++] = (struct lock_row){ .id = book.nlocks + 1, .name = xstrdup(name), .count = count };
}

static void hold(int lock, int64_t build, int n)
{
  book.holds[book.nholds++] = (struct lock_hold){ .lock = lock, .build = build, .worker = 1, .n = n, .who = xasprintf("p/b/%lld", (long long)build) };
}

static struct lock_waiter *wait_for(int lock, int n)
{
  struct lock_waiter *w = &book.waiters[book.nwaiters++];

  *w = (struct lock_waiter){ .request = book.nwaiters, .priority = 50, .nwants = 1, .workers = xcalloc(1, sizeof(int64_t)), .nworkers = 1, .who = xstrdup("p/b"), .since_ms = INT64_MIN };
  w->workers[0] = 1;
  w->wants[0] = (struct lock_want){ lock, n, xstrdup("l") };
  return w;
}

static void also(struct lock_waiter *w, int lock, int n)
{
  w->wants[w->nwants++] = (struct lock_want){ lock, n, xstrdup("m") };
}

static void expect_waiting(const char *want)
{
  char *told;

  lockbook_line(&book);
  told = lockbook_waiting(&book);
  assert_string_equal(told, want);
  free(told);
}

/* What other masters are told: who is in line here; who waited and is to be claimed now stays there until that is done, and nobody behind it at another master is faster. */
static void told(void **state)
{
  struct lock_waiter *a, *b, *c;

  (void)state;
  begin(2, NULL, 0);
  another("m", 1);
  a = wait_for(0, 2);
  b = wait_for(0, 1);
  also(b, 1, 1);
  expect_waiting("[{\"request\":2,\"line\":[\"l\"]}]");
  assert_int_equal(a->worker, 0);
  begin(2, NULL, 0);
  another("m", 1);
  b = wait_for(0, 1);
  also(b, 1, 1);
  expect_waiting("[]"); /* it never waited */
  b->since_ms = 1;
  free(b->got[0]);
  free(b->got[1]);
  memset(b->got, 0, sizeof b->got);
  expect_waiting("[{\"request\":1,\"line\":[\"l\",\"m\"]}]");
  begin(2, NULL, 0); /* the same, as the other master sees it */
  another("m", 1);
  b = wait_for(0, 1);
  also(b, 1, 1);
  b->nworkers = 0;
  b->foreign = 3;
  c = wait_for(1, 1);
  expect_waiting("[{\"request\":2,\"line\":[\"l\"]}]"); /* by its wish's name; the lock is the second one */
  assert_int_equal(c->worker, -1);
}

static void counts(void **state)
{
  (void)state;
  begin(3, NULL, 0);
  hold(0, 7, 1);
  wait_for(0, 2);
  wait_for(0, 1);
  lockbook_line(&book);
  assert_int_equal(book.waiters[0].worker, 0);
  assert_int_equal(book.waiters[1].worker, -1);
  assert_int_equal(book.waiters[1].place, 1);
}

/* What waits ahead counts with all that it wants, not as one. */
static void ahead_counts_whole(void **state)
{
  (void)state;
  begin(4, NULL, 0);
  hold(0, 7, 1);
  wait_for(0, 4);
  wait_for(0, 1);
  wait_for(0, 0);
  wait_for(0, 1);
  lockbook_line(&book);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(book.waiters[i].worker, -1);
    assert_int_equal(book.waiters[i].place, i + 1);
  }
}

static void exclusive(void **state)
{
  (void)state;
  begin(2, NULL, 0);
  wait_for(0, 0);
  wait_for(0, 1);
  lockbook_line(&book);
  assert_int_equal(book.waiters[0].worker, 0);
  assert_int_equal(book.waiters[1].worker, -1);
  begin(2, NULL, 0);
  hold(0, 7, 0);
  wait_for(0, 1);
  lockbook_line(&book);
  assert_int_equal(book.waiters[0].worker, -1);
}

/* Who waits for the lock alone keeps those behind it out, and waits behind those ahead of it, whoever gives these what they want. */
static void exclusive_in_line(void **state)
{
  struct lock_waiter *w;

  (void)state;
  begin(3, NULL, 0);
  hold(0, 7, 1);
  wait_for(0, 0);
  wait_for(0, 1);
  lockbook_line(&book);
  assert_int_equal(book.waiters[1].worker, -1);
  assert_int_equal(book.waiters[1].place, 2);
  begin(3, NULL, 0);
  w = wait_for(0, 1);
  w->nworkers = 0;
  w->foreign = 1;
  wait_for(0, 0);
  wait_for(0, 2);
  lockbook_line(&book);
  assert_int_equal(book.waiters[1].worker, -1);
  assert_int_equal(book.waiters[1].place, 2);
  assert_int_equal(book.waiters[2].worker, -1);
}

/* A lock that it could have is left to others while it waits for another one. */
static void left_to_others(void **state)
{
  struct lock_waiter *w;

  (void)state;
  begin(1, NULL, 0);
  another("m", 1);
  hold(0, 7, 1);
  w = wait_for(0, 1);
  also(w, 1, 1);
  wait_for(1, 1);
  lockbook_line(&book);
  assert_int_equal(book.waiters[0].worker, -1);
  assert_int_equal(book.waiters[0].lines, 1);
  assert_int_equal(book.waiters[1].worker, 0);
}

/* More than there are (the count was lowered since), a lock that is gone or was never there, no worker: in no line, so nobody waits for it. */
static void never(void **state)
{
  (void)state;
  begin(2, NULL, 0);
  another("m", 1);
  book.locks[1].gone = true;
  wait_for(0, 3);
  wait_for(1, 1);
  wait_for(-1, 1);
  wait_for(0, 2)->nworkers = 0;
  wait_for(0, 2);
  lockbook_line(&book);
  for (int i = 0; i < 4; i++)
    assert_int_equal(book.waiters[i].worker, -1);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(book.waiters[i].at, 0);
    assert_int_equal(book.waiters[i].place, 0);
  }
  assert_int_equal(book.waiters[3].at, -1);
  assert_int_equal(book.waiters[4].worker, 0);
}

/* Another master says that it waits for the second lock: it is ahead there, and this one doesn't give it anything. */
static void of_another_master(void **state)
{
  struct lock_waiter *w;

  (void)state;
  begin(1, NULL, 0);
  another("m", 1);
  w = wait_for(0, 1);
  also(w, 1, 1);
  w->nworkers = 0;
  w->foreign = 2;
  wait_for(1, 1);
  wait_for(0, 1);
  lockbook_line(&book);
  assert_int_equal(book.waiters[0].worker, -1);
  assert_int_equal(book.waiters[1].worker, -1);
  assert_int_equal(book.waiters[1].place, 2);
  assert_int_equal(book.waiters[2].worker, 0);
}

static void units(void **state)
{
  static const char *const names[] = { "a", "b", "c" };
  struct buf text;

  (void)state;
  begin(0, names, 3);
  hold(0, 7, 2);
  book.holds[0].units = xcalloc(2, sizeof(char *));
  book.holds[0].units[0] = xstrdup("b");
  book.holds[0].units[1] = xstrdup("old"); /* it has lost its name: nobody's any more */
  book.holds[0].nunits = 2;
  wait_for(0, 2);
  wait_for(0, 1);
  lockbook_line(&book);
  buf_init(&text, BUF_NO_MAX);
  lockbook_units(&book, &book.waiters[0], 0, &text);
  assert_string_equal(buf_str(&text), "a c");
  assert_int_equal(book.waiters[1].worker, -1);
  buf_free(&text);
}

static void said(void **state)
{
  struct buf text;

  (void)state;
  begin(6, NULL, 0);
  hold(0, 41, 4);
  hold(0, 42, 1);
  book.holds[1].ghost = true;
  wait_for(0, 2);
  wait_for(0, 0);
  lockbook_line(&book);
  buf_init(&text, BUF_NO_MAX);
  lockbook_say(&book, &book.waiters[0], &text);
  assert_string_equal(buf_str(&text), "waits for lock l: 1 of 6 free, needs 2; held by p/b/41 (4), p/b/42 (1, cancelled, and its worker is away); 1st in line");
  buf_free(&text);
  buf_init(&text, BUF_NO_MAX);
  lockbook_say(&book, &book.waiters[1], &text);
  assert_string_equal(buf_str(&text), "waits for lock l: 1 of 6 free, needs it for itself; held by p/b/41 (4), p/b/42 (1, cancelled, and its worker is away); 2nd in line");
  buf_free(&text);
  lockbook_clear(&book);
}

/* ---- histories ---- */

/* The world beside the book: what there is, who has what. A history is a few moves, each followed by a look, which gives all that may be given. */
struct want {
  int lock, n;
};
struct request {
  bool there, holds, startable[WORKERS];
  int priority, nwants, worker;
  struct want wants[LOCKS];
  int got[LOCKS][UNITS], ngot[LOCKS]; /* units */
};
struct world {
  int nlocks, count[LOCKS];
  bool named[LOCKS], per_worker[LOCKS];
  struct request r[REQUESTS];
};

static unsigned seed;

static int upto(int n) /* 0 … n - 1 */
{
  seed = seed * 1103515245u + 12345u;
  return (int)((seed >> 16) % (unsigned)n);
}

static void make_world(struct world *w)
{
  memset(w, 0, sizeof *w);
  w->nlocks = 1 + upto(LOCKS);
  for (int i = 0; i < w->nlocks; i++) {
    w->named[i] = upto(3) == 0;
    w->count[i] = w->named[i] ? UNITS : 1 + upto(3);
    w->per_worker[i] = upto(4) == 0;
  }
}

static void make_request(struct world *w, struct request *r)
{
  memset(r, 0, sizeof *r);
  r->there = true;
  r->priority = 50 + 10 * upto(2);
  for (int k = 0; k < WORKERS; k++)
    r->startable[k] = upto(4) > 0;
  for (int i = 0; i < w->nlocks; i++)
    if (upto(2))
      r->wants[r->nwants++] = (struct want){ i, upto(4) ? 1 + upto(2) : 0 };
}

/* One thing happens: somebody asks, a build ends (well, cancelled or lost: it is the same here), one that waits is cancelled, a count is moved, a worker comes or goes. */
static void move(struct world *w)
{
  struct request *r = &w->r[upto(REQUESTS)];
  int lock = upto(w->nlocks);

  switch (upto(6)) {
  case 0:
  case 1:
    if (!r->there)
      make_request(w, r);
    break;
  case 2:
  case 3:
    r->there = r->holds = false;
    break;
  case 4:
    if (!w->named[lock])
      w->count[lock] = 1 + upto(3);
    break;
  default:
    for (int k = 0; k < WORKERS && !r->holds; k++)
      r->startable[k] = upto(4) > 0;
  }
}

static bool before(const struct world *w, int a, int b)
{
  return w->r[a].priority != w->r[b].priority ? w->r[a].priority > w->r[b].priority : a < b;
}

static void to_book(const struct world *w)
{
  static const char *const names[UNITS] = { "a", "b", "c" };
  int order[REQUESTS], n = 0;

  begin(1, NULL, 0);
  free(book.locks[0].name);
  free(book.locks[0].units);
  book.nlocks = w->nlocks;
  for (int i = 0; i < w->nlocks; i++) {
    book.locks[i] = (struct lock_row){ .id = i + 1, .name = xasprintf("l%d", i), .count = w->count[i], .nunits = w->named[i] ? UNITS : 0, .per_worker = w->per_worker[i] };
    book.locks[i].units = xcalloc(UNITS + 1, sizeof(char *));
    for (int u = 0; u < book.locks[i].nunits; u++)
      book.locks[i].units[u] = xstrdup(names[u]);
  }
  for (int i = 0; i < REQUESTS; i++) {
    const struct request *r = &w->r[i];
    int at = n;
    for (int k = 0; r->holds && k < r->nwants; k++) {
      struct lock_hold *h = &book.holds[book.nholds++];
      *h = (struct lock_hold){ .lock = r->wants[k].lock, .build = i + 1, .worker = r->worker + 1, .n = r->wants[k].n, .who = xstrdup("b") };
      h->units = xcalloc(UNITS, sizeof(char *));
      for (; h->nunits < r->ngot[k]; h->nunits++)
        h->units[h->nunits] = xstrdup(names[r->got[k][h->nunits]]);
    }
    if (!r->there || r->holds)
      continue;
    while (at && before(w, i, order[at - 1]))
      order[at] = order[at - 1], at--;
    order[at] = i;
    n++;
  }
  for (int i = 0; i < n; i++) {
    const struct request *r = &w->r[order[i]];
    struct lock_waiter *x = &book.waiters[book.nwaiters++];
    *x = (struct lock_waiter){ .request = order[i], .priority = r->priority, .workers = xcalloc(WORKERS, sizeof(int64_t)), .who = xstrdup("b") };
    for (int k = 0; k < WORKERS; k++)
      if (r->startable[k])
        x->workers[x->nworkers++] = k + 1;
    for (; x->nwants < r->nwants; x->nwants++)
      x->wants[x->nwants] = (struct lock_want){ r->wants[x->nwants].lock, r->wants[x->nwants].n, xstrdup("l") };
  }
}

/* How much of the lock the requests have there: those that hold, and where told, those of waiters in `who`. -1: somebody has it for himself. */
static int in_use(const struct world *w, int lock, int worker, bool *any)
{
  int n = 0;

  *any = false;
  for (int i = 0; i < REQUESTS; i++)
    for (int k = 0; w->r[i].holds && k < w->r[i].nwants; k++) {
      if (w->r[i].wants[k].lock != lock || (w->per_worker[lock] && w->r[i].worker != worker))
        continue;
      *any = true;
      if (!w->r[i].wants[k].n)
        return -1;
      n += w->r[i].wants[k].n;
    }
  return n;
}

/* What those want there who are in line before the waiter i. */
static int wanted_ahead(const struct world *w, int i, int lock, int64_t worker, bool *any, bool *exclusive)
{
  int n = 0;

  *any = *exclusive = false;
  for (int o = 0; o < i; o++) {
    const struct lock_waiter *y = &book.waiters[o];
    bool there = !w->per_worker[lock];
    for (int q = 0; q < y->nworkers; q++)
      there |= y->workers[q] == worker;
    for (int q = 0; q < y->nwants && there; q++)
      if (!w->r[y->request].holds && y->wants[q].lock == lock && y->lines & 1u << q) {
        *any = true;
        *exclusive |= !y->wants[q].n;
        n += y->wants[q].n;
      }
  }
  return n;
}

/* What was given is put into the world, in the order of the line, each checked by itself: never more than there is, no unit twice, all or nothing, and nothing that those ahead in
   a line still want. */
static void take_given(struct world *w)
{
  for (int i = 0; i < book.nwaiters; i++) {
    const struct lock_waiter *x = &book.waiters[i];
    struct request *r = &w->r[x->request];
    if (x->worker < 0)
      continue;
    r->worker = (int)x->workers[x->worker] - 1;
    for (int k = 0; k < r->nwants; k++) {
      int lock = r->wants[k].lock;
      bool any, ahead_any, ahead_exclusive, taken[UNITS] = { false };
      int used = in_use(w, lock, r->worker, &any), ahead = wanted_ahead(w, i, lock, r->worker + 1, &ahead_any, &ahead_exclusive);
      if (w->per_worker[lock]) { /* in whose lines of which workers they are is not told */
        ahead = 0;
        ahead_any = ahead_exclusive = false;
      }
      assert_true(r->wants[k].n ? used >= 0 && !ahead_exclusive && used + ahead + r->wants[k].n <= w->count[lock] : !any && !ahead_any);
      r->ngot[k] = x->ngot[k];
      assert_int_equal(x->ngot[k], !w->named[lock] ? 0 : r->wants[k].n ? r->wants[k].n : UNITS);
      for (int o = 0; o < REQUESTS; o++)
        for (int q = 0; w->r[o].holds && q < w->r[o].nwants; q++)
          for (int u = 0; w->r[o].wants[q].lock == lock && (!w->per_worker[lock] || w->r[o].worker == r->worker) && u < w->r[o].ngot[q]; u++)
            taken[w->r[o].got[q][u]] = true;
      for (int u = 0; u < x->ngot[k]; u++) {
        r->got[k][u] = x->got[k][u];
        assert_false(taken[x->got[k][u]]);
        taken[x->got[k][u]] = true;
      }
    }
    r->holds = true;
  }
}

/* Whoever waits after the look: something that it wants is missing on each worker that it has, because of holders, or of holders and those who are before it in that line; and nobody has more than there is
   unless a count was lowered under him. */
static void check_waiters(const struct world *w)
{
  for (int i = 0; i < book.nwaiters; i++) {
    const struct lock_waiter *x = &book.waiters[i];
    const struct request *r = &w->r[x->request];
    bool hopeless = false;
    if (r->holds)
      continue;
    for (int k = 0; k < r->nwants; k++)
      hopeless |= r->wants[k].n > w->count[r->wants[k].lock];
    if (hopeless || !x->nworkers) {
      assert_int_equal(x->lines, 0);
      continue;
    }
    assert_true(x->lines);
    for (int p = 0; p < x->nworkers; p++) {
      bool missing = false;
      for (int k = 0; k < r->nwants && !missing; k++) {
        int lock = r->wants[k].lock;
        bool any, ahead_any, ahead_exclusive;
        int used = in_use(w, lock, (int)x->workers[p] - 1, &any), ahead = wanted_ahead(w, i, lock, x->workers[p], &ahead_any, &ahead_exclusive);
        missing = r->wants[k].n ? used < 0 || ahead_exclusive || used + ahead + r->wants[k].n > w->count[lock] : any || ahead_any;
      }
      assert_true(missing);
    }
  }
}

/* The first in a line waits for holders only: nobody waits while what it wants is free and nobody is ahead. */
static void check_first(const struct world *w)
{
  for (int i = 0; i < book.nwaiters; i++) {
    const struct lock_waiter *x = &book.waiters[i];
    const struct request *r = &w->r[x->request];
    bool any, missing = false;
    if (!x->lines || x->place != 1 || x->nworkers != 1)
      continue;
    for (int k = 0; k < r->nwants; k++)
      if (k == x->at) {
        int used = in_use(w, r->wants[k].lock, (int)x->workers[0] - 1, &any);
        missing = r->wants[k].n ? used < 0 || used + r->wants[k].n > w->count[r->wants[k].lock] : any;
      }
    assert_true(missing);
  }
}

static void histories(void **state)
{
  struct world w;
  int given = 0, waited = 0;

  (void)state;
  for (int h = 0; h < HISTORIES; h++) {
    seed = (unsigned)h;
    make_world(&w);
    for (int i = 0; i < MOVES; i++) {
      move(&w);
      to_book(&w);
      lockbook_line(&book);
      take_given(&w);
      check_waiters(&w);
      check_first(&w);
      for (int k = 0; k < book.nwaiters; k++)
        *(book.waiters[k].worker >= 0 ? &given : &waited) += 1;
    }
  }
  lockbook_clear(&book);
  assert_true(given > HISTORIES && waited > HISTORIES); /* there was something to do */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(counts), cmocka_unit_test(told), cmocka_unit_test(ahead_counts_whole), cmocka_unit_test(exclusive), cmocka_unit_test(exclusive_in_line), cmocka_unit_test(left_to_others), cmocka_unit_test(never),
    cmocka_unit_test(of_another_master), cmocka_unit_test(units), cmocka_unit_test(said), cmocka_unit_test(histories),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
