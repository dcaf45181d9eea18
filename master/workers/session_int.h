/* Between session.c (who and when), sessions.c (all of them) and session_msg.c (the traffic). */
#ifndef MASTER_WORKERS_SESSION_INT_H
#define MASTER_WORKERS_SESSION_INT_H
#include <uv.h>

#include "common/list.h"
#include "common/quota.h"
#include "master/workers/session.h"

/* What the worker has of a command; or the spec that the database has of it. */
struct have {
  struct id cmd;
  char state[16];
  bool same; /* instance and boot are those the command was meant for */
  struct secret_rows *secrets; /* of the store, that the spec names */
  size_t nspec;
  char spec[];
};
struct spec_wait {
  struct session *s;
  int64_t cmd;
  bool same;
};

struct sessions {
  struct master *m;
  struct list all;
  struct quota refusals; /* of the log, about who was refused: without a token anybody is */
  uv_timer_t alone;      /* the database has been away for too long when it goes off */
};

struct session *session_new(struct master *m, struct link *l);
void session_configure(struct session *s); /* its slots, tags, weight and calendar, where the configuration has the worker */
void session_hello(struct session *s, struct wire_msg *m);
void session_have(struct session *s, struct wire_msg *m);
void session_listed(struct session *s, struct wire_msg *m);
void session_adopt(struct session *s);
void session_db_down(struct session *s);
void session_have_clear(struct session *s);
void session_maybe_free(struct session *s);
void session_busy(struct session *s);
void session_tell_lost(struct session *s); /* the row of the session that it had, where it is still its own */
void session_refuse(struct session *s, const char *reason, const char *fmt, ...) printf_like(3, 4);
/* As `clone`: a connection with a number that was seen. */
void session_refuse_copied(struct session *s);
void session_specs_clear(struct session *s);
void session_take_over(struct session *s, int64_t worker); /* authenticated as that worker, and nobody is in its way any more */
struct db_res;
void session_is(struct session *s, struct db_res *res, int stmt, int col); /* slots, tags, weight, calendar of its row, columns from col on */
bool session_same_user(struct session *s); /* true: refused, because it runs as the master's user */
/* Authenticated as that worker. The same instance replaces itself; a different one has to show that it is alive. */
void session_meet(struct session *s, int64_t worker);
/* session_join.c: it greets by a pool's token, s->name being "pool/linux". False: by nothing that a token or a key could be. */
bool session_join(struct session *s, const char *key) must_check;
/* session_rival.c: s is authenticated as that worker, whose living session is `old`. Ends by session_take_over() or a refusal. */
void session_rival_begin(struct session *s, int64_t worker, struct session *old);
void session_rival_end(struct session *s); /* s closes; nothing where there is none */
void session_msg(struct link *l, struct wire_msg *m);
#endif
