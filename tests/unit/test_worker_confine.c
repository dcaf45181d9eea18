/* What worker.conf says of isolation: each key's good and bad values, what a minder is told of it, and that each verb of a master has a group. */
#include "worker/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "proto/records.h"

typedef const char *taker(struct confine *c, const char *v);

static const struct {
  taker *take;
  const char *good, *bad; /* values, each with a line feed behind */
} keys[] = {
  { confine_take_isolate, "no\nauto\npid\npid,mount,ipc,uts,net,user\npid mount\n", "yes\nmount\npid,moon\n,\nno,pid\nauto,pid\nPID\npid,,\x01\n" },
  { confine_take_slot_uids, "no\n70000-70063\n1-1\n2147418112-2147483647\n", "70000\n70063-70000\n0-10\n1-65537\n-\n1-\n-1\n1-2147483648\n1-2-3\n01-2\n1 - 2\nroot-bin\n99999999999999999999-1\n" },
  { confine_take_limits, "nofile=1024\nnproc=1 nofile=2 fsize=3G as=4M core=0\nmemory=8G processes=2000 cpu=150\nmemory=none\nfsize=none\ncore=none,as=100\n", "nofile\nnofile=\nnofile=x\nfiles=1\nnofile=-1\nas=1X\nnofile=1G\nprocesses=1K\ncpu=1G\ncpu=50%\nmemory=-1\n=1\nas=99999999999999999999999999999999999999\n" },
  { confine_take_umask, "022\n27\n077\n0\n", "088\nx\n1000\n00022\n0700\n222\n-1\n" },
  { confine_take_max_runtime, "0\n90s\n4h\n1d\n250ms\n", "x\n4\n-1h\n4h30m\n" },
  { confine_take_allow, "all\nno\nrun\nrun,read,write\nfacts, log, restart, stop\n", "none\nruns\nrun,\x02\nall,run\n,\nupgrade\n" },
  { confine_take_cgroup, "auto\noff\n", "no\non\nkill\nauto,off\n" },
  { confine_take_exec_wrapper, "no\nbwrap --\n/usr/bin/bwrap  --bind {dir}\t{dir} --\nx a{slot}b{cid}\n", "x {env}\nx {\nx {dir\n   \n" },
};

static void each(taker *take, const char *values, bool good)
{
  for (const char *v = values, *lf; *v; v = lf + 1) {
    struct confine c;
    char *one;
    const char *why;
    lf = strchr(v, '\n');
    one = xstrndup(v, (size_t)(lf - v));
    confine_init(&c);
    why = take(&c, one);
    if (!why != good)
      fail_msg("`%s`: %s", one, why ? why : "was taken");
    confine_free(&c);
    free(one);
  }
}

static void test_values(void **state)
{
  char many[4 * CONFINE_WORDS_MAX];
  struct confine c;

  (void)state;
  for (size_t i = 0; i < COUNT(keys); i++) {
    each(keys[i].take, keys[i].good, true);
    each(keys[i].take, keys[i].bad, false);
  }
  confine_init(&c);
  for (int i = 0; i < CONFINE_WORDS_MAX; i++)
    memcpy(many + 2 * i, "x ", 3);
  assert_null(confine_take_exec_wrapper(&c, many));
  memcpy(many + 2 * CONFINE_WORDS_MAX, "x", 2);
  assert_non_null(confine_take_exec_wrapper(&c, many));
  assert_null(c.wrapper);
  confine_free(&c);
}

/* What no group holds becomes a limit of each process, where that has none of its own. */
static void test_limits_of_groups(void **state)
{
  struct confine c;

  (void)state;
  confine_init(&c);
  assert_int_equal(confine_asked(&c), 0);
  assert_null(confine_take_limits(&c, "memory=1K processes=7 cpu=50"));
  assert_int_equal(confine_asked(&c), RULED_LIMITS);
  c.ruled = RULED_KILL | RULED_PROCESSES;
  confine_fall_back(&c);
  assert_int_equal(c.limit[CONFINE_AS], 1024);
  assert_int_equal(c.limit[CONFINE_NPROC], -1);
  c.ruled = RULED_KILL;
  c.limit[CONFINE_NPROC] = 3;
  confine_fall_back(&c);
  assert_int_equal(c.limit[CONFINE_NPROC], 3);
  c.limit[CONFINE_NPROC] = -1;
  assert_null(confine_take_limits(&c, "memory=none"));
  assert_int_equal(confine_asked(&c), RULED_PROCESSES | RULED_CPU);
  c.limit[CONFINE_AS] = -1;
  confine_fall_back(&c);
  assert_int_equal(c.limit[CONFINE_AS], -1);
  assert_int_equal(c.limit[CONFINE_NPROC], 7);
  confine_free(&c);
}

static void facts_are(const struct confine *c, const char *isolation, const char *cgroup)
{
  struct buf out;

  buf_init(&out, BUF_NO_MAX);
  confine_facts(c, &out);
  assert_string_equal(records_get(out.data, out.len, "isolation"), isolation);
  assert_string_equal(records_get(out.data, out.len, "cgroup"), cgroup);
  buf_free(&out);
}

static void test_facts(void **state)
{
  struct confine c;

  (void)state;
  confine_init(&c);
  facts_are(&c, "plain", "off");
  c.ruled = RULED_KILL;
  c.first = 1;
  facts_are(&c, "uid", "kill");
  c.ruled = RULED_KILL | RULED_LIMITS;
  facts_are(&c, "uid", "kill,memory,processes,cpu");
  c.ruled = RULED_CPU;
  facts_are(&c, "uid", "cpu");
}

static void same(const struct confine *a, const struct confine *b)
{
  assert_int_equal(a->spaces, b->spaces);
  assert_int_equal(a->first, b->first);
  assert_int_equal(a->last, b->last);
  assert_memory_equal(a->limit, b->limit, sizeof a->limit);
  assert_int_equal(a->umask, b->umask);
  assert_int_equal(a->most_ms, b->most_ms);
  assert_int_equal(a->wrapper != NULL, b->wrapper != NULL);
  if (a->wrapper)
    assert_string_equal(a->wrapper, b->wrapper);
  if (a->program)
    assert_string_equal(a->program, b->program);
  assert_int_equal(a->ruled, b->ruled);
  assert_int_equal(a->group != NULL, b->group != NULL);
  if (a->group)
    assert_string_equal(a->group, b->group);
}

static void round_trip(struct confine *a, const char *text)
{
  char *got = confine_text(a);
  struct confine b;

  assert_string_equal(got, text);
  assert_int_equal(confine_read(&b, got), ERR_OK);
  same(a, &b);
  confine_free(&b);
  free(got);
}

static void test_what_minders_are_told(void **state)
{
  static const char *const bad[] = { "isolate\n", "isolate moon\n", "moon 1\n", "umask 9\n", "slot_uids 1\n", "\n", "wrapper x {env}\n" };
  char *large = xmalloc(50001);
  struct confine c, r;

  (void)state;
  confine_init(&c);
  round_trip(&c, "");
  assert_null(confine_take_isolate(&c, "net,pid"));
  assert_null(confine_take_slot_uids(&c, "70000-70063"));
  assert_null(confine_take_limits(&c, "nofile=77 core=none fsize=1K"));
  assert_null(confine_take_umask(&c, "27"));
  assert_null(confine_take_max_runtime(&c, "4h"));
  assert_null(confine_take_exec_wrapper(&c, "  w  {dir} --"));
  c.program = xstrdup("/a b/drover-worker");
  assert_null(confine_take_limits(&c, "memory=5 cpu=50"));
  c.group = xstrdup("/sys/fs/cgroup/a b/drover-0.");
  c.ruled = RULED_KILL | RULED_MEMORY;
  round_trip(&c, "isolate pid,net\nslot_uids 70000-70063\nlimits nofile=77 fsize=1024 core=none memory=5 cpu=50\numask 27\nmost 14400000ms\nwrapper w {dir} --\nprogram /a b/drover-worker\ngroup I/sys/fs/cgroup/a b/drover-0.\n");
  memset(large, 'x', 50000); /* nothing is ever left out, however long */
  large[50000] = 0;
  assert_null(confine_take_exec_wrapper(&c, large));
  free(large);
  large = confine_text(&c);
  assert_int_equal(confine_read(&r, large), ERR_OK);
  assert_int_equal(strlen(r.wrapper), 50000);
  confine_free(&r);
  free(large);
  confine_free(&c);
  for (size_t i = 0; i < COUNT(bad); i++) {
    assert_int_equal(confine_read(&r, bad[i]), ERR_BADARG);
    confine_free(&r);
  }
}

static void test_names(void **state)
{
  char out[CONFINE_NAMES_MAX];
  struct confine c;

  (void)state;
  confine_init(&c);
  assert_string_equal(confine_names(&c, out), "plain");
  assert_null(confine_take_slot_uids(&c, "1-2"));
  assert_string_equal(confine_names(&c, out), "uid");
  assert_null(confine_take_isolate(&c, "pid,mount,ipc,uts,net,user"));
  assert_null(confine_take_exec_wrapper(&c, "x"));
  assert_string_equal(confine_names(&c, out), "uid,user,pid,mount,ipc,uts,net,wrapper");
  confine_free(&c);
}

/* A verb that is new must be given one. */
static void test_each_verb_has_a_group(void **state)
{
  struct confine c;

  (void)state;
  confine_init(&c);
  c.allow = 0;
  for (enum verb v = 0; v < VERB_COUNT; v++) {
    unsigned g = confine_group(v);
    if (wire_verbs[v].from == WIRE_WORKER)
      continue;
    if (g == ALLOW_ALL)
      fail_msg("%s has no group in worker/confine.c", wire_verbs[v].name);
    assert_int_equal(g & (g - 1), 0);
    assert_int_equal(!confine_refusal(&c, v), !g);
    c.allow = g;
    assert_null(confine_refusal(&c, v));
    c.allow = 0;
  }
  assert_string_equal(confine_refusal(&c, VERB_put), "this host's worker.conf does not allow it: `allow` lacks write");
  assert_non_null(confine_refusal(&c, VERB_hello)); /* nothing that a master says: needs all there is */
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_values), cmocka_unit_test(test_limits_of_groups), cmocka_unit_test(test_facts), cmocka_unit_test(test_what_minders_are_told), cmocka_unit_test(test_names), cmocka_unit_test(test_each_verb_has_a_group) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
