/* The private PostgreSQL's life: started or adopted, watched, started again, left running or stopped.

   new ─▶ down ─▶ starting ─▶ up
           ▲─────────┴─────────┘

   Sleeps in down (back-off, or until what a dead postmaster left behind is gone), starting (until its
   lock file says ready) and up (a look every 250 ms). A postmaster killed while a backend computes
   leaves that backend, and PostgreSQL refuses to start until it ends: so left-overs are found by their
   working folder and killed first. */
#include "master/db/pg_int.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"

static const struct sm_row ppg_rows[PPG_STATES] = {
  [PPG_NEW] = { "new", SM_TO(PPG_DOWN) | SM_TO(PPG_STARTING) | SM_TO(PPG_STOPPED) },
  [PPG_DOWN] = { "down", SM_TO(PPG_STARTING) | SM_TO(PPG_STOPPED) },
  [PPG_STARTING] = { "starting", SM_TO(PPG_UP) | SM_TO(PPG_DOWN) | SM_TO(PPG_STOPPED) },
  [PPG_UP] = { "up", SM_TO(PPG_DOWN) | SM_TO(PPG_STOPPED) },
  [PPG_STOPPED] = { "stopped", 0 },
};

const char *ppg_conninfo(const struct ppg *p) { return p->conninfo; }
const char *ppg_version(const struct ppg *p) { return p->version ? p->version : ""; }
const char *ppg_folder(const struct ppg *p) { return p->folder; }
int ppg_pid(const struct ppg *p) { return p->pid; }
bool ppg_programs_gone(const struct ppg *p)
{
  char *program = p->bindir ? xasprintf("%s/postgres", p->bindir) : NULL;
  bool gone = program && access(program, X_OK);

  free(program);
  return gone;
}

bool ppg_adopted(const struct ppg *p) { return p->adopted; }

static void ppg_free(struct ppg *p)
{
  if (p->tail.path)
    pg_tail_free(&p->tail);
  free(p->user.name);
  free(p->folder);
  free(p->data);
  free(p->bindir);
  free(p->sock);
  free(p->conninfo);
  free(p->version);
  free(p->why);
  free(p);
}

/* requirepeer: a socket that somebody else put there is not talked to. */
static char *make_conninfo(const struct ppg *p, const char *database)
{
  return xasprintf("host=%s port=%d user=" PG_USER " dbname=%s requirepeer='%s' sslmode=disable"
                   " gssencmode=disable connect_timeout=5", p->sock, PG_PORT, database, p->user.name);
}

/* All that a postmaster needs. */
static enum err prepare(struct ppg *p, const char *state, const char *folder, struct buf *why)
{
  enum err e = pg_find_user(&p->user, why);

  if (!e)
    e = pg_make_folder(p, state, folder, why);
  if (!e && p->unit) {
    p->sock = xstrdup(""); /* the lock file will tell */
    return e;
  }
  if (!e)
    e = pg_find_programs(p, why);
  if (!e)
    e = pg_make_cluster(p, state, why);
  return e ? e : pg_make_sock(p, why);
}

static struct ppg *make_rest(struct ppg *p, uv_loop_t *loop, const struct ppg_ops *ops, void *ctx)
{
  char *log;

  log = xasprintf("%s/postgres.log", p->folder);
  pg_tail_init(&p->tail, log, p->user.uid);
  free(log);
  p->conninfo = make_conninfo(p, PG_DATABASE);
  p->loop = loop;
  p->ops = *ops;
  p->ctx = ctx;
  p->backoff = PG_BACKOFF_MIN_MS;
  sm_init(&p->sm, "private PostgreSQL", ppg_rows, PPG_STATES, PPG_NEW);
  uv_timer_init(loop, &p->timer);
  p->timer.data = p;
  return p;
}

static struct ppg *make(uv_loop_t *loop, const char *state, const char *folder, bool unit,
                        const struct ppg_ops *ops, void *ctx, struct buf *why)
{
  struct ppg *p = xcalloc(1, sizeof *p);

  p->unit = unit;
  if (!prepare(p, state, folder, why))
    return make_rest(p, loop, ops, ctx);
  ppg_free(p);
  return NULL;
}

struct ppg *ppg_new(uv_loop_t *loop, const char *state, const char *folder, const struct ppg_ops *ops,
                    void *ctx, struct buf *why)
{
  return make(loop, state, folder, false, ops, ctx, why);
}

struct ppg *ppg_of_service(uv_loop_t *loop, const char *state, const char *folder, const struct ppg_ops *ops,
                           void *ctx, struct buf *why)
{
  return make(loop, state, folder, true, ops, ctx, why);
}

struct ppg *ppg_place(const char *state, const char *folder, struct buf *why)
{
  struct ppg *p = xcalloc(1, sizeof *p);

  if (!pg_find_owner(&p->user, state, folder, why) && !pg_make_folder(p, state, folder, why))
    return p;
  ppg_free(p);
  return NULL;
}

void ppg_place_free(struct ppg *p)
{
  ppg_free(p);
}

static void no_word(void *ctx) { (void)ctx; }
static void no_word_why(void *ctx, const char *why) { (void)ctx, (void)why; }

struct ppg *ppg_open(uv_loop_t *loop, const char *state, const char *folder, bool make, struct buf *why)
{
  static const struct ppg_ops ops = { no_word, no_word_why };
  struct ppg *p = xcalloc(1, sizeof *p);
  bool ok = !pg_find_owner(&p->user, state, folder, why) && !pg_make_folder(p, state, folder, why);

  if (ok && !make && !pg_data_major(p->data)) {
    buf_addf(why, "there is no database in %s", p->folder);
    ok = false;
  }
  if (!ok || pg_find_programs(p, why) || pg_make_cluster(p, state, why) || pg_make_sock(p, why)) {
    ppg_free(p);
    return NULL;
  }
  p->beside = true;
  p->as_user = p->user.drop;
  return make_rest(p, loop, &ops, NULL);
}

/* PostgreSQL asks the kernel who we are when we connect. Only for programs with one thread. */
PGconn *pg_connect(const struct pg_user *u, const char *conninfo)
{
  bool other = u->drop && !seteuid(u->uid);
  PGconn *pg = PQconnectdb(conninfo);

  if (other && seteuid(0))
    log_error("pg", "can't become root again: %s", strerror(errno));
  return pg;
}

/* ---- the machine: one step, which answers in how many ms the next is due ---- */

static void tell_log(struct ppg *p)
{
  if (!p->beside)
    pg_tail_read(&p->tail);
}

static void set_why(struct ppg *p, char *why)
{
  free(p->why);
  p->why = why;
}

/* Its end, if it came, with a word about how. */
static bool postmaster_ended(struct ppg *p)
{
  int status;
  pid_t got;

  if (p->child) {
    got = waitpid(p->pid, &status, WNOHANG);
    if (!got)
      return false;
    if (got != p->pid)
      set_why(p, xasprintf("postmaster %d is gone", (int)p->pid));
    else if (WIFSIGNALED(status))
      set_why(p, xasprintf("postmaster %d was killed by signal %d", (int)p->pid, WTERMSIG(status)));
    else
      set_why(p, xasprintf("postmaster %d ended with exit code %d", (int)p->pid,
                           WEXITSTATUS(status)));
    return true;
  }
  if (pg_proc_born(p->pid) == p->born)
    return false;
  set_why(p, xasprintf("postmaster %d is gone", (int)p->pid));
  return true;
}

static void forget_postmaster(struct ppg *p)
{
  p->pid = 0;
  p->child = false;
  sm_move(&p->sm, PPG_DOWN);
}

void pg_command_init(struct pg_command *c, const struct ppg *p)
{
  *c = (struct pg_command){ .program = xasprintf("%s/postgres", p->bindir), .port = xasprintf("%d", PG_PORT),
    .dirs = xasprintf("unix_socket_directories=%s", p->sock), .lock = xasprintf("%s/postmaster.pid", p->data),
    .sock_lock = xasprintf("%s/.s.PGSQL.%d.lock", p->sock, PG_PORT) };
  const char *argv[] = { c->program, "-D", p->data, "-p", c->port, "-c", "listen_addresses=", "-c", c->dirs,
    "-c", "unix_socket_permissions=0700", "-c", "logging_collector=off", "-c", "log_destination=stderr",
    NULL };

  memcpy(c->argv, argv, sizeof argv);
  c->stale[0] = c->lock;
  c->stale[1] = c->sock_lock;
}

void pg_command_free(struct pg_command *c)
{
  free(c->program);
  free(c->port);
  free(c->dirs);
  free(c->lock);
  free(c->sock_lock);
}

static void spawn(struct ppg *p)
{
  struct pg_command c;
  pid_t pid;

  pg_command_init(&c, p);
  pid = pg_spawn(&p->user, c.argv, p->tail.path, c.stale);
  if (pid > 0) {
    p->pid = pid;
    p->child = true;
    sm_move(&p->sm, PPG_STARTING);
  } else {
    log_error("pg", "can't start a process: %s", strerror(errno));
  }
  pg_command_free(&c);
}

/* A running one was perhaps started in another environment; its lock file tells where it listens, once it does. */
static void take_sock(struct ppg *p, const struct pg_lock *lock)
{
  if (lock->sock[0] != '/' || !strcmp(lock->sock, p->sock))
    return;
  free(p->sock);
  free(p->conninfo);
  p->sock = xstrdup(lock->sock);
  p->conninfo = make_conninfo(p, PG_DATABASE);
}

/* The postmaster that the lock file names, if it lives. */
static bool find_running(struct ppg *p)
{
  struct pg_lock lock;

  if (!pg_read_lock(p, &lock) || !pg_proc_is_postgres(lock.pid, p->data) ||
      !pg_proc_born(lock.pid))
    return false;
  p->pid = lock.pid;
  p->born = pg_proc_born(lock.pid);
  take_sock(p, &lock);
  return true;
}

static int64_t step_down(struct ppg *p)
{
  int left;

  if (p->unit) {
    if (find_running(p))
      sm_move(&p->sm, PPG_STARTING);
    return p->pid ? PG_LOOK_MS : PG_WATCH_MS;
  }
  left = pg_left_over(p->data, SIGKILL);
  if (left) {
    log_warn("pg", "%d processes of a dead postmaster were left, killed", left);
    return PG_LOOK_MS;
  }
  spawn(p);
  return p->sm.state == PPG_STARTING ? PG_LOOK_MS : p->backoff;
}

static int64_t step_starting(struct ppg *p)
{
  struct pg_lock lock;
  int64_t wait = p->backoff;

  if (postmaster_ended(p)) {
    tell_log(p);
    log_warn("pg", "did not start: %s", p->why);
    p->fails++;
    p->backoff = p->backoff * 2 > PG_BACKOFF_MAX_MS ? PG_BACKOFF_MAX_MS : p->backoff * 2;
    forget_postmaster(p);
    return wait;
  }
  if (!pg_read_lock(p, &lock) || lock.pid != p->pid || !lock.ready)
    return PG_LOOK_MS;
  take_sock(p, &lock);
  p->fails = 0;
  p->backoff = PG_BACKOFF_MIN_MS;
  sm_move(&p->sm, PPG_UP);
  return PG_WATCH_MS;
}

static int64_t step_up(struct ppg *p)
{
  if (!postmaster_ended(p))
    return PG_WATCH_MS;
  tell_log(p);
  log_warn("pg", "%s, %s", p->why, p->unit ? "its service is waited for" : "starting it again");
  forget_postmaster(p);
  return 0;
}

static int64_t step(struct ppg *p)
{
  tell_log(p);
  switch (p->sm.state) {
  case PPG_DOWN: return step_down(p);
  case PPG_STARTING: return step_starting(p);
  case PPG_UP: return step_up(p);
  default: assert(!"state");
  }
  return 0;
}

static void on_timer(uv_timer_t *t)
{
  struct ppg *p = t->data;
  bool up;

  uv_timer_start(&p->timer, on_timer, (uint64_t)step(p), 0);
  up = p->sm.state == PPG_UP;
  if (up == p->told_up)
    return;
  p->told_up = up;
  if (up)
    p->ops.on_ready(p->ctx);
  else
    p->ops.on_lost(p->ctx, p->why);
}

/* ---- start ---- */

/* A postmaster that runs on our folder already, most likely started by a master before us. */
static void adopt_or_start(struct ppg *p)
{
  if (!find_running(p)) {
    sm_move(&p->sm, PPG_DOWN);
    return;
  }
  p->adopted = true;
  log_info("pg", "taking over the running PostgreSQL, pid %d", (int)p->pid);
  sm_move(&p->sm, PPG_STARTING);
}

static bool ask(PGconn *pg, const char *text, char **answer)
{
  PGresult *res = PQexec(pg, text);
  bool ok = PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_COMMAND_OK;

  if (ok && answer)
    *answer = xstrdup(PQntuples(res) ? PQgetvalue(res, 0, 0) : "");
  PQclear(res);
  return ok;
}

/* Connects, makes the database where it is missing, asks for the version. */
static bool greet(struct ppg *p, struct buf *why)
{
  char *conninfo = make_conninfo(p, "postgres"), *there = NULL, *version = NULL;
  PGconn *pg = p->as_user ? pg_connect(&p->user, conninfo) : PQconnectdb(conninfo);
  bool ok = PQstatus(pg) == CONNECTION_OK && ask(pg, "set statement_timeout = 20000", NULL) &&
            ask(pg, "select 1 from pg_database where datname = '" PG_DATABASE "'", &there) &&
            (*there || ask(pg, "create database " PG_DATABASE, NULL)) &&
            ask(pg, "show server_version", &version);

  if (ok) {
    free(p->version);
    p->version = xstrndup(version, strcspn(version, " "));
  } else {
    buf_reset(why);
    buf_addf(why, "PostgreSQL in %s: %.*s", p->folder, (int)strcspn(PQerrorMessage(pg), "\n"),
             PQerrorMessage(pg));
  }
  PQfinish(pg);
  free(conninfo);
  free(there);
  free(version);
  return ok;
}

enum err ppg_start(struct ppg *p, struct buf *why)
{
  int64_t until = clock_mono_ms() + PG_START_MS, from = clock_mono_ms();

  adopt_or_start(p);
  while (p->unit || (clock_mono_ms() < until && p->fails < PG_START_FAILS)) {
    int64_t wait = step(p);

    if (p->sm.state == PPG_UP && greet(p, why)) {
      log_info("pg", "PostgreSQL %s answers, pid %d (%.1f s)", p->version, (int)p->pid,
               (double)(clock_mono_ms() - from) / 1000);
      uv_timer_start(&p->timer, on_timer, 0, 0);
      return ERR_OK;
    }
    if (p->unit && !p->told_wait) {
      p->told_wait = true;
      log_warn("pg", "waiting for the PostgreSQL in %s, which a service of its own runs (drover-postgresql)%s%s",
               p->folder, why->len ? ": " : "", buf_str(why));
    }
    poll(NULL, 0, (int)wait);
  }
  tell_log(p);
  if (!why->len)
    buf_addf(why, "PostgreSQL in %s does not start (%s); its log is %s", p->folder,
             p->why ? p->why : "no answer", p->tail.path);
  return p->fails < PG_START_FAILS ? ERR_TIMEOUT : ERR_FAILED;
}

/* ---- end ---- */

static bool wait_end(struct ppg *p, int64_t ms)
{
  int64_t until = clock_mono_ms() + ms;

  while (!postmaster_ended(p)) {
    if (clock_mono_ms() >= until)
      return false;
    poll(NULL, 0, PG_LOOK_MS);
  }
  return true;
}

static void stop_postmaster(struct ppg *p)
{
  if (!p->pid || postmaster_ended(p))
    return;
  kill(p->pid, SIGINT); /* fast: ends sessions; SIGTERM would wait for clients */
  if (wait_end(p, PG_STOP_MS))
    return;
  log_warn("pg", "did not stop within %d s, SIGQUIT", PG_STOP_MS / 1000);
  kill(p->pid, SIGQUIT);
  if (wait_end(p, PG_QUIT_MS))
    return;
  kill(p->pid, SIGKILL);
  (void)wait_end(p, PG_QUIT_MS);
}

static void kill_left_overs(const struct ppg *p)
{
  int64_t until = clock_mono_ms() + PG_QUIT_MS;

  while (pg_left_over(p->data, SIGKILL) && clock_mono_ms() < until)
    poll(NULL, 0, PG_LOOK_MS);
}

static void stop(struct ppg *p)
{
  if (p->sm.state == PPG_NEW)
    adopt_or_start(p);
  stop_postmaster(p);
  kill_left_overs(p);
  tell_log(p);
  rmdir(p->sock); /* it is made again at the next start */
}

static void on_closed(uv_handle_t *h)
{
  struct ppg *p = h->data;

  if (p->done)
    p->done(p->done_arg);
  ppg_free(p);
}

void ppg_close(struct ppg *p, bool stop_it, void (*done)(void *arg), void *arg)
{
  if (stop_it && !p->unit)
    stop(p);
  p->done = done;
  p->done_arg = arg;
  sm_move(&p->sm, PPG_STOPPED);
  uv_close((uv_handle_t *)&p->timer, on_closed);
}

enum err ppg_become(const char *state, const char *folder, struct buf *why)
{
  struct ppg *p = xcalloc(1, sizeof *p);
  enum err e = prepare(p, state, folder, why);
  struct pg_command c;

  if (!e) {
    if (find_running(p)) {
      log_info("pg", "PostgreSQL runs already, pid %d: stopped, to run as this service", (int)p->pid);
      stop_postmaster(p);
    }
    kill_left_overs(p);
    pg_command_init(&c, p);
    pg_exec(&p->user, c.argv, c.stale);
    buf_addf(why, "can't start %s: %s", c.program, strerror(errno));
    pg_command_free(&c);
    e = ERR_FAILED;
  }
  ppg_free(p);
  return e;
}
