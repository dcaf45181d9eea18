/* The model check of dispatch (tests/model/model.h): many small worlds by seed, each played with faults of all kinds and then left in peace, in which all must end.

   MODEL_SEED=n plays one seed, MODEL_SEEDS=n so many, from MODEL_FROM on; MODEL_SECONDS=n plays as many as there is time for, from a seed of the day on; MODEL_VERBOSE=1 tells each move; MODEL_TALLY=1 what has occurred
   in them all, and how often. A seed's number decides how large its world is: most are tiny, a few hundred small, and every fiftieth site's are big. */
#include "tests/lib/pgfix.h"

#include <inttypes.h>
#include <time.h>

#include "common/log.h"
#include "master/db/migrate.h"
#include "master/workers/session.h"
#include "tests/model/model.h"

enum { SEEDS = 10000, SITE_SEEDS = 20 /* that share a site */, BIG_EACH = 50, SMALL_EACH = 6 /* of so many sites one is big, or small and not tiny */, SWEEP_SEEDS = 60 };

static struct pgfix f;
static char *conninfo;

/* What a seed leaves behind goes by DELETE: TRUNCATE would have every statement planned anew. */
static const char clean_sql[] = "with a as (delete from buildset), b as (delete from build_request), c as (delete from request_need), d as (delete from build), e as (delete from step), f as (delete from command), g as (delete from log), "
  "h as (delete from outbox), i as (delete from event), j as (delete from lock_hold), k as (delete from lock_wait), l as (delete from worker_session), m as (delete from work_folder), n as (delete from pause), "
  "p as (delete from sourcestamp), q as (delete from builder), t as (delete from wait_reason), u as (delete from change), v as (delete from verdict), r as (update event_cursor set last = 0), s as (update worker set quarantine_ms = 0, quarantine_at = null, quarantine_until = null, quarantine_why = null where quarantine_ms > 0) "
  "select setval('command_number', 1, false), setval('buildset_id_seq', 1, false), setval('build_request_id_seq', 1, false), setval('build_id_seq', 1, false), "
  "setval('step_id_seq', 1, false), setval('log_id_seq', 1, false), setval('outbox_id_seq', 1, false), setval('sourcestamp_id_seq', 1, false), "
  "setval('builder_id_seq', 1, false), setval('master_id_seq', 1, false)";

static void setting(PGconn *c, const char *sql)
{
  PGresult *res = PQexec(c, sql);

  if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
    fail_msg("%s: %s", sql, PQerrorMessage(c));
  PQclear(res);
}

/* Nothing of it has to outlive its server. Tables that others refer to can be so only after these. */
static const char unlogged_sql[] = "do $$ declare t regclass; begin for i in 1..10 loop "
  "for t in select c.oid from pg_class c where c.relnamespace = 'drover_model'::regnamespace and c.relkind = 'r' and c.relpersistence = 'p' loop "
  "begin execute format('alter table %s set unlogged', t); exception when invalid_table_definition then null; end; end loop; end loop; end $$";

/* A database whose now() is what the check says: a schema ahead of pg_catalog, in which everything else is made too, so that defaults are bound to it. */
static void make_database(void)
{
  static const char *const texts[] = {
    "alter system set fsync = off", "alter system set full_page_writes = off", "alter system set autovacuum = off", "select pg_reload_conf()",
    "create schema drover_model", "set search_path = drover_model, pg_catalog",
    "create function drover_model.now() returns timestamptz language sql stable as $$ select to_timestamp(current_setting('drover.now')::float8 / 1000) $$",
    "create function drover_model.clock_timestamp() returns timestamptz language sql stable as $$ select to_timestamp(current_setting('drover.now')::float8 / 1000) $$",
  };
  PGconn *c = PQconnectdb(ppg_conninfo(f.ppg));
  struct buf why;
  char *sql;

  for (size_t i = 0; i < COUNT(texts); i++)
    setting(c, texts[i]);
  sql = xasprintf("alter database \"%s\" set search_path = drover_model, pg_catalog", PQdb(c));
  setting(c, sql);
  free(sql);
  sql = xasprintf("alter database \"%s\" set drover.now = '1700000000000'", PQdb(c));
  setting(c, sql);
  free(sql);
  buf_init(&why, 4096);
  if (migrate_run(ppg_conninfo(f.ppg), &why))
    fail_msg("%s", buf_str(&why));
  buf_free(&why);
  for (const char *const *text = watch_sql; *text; text++)
    setting(c, *text);
  setting(c, unlogged_sql);
  PQfinish(c);
}

static int group_setup(void **s)
{
  (void)s;
  log_set_level(getenv("MODEL_VERBOSE") ? LOG_DEBUG : LOG_ERROR + 1);
  pgfix_folders(&f);
  pgfix_open(&f);
  pgfix_until(&f, &f.ready, 1, 20000);
  make_database();
  conninfo = xstrdup(ppg_conninfo(f.ppg));
  server_open(conninfo);
  model_time_on = true;
  return 0;
}

static int group_teardown(void **s)
{
  (void)s;
  model_time_on = false;
  server_close();
  site_free(&sim.site);
  free(conninfo);
  model_tell_reset();
  tally_free();
  pgfix_close(&f, true);
  pgfix_remove(&f);
  return 0;
}

static uint64_t current_seed;

/* An assertion of the master's own code says where, and this for which seed. */
static void on_abort(int signal)
{
  fprintf(stderr, "the process is ended in seed %llu (MODEL_SEED=%llu plays it again)\n", (unsigned long long)current_seed, (unsigned long long)current_seed);
  model_tell_all();
  (void)signal;
}

static void clean(void)
{
  model_tell_reset();
  server_tell(clean_sql, NULL, 0);
  server_tell("delete from master", NULL, 0);
}

/* Rows that are gone stay in the way until they are swept out, and it is the check that deletes so many. */
static void sweep(void)
{
  server_tell("vacuum change, verdict, buildset, build_request, request_need, build, step, command, log, outbox, event, event_cursor, lock_hold, lock_wait, worker, worker_session, work_folder, pause, sourcestamp, builder, master, lock, pipeline, project, cluster", NULL, 0);
}

static void new_site(void)
{
  server_tell("with a as (delete from worker), b as (delete from lock), c as (delete from pipeline), d as (delete from project) "
            "select setval('worker_id_seq', 1, false), setval('lock_id_seq', 1, false), setval('pipeline_id_seq', 1, false), setval('project_id_seq', 1, false)", NULL, 0);
  site_rows(&sim.site);
}

/* telling: what happens is told, and all rows are looked at after each move, for a seed that has failed. Else watch_sql sees what is wrong when it is, and the rows are looked at once all is over. */
static void play(uint64_t seed, bool telling)
{
  uint64_t site = seed / SITE_SEEDS;
  const struct site_size *size = site % BIG_EACH == 0 ? &site_big : site % SMALL_EACH == 0 ? &site_small : &site_tiny;
  int moves;

  current_seed = seed;
  sim.site.changes = 0;
  model_now_ms = 0;
  model_quiet = !telling;
  clean();
  if (seed % SWEEP_SEEDS == 0)
    sweep();
  if (!sim.site.conf || sim.site.seed != site) {
    site_free(&sim.site);
    site_make(&sim.site, site, size);
    new_site();
  }
  chance_from(seed);
  sim_begin(chance_of(size->second));
  moves = size->moves + (int)chance((uint64_t)size->moves_more + 1);
  if (size->ready)
    moves_first();
  for (int i = 0; i < moves && !model_badness(); i++) {
    moves_one();
    if (telling)
      check_rows();
    check_world();
  }
  moves_calm();
  check_over();
  sim_end();
  server_land(NULL);
}

/* What a seed does, before and after all others: nothing of them may change it, or it could not be played again. */
static const uint64_t known[] = { 7, 83, 1234, 9999 };
static char *known_told[COUNT(known)];

static void test_seeds_are_told(void **s)
{
  (void)s;
  for (size_t i = 0; i < COUNT(known); i++) {
    play(known[i], true);
    assert_null(model_badness());
    known_told[i] = xstrdup(model_told());
  }
}

static void test_seeds_do_the_same_again(void **s)
{
  (void)s;
  for (size_t i = COUNT(known); i-- > 0;) {
    play(known[i], true);
    assert_string_equal(model_told(), known_told[i]);
    free(known_told[i]);
  }
}

static void failed(uint64_t seed)
{
  fprintf(stderr, "seed %llu: %s\nMODEL_SEED=%llu plays it again, with MODEL_VERBOSE=1 each transaction is told; what happened:\n%s", (unsigned long long)seed, model_badness(), (unsigned long long)seed, sim.site.text);
  model_tell_all();
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
  const char *text = getenv(name);

  return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_seeds(void **s)
{
  uint64_t from = number_of("MODEL_FROM", 0), n = number_of("MODEL_SEEDS", SEEDS), bad = 0, seconds = number_of("MODEL_SECONDS", 0), done = 0;
  time_t end = time(NULL) + (time_t)seconds;

  (void)s;
  if (getenv("MODEL_SEED")) {
    from = number_of("MODEL_SEED", 0);
    n = 1;
  } else if (seconds) {
    from = number_of("MODEL_FROM", (uint64_t)time(NULL) * 1000);
  }
  model_verbose = getenv("MODEL_VERBOSE") != NULL;
  for (; seconds ? time(NULL) < end : done < n; done++) {
    play(from + done, n == 1);
    if (model_badness()) {
      play(from + done, true); /* where exactly */
      failed(from + done);
      if (++bad == number_of("MODEL_BAD", 1))
        break;
    }
  }
  print_message("%llu seeds, %lld transactions, processor time %.1f s here and %.1f s in PostgreSQL\n", (unsigned long long)done, (long long)server_done, (double)clock() / CLOCKS_PER_SEC,
                (double)server_cpu_ms() / 1000);
  if (model_verbose || getenv("MODEL_TALLY"))
    tally_print();
  assert_int_equal(bad, 0);
  if (done >= SEEDS)
    assert_int_equal(tally_missing(), 0);
}

/* ---- what the seeds have found ---- */

static void begin_case(int workers, const char *site, const char *pipeline)
{
  clean();
  site_free(&sim.site);
  site_given(&sim.site, workers, site, pipeline);
  new_site();
  chance_from(1);
  sim_begin(false);
  sim_settle();
  for (int i = 0; i < workers; i++)
    moves_dial(&sim.workers[i]);
  sim_settle();
}

static void ask_one(const char *name, int revision)
{
  char *names[] = { xstrdup(name) };

  site_ask_for(&sim.site, &sim.masters[0], names, 1, revision, false);
  free(names[0]);
  sim_settle();
}

/* Or the case is not what it was made for. */
static void must_be(const char *sql, int64_t n)
{
  int64_t is = server_number(sql);

  if (is != n)
    model_bad("%" PRId64 ", not %" PRId64 ": %s", is, n, sql);
}

static void end_case(void)
{
  moves_calm();
  check_over();
  sim_end();
  if (model_badness()) {
    model_tell_all();
    fail_msg("%s", model_badness());
  }
}

#define PROJECT "projects:\n  " SITE_PROJECT ": {git: /nowhere}\n"
#define SITE "allow_local: true\nsame_user: true\nmin_free: 0\n"

/* More builds than their worker has slots find that what they waited for is over, all in one look: here since their master is a new one. */
static void test_several_go_on_at_once(void **s)
{
  (void)s;
  begin_case(2, SITE "workers:\n  w1: {tags: asks}\n  w2: {tags: leaf, slots: 2}\n" PROJECT,
             "builders:\n  leaf: {checkout: none, worker: {tags: leaf}, steps: [{name: s, run: \"true\"}]}\n  asks: {checkout: none, worker: {tags: asks}, steps: [{name: go, trigger: {builders: leaf, wait: true}}]}\n");
  ask_one("asks", 1);
  ask_one("asks", 2);
  must_be("select count(*) from step where kind = 'trigger' and result is null", 2);
  sim_kill(&sim.masters[0]);
  sim_start(&sim.masters[0]);
  sim_settle();
  moves_dial(&sim.workers[1]);
  sim_settle();
  moves_end_all();
  sim_settle();
  must_be("select count(*) from build_request where state = 'done'", 2);
  end_case();
}

/* A build that waits for others, and whose slot somebody else has, is cancelled (seed 7194): what of it always runs needs a slot, too; also where its worker's master is a new one. */
static void test_cancelled_while_it_rests(void **s)
{
  (void)s;
  for (int killed = 0; killed < 2; killed++) {
    begin_case(2, SITE "workers:\n  w1: {tags: asks}\n  w2: {tags: leaf}\n" PROJECT,
               "builders:\n  leaf: {checkout: none, worker: {tags: leaf}, steps: [{name: s, run: \"true\"}]}\n  other: {checkout: none, worker: {tags: asks}, steps: [{name: s, run: \"true\"}]}\n"
               "  asks: {checkout: none, worker: {tags: asks}, steps: [{name: go, trigger: {builders: leaf, wait: true}}, {name: last, run: \"true\", always: true}]}\n");
    ask_one("asks", 1);
    ask_one("other", 1);
    must_be("select count(*) from build b join build_request q on q.id = b.request where b.state = 'running' and q.id in (1, 3)", 2);
    if (killed)
      sim_kill(&sim.masters[0]);
    else
      sim_act(&sim.masters[0], ACT_CANCEL_REQUEST, "r1", NULL);
    sim_settle();
    if (killed) {
      server_tell("select * from requests_cancel(array[1::bigint], 'by another master')", NULL, 0);
      sim_start(&sim.masters[0]);
      sim_settle();
      moves_dial(&sim.workers[0]);
      sim_settle();
    }
    must_be("select count(*) from build where request = 1 and state = 'cancelling'", 1);
    must_be("select count(*) from step t join build b on b.id = t.build where b.request = 1 and t.name = 'last'", 0);
    moves_end_all();
    sim_settle();
    must_be("select count(*) from step t join build b on b.id = t.build where b.request = 1 and t.name = 'last'", 1);
    end_case();
  }
}

/* Build and first step take locks, and the step's is somebody else's. */
static void test_locks_of_build_and_first_step(void **s)
{
  (void)s;
  begin_case(1, SITE "workers:\n  w1: {slots: 2}\nlocks: {one: {}, two: {}}\n" PROJECT,
             "builders:\n  has: {checkout: none, steps: [{name: s, run: \"true\", locks: {two: 1}}]}\n  wants: {checkout: none, locks: {one: 1}, steps: [{name: s, run: \"true\", locks: {two: 1}}]}\n");
  ask_one("has", 1);
  ask_one("wants", 1);
  must_be("select count(*) from build where state = 'running'", 2);
  must_be("select count(*) from lock_wait where step = 1", 1);
  end_case();
}

/* A master that was silent for longer than others wait has its workers still. */
static void test_silent_master_keeps_its_workers(void **s)
{
  (void)s;
  begin_case(1, SITE "workers:\n  w1: {}\n" PROJECT, "builders:\n  one: {checkout: none, steps: [{name: s, run: \"true\"}]}\n");
  ask_one("one", 1);
  sim_start(&sim.masters[1]);
  sim_settle();
  sim_freeze(&sim.masters[0], true);
  sim_wait(MODEL_DEAD_MS + 1000);
  must_be("select count(*) from worker_session where not connected", 1);
  sim_freeze(&sim.masters[0], false);
  sim_wait(1000);
  must_be("select count(*) from worker_session where connected and lost_at is null", 1);
  sim_wait(31 * 60000);
  must_be("select count(*) from build where state = 'running'", 1);
  end_case();
}

/* It can't know who has its workers' builds by now: links are closed, and what ran there has ended before anybody else may begin it. */
static void test_master_without_database_lets_go(void **s)
{
  (void)s;
  begin_case(1, SITE "workers:\n  w1: {}\n" PROJECT, "builders:\n  one: {checkout: none, steps: [{name: s, run: \"true\"}]}\n");
  ask_one("one", 1);
  sim_start(&sim.masters[1]);
  sim_settle();
  sim_unplug(&sim.masters[0], true);
  sim_settle();
  sim_wait(SESSIONS_ALONE_MS / 2);
  assert_true(sim.workers[0].link && link_alive(sim.workers[0].link));
  assert_int_equal(worker_runs(&sim.workers[0]), 1);
  sim_wait(SESSIONS_ALONE_MS / 2 + 1000);
  assert_true(!sim.workers[0].link || !link_alive(sim.workers[0].link));
  assert_int_equal(worker_runs(&sim.workers[0]), 1);
  sim_wait(30 * 60000 - SESSIONS_ALONE_MS); /* the window is open for ten seconds more, at least */
  assert_int_equal(worker_runs(&sim.workers[0]), 0);
  must_be("select count(*) from build where state = 'running'", 1);
  sim_unplug(&sim.masters[0], false);
  sim_settle();
  end_case();
}

static void act(enum action a, const char *json)
{
  sim_act(&sim.masters[0], a, "", json);
  sim_settle();
}

/* A worker that is paused no more gets builds at once, and not when somebody looks the next time. */
static void test_resumed_worker_is_taken_at_once(void **s)
{
  (void)s;
  begin_case(1, SITE "workers:\n  w1: {}\n" PROJECT, "builders:\n  one: {checkout: none, steps: [{name: s, run: \"true\"}]}\n");
  act(ACT_PAUSE, "{\"object\": \"w1\"}");
  ask_one("one", 1);
  must_be("select count(*) from build", 0);
  act(ACT_RESUME, "{\"object\": \"w1\"}");
  must_be("select count(*) from build", 1);
  end_case();
}

/* A step that is cancelled while it waits for a lock waits no more, though its build has still something to run: the next one in the line gets the lock. */
static void test_cancelled_step_leaves_the_line(void **s)
{
  (void)s;
  begin_case(1, SITE "workers:\n  w1: {slots: 3}\nlocks: {one: {}}\n" PROJECT,
             "builders:\n  has: {checkout: none, steps: [{name: s, run: \"true\", locks: {one: 1}}]}\n  wants: {checkout: none, steps: [{name: s, run: \"true\", locks: {one: 1}}, {name: last, run: \"true\", always: true}]}\n");
  ask_one("has", 1);
  ask_one("wants", 1);
  ask_one("wants", 2);
  must_be("select count(*) from lock_wait where step = 1", 2);
  sim_act(&sim.masters[0], ACT_CANCEL_REQUEST, "r2", NULL);
  sim_settle();
  must_be("select count(*) from step t join build b on b.id = t.build where b.request = 2 and t.name = 'last' and t.result is null", 1);
  must_be("select request from lock_wait where step = 1", 3);
  worker_exit(&sim.workers[0], &sim.workers[0].commands[0], "exited", 0, "-");
  sim_settle();
  must_be("select b.request from lock_hold h join build b on b.id = h.build", 3);
  end_case();
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_several_go_on_at_once), cmocka_unit_test(test_cancelled_while_it_rests), cmocka_unit_test(test_locks_of_build_and_first_step), cmocka_unit_test(test_silent_master_keeps_its_workers), cmocka_unit_test(test_resumed_worker_is_taken_at_once),
                                      cmocka_unit_test(test_cancelled_step_leaves_the_line),
                                      cmocka_unit_test(test_master_without_database_lets_go), cmocka_unit_test(test_seeds_are_told),
                                      cmocka_unit_test(test_seeds), cmocka_unit_test(test_seeds_do_the_same_again) };

  signal(SIGABRT, on_abort);
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
