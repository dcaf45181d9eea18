/* The private PostgreSQL: made once, started, adopted when it already runs, restarted when it dies, never given up. docs/design.md tells why it outlives the master.

   Happy path: folder empty → initdb (as user postgres when we are root) → postgres in a session of its own, unix socket only → ready.
   Failures: a postmaster that died with backends left (they are found by their working folder and killed), a stale postmaster.pid, a full disk, another major version (refused with the two
   commands that help), no PostgreSQL installed (says which package). Back-off 0.1 to 5 s. */
#ifndef MASTER_DB_PRIVATE_PG_H
#define MASTER_DB_PRIVATE_PG_H
#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "common/err.h"

struct ppg;
struct ppg_ops {
  void (*on_ready)(void *ctx);                   /* accepts connections; also after each restart */
  void (*on_lost)(void *ctx, const char *why);   /* the postmaster is gone; it is being started again */
};

/* state: the master's state folder. folder: where the cluster lives, or NULL for the rule of docs/design.md (as root /var/lib/drover/<hash of state>, named in state/database; else state/pg).
   Blocking part: finds the binaries, makes the cluster where there is none. why gets the sentence for people. */
struct ppg *ppg_new(uv_loop_t *loop, const char *state, const char *folder, const struct ppg_ops *ops, void *ctx, struct buf *why) must_check;
/* The same where a service of its own runs it (ppg_become): ppg_start then waits for as long as it takes, and it is only watched, never made, started or stopped. */
struct ppg *ppg_of_service(uv_loop_t *loop, const char *state, const char *folder, const struct ppg_ops *ops, void *ctx, struct buf *why) must_check;
/* For programs that work beside the master, or in its place: under root the cluster is run by whom it belongs to. make false: ERR_NOTFOUND's sentence where there is no cluster, nothing is made. */
struct ppg *ppg_open(uv_loop_t *loop, const char *state, const char *folder, bool make, struct buf *why) must_check;
bool ppg_adopted(const struct ppg *p); /* after ppg_start: it ran already */
/* Starts it or adopts the running one and waits (blocking, at most 60 s) until it answers; then watches it from the loop. */
enum err ppg_start(struct ppg *p, struct buf *why) must_check;
const char *ppg_conninfo(const struct ppg *p); /* host=<socket folder> user=… dbname=drover; the database exists after ppg_start */
const char *ppg_version(const struct ppg *p);  /* "15.20" */
const char *ppg_folder(const struct ppg *p);
bool ppg_programs_gone(const struct ppg *p);   /* they were removed since it started: it will not start again */
int ppg_pid(const struct ppg *p);              /* postmaster, 0 while it is down */
/* stop: SIGINT to the postmaster and wait for its end (blocking, at most 20 s, then SIGQUIT); else leave it running for the next master. */
void ppg_close(struct ppg *p, bool stop, void (*done)(void *arg), void *arg);
/* Makes the cluster where there is none, ends what runs on it or was left there, and becomes its postmaster (execve), logging to stderr: the main program of a
   service. Returns only where that failed. */
enum err ppg_become(const char *state, const char *folder, struct buf *why) must_check;
#endif
