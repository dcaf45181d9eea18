/* The database without a master, and PostgreSQL's own programs. */
#include "master/db/pg_client.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "common/str.h"
#include "master/db/pg_client_int.h"
#include "master/db/pg_int.h"

enum {
  WORDS_MAX = 4096,  /* kept of what a program says on standard error: the end of it */
  ARGS_MAX = 24,     /* of a program, with ours */
  LOOK_MS = 250,     /* how often we look whether a signal came */
};

struct client {
  struct ppg *ppg;         /* NULL: a given database */
  uv_loop_t loop;
  struct pg_user user;
  char *conninfo;          /* without a password */
  char *full;              /* with it */
  char *password;          /* "PGPASSWORD=…" or NULL */
  char *version;
  int major;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
  interrupted = number;
}

void client_interrupts(void)
{
  struct sigaction act = { .sa_handler = on_signal }; /* no SA_RESTART: who waits wakes up */

  sigaction(SIGINT, &act, NULL);
  sigaction(SIGTERM, &act, NULL);
  sigaction(SIGHUP, &act, NULL);
}

bool client_interrupted(void) { return interrupted != 0; }
bool client_is_private(const struct client *c) { return c->ppg != NULL; }
const char *client_version(const struct client *c) { return c->version; }

void client_tell(struct buf *why, const char *text)
{
  size_t n = strlen(text);

  while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
    n--;
  for (size_t i = 0; i < n; i++)
    buf_addc(why, text[i] == '\n' ? ' ' : text[i]);
}

/* ---- connections ---- */

PGconn *client_connect(const struct client *c, struct buf *why)
{
  PGconn *pg = pg_connect(&c->user, c->full);

  if (pg && PQstatus(pg) == CONNECTION_OK) {
    PQclear(PQexec(pg, "set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0;"
                       " set client_min_messages = warning; set TimeZone = UTC; set application_name = 'drover backup'"));
    return pg;
  }
  client_tell(why, pg ? PQerrorMessage(pg) : "no memory");
  PQfinish(pg);
  return NULL;
}

PGresult *client_ask(PGconn *pg, const char *text, struct buf *why)
{
  PGresult *r = PQexec(pg, text);
  ExecStatusType status = PQresultStatus(r);

  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
    return r;
  client_tell(why, PQerrorMessage(pg));
  PQclear(r);
  return NULL;
}

char *client_value(PGconn *pg, const char *text, struct buf *why)
{
  PGresult *r = client_ask(pg, text, why);
  char *value = NULL;

  if (r && PQntuples(r))
    value = xstrdup(PQgetvalue(r, 0, 0));
  else if (r)
    buf_addf(why, "no answer to: %s", text);
  PQclear(r);
  return value;
}

/* A conninfo or URI as "key='value' …", the password apart: what stands in argv can be read by everybody. */
static bool split_conninfo(struct client *c, const char *text, struct buf *why)
{
  char *error = NULL;
  PQconninfoOption *all = PQconninfoParse(text, &error);
  struct buf out;

  if (!all) {
    client_tell(why, error ? error : "database: not understood");
    PQfreemem(error);
    return false;
  }
  buf_init(&out, BUF_NO_MAX);
  for (PQconninfoOption *o = all; o->keyword; o++) {
    if (!o->val)
      continue;
    if (!strcmp(o->keyword, "password")) {
      c->password = xasprintf("PGPASSWORD=%s", o->val);
      continue;
    }
    buf_addf(&out, "%s%s='", out.len ? " " : "", o->keyword);
    for (const char *s = o->val; *s; s++)
      buf_addf(&out, "%s%c", *s == '\'' || *s == '\\' ? "\\" : "", *s);
    buf_addc(&out, '\'');
  }
  PQconninfoFree(all);
  c->conninfo = buf_take(&out);
  c->full = xstrdup(text);
  return true;
}

static enum err open_private(struct client *c, const char *state, const char *folder, bool make, struct buf *why)
{
  enum err e;

  uv_loop_init(&c->loop);
  c->ppg = ppg_open(&c->loop, state, folder, make, why);
  if (!c->ppg) {
    uv_loop_close(&c->loop);
    return ERR_NOTFOUND;
  }
  c->user = (struct pg_user){ c->ppg->user.uid, c->ppg->user.gid, xstrdup(c->ppg->user.name), c->ppg->user.drop };
  e = ppg_start(c->ppg, why);
  if (!e && !split_conninfo(c, ppg_conninfo(c->ppg), why))
    e = ERR_FAILED;
  return e;
}

enum err client_open(struct client **out, const char *state, const char *folder, const char *database, bool make, struct buf *why)
{
  struct client *c = xcalloc(1, sizeof *c);
  PGconn *pg;
  enum err e;

  if (!database)
    e = open_private(c, state, folder, make, why);
  else
    e = pg_find_owner(&c->user, state, NULL, why) || !split_conninfo(c, database, why) ? ERR_FAILED : ERR_OK;
  if (!e) {
    pg = client_connect(c, why);
    e = pg ? ERR_OK : ERR_AWAY;
    if (pg) {
      const char *version = PQparameterStatus(pg, "server_version");
      c->version = version ? xstrndup(version, strcspn(version, " ")) : xstrdup("?");
      c->major = PQserverVersion(pg) / 10000;
    }
    PQfinish(pg);
  }
  if (e) {
    client_close(c);
    c = NULL;
  }
  *out = c;
  return e;
}

static void closed(void *arg)
{
  *(bool *)arg = true;
}

void client_close(struct client *c)
{
  bool done = false;

  if (!c)
    return;
  if (c->ppg) {
    ppg_close(c->ppg, !ppg_adopted(c->ppg), closed, &done);
    while (!done && uv_run(&c->loop, UV_RUN_ONCE))
      ;
    uv_loop_close(&c->loop);
  }
  free(c->user.name);
  free(c->conninfo);
  if (c->full)
    mem_wipe(c->full, strlen(c->full));
  free(c->full);
  if (c->password)
    mem_wipe(c->password, strlen(c->password));
  free(c->password);
  free(c->version);
  free(c);
}

/* ---- programs ---- */

static bool has_programs(const char *dir)
{
  static const char *const names[] = { "pg_dump", "pg_restore", "psql" };
  bool all = dir[0] == '/';

  for (size_t i = 0; i < COUNT(names) && all; i++) {
    char *path = xasprintf("%s/%s", dir, names[i]);
    all = !access(path, X_OK);
    free(path);
  }
  return all;
}

/* As nobody else than we are: these only print. */
static int programs_major(const char *dir)
{
  struct pg_user us = { .drop = false };
  char *program = xasprintf("%s/pg_dump", dir);
  const char *argv[] = { program, "-V", NULL };
  struct buf out;
  int major = 0;

  buf_init(&out, WORDS_MAX);
  if (pg_run(&us, argv, PG_PROGRAM_MS, &out) || sscanf(buf_str(&out), "pg_dump (PostgreSQL) %d", &major) != 1)
    major = 0;
  buf_free(&out);
  free(program);
  return major;
}

struct best {
  int want, major, newest;
  char *dir;
};

static void consider(struct best *b, const char *dir)
{
  int major = has_programs(dir) ? programs_major(dir) : 0;

  if (major > b->newest)
    b->newest = major;
  if (major < b->want || (b->dir && major >= b->major))
    return;
  free(b->dir);
  b->dir = xstrdup(dir);
  b->major = major;
}

static void consider_all(struct best *b)
{
  static const char *const places[] = { "/usr/lib/postgresql/*/bin", "/usr/libexec/postgresql*", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/bin" };
  const char *search = getenv("PATH");
  char *path = xstrdup(search ? search : ""), *at = path, *dir;

  for (size_t i = 0; i < COUNT(places); i++) {
    glob_t g;

    if (!glob(places[i], 0, NULL, &g))
      for (size_t k = 0; k < g.gl_pathc; k++)
        if (strcmp(g.gl_pathv[k], "/usr/bin")) /* on Debian wrappers that look for a cluster of their own; searched by PATH elsewhere */
          consider(b, g.gl_pathv[k]);
    globfree(&g);
  }
  while (!b->dir && (dir = strsep(&at, ":")))
    consider(b, dir);
  free(path);
}

enum err client_programs(const struct client *c, int major, char **dir, struct buf *why)
{
  struct best b = { .want = major };

  if (c && c->ppg)
    consider(&b, c->ppg->bindir); /* the server's own */
  if (b.major != major || !b.dir)
    consider_all(&b);
  *dir = b.dir;
  if (b.dir)
    return ERR_OK;
  if (b.newest)
    buf_addf(why, "PostgreSQL's programs (pg_dump, pg_restore, psql) of version %d are here, %d or newer are needed: apt-get install postgresql-client-%d", b.newest, major, major);
  else
    buf_addf(why, "PostgreSQL's programs (pg_dump, pg_restore, psql) are not installed: apt-get install postgresql-client-%d", major);
  return ERR_NOTFOUND;
}

enum err client_start(const struct client *c, const char *const *argv, bool connect, int in, int out, struct client_job *job, struct buf *why)
{
  static const struct pg_user us = { .drop = false };
  struct pg_io io = { in, out, c && connect ? c->password : NULL };
  const char *all[ARGS_MAX] = { 0 };
  int n = 0;

  while (argv[n]) {
    all[n] = argv[n];
    if (++n > ARGS_MAX - 3)
      return ERR_BADARG;
  }
  if (connect) {
    all[n++] = "-d";
    all[n] = c->conninfo;
  }
  job->name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
  job->pid = pg_start(c ? &c->user : &us, all, &io, &job->err);
  if (job->pid > 0)
    return ERR_OK;
  buf_addf(why, "can't start %s: %s", job->name, strerror(errno));
  return ERR_IO;
}

/* What it says to its end, the last of it kept. False: we were interrupted. */
static bool hear(int fd, struct buf *words)
{
  char part[1024];

  while (!interrupted) {
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ssize_t n;

    if (poll(&p, 1, LOOK_MS) <= 0)
      continue;
    n = read(fd, part, sizeof part);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return true;
    buf_add(words, part, (size_t)n);
    if (words->len > WORDS_MAX)
      buf_drop(words, words->len - WORDS_MAX / 2);
  }
  return false;
}

static int reap(pid_t pid)
{
  int status = 0;

  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  return status;
}

void client_kill(struct client_job *job)
{
  kill(-job->pid, SIGKILL); /* it leads a session */
  kill(job->pid, SIGKILL);
  reap(job->pid);
  close(job->err);
}

enum err client_wait(struct client_job *job, struct buf *why)
{
  struct buf words;
  int status;
  enum err e = ERR_OK;

  buf_init(&words, BUF_NO_MAX);
  if (!hear(job->err, &words)) {
    client_kill(job);
    buf_free(&words);
    buf_addf(why, "interrupted by signal %d", (int)interrupted);
    return ERR_TIMEOUT;
  }
  close(job->err);
  status = reap(job->pid);
  if (!WIFEXITED(status) || WEXITSTATUS(status)) {
    e = ERR_FAILED;
    buf_addf(why, "%s: ", job->name);
    if (words.len)
      client_tell(why, buf_str(&words));
    else
      buf_addf(why, "%s %d", WIFSIGNALED(status) ? "killed by signal" : "exit code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  }
  buf_free(&words);
  return e;
}

enum err client_run(const struct client *c, const char *const *argv, bool connect, int in, int out, struct buf *why)
{
  struct client_job job;
  enum err e = client_start(c, argv, connect, in, out, &job, why);

  return e ? e : client_wait(&job, why);
}
