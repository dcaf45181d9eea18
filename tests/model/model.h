/* The model check of dispatch: the master's own code (dispatch, runs, sessions, events, actions; all SQL on a real PostgreSQL) between a clock, a loop, links and workers that are made up, so that every order of
   what may happen can be played, by a seed, in no time.

   What is made up, by --wrap of the linker (tests/model/wrap.txt): libuv's timers for loops of the model, clock_*(), db_send(), the link to a worker. What is not: everything that decides. */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <postgresql/libpq-fe.h>
#include <uv.h>

#include "common/buf.h"
#include "common/list.h"
#include "common/map.h"
#include "common/str.h"
#include "master/core/master.h"
#include "master/db/db.h"
#include "master/dispatch/actions.h"
#include "proto/wire.h"

enum {
  MODEL_MASTERS = 2,
  MODEL_WORKERS = 3,
  MODEL_COMMANDS = 64,      /* of one worker */
  MODEL_BUILDERS = 7,       /* of a site, at most */
  MODEL_SILENT_MS = 30000,  /* a worker gives a master up that says nothing for so long */
  MODEL_DEAD_MS = 15000,    /* as sql_build.def: a master without a heartbeat for so long is dead */
};

/* ---- chance (chance.c): all of it comes from the seed ---- */
void chance_from(uint64_t seed);
uint64_t chance(uint64_t n);         /* 0 … n - 1 */
bool chance_of(int percent);
void chance_maps(void);              /* maps that are made begin where they began in every seed */

/* ---- what went wrong, and what happened (chance.c) ---- */
extern bool model_verbose;           /* all that is told goes to stderr at once */
extern bool model_quiet;             /* nothing is told or kept, but for what is bad: a seed that fails is played again */
void model_tell(const char *fmt, ...) printf_like(1, 2);
/* The first one counts; the seed ends with it. */
void model_bad(const char *fmt, ...) printf_like(1, 2);
const char *model_badness(void);     /* NULL: all is well */
void model_tell_reset(void);
const char *model_told(void);        /* the moves so far */
void model_tell_all(void);           /* the moves so far, to stderr */

/* ---- time and loops (loop.c) ---- */
#define MODEL_WALL_MS INT64_C(1700000000000) /* when model_now_ms is 0 */
extern int64_t model_now_ms;
extern bool model_time_on;
void loop_begin(uv_loop_t *loop);
void loop_end(uv_loop_t *loop);      /* everything on it was closed */
bool loop_has(uv_loop_t *loop);      /* something to do now */
void loop_turn(uv_loop_t *loop);
int loop_handles(const uv_loop_t *loop);

/* ---- the database, as masters have it (base.c) ---- */
struct base {                        /* what a master takes for its struct db */
  bool up;
  struct list sent, answered;        /* transactions: not done yet; done, and not told yet */
  void (*heard)(void *arg, const char *text);
  void *heard_arg;
  char as_db;                        /* whose address stands for it */
};
void base_begin(struct base *b);
struct base *base_of(const struct db *db);
struct db *base_db(struct base *b);
int base_ready(struct base *b);      /* how many transactions may be done now */
void base_do(struct base *b, int n); /* the n-th of them */
void base_tell(struct base *b, int n); /* the n-th answer */
void base_lose(struct base *b, bool some); /* its connections break: of what was sent some may still be done */
void base_tick(void);                /* living masters have a heartbeat now */

/* ---- the connection to PostgreSQL (server.c) ---- */
#define WATCH_STATE "DRMOD"          /* the SQLSTATE of what watch_sql refuses */
void server_open(const char *conninfo);
void server_close(void);
/* Done after all that was sent before; what it gives is in tx once it has landed. */
void server_send(struct db_tx *tx);
void server_land(const struct db_tx *tx); /* NULL: all */
/* For the check itself; prepared once for each text. _tell: nothing is waited for. The result of _ask is the caller's, PQclear it. */
void server_tell(const char *sql, const char *const *values, int n);
PGresult *server_ask(const char *sql, const char *const *values, int n);
char *server_text(const char *sql) must_check; /* of the first row's first column; "" for null or none */
int64_t server_number(const char *sql);
extern int64_t server_done;          /* transactions of masters so far */
int64_t server_cpu_ms(void);         /* processor time of the server's process for this */
extern const char *const watch_sql[]; /* statements, NULL at the end: triggers that refuse what must not be (watch.c) */

/* ---- what has occurred (tally.c) ---- */
void tally(const char *what);
void tally_add(const char *what, int64_t n);
bool tally_of(bool is, const char *yes, const char *no); /* says what it was asked */
void tally_tx(const struct db_tx *tx);
void tally_print(void);
int tally_missing(void);             /* tells on stderr what never occurred and must; how much that is */
void tally_free(void);

/* ---- masters ---- */
struct sim_master {
  struct master m;
  struct base base;
  uv_loop_t loop;
  bool alive, frozen;
  int beats;
  int64_t lost_ms;           /* when it lost the database last */
};
struct sim_worker;
struct link;

/* ---- links (link.c) ---- */
struct link *link_make(struct sim_master *m, struct sim_worker *w);
struct buf *link_to_master(struct link *l);
bool link_alive(const struct link *l);
bool link_has(const struct link *l, bool to_master);
void link_deliver(struct link *l, bool to_master); /* one message */
bool link_closing(const struct link *l);
void link_finish(struct link *l);    /* told to the master, and freed */
void link_cut(struct link *l, bool some); /* by the network; of what is under way some may still come */
struct sim_master *link_master(const struct link *l);

/* ---- workers (worker.c) ---- */
struct sim_command {
  struct id id, epoch;
  int64_t build, alone_ms;
  bool runs, killed, sending;
  const char *how, *reason;
  int code;
};
struct sim_worker {
  int n;
  char name[16], instance[33], boot[33];
  int64_t conn, seen_ms;
  struct link *link;
  bool greeted;
  struct sim_command commands[MODEL_COMMANDS];
  int ncommands;
};
void worker_begin(struct sim_worker *w, int n);
void worker_connect(struct sim_worker *w, struct sim_master *m);
void worker_lost_link(struct sim_worker *w);        /* from link.c */
void worker_take(struct sim_worker *w, struct wire_msg *m);
void worker_exit(struct sim_worker *w, struct sim_command *c, const char *how, int code, const char *reason);
void worker_reboot(struct sim_worker *w);
void worker_replace(struct sim_worker *w);          /* set up anew: another instance, an empty spool */
void worker_time(struct sim_worker *w);             /* what time alone brings: silence, commands that end by themselves */
int worker_runs(const struct sim_worker *w);

/* ---- the site (site.c) ---- */
#define SITE_PROJECT "p"
struct conf;
struct pipeline;
struct site_size {
  int workers, builders, builders_more; /* at most; at least, and how many more there may be */
  int locks, steps, asks, second;       /* %: sites with locks, builders of two steps, that two builders are asked for, a second master from the beginning */
  int moves, moves_more, new;           /* of a seed; new: % of them that ask for builds */
  bool ready;                           /* workers are there, and something is asked for, before the first of them */
};
extern const struct site_size site_tiny, site_small, site_big;
struct site {
  uint64_t seed;
  struct conf *conf;
  char *text;                        /* of the pipeline */
  struct pipeline *pipeline;
  int64_t project, pipe;             /* rows */
  int workers, builders;
  int64_t changes;                   /* so far */
  const struct site_size *size;
  bool checkouts;                    /* of all builders; what can't be started there puts its worker into quarantine */
};
#define SITE_GIVEN UINT64_MAX
void site_make(struct site *s, uint64_t seed, const struct site_size *size);
void site_given(struct site *s, int workers, const char *site, const char *pipeline); /* workers w1, w2 … */
void site_free(struct site *s);
void site_rows(struct site *s);      /* into the empty database */
void site_ask(struct site *s, struct sim_master *m); /* for some builds */
void site_change(struct site *s, struct sim_master *m); /* its scheduler has seen some changes, and collapses what waits for older ones */
void site_ask_for(struct site *s, struct sim_master *m, char *const *names, int n, int revision, bool fail_fast);

/* ---- the world (world.c) ---- */
struct world_sim {
  struct site site;
  struct sim_master masters[MODEL_MASTERS];
  struct sim_worker workers[MODEL_WORKERS];
  struct list links;
  int acts;                          /* actions of people that are not answered yet */
};
extern struct world_sim sim;
void sim_begin(bool second);
void sim_end(void);
void sim_start(struct sim_master *m);
void sim_kill(struct sim_master *m);
void sim_freeze(struct sim_master *m, bool on);
void sim_unplug(struct sim_master *m, bool off); /* its connections to the database */
bool sim_step(void);                 /* one thing of those that may happen now; false: there is none */
void sim_pump(int steps);
void sim_settle(void);
void sim_wait(int64_t ms);           /* time goes on */
void sim_act(struct sim_master *m, enum action a, const char *id, const char *json);
struct sim_master *sim_any(void);    /* a living one with the database, that is not frozen; NULL: none */

/* ---- moves (moves.c) and what must hold (check.c) ---- */
void moves_first(void);              /* of a small world: workers, and something to build */
void moves_one(void);
void moves_dial(struct sim_worker *w);
void moves_end_all(void);            /* commands, each as it would by itself or as it was told */
void moves_calm(void);               /* faults stop: all must end */
void check_rows(void);               /* at any moment; watch.c does it in each transaction */
void check_world(void);              /* rows against what the workers really do */
void check_reasons(void);            /* when all is quiet: why each pending request waits */
void check_over(void);               /* at the end; counts what it has had, too */
#endif
