/* What the files of the database share: db.c (whole), db_conn.c (one connection), db_tx.c (building), db_res.c (reading). */
#ifndef MASTER_DB_INT_H
#define MASTER_DB_INT_H
#include <postgresql/libpq-fe.h>

#include "common/buf.h"
#include "common/list.h"
#include "common/map.h"
#include "common/sm.h"
#include "master/db/db.h"

enum {
  DB_PARAMS_MAX = 64,               /* of one statement */
  DB_WINDOW = 64,                   /* transactions in one connection's pipeline */
  DB_WINDOW_BYTES = 8 << 20,        /* of their parameters; one transaction may be larger and then goes alone */
  DB_TRIES = 5,                     /* of a transaction that lost a deadlock or serialization conflict */
  DB_RETRY_MS = 20,                 /* before it is sent again: sooner, it may take the lock from the one that won */
  DB_WORK_STATEMENT_MS = 30 * 1000,
  DB_READ_STATEMENT_MS = 60 * 1000,
  DB_LOCK_MS = 20 * 1000,
  DB_STALLED_MS = 20,               /* no answer for so long: most likely it waits for a lock, and whatever is put behind it would too */
  DB_CONNECT_MS = 10 * 1000,        /* until all connections stand */
  DB_WATCH_MS = 10 * 1000,          /* how often silence is looked at */
  DB_SILENT_MS = 300 * 1000,        /* a connection with something in flight and no answer: ten statements of one transaction at their limit */
  DB_BACKOFF_MIN_MS = 50,
  DB_BACKOFF_MAX_MS = 2000,
  DB_COMPLAIN_MS = 30 * 1000,       /* how often the same connection failure is logged */
  DB_HEARD_MAX = 64 << 10,          /* bytes of what was heard and not told yet; more is left out */
};

#define DB_EAR (UINT64_MAX - 2) /* a key: the connection that hears */

struct stmt {
  enum sql s;
  char *text;       /* not NULL: this text, not prepared; s means nothing */
  int first, count; /* parameters */
};

struct param {
  size_t off; /* in tx->data; each value is followed by NUL */
  int len;
  bool null, binary;
};

/* One segment of a connection's pipeline, ended by a sync: a transaction, or the preparing of one statement. */
struct segment {
  struct list link;
  struct db_tx *tx; /* NULL: prepare */
  enum sql prepare;
};

struct db_tx {
  struct list link;      /* in a connection's ready or again, in followers or in db->answered; not while in the pipeline */
  struct list followers; /* transactions of the same key that wait for this one */
  struct segment seg;
  struct db *db;
  uint64_t key;
  bool leads;            /* is in its connection's keys */
  struct stmt *stmts;
  struct param *params;
  int count, cap, params_count, params_cap;
  struct buf data;
  PGresult **results;    /* count, while in flight and answered */
  enum err err;
  int failed;            /* index of the statement; count: the commit */
  char sqlstate[6];
  char *errtext;
  int tries;
  void **decoded;        /* memory of accessors, freed with the transaction */
  int decoded_count;
  db_cb *cb;
  void *arg;
};

struct db_res {
  struct db_tx *tx;
};

enum { CONN_OFF, CONN_CONNECTING, CONN_READY, CONN_STATES };
enum { PREP_NO, PREP_SENT, PREP_DONE };

struct conn_poll;
struct conn {
  struct db *db;
  struct sm sm;
  char name[16];
  bool read;
  PGconn *pg;
  struct conn_poll *poll;
  int events;
  struct list ready, sent;  /* transactions to be sent; segments in the pipeline */
  struct list again;        /* transactions that lost a conflict, until db->retry fires */
  int sent_count, load;     /* segments in the pipeline; all transactions it has */
  size_t sent_bytes;
  struct map *keys;         /* key -> its leading transaction, in ready or sent */
  int at;                   /* results of the first segment so far */
  int nulls;                /* in a row */
  int64_t heard;            /* when the last answer came, or the pipeline became non-empty */
  unsigned char prepared[SQL_COUNT + 1];
};

enum { DB_NEW, DB_DOWN, DB_CONNECTING, DB_UP, DB_CLOSING, DB_STATES };

struct db {
  uv_loop_t *loop;
  struct sm sm;
  char *conninfo;
  struct conn *conns;       /* work first, then read, then the one that hears */
  int work, read, ears;     /* ears: 1 where there is such a one, else 0 */
  const char *channel;
  void (*hear)(void *arg, const char *text);
  void *hear_arg;
  struct buf heard;         /* texts, each with its NUL */
  struct db_ops ops;
  void *ctx;
  uv_idle_t turn;           /* runs only while there is something to send, answer or tell */
  uv_timer_t timer;         /* back-off, connect deadline or silence, by state */
  uv_timer_t retry;         /* runs while a connection has something in again */
  int handles;              /* not closed yet, polls counted */
  struct list answered;
  bool told_up, ever_up;
  int64_t down_since, complained, backoff;
  char *why;                /* of the last loss */
  char *broken[SQL_COUNT + 1]; /* what the server said when it refused to prepare the statement */
  void (*done)(void *arg);
  void *done_arg;
};

/* db.c */
void db_wake(struct db *db);                           /* db_turn in this or the next loop turn */
void db_lost(struct db *db, const char *why);          /* all connections are dropped; transactions go to answered */
void db_conn_ready(struct db *db);
void db_retry_later(struct db *db);                    /* conn_again for all connections, soon */
void db_handle_closed(struct db *db);
void db_heard(struct db *db, const char *text);        /* told in the next turn */

/* db_conn.c */
void conn_init(struct conn *c, struct db *db, int n, bool read);
void conn_free(struct conn *c);
bool conn_open(struct conn *c) must_check;             /* false: lost, db_lost was called */
void conn_drop(struct conn *c);                        /* closes; what it had goes to db->answered as ERR_AWAY */
void conn_add(struct conn *c, struct db_tx *tx);
void conn_again(struct conn *c);                       /* what lost a conflict is ready once more */
void conn_fill(struct conn *c);                        /* moves ready transactions into the pipeline */

/* db_tx.c */
void tx_reset(struct db_tx *tx);                       /* forget results and error: to be sent again */
void tx_free(struct db_tx *tx);
void tx_answer(struct db_tx *tx, enum err err, const char *text);
const char *tx_stmt_name(const struct db_tx *tx, int stmt);
#endif
