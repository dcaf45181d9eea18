/* A worker's session: greeting, taking over the worker's row and its builds, inventory, then the traffic of its runs. One at a time for each worker.

   Happy path: hello → auth (row of the worker) → adopt (row of the session, its builds at a new epoch) → inventory (welcome, have…, listed, each run reconciled) → ready.
   When the database goes away a ready session waits (`away`) with its link open, and adopts again when it is back: the same way as after a restart of the master. */
#ifndef MASTER_WORKERS_SESSION_H
#define MASTER_WORKERS_SESSION_H
#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/map.h"
#include "common/quota.h"
#include "common/sm.h"
#include "master/conf/calendar.h"
#include "master/workers/link.h"
#include "master/workers/orders.h"
#include "master/workers/told.h"
#include "master/workers/work.h"

struct db_res;
struct db_tx;
struct master;
struct run;
struct sessions;
struct rival;

#define SESSION_KEY_MAX 64     /* characters of a member's key */
#define SESSION_MACHINE_LEN 32 /* digits */
#define SESSION_TEXT_MAX 4096 /* bytes of a sentence of a worker that are kept */

/* hello ─▶ auth ─▶ (rival ─▶) adopt ─▶ inventory ─▶ ready ─▶ away ─▶ adopt …;  any ─▶ closed */
enum session_state { SESSION_HELLO, SESSION_AUTH, SESSION_RIVAL, SESSION_ADOPT, SESSION_INVENTORY, SESSION_READY, SESSION_AWAY, SESSION_CLOSED, SESSION_STATES };

struct session {
  struct list node;
  struct master *m;
  struct link *link;           /* NULL once closed */
  struct sm sm;
  bool welcomed;
  bool in_tx;                  /* a transaction of ours is in flight: freed after it */
  int first;                   /* statement of the adoption in flight that takes the row */
  int loading;                 /* pipelines and specs still to come before the inventory */
  int64_t worker, number;      /* row ids: worker; session's number */
  char *pool;                  /* of which it is a member; NULL: of none */
  char *machine;               /* on which it runs, its word; "": not told */
  char *name, *instance, *boot, *peer, *secret, *facts;
  int64_t high_inc;            /* incarnation of the highest command that it ever had; its word */
  int64_t conn, uid;           /* uid: the worker's word; -1: not told */
  int slots, cores, weight;
  struct calendar calendar;    /* n 0: always */
  struct told host;            /* of its host; its word */
  char **tags;
  int ntags;
  struct list runs;
  struct map *by_cmd;          /* runs by command number */
  struct map *ops;             /* ops.h */
  struct map *have;            /* inventory as told: command number → struct have */
  struct map *specs;           /* of adopted runs: command number → struct have with the spec and the secrets of the store */
  int told;
  struct quota lines;          /* of the log, about what it says */
  int64_t next_req;
  char *features;              /* as greeted: its word */
  struct rival *rival;         /* in state rival */
  struct work work;            /* its disk and work folders */
  struct order order;          /* what its agent is told to do */
};

struct sessions *sessions_new(struct master *m);
void sessions_free(struct sessions *ss);
extern const struct link_ops session_link_ops;   /* ctx of the link server: struct master */
#define SESSIONS_ALONE_MS 60000 /* the database is away for so long (or a quarter of the window): links are closed, so that no worker goes on with what another master may give to the next one */
void sessions_db_up(struct sessions *ss);
void sessions_db_down(struct sessions *ss);
/* Into the transaction of a heartbeat, one statement; then its answer, with that statement's number: sessions that other masters gave up, since this one was silent for too long, are connected again; those of workers that were removed are closed; those whose agents are ordered to do something look what. */
void sessions_beat(struct sessions *ss, struct db_tx *tx);
void sessions_beaten(struct sessions *ss, const struct db_res *res, int stmt);
/* m->conf is another one now: connected workers that it names get its slots and tags. Builds that are running stay, whatever the new number of slots. */
void sessions_reload(struct sessions *ss);
/* All of them, in order of arrival. */
struct list *sessions_list(struct sessions *ss);
struct session *session_of_worker(struct sessions *ss, int64_t worker);
/* Of the worker of that name, ready; NULL: it is not connected to this master, or is about to be. */
struct session *session_named(struct sessions *ss, const char *worker);
void session_close(struct session *s, const char *reason);
bool session_ready(const struct session *s);
/* A slot that no run holds and in which the builder's work folder is not about to be removed, from 0; -1: none. */
int session_slot(const struct session *s, const char *project, const char *builder);
int session_runs(const struct session *s);
int session_used(const struct session *s); /* slots: of these, those that wait for builds of others hold none */
void session_forget(struct session *s, struct id cmd);
/* Did the worker say in its greeting that it can do that (docs/protocol.md 2)? */
bool session_has(const struct session *s, const char *feature);
#define SESSION_LIMITS "limits"  /* it limits what a command writes */
#define SESSION_LOGS "logs"      /* it follows files that a command writes */
#define SESSION_INPUT "input"    /* it takes input while a command runs, has secrets in it, and gives it terminals */
#define SESSION_REPORTS "report" /* it tells what a command reports */
const char *session_state_name(const struct session *s);
#endif
