/* The database: transactions as values, sent down pipelined libpq connections on the event loop.

   A transaction is a list of named statements that are sent together, run in one implicit transaction (all or nothing), and answered together. What follows from an answer is a new
   transaction; guards (epochs, offsets, states) are in the statements themselves, so the time between two transactions is safe.

   Happy path: db_tx, db_q (once a statement), db_send; later, from the loop, the callback gets a struct db_res that is valid during the call.
   Failure: connection lost (ERR_AWAY: it may or may not have been committed, the caller must look again), statement refused (ERR_FAILED with SQLSTATE and text; a serialization failure or
   deadlock is retried inside). While the database is away, db_send fails every transaction on the next loop turn with ERR_AWAY; callers wait for on_up. */
#ifndef MASTER_DB_H
#define MASTER_DB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/err.h"
#include "common/mem.h"

/* Every statement, named once: S(name, "text with $1…"). One .def file an area, so that a reader finds the statements beside the tables they are about. */
enum sql { /* a text that begins with the comment b (slash, star, b, star, slash) asks for its answer in binary: for many rows or large bytea */
#define S(name, text) SQL_##name,
#include "master/db/sql_cluster.def"
#include "master/db/sql_world.def"
#include "master/db/sql_build.def"
#include "master/db/sql_lock.def"
#include "master/db/sql_log.def"
#include "master/db/sql_work.def"
#include "master/db/sql_sched.def"
#include "master/db/sql_api.def"
#undef S
  SQL_COUNT
};
const char *sql_name(enum sql s);
const char *sql_text(enum sql s);

struct db;
struct db_tx;
struct db_res;
typedef void db_cb(struct db_res *res, void *arg);

struct db_ops {
  void (*on_up)(void *ctx);                    /* connections stand; also after each recovery */
  void (*on_down)(void *ctx, const char *why); /* all transactions in flight have been answered with ERR_AWAY before this */
};

/* work: connections for changes of state (a key always uses the same one, so transactions with one key run in the order sent); read: connections for queries of people.
   conninfo: libpq's, without a host name that needs DNS where it can be helped. Reconnects by itself, back-off 50 ms to 2 s. */
struct db *db_new(uv_loop_t *loop, const char *conninfo, int work, int read, const struct db_ops *ops, void *ctx) must_check;
/* Before db_start. One connection more, which hears what is said on that channel (a name of small letters); heard is called from the loop, once for each. What is said while the connection is away is
   lost: it is a hint to look, no more. */
void db_hear(struct db *db, const char *channel, void (*heard)(void *arg, const char *text), void *arg);
void db_start(struct db *db);
/* Answers what is in flight, closes; done is called from the loop when all handles are gone, db is freed after it. */
void db_close(struct db *db, void (*done)(void *arg), void *arg);
bool db_is_up(const struct db *db);
/* Forget all connections and connect anew (the private PostgreSQL was found dead). */
void db_kick(struct db *db, const char *why);

#define DB_ANY UINT64_MAX         /* no order wanted: least busy work connection, of those that answer */
#define DB_READ (UINT64_MAX - 1)  /* a read connection */

struct db_tx *db_tx(struct db *db, uint64_t key) must_check;
/* kinds: one letter a parameter, all copied: 'n' int64_t · 's' const char* (NULL is null) · 'b' const void*, size_t (bytea; NULL is null) · 'l' bool (int) · 'N' int64_t where INT64_MIN is null */
void db_q(struct db_tx *tx, enum sql s, const char *kinds, ...);
/* The same with a text of its own, not prepared: for tests and maintenance. */
void db_q_text(struct db_tx *tx, const char *text, const char *kinds, ...);
int db_count(const struct db_tx *tx);      /* statements so far */
/* Must be called once; afterwards the tx is the database's. cb may be NULL (a failure is then logged). */
void db_send(struct db_tx *tx, db_cb *cb, void *arg);
void db_drop(struct db_tx *tx);            /* instead of db_send */

enum err db_err(const struct db_res *r);                /* ERR_OK, ERR_AWAY, ERR_FAILED */
const char *db_sqlstate(const struct db_res *r);        /* of the refusal, "" where there is none: 23505, DR001 (a fence)… */
int db_err_stmt(const struct db_res *r);                 /* which statement was refused; -1: none was; db_count(): the commit */
const char *db_errtext(const struct db_res *r);         /* for the log: statement name, SQLSTATE, message */
int db_rows(const struct db_res *r, int stmt);          /* rows returned, or affected where none are returned */
bool db_null(const struct db_res *r, int stmt, int row, int col);
int64_t db_num(const struct db_res *r, int stmt, int row, int col);     /* 0 for null; int2, int4, int8, bool */
const char *db_str(const struct db_res *r, int stmt, int row, int col); /* "" for null; text, json, uuid, numeric… */
char *db_dup(const struct db_res *r, int stmt, int row, int col) must_check; /* NULL for null */
const void *db_bytes(const struct db_res *r, int stmt, int row, int col, size_t *len); /* bytea; NULL, 0 for null */
int64_t db_ms(const struct db_res *r, int stmt, int row, int col);      /* timestamptz: ms since 1970; INT64_MIN for null */
char **db_texts(const struct db_res *r, int stmt, int row, int col, int *n) must_check; /* text[]; free each and the array */

/* text[] parameter from C strings, in PostgreSQL's array syntax; free() it. Pass with 's' and $n::text[]. */
char *db_text_array(const char *const *v, int n) must_check;
#endif
