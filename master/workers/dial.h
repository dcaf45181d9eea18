/* Workers that this master dials by ssh: for each a helper process (dial_proc.h) that reaches the host and brings the worker program, then a link like any other. Of several masters one dials a worker: it has the row
   (db/schema_0041.sql), and keeps it with its heartbeat.

     wait ─▶ reach ─▶ look ─▶ (bring ─▶) run ─▶ end ─▶ wait …;  all but wait go to end */
#ifndef MASTER_WORKERS_DIAL_H
#define MASTER_WORKERS_DIAL_H
#include <stdbool.h>
#include <stdint.h>

struct conf;
struct db_res;
struct db_tx;
struct dials;
struct master;

struct dials *dials_new(struct master *m);
/* Dials nobody any more, ends what is under way. */
void dials_stop(struct dials *ds);
/* After dials_stop(), and when the links are gone: lets go of all, so that other masters dial them at once. done is called from the loop; ds is freed after it. */
void dials_close(struct dials *ds, void (*done)(void *arg), void *arg);
/* m->conf is another one now; `old` is still there. */
void dials_reload(struct dials *ds, const struct conf *old);
void dials_db_up(struct dials *ds);
/* Into the transaction of a heartbeat, one statement or none; then its answer. */
void dials_beat(struct dials *ds, struct db_tx *tx);
void dials_beaten(struct dials *ds, const struct db_res *res);
/* The session of a worker that was dialled: was welcomed; was refused, with a sentence. */
void dials_welcomed(struct dials *ds, const char *worker);
void dials_refused(struct dials *ds, const char *worker, const char *why);
/* It has stopped as it was told. Its row says so, or will not (said), or is about to: until then it is not dialled. Any worker's name. */
void dials_stopped(struct dials *ds, const char *worker, bool said);
/* Somebody has done something about it: it is tried at once. */
void dials_again(struct dials *ds, const char *worker);
#endif
