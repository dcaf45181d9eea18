/* The doctor's verdicts: each check well, each in trouble, and with the database away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/api/doctor.h"

#define GB ((int64_t)1 << 30)

static struct doctor_disk disk;
static struct doctor_worker workers[8];
static struct doctor_poller pollers[8];

/* A master that nothing is wrong with. */
static struct doctor_facts well(void)
{
  disk = (struct doctor_disk){ "state", 400 * GB, 1000 * GB };
  workers[0] = (struct doctor_worker){ "one", "0.1", true, true, 0, "", 50 << 20, "" };
  workers[1] = (struct doctor_worker){ "two", "", false, false, 0, "", -1, "" };
  return (struct doctor_facts){ .version = "0.1", .want_api = true, .want_workers = true, .api_port = 7420, .workers_port = 7421, .up = true, .private_db = true, .has_key = true, .helper = true,
    .disks = &disk, .ndisks = 1, .nprojects = 3, .pollers = pollers, .pg_version = "15.14", .size = 41 << 20, .connections = 8, .connections_max = 60, .xid_age = 1000, .fsync = true,
    .full_page_writes = true, .synchronous_commit = true, .autovacuum = true, .schema = 2, .schema_latest = 2, .clock_ms = -3, .clock_within_ms = 12, .backed_up = true, .backup_age_ms = 3600000,
    .workers = workers, .nworkers = 2, .waiting = 4, .waiting_s = 60, .waiting_id = "r7", .reader = "" };
}

static void look(const struct doctor_facts *f, enum doctor_check c, enum doctor_level level, const char *words, const char *todo)
{
  struct doctor d;

  doctor_judge(f, &d);
  if (d.check[c].level != level || !strstr(d.check[c].text, words) || (todo && (!d.check[c].todo || !strstr(d.check[c].todo, todo))))
    fail_msg("%s is %s: \"%s\" (%s), not %s: \"%s\" (%s)", doctor_name(c), doctor_level_name(d.check[c].level), d.check[c].text, d.check[c].todo ? d.check[c].todo : "-",
             doctor_level_name(level), words, todo ? todo : "-");
  for (int i = 0; i < DOCTOR_CHECKS; i++) { /* what is wrong in one place is told in one place */
    assert_non_null(d.check[i].text);
    if (i != (int)c && f->up && d.check[i].level != DOCTOR_OK && !(c == DOCTOR_backup && i == DOCTOR_keys) && !(c == DOCTOR_keys && i == DOCTOR_backup))
      fail_msg("%s is %s too: %s", doctor_name((enum doctor_check)i), doctor_level_name(d.check[i].level), d.check[i].text);
  }
  if (level != DOCTOR_UNKNOWN)
    assert_int_equal(doctor_worst(&d), level);
  doctor_free(&d);
}

static void all_well(void **s)
{
  struct doctor_facts f = well();

  (void)s;
  look(&f, DOCTOR_clock, DOCTOR_OK, "±12 ms", NULL);
  look(&f, DOCTOR_ports, DOCTOR_OK, "7420, 7421", NULL);
  look(&f, DOCTOR_disk, DOCTOR_OK, "39 % free", NULL);
  look(&f, DOCTOR_database, DOCTOR_OK, "PostgreSQL 15.14, 41 MB", NULL);
  look(&f, DOCTOR_workers, DOCTOR_OK, "1 of 2 connected", NULL);
  look(&f, DOCTOR_backup, DOCTOR_OK, "60 min old", NULL);
}

#define TRY(change, check, level, words, todo) \
  do {                                         \
    struct doctor_facts f = well();            \
    change;                                    \
    look(&f, DOCTOR_##check, DOCTOR_##level, words, todo); \
  } while (0)

static void troubles(void **s)
{
  (void)s;
  TRY(f.programs_gone = true, database, WARN, "removed since it started", "upgrade-db");
  TRY(f.xact_s = 3601, database, WARN, "open for 60 min", "pg_stat_activity");
  TRY(f.connections = 55, database, WARN, "55 of 60", NULL);
  TRY((f.dead = 3000000, f.live = 2000000), database, WARN, "3 million dead", "vacuum");
  TRY(f.xid_age = 1200000000, database, WARN, "1200 of 2147 million", NULL);
  TRY((f.xid_age = 1900000000, f.xact_s = 9000), database, FAIL, "run out", "at once");
  TRY(f.fsync = false, durability, FAIL, "fsync is off", "local.conf");
  TRY((f.fsync = false, f.full_page_writes = false), durability, FAIL, "fsync and full_page_writes are off", NULL);
  TRY(f.synchronous_commit = false, durability, WARN, "synchronous_commit", NULL);
  TRY(f.autovacuum = false, durability, WARN, "autovacuum is off", "autovacuum = on");
  TRY(f.schema = 3, schema, FAIL, "schema 3, this master knows 2", NULL);
  TRY(f.workers_port = 0, ports, FAIL, "workers can't connect", NULL);
  TRY(f.api_port = 0, ports, FAIL, "not listened on", NULL);
  TRY((f.want_api = false, f.api_port = 0), ports, OK, "7421", NULL);
  TRY(f.helper = false, helper, FAIL, "drover-git-helper", NULL);
  TRY(f.backed_up = false, keys, WARN, "not backed up yet", "drover-master backup DIR");
  TRY(f.backed_up = false, backup, WARN, "no backup", "drover-master backup DIR");
  TRY(f.backup_age_ms = INT64_C(26) * 3600000, backup, WARN, "last backup 26 h old", "drover-master backup DIR");
  TRY(f.config_errors = 2, configuration, FAIL, "2 errors", "--check");
  TRY(f.config_differs = true, configuration, WARN, "not the configuration that is used", "reload");
  TRY(f.config_refused = "3 errors", configuration, WARN, "refused: 3 errors", "--check");
  TRY((f.waiting_s = 3 * 3600), waiting, WARN, "r7 has been waiting for 3 h", "drover why r7");
  TRY((f.outbox = 5, f.outbox_s = 20), events, WARN, "5 events", NULL);
  TRY((f.outbox = 5, f.outbox_s = 90), events, FAIL, "90 s", NULL);
  TRY((f.reader = "mail", f.reader_lag = 20000), events, WARN, "reader mail is 20000", NULL);
}

static void clocks(void **s)
{
  (void)s;
  TRY((f.clock_ms = 1900), clock, OK, "±1900 ms", NULL);
  TRY((f.clock_ms = 5000, f.clock_within_ms = 10000), clock, OK, "±10000 ms", NULL); /* a slow answer is no wrong clock */
  TRY((f.clock_ms = 5000), clock, WARN, "5 s ahead", "NTP");
  TRY((f.clock_ms = -7200000), clock, FAIL, "2 h behind", "NTP");
}

static void disks(void **s)
{
  (void)s;
  TRY((disk.free = 30 * GB, f.ndisks = 1), disk, OK, "2 % free", NULL); /* little of much is enough */
  TRY((disk.free = 15 * GB), disk, WARN, "state has 15 GB free (1 %)", "make room");
  TRY((disk.free = 4 * GB), disk, FAIL, "4.0 GB", "make room");
  TRY((disk.size = GB / 2, disk.free = GB / 5), disk, FAIL, "204 MB", "make room");
  TRY((disk.size = 0, disk.free = 0), disk, OK, "", NULL); /* could not be asked */
}

static void many(void **s)
{
  static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };

  (void)s;
  TRY(workers[1].ssh_why = "nobody is there", workers, WARN, "two is not reached by ssh: nobody is there", "worker show");
  workers[1].ssh_why = "";
  TRY(({ for (int i = 0; i < 8; i++) workers[i] = (struct doctor_worker){ names[i], "0.1", false, true, 1000, "09:12", -1, "" }; f.nworkers = 8; }), workers, WARN, "a away since 09:12; b", "worker remove");
  TRY(({ for (int i = 0; i < 8; i++) workers[i] = (struct doctor_worker){ names[i], "0.1", false, true, 1000, "09:12", -1, "" }; f.nworkers = 8; }), workers, WARN, "3 more", NULL);
  TRY(workers[0].free_kib = 1000, workers, WARN, "one has 0 MB free", "make room");
  TRY(workers[0].version = "0.0", versions, WARN, "one is 0.0", NULL);
  TRY((pollers[0] = (struct doctor_poller){ "p", "no such host", 90000 }, f.npollers = 1), repositories, WARN, "p can't be read for 90 s: no such host", "URL");
  TRY((pollers[0] = (struct doctor_poller){ "p", NULL, 90000 }, f.npollers = 1), repositories, WARN, "p can't be read for 90 s", NULL);
}

/* What only the database knows is unknown then, not well; what memory knows is still told. */
static void away(void **s)
{
  struct doctor_facts f = well();
  struct doctor d;

  (void)s;
  f.up = false;
  f.why = "refused";
  f.nworkers = 0;
  look(&f, DOCTOR_database, DOCTOR_FAIL, "away: refused", "by itself");
  f.private_db = false;
  look(&f, DOCTOR_database, DOCTOR_FAIL, "away: refused", "`database`");
  doctor_judge(&f, &d);
  for (int i = 0; i < DOCTOR_CHECKS; i++) {
    bool known = i == DOCTOR_database || i == DOCTOR_ports || i == DOCTOR_disk || i == DOCTOR_configuration || i == DOCTOR_repositories || i == DOCTOR_helper;
    assert_int_equal(d.check[i].level != DOCTOR_UNKNOWN, known);
  }
  doctor_free(&d);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(all_well), cmocka_unit_test(troubles), cmocka_unit_test(clocks), cmocka_unit_test(disks), cmocka_unit_test(many), cmocka_unit_test(away) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
