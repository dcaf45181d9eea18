/* The private PostgreSQL against the real one: made, adopted, killed in several ways, stopped; what is
   refused and with which words. */
#include "tests/lib/pgfix.h"

#include <dirent.h>
#include <fcntl.h>
#include <postgresql/libpq-fe.h>
#include <pwd.h>
#include <sys/wait.h>

#include "common/log.h"
#include "common/str.h"

static struct pgfix f;

static int setup(void **s)
{
  (void)s;
  log_set_level(LOG_ERROR);
  pgfix_folders(&f);
  return 0;
}

static int teardown(void **s)
{
  (void)s;
  pgfix_remove(&f);
  return 0;
}

/* Processes with their working folder below f.root. */
static int processes(void)
{
  char path[300], cwd[300];
  DIR *d = opendir("/proc");
  struct dirent *e;
  int n = 0;

  while ((e = readdir(d))) {
    ssize_t k;

    snprintf(path, sizeof path, "/proc/%.20s/cwd", e->d_name);
    k = readlink(path, cwd, sizeof cwd - 1);
    if (k > 0) {
      cwd[k] = 0;
      n += str_starts(cwd, f.root);
    }
  }
  closedir(d);
  return n;
}

static PGconn *dial(void)
{
  PGconn *pg = PQconnectdb(ppg_conninfo(f.ppg));

  if (PQstatus(pg) != CONNECTION_OK)
    fail_msg("%s", PQerrorMessage(pg));
  return pg;
}

static void must(PGconn *pg, const char *sql)
{
  PGresult *r = PQexec(pg, sql);

  if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
    fail_msg("%s: %s", sql, PQerrorMessage(pg));
  PQclear(r);
}

static void first_start(void **s)
{
  struct stat st;
  int fd = open("/etc/passwd", O_RDONLY); /* without close-on-exec */
  char path[300], target[300];
  int pid, own = 0;
  PGconn *pg;
  ssize_t n;

  (void)s;
  assert_true(fd >= 0);
  f.first_start = true;
  pgfix_open(&f);
  pgfix_until(&f, &f.ready, 1, 5000);
  assert_int_equal(f.lost, 0);
  assert_true(strtol(ppg_version(f.ppg), NULL, 10) >= 15);
  pid = ppg_pid(f.ppg);
  assert_true(pid > 1);
  assert_int_equal(getsid(pid), pid);
  assert_int_equal(stat(f.folder, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0700);
  if (!geteuid())
    assert_int_not_equal(st.st_uid, 0);
  for (int i = 0; i < 64; i++) { /* none of our descriptors, terminal included */
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, i);
    n = readlink(path, target, sizeof target - 1);
    if (n < 0)
      continue;
    target[n] = 0;
    assert_string_not_equal(target, "/etc/passwd");
    if (i > 0 && i < 3) {
      assert_true(str_starts(target, f.folder));
      own++;
    }
  }
  assert_int_equal(own, 2);
  close(fd);
  pg = dial();
  must(pg, "create table t (n int)");
  assert_string_equal(PQdb(pg), "drover");
  PQfinish(pg);
  pgfix_close(&f, true);
  assert_int_equal(processes(), 0);
  assert_int_equal(kill(pid, 0), -1);
}

/* The data of a first run are there in a second one, with and without the first process. */
static void adopt(void **s)
{
  int pid, status;
  pid_t master;
  PGconn *pg;

  (void)s;
  master = fork(); /* a master that starts it and is killed */
  if (!master) {
    pgfix_open(&f);
    pg = dial();
    must(pg, "create table t as select 42 as n");
    PQfinish(pg);
    kill(getpid(), SIGKILL);
  }
  assert_int_equal(waitpid(master, &status, 0), master);
  assert_true(WIFSIGNALED(status));
  assert_true(processes() > 0);
  pgfix_open(&f);
  pid = ppg_pid(f.ppg);
  pg = dial();
  must(pg, "insert into t values (1)");
  PQfinish(pg);
  pgfix_close(&f, false);
  assert_int_equal(kill(pid, 0), 0);
  pgfix_open(&f);
  assert_int_equal(ppg_pid(f.ppg), pid);
  pgfix_until(&f, &f.ready, 1, 5000);
  kill(pid, SIGKILL); /* the adopted one's death is seen too, though it is nobody's child here */
  pgfix_until(&f, &f.lost, 1, 10000);
  pgfix_until(&f, &f.ready, 2, 10000);
  assert_int_not_equal(ppg_pid(f.ppg), pid);
  pg = dial();
  must(pg, "insert into t values (1)");
  PQfinish(pg);
  pgfix_close(&f, true);
  assert_int_equal(processes(), 0);
}

static void kill_postmaster(void **s)
{
  PGconn *pg;

  (void)s;
  pgfix_open(&f);
  pgfix_until(&f, &f.ready, 1, 5000);
  for (int i = 0; i < 3; i++) {
    int64_t from = clock_mono_ms();

    kill(ppg_pid(f.ppg), SIGKILL);
    pgfix_until(&f, &f.ready, i + 2, 10000);
    print_message("postmaster killed: back after %lld ms\n", (long long)(clock_mono_ms() - from));
    assert_int_equal(f.lost, i + 1);
    pg = dial();
    must(pg, i ? "insert into t values (1)" : "create table t (n int)");
    PQfinish(pg);
  }
  pgfix_close(&f, true);
  assert_int_equal(processes(), 0);
}

/* Without killing the left-over backend PostgreSQL refuses to start until its query ends. */
static void kill_postmaster_while_computing(void **s)
{
  int64_t from;
  PGconn *pg;

  (void)s;
  pgfix_open(&f);
  pgfix_until(&f, &f.ready, 1, 5000);
  pg = dial();
  assert_int_equal(PQsendQuery(pg, "do $$ declare t timestamptz := clock_timestamp(); begin "
                                   "while clock_timestamp() < t + interval '30 seconds' loop end loop; end $$"), 1);
  usleep(300 * 1000); /* it computes; were it slower, the test would only be easier */
  from = clock_mono_ms();
  kill(ppg_pid(f.ppg), SIGKILL);
  pgfix_until(&f, &f.ready, 2, 10000);
  print_message("postmaster killed while a backend computes: back after %lld ms\n",
                (long long)(clock_mono_ms() - from));
  PQfinish(pg);
  pg = dial();
  must(pg, "select 1");
  PQfinish(pg);
  pgfix_close(&f, true);
  assert_int_equal(processes(), 0);
}

/* A shell command in the cluster's folder, as its owner. */
static int as_owner(const char *text)
{
  char command[400];

  snprintf(command, sizeof command, "%s sh -c \"cd %s && %s\"",
           geteuid() ? "" : "setpriv --reuid postgres --clear-groups", f.folder, text);
  return system(command);
}

/* A lock file that names a living process which is not PostgreSQL; a half-made cluster. */
static void left_behind(void **s)
{
  char path[200];
  struct stat st;
  FILE *out;

  (void)s;
  pgfix_open(&f);
  pgfix_close(&f, true);
  snprintf(path, sizeof path, "%s/data/postmaster.pid", f.folder);
  out = fopen(path, "w");
  assert_non_null(out);
  fprintf(out, "%d\n%s/data\n1\n5432\n/tmp\n\n0 0\nready   \n", (int)getpid(), f.folder);
  fclose(out);
  if (!geteuid()) {
    stat(f.folder, &st);
    assert_int_equal(chown(path, st.st_uid, st.st_gid), 0);
  }
  pgfix_open(&f);
  assert_int_not_equal(ppg_pid(f.ppg), getpid());
  pgfix_close(&f, true);
  assert_int_equal(as_owner("mv data data.new"), 0);
  pgfix_open(&f);
  pgfix_close(&f, true);
  snprintf(path, sizeof path, "%s/data.new", f.folder);
  assert_int_equal(stat(path, &st), -1);
}

static char *refusal(void)
{
  struct buf why;

  buf_init(&why, 4096);
  f.ppg = ppg_new(&f.loop, f.state, f.folder, &pgfix_ops, &f, &why);
  assert_null(f.ppg);
  return buf_take(&why);
}

static void other_major(void **s)
{
  char *why;

  (void)s;
  pgfix_open(&f);
  pgfix_close(&f, true);
  assert_int_equal(as_owner("echo 12 > data/PG_VERSION"), 0);
  why = refusal();
  assert_non_null(strstr(why, "was made by PostgreSQL 12"));
  assert_non_null(strstr(why, "`apt-get install postgresql-12`"));
  assert_non_null(strstr(why, "`drover-master upgrade-db`"));
  free(why);
}

static void unreachable(void **s)
{
  char deep[120], *why;

  (void)s;
  if (geteuid()) {
    print_message("not root: nothing to test\n");
    return;
  }
  snprintf(deep, sizeof deep, "%s/state/pg", f.root); /* state is root's, 0700 */
  snprintf(f.folder, sizeof f.folder, "%.79s", deep);
  why = refusal();
  assert_non_null(strstr(why, "can't enter"));
  assert_non_null(strstr(why, f.state));
  free(why);
}

static void foreign_folder(void **s)
{
  char *why;

  (void)s;
  if (geteuid()) {
    print_message("not root: nothing to test\n");
    return;
  }
  assert_int_equal(mkdir(f.folder, 0700), 0);
  assert_int_equal(chown(f.folder, 12345, 12345), 0);
  why = refusal();
  assert_non_null(strstr(why, "belongs to uid 12345"));
  free(why);
  assert_int_equal(rmdir(f.folder), 0);
  assert_int_equal(symlink("/var/tmp", f.folder), 0); /* nor a link */
  why = refusal();
  free(why);
}

/* The socket's folder is refused when somebody else made it first. */
static void foreign_sock(void **s)
{
  char sock[200], *why;
  const char *at;

  (void)s;
  if (geteuid()) {
    print_message("not root: nothing to test\n");
    return;
  }
  pgfix_open(&f);
  at = strstr(ppg_conninfo(f.ppg), "host=");
  snprintf(sock, sizeof sock, "%.*s", (int)strcspn(at + 5, " "), at + 5);
  pgfix_close(&f, true);
  assert_int_equal(mkdir(sock, 0700), 0);
  assert_int_equal(chown(sock, 12345, 12345), 0);
  why = refusal();
  assert_non_null(strstr(why, "belongs to uid 12345"));
  free(why);
  assert_int_equal(rmdir(sock), 0);
}

/* Without a folder given: as root below /var/lib/drover, named in the state folder (which may move); else in it. */
static void usual_place(void **s)
{
  char note[200], line[200] = "", first[200], moved[120], command[300];
  struct buf why;
  FILE *in;

  (void)s;
  buf_init(&why, 4096);
  snprintf(moved, sizeof moved, "%s/moved", f.root);
  for (int round = 0; round < 2; round++) {
    f.closed = false;
    f.ppg = ppg_new(&f.loop, round ? moved : f.state, NULL, &pgfix_ops, &f, &why);
    if (!f.ppg)
      fail_msg("%s", buf_str(&why));
    if (!round)
      snprintf(first, sizeof first, "%s", ppg_folder(f.ppg));
    if (geteuid()) {
      assert_true(str_starts(ppg_folder(f.ppg), round ? moved : f.state));
    } else {
      assert_true(str_starts(ppg_folder(f.ppg), "/var/lib/drover/"));
      assert_string_equal(ppg_folder(f.ppg), first);
      snprintf(note, sizeof note, "%s/database", round ? moved : f.state);
      in = fopen(note, "r");
      assert_non_null(in);
      assert_non_null(fgets(line, sizeof line, in));
      fclose(in);
      line[strcspn(line, "\n")] = 0;
      assert_string_equal(line, first);
    }
    pgfix_close(&f, true);
    if (!round)
      assert_int_equal(rename(f.state, moved), 0);
  }
  buf_free(&why);
  snprintf(command, sizeof command, "rm -rf '%s'", first);
  assert_int_equal(system(command), 0);
}

static int lines, cut;
static void count_lines(enum log_level level, const char *line)
{
  (void)level;
  lines += strstr(line, "a notice that goes to the log") != NULL;
  cut += strstr(line, "left out") != NULL;
}

/* Its log goes through ours, and its file does not grow without bound. */
static void own_log(void **s)
{
  char path[200];
  struct stat st;
  PGconn *pg;

  (void)s;
  pgfix_open(&f);
  log_set_level(LOG_INFO);
  log_set_sink(count_lines);
  lines = cut = 0;
  pg = dial();
  must(pg, "do $$ begin raise log 'a notice that goes to the log'; end $$");
  pgfix_until(&f, &lines, 1, 5000);
  must(pg, "do $$ begin for i in 1..6000 loop raise log 'a notice that goes to the log %', repeat('x', 400); "
           "end loop; end $$"); /* 2.5 MB at once */
  must(pg, "do $$ begin raise log 'a notice that goes to the log'; end $$");
  PQfinish(pg);
  lines = 0;
  pgfix_until(&f, &cut, 1, 5000);
  snprintf(path, sizeof path, "%s/postgres.log", f.folder);
  assert_int_equal(stat(path, &st), 0);
  assert_true(st.st_size < 64 * 1024);
  assert_true(lines > 0 && lines < 6000);
  pgfix_close(&f, true);
  log_set_sink(NULL);
  log_set_level(LOG_ERROR);
}

/* Starting fails for good: an answer with the reason, not a wait for a minute. */
static void broken_settings(void **s)
{
  struct buf why;

  (void)s;
  pgfix_open(&f);
  pgfix_close(&f, true);
  assert_int_equal(as_owner("echo max_connections=many > data/local.conf"), 0);
  buf_init(&why, 4096);
  f.closed = false;
  f.ppg = ppg_new(&f.loop, f.state, f.folder, &pgfix_ops, &f, &why);
  assert_non_null(f.ppg);
  assert_int_equal(ppg_start(f.ppg, &why), ERR_FAILED);
  assert_non_null(strstr(buf_str(&why), "postgres.log"));
  buf_free(&why);
  pgfix_close(&f, true);
}

static pid_t service(void)
{
  pid_t pid = fork();
  struct buf why;

  if (pid)
    return pid;
  buf_init(&why, 4096);
  (void)!ppg_become(f.state, f.folder, &why);
  fprintf(stderr, "%s\n", buf_str(&why));
  _exit(1);
}

/* A service of its own runs it: waited for at the start, watched, never started or stopped by us. */
static void of_a_service(void **s)
{
  pid_t pid, second;
  struct buf why;
  int status;

  (void)s;
  buf_init(&why, 4096);
  f.closed = false;
  f.ready = f.lost = 0;
  f.ppg = ppg_of_service(&f.loop, f.state, f.folder, &pgfix_ops, &f, &why);
  assert_non_null(f.ppg);
  pid = service(); /* makes the cluster, while the master already waits */
  assert_int_equal(ppg_start(f.ppg, &why), ERR_OK);
  assert_int_equal(ppg_pid(f.ppg), pid);
  pgfix_until(&f, &f.ready, 1, 5000);
  PQfinish(dial());
  kill(pid, SIGKILL);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  pgfix_until(&f, &f.lost, 1, 10000);
  for (int i = 0; i < 20; i++) { /* some looks later it is still not ours to start */
    usleep(20 * 1000);
    uv_run(&f.loop, UV_RUN_NOWAIT);
  }
  assert_int_equal(ppg_pid(f.ppg), 0);
  second = service(); /* and ends what the first one left behind */
  pgfix_until(&f, &f.ready, 2, 10000);
  assert_int_equal(ppg_pid(f.ppg), second);
  PQfinish(dial());
  pgfix_close(&f, true);
  assert_int_equal(waitpid(second, &status, WNOHANG), 0);
  kill(second, SIGINT);
  assert_int_equal(waitpid(second, &status, 0), second);
  assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
  buf_free(&why);
  assert_int_equal(processes(), 0);
}

/* What a master without a service left running is ended first: there is one postmaster, the service's. */
static void service_takes_over(void **s)
{
  int status, before;
  struct buf why;
  pid_t pid;

  (void)s;
  pgfix_open(&f);
  before = ppg_pid(f.ppg);
  pgfix_close(&f, false);
  pid = service();
  assert_int_equal(waitpid(before, &status, 0), before);
  buf_init(&why, 4096);
  f.closed = false;
  f.ready = 0; /* a master that starts its own would be a second hand on the folder: only one of a service waits here */
  f.ppg = ppg_of_service(&f.loop, f.state, f.folder, &pgfix_ops, &f, &why);
  assert_non_null(f.ppg);
  assert_int_equal(ppg_start(f.ppg, &why), ERR_OK);
  pgfix_until(&f, &f.ready, 1, 10000);
  assert_int_equal(ppg_pid(f.ppg), pid);
  PQfinish(dial());
  pgfix_close(&f, true);
  kill(pid, SIGINT);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  buf_free(&why);
  assert_int_equal(processes(), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(first_start, setup, teardown),
    cmocka_unit_test_setup_teardown(adopt, setup, teardown),
    cmocka_unit_test_setup_teardown(kill_postmaster, setup, teardown),
    cmocka_unit_test_setup_teardown(kill_postmaster_while_computing, setup, teardown),
    cmocka_unit_test_setup_teardown(left_behind, setup, teardown),
    cmocka_unit_test_setup_teardown(other_major, setup, teardown),
    cmocka_unit_test_setup_teardown(unreachable, setup, teardown),
    cmocka_unit_test_setup_teardown(foreign_folder, setup, teardown),
    cmocka_unit_test_setup_teardown(foreign_sock, setup, teardown),
    cmocka_unit_test_setup_teardown(usual_place, setup, teardown),
    cmocka_unit_test_setup_teardown(own_log, setup, teardown),
    cmocka_unit_test_setup_teardown(broken_settings, setup, teardown),
    cmocka_unit_test_setup_teardown(of_a_service, setup, teardown),
    cmocka_unit_test_setup_teardown(service_takes_over, setup, teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
