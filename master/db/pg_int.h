/* What the files of the private PostgreSQL share: private_pg.c (start, watch, restart), pg_cluster.c (folders, programs, initdb), pg_proc.c (processes), pg_tail.c (its log). */
#ifndef MASTER_DB_PG_INT_H
#define MASTER_DB_PG_INT_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "common/buf.h"
#include "common/sm.h"
#include "master/db/private_pg.h"

enum {
  PG_OLDEST = 15,                 /* major version */
  PG_PORT = 5432,                 /* only a part of the socket's name */
  PG_INITDB_MS = 120 * 1000,
  PG_PROGRAM_MS = 20 * 1000,      /* asking a program for its version, removing a folder */
  PG_START_MS = 60 * 1000,
  PG_START_FAILS = 5,             /* ends of the postmaster after which ppg_start answers */
  PG_STOP_MS = 20 * 1000,         /* from SIGINT to SIGQUIT */
  PG_QUIT_MS = 5 * 1000,          /* from SIGQUIT to SIGKILL */
  PG_WATCH_MS = 250,
  PG_LOOK_MS = 20,                /* while starting or waiting for left-overs to end */
  PG_BACKOFF_MIN_MS = 100,
  PG_BACKOFF_MAX_MS = 5000,
  PG_OUTPUT_MAX = 64 * 1024,      /* kept of a program's output */
  PG_LOG_MAX = 1 << 20,           /* postgres.log is emptied beyond that */
  PG_LOG_STEP = 64 * 1024,        /* read at a time */
  PG_LINE_MAX = 1500,             /* of its log, longer ones are cut into several */
};

#define PG_USER "drover" /* in the database */
#define PG_DATABASE "drover"

/* Who runs PostgreSQL: user postgres when we are root, else we. */
struct pg_user {
  uid_t uid;
  gid_t gid;
  char *name;
  bool drop; /* we are root: children give that up */
};

/* A running postmaster as named by its lock file. */
struct pg_lock {
  pid_t pid;
  char sock[108];
  bool ready;
};

struct pg_tail {
  char *path;
  int fd;
  uid_t owner;
  int64_t at;
  struct buf line;
};

enum { PPG_NEW, PPG_DOWN, PPG_STARTING, PPG_UP, PPG_STOPPED, PPG_STATES };

struct ppg {
  uv_loop_t *loop;
  uv_timer_t timer;
  struct ppg_ops ops;
  void *ctx;
  struct sm sm;
  struct pg_user user;
  char *folder, *data;      /* data: PGDATA, below folder */
  char *bindir, *sock, *conninfo, *version;
  struct pg_tail tail;
  pid_t pid;                /* 0: none */
  int64_t born;             /* its start time, which tells it from a later process with the same pid */
  bool child;               /* ours to wait for */
  bool beside;              /* by ppg_open: PostgreSQL's log is the master's to read */
  bool unit;                /* a service of its own runs it: only watched */
  bool told_wait;           /* that we wait for that service */
  bool as_user;             /* connections are made under the user's uid: root is not among those whom this cluster knows */
  bool adopted;             /* it ran already */
  bool told_up;
  int fails;                /* ends while starting, in a row */
  int64_t backoff;
  char *why;
  void (*done)(void *arg);
  void *done_arg;
};

/* How its postmaster is called. */
struct pg_command {
  char *program, *port, *dirs;
  const char *argv[16];
  char *lock, *sock_lock;   /* stale, where they are there: nothing runs, but the pid in them may still be a zombie's or another's */
  const char *stale[3];
};
void pg_command_init(struct pg_command *c, const struct ppg *p); /* private_pg.c */
void pg_command_free(struct pg_command *c);

/* pg_proc.c */
/* Starts argv as the user in a session of its own, with no descriptor of ours; its output goes to the end of log. remove: files removed before, NULL-ended. -1: errno. */
pid_t pg_spawn(const struct pg_user *u, const char *const *argv, const char *log,
               const char *const *remove);
/* Becomes argv as the user: output as ours is, and the service manager's socket stays with it. Returns where that failed: errno. */
void pg_exec(const struct pg_user *u, const char *const *argv, const char *const *remove);
/* Blocking; out (may be NULL) gets its output. ERR_FAILED: exit code other than 0; ERR_TIMEOUT: killed. */
enum err pg_run(const struct pg_user *u, const char *const *argv, int64_t ms, struct buf *out) must_check;
/* fn in a child as the user; returns what fn returned (0 to 200), 255 where the child failed. */
int pg_as(const struct pg_user *u, int (*fn)(void *arg), void *arg);
int64_t pg_proc_born(pid_t pid);                       /* start time in ticks since boot, 0: gone or a zombie */
bool pg_proc_is_postgres(pid_t pid, const char *data); /* a postgres whose working folder is data */
int pg_left_over(const char *data, int sig);           /* how many such processes there are; each gets sig where that is not 0 */

/* A program's standard input and output, given up to it, and one more variable of its environment ("NAME=value" or NULL). */
struct pg_io {
  int in, out;
  const char *env;
};
/* Starts argv as the user; it is killed when we die. *err: what it writes to standard error can be read there, to the end. -1: errno. */
pid_t pg_start(const struct pg_user *u, const char *const *argv, const struct pg_io *io, int *err);

/* pg_cluster.c */
int pg_data_major(const char *data); /* of the PG_VERSION in it; 0: none */
/* Under root: whom the cluster belongs to, where there is one, else whom the state folder belongs to, else user postgres. */
enum err pg_find_owner(struct pg_user *u, const char *state, const char *folder, struct buf *why) must_check;
enum err pg_find_user(struct pg_user *u, struct buf *why) must_check;
enum err pg_make_folder(struct ppg *p, const char *state, const char *folder, struct buf *why) must_check;
enum err pg_find_programs(struct ppg *p, struct buf *why) must_check;
enum err pg_make_cluster(struct ppg *p, const char *state, struct buf *why) must_check;
enum err pg_make_sock(struct ppg *p, struct buf *why) must_check;
bool pg_read_lock(const struct ppg *p, struct pg_lock *lock); /* false: no or a half-written lock file */

struct pg_conn;
struct ppg *ppg_place(const char *state, const char *folder, struct buf *why); /* private_pg.c: user and folders only; not to be started */
void ppg_place_free(struct ppg *p);
int pg_bindir_major(const struct ppg *p, const char *dir); /* of the programs in a folder, 0: none there */
char *pg_find_bindir(const struct ppg *p, int want, int *other); /* of that major version, 0: the newest; NULL: not installed. other (may be NULL): the newest that is there */
enum err pg_make_data(const struct ppg *p, const char *state, const char *data, const char *flag, struct buf *why) must_check; /* initdb with p->bindir, and our settings; flag: for initdb, or NULL */
enum err pg_remove_tree(const struct ppg *p, const char *path); /* nothing there is fine */
/* private_pg.c: a connection made under the user's uid (struct pg_conn is libpq's PGconn). */
struct pg_conn *pg_connect(const struct pg_user *u, const char *conninfo);

/* pg_tail.c */
void pg_tail_init(struct pg_tail *t, const char *path, uid_t owner);
void pg_tail_free(struct pg_tail *t);
void pg_tail_read(struct pg_tail *t); /* what is new goes to our log, area pg */
#endif
